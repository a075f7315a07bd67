"""Concurrent launches in one home train every stage once and complete."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

STUDY = "--space intermediate_tasks --encoder pocket --scale 0.05 --targets panx --json".split()
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def start(home: Path, name: str, tasks: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "study.launch", *STUDY, "--name", name, "--intermediate", tasks, *more]
    return subprocess.Popen(
        [*command, "--home", str(home)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def reports(drivers: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    found = []
    for driver in drivers:
        out, err = driver.communicate(timeout=500)
        assert driver.returncode == 0, err
        found.append(json.loads(out))
    return found


def finished(home: Path) -> Counter[str]:
    """Count how often each stage was trained to its end, by all logs."""
    lines = [line for log in home.glob("studies/*/stages-*.jsonl") for line in log.read_text().splitlines()]
    return Counter(json.loads(line)["address"] for line in lines)


def test_the_same_study_twice_and_another_beside_it(tmp_path: Path) -> None:
    drivers = [start(tmp_path, "one", "mnli"), start(tmp_path, "one", "mnli"), start(tmp_path, "other", "mnli,ccg")]
    first, second, other = reports(drivers)
    assert set(finished(tmp_path).values()) == {1}
    assert first["trials"]["complete"] == second["trials"]["complete"] == 2 and other["trials"]["complete"] == 4
    scores = [[row["targets"] for row in report["matrix"]][:2] for report in (first, second, other)]
    assert scores[0] == scores[1] == scores[2]


def test_many_drivers_on_one_cluster(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4})
    try:
        drivers = [start(tmp_path, f"s{n % 3}", "mnli", "--address", cluster.address) for n in range(6)]
        found = reports(drivers)
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
    assert set(finished(tmp_path).values()) == {1}
    assert all(report["trials"]["complete"] == 2 for report in found)
    assert len({json.dumps([row["targets"] for row in report["matrix"]], sort_keys=True) for report in found}) == 1
