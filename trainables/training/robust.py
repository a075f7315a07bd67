"""Training on changed inputs (Huang et al. 2021): for each token a change of its embedding inside a small ball.

`adversarial` looks for the change that raises the loss most, by projected gradient ascent (Madry et al. 2018), `random` draws
it. Exchanged words, the third way, are changed rows: `trainables.training.synonyms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.modeling.model import Net
from trainables.objectives import Norm, Robust
from trainables.training.schedule import generator


def changed_loss(
    net: Net, task: str, batch: Mapping[str, Tensor], rows_per_item: int, robust: Robust, noise: torch.Generator
) -> Tensor:
    """The *summed* loss of a batch, (1 - weight) of it at the inputs as they are and `weight` at the changed ones.

    The search and both passes see the same dropout masks: what is maximised is the loss that is then minimised, and not
    that of another subnetwork (so Zhu et al. 2020, FreeLB). A weight of 0 leaves the random state as if there were no search.

    Args:
        batch, rows_per_item: as in `Net.loss`.
        noise: what random changes are drawn from, on the batch's device.
    """
    if not robust.weight:
        return net.loss(task, batch, rows_per_item)
    delta = (
        pgd_perturbation(net, task, batch, rows_per_item, robust)
        if robust.steps
        else random_perturbation(net, batch, robust, noise)
    )
    if robust.weight == 1:
        return net.loss(task, batch, rows_per_item, delta)
    with _same_masks(delta):
        changed = net.loss(task, batch, rows_per_item, delta)
    return (1 - robust.weight) * net.loss(task, batch, rows_per_item) + robust.weight * changed


def pgd_perturbation(net: Net, task: str, batch: Mapping[str, Tensor], rows_per_item: int, robust: Robust) -> Tensor:
    """float32 [B, L, width]: what `robust.steps` steps of ascent from 0 add to the word embeddings; 0 on padding.

    Gradients are taken with respect to the change alone, so those of the parameters stay as they are.
    """
    delta = torch.zeros_like(net.embedded(batch["tokens"]).detach(), dtype=torch.float32)
    seen = batch["mask"].bool().unsqueeze(-1)
    for _ in range(robust.steps):
        delta.requires_grad_(True)
        with _same_masks(delta):
            (gradient,) = torch.autograd.grad(net.loss(task, batch, rows_per_item, delta), delta)
        step = robust.step_size * robust.eps * direction(gradient.float(), robust.norm)
        delta = project(delta.detach() + step, robust.norm, robust.eps).masked_fill(~seen, 0.0)
    return delta


def random_perturbation(net: Net, batch: Mapping[str, Tensor], robust: Robust, noise: torch.Generator) -> Tensor:
    """float32 [B, L, width]: for each token a change that is uniform in the ball; 0 on padding."""
    like = torch.zeros_like(net.embedded(batch["tokens"]).detach(), dtype=torch.float32)
    if robust.norm == "linf":
        delta = torch.empty_like(like).uniform_(-robust.eps, robust.eps, generator=noise)
    else:
        radius = torch.empty_like(like[..., :1]).uniform_(generator=noise) ** (1 / like.shape[-1])
        delta = robust.eps * radius * direction(torch.empty_like(like).normal_(generator=noise), "l2")
    return delta.masked_fill(~batch["mask"].bool().unsqueeze(-1), 0.0)


def direction(gradient: Tensor, norm: Norm) -> Tensor:
    """The steepest ascent of length 1, token by token [..., width]: the normalised gradient, or its sign; 0 stays 0."""
    if norm == "linf":
        return gradient.sign()
    tiny = torch.finfo(gradient.dtype).tiny
    scaled = gradient / gradient.abs().amax(-1, keepdim=True).clamp_min(tiny)  # the squares of small ones would vanish
    length: Tensor = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    return scaled / length.clamp_min(tiny)


def project(delta: Tensor, norm: Norm, eps: float) -> Tensor:
    """The nearest change [..., width] whose norm is at most `eps` for every token."""
    if norm == "linf":
        return delta.clamp(-eps, eps)
    length: Tensor = torch.linalg.vector_norm(delta, dim=-1, keepdim=True)
    return torch.where(length > eps, delta * (eps / length.clamp_min(torch.finfo(delta.dtype).tiny)), delta)


@dataclass(frozen=True)
class Changes:
    """Robust training as one step of a phase has it; random changes are a function of seed, step and worker alone."""

    robust: Robust
    seed: int
    step: int

    def noise(self, rank: int, device: torch.device) -> torch.Generator:
        """The generator of this step on one worker, from its start."""
        key = int(generator(self.seed, "robust", self.step, rank).integers(2**62))
        return torch.Generator(device).manual_seed(key)


def _same_masks(tensor: Tensor) -> AbstractContextManager[None]:
    """Whatever is drawn inside is drawn again after it."""
    return torch.random.fork_rng(devices=[tensor.device] if tensor.is_cuda else [])
