"""Builders of study specs and reports for tests."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from study.cli_parser import spec_of
from study.launch import parser
from study.results.report import Report, ReportRow, ReportTarget, TargetResult
from study.results.transfer_matrix import STATUSES
from study.spec.study_spec import ResolvedSpec
from study.tracking.mlflow_store import default_uri, prepare
from trainables.catalogue import dataset
from trainables.recipe import Recipe, title
from trainables.sources import Source


def resolved(*argv: str) -> tuple[ResolvedSpec, Source]:
    """Resolve the spec of a launch with these options, and its source.

    Raises:
        BadInput: the options cannot be met.
    """
    return spec_of(parser().parse_args(argv)).resolve()


def row_of(recipe: Recipe, targets: Mapping[str, TargetResult], **more: Any) -> ReportRow:
    """Make a complete row of a report by hand."""
    known: dict[str, Any] = {
        "name": title(recipe, {}), "recipe": recipe, "address": recipe.address, "status": "complete", "seeds": (0,),
        "average": None, "gain": None, "interval": None, "selection": None, "run_id": None, "targets": targets, "curves": {},
    }  # fmt: skip
    return ReportRow(**{**known, **more})


def target_of(name: str, languages: Sequence[str], **more: Any) -> ReportTarget:
    """Make a trained target of a report by hand."""
    d = dataset(name)
    known: dict[str, Any] = {
        "name": name, "title": d.title, "main": tuple(d.main), "languages": tuple(languages), "split": "test",
        "trained_on": d.train_on, "note": "", "pairs": None,
    }  # fmt: skip
    return ReportTarget(**{**known, **more})


def report_of(matrix: Sequence[ReportRow] = (), targets: Sequence[ReportTarget] = (), **more: Any) -> Report:
    """Make a report by hand, with nothing beside its matrix."""
    statuses = [row.status for row in matrix]
    known: dict[str, Any] = {
        "study": "by-hand", "space": "intermediate_tasks", "question": "?", "source": "hub", "encoder": "pocket",
        "profile": "small", "scale": 1.0, "seeds": 1, "selection": "english_dev", "pocket": False,
        "trials": {s: statuses.count(s) for s in STATUSES}, "stages": {}, "targets": tuple(targets), "languages": {},
        "matrix": tuple(matrix), "failures": (), "layers": {}, "epochs": {}, "standins": (), "notes": (), "created": "",
        "version": "", "best": None, "numbers": (), "alignment": (), "headline": "!",
    }  # fmt: skip
    return Report(**{**known, **more})


@cache
def empty_mlflow_store() -> bytes:
    """Return the content of a SQLite store without studies, whose making takes MLflow seconds."""
    with tempfile.TemporaryDirectory() as home:
        prepare(default_uri(Path(home)), Path(home), "study", print)
        return Path(home, "mlflow.db").read_bytes()
