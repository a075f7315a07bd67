"""Heads and losses for formats.

It imports torch, so formats import it inside functions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.encoding.encoded import NOT_SCORED


class PooledHead(nn.Module):
    """Head on the first token's state (`<s>`): dropout, dense, tanh, dropout, linear.

    Its outputs are classes, a number, or one score per choice.
    """

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, outputs)
        self.dropout = nn.Dropout(dropout)

    def pooled(self, hidden: Tensor) -> Tensor:
        """Compute sentence vectors in (-1, 1): [B, L, width] -> [B, width]."""
        return torch.tanh(self.dense(self.dropout(hidden[:, 0])))

    def forward(self, hidden: Tensor) -> Tensor:
        """Compute logits: [B, L, width] -> [B, outputs]."""
        return self.out(self.dropout(self.pooled(hidden)))  # type: ignore[no-any-return]


class TokenHead(nn.Module):
    """Head on every position: dropout and linear.

    Its outputs are tags, or start and end of a span.
    """

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.out = nn.Linear(width, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Compute logits: [B, L, width] -> [B, L, outputs]."""
        return self.out(self.dropout(hidden))  # type: ignore[no-any-return]


class JointHead(nn.Module):
    """Joint head: intent from the `<s>` state, slot tags from every position."""

    def __init__(self, width: int, intents: int, tags: int, dropout: float) -> None:
        super().__init__()
        self.intent = PooledHead(width, intents, dropout)
        self.tags = TokenHead(width, tags, dropout)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits: [B, L, width] -> intents [B, I] and tags [B, L, T]."""
        return self.intent(hidden), self.tags(hidden)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the summed cross-entropy in float32, -100 ignored.

    Returns:
        0 for an empty batch.
    """
    return nn.functional.cross_entropy(logits.float(), labels, reduction="sum", ignore_index=NOT_SCORED)


def cross_entropy_by_token(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy of every position.

    It is [B, L, outputs], [B, L] -> [B, L], 0 if not scored.
    """
    return nn.functional.cross_entropy(
        logits.float().transpose(1, 2), labels, reduction="none", ignore_index=NOT_SCORED
    )
