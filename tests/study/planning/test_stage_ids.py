"""Ids of stages are pinned: finished stages of a home survive refactoring.

A change here means that every home trains again. Where that is intended (a stage computes something else now), the
version of its config goes up, and `python -m tests.study.planning.test_stage_ids` writes the new ids.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from study.planning.encoder_weights import resolve
from study.planning.plan import Node, Planner
from study.spec.initial_trials import initial_trials
from tests import ROOT
from tests.builders import resolved
from trainables.recipe import Recipe, digest
from trainables.sources import open_source

PINS = ROOT / "tests" / "pins" / "stage_ids.json"
MIRROR = {
    "local/mlm.parquet": b"text",
    "local/mnli.parquet": b"pairs",
    "facebook/xnli/en/test.parquet": b"english",
    "facebook/xnli/de/test.parquet": b"german",
    "facebook/xnli/en/validation.parquet": b"dev",
    "mirror.toml": b'[mlm.en]\ntrain = "local/mlm.parquet"\n[mnli.en]\ntrain = "local/mnli.parquet"\n',
}
# What is launched on pocket -> its options.
CASES = {
    "defaults": "--space intermediate_tasks",
    "published numbers, seeds and curves": "--space intermediate_tasks --encoder pretrain:nano --profile phang2020"
    " --targets xnli,tatoeba --intermediate mnli,squad,mlm --seeds 2 --scale 0.1 --curve 3",
    "how encoders are read": "--space intermediate_tasks --targets tatoeba,panx,bucc2018 --intermediate ccg"
    " --layer 1 --pooling cls --direction xx_to_en --bare-prefix drop --sweep-layers",
    "everything": "--space intermediate_tasks --targets all --intermediate all --scale 0.05 --profile xtreme",
    "alignment and robust training": "--space intermediate_tasks --targets pawsx --intermediate mnli --align-on de+es,all"
    " --robust adversarial,random,synonyms",
    "alignment of the first training": "--space intermediate_tasks --targets xnli --intermediate mnli --align-on all"
    " --align-data sib200 --align-phase intermediate --profile jiant",
    "glue_prefinetuning": "--space glue_prefinetuning",
    "xero_align": "--space xero_align",
    "robust_training": "--space robust_training",
}


# A recipe on files of a mirror, by itself or before another source: ids come from the bytes of files.
ON_MIRROR = Recipe(
    encoder="pretrain:tiny",
    profile="small",
    targets=("xnli",),
    intermediate=("mnli",),
    mlm_ratio=0.25,
    epochs=1.0,
    lr=5e-4,
    scale=0.1,
)
MIRRORS = {"mirror": "mirror:{}", "mirror, then pocket": "mirror:{}+pocket"}


def launched(options: str) -> Iterator[tuple[Recipe, Node]]:
    """Plan every stage of every row of a launch with these options."""
    settings, source = resolved(*options.split())
    planner = Planner(source, resolve(settings.encoder), settings.sweep_layers)
    for recipe, _ in initial_trials(settings):
        for node in planner.plan(recipe, settings.seeds).nodes:
            yield recipe, node


def on_mirror(spec: str) -> Iterator[tuple[Recipe, Node]]:
    """Plan every stage of one recipe on the files below."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in MIRROR.items():
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / name).write_bytes(content)
        for node in Planner(open_source(spec.format(folder)), None).plan(ON_MIRROR, 1).nodes:
            yield ON_MIRROR, node


def all_pins() -> dict[str, dict[str, object]]:
    """Compute the content of the pin file."""
    found = {case: pins(launched(options)) for case, options in CASES.items()}
    return found | {case: pins(on_mirror(spec)) for case, spec in MIRRORS.items()}


def pins(stages: Iterable[tuple[Recipe, Node]]) -> dict[str, object]:
    """Summarise stage ids.

    The number of stages, one digest over the ids of all, and the ids of the first and last recipe by themselves.
    """
    found = list(stages)
    first, last = found[0][0].address, found[-1][0].address
    named = {
        f"{recipe.address[:8]} {node.label} {node.seed}": node.address
        for recipe, node in found
        if recipe.address in (first, last)
    }
    ids = sorted({node.address for _, node in found})
    return {"stages": len(ids), "all": digest({"ids": ids}), **named}


@pytest.mark.parametrize("case", [*CASES, *MIRRORS])
def test_ids_of_stages_are_what_they_were(case: str) -> None:
    stages = launched(CASES[case]) if case in CASES else on_mirror(MIRRORS[case])
    assert pins(stages) == json.loads(PINS.read_text())[case]


def test_enough_stages_of_every_kind_are_pinned() -> None:
    pinned = json.loads(PINS.read_text())
    assert pinned.keys() == CASES.keys() | MIRRORS.keys()
    assert sum(case["stages"] for case in pinned.values()) > 1000
    labels = {name.split()[1] for case in pinned.values() for name in case if " " in name}
    assert labels == {"pretrain", "intermediate", "align", "target", "evaluate", "layers"}


if __name__ == "__main__":
    PINS.parent.mkdir(exist_ok=True)
    PINS.write_text(json.dumps(all_pins(), indent=1) + "\n")
