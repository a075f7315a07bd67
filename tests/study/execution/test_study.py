"""Whole studies on Ray, from the command to the report.

About two minutes, since every trial starts its own processes.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.cli_parser import run_verb
from study.planning.plan import scored_languages
from study.record.record import Record
from study.spec.recipe_file import read_recipe, recipe_toml
from study.store.store import Store
from tests.small import as_checked
from trainables import pocket
from trainables.catalogue import dataset
from trainables.recipe import Recipe
from trainables.sources import open_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NANO = "--space intermediate_tasks --encoder pretrain:nano --scale 0.01"
FIRST = f"{NANO} --name first --intermediate mnli,mlm --targets xnli,tatoeba,panx".split()
SEARCH = f"{NANO} --name search --intermediate mnli --targets tatoeba --trials 3 --sweep-layers".split()
BROKEN = "--space intermediate_tasks --name broken --profile small --intermediate mnli,qqp --targets tatoeba".split()


def verb(name: str, *argv: str, home: Path) -> Any:
    """Run a verb with --json and shut Ray down; return its output."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert importlib.import_module(f"study.{name}").main([*argv, "--home", str(home), "--json"]) == 0
    import ray  # a launch imports it after it has set where Ray may listen

    assert not ray.is_initialized()
    return json.loads(out.getvalue())


def rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in report["matrix"]}


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that starts Ray although nothing is left to run."""
    monkeypatch.setattr("study.execution.driver.start_ray", lambda address: pytest.fail("Ray was started"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def first(home: Path) -> Any:
    """Report a grid: the baseline, one task, and the task with masked LM."""
    return verb("launch", *FIRST, home=home)


def test_the_report_has_what_other_tools_rely_on(first: Any, home: Path) -> None:
    wanted: dict[str, Any] = {
        "study": "first",
        "space": "intermediate_tasks",
        "source": "pocket",
        "encoder": "pretrain:nano",
    }
    wanted |= {"seeds": 1, "selection": "english_dev", "scale": 0.01}
    assert wanted.items() <= first.items()
    assert first["trials"] == {"complete": 3, "pruned": 0, "failed": 0, "stopped": 0, "running": 0}
    assert first["stages"]["run"] == 1 + 2 + 3 * (2 + 3)  # pretrain, intermediates, target trainings and evaluations
    assert first["stages"]["reused"] == 0
    assert first["stages"]["train_steps"] > 0
    assert [row["name"] for row in first["matrix"]] == ["no intermediate task", "MNLI", "MNLI + MLM"]
    assert first["baseline"] == first["matrix"][0]
    assert first["baseline"]["gain"] == 0
    for row in first["matrix"]:
        assert row["status"] == "complete"
        assert row["recipe"]["targets"] == ["tatoeba", "panx", "xnli"]
        gains = [cell["gain"] for cell in row["targets"].values()]
        assert row["gain"] == pytest.approx(sum(gains) / 3)
        assert row["average"] == pytest.approx(first["baseline"]["average"] + row["gain"])
    best = first["best"]
    assert best["address"] in {row["address"] for row in first["matrix"]}
    file = home / "studies" / "first" / "report" / "best.toml"
    assert best["command"] == f"python -m study.launch --recipe {file} --home {home}"
    assert read_recipe(str(file))[0].address == best["address"]


def test_every_language_of_every_target_is_scored(first: Any) -> None:
    for row in first["matrix"]:
        assert set(row["targets"]) == {"tatoeba", "panx", "xnli"}
        for target, cell in row["targets"].items():
            d = dataset(target)
            assert set(cell["languages"]) == {tag for tag, _ in scored_languages(open_source("pocket"), d)}
            for metrics in cell["languages"].values():
                assert set(metrics) == set(d.metrics)
                assert all(0 <= value <= 100 for value in metrics.values())


@pytest.mark.usefixtures("no_ray")
def test_the_same_command_again_trains_nothing_and_says_the_same(first: Any, home: Path) -> None:
    again = verb("launch", *FIRST, home=home)
    assert again["stages"] == {"run": 0, "reused": first["stages"]["run"], "train_steps": 0}
    assert (again["matrix"], again["best"]) == (first["matrix"], first["best"])


@pytest.mark.usefixtures("no_ray")
def test_report_status_and_sync_agree(first: Any, home: Path, tmp_path: Path) -> None:
    assert verb("report", "first", "--out", str(tmp_path / "out"), home=home)["matrix"] == first["matrix"]
    made = {"report.json", "report.md", "matrix.csv", "matrix.svg", "best.toml", "index.html"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == made
    found = next(s for s in verb("status", home=home)["studies"] if s["study"] == "first")
    assert found["counts"] == {"complete": 3}
    assert [trial["name"] for trial in found["trials"]] == [row["name"] for row in first["matrix"]]
    assert verb("sync", "first", home=home)["runs"] == 4  # one per trial, and the report


def test_a_misspelt_language_is_refused(first: Any, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_verb(importlib.import_module("study.report").main, ["first", "--languages", "dee", "--home", str(home)])
    assert capsys.readouterr().err.startswith("error: unknown language 'dee', did you mean 'de'? (allowed: de, en, ")


def test_mlflow_was_written_while_the_study_ran(first: Any, home: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("first")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    by_name = {run.info.run_name: run for run in runs}
    for name, row in rows(first).items():
        assert by_name[name].info.status == "FINISHED"
        for target, cell in row["targets"].items():
            for language, metrics in cell["languages"].items():
                for metric, value in metrics.items():
                    assert by_name[name].data.metrics[f"{target}/{language}/{metric}"] == pytest.approx(value)


def test_resume_makes_only_what_was_deleted(first: Any, home: Path) -> None:
    trial = Record(home, "first").trials()[rows(first)["MNLI"]["address"]]
    shutil.rmtree(Store(home).folder(trial.evaluations["panx"][0]))
    again = verb("resume", "first", home=home)
    assert again["stages"] == {"run": 1, "reused": first["stages"]["run"] - 1, "train_steps": 0}
    assert again["matrix"] == first["matrix"]


@pytest.fixture(scope="module")
def search(first: Any, home: Path) -> Any:
    """Report a search in the same home, for one target.

    Two published rows, and one that Optuna proposes.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("study.execution.ray_cluster.LOGICAL_CPUS", 3)  # two workers, even on one core
        return verb("launch", *SEARCH, "--workers", "2", home=home)


def test_a_search_reuses_the_stages_of_another_study(search: Any, first: Any) -> None:
    assert search["trials"] == {"complete": 3, "pruned": 0, "failed": 0, "stopped": 0, "running": 0}
    # Reused: the encoder, MNLI and two evaluations. Run: the third recipe, and three sweeps over the layers.
    assert (search["stages"]["run"], search["stages"]["reused"]) == (2 + 3, 4)
    assert search["selection"] == "target_dev"
    for name in ("no intermediate task", "MNLI"):
        assert rows(search)[name]["targets"]["tatoeba"] == rows(first)[name]["targets"]["tatoeba"]
    assert search["matrix"][-1]["recipe"]["intermediate"] == ["mnli"]
    assert len({row["address"] for row in search["matrix"]}) == 3


def test_a_sweep_over_the_layers_is_part_of_the_report(search: Any, first: Any, home: Path) -> None:
    swept = search["layers"]["tatoeba"]
    assert first["layers"] == {} and swept["reads"] == 1
    assert [row["address"] for row in swept["rows"]] == [row["address"] for row in search["matrix"]]
    for row in swept["rows"]:
        assert len(row["mean"]) == 3  # the embeddings and two layers
        cell = rows(search)[row["name"]]["targets"]["tatoeba"]
        assert row["mean"][swept["reads"]] == pytest.approx(cell["mean"])
    report = home / "studies" / "search" / "report"
    lines = (report / "layers.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 3 * len(cell["languages"])
    assert "Retrieval by layer" in (report / "index.html").read_text()


def test_the_proposed_recipe_was_trained_by_all_workers(search: Any, home: Path) -> None:
    store = Store(home)
    trial = Record(home, "search").trials()[search["matrix"][-1]["address"]]
    info = store.info(store.info(trial.evaluations["tatoeba"][0])["parent"])
    assert info["kind"] == "intermediate"
    assert info["machine"]["workers"] == 2
    assert info["summary"]["steps"] == search["stages"]["train_steps"] > 0


@pytest.mark.usefixtures("no_ray")
def test_a_search_that_has_its_trials_adds_none(search: Any, home: Path) -> None:
    again = verb("launch", *SEARCH, home=home)
    assert (again["stages"]["run"], again["stages"]["train_steps"]) == (0, 0)
    assert again["matrix"] == search["matrix"]


def test_a_recipe_file_runs_again_beside_the_baseline(first: Any, home: Path, tmp_path: Path) -> None:
    row = rows(first)["MNLI + MLM"]
    file = tmp_path / "recipe.toml"
    file.write_text(recipe_toml(Recipe.from_dict(row["recipe"]), Record(home, "first").settings, row["name"]))
    again = verb("launch", "--recipe", str(file), home=home)
    assert again["stages"]["train_steps"] == again["stages"]["run"] == 0
    assert [row["name"] for row in again["matrix"]] == ["no intermediate task", "MNLI + MLM"]
    for name, found in rows(again).items():
        assert found | {"run_id": None} == rows(first)[name] | {"run_id": None}  # of another experiment


@pytest.fixture(scope="module")
def broken(first: Any, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Report a study on a mirror with a broken row of MNLI.

    The row breaks its schema after the rows were checked.
    """
    folder = tmp_path_factory.mktemp("mirror")
    for name, language, split, place in (
        ("tatoeba", "de", "validation", "google/xtreme/tatoeba.deu"),
        ("mnli", "en", "train", "nyu-mll/glue/mnli"),
        ("qqp", "en", "train", "nyu-mll/glue/qqp"),
    ):
        table = pocket.table(name, language, split)
        assert table is not None
        table = table.slice(0, 100)
        if name == "mnli":
            table = table.set_column(2, "label", pa.array([7 if i == 70 else i % 3 for i in range(100)]))
        (folder / place).mkdir(parents=True)
        pq.write_table(table, folder / place / f"{split}.parquet")
    encoder = next(p for p in home.glob("stages/*/*/encoder") if '"pretrain"' in (p.parent / "stage.json").read_text())
    options = [*BROKEN, "--source", f"mirror:{folder}", "--encoder", str(encoder), "--trials", "3"]
    as_checked(home, *options)
    return verb("launch", *options, home=home)


def test_a_failing_trial_is_recorded_and_the_study_goes_on(broken: Any) -> None:
    assert {name: row["status"] for name, row in rows(broken).items()} == {
        "no intermediate task": "complete",
        "MNLI": "failed",
        "QQP": "complete",
    }
    (failure,) = broken["failures"]
    assert failure["name"] == "MNLI"
    assert failure["reason"].startswith("DataError: mnli/en/train row 70: label 7 is not one of 0..2 (entailment, ")
    assert failure["traceback"].startswith("Traceback")
    assert "trainables/readers/" in failure["traceback"]
    assert rows(broken)["MNLI"]["average"] is rows(broken)["MNLI"]["gain"] is None
    assert broken["best"]["name"] != "MNLI"
    assert broken["selection"] == "target_dev"
