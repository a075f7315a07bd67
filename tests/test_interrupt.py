"""Ctrl-C: the workers write their state, nothing is left behind, and a resume goes on from there. And the small harness."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from study.interrupt import giving_way

ROOT = Path(__file__).resolve().parents[1]
STUDY = "--space intermediate_tasks --name s --encoder pocket --scale 0.3 --intermediate mnli --targets panx"


def test_the_first_signal_asks_and_the_second_ends(tmp_path: Path) -> None:
    asked: list[bool] = []
    before = signal.getsignal(signal.SIGTERM)

    def twice() -> None:
        with giving_way(tmp_path / "stop", lambda: asked.append(True)):
            signal.raise_signal(signal.SIGTERM)
            assert asked == [True] and (tmp_path / "stop").exists()
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert asked == [True] and not (tmp_path / "stop").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_grace_period_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.interrupt.GRACE_S", 0.05)

    def once() -> None:
        with giving_way(tmp_path / "stop", lambda: None):
            signal.raise_signal(signal.SIGINT)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        once()


def verb(name: str, *argv: str, home: Path) -> Any:
    command = [sys.executable, "-m", f"study.{name}", *argv, "--home", str(home), "--json"]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_resume_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "study.launch", *STUDY.split(), "--home", str(tmp_path)]
    with open(tmp_path / "log", "w") as log:
        driver = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    family: dict[int, psutil.Process] = {}
    until, training = time.monotonic() + 200, False
    while time.monotonic() < until and not training and driver.poll() is None:
        family |= {child.pid: child for child in psutil.Process(driver.pid).children(recursive=True)}
        progress = [json.loads(p.read_text()) for p in tmp_path.glob("studies/s/progress/*.json")]
        training = any(state["label"] == "intermediate" and state["step"] for state in progress)
        time.sleep(0.1)
    assert training, (tmp_path / "log").read_text()
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal sends it: to every process of the group
    assert driver.wait(100) == 1
    said = (tmp_path / "log").read_text()
    assert "stopping" in said and "study.resume s" in said and "Traceback" not in said
    _, alive = psutil.wait_procs(list(family.values()), timeout=20)
    assert not alive
    (study,) = verb("status", "s", home=tmp_path)["studies"]
    assert study["counts"].get("stopped") and not study["counts"].get("running")
    assert list(tmp_path.glob("checkpoints/*/*.safetensors"))
    report = verb("resume", "s", home=tmp_path)
    assert report["trials"] == {"complete": 2, "pruned": 0, "failed": 0, "stopped": 0, "running": 0}
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_survives_a_few_kills(tmp_path: Path) -> None:
    from benchmarks.survive import main

    small = f"{STUDY} --checkpoint-every 0.5"
    assert main(["--kills", "4", "--seed", "1", "--study", small, "--out", str(tmp_path / "out.json")]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["kills"] == 4 and found["wrong"] == []
