"""Ctrl-C: workers save their state, nothing is left behind, resume continues.

Also the graceful-shutdown request itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from study.execution.graceful_shutdown import SIGNALS, StopRequest
from tests import ROOT
from trainables.training import loop
from trainables.training.distributed import ProcessGroup

STUDY = "--space intermediate_tasks --name s --encoder pocket --scale 0.3 --intermediate mnli --targets panx"


@pytest.fixture
def request_() -> Iterator[StopRequest]:
    """Make a request that leaves neither handlers nor an alarm behind."""
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests under nohup ignore it
    yield StopRequest()
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_and_the_second_ends(number: int, request_: StopRequest) -> None:
    asked: list[bool] = []

    def twice() -> None:
        with request_.deferred():
            request_.call(lambda: asked.append(True))
            signal.raise_signal(number)
            assert asked == [True] and request_.requested
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert asked == [True]


def test_a_stop_that_came_before_is_heard_at_once(request_: StopRequest) -> None:
    asked: list[bool] = []
    with request_.deferred():
        signal.raise_signal(signal.SIGTERM)  # while Ray starts
        assert not asked
        request_.call(lambda: asked.append(True))
        assert asked == [True]


def test_the_grace_period_ends_even_after_the_trials(request_: StopRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.execution.graceful_shutdown.GRACE_S", 0.05)

    def once() -> None:
        with request_.deferred():
            signal.raise_signal(signal.SIGINT)
        time.sleep(5)  # a report, or a server that does not answer

    with pytest.raises(KeyboardInterrupt):
        once()


def test_without_a_signal_nothing_stays_changed(request_: StopRequest) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with request_.deferred():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before and not request_.requested


def test_signals_are_heard_though_the_parent_ignores_them_but_for_nohup(request_: StopRequest) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    request_.listen()
    signal.raise_signal(signal.SIGHUP)
    for number in (signal.SIGINT, signal.SIGTERM):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


def test_long_steps_are_looked_at_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("trainables.training.loop.time.monotonic", lambda: now)
    cadence = loop.Cadence(0, ProcessGroup())
    looks = []
    for step in range(1, 101):
        now += 5.0 if step < 10 else 0.5 if step < 50 else 0.001
        if cadence.is_due(step):
            looks.append(step)
    assert looks[:10] == list(range(1, 11)), "every step of five seconds"
    assert looks[10:13] == [14, 18, 22], "two seconds of steps"
    assert looks[-1] - looks[-2] == loop.CHECK_EVERY


def test_a_worker_looks_by_time_when_steps_become_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("trainables.training.loop.time.monotonic", lambda: now)
    cadence = loop.Cadence(0, ProcessGroup())
    looks = []
    for step in range(1, 41):
        now += 0.001 if step <= 30 else 5.0
        if cadence.is_due(step):
            looks.append(step)
    assert looks == [1, 26, *range(31, 41)]


# A main thread that hears no signal, as in a call of Ray to a process that is gone: the signal's C handler runs, Python's not.
DEAF = """
import ctypes, signal, threading
from study.execution import graceful_shutdown as stopping
stopping.GRACE_S, stopping.LAST_S, stopping.LOOK_EVERY_S = 0.1, 0.1, 0.02
STOP = stopping.STOP
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests under nohup ignore it
STOP.listen(owns_process=True)
with STOP.restored(), STOP.deferred():
    STOP.last_words = "stopped; `python -m study.resume s` continues"
    {how}
    until = ctypes.CDLL(None).usleep
    while True:
        try:
            until(900000)
        except KeyboardInterrupt:
            pass
"""


@pytest.mark.parametrize("how", ["signal.raise_signal(signal.SIGHUP)", "threading.Timer(0.05, STOP.abort).start()"])
def test_a_launch_that_hears_nothing_ends_with_its_advice(how: str) -> None:
    done = subprocess.run([sys.executable, "-c", DEAF.format(how=how)], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "stopped; `python -m study.resume s` continues\n")


def test_the_loss_of_ray_ends_what_the_main_thread_does(request_: StopRequest) -> None:
    def launch() -> None:
        with request_.deferred():
            threading.Thread(target=request_.abort).start()
            time.sleep(30)

    with pytest.raises(KeyboardInterrupt):
        launch()
    assert request_.requested


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
    _, alive = psutil.wait_procs(list(family.values()), timeout=60)
    assert not alive
    (study,) = verb("status", "s", home=tmp_path)["studies"]
    assert study["counts"].get("stopped") and not study["counts"].get("running")
    assert list(tmp_path.glob("checkpoints/*/*.safetensors"))
    report = verb("resume", "s", home=tmp_path)
    assert report["trials"] == {"complete": 2, "pruned": 0, "failed": 0, "stopped": 0, "running": 0}
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_while_ray_starts_is_heard_though_the_parent_ignores_ctrl_c(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "study.launch", *STUDY.split(), "--home", str(tmp_path)]

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    with open(tmp_path / "log", "w") as log:
        driver = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True, preexec_fn=ignore)
    family: dict[int, psutil.Process] = {}
    until = time.monotonic() + 100
    while time.monotonic() < until and not family and driver.poll() is None:
        family |= {child.pid: child for child in psutil.Process(driver.pid).children(recursive=True)}
        time.sleep(0.05)
    assert family, (tmp_path / "log").read_text()
    os.kill(driver.pid, number)
    while driver.poll() is None and time.monotonic() < until:
        with suppress(psutil.Error):
            family |= {child.pid: child for child in psutil.Process(driver.pid).children(recursive=True)}
        time.sleep(0.05)
    assert driver.wait(1) == 1
    said = (tmp_path / "log").read_text()
    assert "stopped" in said and "Traceback" not in said
    _, alive = psutil.wait_procs(list(family.values()), timeout=60)
    assert not alive
    assert not list(tmp_path.glob("stages/*/*")), "no trial was started"
