"""Bring MLflow up to date with a study's record; running it twice changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from study.record.record import Record
from study.report import write_report
from study.sanitize import escape_control_characters, redact
from study.spec.cli_parser import Parser, home_of, print_json, run_verb
from study.store.store import Store


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    parser = Parser("sync", __doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument("--mlflow-uri", help="MLflow server or store (default: a SQLite file in the home)")
    options = parser.parse_args(argv)
    home = home_of(options)
    record = Record(home, options.name)
    settings = record.settings

    from study.tracking.mlflow import default_uri, sync

    uri = options.mlflow_uri or default_uri(home)
    shown = redact(uri)
    store = Store(home, settings.store)
    runs = sync(uri, record, store, write_report(record, store), record.folder / "report")
    if options.json:
        print_json({"study": record.name, "uri": shown, "runs": len(runs)})
    else:
        print(f"{len(runs)} runs of {record.name} are up to date at {escape_control_characters(shown)}")
    return 0


if __name__ == "__main__":
    run_verb(main)
