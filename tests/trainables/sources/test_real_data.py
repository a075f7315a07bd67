"""The full path on human-made rows, where the checkout has them.

They are a mirror folder with real datasets in many languages.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from study import submission
from study.execution.trial import TrialJob, run_stages
from study.planning.plan import Plan, Planner, scored_languages
from study.record.record import Record, Trial
from study.results.statistics import read_scores
from study.spec.study_spec import ResolvedSpec
from study.store.store import Store
from study.xtreme.layout import VERSIONS, Version
from study.xtreme.scoring import score_folder
from tests import ROOT
from tests.builders import resolved
from trainables.catalogue import dataset
from trainables.configs import MIN_SCORED_ROWS, Evaluate
from trainables.recipe import Recipe
from trainables.sources import Source
from trainables.sources.files import read_parquet

HUB = ROOT.parent / "shared" / "hub"
pytestmark = pytest.mark.skipif(not HUB.is_dir(), reason=f"no mirror of real data at {HUB}")

TARGETS = ("xnli", "udpos", "panx", "xquad", "tatoeba")
# Where each target's rows are in the folder: one config a language, and the split that is scored.
FILES = {
    "xnli": "facebook/xnli/*/test.parquet",
    "udpos": "local/udpos/udpos.*/test.parquet",
    "panx": "local/panx-uner/PAN-X.*/test.parquet",
    "xquad": "google/xtreme/XQuAD.*/validation.parquet",
    "tatoeba": "google/xtreme/tatoeba.*/validation.parquet",
}
SCALE = 0.002
# One target of every other kind that the folder has: mining, topics, multiple choice, intents with slots.
OTHERS = ("bucc2018", "sib200", "xcopa", "xsid", "mtod", "arcd", "klue_nli")


@pytest.fixture(scope="module")
def real() -> tuple[ResolvedSpec, Source]:
    options = ["--space", "intermediate_tasks", "--source", f"mirror:{HUB}", "--encoder", "pretrain:nano"]
    return resolved(*options, "--scale", str(SCALE))


def found(target: str) -> list[Path]:
    """Return the files of a target's scored rows, one per language."""
    return sorted(HUB.glob(FILES[target]))


def test_the_folder_has_enough_targets_and_intermediate_tasks(real: tuple[ResolvedSpec, Source]) -> None:
    settings, source = real
    assert set(TARGETS) <= set(settings.targets)
    assert len(settings.intermediate) >= 5
    assert settings.mlm
    assert settings.selection == "english_dev"
    assert source.spec == f"mirror:{HUB}"
    kinds = {dataset(name).kind for name in settings.intermediate}
    assert {"labelled", "span", "choice"} <= kinds


@pytest.mark.parametrize("target", TARGETS)
def test_every_language_of_the_folder_is_planned(real: tuple[ResolvedSpec, Source], target: str) -> None:
    settings, source = real
    recipe = Recipe(encoder=settings.encoder, profile=settings.profile, targets=settings.targets, scale=SCALE)
    nodes = Planner(source, None).plan(recipe, 1).nodes
    planned = next(n.config.languages for n in nodes if isinstance(n.config, Evaluate) and n.config.target == target)
    configs = {path.parent.name for path in found(target)}
    assert len(configs) >= 3
    assert len(planned) == len(configs)
    d = dataset(target)
    assert {d.configs[tag] for tag, _ in planned if tag in d.configs} <= configs
    assert {split for _, split in planned} == {d.scored}
    if target != "tatoeba":
        assert planned[0][0] == "en"


@pytest.mark.parametrize("target", TARGETS)
def test_all_rows_of_every_language_can_be_read(real: tuple[ResolvedSpec, Source], target: str) -> None:
    source, d = real[1], dataset(target)
    counts = {tag: source.num_rows(d, tag, split) for tag, split in scored_languages(source, d)}
    assert sorted(counts.values()) == sorted(pq.read_metadata(path).num_rows for path in found(target))
    for tag, split in scored_languages(source, d):
        assert len(source.examples(d, tag, split)) == counts[tag]


@pytest.mark.parametrize(
    "file", sorted(HUB.glob("local/xtreme-samples/*/*.parquet")), ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_real_samples_of_what_the_folder_lacks_are_read(file: Path) -> None:
    config = file.parent.name
    name = {"PAWS-X": "pawsx", "MLQA": "mlqa", "tydiqa": "tydiqa"}[config.partition(".")[0]]
    table, names = read_parquet([file])
    for row in table.to_pylist():
        assert dataset(name).read(row, names) is not None


@pytest.fixture(scope="module")
def trial(real: tuple[ResolvedSpec, Source], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """Run one trial over every kind of target; return its home."""
    settings, source = real
    home = Path(tmp_path_factory.mktemp("home"))
    recipe = Recipe(encoder=settings.encoder, profile=settings.profile, targets=(*TARGETS, *OTHERS), scale=SCALE)
    plan = Planner(source, None).plan(recipe, 1)
    reports: list[dict[str, Any]] = []
    job = TrialJob(plan, str(home), source.spec, str(home / "log"), "english_dev", workers=1, gpu=False, cpus=1)
    run_stages(job, reports.append)
    assert [r["targets_done"] for r in reports] == list(range(1, len(recipe.targets) + 1))
    return home, plan


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_trial_scores_every_language(real: tuple[ResolvedSpec, Source], trial: tuple[Path, Plan]) -> None:
    source, (home, plan) = real[1], trial
    log = (home / "log").read_text().splitlines()
    assert len(log) == len(plan.nodes)
    assert sum(json.loads(line)["steps"] for line in log) > 0
    store = Store(home)
    for target, (address,) in plan.evaluations().items():
        d, metrics = dataset(target), store.metrics(address)
        assert dict(scored_languages(source, d)) == metrics.splits
        assert target not in FILES or len(metrics.languages) == len(found(target))
        for tag, values in metrics.languages.items():
            assert set(values) == set(d.metrics), (target, tag)
            assert all(0 <= value <= 100 for value in values.values()), (target, tag)
            there = source.num_rows(d, tag, metrics.splits[tag])
            assert metrics.examples[tag] >= min(MIN_SCORED_ROWS, there)
        tables = read_scores(store.folder(address) / "scores.parquet")
        assert {tag: len(next(iter(t.values()))) for tag, t in tables.items()} == metrics.examples
        assert store.info(address)["rows"].keys() == store.info(address)["config"]["data"].keys()


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_submitted_scores_as_in_the_report(
    version: Version, real: tuple[ResolvedSpec, Source], trial: tuple[Path, Plan], tmp_path: Path
) -> None:
    settings, (home, plan) = real[0], trial
    record = Record(home, "real")
    record.open(replace(settings, targets=plan.recipe.targets))
    address, recipe = plan.recipe.address, plan.recipe
    evaluations = plan.evaluations()
    record.add_trial(
        Trial(address=address, name="t", recipe=recipe, status="complete", evaluations=evaluations, params={})
    )
    out, labels = tmp_path / "out", tmp_path / "out-labels"
    assert submission.main(["real", "--home", str(home), "--out", str(out), "--labels"]) == 0
    scores, store, compared = score_folder(out, labels, version), Store(home), 0
    for task, found_scores in scores["tasks"].items():
        languages = store.metrics(evaluations[task][0]).languages
        for tag, values in found_scores["languages"].items():
            shared = values.keys() & languages[tag].keys()
            assert {name: values[name] for name in shared} == pytest.approx(
                {name: languages[tag][name] for name in shared}, abs=1e-9
            )
            compared += len(shared)
    assert compared > 60
