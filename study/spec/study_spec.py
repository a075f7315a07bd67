"""What a study is asked to do, and the same with every default filled in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import check_number
from trainables.recipe import Recipe, digest

if TYPE_CHECKING:
    from search_spaces.space import Space
    from trainables.catalogue import Dataset
    from trainables.sources import Source

# What a second launch under the same name must agree with.
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


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """What a study is asked to do: the options of `study.launch`, by the same names; None is the option's default.

    Nothing is checked until `resolve`, which names whatever is wrong.

    Attributes:
        space: a name of `search_spaces`, or a `Space` of your own; needed unless there is a recipe.
        targets, intermediate: names of the catalogue or `Dataset` values of your own; "all", "mlm" as on the command line.
        recipe: a file that a report wrote, or a `Recipe`, to run beside the baseline.
        align_on: languages or groups such as "de+es"; each is a row.
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

    def resolve(self) -> tuple[ResolvedSpec, Source]:
        """Check everything against catalogue and source, and fill in defaults; raises BadInput."""
        from study.spec.resolve import resolve

        return resolve(self)


@dataclass(frozen=True, kw_only=True)
class ResolvedSpec:
    """A `StudySpec` with every default filled in, as the study's record holds it."""

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
    reading: dict[str, Any] = field(default_factory=dict)  # recipe keys on how encoders are read, if not as published
    objectives: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # "align", "robust": what is asked about
    labelled: tuple[str, ...] = ()  # languages other than English with training rows of every target that is trained
    sweep_layers: bool = False
    store: str = ""  # URL where finished stages are kept too (`--store`)

    @property
    def default_name(self) -> str:
        """A readable name; a short hash tells apart what the readable part leaves out."""
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", f"{self.source.split('/')[-1]}-{self.encoder.split('/')[-1]}")
        slug = slug[:60].strip("-")
        return f"{self.space}-{slug}-{digest({k: v for k, v in asdict(self).items() if k in IDENTITY})[:6]}"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a study is run; no result depends on it. Raises BadInput for numbers that are out of range.

    Attributes:
        workers: data-parallel workers of a trial.
        address: of an existing Ray cluster; None starts one on this machine.
        mlflow_uri: server or store; None is a SQLite file in the home.
        checkpoint_every: seconds between checkpoints.
        max_bytes: bytes that the home is kept within; None is no limit.
        quiet: what is said on the way goes to standard error, and no table is printed.
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
