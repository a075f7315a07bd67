"""Go on with a study: what is finished stays, what is missing runs, with the settings it was launched with."""

from __future__ import annotations

from collections.abc import Sequence

from study.execution.graceful_shutdown import STOP
from study.planning.encoder_weights import resolve
from study.planning.plan import Planner
from study.record.record import Record
from study.spec.cli_parser import Parser, add_running, home_of, print_json, run_verb, running_of
from trainables.sources import open_source


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    STOP.listen()
    parser = Parser("resume", __doc__)
    parser.add_argument("name", help="the study")
    add_running(parser)
    options = parser.parse_args(argv)
    home, running = home_of(options), running_of(options)
    record = Record(home, options.name)
    settings = record.settings
    planner = Planner(open_source(settings.source), resolve(settings.encoder), settings.sweep_layers)

    from study.execution.driver import StudyDriver, exit_status

    report = StudyDriver(home, record, settings, planner, **running).run()
    if options.json:
        print_json(report)
    STOP.end()
    return exit_status(report)


if __name__ == "__main__":
    run_verb(main)
