"""Classification of a sentence or a pair.

Rows are `<s> A </s>` or `<s> A </s></s> B </s>`, with one class each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.encoding.encoded import Encoded
from trainables.encoding.rows import Framing, all_of, encode_sentences
from trainables.examples import Choice, Example, Labelled
from trainables.formats.format import DatasetSpec, ExampleScores, Format, named
from trainables.metrics.samples import ACCURACY, COUNTS, OF_COUNTS, Values

if TYPE_CHECKING:
    from torch import Tensor, nn

POSITIVE = 1  # the positive class of a two-way classification's F1


class Classification(Format):
    """Labels int64 [items]; logits [items, classes]; predictions are label names."""

    kind = "labelled"
    labels_declared = True
    labels_closed = True
    one_of_labels = True
    exchanges_words = True
    pairs_in_pretraining = True
    assumed_tokens = 50
    rules = {**ACCURACY, **OF_COUNTS}

    def encode(self, examples: Sequence[Example], framing: Framing) -> Encoded:
        rows = all_of(Labelled, examples)
        return encode_sentences(self.kind, rows, np.array([e.label for e in rows], np.int64), framing)

    def head(self, labels: Sequence[str], width: int, dropout: float) -> nn.Module:
        from trainables.formats.heads import PooledHead

        return PooledHead(width, len(labels), dropout)

    def loss(self, logits: Any, batch: Mapping[str, Tensor], rows_per_item: int) -> Tensor:
        from trainables.formats.heads import cross_entropy

        return cross_entropy(logits, batch["labels"])

    def rename(
        self, outputs: np.ndarray, head: tuple[str, ...], own: tuple[str, ...]
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """Keep the logits of the dataset's classes.

        Other classes of the head are never predicted.
        """
        return outputs[:, [head.index(name) for name in own]], own

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        return class_columns(metrics)

    def score(
        self,
        d: DatasetSpec,
        language: str,
        examples: Sequence[Example],
        encoded: Encoded,
        outputs: np.ndarray,
        names: Sequence[str],
    ) -> ExampleScores:
        return score_classes(all_of(Labelled, examples), outputs, names)


def class_columns(metrics: Sequence[str]) -> tuple[str, ...]:
    """Name a classification's columns: "correct", and counts if needed.

    F1 and Matthews correlation need those of class 1.
    """
    return (*(COUNTS if {"f1", "mcc"} & set(metrics) else ()), "correct")


def score_classes(examples: Sequence[Labelled | Choice], logits: np.ndarray, names: Sequence[str]) -> ExampleScores:
    """Score the class of the highest logit."""
    gold = np.array([e.label for e in examples])
    predicted = np.argmax(logits, axis=1)
    right = predicted == gold
    values: Values = {"correct": right, "tp": right & (gold == POSITIVE), "predicted": predicted == POSITIVE}
    values["gold"] = gold == POSITIVE
    counts = {column: value.astype(np.int64) for column, value in values.items()}
    return ExampleScores.of(examples, counts, named(predicted.tolist(), names))
