"""The one training loop, for pretraining, mixed intermediate training and target training alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from trainables.configs import TrainingConfig
from trainables.encoding.encoded import Encoded
from trainables.errors import is_out_of_memory
from trainables.formats import format_of
from trainables.modeling.memory import Shape, trim_heap
from trainables.modeling.model import Net
from trainables.training.batch import Batch, collate
from trainables.training.checkpoint import Checkpoints, Stopped
from trainables.training.distributed import ProcessGroup
from trainables.training.robust import Changes, changed_loss
from trainables.training.schedule import Schedule, generator, mask_tokens, rate_of

# Steps between two looks at the losses, the stop signal and the checkpoint's clock: a look waits for the device. Long steps
# are looked at more often, so that a stop is heard within seconds.
CHECK_EVERY, CHECK_EVERY_S = 25, 2.0


@dataclass
class History:
    """What a phase left behind: the loss of every step, [step, score] of every dev evaluation, and how it ended; `tokens`
    are those of all workers, without padding."""

    losses: list[float] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)  # "step", and what the probe found there as "scores"
    best_step: int = 0  # whose weights stay
    steps: int = 0
    tokens: int = 0

    def add_dev(self, step: int, score: float) -> bool:
        """Notes a dev evaluation; True if it is the best so far."""
        is_best = score > max((score for _, score in self.dev), default=-math.inf)
        self.dev.append((step, score))
        if is_best:
            self.best_step = step
        return is_best

    @staticmethod
    def of(values: Mapping[str, Any]) -> History:
        """The history that `asdict` made into JSON."""
        return History(**{**values, "dev": [(step, score) for step, score in values["dev"]]})


class NonFiniteLoss(RuntimeError):
    """The loss became infinite or not a number; names the step, the task and the losses before it."""


@dataclass(frozen=True)
class MidTrainingEvaluation:
    """What is scored after some steps and only noted: `scores` gives "dataset/language/split" -> metric -> percent.

    `rows`: the encoded rows that are scored, one split at a time.
    """

    steps: tuple[int, ...]
    scores: Callable[[], dict[str, dict[str, float]]]
    rows: Callable[[], Iterator[Encoded]] = lambda: iter(())


@dataclass(frozen=True)
class Device:
    """Where training runs: the device, this worker's place in the group, whether it has to stop, and a memory budget.

    `tokens_frac` is the share of the usual tokens that go through the model at once, below 1 where memory ran out before.
    """

    device: torch.device
    comm: ProcessGroup
    stop: Callable[[], bool] = lambda: False
    tokens_frac: float = 1.0

    @property
    def autocast(self) -> torch.autocast:
        """bf16 on GPUs that have it, float32 elsewhere."""
        on = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on)

    def check_stop(self, doing: str) -> None:
        """Raise Stopped if the stage has to stop; each worker looks for itself."""
        if self.stop():
            raise Stopped(f"stopped cleanly while {doing}")


def fit(
    net: Net,
    data: Mapping[str, Encoded],
    schedule: Schedule,
    config: TrainingConfig,
    tokenizer: Any,
    machine: Device,
    dev_score: Callable[[], float] | None,
    watch: Callable[[int, int, float, int], None],
    checkpoints: Checkpoints,
    aligned: Encoded | None = None,
    probe: MidTrainingEvaluation | None = None,
) -> History:
    """Trains `net` through `schedule` and leaves it with its best weights, or its last where `config.keep` says so.

    Goes on from the newest checkpoint. Best score and patience are read off the history, which is part of it.

    Args:
        data: task -> encoded training rows.
        dev_score: the mean main score of the dev sets, higher is better; None = keep the last weights.
        watch: called at the start and on every look, see `trainables.context.Watch`.
        checkpoints: where the state is kept while the phase goes on.
        aligned: pairs of rows for `config.align` (`alignment.pairs_of`).
        probe: scored on the way, without a say in anything.
    Raises:
        NonFiniteLoss: at most `CHECK_EVERY` steps after it happened.
        Stopped: the phase was asked to stop.
    """
    optimizer = make_optimizer(net, config, machine.device)
    special = special_ids(tokenizer)
    first, history = _start(checkpoints, net, optimizer)
    budget = TokenBudget(Shape.of(net.lm.config.to_dict()), machine)
    evaluate = Evaluations(dev_score, probe, config, schedule.steps)
    cadence, losses = Cadence(first, machine.comm), Losses(history, machine)
    watch(first, schedule.steps, math.nan, history.tokens)
    for done in range(first, schedule.steps + 1):
        if cadence.is_due(done) or done == schedule.steps:
            mean = losses.look()
            if mean is not None:
                watch(done, schedule.steps, mean, history.tokens)
            if first < done < schedule.steps:
                # Before the evaluation: a phase that goes on from here makes it again.
                checkpoints.maybe_save(done, net, optimizer, partial(asdict, history))
        try:
            evaluate(done, net, history, checkpoints)
        except Stopped:  # evaluations may take minutes, and the steps before them must not be lost
            losses.look()
            checkpoints.save(done, net, optimizer, asdict(history))
            raise
        if done == schedule.steps or evaluate.is_hopeless(history):
            break
        begin_step(net, optimizer, config, done, schedule.steps, machine)
        terms = losses_of(done, data, schedule, config, tokenizer, special, aligned)
        losses.pending.append(train_step(net, terms, optimizer, config.clip, machine, budget))
        history.tasks.append(terms[0].task)
        history.tokens += sum(int(term.batch.mask.sum()) for term in terms)
    losses.look()
    history.steps = len(history.losses)
    if not history.dev or config.keep == "last":
        history.best_step = history.steps
    elif history.best_step < history.steps:
        optimizer.state.clear()  # its memory is for what is read now
        checkpoints.load_best(net)
    net.eval()
    return history


@dataclass(frozen=True)
class Evaluations:
    """What is scored after which steps: dev rows, whose best weights stay, and the points of a curve."""

    dev_score: Callable[[], float] | None
    probe: MidTrainingEvaluation | None
    config: TrainingConfig
    steps: int

    def __call__(self, done: int, net: Net, history: History, checkpoints: Checkpoints) -> None:
        """Score what is due after so many steps, unless the history has it."""
        if self.probe and done in self.probe.steps and done not in (point["step"] for point in history.curve):
            history.curve.append({"step": done, "scores": self.probe.scores()})
        due = done and (done % self.config.steps_per_eval(self.steps) == 0 or done == self.steps)
        if self.dev_score and due and done not in (step for step, _ in history.dev):
            net.eval()
            is_best = history.add_dev(done, self.dev_score())
            if is_best and self.config.keep == "best" and done < self.steps:  # the last weights need no file
                checkpoints.keep_best(net)

    def is_hopeless(self, history: History) -> bool:
        """Whether so many evaluations brought nothing better that the phase ends."""
        patience = self.config.patience
        return bool(patience) and sum(at > history.best_step for at, _ in history.dev) >= (patience or 0)


@dataclass
class Losses:
    """The losses of the steps since the last look, still on the device."""

    history: History
    machine: Device
    pending: list[torch.Tensor] = field(default_factory=list)

    def look(self) -> float | None:
        """Move them into the history and return their mean, None where there are none; raises NonFiniteLoss."""
        found = check_losses(self.pending, self.history, self.machine)
        self.history.losses.extend(found)
        self.pending.clear()
        trim_heap()
        return float(np.mean(found)) if found else None


def _start(checkpoints: Checkpoints, net: Net, optimizer: torch.optim.Optimizer) -> tuple[int, History]:
    """Restore the newest checkpoint, if there is one; returns the first step to train and the history so far."""
    if saved := checkpoints.latest():
        checkpoints.restore(saved, net, optimizer)
        return saved.step, History.of(saved.values)
    checkpoints.best = None
    return 0, History()


class Cadence:
    """Decides after which steps the loop looks around: every 25 steps or 2 seconds, whichever comes first.

    The first worker's clock decides for all, once a look, so that no step waits for an agreement.
    """

    def __init__(self, first: int, comm: ProcessGroup) -> None:
        self.comm, self.at, self.next, self.looked = comm, first, first + 1, time.monotonic()

    def is_due(self, done: int) -> bool:
        """Whether to look after so many steps; plans the next look if so."""
        if done != self.next:
            return False
        seconds = (time.monotonic() - self.looked) / (done - self.at)
        steps = max(1, min(CHECK_EVERY, int(CHECK_EVERY_S / max(seconds, 1e-9))))
        self.at, self.next, self.looked = done, done + self.comm.from_first(steps), time.monotonic()
        return True


def begin_step(
    net: Net, optimizer: torch.optim.Optimizer, config: TrainingConfig, step: int, steps: int, machine: Device
) -> None:
    """Training mode, the step's own dropout on this worker, whatever was drawn before it, and its learning rate."""
    net.train()
    torch.manual_seed(int(generator(config.seed, "dropout", step, machine.comm.rank).integers(2**62)))
    for group in optimizer.param_groups:
        group["lr"] = rate_of(config, step, steps)


def losses_of(
    step: int,
    data: Mapping[str, Encoded],
    schedule: Schedule,
    config: TrainingConfig,
    tokenizer: Any,
    special: np.ndarray,
    aligned: Encoded | None,
) -> list[Loss]:
    """The global batches of a step and what is asked of them. Text is masked; nothing is changed or aligned there."""
    task, items = schedule.at(step)
    batch = collate(data[task], items, tokenizer.pad_token_id)
    if format_of(data[task].kind).masked:
        return [Loss(task, mask_batch(batch, special, tokenizer, generator(config.seed, "mask", step), config.mask))]
    found = [Loss(task, batch, changes=Changes(config.robust, config.seed, step) if config.robust else None)]
    if aligned is not None and schedule.alignment_batches is not None and config.align:
        pairs = collate(aligned, schedule.alignment_batches[step], tokenizer.pad_token_id)
        found = found[: not config.align.alone] + [Loss(task, pairs, config.align.weight, aligns=True)]
    return found


@dataclass(frozen=True)
class Loss:
    """One term of a step: a task's loss on a global batch, or with `aligns` the alignment of the vectors that it classifies.

    With `changes` the task's loss is that of changed inputs (`robust`).
    """

    task: str
    batch: Batch
    weight: float = 1.0
    aligns: bool = False
    changes: Changes | None = None

    def parts(self, net: Net, machine: Device, tokens: int) -> Iterator[torch.Tensor]:
        """This worker's part of the term, in pieces of at most so many padded tokens."""
        comm, device = machine.comm, machine.device
        noise = self.changes.noise(comm.rank, device) if self.changes else None
        for piece in self.batch.share(comm.rank, comm.world).pieces(tokens):
            tensors, rows = piece.tensors(device), piece.rows_per_item
            with machine.autocast:
                if self.aligns:
                    summed = net.alignment(self.task, tensors)
                elif self.changes and noise:
                    summed = changed_loss(net, self.task, tensors, rows, self.changes.robust, noise)
                else:
                    summed = net.loss(self.task, tensors, rows)
                loss = self.weight * summed / max(1, self.batch.count)
            yield loss

    def parameters(self, net: Net) -> Iterator[torch.nn.Parameter]:
        """What it trains."""
        return net.parameters_of_alignment(self.task) if self.aligns else net.parameters_of(self.task)


@dataclass
class TokenBudget:
    """How many padded tokens go through the model at once; halved once in a phase, when the memory does not hold them."""

    shape: Shape
    machine: Device
    halved: bool = False

    def tokens(self, length: int, *, text: bool) -> int:
        """The number for rows of this length of a task, or for `text` of masked LM."""
        frac = self.machine.tokens_frac / 2 if self.halved else self.machine.tokens_frac
        return self.shape.tokens_at_once(self.machine.device.type, length, frac, text=text)

    def halve(self) -> bool:
        """True if there is less to hold now; False if that was tried already."""
        halved, self.halved = self.halved, True
        return not halved


def train_step(
    net: Net,
    losses: Sequence[Loss],
    optimizer: torch.optim.Optimizer,
    clip: float,
    machine: Device,
    budget: TokenBudget,
) -> torch.Tensor:
    """One optimiser step on the sum of the losses; returns this worker's part of it, still on the device."""
    try:
        total = _gradients(net, losses, machine, budget)
    except Exception as error:
        if not is_out_of_memory(error) or not budget.halve():
            raise
        error.__traceback__ = None  # its frames hold what is to be freed
        optimizer.zero_grad(set_to_none=True)
        if machine.device.type == "cuda":
            torch.cuda.empty_cache()
        total = _gradients(net, losses, machine, budget)
    trained = list({id(p): p for loss in losses for p in loss.parameters(net)}.values())
    machine.comm.sum_gradients(trained)
    clip_gradients(trained, clip, net.lm.get_input_embeddings().weight)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def clip_gradients(parameters: Sequence[torch.nn.Parameter], clip: float, table: torch.Tensor) -> None:
    """Scale the gradients to a global norm of at most `clip`.

    The norm of the word embedding's is added up over its rows in double precision, so that rows without a gradient do not
    change its last bit, whether they are there or not (`vocabulary`).
    """
    others = [p.grad for p in parameters if p.grad is not None and p is not table]
    norms = [torch.nn.utils.get_total_norm(others).double()] if others else []
    if table.grad is not None:
        norms.append(torch.linalg.vector_norm(table.grad, dim=1).double().norm())
    torch.nn.utils.clip_grads_with_norm_(parameters, clip, torch.stack(norms).norm().float())


def _gradients(net: Net, losses: Sequence[Loss], machine: Device, budget: TokenBudget) -> torch.Tensor:
    """Adds up the gradients of this worker's share of the batches, piece by piece; returns its part of the mean losses."""
    total = torch.zeros((), device=machine.device)
    for term in losses:
        tokens = budget.tokens(term.batch.tokens.shape[1], text=format_of(net.specs[term.task].kind).masked)
        for loss in term.parts(net, machine, tokens):
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
    return total


def make_optimizer(net: Net, config: TrainingConfig, device: torch.device) -> torch.optim.Optimizer:
    """The optimizer that the phase names, fused where there is such; no weight decay on vectors (biases and LayerNorm)."""
    decayed = [p for p in net.parameters() if p.dim() > 1]
    plain = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if config.optimizer == "adamax":
        return torch.optim.Adamax(groups, lr=config.lr, eps=config.adam_eps)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.lr, eps=config.adam_eps, fused=True)


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


def check_losses(pending: list[torch.Tensor], history: History, machine: Device) -> list[float]:
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
