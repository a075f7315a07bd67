"""Check this installation and its home, or, with --data, what a source of data has and whether every row can be read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.diagnostics.datasets import SPLITS, Finding, check_data
from study.diagnostics.environment import Check, check_all
from study.sanitize import SafeConsole
from study.spec.cli_parser import Parser, home_of, names_of, print_json, run_verb
from trainables.catalogue import DATASETS, dataset
from trainables.errors import BadInput
from trainables.sources import open_source

COLOURS = {
    "ok": "green",
    "warning": "yellow",
    "partial": "green",
    "stand-in": "yellow",
    "differs": "yellow",
    "broken": "red",
    "absent": "dim",
}


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status: 1 if something that is there cannot be read, or does not work."""
    parser = Parser("doctor", __doc__)
    parser.add_argument("--data", help="the source to check: pocket, mirror:FOLDER, hub, or A+B")
    parser.add_argument("--datasets", help="only these, comma-separated (default: the whole catalogue)")
    parser.add_argument("--read", action="store_true", help="download and read rows of the hub too, not only its lists")
    parser.add_argument("--encoder", help="of the installation: whether this encoder can be had (default: pocket)")
    parser.add_argument("--address", help="of the installation: whether a Ray cluster answers there")
    parser.add_argument("--mlflow-uri", help="of the installation: MLflow server or store (default: the home's)")
    parser.add_argument("--ray", action="store_true", help="of the installation: start Ray, or join --address")
    options = parser.parse_args(argv)
    if not (options.data or options.datasets or options.read):
        return _installation(options)
    for name in ("encoder", "address", "mlflow_uri", "ray"):
        if getattr(options, name):
            raise BadInput(
                f"--{name.replace('_', '-')} checks the installation: leave --data, --datasets and --read out"
            )
    return _data(options)


def _installation(options: argparse.Namespace) -> int:
    try:
        home = home_of(options)
    except BadInput as error:
        found = [Check("home", "broken", str(error), "choose another --home")]
    else:
        asked = {"encoder": options.encoder or "pocket", "address": options.address, "mlflow_uri": options.mlflow_uri}
        found = check_all(home, **asked, ray=options.ray)
    if options.json:
        print_json({"checks": [check.to_dict() for check in found]})
    else:
        _print_checks(found, SafeConsole(highlight=False))
    return 1 if any(check.state == "broken" for check in found) else 0


def _print_checks(found: Sequence[Check], console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    for column in ("state", "name", "said"):
        grid.add_column(column, overflow="fold")
    for check in found:
        grid.add_row(f"[{COLOURS[check.state]}]{check.state}[/]", check.name, escape(check.said))
        if check.mend:
            grid.add_row("", "", f"[bold]mend:[/] {escape(check.mend)}")
    console.print(grid)


def _data(options: argparse.Namespace) -> int:
    names = names_of(options.datasets)
    datasets = [dataset(name) for name in names] if names else list(DATASETS.values())
    source = open_source(options.data or "pocket")
    found = check_data(source, datasets, read_hub=options.read)
    unread = source.unread()
    if options.json:
        print_json({"source": source.spec, "unread": list(unread), "datasets": [f.to_dict() for f in found]})
    else:
        _print(found, unread, SafeConsole(highlight=False))
    return 1 if any(f.state == "broken" for f in found) else 0


def _print(found: Sequence[Finding], unread: Sequence[str], console: Console) -> None:
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
                f"[dim]{f.name}: {f.left_out:,} of {f.left_out + (f.examples or 0):,} rows left out by rule[/]"
            )
    _print_absent([f for f in found if f.state == "absent"], console)
    if unread:
        console.print(f"\nthere, but of no dataset of the catalogue: {escape(', '.join(unread))}")
    if any(f.state != "absent" and not f.read for f in found):
        console.print("\n[dim]Only lists and cards of the hub were looked at; --read reads the rows too.[/]")


def _print_absent(found: Sequence[Finding], console: Console) -> None:
    """What is not there and what brings it; datasets that want the same share a line."""
    names: dict[str, list[str]] = {}
    for f in found:
        names.setdefault(f.advice, []).append(f.name)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(max_width=26)
    grid.add_column(style="dim")
    for advice, wanting in names.items():
        grid.add_row(", ".join(wanting), escape(advice))
    if names:
        console.print("absent, and what brings it", style="bold")
        console.print(grid)


def _languages(f: Finding) -> str:
    """How many of the published languages are there, and how many others."""
    there = {language for split in f.rows.values() for language in split}
    extra = len(there - set(dataset(f.name).configs))
    own = len(there) - extra
    return f"{own}{f' of {own + len(f.missing)}' if f.missing else ''}{f' +{extra}' if extra else ''}"


def _sum(f: Finding, split: str) -> str:
    """Rows of a split over all languages; "?" where some are not known without a download."""
    rows = f.rows.get(split)
    if not rows:
        return "-"
    known = [n for n in rows.values() if n is not None]
    return f"{sum(known):,}" if len(known) == len(rows) else "?"


if __name__ == "__main__":
    run_verb(main)
