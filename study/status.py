"""What has run and what runs: the studies of a home, or the trials of one study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from study.execution.live_display import table
from study.record.heartbeat import State, reconcile_status, states
from study.record.record import Record, studies, table_order
from study.sanitize import SafeConsole
from study.spec.cli_parser import Parser, home_of, print_json, run_verb


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    parser = Parser("status", __doc__)
    parser.add_argument("name", nargs="?", help="the study (default: all of them)")
    options = parser.parse_args(argv)
    home = home_of(options)
    names = [options.name] if options.name else studies(home)
    found: list[dict[str, Any]] = []
    going: dict[str, list[tuple[str, State | str]]] = {}
    for name in names:
        record = Record(home, name)
        settings, trials = record.settings, reconcile_status(record.trials(), record.folder)
        running = {address: t.name for address, t in trials.items() if t.status == "running"}
        now = {address: state for address, state in states(record.folder).items() if address in running}
        going[name] = [(running[address], state) for address, state in now.items()]
        found.append(
            {
                "study": name,
                "space": settings.space,
                "source": settings.source,
                "encoder": settings.encoder,
                "seeds": settings.seeds,
                "counts": dict(Counter(t.status for t in trials.values())),
                "trials": [
                    {"name": t.name, "status": t.status, "seconds": t.seconds, "reason": t.reason, "address": t.address}
                    for t in table_order(trials)
                ],
                "progress": [{"address": a, "name": running[a], **asdict(state)} for a, state in now.items()],
            }
        )
    if options.json:
        print_json({"home": str(home), "studies": found})
        return 0
    console = SafeConsole(highlight=False)
    if not found:
        console.print(f"no studies in {home}")
    for study in found:
        counts = ", ".join(f"{n} {status}" for status, n in sorted(study["counts"].items())) or "no trials yet"
        console.print(
            f"[bold]{escape(study['study'])}[/]  {escape(study['source'])}, {escape(study['encoder'])}: {counts}"
        )
        if options.name:
            listed = Table("recipe", "status", "seconds", "reason")
            for trial in study["trials"]:
                listed.add_row(
                    escape(trial["name"]), trial["status"], f"{trial['seconds']:.0f}", escape(trial["reason"])
                )
            console.print(listed)
            if going[options.name]:
                console.print(table(going[options.name]))
    return 0


if __name__ == "__main__":
    run_verb(main)
