"""A study survives an unavailable MLflow server and a full disk."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from study.record.record import Record
from tests import ROOT

STUDY = "--space intermediate_tasks --name s --encoder pocket --scale 0.1 --targets panx --intermediate mnli,ccg"
ROWS = 4
LIMIT_S = 240.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def study(verb: str, *argv: str, home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"study.{verb}", *argv, "--home", str(home), "--json"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def report(driver: subprocess.Popen[str]) -> Any:
    out, err = driver.communicate(timeout=LIMIT_S)
    assert driver.returncode == 0, err
    return json.loads(out)


def scores(found: Any) -> dict[str, Any]:
    return {row["address"]: row["targets"]["panx"]["languages"] for row in found["matrix"]}


def view(uri: str) -> dict[str, Any]:
    """Return params and metrics of every run.

    Two runs of one recipe are an error.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("s")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    found = {run.data.tags.get("stepstone.recipe", "report"): (run.data.params, run.data.metrics) for run in runs}
    assert len(found) == len(runs) and {run.info.status for run in runs} == {"FINISHED"}
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return home and report of the study with its own MLflow store."""
    home = tmp_path_factory.mktemp("undisturbed")
    return home, report(study("launch", *STUDY.split(), home=home))


class Server:
    """An MLflow server that can stop and restart at one address."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.folder, self.uri = folder, f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=1).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise TimeoutError((self.folder / "server.log").read_text())

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def test_an_mlflow_server_that_is_away_for_the_middle_third(undisturbed: tuple[Path, Any], tmp_path: Path) -> None:
    home, server = tmp_path / "home", Server(tmp_path)
    server.start()
    try:
        driver = study("launch", *STUDY.split(), "--mlflow-uri", server.uri, home=home)

        def complete(count: int) -> None:
            until = time.monotonic() + LIMIT_S
            while sum(t.status == "complete" for t in Record(home, "s").trials().values()) < count:
                assert driver.poll() is None and time.monotonic() < until
                time.sleep(0.1)

        complete(ROWS // 3)
        server.stop()
        complete(2 * ROWS // 3)
        server.start()
        found = report(driver)
        assert found["trials"]["complete"] == ROWS and scores(found) == scores(undisturbed[1])
        for _ in range(2):  # the second time changes nothing
            report(study("sync", "s", "--mlflow-uri", server.uri, home=home))
            assert view(server.uri) == view(f"sqlite:///{undisturbed[0] / 'mlflow.db'}")
    finally:
        server.stop()


ON_TMPFS = """
mount -t tmpfs -o size=$1 none "$2"; shift
"$2" -m study.launch $3 --home "$1"; echo "launch ended with $?"
find "$1/work" "$1/leases" -mindepth 1
mount -o remount,size=1g "$1"
"$2" -m study.resume s --home "$1" --json
"""


@pytest.mark.skipif(
    subprocess.run(["sh", "-c", "unshare -rm true"], capture_output=True).returncode != 0,
    reason="no file system may be mounted here",
)
def test_a_disk_that_fills_up_stops_the_study_and_room_lets_it_go_on(
    undisturbed: tuple[Path, Any], tmp_path: Path
) -> None:
    taken = sum(path.stat().st_size for path in undisturbed[0].rglob("*") if path.is_file())
    command = ["unshare", "-rm", "sh", "-c", ON_TMPFS, "sh", str(taken // 2), str(tmp_path), sys.executable, STUDY]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    assert ran.returncode == 0, ran.stderr
    said, _, rest = ran.stdout.partition("launch ended with 1\n")
    print(ran.stdout, ran.stderr)
    assert "DiskFull" in said and f"free in {tmp_path}" in said and "study.resume s" in said
    assert rest.startswith("{"), "a stage that was refused left something behind"
    assert scores(json.loads(rest)) == scores(undisturbed[1])
