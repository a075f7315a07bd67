"""Reduced pocket data, and helpers that run a stage in this process.

A stage takes about a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from study.planning.encoder_weights import resolve
from study.planning.plan import Planner
from study.planning.rows_check import mark_checked
from study.spec.initial_trials import initial_trials
from tests.builders import resolved
from trainables import pocket
from trainables.configs import StageConfig
from trainables.recipe import Recipe
from trainables.sources import Source
from trainables.sources.pocket import PocketTables
from trainables.sources.tables import TableSource
from trainables.training.checkpoint import Checkpoints
from trainables.training.loop import ProgressCallback

LANGUAGES = ("en", "de", "sw")
ROWS = {"train": 200, "validation": 60, "test": 60}

Change = Callable[[str, str, str, pa.Table], pa.Table]


class SmallWorld:
    """The first rows of the pocket tables in three languages.

    `change` may edit a table before it is read.
    """

    def __init__(self, change: Change | None = None) -> None:
        self.change = change

    def table(self, dataset: str, language: str, split: str, /) -> pa.Table | None:
        found = pocket.table(dataset, language, split)
        if found is None:
            return None
        if split in ROWS:  # pools stay whole: every gold pair stands in them
            found = found.slice(0, ROWS[split])
        return self.change(dataset, language, split, found) if self.change else found

    def label_names(self, dataset: str, /) -> Mapping[str, tuple[str, ...]]:
        return pocket.label_names(dataset)

    def splits(self, dataset: str, /) -> Mapping[str, tuple[str, ...]]:
        return {s: tuple(x for x in found if x in LANGUAGES) for s, found in pocket.splits(dataset).items()}


def small_source(change: Change | None = None) -> Source:
    return TableSource(PocketTables(SmallWorld(change)))


def stages_of(source: Source, encoder: str, **recipe: Any) -> dict[str, StageConfig]:
    """Plan a recipe's stages; return their configs by label.

    `encoder` is as in a recipe.
    """
    values = {"profile": "small", "targets": ("xnli",), **recipe}
    plan = Planner(source, resolve(encoder)).plan(Recipe(encoder=encoder, **values), 1)
    return {node.label: node.config for node in plan.nodes}


def as_checked(home: Path, *argv: str) -> None:
    """Mark the rows of a launch as checked in a home.

    This imitates rows that have changed since the check.
    """
    settings, source = resolved(*argv)
    planner = Planner(source, resolve(settings.encoder), settings.sweep_layers)
    mark_checked(source, [planner.plan(recipe, settings.seeds) for recipe, _ in initial_trials(settings)], home)


def run_stage(
    config: StageConfig,
    init: Path | None,
    out: Path,
    source: Source,
    on_progress: ProgressCallback = lambda *_: None,
    checkpoints: Checkpoints | None = None,
    synonyms: str = "",
) -> dict[str, Any]:
    """Run a stage in this process into the folder `out`; return its summary.

    It runs alone or as a worker of its group. Encoded rows are cached beside `out`. Two sources that differ under one
    fingerprint must not share that folder.
    """
    import torch

    from trainables.context import Context
    from trainables.stages import run
    from trainables.training.distributed import ProcessGroup
    from trainables.training.loop import Device

    out.mkdir(parents=True, exist_ok=True)
    machine = Device(torch.device("cpu"), ProcessGroup())
    return run(config, init, out, Context(source, out.parent / "encoded", machine, on_progress, checkpoints, synonyms))


def quiet() -> None:
    """Limit torch to one CPU thread and turn progress bars off.

    Tests and workers that run side by side then do not slow each other down.
    """
    import torch
    import transformers

    torch.set_num_threads(1)
    log: Any = transformers.logging  # untyped
    log.set_verbosity_error()
    log.disable_progress_bar()


def assert_same_weights(one: Path, other: Path) -> None:
    """Assert that two stages left bit-identical weights.

    Exempt is the rounding of weight decay of embedding rows that only one of them used.
    """
    import torch
    from safetensors.torch import load_file

    for name in ("encoder/model.safetensors", "heads.safetensors"):
        ours, theirs = load_file(one / name), load_file(other / name)
        assert ours.keys() == theirs.keys()
        for key, tensor in ours.items():
            exact = not key.endswith("word_embeddings.weight")
            torch.testing.assert_close(tensor, theirs[key], rtol=0 if exact else 1e-5, atol=0, msg=f"{name}: {key}")


def files_of(folder: Path) -> dict[str, bytes]:
    """Map relative paths to every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
