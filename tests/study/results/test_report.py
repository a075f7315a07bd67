"""Reports of hand-written stages, so that every number can be derived here."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study import report as verb
from study.cli_parser import run_verb
from study.execution.driver import StudyDriver
from study.record.record import Record, Trial
from study.results.report import Report, ReportRow
from study.results.transfer_matrix import build
from study.results.writers import write_report
from study.spec.recipe_file import read_recipe
from study.spec.study_spec import ResolvedSpec, RunOptions
from study.store.store import Store
from tests import ROOT
from trainables.catalogue import TITLES
from trainables.errors import BadInput
from trainables.recipe import Recipe, digest, title

CHECKS = ROOT.parent / "shared" / "checks"
TARGETS = ("tatoeba", "panx", "xquad", "xnli")
LANGUAGES = {"tatoeba": ("de", "hi"), "panx": ("en", "hi"), "xquad": ("en", "de"), "xnli": ("en", "de", "hi")}
ROWS = 40
SETTINGS = ResolvedSpec(
    space="intermediate_tasks", source="pocket", encoder="pretrain:nano", profile="small", targets=TARGETS,
    intermediate=("mnli", "squad"), mlm=False, seeds=2, scale=0.5, selection="english_dev", trials=0, grid=True,
)  # fmt: skip
BASE = Recipe(encoder="pretrain:nano", profile="small", targets=TARGETS, scale=0.5)
MNLI = replace(BASE, intermediate=("mnli",), epochs=1.0, lr=2e-4)
SQUAD = replace(BASE, intermediate=("squad",), epochs=1.0, lr=2e-4)
BOTH = replace(SQUAD, intermediate=("mnli", "squad"), mixing_limit=2**13)
BROKEN = replace(SQUAD, lr=0.01)
# Examples (of 40) that a recipe gets right in English with seed 0, and its English dev score: MNLI is better in the
# reported scores, SQuAD in the selection score.
RIGHT = {BASE.address: 14, MNLI.address: 24, SQUAD.address: 19, BOTH.address: 16}
DEV = {BASE.address: 50.0, MNLI.address: 55.0, SQUAD.address: 58.0, BOTH.address: 51.0}


def right(recipe: Recipe, target: str, place: int, seed: int) -> int:
    """Count the right examples of the language at `place`.

    Languages other than English have a few fewer.
    """
    return RIGHT[recipe.address] + TARGETS.index(target) - 3 * place + seed


def columns(target: str, k: int) -> dict[str, np.ndarray]:
    """Make per-example scores with the first k examples right."""
    good = (np.arange(ROWS) < k).astype(np.int64)
    if target == "xquad":
        return {"f1": 0.2 + 0.8 * good, "exact_match": good.astype(np.float64)}
    if target == "panx":
        return {"tp": good, "predicted": np.ones(ROWS, np.int64), "gold": 2 - good}
    return {"correct": good}


def metrics(target: str, k: int) -> dict[str, float]:
    """Compute the same scores by hand."""
    if target == "xquad":
        return {"f1": 100 * (0.2 * ROWS + 0.8 * k) / ROWS, "exact_match": 100 * k / ROWS}
    if target == "panx":
        return {"f1": 100 * 2 * k / (ROWS + (2 * ROWS - k))}
    return {"accuracy": 100 * k / ROWS}


def mean(recipe: Recipe, target: str) -> float:
    """Compute the target's mean over languages and seeds.

    For question answering it is the mean of both metrics.
    """
    found = [
        np.mean(list(metrics(target, right(recipe, target, place, seed)).values()))
        for place in range(len(LANGUAGES[target]))
        for seed in range(2)
    ]
    return float(np.mean(found))


def publish(store: Store, address: str, info: dict[str, Any], files: dict[str, Any]) -> str:
    with store.claim(address) as work:
        if work is not None:
            for name, content in files.items():
                if isinstance(content, pa.Table):
                    pq.write_table(content, work / name)
                else:
                    (work / name).write_text(json.dumps(content))
            store.publish(address, work, info)
    return address


def evaluate(store: Store, recipe: Recipe, target: str, seed: int) -> str:
    """Publish the scores of one recipe on one target with one seed.

    Also publishes the stage that they start from.
    """
    trained = digest(["trained", recipe.address, target, seed])
    history = {"losses": [3.0, 2.0, 1.5, 1.25], "dev": [[2, 40.0], [4, 45.0]]}
    publish(store, trained, {"kind": "target", "label": f"target {target}", "parent": ""}, {"history.json": history})
    counts = {tag: right(recipe, target, place, seed) for place, tag in enumerate(LANGUAGES[target])}
    ids = [str(n) for n in range(ROWS)]
    tables = [pa.table({"language": [tag] * ROWS, "id": ids, **columns(target, k)}) for tag, k in counts.items()]
    found = {
        "languages": {tag: metrics(target, k) for tag, k in counts.items()},
        "examples": dict.fromkeys(counts, ROWS),
        "splits": dict.fromkeys(counts, "test"),
        "selection": None if target == "tatoeba" else DEV[recipe.address] + seed,
    }
    info = {"kind": "evaluate", "label": f"evaluate {target}", "parent": trained}
    files = {"metrics.json": found, "scores.parquet": pa.concat_tables(tables)}
    return publish(store, digest(["scored", recipe.address, target, seed]), info, files)


def add(record: Record, store: Store, recipe: Recipe, status: Any = "complete", targets: int = 4, **more: Any) -> Trial:
    scored = {t: [evaluate(store, recipe, t, seed) for seed in range(2)] for t in TARGETS[:targets]}
    known = {"name": title(recipe, TITLES), "params": {}, **more}
    trial = Trial(address=recipe.address, recipe=recipe, status=status, evaluations=scored, **known)
    record.add_trial(trial)
    return trial


Home = tuple[Record, Store]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Make a study with five trials.

    A baseline, two recipes, one that was stopped after two targets and one that failed at once.
    """
    return make(tmp_path_factory.mktemp("home"))


def make(folder: Path, settings: ResolvedSpec = SETTINGS) -> Home:
    record, store = Record(folder, "by-hand"), Store(folder)
    record.open(settings)
    add(record, store, MNLI)  # the order in which they ended
    add(record, store, BASE)
    add(record, store, SQUAD)
    add(record, store, BOTH, "pruned", targets=2, reason="stopped after 2 of 4 targets")
    add(record, store, BROKEN, "failed", targets=0, reason="FloatingPointError: loss is nan", traceback="Trace\n  back")
    record.append("launch", {"run": 9, "reused": 3, "train_steps": 120})
    return record, store


@pytest.fixture(scope="module")
def report(home: Home) -> dict[str, Any]:
    """Read the report as other tools do."""
    return build(*home).to_dict()


def row_of(found: Report, recipe: Recipe) -> ReportRow:
    (one,) = [r for r in found.matrix if r.address == recipe.address]
    return one


def row(report: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    (found,) = [r for r in report["matrix"] if r["address"] == recipe.address]
    return dict(found)


def test_the_matrix_holds_the_means_over_languages_and_seeds(report: dict[str, Any]) -> None:
    assert report["matrix"][0] == report["baseline"] == row(report, BASE)
    for recipe in (BASE, MNLI, SQUAD):
        found = row(report, recipe)
        assert found["status"] == "complete" and found["seeds"] == [0, 1] and found["recipe"] == recipe.to_dict()
        for target in TARGETS:
            cell = found["targets"][target]
            assert cell["mean"] == pytest.approx(mean(recipe, target))
            for place, tag in enumerate(LANGUAGES[target]):
                ks = [right(recipe, target, place, seed) for seed in range(2)]
                for metric, value in cell["languages"][tag].items():
                    assert value == pytest.approx(np.mean([metrics(target, k)[metric] for k in ks]))
        assert found["average"] == pytest.approx(np.mean([mean(recipe, t) for t in TARGETS]))


def test_gains_are_differences_from_the_baseline_on_the_same_seeds(report: dict[str, Any]) -> None:
    for recipe in (MNLI, SQUAD):
        found = row(report, recipe)
        for target, cell in found["targets"].items():
            gain = mean(recipe, target) - mean(BASE, target)
            assert cell["gain"] == pytest.approx(gain)
            assert 0 < cell["interval"][0] < gain < cell["interval"][1]
        assert found["gain"] == pytest.approx(found["average"] - report["baseline"]["average"])
        assert found["interval"][0] < found["gain"] < found["interval"][1]
    base = report["baseline"]
    assert base["gain"] == 0 and base["interval"] is None
    assert {(cell["gain"], cell["interval"]) for cell in base["targets"].values()} == {(0, None)}


def test_the_best_recipe_is_chosen_by_english_dev_scores_and_not_by_what_is_reported(report: dict[str, Any]) -> None:
    assert row(report, MNLI)["gain"] > row(report, SQUAD)["gain"]
    assert (row(report, MNLI)["selection"], row(report, SQUAD)["selection"]) == (5.0, 8.0)
    assert report["best"]["address"] == SQUAD.address and report["best"]["name"] == "SQuAD"
    assert report["best"]["gain"] == row(report, SQUAD)["gain"]
    gain = row(report, SQUAD)["gain"]
    assert report["headline"].startswith("Pocket data: SQuAD first")
    assert f"{gain:+.1f} points on average over 4 targets" in report["headline"] and "2 seeds" in report["headline"]


def test_stopped_and_failed_trials_are_listed_with_what_they_have(report: dict[str, Any]) -> None:
    assert report["trials"] == {"complete": 3, "pruned": 1, "failed": 1, "stopped": 0, "running": 0}
    pruned = row(report, BOTH)
    assert pruned["status"] == "pruned" and list(pruned["targets"]) == list(TARGETS[:2])
    assert pruned["average"] is pruned["gain"] is pruned["interval"] is pruned["selection"] is None
    assert pruned["targets"]["panx"]["gain"] == pytest.approx(mean(BOTH, "panx") - mean(BASE, "panx"))
    assert row(report, BROKEN)["targets"] == {}
    (failure,) = report["failures"]
    assert failure == {
        "name": title(BROKEN, TITLES), "address": BROKEN.address, "reason": "FloatingPointError: loss is nan",
        "traceback": "Trace\n  back",
    }  # fmt: skip


def test_the_object_has_what_other_tools_rely_on(report: dict[str, Any]) -> None:
    wanted = (
        "study",
        "space",
        "source",
        "encoder",
        "seeds",
        "selection",
        "trials",
        "stages",
        "baseline",
        "matrix",
        "best",
    )
    assert set(wanted) <= report.keys()
    assert report["stages"] == {"run": 9, "reused": 3, "train_steps": 120}
    assert (report["study"], report["selection"], report["pocket"]) == ("by-hand", "english_dev", True)
    for found in (report["baseline"], *report["matrix"]):
        assert {"name", "recipe", "status", "average", "gain", "targets"} <= found.keys()
        for cell in found["targets"].values():
            assert {"mean", "gain", "languages"} <= cell.keys()
    assert {"name", "recipe", "gain", "address"} <= report["best"].keys()
    assert {"part": "intermediate squad", "name": "batch", "value": 32, "origin": "small"} in report["numbers"]
    assert [t["name"] for t in report["targets"]] == list(TARGETS)
    assert list(report["languages"]) == ["en", "de", "hi"]
    assert report["languages"]["hi"]["name"] == "Hindi" and report["languages"]["hi"]["script"] == "Devanagari"
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_learning_curves_are_those_of_the_stages_behind_the_scores(report: dict[str, Any]) -> None:
    curves = report["baseline"]["curves"]
    assert set(curves) == {f"target {t}" for t in TARGETS}
    assert curves["target xnli"] == {
        "step": [1, 2, 3, 4], "loss": [3.0, 2.0, 1.5, 1.25], "dev": [[2, 40.0], [4, 45.0]]
    }  # fmt: skip


def run(record: Record, *options: str) -> int:
    return verb.main([record.name, "--home", str(record.home), *options])


def test_the_verb_prints_the_same_object(
    home: Home, report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home[0], "--json", "--out", str(tmp_path / "new" / "folder")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {**printed, "created": None} == {**report, "created": None}
    assert json.loads((tmp_path / "new/folder/report.json").read_text()) == printed
    if not (CHECKS / "report_check.py").exists():
        pytest.skip("no checks beside the checkout")
    (tmp_path / "printed").write_text(json.dumps(printed))
    command = [sys.executable, str(CHECKS / "report_check.py"), "shape", str(tmp_path / "printed"), "3", "4", "2"]
    assert subprocess.run(command, check=False).returncode == 0


def test_the_files_say_the_same(home: Home, report: dict[str, Any], tmp_path: Path) -> None:
    assert run(home[0], "--out", str(tmp_path)) == 0
    names = {"report.json", "report.md", "matrix.csv", "matrix.svg", "index.html", "best.toml"}
    assert {p.name for p in tmp_path.iterdir()} == names
    with open(tmp_path / "matrix.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 3 * (2 + 2 + 2 * 2 + 3) + (2 + 2)
    for line in lines:
        cell = next(r for r in report["matrix"] if r["address"] == line["address"])["targets"][line["target"]]
        value = cell["languages"][line["language"]][line["metric"]]
        base = report["baseline"]["targets"][line["target"]]["languages"][line["language"]][line["metric"]]
        assert (float(line["value"]), float(line["difference"])) == pytest.approx((value, value - base))
    page, text = (tmp_path / "index.html").read_text(), (tmp_path / "report.md").read_text()
    for name in [r["name"] for r in report["matrix"]]:
        assert name in page and f"| {name} |" in text
    assert report["headline"] in text and "loss is nan" in text and "loss is nan" in page
    ElementTree.parse(tmp_path / "matrix.svg")


def test_the_best_recipe_can_be_run_again_from_its_file(home: Home) -> None:
    record, _ = home
    found = write_report(*home).best
    path = record.folder / "report" / "best.toml"
    assert found is not None and found.command == f"python -m study.launch --recipe {path} --home {record.home}"
    assert path.read_text() == found.toml
    recipe, study = read_recipe(str(path))
    assert recipe == SQUAD and recipe.address == found.address
    assert study == {"space": "intermediate_tasks", "source": "pocket", "seeds": 2}


def test_the_terminal_shows_the_answer_and_every_language_on_request(
    home: Home, report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home[0]) == 0
    short = capsys.readouterr().out
    assert report["headline"] in short and "no intermediate task" in short and "[failed]" in short
    assert "XNLI by language" not in short
    assert run(home[0], "--languages") == 0
    every = capsys.readouterr().out
    assert all(f"{t['title']} by language" in every for t in report["targets"])
    assert run(home[0], "--languages", "hi") == 0
    some = capsys.readouterr().out
    assert f"{metrics('xnli', right(BASE, 'xnli', 2, 0))['accuracy'] + 50 / ROWS:.1f}" in some


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["by-hand", "--languages", "xx"], "unknown language 'xx'"),
        (["by-hand", "--languages", "de,xx"], "unknown language 'xx'"),
        (["by-hnd"], "did you mean 'by-hand'"),
        (["../by-hand"], "study name"),
        (["by-hand", "--out", __file__], "is a file"),
        (["by-hand", "--langs"], "'--langs'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    home: Home, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run_verb(verb.main, [*options, "--home", str(home[0].home)])
    printed = capsys.readouterr()
    assert raised.value.code == 2 and printed.out == ""
    assert message in printed.err and len(printed.err.splitlines()) == 1


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> [bold]b[/bold] | {{ 7*7 }} & \udcff \x1b[2J"


def test_hostile_text_stays_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, store = make(tmp_path)
    add(record, store, SQUAD, name=EVIL)
    add(record, store, BROKEN, "failed", targets=0, name=EVIL, reason=EVIL, traceback=f"{EVIL}\n{EVIL}")
    assert run(record, "--out", str(tmp_path / "out")) == 0
    assert "[bold]b[/bold]" in capsys.readouterr().out
    assert run(record, "--json") == 0
    assert json.loads(capsys.readouterr().out)["failures"][0]["reason"].startswith("</script>")
    for name in ("index.html", "report.md", "matrix.svg"):
        text = (tmp_path / "out" / name).read_text()
        body = text.split("```")[0] if name == "report.md" else text
        assert "<script>alert" not in body and "<img" not in body, name
    ElementTree.parse(tmp_path / "out" / "matrix.svg")
    assert read_recipe(str(tmp_path / "out" / "best.toml"))[0] == SQUAD


def test_without_a_baseline_nothing_is_called_best(tmp_path: Path) -> None:
    record, store = make(tmp_path)
    record.add_trial(replace(add(record, store, BASE), status="failed", evaluations={}, reason="killed"))
    report = write_report(record, store)
    assert report.best is None and "baseline" in report.headline
    assert row_of(report, MNLI).gain is None and row_of(report, MNLI).average is not None


def test_a_damaged_score_leaves_a_gap(tmp_path: Path) -> None:
    record, store = make(tmp_path)
    address = record.trials()[SQUAD.address].evaluations["xnli"][0]
    (store.folder(address) / "scores.parquet").write_bytes(b"")
    report = write_report(record, Store(tmp_path))
    found = row_of(report, SQUAD)
    assert list(found.targets) == ["tatoeba", "panx", "xquad"] and found.gain is found.average is None
    assert report.best is not None and report.best.address == MNLI.address


def test_a_study_without_trials_has_a_report(tmp_path: Path) -> None:
    record = Record(tmp_path, "empty")
    record.open(SETTINGS)
    report = write_report(record, Store(tmp_path))
    assert (report.matrix, report.best) == ((), None) and report.to_dict()["baseline"]["status"] == "missing"
    assert not (record.folder / "report" / "best.toml").exists()


def test_a_recipe_that_is_no_better_than_the_baseline_is_not_recommended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With equal dev scores the simpler one wins."""
    monkeypatch.setitem(DEV, MNLI.address, DEV[BASE.address])
    monkeypatch.setitem(DEV, SQUAD.address, DEV[BASE.address])
    report = build(*make(tmp_path))
    assert report.best is not None and report.best.address == BASE.address
    assert "Nothing here beats" in report.headline


def test_while_only_the_baseline_is_complete_nothing_is_compared_and_the_report_is_interim(tmp_path: Path) -> None:
    record, store = Record(tmp_path, "begun"), Store(tmp_path)
    record.open(SETTINGS)
    add(record, store, BASE)
    only = build(record, store)
    assert only.best is None and only.headline.startswith("Interim, 1 of ")
    assert only.headline.endswith(" recipes ended: Only the baseline is complete: nothing can be compared yet.")
    add(record, store, MNLI, "stopped", targets=2)
    stopped = write_report(record, store)
    assert stopped.best is None and stopped.headline.endswith(
        "Only the baseline is complete: nothing can be compared yet."
    )
    assert not (record.folder / "report" / "best.toml").exists()
    add(record, store, MNLI)
    add(record, store, SQUAD, "running", targets=2)
    one = build(record, store)
    assert one.best is not None and one.headline.startswith("Interim, 2 of ") and "nothing" not in one.headline
    add(record, store, SQUAD, "failed", targets=0, reason="FloatingPointError: loss is nan")
    add(record, store, MNLI, "failed", targets=0, reason="FloatingPointError: loss is nan")
    assert "Only the baseline is complete, since 2 failed: nothing can be compared" in build(record, store).headline


def test_a_finished_report_is_not_interim(report: dict[str, Any]) -> None:
    assert "nterim" not in report["headline"]


def test_what_limits_the_answer_is_said(tmp_path: Path) -> None:
    notes = " ".join(build(*make(tmp_path / "a")).notes)
    assert "pocket world" in notes and "0.5 of its rows" in notes and "English dev rows only" in notes
    assert "without a part in choosing: Tatoeba" in notes and "One seed" not in notes
    ten = "xnli xcopa udpos_r panx_r xquad_r mlqa tydiqa tatoeba_r mewslix lareqa".split()
    whole = " ".join(build(*make(tmp_path / "c", replace(SETTINGS, targets=tuple(ten)))).notes)
    assert "The average is XTREME-R's, the plain mean of its 10 tasks, but over fewer languages" in whole
    assert "XTREME-R" not in notes and "XCOPA 0 of 11" in whole and "Tatoeba 0 of 41" in whole
    oracle = " ".join(build(*make(tmp_path / "b", replace(SETTINGS, selection="target_dev", seeds=1))).notes)
    assert "Oracle" in oracle and "One seed" in oracle


def test_rows_at_chance_level_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """XNLI has three labels.

    An English accuracy within two points of a third is at chance level.
    """
    assert not any("chance" in note for note in build(*make(tmp_path / "a")).notes)
    monkeypatch.setitem(RIGHT, MNLI.address, 10)
    (note,) = [note for note in build(*make(tmp_path / "b")).notes if "chance" in note]
    assert note.endswith(": MNLI (XNLI 33.8).")


def test_with_an_oracle_the_best_is_what_is_reported_best(tmp_path: Path) -> None:
    report = build(*make(tmp_path, replace(SETTINGS, selection="target_dev")))
    assert report.best is not None and report.best.address == MNLI.address


MIRROR = replace(SETTINGS, source="mirror:/not/there/any/more")


def test_a_report_outlives_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror's folder may be gone when a report is made: nothing opens it."""
    monkeypatch.setattr("trainables.sources.open_source", lambda spec: pytest.fail("a report opened its source"))
    report = write_report(*make(tmp_path, MIRROR))
    assert report.best is not None and report.best.address == SQUAD.address and not report.pocket
    assert report.standins == () and any("/not/there/any/more" in note for note in report.notes)


def test_standins_are_those_that_a_launch_recorded(tmp_path: Path) -> None:
    record, store = make(tmp_path, MIRROR)
    for titles, said in (([], 0), (["XNLI"], 1), (["XNLI"], 1), (["XNLI", "PAN-X"], 1)):
        record.note_standins(titles)
        report = build(record, store)
        assert report.standins == tuple(titles) and not any("not recorded" in note for note in report.notes)
        assert sum("Stand-ins" in note and ", ".join(titles) in note for note in report.notes) == said
    assert len(list(record.events("standins"))) == 3, "what is known is not written again"


def test_a_name_that_is_unknown_names_the_file(tmp_path: Path) -> None:
    record, store = make(tmp_path, SETTINGS)
    for change, words in (({"space": "intermediate_task"}, "unknown space"), ({"targets": ("xnil",)}, "'xnil'")):
        record.open(replace(SETTINGS, **change))
        with pytest.raises(BadInput, match=f"{re.escape(str(record.folder / 'study.json'))}: .*{words}"):
            build(record, store)


def test_letters_that_the_encoder_cannot_read_are_a_note(tmp_path: Path) -> None:
    record, store = make(tmp_path, MIRROR)
    assert not any("cannot read" in note for note in build(record, store).notes)
    for _ in range(2):
        record.note_unread("encoder 'e' cannot read all letters of: สวัสดี")
    (note,) = (note for note in build(record, store).notes if "cannot read" in note)
    assert note == "Encoder 'e' cannot read all letters of: สวัสดี: scores in these scripts are too low, or mean nothing."
    assert len(list(record.events("unread"))) == 1, "what is known is not written again"


def test_a_launch_records_what_its_source_says_of_standins(tmp_path: Path) -> None:
    planner: Any = SimpleNamespace(source=SimpleNamespace(standin=lambda d: d.name in ("panx", "mnli", "cola")))
    for settings, found in ((MIRROR, ("PAN-X", "MNLI")), (SETTINGS, None)):
        record = Record(tmp_path, settings.source[:6])
        driver = StudyDriver(record, settings, planner, RunOptions(quiet=True))
        driver.open_record()
        assert record.settings == settings and record.standins() == found
