"""Padded batches: global, and each worker's share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from trainables.encoding.encoded import Encoded
from trainables.formats import format_of


@dataclass(frozen=True)
class Batch:
    """Padded rows of one task.

    Attributes:
        tokens: int64 [rows, L]; `mask`: bool [rows, L], False on padding.
        labels: labels of the loss, [items, ...], or with `by_token` [rows, L], -100 where nothing is scored.
        rows_per_item: rows i*c .. i*c+c-1 belong to item i.
        count: divisor of the summed loss of the *global* batch (items, or scored tokens).
        weights: float32 [rows, L], weight of each label in the *global* batch; None = 1 each.
        segments: int64 [rows, L], 1 for the second text of a pair and the tokens after it, else 0; None without segments.
    """

    tokens: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    rows_per_item: int
    count: int
    weights: np.ndarray | None = None
    segments: np.ndarray | None = None
    by_token: bool = False

    def share(self, rank: int, world: int) -> Batch:
        """Take every `world`-th item from `rank` on.

        The count stays that of the global batch.
        """
        return self._take(np.arange(rank, len(self.tokens) // self.rows_per_item, world))

    def pieces(self, max_tokens: int) -> Iterator[Batch]:
        """Split the batch for gradient accumulation.

        Pieces have at most `max_tokens` padded tokens, and at least one item.
        """
        items = len(self.tokens) // self.rows_per_item
        size = max(1, max_tokens // max(1, self.tokens.shape[1] * self.rows_per_item))
        for first in range(0, items, size):
            yield self._take(np.arange(first, min(items, first + size)))

    def tensors(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Copy the arrays to a device."""
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
        labels = self.labels[rows][:, :length] if self.by_token else self.labels[items]
        weights, segments = (None if a is None else a[rows][:, :length] for a in (self.weights, self.segments))
        tokens, mask = self.tokens[rows][:, :length], mask[:, :length]
        return Batch(tokens, mask, labels, self.rows_per_item, self.count, weights, segments, self.by_token)


def rows_of(items: np.ndarray, rows_per_item: int) -> np.ndarray:
    """List the row numbers of items, item by item."""
    return np.asarray((items[:, None] * rows_per_item + np.arange(rows_per_item)).reshape(-1))


def item_lengths(encoded: Encoded) -> np.ndarray:
    """Compute the number of tokens of each item's longest row.

    Returns:
        int [items].
    """
    return np.asarray(np.diff(encoded.starts).reshape(-1, encoded.rows_per_item).max(1))


def collate(encoded: Encoded, items: np.ndarray, pad_id: int) -> Batch:
    """Make the padded batch of some items.

    `mask_batch` fills in the labels of text.
    """
    rows = rows_of(items, encoded.rows_per_item)
    lengths = (encoded.starts[rows + 1] - encoded.starts[rows]).astype(np.int64)
    columns = np.arange(int(lengths.max(initial=1)))
    mask = columns < lengths[:, None]
    places = np.minimum(encoded.starts[rows][:, None] + columns, max(0, len(encoded.tokens) - 1))
    tokens = np.where(mask, encoded.tokens[places], pad_id).astype(np.int64)
    segments = None
    if encoded.second is not None:
        segments = ((columns >= encoded.second[rows][:, None]) & mask).astype(np.int64)
    found = format_of(encoded.kind).targets(encoded, items, places, mask)
    return Batch(
        tokens, mask, found.labels, encoded.rows_per_item, found.count, found.weights, segments, found.by_token
    )
