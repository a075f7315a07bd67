"""Training of only the used rows of the word embedding.

XLM-R has 250,000 rows, and an English dataset uses a tenth of them. The others have no gradient, so that AdamW only decays
them: the table in training has the used rows, and the others are decayed once, at the end. The final weights are those of
training on the whole table, up to rounding.
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
    """Net whose embedding has only the used rows.

    Attributes:
        whole: the whole table.
        used: int64 [rows in use], row numbers in the whole table.
        tied: modules and names of the parameters that were tied to the table.
    """

    net: Net
    whole: Tensor
    used: Tensor
    tied: tuple[tuple[nn.Module, str], ...]

    def restore(self, decay: float) -> None:
        """Restore the whole table, with untrained rows times `decay`."""
        table = self.net.lm.get_input_embeddings()
        with torch.no_grad():
            if decay != 1.0:
                self.whole.mul_(decay)
            self.whole[self.used] = table.weight.to(self.whole.device)
        table.use_rows(self.whole, None)
        for module, name in self.tied:
            module.register_parameter(name, cast(nn.Parameter, self.whole))


def trim(net: Net, texts: Iterable[np.ndarray]) -> Trimmed | None:
    """Reduce the embedding to the rows of these token ids.

    It returns None if the embedding cannot be trimmed. The ids must include padding. Weights that are tied to the table, such
    as an LM head's, are removed from the net until `Trimmed.restore`.
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
    """Return whether the optimizer only decays rows without a gradient.

    Adam's weight decay is part of the gradient, so it must be 0.
    """
    return config.optimizer == "adamw" or not config.weight_decay


def decay_of(config: TrainingConfig, done: int, steps: int) -> float:
    """Compute AdamW's total decay of a row without a gradient.

    It is the factor after `done` of `steps` steps.
    """
    if config.optimizer != "adamw":
        return 1.0
    return float(np.prod([1.0 - rate_of(config, step, steps) * config.weight_decay for step in range(done)]))
