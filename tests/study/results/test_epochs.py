"""Scores by epoch in reports: tables from hand-written curves, and the page."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboards.page import render
from study.launch import main as launch
from study.record.record import Record, Trial
from study.report import main
from study.results import learning_curves as epochs
from study.results.published import compare, footnotes
from study.results.report import Report
from study.results.report_tables import EpochPoint, EpochRow, EpochTable, SeedScores
from study.results.statistics import paired
from study.results.transfer_matrix import build
from study.results.writers import markdown, write_files
from study.spec.study_spec import ResolvedSpec
from study.store.store import Store
from study.tracking.mlflow import curve_points
from trainables.catalogue import dataset
from trainables.evaluation.scoring import columns
from trainables.recipe import Recipe, digest

TARGET = "multiatis"
GLUE = ("cola", "sst2", "stsb", "rte", "mnli", "qqp", "mrpc", "qnli_ranking")
BASE = Recipe(encoder="FacebookAI/xlm-roberta-base", profile="mtdnn", targets=(TARGET,), curve=2)
FIRST = replace(BASE, intermediate=GLUE, epochs=1.0, lr=5e-5, mixing_limit=2**31 - 1)
SETTINGS = ResolvedSpec(
    space="glue_prefinetuning", source="pocket", encoder=BASE.encoder, profile="mtdnn", targets=(TARGET,),
    intermediate=GLUE, mlm=False, seeds=2, scale=1.0, selection="english_dev", trials=0, grid=True, reading={"curve": 2},
)  # fmt: skip
# (intent accuracy, slot F1) of two seeds, by recipe and epoch; English is 10 above it, German is it, Hindi 10 below it.
SCORES = {
    BASE.address: {20: ((50.0, 40.0), (54.0, 44.0)), 40: ((80.0, 60.0), (80.0, 60.0))},
    FIRST.address: {20: ((60.0, 38.0), (66.0, 38.0)), 40: ((81.0, 60.0), (83.0, 60.0))},
}
SHIFT = {"en": 10.0, "de": 0.0, "hi": -10.0}


def publish(store: Store, address: str, info: dict[str, Any], found: dict[str, Any]) -> str:
    with store.claim(address) as work:
        assert work is not None
        for name, content in found.items():
            if isinstance(content, pa.Table):
                pq.write_table(content, work / name)
            else:
                (work / name).write_text(json.dumps(content))
        store.publish(address, work, info)
    return address


def scored(value: tuple[float, float], shift: float) -> dict[str, float]:
    accuracy, f1 = (number + shift for number in value)
    return {"intent_accuracy": accuracy, "slot_f1_bio": f1, "slot_f1_rebuilt": f1, "joint_accuracy": 0.0}


def evaluate(store: Store, recipe: Recipe, seed: int) -> str:
    curve: list[dict[str, Any]] = []
    for epoch, seeds in SCORES[recipe.address].items():
        found = {f"{TARGET}/{tag}/test": scored(seeds[seed], shift) for tag, shift in SHIFT.items()}
        found |= {f"{TARGET}/en/{split}": scored(seeds[seed], 15.0) for split in ("train", "validation")}
        curve.append({"epoch": float(epoch), "step": 18 * epoch, "scores": found})
    trained = digest(["trained", recipe.address, seed])
    about = {"kind": "target", "label": f"target {TARGET}", "parent": "", "config": {"task": {"epochs": 40.0}}}
    history = {"losses": [3.0, 2.0], "dev": [], "curve": curve}
    publish(store, trained, about, {"history.json": history, "curve.json": curve})
    metrics = {
        "languages": {tag: curve[-1]["scores"][f"{TARGET}/{tag}/test"] for tag in SHIFT},
        "examples": dict.fromkeys(SHIFT, 4), "splits": dict.fromkeys(SHIFT, "test"), "selection": 80.0, "retrieval": {},
    }  # fmt: skip
    names = columns(dataset(TARGET))
    tables = [
        pa.table({"language": [tag] * 4, "id": list("abcd"), **{n: np.ones(4, np.int64) for n in names}}) for tag in SHIFT
    ]  # fmt: skip
    info = {"kind": "evaluate", "label": f"evaluate {TARGET}", "parent": trained}
    files = {"metrics.json": metrics, "scores.parquet": pa.concat_tables(tables)}
    return publish(store, digest(["scored", recipe.address, seed]), info, files)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Store]:
    folder = tmp_path_factory.mktemp("home")
    record, store = Record(folder, "by-hand"), Store(folder)
    record.open(SETTINGS)
    for recipe, name in ((BASE, "no intermediate task"), (FIRST, "GLUE")):
        found = {TARGET: [evaluate(store, recipe, seed) for seed in range(2)]}
        about: dict[str, Any] = {"address": recipe.address, "recipe": recipe, "name": name, "params": {}}
        record.add_trial(Trial(status="complete", evaluations=found, **about))
    return record, store


@pytest.fixture
def report(home: tuple[Record, Store]) -> Report:
    return build(*home)


def test_the_table_has_epochs_and_recipes_in_lines_and_languages_in_columns(report: Report) -> None:
    table = epochs.score_table(report, TARGET)
    assert table.columns == ["train", "dev", "en", "de", "hi", "zero-shot"]
    assert [name for name, _ in table.lines] == [
        "20: no intermediate task", "20: GLUE", "40: no intermediate task", "40: GLUE",
    ]  # fmt: skip
    # Two seeds, 50 and 54 in German: mean 52, standard deviation 4 / sqrt 2; zero-shot is the mean of German and Hindi.
    assert table.lines[0][1] == [
        "67.0/57.0 ±2.8/2.8", "67.0/57.0 ±2.8/2.8", "62.0/52.0 ±2.8/2.8", "52.0/42.0 ±2.8/2.8", "42.0/32.0 ±2.8/2.8",
        "47.0/37.0 ±2.8/2.8",
    ]  # fmt: skip
    assert epochs.score_table(report, TARGET, spread=False).lines[1][1][-1] == "58.0/33.0"


def test_changes_are_in_points_and_in_percent_of_the_baselines_score(report: Report) -> None:
    """Zero-shot after epoch 20: 47 -> 58 is 11 points, 23.4 % of 47 (and would be 19.0 % of 58)."""
    table = epochs.change_table(report, TARGET)
    assert table.columns == [
        "intent accuracy, points", "intent accuracy, % of the baseline's", "slot F1, points", "slot F1, % of the baseline's",
    ]  # fmt: skip
    assert table.lines == [
        ("20: GLUE", ["+11.0", "+23.4", "-4.0", "-10.8"]),
        ("40: GLUE", ["+2.0", "+2.7", "+0.0", "+0.0"]),
    ]


@pytest.mark.protocol
def test_the_papers_headline_divides_by_the_new_value() -> None:
    """Epoch 10, eight test languages.

    +3.917 points of intent accuracy are 5.40 % of the baseline's, 5.12 % of the new.
    """
    by_name = {f"{epoch} {name}": value for epoch, name, value in ((10, "base", 72.595), (10, "first", 76.5125))}
    rows = []
    for name, value in (("base", by_name["10 base"]), ("first", by_name["10 first"])):
        scores = {"zero-shot": {"ic": SeedScores(mean=value, sd=None, values=(value,))}}
        point = EpochPoint(epoch=10.0, step=1, share=1.0, scores=scores)
        rows.append(EpochRow(address=name, name=name, points=(point,)))
    table = EpochTable(title="t", metrics=("ic",), columns=("zero-shot",), rows=tuple(rows))
    found = epochs.changes(table, "base")
    assert [c.points for c in found] == pytest.approx([3.9175])
    assert found[0].percent == pytest.approx(5.396, abs=1e-3)
    assert pytest.approx(5.12, abs=1e-3) == 100 * 3.9175 / 76.5125


def test_every_number_is_in_the_csv_file_and_the_tables_are_in_the_markdown(report: Report, tmp_path: Path) -> None:
    write_files(report, tmp_path)
    rows = list(csv.DictReader((tmp_path / f"curve-{TARGET}.csv").open()))
    assert len(rows) == 2 * 2 * 6 * 2
    (one,) = [r for r in rows if (r["epoch"], r["recipe"], r["column"], r["metric"])
              == ("20.0", "GLUE", "hi", "slot_f1_bio")]  # fmt: skip
    assert float(one["mean"]) == 28.0 and float(one["standard deviation"]) == 0.0 and one["seeds"] == "2"
    assert float(one["points against the baseline"]) == -4.0
    assert float(one["percent of the baseline's"]) == pytest.approx(-12.5)
    text = markdown(report)
    assert "## MultiATIS++ by epoch: intent accuracy/slot F1" in text and "of the baseline's" in text
    assert any("no weights, recipe or end of training was chosen by them" in note for note in report.notes)


def test_the_page_has_a_chart_for_each_set_of_rows_with_the_spread_over_seeds(report: Report) -> None:
    page = render(report.to_dict())
    section = page[page.index('id="epochs"') :]
    assert section.count('<svg class="curve"') == 2 * 6 and section.count('class="spread baseline"') == 2 * 6
    assert "Mean without English" in section and "German" in section and "+23.4 %" in section
    assert 'id="epochs"' not in render({**report.to_dict(), "epochs": {}})


def test_a_tracker_gets_the_means_by_epoch(home: tuple[Record, Store]) -> None:
    record, store = home
    points = [p for p in curve_points(record.trials()[FIRST.address], store) if p[0].startswith("curve/")]
    assert ("curve/multiatis/zero-shot/intent_accuracy", 58.0, 20) in points
    assert len(points) == 2 * 6 * 2


def test_published_scores_stand_under_ours_after_the_same_epochs(
    report: Report, home: tuple[Record, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    published = compare(replace(report, pocket=False), "mtdnn")
    report = replace(report, published=published)
    lines = epochs.score_table(report, TARGET, spread=False).lines
    assert [name for name, _ in lines] == [
        "20: no intermediate task", "  published, epoch 20", "20: GLUE", "  published, epoch 20",
        "40: no intermediate task", "  published, epoch 40", "40: GLUE", "  published, epoch 40",
    ]  # fmt: skip
    assert lines[1][1] == ["-", "-", "86.5/81.0", "80.2/53.0", "78.4/58.0", "77.3/58.6"]
    assert lines[3][1][2] == "90.4/82.0"
    said = " ".join(footnotes(published))
    assert "divides by the new value" in said and "Published by epoch" not in said  # both are of 40 epochs
    table = report.epochs[TARGET]
    tenth = [replace(r, points=tuple(replace(p, epoch=p.epoch / 10) for p in r.points)) for r in table.rows]
    shorter = replace(report, pocket=False, epochs={TARGET: replace(table, rows=tuple(tenth))})
    assert any("of 40, ours of 4" in caveat for caveat in compare(shorter, "mtdnn").caveats)
    record, _ = home
    assert main([record.name, "--home", str(record.home), "--compare", "mtdnn"]) == 0
    assert "published, epoch 20" in capsys.readouterr().out


def test_differences_of_seeds_are_paired() -> None:
    assert paired([5.0], [3.0]) == (2.0, None)
    gain, bounds = paired([11.0, 21.0, 31.0], [10.0, 20.0, 30.0])
    assert gain == pytest.approx(1.0) and bounds == pytest.approx(
        [1.0, 1.0]
    )  # the seeds differ, their differences do not


@pytest.mark.slow
def test_a_launch_from_the_command_to_the_table_by_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tiny complete study of the space."""
    few = "--encoder pretrain:nano --intermediate cola,stsb,qnli_ranking --targets xsid --scale 0.03 --curve 2"
    command = [*f"--space glue_prefinetuning --name tiny {few}".split(), "--home", str(tmp_path), "--json"]
    assert launch(command) == 0
    report = json.loads(capsys.readouterr().out)
    target = report["epochs"]["xsid"]
    assert len(target["rows"]) == 3 and target["columns"][:3] == ["train", "dev", "en"]
    assert all([p["share"] for p in row["points"]] == [0.5, 1.0] for row in target["rows"])
    record, store = Record(tmp_path, "tiny"), Store(tmp_path)
    for trial in record.trials().values():  # the last point is what the evaluation found, where the last weights stayed
        info = store.info(store.info(trial.evaluations["xsid"][0])["parent"])
        if info["summary"]["best_step"] == info["summary"]["steps"]:
            row = next(r for r in target["rows"] if r["address"] == trial.address)
            found = store.metrics(trial.evaluations["xsid"][0]).languages["de"]["slot_f1_bio"]
            assert row["points"][-1]["scores"]["de"]["slot_f1_bio"]["mean"] == pytest.approx(found)
    assert (tmp_path / "studies" / "tiny" / "report" / "curve-xsid.csv").exists()
