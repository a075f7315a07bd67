"""Scores of each example, and metrics computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.catalogue import Dataset
from trainables.encoding.encoded import Encoded
from trainables.errors import DataError
from trainables.examples import Example
from trainables.formats.format import ExampleScores
from trainables.metrics.samples import Table, in_percent


class NonFiniteOutput(RuntimeError):
    """Infinite or NaN output of a model, which any metric would take for some prediction.

    Attributes:
        example: number of the first such example.
        where: its dataset, language and id, where they are known.
    """

    def __init__(self, example: int, where: str = "") -> None:
        super().__init__(example, where)
        self.example, self.where = example, where

    def __str__(self) -> str:
        return f"{self.where or f'example {self.example}'}: the model's outputs are infinite or NaN"


@contextmanager
def named_examples(dataset: str, language: str, examples: Sequence[Example]) -> Iterator[None]:
    """Put dataset, language and id of the example into a `NonFiniteOutput`."""
    try:
        yield
    except NonFiniteOutput as error:
        where = f"{dataset}/{language}: example {examples[error.example].id!r}"
        raise NonFiniteOutput(error.example, where) from None


@dataclass(frozen=True)
class LanguageScores:
    """Scores of a dataset in one language.

    Attributes:
        metrics: in percent.
        table: "id" and `columns(dataset)` for each example, in the order of the examples.
        predictions: (id, prediction), in the form of the dataset's format.
    """

    metrics: dict[str, float]
    table: dict[str, Any]
    predictions: tuple[tuple[str, str], ...]


def columns(d: Dataset) -> tuple[str, ...]:
    """Name the columns of per-example values that a dataset's metrics need."""
    return d.format.columns(d.metrics)


def score(
    d: Dataset,
    language: str,
    examples: Sequence[Example],
    encoded: Encoded,
    outputs: np.ndarray,
    labels: Sequence[str] | None = None,
) -> LanguageScores:
    """Score the rows of one language.

    Args:
        outputs: from `predict.predict`.
        labels: label names by id, by default the dataset's own; the head's for formats that match labels by name.
    Raises:
        DataError: there is nothing to score, or the numbers of outputs, rows and examples do not match.
        NonFiniteOutput: an output is infinite or NaN.
    """
    if not d.format.has_head:
        raise ValueError(f"{d.name}: {d.kind} has no outputs per example to score")
    expected = len(encoded.tokens) if d.format.by_token else encoded.num_items
    if not examples or len(examples) != encoded.num_examples or len(outputs) != expected:
        raise DataError(
            f"{d.name}/{language}: {len(examples)} examples to score, {encoded.num_examples} encoded, "
            f"{len(outputs)} outputs where {expected} were expected"
        )
    bad = np.flatnonzero(~np.isfinite(outputs).all(tuple(range(1, outputs.ndim))))
    if len(bad):
        row = np.searchsorted(encoded.starts, bad[0], side="right") - 1
        item = row // encoded.rows_per_item if d.format.by_token else bad[0]
        with named_examples(d.name, language, examples):
            raise NonFiniteOutput(int(encoded.example[item]))
    return with_metrics(d, d.format.score(d, language, examples, encoded, outputs, labels or d.labels))


def with_metrics(d: Dataset, found: ExampleScores) -> LanguageScores:
    """Compute metrics, and keep the columns that they need."""
    table = {"id": found.ids} | {column: found.values[column] for column in columns(d)}
    return LanguageScores(aggregate(d, table), table, found.predictions)


def aggregate(
    d: Dataset, table: Table, weights: np.ndarray | None = None, metrics: Sequence[str] | None = None
) -> dict[str, Any]:
    """Compute metrics of a (re)weighted sample of examples, in percent.

    Spearman and SQuAD 2.0's best thresholds need several arrays of the shape of `weights`; all other metrics need one product
    with them.

    Args:
        weights: [n], or [B, n] for B samples at once (for example how often a bootstrap drew each example); then every value
            is an array [B]. An empty sample scores 0.
        metrics: by default all of the dataset.
    """
    return in_percent(table, d.metrics if metrics is None else metrics, d.format.rules, weights, d.name)


def main_score(d: Dataset, metrics: Mapping[str, Any]) -> Any:
    """Compute the unweighted mean of a dataset's main metrics.

    Main metrics are, for example, F1 and exact match.
    Averages follow Hu et al. 2020 (XTREME) and Phang et al. 2020.
    """
    return sum(metrics[name] for name in d.main) / len(d.main)
