"""Definition of a pocket dataset: rows, columns, splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from trainables.pocket.grammar import Language
from trainables.pocket.languages import LANGUAGES, OTHERS

Row = dict[str, Any]
Splits = Mapping[str, tuple[tuple[str, ...], int]]

TEXT, WORDS, TAGS = pa.string(), pa.list_(pa.string()), pa.list_(pa.int64())
LABEL = pa.int64()  # a ClassLabel id
ANSWERS = pa.struct([("text", WORDS), ("answer_start", pa.list_(pa.int32()))])
POOL: Mapping[str, pa.DataType] = {"id": TEXT, "text": TEXT}  # an entry of a retrieval pool
GOLD: Mapping[str, pa.DataType] = {"source_id": TEXT, "target_id": TEXT}

ENGLISH_ONLY = ("en",)
TRAIN, DEV, TEST = 2400, 240, 300
PARALLEL_TRAIN = 2000  # in eight languages
IN_ENGLISH: Splits = {"train": (ENGLISH_ONLY, TRAIN), "validation": (ENGLISH_ONLY, TEST)}
FROM_ENGLISH: Splits = {"train": (ENGLISH_ONLY, TRAIN), "validation": (LANGUAGES, DEV), "test": (LANGUAGES, TEST)}
FEW_IN_ENGLISH: Splits = {**FROM_ENGLISH, "train": (ENGLISH_ONLY, 600)}  # few rows, to make transfer visible
NOT_TRAINED: Splits = {"validation": (LANGUAGES, DEV), "test": (LANGUAGES, TEST)}


@dataclass(frozen=True, kw_only=True)
class Table:
    """How one dataset is made.

    Attributes:
        rows: (language, split, n) -> rows; of a pooled dataset n is the number of gold pairs or queries.
        columns: name -> Arrow type; of a pooled dataset, those of the pairs.
        splits: split -> (languages, number of rows). The splits of a pooled dataset are the names of its tables
            ("pairs_test", "source_test", "target_test").
    """

    rows: Callable[[Language, str, int], list[Row]]
    columns: Mapping[str, pa.DataType]
    splits: Splits
    labels: Mapping[str, tuple[str, ...]] | None = None

    def schema(self, split: str) -> pa.Schema:
        """Return the columns of a split; a pool has its own."""
        columns = POOL if split.startswith(("source_", "target_")) else self.columns
        return pa.schema(list(columns.items()))


def in_english(make: Callable[[str, int], tuple[Row, ...]]) -> Callable[[Language, str, int], list[Row]]:
    """Adapt the rows of a dataset that exists in English only."""
    return lambda language, split, n: list(make(split, n))


def pooled(splits: Mapping[str, int], languages: tuple[str, ...] = OTHERS) -> Splits:
    """Return the three tables of every split of a pooled dataset.

    Args:
        splits: split -> number of gold pairs or queries.
    """
    return {f"{part}_{s}": (languages, n) for s, n in splits.items() for part in ("pairs", "source", "target")}


def labelled(first: str, second: str | None = None) -> dict[str, pa.DataType]:
    """Return the columns of a GLUE task: one or two texts, label, row number."""
    return {**dict.fromkeys((first, *((second,) if second else ())), TEXT), "label": LABEL, "idx": pa.int32()}
