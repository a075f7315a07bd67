"""Configs of stages: frozen values of literals, hashed into stage ids.

They identify a stage; nothing about machines belongs here.
"""

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
    """Alignment at every step, on rows with English and other languages.

    Attributes:
        data: catalogue name of the rows, which have the same ids in all languages.
        languages: languages that are aligned with English.
        weight: of the mean squared difference of the sentence vectors (see `objectives.Align`).
        batch: pairs of one step.
        max_length: longest input in sub-tokens.
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
    """A profile's phase, and what else the training loop needs.

    Attributes:
        dropout: None keeps the encoder's own.
        min_evals: number of evenly spaced dev evaluations in a phase shorter than `eval_every` steps.
        mask: share of tokens that masked LM hides.
        align, robust: objectives beside, or in place of, the tasks' own losses; synonyms are in the tasks' rows.
    """

    dropout: float | None = None
    min_evals: int = 4
    mask: float = 0.15
    seed: int = 0
    align: AlignmentConfig | None = None
    robust: Robust | None = None

    def steps_per_eval(self, steps: int) -> int:
        """Return the steps between dev evaluations of a phase of `steps` steps."""
        return max(1, min(self.eval_every, math.ceil(steps / self.min_evals)))


@dataclass(frozen=True, kw_only=True)
class EncodingConfig:
    """How text becomes rows of sub-tokens.

    Attributes:
        max_length: longest row in sub-tokens.
        doc_stride: step between the windows of a long context.
        bare_prefix: treatment of lone word-boundary pieces (see `Recipe`).
    """

    max_length: int
    doc_stride: int = 128
    bare_prefix: BarePrefix = "label"


@dataclass(frozen=True, kw_only=True)
class TaskTraining:
    """Training on one dataset inside a phase.

    Attributes:
        batch: examples per step.
        epochs: passes over the data where the phase's `epochs` is 1.
        max_length: longest input in sub-tokens.
        doc_stride: step between the windows of a long context.
        rows: (dataset, language) of its training rows; () = its own English ones.
        copies: copies with synonyms that replace each training row; 0 = the rows as they are.
        synonyms: hash of the synonyms used (`synonyms.address`).
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
        """The encoding of its rows."""
        return EncodingConfig(max_length=self.max_length, doc_stride=self.doc_stride, bare_prefix=self.bare_prefix)


@dataclass(frozen=True, kw_only=True)
class Mlm:
    """Masked LM as one more task.

    Attributes:
        batch: lines per step.
        max_length: longest line in sub-tokens.
        sentences: corpus size that counts in the mix.
        alpha: exponent of language smoothing.
        languages: languages of the text.
        sizes: rows of each language in the whole corpus; () where the mix uses every row.
        articles: the rows are articles, which are split into sentences.
    """

    batch: int
    max_length: int
    sentences: int
    alpha: float
    languages: tuple[str, ...]
    sizes: tuple[int, ...] = ()
    articles: bool = False


# `data` of every stage maps "dataset/language/split" to the source's content hash of those rows.


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Masked-LM pretraining of a small encoder from scratch.

    `shape` is every number of the size.
    """

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
    """Training on one or several mixed English tasks.

    Masked LM is mixed in when `mlm_ratio` is not 0.
    """

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
    """Evaluations during training that are only reported.

    Nothing is selected or stopped by them.

    Attributes:
        points: their number, evenly spaced over the planned steps, the last at their end.
        cut: encoding of the scored rows, as in the evaluation.
        train_rows: number of first rows that represent a train split.
        data: content hashes of the scored rows, apart from the `data` of the stage, since dev scores must not see them.
    """

    points: int
    cut: EncodingConfig
    train_rows: int = 500
    data: Mapping[str, str] = field(default_factory=dict)

    def steps(self, planned: int) -> tuple[int, ...]:
        """Return the steps after which scores are recorded.

        They are fewer than `points` where there are fewer steps.
        """
        return tuple(sorted({max(1, round(planned * (k + 1) / self.points)) for k in range(self.points)}))


@dataclass(frozen=True, kw_only=True)
class Target:
    """English training of one target, from an encoder or an intermediate stage.

    Its head is fresh.

    Attributes:
        head_of: task of the parent stage whose head is trained further, instead of a fresh one; "" = fresh.
        curve: evaluations during training; None = none.
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
    """Zero-shot scores of one target in every language, and the selection score.

    Attributes:
        head: the training set whose head is used; "" for retrieval.
        languages: (language, split) pairs that are scored.
        selection: (dataset, split) of the English rows that selection may see; ("", "") where there are none.
        layer, pooling, direction: how retrieval uses the encoder, see `Recipe`; as published for other targets.
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
        """The encoding of the scored rows."""
        return EncodingConfig(max_length=self.max_length, doc_stride=self.doc_stride, bare_prefix=self.bare_prefix)


@dataclass(frozen=True, kw_only=True)
class LayerSweep:
    """Retrieval accuracy of every layer of an encoder.

    Each sentence is encoded once.
    """

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
    """Return content hashes of everything that a stage reads.

    That is what it trains on or evaluates, and what its curve scores.
    """
    curve = config.curve.data if isinstance(config, Target) and config.curve else {}
    return {**config.data, **curve}


def identity(config: StageConfig) -> dict[str, Any]:
    """Return everything of a config that is hashed, as plain literals.

    What came later is left out where it changes nothing, so that stages made before keep their ids.
    """
    values = asdict(config)
    if (mlm := values.get("mlm")) and not mlm["sizes"]:
        del mlm["sizes"], mlm["articles"]
    return {"kind": config.kind, "version": config.version, **values}


MIN_TRAIN_ROWS, MIN_SCORED_ROWS = 64, 50


def rows_used(scale: float, rows: int, split: str) -> int:
    """Return the number of rows of a split that a stage uses at a scale."""
    return rows_at(scale, rows, MIN_TRAIN_ROWS if split == "train" else MIN_SCORED_ROWS)


def rows_at(scale: float, rows: int, at_least: int) -> int:
    """Scale a number of rows, but keep at least `at_least`."""
    return min(rows, max(at_least, math.ceil(scale * rows)))


def steps_of(tasks: Mapping[str, tuple[int, float, int]], epochs: float, limit: int, mlm_share: float) -> int:
    """Return the optimiser steps of a phase.

    One task runs its own epochs over all its items. Several run `epochs` times sum_m epochs_m * ceil(min(e_m, K) / b_m)
    (the published mixture has 3 epochs for every task). Masked LM stretches the count by 1 / (1 - share), so that the
    supervised tasks keep their passes.

    Args:
        tasks: name -> (items e_m, epochs_m, batch b_m).
        epochs: multiple of every task's epochs.
        limit: K; 0 = no cap.
        mlm_share: probability of a masked-LM step, in [0, 1).
    """
    capped = {n: (min(items, limit) if limit and len(tasks) > 1 else items, e, b) for n, (items, e, b) in tasks.items()}
    supervised = sum(epochs * e * math.ceil(items / b) for items, e, b in capped.values())
    return max(1, round(supervised / (1 - mlm_share)))
