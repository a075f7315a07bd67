"""What identifies a stage: frozen values of literals, hashed into its address. Nothing about machines belongs here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from trainables.objectives import Robust
from trainables.profiles import Phase
from trainables.recipe import BarePrefix, Direction, MlmRatio, Pooling


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """What is aligned at every step: rows that stand in English and in other languages under the same ids.

    Attributes:
        data: catalogue name of the rows; languages: whose, beside English.
        weight: of the mean squared difference of the sentence vectors (see `objectives.Align`).
        batch: pairs of one step.
        alone: the task's own loss is left out.
    """

    data: str
    languages: tuple[str, ...]
    weight: float
    batch: int
    max_length: int
    alone: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Phase):
    """A profile's numbers of a phase, and what else the training loop needs.

    Attributes:
        dropout: None keeps the encoder's own.
        min_evals: a phase shorter than `eval_every` steps still has so many dev evaluations, evenly spaced.
        mask: share of tokens that masked LM hides.
        align, robust: objectives beside, or in place of, the tasks' own losses; exchanged words are in the tasks' rows.
    """

    dropout: float | None = None
    min_evals: int = 4
    mask: float = 0.15
    seed: int = 0
    align: AlignmentConfig | None = None
    robust: Robust | None = None

    def steps_per_eval(self, steps: int) -> int:
        """Steps between two dev evaluations of a phase of so many steps."""
        return max(1, min(self.eval_every, math.ceil(steps / self.min_evals)))


@dataclass(frozen=True, kw_only=True)
class EncodingConfig:
    """How text becomes rows: longest row, step between windows of a long context, lone word-boundary pieces."""

    max_length: int
    doc_stride: int = 128
    bare_prefix: BarePrefix = "label"


@dataclass(frozen=True, kw_only=True)
class TaskTraining:
    """How one dataset is trained inside a phase: examples per step, passes at epochs = 1, longest input, window step.

    Attributes:
        rows: (dataset, language) of its training rows; () = its own English ones.
        copies: this many of each training row in place of it, with words exchanged; 0 = the rows as they are.
        synonyms: hash of the words that they are exchanged for (`synonyms.address`).
    """

    name: str
    batch: int
    epochs: float
    max_length: int
    doc_stride: int = 128
    bare_prefix: BarePrefix = "label"
    rows: tuple[tuple[str, str], ...] = ()
    copies: int = 0
    synonyms: str = ""

    @property
    def trained_on(self) -> tuple[tuple[str, str], ...]:
        """(dataset, language) of its training rows."""
        return self.rows or ((self.name, "en"),)

    @property
    def cut(self) -> EncodingConfig:
        """How its rows are cut."""
        return EncodingConfig(max_length=self.max_length, doc_stride=self.doc_stride, bare_prefix=self.bare_prefix)


@dataclass(frozen=True, kw_only=True)
class Mlm:
    """Masked LM as one more task: batch in lines, corpus size that counts in the mix, language smoothing exponent."""

    batch: int
    max_length: int
    sentences: int
    alpha: float
    languages: tuple[str, ...]


# `data` of every stage maps "dataset/language/split" to the source's content hash of those rows.


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Masked-LM pretraining of a small encoder from nothing; `shape` is every number of the size."""

    kind: ClassVar[str] = "pretrain"
    version: ClassVar[int] = 1
    size: str
    shape: Mapping[str, float]
    scale: float
    seed: int
    text_languages: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]  # (dataset, language) of parallel rows
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Intermediate:
    """Training on one or several English tasks, mixed, with masked LM beside them when `mlm_ratio` is not 0."""

    kind: ClassVar[str] = "intermediate"
    version: ClassVar[int] = 1
    tasks: tuple[TaskTraining, ...]
    mixing_limit: int
    mlm_ratio: MlmRatio
    mlm: Mlm | None
    epochs: float
    steps: int
    fit: TrainingConfig
    scale: float
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CurveConfig:
    """Scores that training notes on the way, only to be reported: nothing is selected or stopped by them.

    Attributes:
        points: how many, evenly spaced over the planned steps, the last at their end.
        cut: how the scored rows are cut, as in the evaluation.
        train_rows: so many first rows stand for a train split.
        data: what is scored, apart from the `data` of the stage, since dev scores must not see it.
    """

    points: int
    cut: EncodingConfig
    train_rows: int = 500
    data: Mapping[str, str] = field(default_factory=dict)

    def steps(self, planned: int) -> tuple[int, ...]:
        """The steps after which scores are noted; fewer than `points` where there are not as many steps."""
        return tuple(sorted({max(1, round(planned * (k + 1) / self.points)) for k in range(self.points)}))


@dataclass(frozen=True, kw_only=True)
class Target:
    """English training of one target, from an encoder or an intermediate stage; its head is fresh.

    Attributes:
        head_of: the head of this task in the parent stage goes on being trained, instead of a fresh one; "" = fresh.
        curve: what is scored on the way; None = nothing.
    """

    kind: ClassVar[str] = "target"
    version: ClassVar[int] = 1
    task: TaskTraining
    head_of: str = ""
    fit: TrainingConfig
    scale: float
    data: Mapping[str, str] = field(default_factory=dict)
    curve: CurveConfig | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Zero-shot scores of one target in every language, and the score that selection looks at.

    Attributes:
        head: the training set whose head is used; "" for retrieval.
        languages: (language, split) pairs that are scored.
        selection: (dataset, split) of the English rows that selection may see; ("", "") where there are none.
        layer, pooling, direction: how retrieval reads the encoder, see `Recipe`; as published where nothing is retrieved.
        bare_prefix: see `Recipe`.
    """

    kind: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 2
    target: str
    head: str
    languages: tuple[tuple[str, str], ...]
    selection: tuple[str, str]
    max_length: int
    doc_stride: int
    scale: float
    layer: int = 0
    pooling: Pooling = "mean"
    direction: Direction = "en_to_xx"
    bare_prefix: BarePrefix = "label"
    data: Mapping[str, str] = field(default_factory=dict)

    @property
    def cut(self) -> EncodingConfig:
        """How the scored rows are cut."""
        return EncodingConfig(max_length=self.max_length, doc_stride=self.doc_stride, bare_prefix=self.bare_prefix)


@dataclass(frozen=True, kw_only=True)
class LayerSweep:
    """Retrieval accuracy of every layer of an encoder: each sentence is encoded once."""

    kind: ClassVar[str] = "sweep"
    version: ClassVar[int] = 1
    target: str
    languages: tuple[tuple[str, str], ...]
    max_length: int
    scale: float
    pooling: Pooling
    direction: Direction
    data: Mapping[str, str] = field(default_factory=dict)


StageConfig = Pretrain | Intermediate | Target | Evaluate | LayerSweep


def all_data(config: StageConfig) -> dict[str, str]:
    """Content hashes of everything that a stage reads: what it trains on or evaluates, and what its curve scores."""
    curve = config.curve.data if isinstance(config, Target) and config.curve else {}
    return {**config.data, **curve}


def identity(config: StageConfig) -> dict[str, Any]:
    """Everything of a config that is hashed, as plain literals."""
    return {"kind": config.kind, "version": config.version, **asdict(config)}


MIN_TRAIN_ROWS, MIN_SCORED_ROWS = 64, 50


def rows_used(scale: float, rows: int, split: str) -> int:
    """How many rows of a split of this size a stage at this scale uses."""
    return rows_at(scale, rows, MIN_TRAIN_ROWS if split == "train" else MIN_SCORED_ROWS)


def rows_at(scale: float, rows: int, at_least: int) -> int:
    """How many of a split's rows a rehearsal at this scale uses."""
    return min(rows, max(at_least, math.ceil(scale * rows)))


def steps_of(tasks: Mapping[str, tuple[int, float, int]], epochs: float, limit: int, mlm_share: float) -> int:
    """Optimiser steps of a phase.

    One task runs its own epochs over all its items. Several run `epochs` times sum_m epochs_m * ceil(min(e_m, K) / b_m)
    (the published mixture has 3 epochs for every task). Masked LM stretches the count by 1 / (1 - share), so that the
    supervised tasks keep their passes.

    Args:
        tasks: name -> (items e_m, epochs_m, batch b_m).
        limit: K; 0 = no cap.
        mlm_share: probability of a masked-LM step, in [0, 1).
    """
    capped = {n: (min(items, limit) if limit and len(tasks) > 1 else items, e, b) for n, (items, e, b) in tasks.items()}
    supervised = sum(epochs * e * math.ceil(items / b) for items, e, b in capped.values())
    return max(1, round(supervised / (1 - mlm_share)))
