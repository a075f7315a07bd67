"""Prediction over a whole split, spread over the workers.

Rows are sorted by length, in batches that fit the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from trainables.encoding.encoded import Encoded
from trainables.errors import BadInput, DataError
from trainables.evaluation.scoring import NonFiniteOutput
from trainables.formats import format_of
from trainables.modeling.memory import MAX_TOKENS
from trainables.modeling.model import Net
from trainables.recipe import Pooling
from trainables.training.batch import Batch, collate, item_lengths
from trainables.training.loop import Device

_Part = tuple[np.ndarray, np.ndarray]  # places, and the outputs for them


def predict(net: Net, task: str, encoded: Encoded, pad_id: int, machine: Device) -> np.ndarray:
    """Compute the outputs of `task`, the same on every worker.

    There is one for each item or token of `encoded`, see `Format.outputs`.

    Raises:
        NonFiniteOutput: a logit is infinite or NaN, also where only the largest of them is an output.
    """
    form = format_of(encoded.kind)
    mine: list[tuple[np.ndarray, np.ndarray]] = []
    bad: list[int] = []
    net.eval()
    for items, batch in _shares(encoded, pad_id, machine):
        arrays = batch.tensors(machine.device)
        with torch.inference_mode(), machine.autocast:
            logits = net(task, arrays["tokens"], arrays["mask"], arrays.get("segments"))
        bad += encoded.example[items[~_finite(logits, arrays["mask"], len(items))]].tolist()
        result = form.outputs(logits).cpu().numpy()
        if form.by_token:
            mine.append((_token_places(encoded, items), result[batch.mask]))
        else:
            mine.append((items, result.reshape(len(items), -1)))
    gathered = _gather(mine, bad, machine)
    one = next((values for results in gathered for _, values in results), np.empty(0, np.int64))
    size = len(encoded.tokens) if form.by_token else encoded.num_items
    return _fill(np.zeros((size, *one.shape[1:]), one.dtype), gathered)


def embed(
    net: Net, encoded: Encoded, layers: Sequence[int], pad_id: int, machine: Device, pooling: Pooling = "mean"
) -> np.ndarray:
    """Compute sentence vectors, float32 [layers, items, width].

    They are pooled from `hidden_states[layer]` for each of `layers`. Pooling `mean` is over all attended positions, special
    tokens included, as in Hu et al. 2020 (XTREME); `cls` is the first position. Layers above the highest are not run; 0 is
    the output of the embedding layer. T5 applies its final layer norm to the last state only; lower states are the residual
    stream without a norm.

    Raises:
        NonFiniteOutput: a vector is infinite or NaN.
    """
    mine: list[tuple[np.ndarray, np.ndarray]] = []
    bad: list[int] = []
    net.eval()
    with _Taps(net, max(layers)) as states:
        for items, batch in _shares(encoded, pad_id, machine):
            arrays = batch.tensors(machine.device)
            with torch.inference_mode(), machine.autocast:
                net.hidden(arrays["tokens"], arrays["mask"], arrays.get("segments"))
            weight = arrays["mask"].unsqueeze(-1).float()
            vectors = [
                states[i].float()[:, 0] if pooling == "cls" else (states[i].float() * weight).sum(1) / weight.sum(1)
                for i in layers
            ]
            mine.append((items, torch.stack(vectors, 1).cpu().numpy()))
            bad += encoded.example[items[~np.isfinite(mine[-1][1]).all((1, 2))]].tolist()
    out = np.zeros((encoded.num_items, len(layers), net.lm.config.hidden_size), np.float32)
    return _fill(out, _gather(mine, bad, machine)).swapaxes(0, 1)


def retrieval_layer(num_layers: int) -> int:
    """Return the layer of `hidden_states` for retrieval.

    It is 14 of 24, 8 of 12, else two thirds of the depth. 14 of 24 is from Phang et al. 2020. The rule is the same for every
    architecture: no paper states a layer for others than BERT and XLM-R.
    """
    return {24: 14, 12: 8}.get(num_layers, max(1, round(num_layers * 2 / 3)))


def _shares(encoded: Encoded, pad_id: int, machine: Device) -> Iterator[tuple[np.ndarray, Batch]]:
    lengths = item_lengths(encoded)
    order = np.argsort(lengths, kind="stable")
    lengths = lengths[order]
    pieces, first = [], 0
    budget = int(machine.tokens_frac * MAX_TOKENS[machine.device.type])
    for last in range(1, len(order) + 1):
        rows = (last + 1 - first) * encoded.rows_per_item
        if last == len(order) or rows * lengths[last] > budget:
            pieces.append(order[first:last])
            first = last
    for items in pieces[machine.comm.rank :: machine.comm.world]:
        machine.check_stop("scoring")
        yield items, collate(encoded, items, pad_id)


def _token_places(encoded: Encoded, items: np.ndarray) -> np.ndarray:
    return np.concatenate([np.arange(encoded.starts[i], encoded.starts[i + 1]) for i in items])


def _finite(logits: Any, mask: torch.Tensor, items: int) -> np.ndarray:
    """Return for each item whether its logits are finite; those of padding do not count."""
    found = np.ones(items, bool)
    for part in logits if isinstance(logits, tuple) else (logits,):
        finite = part.isfinite()
        if finite.ndim == 3:  # by token
            finite |= ~mask.bool().unsqueeze(-1)
        found &= finite.reshape(items, -1).all(1).cpu().numpy()
    return found


def _gather(mine: list[_Part], bad: list[int], machine: Device) -> list[list[_Part]]:
    """Collect the outputs of all workers.

    Raises:
        NonFiniteOutput: on every worker, so that none waits for another.
    """
    gathered = machine.comm.gather((mine, bad))
    wrong = [example for _, examples in gathered for example in examples]
    if wrong:
        raise NonFiniteOutput(min(wrong))
    return [parts for parts, _ in gathered]


def _fill(out: np.ndarray, gathered: Sequence[Sequence[_Part]]) -> np.ndarray:
    """Put outputs in their places; DataError unless each place has one."""
    count = sum(len(places) for results in gathered for places, _ in results)
    if count != len(out):
        raise DataError(f"{count} predictions where {len(out)} were expected")
    for results in gathered:
        for places, values in results:
            out[places] = values
    return out


class _Taps:
    """Context manager that truncates the encoder and keeps its states.

    Layers above the highest requested one are removed. `states[i]` is `hidden_states[i]` of the last forward pass. The hooks
    are not those of transformers, since those of transformers stay on the layers of the first forward pass, which must not be
    those of a truncated stack.
    """

    def __init__(self, net: Net, highest: int) -> None:
        stack: Any = net.encoder.encoder
        self.stack, self.family, self.all = stack, net.family, getattr(stack, net.family.layers)
        if not 0 <= highest <= len(self.all):
            raise BadInput(
                f"retrieval layer {highest} is outside 0..{len(self.all)}, the hidden states of this encoder"
            )
        self.used = self.all[: max(1, highest)]  # the first layer's input is state 0
        self.states: dict[int, torch.Tensor] = {}
        self.hooks: list[Any] = []

    def __enter__(self) -> dict[int, torch.Tensor]:
        setattr(self.stack, self.family.layers, self.used)

        def before(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            self.states[0] = inputs[0]

        def after(number: int, output: Any) -> None:
            self.states[number] = output[0] if isinstance(output, tuple) else output

        self.hooks = [self.used[0].register_forward_pre_hook(before)]
        tapped = list(enumerate(self.used, 1))
        if len(self.used) == len(self.all) and self.family.final_norm:
            tapped.append((len(self.all), getattr(self.stack, self.family.final_norm)))  # writes after the last layer
        if getattr(self.stack, "conv", None) is not None:
            tapped.append((1, self.stack.conv))  # some DeBERTas have a convolution after the first layer
        for number, layer in tapped:
            self.hooks.append(layer.register_forward_hook(lambda _m, _i, out, number=number: after(number, out)))
        return self.states

    def __exit__(self, *_: object) -> None:
        setattr(self.stack, self.family.layers, self.all)
        for hook in self.hooks:
            hook.remove()
