"""Scores per example from outputs, and metrics recomputed from those for any weighting of examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.catalogue import Dataset
from trainables.encoding.encoded import Encoded
from trainables.errors import DataError
from trainables.examples import Example
from trainables.formats.format import ExampleScores
from trainables.metrics.samples import Table, in_percent


@dataclass(frozen=True)
class LanguageScores:
    """Metrics in percent; "id" plus `columns(dataset)` for each example, in the order of the examples; predictions.

    predictions: (id, prediction), as the dataset's format writes them.
    """

    metrics: dict[str, float]
    table: dict[str, Any]
    predictions: tuple[tuple[str, str], ...]


def columns(d: Dataset) -> tuple[str, ...]:
    """Name the values of each example that the metrics of a dataset are computed from."""
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

    outputs: as `evaluation.predict` makes them. labels: what their ids stand for, by default the dataset's own labels;
    where labels meet by name the head's.

    Raises DataError when there is nothing to score or when outputs, rows and examples do not belong together.
    """
    if not d.format.has_head:
        raise ValueError(f"{d.name}: {d.kind} has no outputs per example to score")
    expected = len(encoded.tokens) if d.format.by_token else encoded.num_items
    if not examples or len(examples) != encoded.num_examples or len(outputs) != expected:
        raise DataError(
            f"{d.name}/{language}: {len(examples)} examples to score, {encoded.num_examples} encoded, "
            f"{len(outputs)} outputs where {expected} were expected"
        )
    return with_metrics(d, d.format.score(d, language, examples, encoded, outputs, labels or d.labels))


def with_metrics(d: Dataset, found: ExampleScores) -> LanguageScores:
    """Keep the columns that the dataset's metrics need, and compute these."""
    table = {"id": found.ids} | {column: found.values[column] for column in columns(d)}
    return LanguageScores(aggregate(d, table), table, found.predictions)


def aggregate(
    d: Dataset, table: Table, weights: np.ndarray | None = None, metrics: Sequence[str] | None = None
) -> dict[str, Any]:
    """Compute the metrics of a (re)weighted sample of examples, in percent; all of the dataset, or only `metrics`.

    weights: [n], or [B, n] for B samples at once (say, how often a bootstrap drew each example); then every value is
    an array [B]. A sample of nothing scores 0. Spearman and SQuAD 2.0's best thresholds make several arrays of the
    shape of `weights`; all else is one product with them.
    """
    return in_percent(table, d.metrics if metrics is None else metrics, d.format.rules, weights, d.name)


def main_score(d: Dataset, metrics: Mapping[str, Any]) -> Any:
    """Compute the unweighted mean of a dataset's main metrics, such as F1 and exact match.

    Averages follow Hu et al. 2020 (XTREME) and Phang et al. 2020.
    """
    return sum(metrics[name] for name in d.main) / len(d.main)
