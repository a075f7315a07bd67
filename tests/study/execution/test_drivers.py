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


def start(home: Path, name: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "study.launch", *STUDY, "--name", name, "--intermediate", "mnli", *more]
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


def check(home: Path, found: list[dict[str, Any]]) -> None:
    """Check that the studies are complete with equal scores, and that no stage was trained twice."""
    assert set(finished(home).values()) == {1}
    assert all(report["trials"]["complete"] == 2 for report in found)
    assert len({json.dumps([row["targets"] for row in report["matrix"]], sort_keys=True) for report in found}) == 1


def test_the_same_study_twice(tmp_path: Path) -> None:
    check(tmp_path, reports([start(tmp_path, "one"), start(tmp_path, "one")]))


def test_two_launches_of_a_study_and_another_beside_them_on_one_cluster(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3})
    try:
        drivers = [start(tmp_path, name, "--address", cluster.address) for name in ("one", "one", "other")]
        found = reports(drivers)
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
    check(tmp_path, found)
