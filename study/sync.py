"""Bring MLflow up to date with a study's record; a second run changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from study.api import Study
from study.cli_parser import Parser, print_json, run_verb
from study.results.writers import write_report
from study.sanitize import escape_control_characters, redact


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status."""
    parser = Parser("sync", __doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument("--mlflow-uri", help="MLflow server or store (default: a SQLite file in the home)")
    options = parser.parse_args(argv)
    study = Study.open(options.name, home=options.home)

    from study.tracking.mlflow import default_uri, sync

    uri = options.mlflow_uri or default_uri(study.home)
    shown = redact(uri)
    report = write_report(study.record, study.store)
    runs = sync(uri, study.record, study.store, report, study.record.folder / "report")
    if options.json:
        print_json({"study": study.name, "uri": shown, "runs": len(runs)})
    else:
        print(f"{len(runs)} runs of {study.name} are up to date at {escape_control_characters(shown)}")
    return 0


if __name__ == "__main__":
    run_verb(main)
