"""Show the studies of a home, or the trials of one study."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.api import Study, StudyStatus
from study.cli_parser import Parser, home_of, print_json, run_verb
from study.execution.live_display import table
from study.record.record import studies
from study.sanitize import SafeConsole


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status."""
    parser = Parser("status", __doc__)
    parser.add_argument("name", nargs="?", help="the study (default: all studies)")
    options = parser.parse_args(argv)
    home = home_of(options)
    names = [options.name] if options.name else studies(home)
    found = [Study.open(name, home=home).status() for name in names]
    if options.json:
        print_json({"home": str(home), "studies": [status.to_dict() for status in found]})
        return 0
    console = SafeConsole(highlight=False)
    if not found:
        console.print(f"no studies in {home}")
    for status in found:
        _print(status, console, with_trials=bool(options.name))
    return 0


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
