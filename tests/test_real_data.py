"""The same path on human-made rows: a mirror folder with real datasets in many languages, where the checkout has one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from study.launch import parser, settings_of
from study.plan import Planner, scored_languages
from study.record import Settings
from study.statistics import read_scores
from study.store import Store
from study.trial import Job, run_stages
from trainables.catalogue import dataset
from trainables.configs import MIN_SCORED_ROWS, Evaluate
from trainables.recipe import Recipe
from trainables.sources import Source

HUB = Path(__file__).resolve().parents[1].parent / "shared" / "hub"
pytestmark = pytest.mark.skipif(not HUB.is_dir(), reason=f"no mirror of real data at {HUB}")

TARGETS = ("xnli", "udpos", "panx", "xquad", "tatoeba")
# Where each target's rows lie in the folder: one config a language, and the split that is scored.
FILES = {
    "xnli": "facebook/xnli/*/test.parquet",
    "udpos": "local/udpos/udpos.*/test.parquet",
    "panx": "local/panx-uner/PAN-X.*/test.parquet",
    "xquad": "google/xtreme/XQuAD.*/validation.parquet",
    "tatoeba": "google/xtreme/tatoeba.*/validation.parquet",
}
SCALE = 0.002


@pytest.fixture(scope="module")
def real() -> tuple[Settings, Source]:
    options = ["--space", "intermediate_tasks", "--source", f"mirror:{HUB}", "--encoder", "pretrain:nano"]
    return settings_of(parser().parse_args([*options, "--scale", str(SCALE)]))


def found(target: str) -> list[Path]:
    """The files of a target's scored rows, one per language."""
    return sorted(HUB.glob(FILES[target]))


def test_the_folder_has_enough_targets_and_intermediate_tasks(real: tuple[Settings, Source]) -> None:
    settings, source = real
    assert set(TARGETS) <= set(settings.targets)
    assert len(settings.intermediate) >= 5
    assert settings.mlm
    assert settings.selection == "english_dev"
    assert source.spec == f"mirror:{HUB}"
    kinds = {dataset(name).kind for name in settings.intermediate}
    assert {"labelled", "span", "choice"} <= kinds


@pytest.mark.parametrize("target", TARGETS)
def test_every_language_of_the_folder_is_planned(real: tuple[Settings, Source], target: str) -> None:
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
def test_all_rows_of_every_language_can_be_read(real: tuple[Settings, Source], target: str) -> None:
    source, d = real[1], dataset(target)
    counts = {tag: source.num_rows(d, tag, split) for tag, split in scored_languages(source, d)}
    assert sorted(counts.values()) == sorted(pq.read_metadata(path).num_rows for path in found(target))
    for tag, split in scored_languages(source, d):
        assert len(source.examples(d, tag, split)) == counts[tag]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_trial_scores_every_language(real: tuple[Settings, Source], tmp_path: Path) -> None:
    settings, source = real
    recipe = Recipe(encoder=settings.encoder, profile=settings.profile, targets=TARGETS, scale=SCALE)
    plan = Planner(source, None).plan(recipe, 1)
    reports: list[dict[str, Any]] = []
    log = tmp_path / "log"
    run_stages(
        Job(plan, str(tmp_path), source.spec, str(log), "english_dev", workers=1, gpu=False, cpus=1), reports.append
    )
    assert [r["targets_done"] for r in reports] == [1, 2, 3, 4, 5]
    assert len(log.read_text().splitlines()) == len(plan.nodes)
    assert sum(json.loads(line)["steps"] for line in log.read_text().splitlines()) > 0
    store = Store(tmp_path)
    for target, (address,) in plan.evaluations().items():
        metrics = store.metrics(address)
        assert len(metrics["languages"]) == len(found(target))
        for tag, values in metrics["languages"].items():
            assert set(values) == set(dataset(target).metrics), (target, tag)
            assert all(0 <= value <= 100 for value in values.values()), (target, tag)
            there = source.num_rows(dataset(target), tag, metrics["splits"][tag])
            assert metrics["examples"][tag] >= min(MIN_SCORED_ROWS, there)
        tables = read_scores(store.folder(address) / "scores.parquet")
        assert {tag: len(next(iter(t.values()))) for tag, t in tables.items()} == metrics["examples"]
