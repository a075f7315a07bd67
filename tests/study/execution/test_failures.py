"""A failing launch reports the cause first, ends early, and exits with 1.

A trial short of memory requests more of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.execution.driver import exit_status
from study.execution.monitor import MAX_ALIKE, MonitorCallbacks, TrialMonitor
from study.execution.trial import TrialJob, with_less_memory
from study.execution.trial_failure import DISK_FULL, STOPPED, TrialFailure
from study.planning.encoder_weights import resolve
from study.planning.plan import Planner
from study.record.record import Record
from study.store.store import Store
from tests import ROOT
from tests.builders import report_of, row_of
from trainables.recipe import Recipe
from trainables.sources import Source

BASE = Recipe(encoder="pocket", profile="small", targets=("tatoeba",))


class Ended:
    """A monitor of trials with prescribed ends; records its output."""

    def __init__(self, source: Source, home: Path) -> None:
        planner = Planner(source, resolve("pocket"))
        self.said: list[str] = []
        self.aborted: list[str] = []
        self.full: list[bool] = []
        self.record = Record(home, "s")
        self.record.folder.mkdir(parents=True)

        def job(recipe: Recipe) -> Any:
            return SimpleNamespace(plan=planner.plan(recipe, 1))

        callbacks = MonitorCallbacks(
            say=self.said.append, disk_full=lambda: self.full.append(True), abort=self.aborted.append
        )
        self.monitor = TrialMonitor(
            record=self.record, store=Store(home), job_of=job, budget=9, concurrent=2, callbacks=callbacks
        )

    def trial(self, epochs: float, failure: TrialFailure | None = None) -> None:
        """End one trial: failed for a reason, or complete.

        epochs 0 is the baseline.
        """
        recipe = replace(BASE, intermediate=("mnli",), epochs=epochs, lr=1e-4) if epochs else BASE
        self.monitor.start(recipe, {})
        result: dict[str, Any] = {"targets_done": 1, "score": 1.0}
        if failure:
            result = {"targets_done": 0, "score": float("nan"), "failed": failure}
        config = {"recipe": recipe.to_dict()}
        self.monitor.ended(SimpleNamespace(config=config, last_result=result, num_failures=0), "")


@pytest.fixture
def ended(source: Source, tmp_path: Path) -> Ended:
    return Ended(source, tmp_path)


def test_a_baseline_that_fails_ends_the_launch(ended: Ended) -> None:
    ended.trial(0.0, TrialFailure("DataError", "mlqa/ru/test row 3: no answer", ""))
    assert ended.aborted == ["DataError: mlqa/ru/test row 3: no answer"]


def test_one_reason_from_trial_after_trial_ends_the_launch(ended: Ended) -> None:
    for n in range(MAX_ALIKE - 1):
        ended.trial(1.0 + n, TrialFailure("OutOfMemory", f"tried to allocate {n} bytes", ""))
    assert not ended.aborted
    ended.trial(9.0, TrialFailure("OutOfMemory", "tried to allocate 77 bytes", ""))
    assert ended.aborted == ["OutOfMemory: tried to allocate 77 bytes"]


def test_other_reasons_and_trials_that_end_well_begin_a_new_count(ended: Ended) -> None:
    for epochs, reason in enumerate(["a", "a", "b", "a", "a", "", "a"], 1):
        ended.trial(float(epochs), TrialFailure("", reason, "") if reason else None)
    assert not ended.aborted


def test_a_trial_that_stops_or_finds_no_room_is_no_failure(ended: Ended) -> None:
    ended.trial(0.0, TrialFailure(STOPPED, "stopped cleanly before target xnli", "Trace"))
    ended.trial(1.0, TrialFailure(DISK_FULL, "stage 12 needs 9 bytes", "Trace"))
    stopped, full = ended.record.trials().values()
    assert (stopped.status, stopped.reason) == ("stopped", "stopped cleanly before target xnli")
    assert (full.status, full.reason, full.traceback) == ("stopped", "DiskFull: stage 12 needs 9 bytes", "Trace")
    assert ended.full == [True] and not ended.aborted


def test_a_process_that_is_lost_leaves_what_tune_says_of_it(ended: Ended) -> None:
    config = ended.monitor.start(BASE, {})
    ended.monitor.ended(SimpleNamespace(config=config, last_result=None, num_failures=1), "Trace\nActorDied: gone\n")
    (trial,) = ended.record.trials().values()
    assert (trial.status, trial.reason) == ("failed", "ActorDied: gone") and ended.aborted == ["ActorDied: gone"]


def test_less_memory_is_fewer_tokens_and_fewer_trials_beside_it() -> None:
    job = TrialJob(
        plan=None,  # type: ignore[arg-type]
        home="",
        source="pocket",
        log="",
        selection="english_dev",
        workers=1,
        gpu=False,
        cpus=1,
        memory=3_000_000_000,
    )
    once = with_less_memory(job, 20e9)
    assert (once.tokens_frac, once.memory) == (0.5, 6_000_000_000)
    twice = with_less_memory(once, 20e9)
    assert (twice.tokens_frac, twice.memory) == (0.25, 20_000_000_000), "all that a node has"
    for _ in range(3):
        twice = with_less_memory(twice, 20_000_000_000)
    assert twice.tokens_frac == 0.125, "fewer tokens would free next to nothing"
    assert with_less_memory(job, 4e9).memory == 4_000_000_000, "no more than a node has"
    assert with_less_memory(job, 0).memory == 6_000_000_000


@pytest.mark.parametrize(
    ("trials", "baseline", "status"),
    [
        ({"complete": 3}, "complete", 0),
        ({"complete": 3, "failed": 1}, "complete", 0),
        ({"complete": 2, "failed": 1}, "failed", 1),
        ({"failed": 2}, "failed", 1),
        ({"complete": 1, "stopped": 1}, "complete", 1),
        ({}, "missing", 0),
    ],
)
def test_exit_statuses(trials: dict[str, int], baseline: str, status: int) -> None:
    counts = dict.fromkeys(("complete", "pruned", "failed", "stopped", "running"), 0) | trials
    rows = [] if baseline == "missing" else [row_of(BASE, {}, status=baseline)]
    assert exit_status(report_of(rows, trials=counts)) == status


@pytest.mark.slow
def test_what_every_trial_would_fail_of_ends_the_launch_and_is_said_first(tmp_path: Path) -> None:
    (tmp_path / "encoded").write_text("a file in place of the folder of encoded rows")
    study = "--space intermediate_tasks --name s --targets panx --scale 0.05"
    command = [sys.executable, "-m", "study.launch", *study.split(), "--home", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    events = [json.loads(line) for line in (tmp_path / "studies/s/record.jsonl").read_text().splitlines()]
    failed = {e["address"] for e in events if e["event"] == "trial" and e["status"] == "failed"}
    assert 1 <= len(failed) <= MAX_ALIKE, "not all eleven rows"
    report = done.stdout.partition("\n\n")[2]
    assert report.startswith("failed: ") and "FileExistsError" in report and "Differences" not in report
    assert "stopping, since the other trials would fail as well" in done.stdout
