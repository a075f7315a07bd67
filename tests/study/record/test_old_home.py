"""A home finished by an earlier version: no retraining, the same report."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from study.launch import main
from tests import ROOT

# Made by: launch, then gc with --keep-best 0; what a launch makes anew (MLflow, Optuna, resampled scores) was removed.
OLD = ROOT / "tests" / "homes" / "finished"
OPTIONS = "--space intermediate_tasks --targets tatoeba,xnli --intermediate mnli --scale 0.02 --seeds 2".split()


def lasting(report: str, home: Path | str) -> dict[str, Any]:
    """Return a report without its volatile parts.

    These are its date, version, the path of its home and MLflow's ids; the order of its keys counts.
    """
    text = re.sub(r'"run_id": "[0-9a-f]{32}"', '"run_id": "RUN"', report.replace(str(home), "HOME"))
    values: dict[str, Any] = json.loads(text)
    return {key: value for key, value in values.items() if key not in ("created", "version")}


def test_it_relaunches_without_a_step_and_with_the_same_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    shutil.copytree(OLD, home)
    assert main(["--home", str(home), "--name", "finished", "--json", *OPTIONS]) == 0
    report, expected = lasting(capsys.readouterr().out, home), lasting((OLD / "report.json").read_text(), OLD)
    assert report["stages"] == {"run": 0, "reused": 7, "train_steps": 0}
    assert json.dumps(report) == json.dumps(expected)
