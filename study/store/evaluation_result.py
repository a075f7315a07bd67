"""Scores of one evaluation stage, as in its `metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainables.catalogue import Dataset
from trainables.evaluation.scoring import main_score

Scores = Mapping[str, Mapping[str, float]]  # language -> metric -> score in percent


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """Scores of one target, of one seed or averaged over seeds.

    Attributes:
        splits: language -> split of its rows.
        selection: the English dev score; None if the target has none.
        examples: language -> number of scored rows.
        retrieval: layer, pooling and direction of sentence vectors; empty for other targets.
    """

    languages: Scores
    splits: Mapping[str, str]
    selection: float | None
    examples: Mapping[str, int] = field(default_factory=dict)
    retrieval: Mapping[str, int | str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EvaluationResult:
        """Read the content of `metrics.json`.

        Old evaluations have no `examples` and `retrieval`.

        Raises:
            KeyError: another part is missing.
        """
        return cls(
            languages=values["languages"],
            splits=values["splits"],
            selection=values["selection"],
            examples=values.get("examples", {}),
            retrieval=values.get("retrieval", {}),
        )

    def mean(self, d: Dataset) -> float:
        """Average the main score over languages."""
        return float(np.mean([main_score(d, metrics) for metrics in self.languages.values()]))


def mean_over_seeds(results: Sequence[EvaluationResult]) -> EvaluationResult:
    """Average the scores of one recipe on one target over seeds.

    Everything else is taken from the first seed.
    """
    first = results[0]
    languages = {
        language: {metric: float(np.mean([r.languages[language][metric] for r in results])) for metric in metrics}
        for language, metrics in first.languages.items()
    }
    dev = [result.selection for result in results if result.selection is not None]
    return EvaluationResult(
        languages=languages,
        splits=first.splits,
        selection=float(np.mean(dev)) if dev else None,
        examples=first.examples,
        retrieval=first.retrieval,
    )
