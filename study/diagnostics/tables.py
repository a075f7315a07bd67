"""Text output of `study.doctor`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.diagnostics.datasets import SPLITS, Finding
from study.diagnostics.environment import Check
from trainables.catalogue import dataset

COLOURS = {
    "ok": "green",
    "warning": "yellow",
    "partial": "green",
    "stand-in": "yellow",
    "differs": "yellow",
    "broken": "red",
    "absent": "dim",
}


def print_checks(found: Sequence[Check], console: Console) -> None:
    """Print each check, with how to fix what is wrong."""
    grid = Table.grid(padding=(0, 2))
    for column in ("state", "name", "said"):
        grid.add_column(column, overflow="fold")
    for check in found:
        grid.add_row(f"[{COLOURS[check.state]}]{check.state}[/]", check.name, escape(check.said))
        if check.mend:
            grid.add_row("", "", f"[bold]fix:[/] {escape(check.mend)}")
    console.print(grid)


def print_findings(found: Sequence[Finding], unread: Sequence[str], console: Console) -> None:
    """Print datasets with rows by split, their problems, and what is absent.

    Args:
        unread: files of the source that belong to no dataset.
    """
    table = Table("dataset", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("train", "dev", "test", "languages"):
        table.add_column(column, justify="right")
    table.add_column("state")
    for f in found:
        if f.state != "absent":
            table.add_row(
                f.name, *(_sum(f, split) for split in SPLITS), _languages(f), f"[{COLOURS[f.state]}]{f.state}[/]"
            )
    if table.row_count:
        console.print(table)
    for f in found:
        for problem in f.problems:
            console.print(f"[{COLOURS[f.state]}]{f.name}[/]: {escape(problem)}")
        if f.left_out:
            console.print(
                f"[dim]{f.name}: {f.left_out:,} of {f.left_out + (f.examples or 0):,} rows excluded by its rules[/]"
            )
    _print_absent([f for f in found if f.state == "absent"], console)
    if unread:
        console.print(f"\nnot part of any dataset in the catalogue: {escape(', '.join(unread))}")
    if any(f.state != "absent" and not f.read for f in found):
        console.print("\n[dim]Only file lists and dataset cards of the hub were read; --read reads the rows too.[/]")


def _print_absent(found: Sequence[Finding], console: Console) -> None:
    """Print absent datasets and how to add them, grouped by advice."""
    names: dict[str, list[str]] = {}
    for f in found:
        names.setdefault(f.advice, []).append(f.name)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(max_width=26)
    grid.add_column(style="dim")
    for advice, wanting in names.items():
        grid.add_row(", ".join(wanting), escape(advice))
    if names:
        console.print("absent, and how to add it", style="bold")
        console.print(grid)


def _languages(f: Finding) -> str:
    """Format the numbers of published and of other languages."""
    there = {language for split in f.rows.values() for language in split}
    extra = len(there - set(dataset(f.name).configs))
    own = len(there) - extra
    return f"{own}{f' of {own + len(f.missing)}' if f.missing else ''}{f' +{extra}' if extra else ''}"


def _sum(f: Finding, split: str) -> str:
    """Format the rows of a split over all languages.

    This is "?" if some are not known without a download.
    """
    rows = f.rows.get(split)
    if not rows:
        return "-"
    known = [n for n in rows.values() if n is not None]
    return f"{sum(known):,}" if len(known) == len(rows) else "?"
