"""The record of a study: one spec, whole lines, last status wins, safe names."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from study.record.heartbeat import State, file_of, reconcile_status, states
from study.record.record import Record, Trial, studies
from study.spec.study_spec import IDENTITY, ResolvedSpec
from trainables.errors import BadInput
from trainables.recipe import Recipe

SETTINGS = ResolvedSpec(
    space="intermediate_tasks",
    source="pocket",
    encoder="pretrain:nano",
    profile="small",
    targets=("tatoeba", "xnli"),
    intermediate=("mnli", "squad"),
    mlm=True,
    seeds=2,
    scale=0.05,
    selection="english_dev",
    trials=0,
    grid=True,
)
BASELINE = Recipe(encoder="pretrain:nano", profile="small", targets=("tatoeba", "xnli"), scale=0.05)
SQUAD = replace(BASELINE, intermediate=("squad",), epochs=1.0, lr=5e-4)


def trial(recipe: Recipe = BASELINE, status: Any = "complete", **values: Any) -> Trial:
    known = {"evaluations": {"xnli": ["a" * 64]}, "params": {"use.squad": False}, "name": "a name", **values}
    return Trial(address=recipe.address, recipe=recipe, status=status, **known)


def opened(home: Path, name: str = "one") -> Record:
    record = Record(home, name)
    record.open(SETTINGS)
    return record


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, recipe=SQUAD.to_dict())], ids=["space", "recipe"])
def test_settings_come_back_as_they_were_given(tmp_path: Path, settings: ResolvedSpec) -> None:
    record = Record(tmp_path, "one")
    assert not record.exists
    record.check(settings)  # a new name is free
    assert not record.exists
    record.open(settings)
    assert Record(tmp_path, "one").settings == settings
    Record(tmp_path, "one").check(settings)
    assert studies(tmp_path) == ["one"]


@pytest.mark.parametrize("name", ["a", "intermediate_tasks-pocket-1.5", "0", "x" * 100])
def test_plain_names_are_taken(tmp_path: Path, name: str) -> None:
    assert opened(tmp_path, name).folder.parent == tmp_path / "studies"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc", "a\\b", ".hidden", "-json", "a b", "a\n", "a\x00", "ä", "x" * 101]
)
def test_names_that_lead_elsewhere_or_confuse_a_shell_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="study name"):
        Record(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_study_names_the_nearest(tmp_path: Path) -> None:
    opened(tmp_path, "first-study")
    with pytest.raises(BadInput, match="did you mean 'first-study'"):
        Record(tmp_path, "frst-study").settings  # noqa: B018


OTHER: dict[str, Any] = {
    "space": "other", "source": "mirror:/x", "encoder": "pocket", "profile": "phang2020", "targets": ("xnli",),
    "intermediate": ("mnli",), "mlm": False, "seeds": 3, "scale": 1.0, "recipe": SQUAD.to_dict(),
    "reading": {"layer": 3}, "objectives": {"align": [{"languages": ["de"]}]},
}  # fmt: skip


@pytest.mark.parametrize("field", IDENTITY)
def test_other_settings_under_the_same_name_are_refused_naming_the_field(tmp_path: Path, field: str) -> None:
    other = replace(SETTINGS, **{field: OTHER[field]})
    with pytest.raises(BadInput, match=f"exists with {field} = .*--name"):
        opened(tmp_path).check(other)
    assert other.default_name != SETTINGS.default_name


def test_a_study_may_be_launched_again_with_more_trials(tmp_path: Path) -> None:
    more = replace(SETTINGS, trials=40, grid=False)
    record = opened(tmp_path)
    record.check(more)
    record.open(more)
    assert record.settings == more and more.default_name == SETTINGS.default_name


@pytest.mark.parametrize(
    "encoder", ["/models/" + "x" * 200, "/models/模型", "pretrain:nano", "FacebookAI/xlm-roberta-base"]
)
def test_the_default_name_can_always_be_used(tmp_path: Path, encoder: str) -> None:
    settings = replace(SETTINGS, encoder=encoder, source="mirror:/data/ein Spiegel")
    assert Record(tmp_path, settings.default_name).name.startswith("intermediate_tasks-")


def test_the_last_word_on_a_trial_counts(tmp_path: Path) -> None:
    record = opened(tmp_path)
    record.add_trial(trial(status="running", evaluations={}))
    record.add_trial(trial(SQUAD, "running"))
    record.add_trial(trial(status="failed", reason="ValueError: no", traceback="Traceback ...\n  ü\n"))
    failed = Record(tmp_path, "one").trials()[BASELINE.address]
    assert (failed.status, failed.reason, failed.traceback) == ("failed", "ValueError: no", "Traceback ...\n  ü\n")
    record.add_trial(trial(seconds=1.5))
    found = Record(tmp_path, "one").trials()
    assert list(found) == [BASELINE.address, SQUAD.address]  # in the order they were first seen
    assert found[BASELINE.address] == trial(seconds=1.5) and found[SQUAD.address].status == "running"
    assert found[SQUAD.address].recipe == SQUAD


@pytest.mark.parametrize("keep", [1, 20, -1])
def test_a_half_written_line_is_skipped_and_does_not_spoil_the_next(tmp_path: Path, keep: int) -> None:
    record = opened(tmp_path)
    record.add_trial(trial())
    path = record.folder / "record.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:keep])  # a writer was killed inside its line
    assert list(record.trials()) == [BASELINE.address]
    record.add_trial(trial(SQUAD))
    assert list(record.trials()) == [BASELINE.address, SQUAD.address]
    path.write_bytes(b"\xff\xfe\n\x00\x00\n[1]\n" + path.read_bytes())  # a damaged disk block
    assert list(record.trials()) == [BASELINE.address, SQUAD.address]


def test_the_last_launch_that_ended_is_counted(tmp_path: Path) -> None:
    record = opened(tmp_path)
    assert record.last_launch() == {"run": 0, "reused": 0, "train_steps": 0}
    for steps in (70, 0):
        record.append("launch", {"run": 7, "reused": 2, "train_steps": steps})
    assert record.last_launch() == {"run": 7, "reused": 2, "train_steps": 0}


def _append(home: str, writer: int) -> None:
    record = Record(Path(home), "one")
    for number in range(20):
        record.append("note", {"writer": writer, "number": number, "text": "x" * 20_000})


def test_lines_of_concurrent_writers_stay_whole(tmp_path: Path) -> None:
    record = opened(tmp_path)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(str(tmp_path), n)) for n in range(3)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    found = list(record.events("note"))
    assert len(found) == len((record.folder / "record.jsonl").read_text().splitlines()) == 60
    for writer in range(3):
        assert [e["number"] for e in found if e["writer"] == writer] == list(range(20))


def test_settings_are_replaced_whole(tmp_path: Path) -> None:
    record = opened(tmp_path)
    record.open(replace(SETTINGS, trials=5))
    assert [p.name for p in record.folder.iterdir()] == ["study.json"]
    assert asdict(record.settings) == asdict(replace(SETTINGS, trials=5))


def test_a_spec_that_cannot_be_read_says_why_and_what_to_do(tmp_path: Path) -> None:
    path = opened(tmp_path).folder / "study.json"
    values = json.loads(path.read_text())
    for content, words in {
        "": "study.json is empty: restore it, or remove it and launch the study again",
        '{"space": "in': "study.json is damaged (",
        json.dumps(values | {"seeds": "two"}): "study.json: seeds must be a number",
        json.dumps(values | {"fresh": 1, "version": "99.0"}): "made by a newer Stepstone (99.0); this is ",
        "[" * 100_000: "study.json is damaged (nested too deeply)",
    }.items():
        path.write_text(content)
        with pytest.raises(BadInput, match=re.escape(words)):
            Record(tmp_path, "one").settings  # noqa: B018
    del values["version"]  # as older versions wrote it
    path.write_text(json.dumps(values))
    assert Record(tmp_path, "one").settings == SETTINGS


@pytest.mark.parametrize(
    "change", [{"status": "bomplete"}, {"address": "0" * 64}, {"seconds": "9"}, {"evaluations": []}, {"fresh": 1}]
)
def test_an_event_that_is_not_valid_is_named_and_never_skipped(tmp_path: Path, change: dict[str, Any]) -> None:
    record = opened(tmp_path)
    record.append("trial", {**asdict(trial()), "recipe": BASELINE.to_dict(), **change})
    with pytest.raises(BadInput, match="record.jsonl: event 1 of a trial is not valid"):
        record.trials()


def test_a_damaged_study_hides_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from study.status import main

    for name in ("a", "b", "c"):
        opened(tmp_path, name)
    (tmp_path / "studies" / "b" / "study.json").write_text("")
    assert main(["--home", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [study["study"] for study in said["studies"]] == ["a", "c"]
    assert [study["study"] for study in said["unreadable"]] == ["b"] and "empty" in said["unreadable"][0]["error"]


def test_a_damaged_list_of_runs_counts_as_none(tmp_path: Path) -> None:
    record = opened(tmp_path)
    record.keep_mlflow_runs({"a": "run"})
    assert record.mlflow_runs() == {"a": "run"}
    for content in ("", '{"a": 1}', "[]", "{"):
        (record.folder / "mlflow.json").write_text(content)
        assert record.mlflow_runs() == {}


def test_a_home_that_is_only_looked_at_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from study.status import main

    assert main(["--home", str(tmp_path / "typo")]) == 0
    assert "which does not exist" in capsys.readouterr().out and list(tmp_path.iterdir()) == []


def test_a_trial_whose_clock_was_ahead_is_not_shown_as_running(tmp_path: Path) -> None:
    record = opened(tmp_path)
    ahead = time.time() + 3 * 3600
    record.add_trial(trial(status="running", at=ahead))
    progress = file_of(record.folder, BASELINE.address)
    progress.parent.mkdir()
    state = State(
        label="x", seed=0, stage=1, stages=1, step=0, steps=0, tokens_per_s=None, left_s=None, started=0, updated=ahead
    )
    progress.write_text(json.dumps(asdict(state)))
    assert reconcile_status(record.trials(), record.folder)[BASELINE.address].status == "running"
    for path in (progress, record.folder / "record.jsonl"):
        os.utime(path, (ahead, ahead))  # its machine's clock also set the files' times
    assert states(record.folder) == {}
    assert reconcile_status(record.trials(), record.folder)[BASELINE.address].status == "stopped"
