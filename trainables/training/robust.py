"""Robust training on perturbed inputs (Huang et al. 2021).

Each token's embedding changes within a small ball. `adversarial` maximises the loss over the perturbation by projected
gradient ascent (Madry et al. 2018), `random` samples it. The third method, synonyms, changes rows:
`trainables.training.synonyms`.
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
    """Compute the *summed* loss of a batch on perturbed inputs.

    It is (1 - weight) x the loss at the original inputs + weight x the loss at the perturbed ones. The ascent and both passes
    have the same dropout masks, so that the loss that is maximised is the one that is minimised afterwards, and not that of
    another subnetwork (as in Zhu et al. 2020, FreeLB). With weight 0 the random state is the same as without robust training.

    Args:
        batch, rows_per_item: as in `Net.loss`.
        noise: generator of random perturbations, on the batch's device.
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
    """Compute an adversarial perturbation of the word embeddings.

    It is the result of `robust.steps` steps of ascent from 0. Gradients are taken with respect to the perturbation alone, so
    those of the parameters do not change.

    Returns:
        float32 [B, L, width], 0 on padding.
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
    """Sample a perturbation per token uniformly from the ball.

    Returns:
        float32 [B, L, width], 0 on padding.
    """
    like = torch.zeros_like(net.embedded(batch["tokens"]).detach(), dtype=torch.float32)
    if robust.norm == "linf":
        delta = torch.empty_like(like).uniform_(-robust.eps, robust.eps, generator=noise)
    else:
        radius = torch.empty_like(like[..., :1]).uniform_(generator=noise) ** (1 / like.shape[-1])
        delta = robust.eps * radius * direction(torch.empty_like(like).normal_(generator=noise), "l2")
    return delta.masked_fill(~batch["mask"].bool().unsqueeze(-1), 0.0)


def direction(gradient: Tensor, norm: Norm) -> Tensor:
    """Return the steepest ascent of length 1 for each token.

    It is the normalised gradient [..., width], or its sign; 0 stays 0.
    """
    if norm == "linf":
        return gradient.sign()
    tiny = torch.finfo(gradient.dtype).tiny
    scaled = gradient / gradient.abs().amax(-1, keepdim=True).clamp_min(tiny)  # the squares of small ones would vanish
    length: Tensor = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    return scaled / length.clamp_min(tiny)


def project(delta: Tensor, norm: Norm, eps: float) -> Tensor:
    """Project perturbations [..., width] to norms of at most `eps`."""
    if norm == "linf":
        return delta.clamp(-eps, eps)
    length: Tensor = torch.linalg.vector_norm(delta, dim=-1, keepdim=True)
    return torch.where(length > eps, delta * (eps / length.clamp_min(torch.finfo(delta.dtype).tiny)), delta)


@dataclass(frozen=True)
class Changes:
    """Robust training in one step.

    Random perturbations are a function of seed, step and worker alone.
    """

    robust: Robust
    seed: int
    step: int

    def noise(self, rank: int, device: torch.device) -> torch.Generator:
        """Make the random generator of this step on one worker."""
        key = int(generator(self.seed, "robust", self.step, rank).integers(2**62))
        return torch.Generator(device).manual_seed(key)


def _same_masks(tensor: Tensor) -> AbstractContextManager[None]:
    """Restore the random state afterwards, for equal dropout masks."""
    return torch.random.fork_rng(devices=[tensor.device] if tensor.is_cuda else [])
