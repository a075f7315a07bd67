"""Kills at random moments lose nothing: a short run of `benchmarks.survive`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.survive import main

STUDY = "--space intermediate_tasks --name s --encoder pocket --scale 0.3 --intermediate mnli --targets panx"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_study_survives_a_few_kills(tmp_path: Path) -> None:
    small = f"{STUDY} --checkpoint-every 0.5"
    assert main(["--kills", "3", "--seed", "1", "--study", small, "--out", str(tmp_path / "out.json")]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["kills"] == 3 and found["wrong"] == []
