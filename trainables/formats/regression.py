"""Regression: a number for a sentence or a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.encoding.encoded import Encoded
from trainables.encoding.rows import Framing, all_of, encode_sentences
from trainables.examples import Example, Rated
from trainables.formats.format import DatasetSpec, ExampleScores, Format
from trainables.metrics.formulas import pearson, spearman

if TYPE_CHECKING:
    from torch import Tensor, nn


class Regression(Format):
    """Numbers for rows as in classification, with squared error.

    Labels float32 [items]; logits [items, 1]; predictions are numbers.
    """

    kind = "regression"
    rules = {
        "pearson": lambda s: pearson(s.column("gold"), s.column("predicted"), s.drawn),
        "spearman": lambda s: spearman(s.column("gold"), s.column("predicted"), s.drawn),
    }

    def encode(self, examples: Sequence[Example], framing: Framing) -> Encoded:
        rows = all_of(Rated, examples)
        return encode_sentences(self.kind, rows, np.array([e.value for e in rows], np.float32), framing)

    def head(self, labels: Sequence[str], width: int, dropout: float) -> nn.Module:
        from trainables.formats.heads import PooledHead

        return PooledHead(width, 1, dropout)

    def loss(self, logits: Any, batch: Mapping[str, Tensor], rows_per_item: int) -> Tensor:
        from torch import nn

        return nn.functional.mse_loss(logits[:, 0].float(), batch["labels"], reduction="sum")

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        return ("gold", "predicted")

    def score(
        self,
        d: DatasetSpec,
        language: str,
        examples: Sequence[Example],
        encoded: Encoded,
        outputs: np.ndarray,
        names: Sequence[str],
    ) -> ExampleScores:
        predicted = np.asarray(outputs, np.float64).reshape(-1)
        gold = np.array([e.value for e in all_of(Rated, examples)], np.float64)
        values = {"gold": gold, "predicted": predicted}
        return ExampleScores.of(examples, values, [repr(value) for value in predicted.tolist()])
