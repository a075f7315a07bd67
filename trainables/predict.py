"""Running a trained net over a whole split: sorted by length, as many rows at once as fit, spread over the workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from trainables.batch import Batch, collate, item_lengths
from trainables.formats import Encoded
from trainables.loop import TOKENS_AT_ONCE, Machine
from trainables.model import Net


def predict(net: Net, task: str, encoded: Encoded, pad_id: int, machine: Machine) -> np.ndarray:
    """The outputs of `task` for every item, the same on every worker.

    Returns:
        labelled: logits [items, labels]; choice: logits [items, choices]; span: start and end logits [T, 2];
        words: predicted tag at every token, int64 [T] (T = tokens of the split, laid as in `encoded.tokens`).
    """
    by_token = encoded.kind in ("span", "words")
    mine: list[tuple[np.ndarray, np.ndarray]] = []
    net.eval()
    for items, batch in _shares(encoded, pad_id, machine):
        arrays = batch.tensors(machine.device)
        with torch.inference_mode(), machine.autocast:
            logits = net(task, arrays["tokens"], arrays["mask"])
        logits = logits.argmax(-1) if encoded.kind == "words" else logits.float()
        result = logits.cpu().numpy()
        if by_token:
            mine.append((_token_places(encoded, items), result[batch.mask]))
        else:
            mine.append((items, result.reshape(len(items), -1)))
    shape = {"span": (len(encoded.tokens), 2), "words": (len(encoded.tokens),)}
    wide = encoded.rows_per_item if encoded.kind == "choice" else len(net.specs[task].labels)
    out = np.zeros(
        shape.get(encoded.kind, (encoded.num_items, wide)), np.int64 if encoded.kind == "words" else np.float32
    )
    return _fill(out, mine, machine)


def embed(net: Net, encoded: Encoded, layer: int, pad_id: int, machine: Machine) -> np.ndarray:
    """Sentence vectors [items, width] float32: the mean of `hidden_states[layer]` over all attended positions.

    Special tokens count, as in Hu et al. 2020 (XTREME). Layers above `layer` are not run.
    """
    mine: list[tuple[np.ndarray, np.ndarray]] = []
    net.eval()
    with _only_layers(net.encoder, layer):
        for items, batch in _shares(encoded, pad_id, machine):
            arrays = batch.tensors(machine.device)
            with torch.inference_mode(), machine.autocast:
                hidden = net.hidden(arrays["tokens"], arrays["mask"]).float()
            weight = arrays["mask"].unsqueeze(-1).float()
            mine.append((items, ((hidden * weight).sum(1) / weight.sum(1)).cpu().numpy()))
    width = net.lm.config.hidden_size
    return _fill(np.zeros((encoded.num_items, width), np.float32), mine, machine)


def retrieval_layer(num_layers: int) -> int:
    """Which of `hidden_states` retrieval reads: 14 of 24 (Phang et al. 2020), 8 of 12, else two thirds of the way up."""
    return {24: 14, 12: 8}.get(num_layers, max(1, round(num_layers * 2 / 3)))


def _shares(encoded: Encoded, pad_id: int, machine: Machine) -> Iterator[tuple[np.ndarray, Batch]]:
    lengths = item_lengths(encoded)
    order = np.argsort(lengths, kind="stable")
    lengths = lengths[order]
    budget, pieces, first = TOKENS_AT_ONCE[machine.device.type], [], 0
    for last in range(1, len(order) + 1):
        rows = (last + 1 - first) * encoded.rows_per_item
        if last == len(order) or rows * lengths[last] > budget:
            pieces.append(order[first:last])
            first = last
    for items in pieces[machine.comm.rank :: machine.comm.world]:
        yield items, collate(encoded, items, pad_id)


def _token_places(encoded: Encoded, items: np.ndarray) -> np.ndarray:
    return np.concatenate([np.arange(encoded.starts[i], encoded.starts[i + 1]) for i in items])


def _fill(out: np.ndarray, mine: list[tuple[np.ndarray, np.ndarray]], machine: Machine) -> np.ndarray:
    for results in machine.comm.gather(mine):
        for places, values in results:
            out[places] = values
    return out


class _only_layers:
    """Cuts the encoder's stack to its first layers for the time of a `with` block."""

    def __init__(self, encoder: nn.Module, layers: int) -> None:
        stack: Any = encoder.encoder
        self.stack = stack
        self.all: Any = self.stack.layer
        if not 1 <= layers <= len(self.all):
            raise ValueError(f"retrieval layer {layers} is outside 1..{len(self.all)}")
        self.layers = layers

    def __enter__(self) -> None:
        self.stack.layer = self.all[: self.layers]

    def __exit__(self, *_: object) -> None:
        self.stack.layer = self.all
