"""Metrics of a sample of examples, recomputed from per-example columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.metrics.formulas import best_at_threshold, matthews

Table = Mapping[str, Any]  # column name -> one value per example
Values = dict[str, np.ndarray]  # the same as arrays

COUNTS = ("tp", "predicted", "gold")


@dataclass(frozen=True)
class Sample:
    """Table of examples, with draws of each, [n] or [B, n]."""

    table: Table
    drawn: np.ndarray

    def column(self, name: str) -> np.ndarray:
        return np.asarray(self.table[name], np.float64)

    def total(self, name: str) -> np.ndarray:
        return np.asarray(self.drawn @ self.column(name))

    def size(self) -> np.ndarray:
        return np.asarray(self.drawn.sum(-1))

    def mean(self, name: str) -> np.ndarray:
        return share(self.total(name), self.size())

    def f1(self, prefix: str = "") -> np.ndarray:
        """Compute F1 from sums of counts."""
        right, predicted, gold = (self.total(prefix + name) for name in COUNTS)
        return share(2 * right, predicted + gold)

    def at_best_threshold(self, name: str) -> np.ndarray:
        """Compute the mean of a column at the best null threshold.

        Questions above it are left unanswered.
        """
        odds, unanswerable = self.column("null_odds"), self.column("unanswerable")
        return best_at_threshold(odds, self.column(name), unanswerable, self.drawn)


Rule = Callable[[Sample], np.ndarray]  # a metric of a sample, as a fraction


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide a part by the whole, giving 0 for 0."""
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole != 0))


# Metrics of counts: columns "tp", "predicted" and "gold".
OF_COUNTS: Mapping[str, Rule] = {
    "f1": lambda s: s.f1(),
    "precision": lambda s: share(s.total("tp"), s.total("predicted")),
    "recall": lambda s: share(s.total("tp"), s.total("gold")),
    "mcc": lambda s: matthews(s.total("tp"), s.total("predicted"), s.total("gold"), s.size()),
}
ACCURACY: Mapping[str, Rule] = {"accuracy": lambda s: s.mean("correct")}


def in_percent(
    table: Table, metrics: Sequence[str], rules: Mapping[str, Rule], weights: np.ndarray | None, where: str
) -> dict[str, Any]:
    """Compute metrics of a (re)weighted sample, in percent.

    Args:
        rules: metric -> rule; a metric without a rule is the mean of the column of its name.
        weights: [n], or [B, n] for B samples at once; then every value is an array [B].
        where: name for errors.
    """
    drawn = np.ones(len(table["id"])) if weights is None else np.asarray(weights, np.float64)
    sample, found = Sample(table, drawn), {}
    for metric in metrics:
        if metric not in rules and metric not in table:
            raise ValueError(f"{where}: no rule to compute {metric!r} from {', '.join(table)}")
        value = 100 * (rules[metric](sample) if metric in rules else sample.mean(metric))
        found[metric] = value if drawn.ndim == 2 else float(value)
    return found
