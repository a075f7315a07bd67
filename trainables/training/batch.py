"""From item numbers to padded arrays: the global batch first, then each worker's share of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from trainables.encoding.formats import NOT_SCORED, Encoded


@dataclass(frozen=True)
class Batch:
    """Padded rows of one task.

    Attributes:
        tokens: int64 [rows, L]; `mask`: bool [rows, L], False on padding.
        labels: see `formats.Encoded`; [rows, L] with -100 for words, intent and text, else [items, ...].
        rows_per_item: rows i*c .. i*c+c-1 belong to item i.
        count: what the summed loss of the *global* batch is divided by (items, or scored tokens).
        weights: intent only, float32 [rows, L]: each intent counts 1 / intents and each tag 1 / tags of the *global*
            batch, so that the loss is the sum of two means; `count` is then 1.
        segments: int64 [rows, L], 1 for the second text of a pair and what follows it, else 0; None without segments.
    """

    tokens: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    rows_per_item: int
    count: int
    weights: np.ndarray | None = None
    segments: np.ndarray | None = None

    def share(self, rank: int, world: int) -> Batch:
        """Every `world`-th item from `rank` on; the count stays that of the global batch."""
        return self._take(np.arange(rank, len(self.tokens) // self.rows_per_item, world))

    def pieces(self, max_tokens: int) -> Iterator[Batch]:
        """The batch in pieces of at most `max_tokens` padded tokens (at least one item each), for accumulation."""
        items = len(self.tokens) // self.rows_per_item
        size = max(1, max_tokens // max(1, self.tokens.shape[1] * self.rows_per_item))
        for first in range(0, items, size):
            yield self._take(np.arange(first, min(items, first + size)))

    def tensors(self, device: torch.device) -> dict[str, torch.Tensor]:
        """The arrays on a device."""
        arrays = {"tokens": self.tokens, "mask": self.mask, "labels": self.labels, "weights": self.weights}
        arrays["segments"] = self.segments
        return {
            name: torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)
            for name, array in arrays.items()
            if array is not None
        }

    def _take(self, items: np.ndarray) -> Batch:
        rows = rows_of(items, self.rows_per_item)
        mask = self.mask[rows]
        length = int(mask.sum(1).max(initial=1))
        by_token = self.labels.shape == self.tokens.shape
        labels = self.labels[rows][:, :length] if by_token else self.labels[items]
        weights, segments = (None if a is None else a[rows][:, :length] for a in (self.weights, self.segments))
        tokens, mask = self.tokens[rows][:, :length], mask[:, :length]
        return Batch(tokens, mask, labels, self.rows_per_item, self.count, weights, segments)


def rows_of(items: np.ndarray, rows_per_item: int) -> np.ndarray:
    """Row numbers of items, item by item."""
    return np.asarray((items[:, None] * rows_per_item + np.arange(rows_per_item)).reshape(-1))


def item_lengths(encoded: Encoded) -> np.ndarray:
    """int [items], tokens of an item's longest row."""
    return np.asarray(np.diff(encoded.starts).reshape(-1, encoded.rows_per_item).max(1))


def collate(encoded: Encoded, items: np.ndarray, pad_id: int) -> Batch:
    """The padded batch of some items; labels of text are filled in by `mask_batch`."""
    rows = rows_of(items, encoded.rows_per_item)
    lengths = (encoded.starts[rows + 1] - encoded.starts[rows]).astype(np.int64)
    columns = np.arange(int(lengths.max(initial=1)))
    mask = columns < lengths[:, None]
    places = np.minimum(encoded.starts[rows][:, None] + columns, max(0, len(encoded.tokens) - 1))
    tokens = np.where(mask, encoded.tokens[places], pad_id).astype(np.int64)
    segments = None
    if encoded.second is not None:
        segments = ((columns >= encoded.second[rows][:, None]) & mask).astype(np.int64)
    if encoded.kind in ("words", "intent"):
        labels = np.where(mask, encoded.labels[places], NOT_SCORED)
        scored = labels != NOT_SCORED
        if encoded.kind == "words":
            return Batch(tokens, mask, labels, 1, int(scored.sum()), segments=segments)
        intents, tags = max(1, scored[:, 0].sum()), max(1, scored[:, 1:].sum())
        weights = np.where(columns == 0, 1 / intents, 1 / tags) * scored
        return Batch(tokens, mask, labels, 1, 1, weights.astype(np.float32), segments)
    if encoded.kind == "text":
        return Batch(tokens, mask, np.full_like(tokens, NOT_SCORED), 1, 0, segments=segments)
    return Batch(tokens, mask, encoded.labels[items], encoded.rows_per_item, len(items), segments=segments)
