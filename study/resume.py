"""Go on with a study: what is finished stays, what is missing runs, with the settings it was launched with."""

from __future__ import annotations

from collections.abc import Sequence

from study.encoder import resolve
from study.options import Parser, add_running, home_of, print_json, run_verb, running_of
from study.plan import Planner
from study.record import Record
from study.rows_check import check_rows
from trainables.sources import open_source


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    parser = Parser("resume", __doc__)
    parser.add_argument("name", help="the study")
    add_running(parser)
    options = parser.parse_args(argv)
    home, running = home_of(options), running_of(options)
    record = Record(home, options.name)
    settings = record.settings
    planner = Planner(open_source(settings.source), resolve(settings.encoder), settings.sweep_layers)

    from study.run import Launch, unfinished

    launch = Launch(home, record, settings, planner, **running)
    if launch.todo()[1]:
        plans = [launch.plan(recipe) for recipe, _ in launch.rows()]
        check_rows(planner.source, plans, home, launch.say)
    report = launch.run()
    if options.json:
        print_json(report)
    return 1 if unfinished(report) else 0


if __name__ == "__main__":
    run_verb(main)
