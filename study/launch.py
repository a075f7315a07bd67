"""Run a study: every recipe of a space from encoder to zero-shot scores, and the report that answers its question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from study.cli_parser import Parser, add_running, add_spec, print_json, run_verb, running_of, spec_of
from study.execution.graceful_shutdown import STOP

if TYPE_CHECKING:
    from study.api import Study
    from study.spec.study_spec import RunOptions


def parser() -> Parser:
    """Make the options of `launch`."""
    made = Parser("launch", __doc__)
    add_spec(made)
    made.add_argument("--name", help="name of the study (default: made from its spec)")
    made.add_argument(
        "--store", metavar="URL", help="share finished stages at s3://, gs:// or file:// (default: $STEPSTONE_STORE)"
    )
    add_running(made)
    made.add_argument("--dry-run", action="store_true", help="print what would run, and stop")
    return made


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    STOP.listen()
    options = parser().parse_args(argv)

    from study.api import Study

    running = running_of(options)
    study = Study.create(spec_of(options), name=options.name, home=options.home, store=options.store)
    if options.dry_run:
        return _dry_run(study, running)
    return run(study, running)


def run(study: Study, options: RunOptions) -> int:
    """Run a study and print its report as JSON where that is asked for; returns the exit status."""
    from study.execution.driver import exit_status

    report = study.run(**vars(options))
    if options.quiet:
        print_json(report)
    return exit_status(report)


def _dry_run(study: Study, options: RunOptions) -> int:
    from study.execution.plan_summary import print_plan
    from study.sanitize import SafeConsole

    summary = study.plan(**vars(options))
    if options.quiet:
        print_json(summary.to_dict())
    else:
        print_plan(summary, SafeConsole(highlight=False))
    return 0


if __name__ == "__main__":
    run_verb(main)
