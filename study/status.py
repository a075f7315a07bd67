"""Show the studies of a home, or the trials of one study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.api import Study, StudyStatus
from study.cli_parser import Parser, home_of, one_line, print_json, run_verb
from study.execution.live_display import table
from study.record.record import studies
from study.sanitize import SafeConsole
from trainables.errors import BadInput


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status."""
    parser = Parser("status", __doc__)
    parser.add_argument("name", nargs="?", help="the study (default: all studies)")
    options = parser.parse_args(argv)
    home = home_of(options)
    found, unreadable = ([Study.open(options.name, home=home).status()], {}) if options.name else _all(home)
    if options.json:
        broken = [{"study": name, "error": why} for name, why in unreadable.items()]
        print_json({"home": str(home), "studies": [status.to_dict() for status in found], "unreadable": broken})
        return 0
    console = SafeConsole(highlight=False)
    if not found and not unreadable:
        console.print(
            escape(f"no studies in {home}" + ("" if home.exists() else ", which does not exist")), soft_wrap=True
        )
    for status in found:
        _print(status, console, with_trials=bool(options.name))
    for name, why in unreadable.items():
        console.print(f"[bold]{escape(name)}[/]  [red]cannot be read:[/] {escape(why)}", soft_wrap=True)
    return 0


def _all(home: Path) -> tuple[list[StudyStatus], dict[str, str]]:
    """Read the status of every study that can be read, and name -> why of the others."""
    found, unreadable = [], {}
    for name in studies(home):
        try:
            found.append(Study.open(name, home=home).status())
        except (BadInput, OSError) as error:
            unreadable[name] = one_line(error)
    return found, unreadable


def _print(status: StudyStatus, console: Console, *, with_trials: bool) -> None:
    counts = ", ".join(f"{n} {name}" for name, n in sorted(status.counts.items())) or "no trials yet"
    spec = status.spec
    console.print(f"[bold]{escape(status.study)}[/]  {escape(spec.source)}, {escape(spec.encoder)}: {counts}")
    if not with_trials:
        return
    listed = Table("recipe", "status", "seconds", "reason")
    for trial in status.trials:
        listed.add_row(escape(trial.name), trial.status, f"{trial.seconds:.0f}", escape(trial.reason))
    console.print(listed)
    running = [
        (trial.name, status.progress[trial.address]) for trial in status.trials if trial.address in status.progress
    ]
    if running:
        console.print(table(running))


if __name__ == "__main__":
    run_verb(main)
