"""Pairs of rows and their English originals, for alignment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np

from trainables.catalogue import Dataset, dataset
from trainables.configs import AlignmentConfig, EncodingConfig
from trainables.encoding.encoded import Encoded
from trainables.errors import DataError
from trainables.examples import Bitext
from trainables.formats import encode
from trainables.formats.bitext import sides
from trainables.training.data import Data


class AlignmentRow(NamedTuple):
    """Tokens, and the start of the second text (`Encoded.second`)."""

    tokens: np.ndarray
    second: int | None


def pairs_of(align: AlignmentConfig, data: Data) -> Encoded:
    """Encode all pairs of translations and English originals.

    Rows 2i and 2i + 1 are a pair. They are encoded as for their own task, so that a pair of sentences is one row; of an
    utterance that is split into several rows only the first counts. Rows are matched by id, never by position: translated sets
    may have another order than the English.

    Raises:
        DataError: no id of a language occurs in the English rows.
    """
    d, cut = dataset(align.data), EncodingConfig(max_length=align.max_length)
    if d.format.parallel:
        return _interleaved([row for language in align.languages for row in _both_sides(d, language, cut, data)])
    english = _rows(data.encoded(d, "en", "train", cut))
    place = {example.id: number for number, example in enumerate(data.examples(d, "en", "train"))}
    rows: list[AlignmentRow] = []
    for language in align.languages:
        own = _rows(data.encoded(d, language, "train", cut))
        ids = [example.id for example in data.examples(d, language, "train")]
        met = [(own[number], english[place[id]]) for number, id in enumerate(ids) if id in place]
        if not met:
            raise DataError(f"{d.name}/{language}/train: none of its {len(ids)} ids occurs in the English rows")
        rows += [row for pair in met for row in pair]
    return _interleaved(rows)


def _both_sides(d: Dataset, language: str, cut: EncodingConfig, data: Data) -> Iterator[AlignmentRow]:
    """Yield the rows of examples that contain their English originals."""
    pairs = cast("list[Bitext]", data.examples(d, language, "train"))
    own, english = (_rows(encode("text", side, data.tokenizer, max_length=cut.max_length)) for side in sides(pairs))
    for pair in zip(own, english, strict=True):
        yield from pair


def _interleaved(rows: list[AlignmentRow]) -> Encoded:
    starts = np.cumsum([0, *(len(row.tokens) for row in rows)], dtype=np.int64)
    tokens, count = np.concatenate([row.tokens for row in rows]), len(rows) // 2
    second = None if rows[0].second is None else np.array([row.second for row in rows], np.int32)
    return Encoded("choice", tokens, starts, np.zeros(count, np.int64), 2, np.arange(count), count, second=second)


def _rows(encoded: Encoded) -> list[AlignmentRow]:
    """List the first row of each example."""
    first = np.searchsorted(encoded.example, np.arange(encoded.num_examples))
    tokens = [encoded.tokens[encoded.starts[row] : encoded.starts[row + 1]] for row in first]
    if encoded.second is None:
        return [AlignmentRow(row, None) for row in tokens]
    return [AlignmentRow(row, int(place)) for row, place in zip(tokens, encoded.second[first], strict=True)]
