"""The one training loop, for pretraining, mixed intermediate training and target training alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from trainables.batch import Batch, collate
from trainables.comm import Comm
from trainables.configs import FitConfig
from trainables.formats import Encoded
from trainables.model import Net
from trainables.schedule import Schedule, generator, learning_rate, mask_tokens

# Machine facts, never part of a recipe: how many padded tokens go through the model at once.
TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 65_536}
CHECK_EVERY = 25  # steps between looks at the loss; a look waits for the device


@dataclass
class History:
    """What a phase left behind: the loss of every step, [step, score] of every dev evaluation, and how it ended."""

    losses: list[float] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0  # whose weights stay
    steps: int = 0


class NonFiniteLoss(RuntimeError):
    """The loss became infinite or not a number; names the step, the task and the losses before it."""


@dataclass(frozen=True)
class Machine:
    """Where training runs: the device and this worker's place in the group."""

    device: torch.device
    comm: Comm

    @property
    def autocast(self) -> torch.autocast:
        """bf16 on GPUs that have it, float32 elsewhere."""
        on = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on)


def fit(
    net: Net,
    data: Mapping[str, Encoded],
    schedule: Schedule,
    config: FitConfig,
    tokenizer: Any,
    machine: Machine,
    dev_score: Callable[[], float] | None,
    watch: Callable[[int, int, float, int], None],
) -> History:
    """Trains `net` through `schedule` and leaves it with its best weights, or its last where `config.keep` says so.

    Best score and patience are read off the history of this call: a phase that is interrupted starts anew, so no part of
    their state can be lost.

    Args:
        data: task -> encoded training rows.
        dev_score: the mean main score of the dev sets, higher is better; None = keep the last weights.
        watch: called at the start and on every look with (step, steps, mean loss since the last look, tokens so far);
            the tokens are those of all workers, without padding.
    Raises:
        NonFiniteLoss: at most `CHECK_EVERY` steps after it happened.
    """
    optimizer = make_optimizer(net, config, machine.device)
    special = special_ids(tokenizer)
    history, best, tokens = History(), None, 0
    pending: list[torch.Tensor] = []
    warmup = config.warmup_steps / schedule.steps if config.warmup_steps else config.warmup_frac
    eval_every = max(1, min(config.eval_every, math.ceil(schedule.steps / config.min_evals)))
    watch(0, schedule.steps, math.nan, 0)
    for step in range(schedule.steps):
        task, items = schedule.at(step)
        net.train()
        torch.manual_seed(int(generator(config.seed, "dropout", step, machine.comm.rank).integers(2**62)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, schedule.steps, config.lr, min(1.0, warmup))
        batch = collate(data[task], items, tokenizer.pad_token_id)
        if data[task].kind == "text":
            batch = mask_batch(batch, special, tokenizer, generator(config.seed, "mask", step), config.mask)
        pending.append(train_step(net, task, batch, optimizer, config.clip, machine))
        history.tasks.append(task)
        tokens += int(batch.mask.sum())
        done = step + 1
        if done % CHECK_EVERY == 0 or done == schedule.steps:
            history.losses += check_losses(pending, history, machine)
            watch(done, schedule.steps, float(np.mean(history.losses[-len(pending) :])), tokens)
            pending = []
        if dev_score and (done % eval_every == 0 or done == schedule.steps):
            net.eval()
            history.dev.append((done, dev_score()))
            if history.dev[-1][1] > max((score for _, score in history.dev[:-1]), default=-math.inf):
                history.best_step = done
                if config.keep == "best":
                    best = {name: value.detach().to("cpu", copy=True) for name, value in net.state_dict().items()}
            if config.patience and sum(at > history.best_step for at, _ in history.dev) >= config.patience:
                break
    history.losses += check_losses(pending, history, machine)
    history.steps = len(history.losses)
    if best is not None:
        net.load_state_dict(best)
    else:
        history.best_step = history.steps
    net.eval()
    return history


def train_step(
    net: Net, task: str, batch: Batch, optimizer: torch.optim.Optimizer, clip: float, machine: Machine
) -> torch.Tensor:
    """One optimiser step on the global batch; returns this worker's part of the mean loss, still on the device."""
    total = torch.zeros((), device=machine.device)
    share = batch.share(machine.comm.rank, machine.comm.world)
    for piece in share.pieces(TOKENS_AT_ONCE[machine.device.type]):
        with machine.autocast:
            loss = net.loss(task, piece.tensors(machine.device), piece.rows_per_item) / max(1, batch.count)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    trained = list(net.parameters_of(task))
    machine.comm.sum_gradients(trained)
    torch.nn.utils.clip_grad_norm_(trained, clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def make_optimizer(net: Net, config: FitConfig, device: torch.device) -> torch.optim.Optimizer:
    """Fused AdamW; no weight decay on vectors (biases and LayerNorm)."""
    decayed = [p for p in net.parameters() if p.dim() > 1]
    plain = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, eps=config.adam_eps, fused=True)


def special_ids(tokenizer: Any) -> np.ndarray:
    """bool [vocabulary], True for ids that masked LM never hides."""
    special = np.zeros(len(tokenizer), dtype=bool)
    special[[i for i in tokenizer.all_special_ids if i < len(special)]] = True
    return special


def mask_batch(
    batch: Batch, special: np.ndarray, tokenizer: Any, rng: np.random.Generator, share: float = 0.15
) -> Batch:
    """A masked-LM batch: corrupted tokens, and labels at the chosen positions only."""
    flat = batch.tokens[batch.mask]
    corrupted, chosen = mask_tokens(
        flat, special[flat], mask_id=tokenizer.mask_token_id, vocabulary=len(special), rng=rng, share=share
    )
    tokens, labels = batch.tokens.copy(), batch.labels.copy()
    tokens[batch.mask] = corrupted
    labels[batch.mask] = np.where(chosen, flat, -100)
    return replace(batch, tokens=tokens, labels=labels, count=int(chosen.sum()))


def check_losses(pending: list[torch.Tensor], history: History, machine: Machine) -> list[float]:
    """The global loss of each pending step; raises NonFiniteLoss at the first that is not finite."""
    if not pending:
        return []
    losses = [float(x) for x in machine.comm.sum_number(torch.stack(pending)).tolist()]
    for offset, loss in enumerate(losses):
        if not math.isfinite(loss):
            step = len(history.losses) + offset
            before = ", ".join(f"{x:.4g}" for x in (history.losses + losses[:offset])[-5:])
            raise NonFiniteLoss(
                f"loss is {loss} at step {step + 1} (task {history.tasks[step]}); before it: {before or 'none'}"
            )
    return losses
