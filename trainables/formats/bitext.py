"""Sentence retrieval from translation pairs (Tatoeba).

The score is the share of sentences whose nearest sentence is the translation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainables.encoding.rows import all_of
from trainables.errors import DataError
from trainables.examples import Bitext, Text
from trainables.formats.format import DatasetSpec, ExampleScores, Format, SentenceReader
from trainables.metrics.formulas import nearest
from trainables.metrics.samples import ACCURACY
from trainables.recipe import Direction


class SentenceRetrieval(Format):
    """Retrieval of translations; predictions are numbers of the retrieved rows."""

    kind = "bitext"
    retrieves = True
    parallel = True
    scored_length = "retrieval_max_length"
    rules = ACCURACY

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        return ("correct",)

    def retrieve(self, d: DatasetSpec, reader: SentenceReader, split: str, direction: Direction) -> ExampleScores:
        pairs = all_of(Bitext, reader.examples(split))
        source, target = (reader.vectors(side) for side in sides(pairs))
        return score_retrieval(d, pairs, source, target, direction)


def sides(pairs: Sequence[Bitext]) -> tuple[list[Text], list[Text]]:
    """Split pairs into source (non-English) and target (English) texts."""
    return [Text(p.id, p.source) for p in pairs], [Text(p.id, p.target) for p in pairs]


def score_retrieval(
    d: DatasetSpec,
    examples: Sequence[Bitext],
    source_vectors: np.ndarray,
    target_vectors: np.ndarray,
    direction: Direction = "en_to_xx",
) -> ExampleScores:
    """Score Tatoeba as in XTREME (Hu et al. 2020).

    It is the accuracy of the nearest source of each English sentence.

    Args:
        source_vectors, target_vectors: non-English and English, float32 [n, dim], row i for examples[i]; nearest by cosine,
            without a margin.
        direction: "xx_to_en" retrieves the nearest English sentence of each source instead.
    """
    if not examples or not len(examples) == len(source_vectors) == len(target_vectors):
        raise DataError(
            f"{d.name}: {len(examples)} pairs, {len(source_vectors)} source and {len(target_vectors)} target vectors"
        )
    ours, pool = (target_vectors, source_vectors) if direction == "en_to_xx" else (source_vectors, target_vectors)
    found = nearest(ours, pool)
    right = (found == np.arange(len(examples))).astype(np.int64)
    return ExampleScores.of(examples, {"correct": right}, list(map(str, found.tolist())))
