"""MLflow as a view of the record: readable runs, no duplicates, outages tolerated."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.record.record import Record, Trial, code_version
from study.results.writers import write_report
from study.spec.study_spec import ResolvedSpec
from study.store.store import Store
from study.tracking.mlflow import Writer, sync
from study.tracking.mlflow_store import default_uri
from trainables.catalogue import dataset
from trainables.evaluation.scoring import aggregate, columns
from trainables.recipe import Recipe, digest, title

LANGUAGES = {"tatoeba": ("de", "sw"), "xnli": ("en", "de", "sw"), "xquad": ("en", "de")}
SETTINGS = ResolvedSpec(
    space="intermediate_tasks",
    source="pocket",
    encoder="pretrain:nano",
    profile="small",
    targets=tuple(LANGUAGES),
    intermediate=("mnli", "qqp", "squad"),
    mlm=True,
    seeds=2,
    scale=0.5,
    selection="english_dev",
    trials=0,
    grid=True,
)
BASELINE = Recipe(encoder="pretrain:nano", profile="small", targets=SETTINGS.targets, scale=0.5)
ENDS: tuple[tuple[tuple[str, ...], Any, int], ...] = (  # tasks, how the trial ended, after how many targets
    ((), "complete", 3),
    (("mnli",), "complete", 3),
    (("qqp",), "pruned", 1),
    (("squad",), "failed", 0),
)
TITLES = {name: dataset(name).title for name in SETTINGS.intermediate}
ENDED_S = 1_800_000_000.0
MNLI, FAILED = "MNLI + MLM 0.25", "SQuAD + MLM 0.25"
NAMES = {"no intermediate task": "FINISHED", MNLI: "FINISHED", "QQP + MLM 0.25": "KILLED", FAILED: "FAILED"}


def publish(store: Store, address: str, files: Mapping[str, Any], **info: Any) -> str:
    with store.claim(address) as work:
        assert work is not None
        for name, content in files.items():
            if name.endswith(".parquet"):
                pq.write_table(content, work / name)
            else:
                (work / name).write_text(json.dumps(content))
        store.publish(address, work, info)
    return address


def evaluation(store: Store, name: str, recipe: Recipe, seed: int) -> str:
    """Publish an evaluation of invented scores, and its training stage."""
    d, key = dataset(name), [name, recipe.address, seed]
    rng = np.random.default_rng(int(digest(key)[:8], 16))
    tables = {
        language: {"id": [str(i) for i in range(40)]} | {c: rng.integers(0, 2, 40).astype(float) for c in columns(d)}
        for language in LANGUAGES[name]
    }
    parent = ""
    if d.train_on:
        history = {"losses": [3.0, 2.0, 1.0 + seed], "dev": [[2, 40.0], [3, 50.0]]}
        train = {"kind": "target", "label": f"target {d.train_on}", "parent": ""}
        parent = publish(store, digest([*key, "train"]), {"history.json": history}, **train)
    metrics = {
        "languages": {language: aggregate(d, table) for language, table in tables.items()},
        "splits": dict.fromkeys(LANGUAGES[name], d.scored),
        "selection": 50.0 if d.train_on else None,
    }
    rows = pa.concat_tables([pa.table({"language": [lang] * 40, **table}) for lang, table in tables.items()])
    files = {"metrics.json": metrics, "scores.parquet": rows}
    return publish(store, digest(key), files, kind="evaluate", label=f"evaluate {name}", parent=parent)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Store]:
    """Make a record with a trial of every status, and its scores.

    Nothing was trained.
    """
    home = tmp_path_factory.mktemp("home")
    record, store = Record(home, "first"), Store(home)
    record.open(SETTINGS)
    for tasks, status, targets in ENDS:
        mix = {"intermediate": tasks, "mlm_ratio": 0.25, "epochs": 1.0, "lr": 2e-4} if tasks else {}
        recipe = Recipe(**{**BASELINE.to_dict(), "targets": BASELINE.targets, **mix})
        found = {t: [evaluation(store, t, recipe, seed) for seed in (0, 1)] for t in SETTINGS.targets[:targets]}
        ended: dict[str, Any] = (
            {"reason": "NonFiniteLoss: loss is nan", "traceback": "Traceback: here"} if status == "failed" else {}
        )
        name = title(recipe, TITLES)
        common: dict[str, Any] = {
            "address": recipe.address,
            "name": name,
            "recipe": recipe,
            "params": {},
            "at": ENDED_S,
        }
        record.add_trial(Trial(**common, status="running", evaluations={}))
        record.add_trial(Trial(**common, status=status, seconds=12.5, evaluations=found, **ended))
    return record, store


@pytest.fixture(scope="module")
def client(study: tuple[Record, Store]) -> Any:
    """Return an MLflow client of a store that holds the study.

    The verb's own code wrote it.
    """
    record, store = study
    sync(default_uri(record.home), record, store, write_report(record, store), record.folder / "report")
    from mlflow import MlflowClient

    return MlflowClient(default_uri(record.home))


def runs_of(client: Any, study: str = "first") -> dict[str, Any]:
    experiment = client.get_experiment_by_name(study)
    found = client.search_runs([experiment.experiment_id])
    runs = {run.info.run_name: run for run in found}
    assert len(runs) == len(found), "two runs share a name"
    return runs


def test_a_study_is_one_experiment_with_a_readable_run_per_trial(client: Any) -> None:
    assert [e.name for e in client.search_experiments()].count("first") == 1
    runs = runs_of(client)
    assert {name: run.info.status for name, run in runs.items()} == NAMES | {"report": "FINISHED"}
    assert (runs[MNLI].info.start_time, runs[MNLI].info.end_time) == (1_799_999_987_500, 1_800_000_000_000)


def test_params_are_the_recipe_and_tags_say_what_it_ran_on(client: Any, study: tuple[Record, Store]) -> None:
    run = runs_of(client)[MNLI].data
    wanted = {
        "encoder": "pretrain:nano",
        "profile": "small",
        "targets": '["tatoeba", "xnli", "xquad"]',
        "intermediate": '["mnli"]',
        "mlm_ratio": "0.25",
        "epochs": "1.0",
        "lr": "0.0002",
        "scale": "0.5",
        "seeds": "2",
    }
    assert run.params == wanted
    address = next(t.address for t in study[0].trials().values() if t.name == MNLI)
    tags = {"space": "intermediate_tasks", "source": "pocket", "encoder": "pretrain:nano", "study": "first"}
    tags |= {"stepstone.recipe": address, "code_version": code_version(), "status": "complete"}
    assert tags.items() <= run.tags.items()
    failed = runs_of(client)[FAILED].data.tags
    assert failed["reason"] == "NonFiniteLoss: loss is nan"


def test_every_language_of_every_target_has_its_metrics(client: Any, study: tuple[Record, Store]) -> None:
    record, store = study
    runs = runs_of(client)
    for trial in record.trials().values():
        metrics = runs[trial.name].data.metrics
        wanted = {f"{t}/{lang}/{m}" for t in trial.evaluations for lang in LANGUAGES[t] for m in dataset(t).metrics}
        assert {key for key in metrics if key.count("/") == 2 and not key.startswith("train/")} == wanted
        for target, addresses in trial.evaluations.items():
            for language in LANGUAGES[target]:
                for metric in dataset(target).metrics:
                    seeds = [store.metrics(a).languages[language][metric] for a in addresses]
                    value = metrics[f"{target}/{language}/{metric}"]
                    assert value == pytest.approx(np.mean(seeds))
                    assert 0 <= value <= 100
    assert len(runs["no intermediate task"].data.metrics) > len(runs["QQP + MLM 0.25"].data.metrics)


def test_means_and_gains_are_those_of_the_report(client: Any, study: tuple[Record, Store]) -> None:
    report = json.loads((study[0].folder / "report" / "report.json").read_text())
    runs = runs_of(client)
    for row in report["matrix"]:
        metrics = runs[row["name"]].data.metrics
        assert metrics.get("average") == pytest.approx(row["average"])
        assert metrics.get("gain") == pytest.approx(row["gain"])
        for target, cell in row["targets"].items():
            assert metrics[f"{target}/mean"] == pytest.approx(cell["mean"])
            assert metrics[f"{target}/gain"] == pytest.approx(cell["gain"])
    assert runs["no intermediate task"].data.metrics["gain"] == 0


def test_learning_curves_have_their_steps(client: Any) -> None:
    run = runs_of(client)[MNLI]
    loss = client.get_metric_history(run.info.run_id, "train/target/squad/loss")
    assert [(point.step, point.value) for point in loss] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    dev = client.get_metric_history(run.info.run_id, "train/target/mnli/dev")
    assert [(point.step, point.value) for point in dev] == [(2, 40.0), (3, 50.0)]


def test_artifacts_are_the_recipe_and_the_report(client: Any, study: tuple[Record, Store], tmp_path: Path) -> None:
    def files(name: str) -> set[str]:
        return {f.path for f in client.list_artifacts(runs_of(client)[name].info.run_id)}

    assert files(MNLI) == {"recipe.toml"}
    assert files(FAILED) == {"recipe.toml", "traceback.txt"}
    assert {"index.html", "report.json", "report.md", "matrix.csv", "matrix.svg", "best.toml"} == files("report")
    page = client.download_artifacts(runs_of(client)["report"].info.run_id, "index.html", str(tmp_path))
    assert Path(page).read_bytes() == (study[0].folder / "report" / "index.html").read_bytes()


def test_a_second_sync_changes_nothing(client: Any, study: tuple[Record, Store]) -> None:
    def all_of() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, run in runs_of(client).items():
            points = {key: len(client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics}
            info = (run.info.run_id, run.info.status, run.info.start_time, name == "report" or run.info.end_time)
            found[name] = (info, run.data.params, run.data.tags, run.data.metrics, points)
        return found

    record, store = study
    before = all_of()
    sync(default_uri(record.home), record, store, write_report(record, store), record.folder / "report")
    assert all_of() == before


def test_a_run_that_a_dying_server_doubled_is_one_again(client: Any, study: tuple[Record, Store]) -> None:
    record, store = study
    before = runs_of(client)
    address = before[MNLI].data.tags["stepstone.recipe"]
    experiment = before[MNLI].info.experiment_id
    client.create_run(experiment, 0, {"stepstone.recipe": address}, MNLI)
    client.create_run(experiment, 0, {"stepstone.report": "report"}, "report")
    assert len(client.search_runs([experiment])) == len(before) + 2
    sync(default_uri(record.home), record, store, write_report(record, store), record.folder / "report")
    assert len(client.search_runs([experiment])) == len(before)
    after = runs_of(client)
    assert {name: (r.data.params, r.data.metrics, r.info.status) for name, r in after.items()} == {
        name: (r.data.params, r.data.metrics, r.info.status) for name, r in before.items()
    }


def test_the_writer_fills_a_store_as_trials_end(client: Any, study: tuple[Record, Store]) -> None:
    record, store = study
    shutil.copytree(record.folder, record.folder.parent / "second")
    other = Record(record.home, "second")
    writer = Writer(default_uri(record.home), other, store)
    for trial in other.trials().values():
        writer.put(trial)
    assert writer.close(60) is None
    assert {name: run.info.status for name, run in runs_of(client, "second").items()} == NAMES


def test_without_a_server_the_writer_reports_and_nothing_is_raised(
    study: tuple[Record, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    record, store = study
    writer = Writer("http://127.0.0.1:9", record, store)
    for trial in record.trials().values():
        writer.put(trial)
    trouble = writer.close(60)
    assert trouble is not None
    assert "Exception" in trouble or "Error" in trouble


def test_a_server_that_never_answers_does_not_hold_up_a_study(
    study: tuple[Record, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    record, store = study
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        writer = Writer(f"http://127.0.0.1:{silent.getsockname()[1]}", record, store)
        writer.put(next(iter(record.trials().values())))
        assert writer.close(0.5) == "MLflow did not answer in time"


def test_files_that_are_being_written_are_not_sent(client: Any, study: tuple[Record, Store]) -> None:
    record, store = study
    report = write_report(record, store)
    part = record.folder / "report" / "report.json.12345678.part"  # of another sync
    part.write_text("{")
    try:
        sync(default_uri(record.home), record, store, report, record.folder / "report")
    finally:
        part.unlink()
    sent = {path.name for path in (record.home / "mlartifacts").rglob("*") if path.is_file()}
    assert "report.json" in sent and part.name not in sent
