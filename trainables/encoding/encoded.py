"""Encoded splits: flat arrays of token ids, cached as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from trainables.atomic_file import atomic_writer

NOT_SCORED = -100  # the label that torch's cross-entropy ignores


@dataclass(frozen=True)
class Encoded:
    """All rows of a split in sequence.

    Rows include special tokens. Batches consist of *items*.

    Attributes:
        kind: kind of the rows' format, which defines `labels` and `extra`.
        tokens: int32 [T]; row r is tokens[starts[r]:starts[r + 1]], with starts int64 [R + 1].
        labels: by item, or by token [T] with -100 = not scored; empty if the format has none.
        rows_per_item: rows i*c .. i*c + c - 1 belong to item i; only multiple choice has more than one.
        example: int32 [items], the index of the example that an item belongs to, never descending.
        extra: other arrays for the format's predictions, by item or by token.
        second: int32 [R], the position in its row where segment 1 begins, or the row's length without a second text; None if
            the tokenizer has no segments.
    """

    kind: str
    tokens: np.ndarray
    starts: np.ndarray
    labels: np.ndarray
    rows_per_item: int
    example: np.ndarray
    num_examples: int
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    second: np.ndarray | None = None

    @property
    def num_items(self) -> int:
        return (len(self.starts) - 1) // self.rows_per_item

    def save(self, path: Path) -> None:
        """Write one .npz file at exactly this path, without pickles."""
        arrays = {"tokens": self.tokens, "starts": self.starts, "labels": self.labels, "example": self.example}
        arrays |= {f"extra.{name}": values for name, values in self.extra.items()}
        arrays |= {} if self.second is None else {"second": self.second}
        sizes = np.array([self.rows_per_item, self.num_examples])
        with atomic_writer(path) as file:  # to a name numpy would append a suffix of its own
            np.savez(file, kind=np.array(self.kind), sizes=sizes, **cast("dict[str, Any]", arrays))

    @classmethod
    def load(cls, path: Path) -> Encoded:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        rows_per_item, num_examples = map(int, arrays.pop("sizes"))
        extra = {name.removeprefix("extra."): arrays.pop(name) for name in list(arrays) if name.startswith("extra.")}
        kind = str(arrays.pop("kind"))
        return cls(kind=kind, rows_per_item=rows_per_item, num_examples=num_examples, extra=extra, **arrays)
