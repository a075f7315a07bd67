"""Specification of a study, as given and as resolved."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import check_number
from trainables.recipe import Recipe, digest

if TYPE_CHECKING:
    from search_spaces.space import Space
    from trainables.catalogue import Dataset
    from trainables.sources import Source

# Fields that a second launch under the same name must match.
IDENTITY = (
    "space",
    "source",
    "encoder",
    "profile",
    "targets",
    "intermediate",
    "mlm",
    "seeds",
    "scale",
    "recipe",
    "reading",
    "objectives",
)


@dataclass(frozen=True, kw_only=True, repr=False)
class StudySpec:
    """Options of a study, named as in `study.launch`.

    None stands for an option's default. Nothing is checked before `resolve`, which `Study.create` calls.

    Attributes:
        space: name from `search_spaces`, or a `Space` value; required unless `recipe` is set.
        source: "pocket" (default), "mirror:DIR", "hub", or several: "mirror:DIR+hub".
        encoder: "pocket" (default), "pretrain:SIZE", a hub id or a folder.
        targets, intermediate: catalogue names or `Dataset` values; "all" and "mlm" as on the command line.
        trials, grid: number of trials of a search, or exactly the published recipes (the default).
        recipe: file written by a report, or a `Recipe`, to run beside the baseline.
        profile: name of a set of hyperparameters.
        seeds: number of seeds of every recipe (default 1).
        scale: fraction of all rows and steps (default 1).
        layer, pooling, direction: how sentence retrieval uses the encoder.
        bare_prefix: lone word-boundary pieces in tagging: "label" or "drop".
        curve: number of scores during a target's training.
        align_on: languages or groups such as "de+es"; each is a recipe. `align_data`, `align_phase`: on which rows, and when.
        robust: methods of robust training; each is a recipe. `synonyms`: a file for the method of that name.
        sweep_layers: score retrieval at every layer too.
    """

    space: str | Space | None = None
    source: str | None = None
    encoder: str | None = None
    targets: Sequence[str | Dataset] | None = None
    intermediate: Sequence[str | Dataset] | None = None
    trials: int | None = None
    grid: bool = False
    recipe: str | Path | Recipe | None = None
    profile: str | None = None
    seeds: int | None = None
    scale: float | None = None
    layer: int | None = None
    pooling: str | None = None
    direction: str | None = None
    bare_prefix: str | None = None
    curve: int | None = None
    align_on: Sequence[str] | None = None
    align_data: str | None = None
    align_phase: str | None = None
    robust: Sequence[str] | None = None
    synonyms: str | None = None
    sweep_layers: bool = False

    def __repr__(self) -> str:
        """Show the options that are set."""
        shown = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        names = {name: getattr(value, "name", value) for name, value in shown.items()}
        return f"StudySpec({', '.join(f'{name}={value!r}' for name, value in names.items())})"

    def resolve(self) -> tuple[ResolvedSpec, Source]:
        """Check the options, fill in defaults and open the source.

        Raises:
            BadInput: an option is invalid, unknown or missing from the source.
        """
        from study.spec.resolve import resolve_spec

        return resolve_spec(self)


@dataclass(frozen=True, kw_only=True)
class ResolvedSpec:
    """A `StudySpec` with all defaults filled in, as the record stores it."""

    space: str
    source: str
    encoder: str
    profile: str
    targets: tuple[str, ...]
    intermediate: tuple[str, ...]
    mlm: bool
    seeds: int
    scale: float
    selection: str
    trials: int
    grid: bool
    recipe: dict[str, Any] | None = None  # a single recipe to run beside the baseline (`--recipe`)
    reading: dict[str, Any] = field(default_factory=dict)  # retrieval and curve keys of recipes, if not as published
    objectives: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # "align", "robust": those to compare
    labelled: tuple[str, ...] = ()  # languages other than English with training rows of every trained target
    sweep_layers: bool = False
    store: str = ""  # URL where finished stages are stored too (`--store`)
    encoder_at: str = ""  # where the folder `encoder` was found last, if it was moved

    @property
    def weights_from(self) -> str:
        """The encoder, as `encoder_weights.resolve` finds it now."""
        return self.encoder_at or self.encoder

    @property
    def default_name(self) -> str:
        """Readable study name with a short hash of all identifying fields."""
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", f"{self.source.split('/')[-1]}-{self.encoder.split('/')[-1]}")
        slug = slug[:60].strip("-")
        return f"{self.space}-{slug}-{digest({k: v for k, v in asdict(self).items() if k in IDENTITY})[:6]}"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run that do not affect results.

    Attributes:
        workers: data-parallel workers per trial, at least 1.
        address: address of an existing Ray cluster; None starts Ray on this machine.
        mlflow_uri: tracking server or store; None = a SQLite file in the home.
        checkpoint_every: seconds between checkpoints, at least 0.
        max_bytes: maximum size of the home in bytes; None = no limit.
        quiet: print progress to standard error, and no table.

    Raises:
        BadInput: a number is out of range.
    """

    workers: int = 1
    address: str | None = None
    mlflow_uri: str | None = None
    checkpoint_every: float = 60.0
    max_bytes: int | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        check_number("--workers", self.workers, at_least=1)
        check_number("--checkpoint-every", self.checkpoint_every, at_least=0)
