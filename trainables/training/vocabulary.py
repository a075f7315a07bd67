"""Train only the rows of the word embedding that a phase's texts use.

XLM-R has 250,000 rows and an English data set uses a tenth of them. The others have no gradient, so that AdamW does nothing to
them but decay: the table in training holds the used rows, and the others are decayed once, at the end. The weights that a phase
leaves are those of training on the whole table, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from trainables.configs import TrainingConfig
from trainables.modeling.model import LeanEmbedding, Net
from trainables.training.schedule import rate_of


@dataclass(frozen=True)
class Trimmed:
    """A net whose embedding holds few of its rows: the whole table, which of its rows, and where else it stood."""

    net: Net
    whole: Tensor
    used: Tensor  # int64 [rows in use]
    tied: tuple[tuple[nn.Module, str], ...]

    def restore(self, decay: float) -> None:
        """Put the whole table back, its used rows as trained and the others times `decay`."""
        table = self.net.lm.get_input_embeddings()
        with torch.no_grad():
            if decay != 1.0:
                self.whole.mul_(decay)
            self.whole[self.used] = table.weight.to(self.whole.device)
        table.use_rows(self.whole, None)
        for module, name in self.tied:
            module.register_parameter(name, cast(nn.Parameter, self.whole))


def trim(net: Net, texts: Iterable[np.ndarray]) -> Trimmed | None:
    """Leave only the embedding rows of these token ids, padding among them; None where the embedding cannot be trimmed.

    Weights that are tied to the table, such as an LM head's, are taken out of the net until `Trimmed.restore`.
    """
    table = net.lm.get_input_embeddings()
    if not isinstance(table, LeanEmbedding):
        return None
    used = torch.from_numpy(np.unique(np.concatenate([np.unique(tokens) for tokens in texts])).astype(np.int64))
    whole = table.weight
    tied = tuple(
        (module, name)
        for module in net.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter is whole and module is not table
    )
    for module, name in tied:
        module.register_parameter(name, None)
    table.use_rows(nn.Parameter(whole.detach()[used]), used)
    return Trimmed(net, whole, used, tied)


def is_exact(config: TrainingConfig) -> bool:
    """Whether the optimizer leaves rows without a gradient alone but for decay: Adam's weight decay is part of the gradient."""
    return config.optimizer == "adamw" or not config.weight_decay


def decay_of(config: TrainingConfig, done: int, steps: int) -> float:
    """What AdamW's weight decay has multiplied a row without a gradient with, after `done` of `steps` steps."""
    if config.optimizer != "adamw":
        return 1.0
    return float(np.prod([1.0 - rate_of(config, step, steps) * config.weight_decay for step in range(done)]))
