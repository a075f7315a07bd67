"""Check that a study survives random faults with unchanged results.

python -m benchmarks.survive [--kills 100] [--seed 0] [--minutes 60] [--kinds driver,torn] [--out benchmarks/results/survive.json]

It must end with the same report as an undisturbed study. Runs a small pocket study once undisturbed, and then repeatedly in
new homes until it is complete. At random times one of the faults of `KINDS` happens; checkpoints are written continuously.
When a driver has ended, `study.resume` is started. Checks at the end of each round:

- all scores are byte-identical to those of the undisturbed study;
- no stage was finished twice;
- no trial is left running in the record or in Optuna, and no run in MLflow; no run is duplicated, and after
  `study.sync` all runs have the params and metrics of the undisturbed study, as has a new store made of the record alone;
- no process outlives its driver, no driver and no `study.sync` ends with a traceback.

A full disk under the tracking store is a limit on the size of the files that the MLflow server may write (`prlimit`), since a
mount needs root: its database cannot grow until the limit is lifted.

Exits with 1 if a check fails or the time runs out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from study.record.heartbeat import states

STUDY = (
    "--space intermediate_tasks --name s --encoder pocket --scale 0.2 --intermediate mnli,ccg,mlm "
    "--targets tatoeba,panx,udpos --checkpoint-every 0.5"
)
KINDS = {
    # One process gets a signal.
    "driver": 0.22,
    "worker": 0.22,
    "raylet": 0.08,
    "mlflow": 0.08,
    "terminal": 0.08,  # the driver's whole process group gets SIGHUP
    "syncs": 0.08,  # two `study.sync` at once, beside the driver
    "experiment": 0.06,  # deleted in MLflow
    "disk": 0.06,  # full under the tracking store, for a while
    # All processes are killed, and before the resume:
    "torn": 0.07,  # a file that can be rebuilt has lost its end
    "moved": 0.05,  # the home has another path
}
BESIDE = ("mlflow", "syncs", "experiment", "disk")  # these interrupt no stage
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
PAUSE_S = (0.5, 8.0)  # between two faults
FULL_S = (2.0, 10.0)  # how long the disk is full
PATIENCE_S = 180.0  # a driver without progress for this long hangs
GONE_S = 60.0  # time for processes of dead drivers to end, after the end of the study


@dataclass
class Kill:
    """One fault, most of which are kills.

    Attributes:
        at: seconds since the start of the round.
        kind: what was hit, see `KINDS`.
        signal: its signal, or what was changed.
        running: labels of the stages that ran at that time.
    """

    round: int
    at: float
    kind: str
    signal: str
    running: list[str]


@dataclass
class Found:
    """Results of all rounds; `wrong` should stay empty."""

    kills: list[Kill] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if all checks pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="minimum number of faults")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random faults")
    parser.add_argument("--kinds", default=",".join(KINDS), help="comma-separated faults (default: all)")
    parser.add_argument("--minutes", type=float, default=60.0, help="start no new round after this time")
    parser.add_argument("--study", default=STUDY, help="options of study.launch")
    parser.add_argument("--out", help="output file, with the log of kills")
    options = parser.parse_args(argv)
    rng, found, begun = random.Random(options.seed), Found(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kinds = {kind: KINDS[kind] for kind in options.kinds.split(",")}
        quiet = Round(Path(folder) / "undisturbed", options.study, rng, found, 0, kinds)
        calm_s = quiet.run(kills=0)
        expected = quiet.scores()
        quiet.check()
        while len(found.kills) < options.kills and time.monotonic() - begun < 60 * options.minutes:
            number = len(found.seconds) + 1
            one = Round(Path(folder) / str(number), options.study, rng, found, number, kinds)
            found.seconds.append(one.run(kills=options.kills - len(found.kills)))
            if one.scores() != expected:
                found.wrong.append(f"round {one.number}: other scores than undisturbed")
            one.check()
            if one.view != quiet.view:
                found.wrong.append(f"round {one.number}: MLflow has other params or metrics than undisturbed")
            if one.rebuilt != quiet.view:
                found.wrong.append(f"round {one.number}: a new MLflow store has other params or metrics")
            print(
                f"round {one.number}: {len(found.kills)} faults so far, wrong: {found.wrong or 'nothing'}", flush=True
            )
    result = summary(options, found, calm_s)
    print(json.dumps({key: value for key, value in result.items() if key != "log"}, indent=1))
    if options.out:
        Path(options.out).write_text(json.dumps(result, indent=1) + "\n")
    return 0 if not found.wrong and len(found.kills) >= options.kills else 1


def summary(options: argparse.Namespace, found: Found, calm_s: float) -> dict[str, Any]:
    """Summarise faults by kind, seconds lost per kill, interrupted stages, and errors."""
    lost = sum(found.seconds) - calm_s * len(found.seconds)
    return {
        "study": options.study,
        "seed": options.seed,
        "kills": len(found.kills),
        "by_kind": dict(Counter(f"{kill.kind} {kill.signal}" for kill in found.kills)),
        "rounds": len(found.seconds),
        "undisturbed_s": round(calm_s),
        "seconds_lost_per_kill": round(lost / max(1, len(found.kills)), 1),
        "stages_interrupted": sum(len(kill.running) for kill in found.kills if kill.kind not in BESIDE),
        "wrong": found.wrong,
        "log": [asdict(kill) for kill in found.kills],
    }


class Round:
    """One study with its own home and MLflow server."""

    def __init__(
        self, home: Path, study: str, rng: random.Random, found: Found, number: int, kinds: Mapping[str, float]
    ) -> None:
        self.home, self.rng, self.found, self.number, self.kinds = home, rng, found, number, kinds
        home.mkdir()
        self.study = study.split()
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.server: subprocess.Popen[bytes] | None = None
        self.driver: subprocess.Popen[bytes] | None = None
        self.view: dict[str, Any] = {}  # params and metrics in MLflow at the end
        self.rebuilt: dict[str, Any] = {}  # the same in a new store
        self.full_until: float | None = None
        self.widowed: list[psutil.Process] = []  # child processes of ended drivers

    def run(self, kills: int) -> float:
        """Run the study to its end, with at most `kills` faults.

        Returns:
            The seconds that it took.
        """
        self._serve()
        started = time.monotonic()
        self._start("launch", *self.study)
        while True:
            pause = self.rng.uniform(*PAUSE_S) if kills else PATIENCE_S
            ended = self._ended(pause)
            if ended and not (self.home / "studies" / "s" / "study.json").exists():
                self._start("launch", *self.study)  # it was killed before the study was written
            elif ended and self._complete():
                break
            elif ended:
                self._start("resume", "s", "--checkpoint-every", "0.5")
            elif kills:
                kills -= self._fault(time.monotonic() - started)
            if self.full_until is not None and time.monotonic() > self.full_until:
                self._limit_files(resource.RLIM_INFINITY)
            if not self._server_lives() and self.rng.random() < 0.5:
                self._serve()
        return time.monotonic() - started

    def check(self) -> None:
        """Run all checks on a finished round, and note errors."""
        self._limit_files(resource.RLIM_INFINITY)
        if not self._server_lives():
            self._serve()
        wrong = [f"round {self.number}: {text}" for text in (*self._twice(), *self._left_in_optuna())]
        self._verb("sync", "s", "--mlflow-uri", self.uri)
        self.view, found = self._left_in_mlflow(self.uri)
        wrong += [f"round {self.number}: {text}" for text in found]
        fresh = f"sqlite:///{self.home / 'fresh.db'}"
        self._verb("sync", "s", "--mlflow-uri", fresh)
        self.rebuilt, _ = self._left_in_mlflow(fresh)
        if "Traceback" in (self.home / "driver.log").read_text():
            wrong.append(f"round {self.number}: a traceback in the driver's output")
        for process in psutil.wait_procs(self.widowed, timeout=GONE_S)[1]:
            wrong.append(f"round {self.number}: orphan {name_of(process)}")
            process.kill()
        self.found.wrong += wrong
        if self.server:
            stop(self.server)

    def scores(self) -> str:
        """Return all scores of the report, as text."""
        report = json.loads(self._verb("report", "s"))
        rows = {row["address"]: {n: t["languages"] for n, t in row["targets"].items()} for row in report["matrix"]}
        return json.dumps(rows, sort_keys=True)

    # --- what runs ---

    def _start(self, verb: str, *argv: str) -> None:
        if not self._server_lives():  # a launch asks for it at its start
            self._serve()
        command = [sys.executable, "-m", f"study.{verb}", *argv, "--home", str(self.home), "--mlflow-uri", self.uri]
        log = open(self.home / "driver.log", "ab")  # noqa: SIM115  the process keeps it
        self.driver = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        log.close()
        self.family: dict[int, psutil.Process] = {}
        self.moved = time.monotonic()

    def _serve(self) -> None:
        if self.server:  # nothing of the one before may hold the port
            stop(self.server)
        store = f"sqlite:///{self.home / 'mlflow.db'}"
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--artifacts-destination", str(self.home / "mlartifacts")]  # not the working directory
        log = open(self.home / "mlflow.log", "ab")  # noqa: SIM115
        quick = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven processes less
        self.server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=quick)
        log.close()
        until = time.monotonic() + GONE_S
        while time.monotonic() < until and self._server_lives():
            with suppress(OSError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            time.sleep(0.2)

    def _server_lives(self) -> bool:
        return self.server is not None and self.server.poll() is None

    def _ended(self, seconds: float) -> bool:
        """Wait this long for the driver; return whether it has ended."""
        assert self.driver is not None
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.driver.poll() is None:
            self._look()
            time.sleep(0.2)
        if self.driver.poll() is None:
            if time.monotonic() - self.moved > PATIENCE_S:
                self.found.wrong.append(f"round {self.number}: the driver hangs")
                stop(self.driver)
            return False
        self.widowed += self.family.values()
        return True

    def _look(self) -> None:
        """Note the driver's processes, and whether its files still change."""
        assert self.driver is not None
        try:
            for child in psutil.Process(self.driver.pid).children(recursive=True):
                self.family.setdefault(child.pid, child)
        except psutil.NoSuchProcess:
            return
        study = self.home / "studies" / "s"
        files = [study / "record.jsonl", *study.glob("progress/*.json"), *study.glob("stages-*.jsonl")]
        times = [path.stat().st_mtime for path in files if path.exists()]
        if times and time.time() - max(times) < 5:
            self.moved = time.monotonic()

    # --- faults ---

    def _fault(self, at: float) -> int:
        """Let one random fault happen.

        Returns:
            1, or 0 if there was nothing of the chosen kind to hit.
        """
        kind = self.rng.choices(list(self.kinds), list(self.kinds.values()))[0]
        running = self._running()
        does = {
            "syncs": self._sync_twice,
            "experiment": self._delete_experiment,
            "disk": self._fill_disk,
            "torn": self._tear,
            "moved": self._move,
        }
        what = does[kind]() if kind in does else self._kill(kind)
        if what:
            self.found.kills.append(Kill(self.number, round(at, 1), kind, what, running))
        return 1 if what else 0

    def _kill(self, kind: str) -> str:
        """Send a signal to a process, or to a group of them; return its name."""
        number = signal.SIGHUP if kind == "terminal" else self.rng.choice(SIGNALS)
        victims = self._victims(kind)
        if not victims:
            return ""
        try:
            if kind in ("mlflow", "terminal"):  # with all processes of the group
                os.killpg(victims[0], number)
            else:
                os.kill(self.rng.choice(victims), number)
        except ProcessLookupError:
            return ""
        return number.name

    def _sync_twice(self) -> str:
        if not (self.home / "studies" / "s" / "study.json").exists():
            return ""
        command = [sys.executable, "-m", "study.sync", "s", "--home", str(self.home), "--mlflow-uri", self.uri]
        both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in "ab"]
        said = [process.communicate()[1] for process in both]
        if any("Traceback" in text for text in said):
            self.found.wrong.append(f"round {self.number}: study.sync ends with a traceback: {said}")
        return "+".join(str(process.returncode) for process in both)

    def _delete_experiment(self) -> str:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):  # the server is down, or starts
            client = MlflowClient(self.uri)
            if self._server_lives() and (experiment := client.get_experiment_by_name("s")):
                client.delete_experiment(experiment.experiment_id)
                return "deleted"
        return ""

    def _fill_disk(self) -> str:
        database = self.home / "mlflow.db"
        if self.full_until is not None or not database.exists():
            return ""
        self._limit_files(database.stat().st_size)
        seconds = self.rng.uniform(*FULL_S)
        self.full_until = time.monotonic() + seconds
        return f"for {seconds:.0f} s"

    def _limit_files(self, size: int) -> None:
        """Limit the size of files that the MLflow server can write."""
        self.full_until = None
        if self.server and self._server_lives():
            with suppress(psutil.Error, ProcessLookupError):
                for pid in (
                    self.server.pid,
                    *(p.pid for p in psutil.Process(self.server.pid).children(recursive=True)),
                ):
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def _end_driver(self) -> None:
        """Kill the driver, and wait for its processes."""
        assert self.driver is not None
        self._look()
        stop(self.driver)
        for process in psutil.wait_procs(list(self.family.values()), timeout=GONE_S)[1]:
            self.found.wrong.append(f"round {self.number}: orphan {name_of(process)}")
            process.kill()

    def _tear(self) -> str:
        """Cut off the end of a file that Stepstone can rebuild."""
        study = self.home / "studies" / "s"
        files = [study / "mlflow.json", study / "optuna.journal", *sorted(self.home.glob("resampled/*.npy"))]
        files = [path for path in files if path.exists() and path.stat().st_size]
        if not files:
            return ""
        self._end_driver()
        path = self.rng.choice(files)
        size = path.stat().st_size
        last_line = len(path.read_bytes().splitlines()[-1]) if path.suffix == ".journal" else size
        os.truncate(path, size - last_line + last_line // 2)
        return path.name

    def _move(self) -> str:
        """Give the home another path, together with the store of its MLflow server."""
        if not (self.home / "studies" / "s" / "study.json").exists():
            return ""
        self._end_driver()
        if self.server:
            stop(self.server)
        to = self.home.with_name(f"{self.home.name}-moved")
        shutil.move(self.home, to)
        self.home = to
        self._serve()
        return to.name

    def _victims(self, kind: str) -> list[int]:
        assert self.driver is not None
        if kind in ("driver", "terminal"):
            return [self.driver.pid]
        if kind == "mlflow":
            return [self.server.pid] if self.server and self._server_lives() else []
        mark = "ray::ImplicitFunc" if kind == "worker" else "/raylet/raylet"
        return [pid for pid, process in self.family.items() if process.is_running() and mark in name_of(process)]

    def _running(self) -> list[str]:
        """List the labels of the running stages."""
        return [state.label for state in states(self.home / "studies" / "s").values()]

    # --- checks ---

    def _verb(self, verb: str, *argv: str) -> str:
        command = [sys.executable, "-m", f"study.{verb}", *argv, "--home", str(self.home), "--json"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def _complete(self) -> bool:
        (study,) = json.loads(self._verb("status", "s"))["studies"]
        return set(study["counts"]) == {"complete"} and study["counts"]["complete"] == self._rows()

    def _rows(self) -> int:
        command = [sys.executable, "-m", "study.launch", *self.study, "--home", str(self.home), "--dry-run", "--json"]
        return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["recipes"])

    def _twice(self) -> list[str]:
        logs = (self.home / "studies" / "s").glob("stages-*.jsonl")
        lines = [json.loads(line) for log in logs for line in log.read_text().splitlines() if line.strip()]
        counts = Counter(line["address"] for line in lines)
        return [f"stage {address[:12]} was finished {n} times" for address, n in counts.items() if n > 1]

    def _left_in_optuna(self) -> list[str]:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        journal = self.home / "studies" / "s" / "optuna.journal"
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
        trials = optuna.load_study(study_name="s", storage=storage).get_trials(deepcopy=False)
        running = sum(trial.state == optuna.trial.TrialState.RUNNING for trial in trials)
        completed = Counter(t.user_attrs.get("recipe") for t in trials if t.state == optuna.trial.TrialState.COMPLETE)
        wrong = [f"{n} trials of one recipe in Optuna" for n in completed.values() if n > 1]
        return wrong + ([f"{running} trials of Optuna are left running"] if running else [])

    def _left_in_mlflow(self, uri: str) -> tuple[dict[str, Any], list[str]]:
        """Return params and metrics of all runs in a store, and what is wrong with them."""
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("s")
        if experiment is None:
            return {}, ["MLflow has no experiment"]
        runs = client.search_runs([experiment.experiment_id])
        wrong = [f"run {run.info.run_name} is left running" for run in runs if run.info.status == "RUNNING"]
        keys = [run.data.tags.get("stepstone.recipe", "report") for run in runs]
        view = {key: (run.data.params, run.data.metrics) for key, run in zip(keys, runs, strict=True)}
        return view, wrong + [f"{n} runs of one recipe" for n in Counter(keys).values() if n > 1]


def name_of(process: psutil.Process) -> str:
    """Return the command line of a process; "" if it has ended."""
    try:
        return " ".join(" ".join(process.cmdline()).split())  # Ray pads the names of its processes
    except psutil.Error:
        return ""


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that was started here, and its whole session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """Find a free port."""
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return int(any_socket.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
