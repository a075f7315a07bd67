"""The training loop of pretraining, intermediate training and target training."""

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

# Steps between two checks of the losses, the stop signal and the checkpoint's clock: a check waits for the device. With long
# steps checks are more frequent, so that a stop takes effect within seconds.
CHECK_EVERY, CHECK_EVERY_S = 25, 2.0

# Progress callback (step, total steps, mean loss since the last call, tokens so far), called at step 0 and then during the
# stage. A step is one of the optimiser in training, and a language in evaluation, where the loss is nan and tokens are 0.
ProgressCallback = Callable[[int, int, float, int], None]


@dataclass
class History:
    """Course of a training phase.

    Attributes:
        losses, tasks: the loss and the task of each step.
        dev: (step, score) of each dev evaluation.
        curve: "step" and "scores" of each evaluation during training.
        best_step: the step whose weights are kept.
        steps: number of steps trained.
        tokens: number of tokens of all workers, without padding.
    """

    losses: list[float] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    best_step: int = 0
    steps: int = 0
    tokens: int = 0

    def add_dev(self, step: int, score: float) -> bool:
        """Add a dev evaluation.

        Returns:
            True if it is the best so far.
        """
        is_best = score > max((score for _, score in self.dev), default=-math.inf)
        self.dev.append((step, score))
        if is_best:
            self.best_step = step
        return is_best

    @staticmethod
    def of(values: Mapping[str, Any]) -> History:
        """Restore a history from JSON that `asdict` made."""
        return History(**{**values, "dev": [(step, score) for step, score in values["dev"]]})


class NonFiniteLoss(RuntimeError):
    """Infinite or NaN loss.

    The message has the step, the task and the losses before it.
    """


@dataclass(frozen=True)
class MidTrainingEvaluation:
    """Evaluation after some steps, which does not influence training.

    Attributes:
        steps: the steps after which it runs.
        scores: returns "dataset/language/split" -> metric -> percent.
        rows: yields the encoded rows that are scored, one split at a time.
    """

    steps: tuple[int, ...]
    scores: Callable[[], dict[str, dict[str, float]]]
    rows: Callable[[], Iterator[Encoded]] = lambda: iter(())


@dataclass(frozen=True)
class Device:
    """Device, process group, stop signal and memory limit of a worker.

    Attributes:
        stop: returns whether the stage has to stop.
        tokens_frac: share of the usual tokens that go through the model at once, below 1 if memory ran out before.
    """

    device: torch.device
    comm: ProcessGroup
    stop: Callable[[], bool] = lambda: False
    tokens_frac: float = 1.0

    @property
    def autocast(self) -> torch.autocast:
        """Autocast to bf16 on GPUs that support it; float32 elsewhere."""
        on = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on)

    def check_stop(self, doing: str) -> None:
        """Raise Stopped if the stage has to stop.

        Each worker checks for itself.
        """
        if self.stop():
            raise Stopped(f"stopped cleanly while {doing}")


@dataclass(frozen=True, kw_only=True)
class PhaseData:
    """Training data of a phase.

    Attributes:
        rows: task -> encoded training rows.
        schedule: task and item numbers of each step.
        aligned: pairs of rows for `TrainingConfig.align` (`alignment.pairs_of`).
    """

    rows: Mapping[str, Encoded]
    schedule: Schedule
    aligned: Encoded | None = None


def fit(
    net: Net,
    data: PhaseData,
    config: TrainingConfig,
    *,
    tokenizer: Any,
    machine: Device,
    checkpoints: Checkpoints,
    on_progress: ProgressCallback = lambda *_: None,
    dev_score: Callable[[], float] | None = None,
    probe: MidTrainingEvaluation | None = None,
) -> History:
    """Train a net; its final weights are the best or last.

    `config.keep` chooses between them. Training continues from the newest checkpoint. Best score and patience are computed
    from the history, which is part of it.

    Args:
        checkpoints: store of the state during the phase.
        on_progress: called at the start and at each check.
        dev_score: mean main score of the dev sets, higher is better; None = keep the last weights.
        probe: evaluated during training, without influence on it.
    Raises:
        NonFiniteLoss: at most `CHECK_EVERY` steps after it happened.
        Stopped: the phase had to stop.
    """
    schedule = data.schedule
    optimizer = make_optimizer(net, config, machine.device)
    special = special_ids(tokenizer)
    first, history = _start(checkpoints, net, optimizer)
    budget = TokenBudget(Shape.of(net.lm.config.to_dict()), machine)
    evaluate = Evaluations(dev_score, probe, config, schedule.steps)
    cadence, losses = Cadence(first, machine.comm), Losses(history, machine)
    on_progress(first, schedule.steps, math.nan, history.tokens)
    for done in range(first, schedule.steps + 1):
        if cadence.is_due(done) or done == schedule.steps:
            mean = losses.collect()
            if mean is not None:
                on_progress(done, schedule.steps, mean, history.tokens)
            if first < done < schedule.steps:
                # Before the evaluation, which is repeated when the phase resumes here.
                checkpoints.maybe_save(done, net, optimizer, partial(asdict, history))
        try:
            evaluate(done, net, history, checkpoints)
        except Stopped:  # evaluations may take minutes, and the steps before them must not be lost
            losses.collect()
            checkpoints.save(done, net, optimizer, asdict(history))
            raise
        if done == schedule.steps or evaluate.is_out_of_patience(history):
            break
        begin_step(net, optimizer, config, done, schedule.steps, machine)
        terms = losses_of(done, data, config, tokenizer, special)
        losses.pending.append(train_step(net, terms, optimizer, config.clip, machine, budget))
        history.tasks.append(terms[0].task)
        history.tokens += sum(int(term.batch.mask.sum()) for term in terms)
    losses.collect()
    history.steps = len(history.losses)
    if not history.dev or config.keep == "last":
        history.best_step = history.steps
    elif history.best_step < history.steps:
        optimizer.state.clear()  # frees memory for the weights that are loaded now
        checkpoints.load_best(net)
    net.eval()
    return history


@dataclass(frozen=True)
class Evaluations:
    """Evaluations during training.

    They are dev rows, which choose the weights to keep, and the points of a curve.
    """

    dev_score: Callable[[], float] | None
    probe: MidTrainingEvaluation | None
    config: TrainingConfig
    steps: int

    def __call__(self, done: int, net: Net, history: History, checkpoints: Checkpoints) -> None:
        """Run the due evaluations that are not in the history."""
        if self.probe and done in self.probe.steps and done not in (point["step"] for point in history.curve):
            history.curve.append({"step": done, "scores": self.probe.scores()})
        due = done and (done % self.config.steps_per_eval(self.steps) == 0 or done == self.steps)
        if self.dev_score and due and done not in (step for step, _ in history.dev):
            net.eval()
            is_best = history.add_dev(done, self.dev_score())
            if is_best and self.config.keep == "best" and done < self.steps:  # the last weights need no file
                checkpoints.keep_best(net)

    def is_out_of_patience(self, history: History) -> bool:
        """Return whether `patience` evaluations brought no improvement, which ends training."""
        patience = self.config.patience
        return bool(patience) and sum(at > history.best_step for at, _ in history.dev) >= (patience or 0)


@dataclass
class Losses:
    """Losses since the last check, still on the device."""

    history: History
    machine: Device
    pending: list[torch.Tensor] = field(default_factory=list)

    def collect(self) -> float | None:
        """Move the losses into the history and return their mean.

        Returns:
            None if there are no losses.
        Raises:
            NonFiniteLoss: a loss is infinite or NaN.
        """
        found = check_losses(self.pending, self.history, self.machine)
        self.history.losses.extend(found)
        self.pending.clear()
        trim_heap()
        return float(np.mean(found)) if found else None


def _start(checkpoints: Checkpoints, net: Net, optimizer: torch.optim.Optimizer) -> tuple[int, History]:
    """Restore the newest checkpoint, if any.

    Returns:
        the first step to train and the history.
    """
    if saved := checkpoints.latest():
        checkpoints.restore(saved, net, optimizer)
        return saved.step, History.of(saved.values)
    checkpoints.best = None
    return 0, History()


class Cadence:
    """Schedule of the loop's checks.

    They are every 25 steps or 2 seconds, whichever comes first. One worker looks at its clock after every step. Of several
    the first worker's clock decides for all once per check, by the steps before it, so that the other steps need no
    communication.
    """

    def __init__(self, first: int, comm: ProcessGroup) -> None:
        self.comm, self.at, self.next, self.checked = comm, first, first + 1, time.monotonic()

    def is_due(self, done: int) -> bool:
        """Return whether a check is due.

        If so, schedule the next.
        """
        late = not self.comm.on and time.monotonic() - self.checked >= CHECK_EVERY_S
        if done != self.next and not (late and done > self.at):
            return False
        seconds = (time.monotonic() - self.checked) / (done - self.at)
        steps = max(1, min(CHECK_EVERY, int(CHECK_EVERY_S / max(seconds, 1e-9))))
        self.at, self.next, self.checked = done, done + self.comm.from_first(steps), time.monotonic()
        return True


def begin_step(
    net: Net, optimizer: torch.optim.Optimizer, config: TrainingConfig, step: int, steps: int, machine: Device
) -> None:
    """Set training mode, dropout's seed and the learning rate.

    The seed is a function of config, step and worker alone, so that dropout does not depend on earlier draws.
    """
    net.train()
    torch.manual_seed(int(generator(config.seed, "dropout", step, machine.comm.rank).integers(2**62)))
    for group in optimizer.param_groups:
        group["lr"] = rate_of(config, step, steps)


def losses_of(step: int, data: PhaseData, config: TrainingConfig, tokenizer: Any, special: np.ndarray) -> list[Loss]:
    """Return a step's loss terms, with their global batches.

    Raw text is masked; robust training and alignment do not apply to it.
    """
    task, items = data.schedule.at(step)
    rows = data.rows[task]
    batch = collate(rows, items, tokenizer.pad_token_id)
    if format_of(rows.kind).masked:
        return [Loss(task, mask_batch(batch, special, tokenizer, generator(config.seed, "mask", step), config.mask))]
    found = [Loss(task, batch, changes=Changes(config.robust, config.seed, step) if config.robust else None)]
    if data.aligned is not None and data.schedule.alignment_batches is not None and config.align:
        pairs = collate(data.aligned, data.schedule.alignment_batches[step], tokenizer.pad_token_id)
        found = found[: not config.align.alone] + [Loss(task, pairs, config.align.weight, aligns=True)]
    return found


@dataclass(frozen=True)
class Loss:
    """Loss term: a task's loss on a global batch.

    With `aligns` it is the alignment of the vectors that the task classifies; with `changes` the inputs are perturbed
    (`robust`).
    """

    task: str
    batch: Batch
    weight: float = 1.0
    aligns: bool = False
    changes: Changes | None = None

    def parts(self, net: Net, machine: Device, tokens: int) -> Iterator[torch.Tensor]:
        """Yield this worker's part of the term, piece by piece.

        Args:
            tokens: maximum padded tokens of a piece.
        """
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
        """Return the parameters that the term trains."""
        return net.parameters_of_alignment(self.task) if self.aligns else net.parameters_of(self.task)


@dataclass
class TokenBudget:
    """Limit of padded tokens in the model at once.

    It is halved at most once in a phase, when memory runs out.
    """

    shape: Shape
    machine: Device
    halved: bool = False

    def tokens(self, length: int, *, text: bool) -> int:
        """Return the limit for rows of this length.

        Args:
            text: masked LM.
        """
        frac = self.machine.tokens_frac / 2 if self.halved else self.machine.tokens_frac
        return self.shape.tokens_at_once(self.machine.device.type, length, frac, text=text)

    def halve(self) -> bool:
        """Halve the limit; return False if it was halved before."""
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
    """Take one optimiser step on the sum of the losses.

    Returns:
        this worker's part of the sum, still on the device.
    """
    try:
        total = _gradients(net, losses, machine, budget)
    except Exception as error:
        if not is_out_of_memory(error) or not budget.halve():
            raise
        error.__traceback__ = None  # its frames refer to the tensors that must be freed
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
    """Clip the gradients to a global norm of `clip`.

    The norm of the word embedding's gradient is summed over its rows in double precision, so that rows without a gradient
    do not change its last bit, whether the table contains them or not (`vocabulary`).
    """
    others = [p.grad for p in parameters if p.grad is not None and p is not table]
    norms = [torch.nn.utils.get_total_norm(others).double()] if others else []
    if table.grad is not None:
        norms.append(torch.linalg.vector_norm(table.grad, dim=1).double().norm())
    torch.nn.utils.clip_grads_with_norm_(parameters, clip, torch.stack(norms).norm().float())


def _gradients(net: Net, losses: Sequence[Loss], machine: Device, budget: TokenBudget) -> torch.Tensor:
    """Accumulate the gradients of this worker's share of the batches.

    Returns:
        its part of the mean losses.
    """
    total = torch.zeros((), device=machine.device)
    for term in losses:
        tokens = budget.tokens(term.batch.tokens.shape[1], text=format_of(net.specs[term.task].kind).masked)
        for loss in term.parts(net, machine, tokens):
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
    return total


def make_optimizer(net: Net, config: TrainingConfig, device: torch.device) -> torch.optim.Optimizer:
    """Make the configured optimizer, fused if PyTorch has one.

    Vectors (biases and LayerNorm) have no weight decay.
    """
    decayed = [p for p in net.parameters() if p.dim() > 1]
    plain = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if config.optimizer == "adamax":
        return torch.optim.Adamax(groups, lr=config.lr, eps=config.adam_eps)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.lr, eps=config.adam_eps, fused=True)


def special_ids(tokenizer: Any) -> np.ndarray:
    """Mark the token ids that masked LM never hides.

    Returns:
        bool [vocabulary].
    """
    special = np.zeros(len(tokenizer), dtype=bool)
    special[[i for i in tokenizer.all_special_ids if i < len(special)]] = True
    return special


def mask_batch(
    batch: Batch, special: np.ndarray, tokenizer: Any, rng: np.random.Generator, share: float = 0.15
) -> Batch:
    """Corrupt a batch for masked LM, with labels where chosen."""
    flat = batch.tokens[batch.mask]
    corrupted, chosen = mask_tokens(
        flat, special[flat], mask_id=tokenizer.mask_token_id, vocabulary=len(special), rng=rng, share=share
    )
    tokens, labels = batch.tokens.copy(), batch.labels.copy()
    tokens[batch.mask] = corrupted
    labels[batch.mask] = np.where(chosen, flat, -100)
    return replace(batch, tokens=tokens, labels=labels, count=int(chosen.sum()))


def check_losses(pending: list[torch.Tensor], history: History, machine: Device) -> list[float]:
    """Return the global loss of each pending step.

    Raises:
        NonFiniteLoss: a loss is infinite or NaN; the first one is named.
    """
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
