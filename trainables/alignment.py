"""Pairs of rows for alignment: a row and its English original, by the ids that the languages share."""

from __future__ import annotations

import numpy as np

from trainables.catalogue import dataset
from trainables.configs import AlignFit, Cut
from trainables.data import Data
from trainables.errors import DataError
from trainables.formats import Encoded


def pairs_of(align: AlignFit, data: Data) -> Encoded:
    """All pairs, one after another: rows 2i and 2i + 1 are a translation and its English original.

    They are framed as their own task frames them, so that a pair of sentences is one row; of an utterance that is cut into
    several rows the first counts. Rows meet by id, never by place: translated sets may have another order than the English.

    Raises:
        DataError: no id of a language stands in the English rows.
    """
    d, cut = dataset(align.data), Cut(max_length=align.max_length)
    english = _rows(data.encoded(d, "en", "train", cut))
    place = {example.id: number for number, example in enumerate(data.examples(d, "en", "train"))}
    tokens: list[np.ndarray] = []
    for language in align.languages:
        own = _rows(data.encoded(d, language, "train", cut))
        ids = [example.id for example in data.examples(d, language, "train")]
        met = [(own[number], english[place[id]]) for number, id in enumerate(ids) if id in place]
        if not met:
            raise DataError(f"{d.name}/{language}/train: none of its {len(ids)} ids stands in the English rows")
        tokens += [row for pair in met for row in pair]
    starts = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
    count = len(tokens) // 2
    return Encoded("choice", np.concatenate(tokens), starts, np.zeros(count, np.int64), 2, np.arange(count), count)


def _rows(encoded: Encoded) -> list[np.ndarray]:
    """The tokens of each example's first row."""
    first = np.searchsorted(encoded.example, np.arange(encoded.num_examples))
    return [encoded.tokens[encoded.starts[row] : encoded.starts[row + 1]] for row in first]
