"""Bring MLflow up to date with a study's record; a second run changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from study.api import Study
from study.cli_parser import Parser, print_json, run_verb
from study.results.writers import write_report
from study.sanitize import escape_control_characters, redact
from trainables.errors import BadInput, DataError


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status."""
    parser = Parser("sync", __doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument("--mlflow-uri", help="MLflow server or store (default: a SQLite file in the home)")
    options = parser.parse_args(argv)
    study = Study.open(options.name, home=options.home)

    from study.tracking.mlflow import reason_of, sync
    from study.tracking.mlflow_store import check_uri, default_uri

    uri = check_uri(options.mlflow_uri) if options.mlflow_uri else default_uri(study.home)
    shown = redact(options.mlflow_uri or f"sqlite:///{study.home / 'mlflow.db'}")
    report = write_report(study.record, study.store)
    try:
        runs = sync(uri, study.record, study.store, report, study.record.folder / "report")
    except (BadInput, OSError):
        raise
    except Exception as error:  # of MLflow, its database or its server
        raise DataError(f"MLflow at {shown} could not be brought up to date: {reason_of(error)}") from error
    if options.json:
        print_json({"study": study.name, "uri": shown, "runs": len(runs)})
    else:
        print(f"{len(runs)} runs of {study.name} are up to date at {escape_control_characters(shown)}")
    return 0


if __name__ == "__main__":
    run_verb(main)
