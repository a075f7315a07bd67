"""Run a study: all recipes of a search space, and the report.

Each recipe is trained from the encoder and scored zero-shot in every language.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from study.cli_parser import Parser, add_running, add_spec, print_json, run_verb, running_of, spec_of
from study.execution.graceful_shutdown import STOP

if TYPE_CHECKING:
    from study.api import Study
    from study.spec.study_spec import RunOptions


def parser() -> Parser:
    """Make the argument parser of `launch`."""
    made = Parser("launch", __doc__)
    add_spec(made)
    made.add_argument("--name", help="name of the study (default: made from its spec)")
    made.add_argument(
        "--store", metavar="URL", help="share finished stages at s3://, gs:// or file:// (default: $STEPSTONE_STORE)"
    )
    add_running(made)
    made.add_argument("--dry-run", action="store_true", help="print what would run, and start nothing")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status."""
    STOP.listen()
    options = parser().parse_args(argv)

    from study.api import Study

    running = running_of(options)
    study = Study.create(spec_of(options), name=options.name, home=options.home, store=options.store)
    if options.dry_run:
        return _dry_run(study, running)
    return run_and_print(study, running)


def run_and_print(study: Study, options: RunOptions) -> int:
    """Run a study, print its report if `--json` is given, return the exit status."""
    from study.execution.driver import exit_status

    report = study.run(**vars(options))
    if options.quiet:
        print_json(report.to_dict())
    return exit_status(report)


def _dry_run(study: Study, options: RunOptions) -> int:
    from study.execution.plan_summary import print_plan
    from study.sanitize import SafeConsole

    summary = study.plan(workers=options.workers, address=options.address, mlflow_uri=options.mlflow_uri)
    if options.quiet:
        print_json(summary.to_dict())
    else:
        print_plan(summary, SafeConsole(highlight=False))
    return 0


if __name__ == "__main__":
    run_verb(main)
