"""Progress of running trials: heartbeat file, terminal table, log lines."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from study import status
from study.execution.live_display import LastingStream, View, clock, line, live_display, table
from study.execution.monitor import MonitorCallbacks, TrialMonitor
from study.execution.trial import TrialJob, run_stages
from study.execution.trial_failure import TrialFailure
from study.planning.plan import Plan, Planner
from study.record import heartbeat as beat
from study.record.heartbeat import Heartbeat, State, file_of, mean_seconds, remove_stale, remove_state, states
from study.record.record import Record
from study.spec.study_spec import ResolvedSpec
from study.store.store import Store
from tests.small import small_source
from trainables.recipe import Recipe

RECIPE = Recipe(encoder="pretrain:nano", profile="small", targets=("tatoeba", "xnli"), scale=0.01)
LONG = "[red]SQuAD[/] + MNLI + CosmosQA + HellaSwag + Commonsense QA + CCG + MLM 0.25 (K=8192)"


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Make a plan: pretrain, evaluate tatoeba, target xnli, evaluate xnli."""
    return Planner(small_source(), None).plan(RECIPE, 1)


class Hands:
    """A manual clock."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


def state(**changed: Any) -> State:
    values = {"label": "target xnli", "seed": 0, "stage": 3, "stages": 4, "step": 50, "steps": 400}
    values |= {"tokens_per_s": 12345.6, "left_s": 3723.0, "started": time.time() - 60, "updated": time.time()}
    return State(**{**values, **changed})


def put(study: Path, address: str, state: State) -> Path:
    path = file_of(study, address)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(state.__dict__))
    return path


def test_rates_and_the_time_left_come_from_what_was_timed(tmp_path: Path, plan: Plan, hands: Hands) -> None:
    log = tmp_path / "stages.jsonl"
    told = Heartbeat(tmp_path / "file.json", plan.nodes, log, hands)
    told.enter(plan.nodes[0])
    begun = told.state()
    assert (begun.label, begun.stage, begun.stages) == ("pretrain", 1, len(plan.nodes))
    assert (begun.step, begun.steps, begun.tokens_per_s, begun.left_s) == (0, 0, None, None)
    hands.now += 30  # loading and encoding, not part of the rate
    told.on_progress(0, 400, float("nan"), 0)
    hands.now += 10
    told.on_progress(100, 400, 2.5, 50_000)
    assert told.state().tokens_per_s == 5000
    assert told.state().left_s is None, "the stages to come were never timed"
    labels = [node.label for node in plan.nodes]
    with open(log, "w") as file:
        for label in [*labels, *labels]:
            file.write(json.dumps({"label": label, "seconds": 20 if file.tell() else 10}) + "\n")
        file.write('{"label": "pretr')
    assert mean_seconds(log) == {label: (15 if label == "pretrain" else 20) for label in labels}
    told.enter(plan.nodes[1])
    hands.now += 5
    assert told.state().left_s == (20 - 5) + 2 * 20, "before its first step a stage takes what it took before"
    hands.now += 100
    assert told.state().left_s == 2 * 20
    told.on_progress(0, 4, float("nan"), 0)
    hands.now += 6
    told.on_progress(2, 4, float("nan"), 0)
    hands.now += 1
    assert told.state().left_s == (6 - 1) + 2 * 20 and told.state().tokens_per_s is None


def test_the_file_is_fresh_while_the_trial_runs_and_gone_afterwards(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat, "EVERY_S", 0.01)
    with suppress(ZeroDivisionError), Heartbeat(file_of(tmp_path, "a"), plan.nodes, tmp_path / "log") as told:
        told.enter(plan.nodes[2])
        told.on_progress(25, 100, 1.0, 999)
        found = wait_for(lambda: [s for s in states(tmp_path).values() if s.step])
        assert (found[0].label, found[0].step, found[0].steps) == (plan.nodes[2].label, 25, 100)
        later = wait_for(lambda: [s for s in states(tmp_path).values() if s.updated > found[0].updated])
        assert later, "a stage that says nothing for long is alive all the same"
        raise ZeroDivisionError
    assert list((tmp_path / "progress").iterdir()) == []


def wait_for(look: Any) -> Any:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("nothing was written")


def test_a_home_that_takes_no_file_stops_no_trial(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "progress").write_text("a file where the folder should be")
    with Heartbeat(file_of(tmp_path, "a"), plan.nodes, tmp_path / "log") as told:
        told.enter(plan.nodes[0])
    assert states(tmp_path) == {}
    remove_state(tmp_path, "a")
    remove_stale(tmp_path)


def test_what_killed_processes_left_is_ignored_and_cleaned_up(tmp_path: Path) -> None:
    import os

    put(tmp_path, "young", state(started=2.0))
    put(tmp_path, "first", state(started=1.0))
    old = put(tmp_path, "old", state(updated=time.time() - 61))
    os.utime(old, (time.time() - 61,) * 2)
    (tmp_path / "progress" / "half.json").write_text('{"label": "pre')
    (tmp_path / "progress" / "other.json").write_text('{"of": "another version"}')
    assert list(states(tmp_path)) == ["first", "young"]
    remove_stale(tmp_path)
    assert not old.exists() and list(states(tmp_path)) == ["first", "young"]
    remove_state(tmp_path, "first")
    remove_state(tmp_path, "first")
    assert list(states(tmp_path)) == ["young"]


def screen(trials: Any, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table(trials))
    return str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_trial_is_one_line_at_any_width(width: int) -> None:
    longest = state(label="target commonsense_qa", seed=2, stage=10, stages=12, step=12345, steps=67890)
    drawn = screen([(LONG, longest), ("MNLI\n2", "starting")], width)
    assert len(drawn) == 4 and all(len(row) <= width for row in drawn)
    assert drawn[2].startswith("[red]SQuAD[") and ("…" in drawn[2]) == (width < 160)
    assert drawn[2].split()[-3:] == ["12345/67890", "12,346", "1:02:03"], "numbers are never cut"
    assert drawn[3].split() == ["MNLI", "2", "starting", "-", "-", "-"]


def test_durations_read_like_clocks() -> None:
    assert [clock(s) for s in (None, 0.2, 59.6, 61, 3599.7)] == ["-", "0:00", "1:00", "1:01", "1:00:00"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


VIEW = View("1 of 3 trials ended, 1 running, ETA 0:41", [("SQuAD", state())])


def test_a_terminal_shows_the_table_and_takes_it_away_again() -> None:
    console = Console(file=Terminal(), force_terminal=True, width=80, highlight=False, _environ={"TERM": "xterm"})
    before = sys.stdout, sys.stderr
    with suppress(KeyboardInterrupt), live_display(console, lambda: VIEW):
        wait_for(lambda: "12,346" in console.file.getvalue())  # type: ignore[attr-defined]
        console.print("[1/3] MNLI  complete", markup=False)
        raise KeyboardInterrupt
    assert (sys.stdout, sys.stderr) == before
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert VIEW.summary in written and written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1
    assert remaining(written) == ["[1/3] MNLI  complete"]


def remaining(written: str) -> list[str]:
    """Return what stays on a terminal.

    It emulates only the control codes that rich writes.
    """
    import re

    lines, at = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", written):
        if part == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b"):
            at -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            lines[at] = ""
        elif not part.startswith("\x1b") and part != "\r":
            lines[at] += part
    return [text for text in lines if text.strip()]


@pytest.mark.parametrize(("file", "plain"), [(io.StringIO, False), (Terminal, True)])
def test_a_file_gets_plain_lines_and_no_table(file: type[io.StringIO], plain: bool) -> None:
    # FORCE_COLOR makes rich take a file for a terminal
    console = Console(file=file(), force_terminal=True, width=20, highlight=False, _environ={"TERM": "xterm"})
    with live_display(console, lambda: VIEW, plain=plain, every_s=0.01):
        wait_for(lambda: console.file.getvalue().count("\n") > 1)  # type: ignore[attr-defined]
    first = console.file.getvalue().splitlines()[0]  # type: ignore[attr-defined]
    assert first == f"{VIEW.summary}; SQuAD: 3/4 target xnli, step 50/400"
    with live_display(console, lambda: pytest.fail("a launch of seconds needs no line"), plain=plain):
        pass


def test_a_trial_or_stage_that_has_not_begun_has_no_step() -> None:
    view = View("0 of 2 trials ended", [("[b]MNLI", "starting"), ("CCG", state(steps=0))])
    assert line(view) == "0 of 2 trials ended; [b]MNLI: starting; CCG: 3/4 target xnli"


@pytest.fixture
def record(tmp_path: Path) -> Record:
    made = Record(tmp_path, "mine")
    made.open(
        ResolvedSpec(
            space="intermediate_tasks",
            source="pocket",
            encoder="pretrain:nano",
            profile="small",
            targets=RECIPE.targets,
            intermediate=("mnli",),
            mlm=False,
            seeds=1,
            scale=0.01,
            selection="english_dev",
            trials=0,
            grid=True,
        )
    )
    return made


class Ended:
    """A Tune trial as callbacks receive it."""

    def __init__(self, config: dict[str, Any], **result: Any) -> None:
        self.config, self.last_result, self.num_failures = config, result, 0


@pytest.fixture
def progress(tmp_path: Path, record: Record, plan: Plan) -> TrialMonitor:
    def job(recipe: Recipe) -> TrialJob:
        return TrialJob(plan, str(tmp_path), "pocket", "", "english_dev", workers=1, gpu=False, cpus=1)

    return TrialMonitor(
        record=record, store=Store(tmp_path), job_of=job, budget=5, concurrent=2, callbacks=MonitorCallbacks()
    )


@pytest.fixture
def others() -> Iterator[Recipe]:
    return (
        Recipe(**{**RECIPE.__dict__, "intermediate": ("mnli",), "lr": 1e-5, "epochs": float(n)}) for n in range(1, 9)
    )


def test_the_time_to_the_end_of_a_study(progress: TrialMonitor, others: Iterator[Recipe]) -> None:
    assert progress.view().summary == "0 of 5 trials ended, 0 running, ETA -"
    first, second, third = next(others), next(others), next(others)
    config = progress.start(first, {})
    progress.start(second, {})
    assert progress.view().summary == "0 of 5 trials ended, 2 running, ETA -"
    progress.started[first.address] -= 100
    progress.ended(Ended(config, score=1.0, targets_done=2), "")
    progress.started[second.address] -= 40
    progress.start(third, {})
    # 60 + 100 s of the running ones and 2 times 100 s, two at once
    assert progress.view().summary == "1 of 5 trials ended, 2 running, ETA 3:00"
    progress.started[second.address] -= 900
    # a trial that takes longer than those before it may end at any moment, and suggests that others may take longer:
    # of 520 s each, 520 s of the one that just began and two more
    assert progress.view().summary.endswith("ETA 13:00")


def test_a_failed_trial_tells_nothing_about_time_and_leaves_no_row(
    progress: TrialMonitor, record: Record, others: Iterator[Recipe]
) -> None:
    recipe = next(others)
    config = progress.start(recipe, {})
    assert progress.view().trials == [("MNLI (lr 1e-05)", "starting")]
    path = put(record.folder, recipe.address, state())
    assert progress.view().trials[0][1] == State(**json.loads(path.read_text()))
    path.rename(path.with_suffix(".away"))  # its worker has finished, but the launch has no report of it yet
    assert progress.view().trials == [("MNLI (lr 1e-05)", "ending")]
    path.with_suffix(".away").rename(path)
    progress.ended(Ended(config, failed=TrialFailure("OutOfMemory", "no", "")), "")
    assert progress.view() == View("1 of 5 trials ended, 0 running, ETA -", [])
    assert not path.exists()


def test_status_shows_the_trials_that_run_now(
    progress: TrialMonitor, record: Record, others: Iterator[Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, ended = next(others), next(others)
    progress.start(runs, {})
    progress.ended(Ended(progress.start(ended, {}), score=1.0, targets_done=2), "")
    put(record.folder, ended.address, state(label="target panx"))
    at_rest = show(tmp_path, capsys)
    assert "tokens/s" not in at_rest
    put(record.folder, runs.address, state())
    shown_now = show(tmp_path, capsys)
    assert shown_now.startswith(at_rest.rstrip("\n")) and "target xnli" in shown_now and "panx" not in shown_now
    (found,) = json.loads(show(tmp_path, capsys, "--json"))["studies"]
    (row,) = found["progress"]
    assert (row["address"], row["label"], row["step"]) == (runs.address, "target xnli", 50)


def show(home: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert status.main(["mine", "--home", str(home), *more]) == 0
    return capsys.readouterr().out


def test_a_trial_tells_its_stages_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real stages of a small recipe.

    Every heartbeat state is recorded at once instead of at intervals.
    """
    heard: list[State] = []
    on_progress = Heartbeat.on_progress

    def record_progress(self: Heartbeat, *look: Any) -> None:
        on_progress(self, *look)
        assert self.path == tmp_path / "progress" / f"{RECIPE.address}.json"
        heard.append(self.state())

    monkeypatch.setattr(Heartbeat, "on_progress", record_progress)
    monkeypatch.setattr("trainables.sources.open_source", lambda spec: small_source())
    plan = Planner(small_source(), None).plan(RECIPE, 1)
    job = TrialJob(plan, str(tmp_path), "pocket", str(tmp_path / "log"), "english_dev", workers=1, gpu=False, cpus=1)
    run_stages(job, lambda result: None)
    assert list(dict.fromkeys((s.stage, s.label) for s in heard)) == [
        (number, node.label) for number, node in enumerate(plan.nodes, 1)
    ]
    for node in plan.nodes:
        own = [s for s in heard if s.label == node.label]
        assert own[0].step == 0 and own[-1].step == own[-1].steps > 0 and own[-1].stages == len(plan.nodes)
        assert (own[-1].tokens_per_s or 0) > 0 or node.label.startswith("evaluate")
    assert heard[-1].left_s == 0
    assert set(mean_seconds(tmp_path / "log")) == {node.label for node in plan.nodes}
    assert list((tmp_path / "progress").iterdir()) == []
    monkeypatch.setattr(Heartbeat, "__init__", lambda *_: pytest.fail("nothing is left to run"))
    run_stages(job, lambda result: None)


def test_a_reader_that_is_gone_ends_no_study() -> None:
    read, write = os.pipe()
    with open(write, "w") as stream:
        lasting: Any = LastingStream(stream)
        console = Console(file=lasting)
        console.print("one")
        assert os.read(read, 100) == b"one\n"
        os.close(read)  # as `| head` does
        console.print("two")
        print("three", file=stream)  # what others write does not fail either, nor the flush at the end


def test_a_full_disk_under_the_output_drops_lines_until_there_is_room() -> None:
    with open("/dev/full", "w") as stream:
        lasting: Any = LastingStream(stream)
        Console(file=lasting).print("one")
        with open(os.devnull, "w") as room:
            os.dup2(room.fileno(), stream.fileno())
