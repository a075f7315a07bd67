"""Freeing space keeps scores, histories, needed weights and running work."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from study import gc, launch, resume
from study.execution.disk_usage import LEFT_S, Disk, parse_size, scratch, size_of
from study.execution.monitor import MonitorCallbacks, TrialMonitor
from study.execution.retention import Budget, GcResult, RetentionPolicy, collect
from study.execution.trial import TrialJob, run_stages
from study.planning.plan import Node, Plan, Planner, missing
from study.record.record import Record, Trial
from study.results.statistics import RESAMPLES
from study.results.transfer_matrix import build, curves
from study.spec.initial_trials import initial_trials
from study.spec.study_spec import ResolvedSpec
from study.store.store import LEASE_S, Store
from trainables.catalogue import TITLES, dataset
from trainables.configs import EncodingConfig
from trainables.errors import BadInput
from trainables.recipe import Recipe, title
from trainables.sources import Source, open_source
from trainables.training import data

WEIGHTS = 100_000  # bytes of a stage's weights
SETTINGS = ResolvedSpec(
    space="intermediate_tasks", source="pocket", encoder="pretrain:nano", profile="small", targets=("tatoeba", "xnli"),
    intermediate=("mnli", "squad"), mlm=False, seeds=1, scale=0.01, selection="english_dev", trials=0, grid=True,
)  # fmt: skip
DEV = {(): 50.0, ("mnli",): 60.0, ("squad",): 55.0, ("mnli", "squad"): 40.0}
PLANNER = Planner(open_source("pocket"), None)


def recipes(settings: ResolvedSpec = SETTINGS) -> dict[tuple[str, ...], Recipe]:
    """Return the recipes of the study by their intermediate tasks."""
    return {recipe.intermediate: recipe for recipe, _ in initial_trials(settings)}


def publish(store: Store, node: Node, dev: float, size: int = WEIGHTS) -> None:
    """Publish a stage with files like a real one's."""
    with store.claim(node.address) as work:
        if work is None:
            return
        kind = node.config.kind
        if kind == "evaluate":
            found = {"languages": {"en": {"accuracy": dev}}, "selection": dev, "splits": {"en": "test"}}
            (work / "metrics.json").write_text(json.dumps(found))
            (work / "scores.parquet").write_bytes(b"scores")
            (work / "predictions.parquet").write_bytes(b"predictions")
        else:
            (work / "encoder").mkdir()
            (work / "encoder" / "model.safetensors").write_bytes(bytes(size))
            (work / "encoder" / "tokenizer.json").write_text("{}")
            (work / "heads.safetensors").write_bytes(b"heads")
            (work / "history.json").write_text(json.dumps({"losses": [2.0, 1.0], "dev": [[2, dev]]}))
        info = {"kind": kind, "label": node.label, "parent": node.parent, "config": {}, "summary": {"steps": 2}}
        store.publish(node.address, work, info)


@dataclass
class Home:
    """A home with one study, complete unless stated otherwise."""

    path: Path
    settings: ResolvedSpec = SETTINGS
    name: str = "s"

    def __post_init__(self) -> None:
        self.store, self.record = Store(self.path), Record(self.path, self.name)
        self.record.open(self.settings)

    def plan(self, tasks: tuple[str, ...]) -> Plan:
        return PLANNER.plan(recipes(self.settings)[tasks], self.settings.seeds)

    def add(self, tasks: tuple[str, ...], status: Any = "complete", lacking: Iterable[str] = ()) -> Trial:
        """Add a trial with its stages, except for the labels named."""
        plan = self.plan(tasks)
        for node in plan.nodes:
            if node.label not in lacking:
                publish(self.store, node, DEV[tasks])
        found = {t: a for t, a in plan.evaluations().items() if all(map(self.store.has, a))}
        known: dict[str, Any] = {"name": title(plan.recipe, TITLES), "params": {}, "evaluations": found}
        trial = Trial(address=plan.recipe.address, recipe=plan.recipe, status=status, **known)
        self.record.add_trial(trial)
        return trial

    def stage(self, tasks: tuple[str, ...], label: str) -> str:
        return next(n.address for n in self.plan(tasks).nodes if n.label == label)

    def weights(self) -> set[str]:
        """Return the stages with weights, as a new store sees them."""
        fresh = Store(self.path)
        return {
            p.parent.parent.name
            for p in self.path.glob("stages/*/*/encoder/model.safetensors")
            if fresh.has(p.parts[-3])
        }

    def collect(self, **options: Any) -> GcResult:
        return collect(self.path, RetentionPolicy(self.path, options.pop("keep_best", 1)), **options)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Make a home with four complete trials.

    MNLI is the best by English dev scores.
    """
    made = Home(tmp_path)
    for tasks in DEV:
        made.add(tasks)
    return made


def below(home: Home, tasks: tuple[str, ...]) -> set[str]:
    return {n.address for n in home.plan(tasks).nodes if n.config.kind != "evaluate"}


def age(path: Path, seconds: float) -> None:
    """Set modification times below the path back by some time."""
    for p in (*path.rglob("*"), path):
        os.utime(p, (time.time() - seconds,) * 2)


def test_the_grid_of_these_tests_is_as_they_think() -> None:
    assert set(recipes()) == set(DEV)


def test_only_the_best_recipe_keeps_weights_and_every_score_stays(home: Home) -> None:
    small = {p: p.read_bytes() for p in home.path.glob("stages/*/*/*") if "metrics" in p.name or "parquet" in p.name}
    home.collect()
    assert home.weights() == below(home, ("mnli",))
    assert len(small) == 3 * 2 * 4 and all(p.read_bytes() == content for p, content in small.items())
    for tasks in DEV:
        assert missing(home.plan(tasks), Store(home.path).has) == []


@pytest.mark.parametrize(("k", "kept"), [(0, []), (2, [("mnli",), ("squad",)]), (9, list(DEV))])
def test_the_best_k_are_kept(home: Home, k: int, kept: list[tuple[str, ...]]) -> None:
    home.collect(keep_best=k)
    assert home.weights() == set().union(*(below(home, tasks) for tasks in kept))


def add_recipe(home: Home, lr: float, dev: float, status: Any = "complete", labels: tuple[str, ...] = ()) -> set[str]:
    """Add a trial that trains MNLI with another learning rate, and its stages.

    If it saw labels of other languages, its own stages represent those, which the pocket data lack.

    Returns:
        The stages that only this trial has.
    """
    planned = replace(recipes()["mnli",], lr=lr)
    plan, recipe = PLANNER.plan(planned, home.settings.seeds), replace(planned, train_languages=labels)
    for node in plan.nodes:
        publish(home.store, node, dev)
    known: dict[str, Any] = {"name": title(recipe, {}), "params": {}, "evaluations": plan.evaluations()}
    home.record.add_trial(Trial(address=recipe.address, recipe=recipe, status=status, **known))
    return {n.address for n in plan.nodes if n.config.kind != "evaluate"} - below(home, ())


def best_of_report(home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the recipe that the report chooses.

    These evaluations have no scores of single examples.
    """
    monkeypatch.setattr("study.results.transfer_matrix._resampled", lambda *_: np.zeros(RESAMPLES))
    report = build(home.record, home.store)
    assert report.best is not None
    return report.best.address


def test_what_the_report_excludes_keeps_no_weights(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    excluded = add_recipe(home, 1e-5, 99.0, labels=("de",)) | add_recipe(home, 2e-5, 98.0, "pruned")
    excluded |= add_recipe(home, 3e-5, 97.0, "failed")
    assert best_of_report(home, monkeypatch) == recipes()["mnli",].address
    assert len(excluded) == 6 and excluded < home.weights()
    home.collect(keep_best=9)
    assert home.weights() == set().union(*(below(home, tasks) for tasks in DEV))
    home.collect()
    assert home.weights() == below(home, ("mnli",))


@pytest.mark.parametrize("dev", [{}, {("squad",): 60.0}, {("mnli",): 50.0, ("squad",): 50.0}, {(): 99.0}])
def test_the_recipe_that_the_report_calls_best_keeps_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dev: dict[tuple[str, ...], float]
) -> None:
    """Equal scores included, whichever trial ended first."""
    for tasks, score in dev.items():
        monkeypatch.setitem(DEV, tasks, score)
    home = Home(tmp_path)
    for tasks in reversed(DEV):
        home.add(tasks)
    add_recipe(home, 1e-5, 99.9, labels=("de",))
    best = best_of_report(home, monkeypatch)
    home.collect()
    assert home.weights() == below(home, next(tasks for tasks, r in recipes().items() if r.address == best))


def test_before_the_baseline_is_scored_the_best_so_far_keeps_its_weights(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for tasks in (("mnli",), ("squad",)):
        home.add(tasks)
    home.add((), "running", lacking=["evaluate xnli"])
    home.collect()
    assert below(home, ("mnli",)) <= home.weights() and not below(home, ("squad",)) <= home.weights()


def test_a_stage_without_weights_is_absent_to_be_made_again_and_keeps_its_curve(home: Home) -> None:
    trial = home.record.trials()[recipes()["squad",].address]
    before = curves(trial, home.store)
    home.collect()
    fresh, address = Store(home.path), home.stage(("squad",), "intermediate")
    assert not fresh.has(address) and not fresh.folder(address).exists()
    assert fresh.info(address)["label"] == "intermediate"
    assert curves(trial, fresh) == before and set(before) == {"intermediate", "target mnli"}
    node = next(n for n in home.plan(("squad",)).nodes if n.address == address)
    publish(fresh, node, 55.0)
    assert Store(home.path).has(address)
    home.collect()  # and freed once more, beside what was kept
    assert not Store(home.path).has(address) and Store(home.path).info(address)["kind"] == "intermediate"
    assert list((home.path / "trash").iterdir()) == []


def test_what_an_unfinished_trial_starts_from_stays(home: Home) -> None:
    shutil.rmtree(home.store.folder(home.plan(("squad",)).evaluations()["xnli"][0]))
    home.add(("squad",), "failed", lacking=["evaluate xnli"])
    home.collect(keep_best=0)
    assert home.weights() == {home.stage(("squad",), "target mnli")}  # all that the missing evaluation starts from


@pytest.mark.parametrize("lacking", [[], ["evaluate xnli"]])
def test_a_running_trial_keeps_all_that_it_has_made(home: Home, lacking: list[str]) -> None:
    if lacking:
        shutil.rmtree(home.store.folder(home.plan(("squad",)).evaluations()["xnli"][0]))
    home.add(("squad",), "running", lacking)
    home.collect(keep_best=0)
    assert home.weights() == below(home, ("squad",))


def test_rows_of_the_grid_that_have_not_started_keep_what_they_share(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.add(())
    home.collect(keep_best=0)
    assert home.weights() == {home.stage((), "pretrain")}  # the others train on the encoder, not on the baseline's XNLI


def test_a_complete_trial_whose_score_was_lost_counts_as_unfinished(home: Home) -> None:
    shutil.rmtree(home.store.folder(home.plan(("squad",)).evaluations()["tatoeba"][0]))
    home.collect(keep_best=0)
    assert home.weights() == {home.stage(("squad",), "intermediate")}


def test_a_pruned_trial_needs_nothing(home: Home) -> None:
    home.add(("squad",), "pruned")
    home.collect()
    assert home.weights() == below(home, ("mnli",))


def test_a_search_under_way_keeps_its_encoder(tmp_path: Path) -> None:
    home = Home(tmp_path, replace(SETTINGS, grid=False, trials=9))
    for tasks in DEV:
        home.add(tasks)
    home.collect(keep_best=0)
    assert home.weights() == {home.stage((), "pretrain")}
    ended = Home(tmp_path, replace(SETTINGS, grid=False, trials=4))
    ended.collect(keep_best=0)
    assert home.weights() == set()


def test_every_study_of_the_home_is_asked(home: Home) -> None:
    other = Home(home.path, replace(SETTINGS, targets=("tatoeba", "xnli", "panx")), "other")
    home.collect(keep_best=0)
    assert home.weights() == {home.stage((), "pretrain")} | {home.stage(t, "intermediate") for t in DEV if t}
    assert other.record.trials() == {}


def test_only_weights_of_the_named_studies_go(home: Home) -> None:
    other = Home(home.path, replace(SETTINGS, scale=0.02), "other")
    for tasks in DEV:
        other.add(tasks)
    mine, theirs = (set().union(*(below(h, tasks) for tasks in DEV)) for h in (home, other))
    home.collect(keep_best=0, names=["other"])
    assert home.weights() == mine and not mine & theirs


def test_an_encoder_that_another_study_starts_from_stays(home: Home) -> None:
    address = home.stage(("squad",), "intermediate")
    Home(home.path, replace(SETTINGS, encoder=str(home.store.folder(address) / "encoder")), "on-top")
    home.collect(keep_best=0)
    assert home.weights() == {address}


def test_a_study_that_cannot_be_planned_loses_nothing(home: Home) -> None:
    gone = Home(home.path, replace(SETTINGS, source=f"mirror:{home.path / 'gone'}", scale=0.02), "gone")
    trial = home.record.trials()[recipes()["squad",].address]
    other = replace(trial.recipe, scale=0.03)
    gone.record.add_trial(replace(trial, recipe=other, address=other.address, status="failed"))  # from the same stages
    orphan = replace(home.plan(("squad",)).nodes[0], parent="f" * 64)
    publish(home.store, orphan, 1.0)
    done = home.collect(keep_best=0)
    assert home.weights() == below(home, ("squad",)) | {orphan.address}
    assert len(done.notes) == 1 and "'gone' cannot be planned" in done.notes[0]


def test_a_study_that_is_not_understood_loses_nothing(home: Home) -> None:
    (address,) = home.plan(("squad",)).evaluations()["xnli"]
    (home.store.folder(address) / "metrics.json").write_text("{}")
    done = home.collect(keep_best=0)
    assert len(home.weights()) == 8 and len(done.notes) == 1


def test_a_stage_with_a_living_lease_stays(home: Home) -> None:
    address = home.stage(("squad",), "intermediate")
    lease = home.path / "leases" / address
    lease.write_text("someone")
    home.collect()
    assert address in home.weights()
    age(lease, LEASE_S + 5)
    home.collect()
    assert address not in home.weights()


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(home: Home) -> None:
    dead, alive, young = (home.path / "work" / f"{c * 64}-1234" for c in "abc")
    for folder in (dead, alive, young):
        (folder / "encoder").mkdir(parents=True)
        (folder / "encoder" / "model.safetensors").write_bytes(bytes(1000))
    for folder in (dead, alive):
        age(folder, LEASE_S + 5)
    (home.path / "leases" / ("b" * 64)).write_text("alive")
    stale, old_ray = home.path / "leases" / ("d" * 64), home.path / "ray" / "tmpold"
    stale.write_text("dead")
    old_ray.mkdir(parents=True)
    (home.path / "damaged" / "e-1").mkdir(parents=True)
    age(stale, LEFT_S + 5)
    age(old_ray, LEFT_S + 5)
    home.collect()
    assert not dead.exists() and alive.exists() and young.exists() and not stale.exists()
    assert list((home.path / "damaged").iterdir()) == []
    assert not old_ray.exists()


def test_the_scratch_folder_of_a_launch_goes_only_with_the_launch(home: Home) -> None:
    with scratch(home.path) as folder:
        age(Path(folder), 10 * LEFT_S)
        home.collect()
        assert Path(folder).exists()
        os.rename(folder, home.path / "ray" / "of-a-killed-one")
        Path(folder).mkdir()
    age(home.path / "ray" / "of-a-killed-one", 10 * LEFT_S)
    home.collect()
    assert list((home.path / "ray").iterdir()) == []


def test_a_removal_that_was_killed_half_way_is_ended(home: Home) -> None:
    address = home.stage(("squad",), "intermediate")
    (home.path / "trash").mkdir()
    os.rename(home.store.folder(address), home.path / "trash" / f"{address}-00")
    home.collect()
    assert Store(home.path).info(address)["label"] == "intermediate"
    assert list((home.path / "trash").iterdir()) == []


def cache(home: Home, *sizes: int) -> list[Path]:
    """Write encoded rows, the first the oldest."""
    (home.path / "encoded").mkdir()
    made = [home.path / "encoded" / f"{n}.npz" for n in range(len(sizes))]
    for n, (path, size) in enumerate(zip(made, sizes, strict=True)):
        path.write_bytes(bytes(size))
        age(path, 1000 - n)
    return made


def test_a_budget_takes_the_cache_first_and_then_weights_by_last_use(home: Home) -> None:
    files = cache(home, 5000, 5000)
    all_bytes = size_of(home.path)
    done = home.collect(max_bytes=all_bytes - 1)
    assert [f.exists() for f in files] == [False, True] and done.is_met and len(home.weights()) == 8
    both, old = ("mnli", "squad"), 5000
    for place in home.path.glob("stages/*/*/DONE"):
        age(place, 1000)
    for node in home.plan(both).nodes[1:]:
        age(home.store.folder(node.address) / "DONE", old)
    age(home.store.folder(home.stage(("squad",), "intermediate")) / "DONE", 2 * old)  # but its target ended later
    home.collect(max_bytes=all_bytes - 10_000 - WEIGHTS)
    assert not files[1].exists() and len(home.weights()) == 7
    assert not {home.stage(both, "intermediate"), home.stage(both, "target mnli")} <= home.weights()


def test_a_budget_that_cannot_be_met_says_so_and_takes_nothing_that_is_needed(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gc.main(["--home", str(home.path), "--max-bytes", "1kB"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "over the budget of 1.0 kB" in said and "of weights of the best recipes" in said
    assert home.weights() == below(home, ("mnli",))


def test_a_dry_run_tells_the_truth_and_frees_nothing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    cache(home, 100)
    before = sorted(p for p in home.path.rglob("*") if p.is_file())
    assert gc.main(["--home", str(home.path), "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert sorted(p for p in home.path.rglob("*") if p.is_file()) == before and planned["dry_run"]
    assert gc.main(["--home", str(home.path), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["freed"] == planned["freed"] and done["bytes"] == planned["bytes"] > 8 * WEIGHTS
    assert size_of(home.path) == done["bytes_after"] < 5 * WEIGHTS
    assert {use["what"]: use["count"] for use in done["uses"]}["stages: target"] == 4


def test_the_table_adds_up_to_the_home(home: Home) -> None:
    (home.path / "stages" / "ab" / "half").mkdir(parents=True)
    (home.path / "stages" / "ab" / "half" / "x").write_bytes(bytes(77))
    uses = {use.what: use.bytes for use in Disk(home.path).uses()}
    assert sum(uses.values()) == size_of(home.path) and uses["stages: not finished"] == 77


def test_the_budget_of_a_launch_frees_after_a_trial_and_warns_once(home: Home) -> None:
    said: list[str] = []
    Budget(home.path, None, said.append)()
    Budget(home.path, 10**9, said.append)()
    assert said == [] and len(home.weights()) == 8
    budget = Budget(home.path, 1000, said.append)
    budget()
    budget()
    assert home.weights() == below(home, ("mnli",))
    assert len(said) == 2 and said[0].startswith("freed ") and "over the budget" in said[1]


def test_a_launch_looks_at_its_budget_when_a_trial_has_ended(home: Home) -> None:
    said: list[str] = []
    job_of: Any = lambda recipe: SimpleNamespace(plan=PLANNER.plan(recipe, 1))  # noqa: E731
    budget = Budget(home.path, 1000, said.append)
    callbacks = MonitorCallbacks(say=said.append, after=budget)
    monitor = TrialMonitor(
        record=home.record, store=home.store, job_of=job_of, budget=1, concurrent=1, callbacks=callbacks
    )
    recipe = recipes()["mnli",]
    monitor.start(recipe, {})
    assert len(home.weights()) == 8
    ended = SimpleNamespace(
        config={"recipe": recipe.to_dict()}, last_result={"score": 60.0, "targets_done": 2}, num_failures=0
    )
    monitor.ended(ended, "")
    assert home.weights() == below(home, ("mnli",)) and said[1].startswith("freed ")


def test_a_launch_refuses_what_is_no_size(tmp_path: Path) -> None:
    for verb, argv in ((launch, []), (resume, ["s"])):
        with pytest.raises(BadInput, match="'20 G B' is not a size"):
            verb.main(["--home", str(tmp_path), *argv, "--max-bytes", "20 G B"])


def test_rows_are_encoded_again_where_the_cache_was_cleared_meanwhile(
    source: Source, tokenizer: Any, machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = dataset("xnli")
    sums = {"xnli/de/test": source.fingerprint(d, "de", "test")}
    rows = data.Data(source, tmp_path, tokenizer, machine.comm, 1.0, sums)
    cut = EncodingConfig(max_length=32)
    cached = rows.encoded(d, "de", "test", cut)
    (file,) = tmp_path.glob("*.npz")
    file.unlink()
    monkeypatch.setattr(data, "write_npz", lambda made, path: None)  # removed as soon as it was written
    again = rows.encoded(d, "de", "test", cut)
    assert list(again.tokens) == list(cached.tokens) and not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize(("text", "size"), [("500MB", 5 * 10**8), ("1.5GB", 15 * 10**8), ("1TiB", 2**40), ("7", 7)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == parse_size(text.lower()) == size


@pytest.mark.parametrize("text", ["", "20 G B", "GB", "-1GB", "0", "1e9", "20XB", "nan"])
def test_what_is_no_size_is_bad_input(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a size"):
        gc.main(["--home", str(tmp_path), f"--max-bytes={text}"])


def test_bad_names_and_numbers_are_bad_input(home: Home) -> None:
    for argv, said in (
        (["--studies", "ss"], "unknown study 'ss', did you mean 's'"),
        (["--keep-best", "-1"], ">= 0"),
    ):
        with pytest.raises(BadInput, match=said):
            gc.main(["--home", str(home.path), *argv])


@pytest.mark.slow
def test_a_real_study_reports_the_same_and_trains_what_it_lacks_to_the_same_weights(tmp_path: Path) -> None:
    """About ten seconds: two recipes in this process."""
    settings = replace(SETTINGS, targets=("xnli",), intermediate=("mnli",))
    store, record, reports = Store(tmp_path), Record(tmp_path, "real"), list[Any]()
    record.open(settings)

    def run(recipe: Recipe) -> Plan:
        plan = PLANNER.plan(recipe, 1)
        log = str(record.folder / "stages.jsonl")
        run_stages(TrialJob(plan, str(tmp_path), "pocket", log, "english_dev", 1, False, 1), reports.append)
        evaluations = plan.evaluations()
        known: dict[str, Any] = {"name": title(recipe, TITLES), "params": {}, "evaluations": evaluations}
        record.add_trial(Trial(address=recipe.address, recipe=recipe, status="complete", **known))
        return plan

    plans = [run(recipe) for recipe, _ in initial_trials(settings)]
    before = build(record, store)
    assert before.best is not None
    chosen = before.best.address
    sums = {n.address: (store.folder(n.address) / "DONE").read_text() for p in plans for n in p.nodes}
    collect(tmp_path, RetentionPolicy(tmp_path))
    kept = next(p for p in plans if p.recipe.address == chosen)
    assert {p.parts[-2] for p in tmp_path.glob("stages/*/*/encoder")} == {
        n.address for n in kept.nodes if n.config.kind != "evaluate"
    }
    after = build(record, Store(tmp_path))
    assert replace(after, created=before.created) == before
    other = next(p for p in plans if p is not kept)
    (lost,) = other.evaluations()["xnli"]
    shutil.rmtree(store.folder(lost))
    run(other.recipe)
    again = Store(tmp_path)
    for node in other.nodes:
        assert again.has(node.address)
        made, before_that = (
            json.loads(t) for t in ((again.folder(node.address) / "DONE").read_text(), sums[node.address])
        )
        del made["stage.json"], before_that["stage.json"]  # it records the stage's duration
        assert made == before_that
