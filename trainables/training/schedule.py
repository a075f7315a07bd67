"""Schedule of training: a pure function of (recipe, seed, step).

Task, examples, masked positions and dropout seed come from counter-based generators keyed by purpose and step. So resuming
needs no data-loader state, and the number of workers does not change the batches.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainables.configs import Intermediate, TrainingConfig

# Batches in one window are sorted by length: 64 of them waste little padding, and the data are still shuffled.
WINDOW_BATCHES = 64
CYCLE_RISES = 0.3  # share of the steps in which one cycle rises


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Make the generator of (seed, purpose), equal on all machines."""
    key = hashlib.blake2b(repr((seed, purpose)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def mixing_probabilities(sizes: Mapping[str, int], limit: int) -> dict[str, float]:
    """Compute the probability of each task (Phang et al. 2020).

    P(m) = min(e_m, K) / sum_j min(e_j, K), section 2.2.

    Args:
        sizes: task -> number of training examples e_m.
        limit: K, at least 1.
    """
    capped = {task: min(size, limit) for task, size in sizes.items()}
    total = sum(capped.values())
    return {task: size / total for task, size in capped.items()}


def language_probabilities(sizes: Sequence[float], alpha: float) -> np.ndarray:
    """Compute language probabilities (Conneau et al. 2020).

    q_l ~ (n_l / n)^alpha; float64 [languages], sum 1.
    """
    shares = np.asarray(sizes, dtype=np.float64) / sum(sizes)
    powered = shares**alpha
    return np.asarray(powered / powered.sum(), dtype=np.float64)


@dataclass(frozen=True)
class Stream:
    """Training items of one task.

    Attributes:
        lengths: int [items], length of each item in tokens (for bucketing).
        groups: int [items], language number of each item, drawn with `group_probabilities`; None = plain epochs.
        batch: items in the global batch.
    """

    lengths: np.ndarray
    batch: int
    groups: np.ndarray | None = None
    group_probabilities: np.ndarray | None = None


@dataclass(frozen=True)
class Schedule:
    """Schedule of a training phase.

    Attributes:
        names: the tasks.
        task: int [steps], index into `names`, one task per optimiser step.
        items: per task int [times drawn, batch], the item numbers of its k-th batch.
        nth: int [steps], how often the task of step s was drawn before s.
        alignment_batches: int [steps, pairs], the pairs that are aligned at each step, for all tasks; None without alignment.
    """

    names: tuple[str, ...]
    task: np.ndarray
    items: Mapping[str, np.ndarray]
    nth: np.ndarray
    alignment_batches: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """Number of optimiser steps."""
        return len(self.task)

    def at(self, step: int) -> tuple[str, np.ndarray]:
        """Return the task and item numbers [batch] of a step."""
        name = self.names[self.task[step]]
        return name, self.items[name][self.nth[step]]

    def epochs(self, streams: Mapping[str, Stream]) -> dict[str, float]:
        """Compute the realised passes over each task's items."""
        return {n: self.items[n].size / max(1, len(streams[n].lengths)) for n in self.names}


def draw_tasks(probabilities: Sequence[float], steps: int, seed: int) -> np.ndarray:
    """Draw one task per step, independently with the given probabilities.

    Returns:
        int [steps].
    """
    uniform = generator(seed, "task").random(steps)
    return np.searchsorted(np.cumsum(probabilities)[:-1], uniform, side="right")


def make_schedule(
    streams: Mapping[str, Stream],
    probabilities: Mapping[str, float],
    steps: int,
    seed: int,
    alignment: Stream | None = None,
) -> Schedule:
    """Make the schedule of a phase over the tasks of `streams`.

    `alignment` has a batch in each step.
    """
    names = tuple(sorted(streams))
    task = draw_tasks([probabilities[n] for n in names], steps, seed)
    nth = np.zeros(steps, dtype=np.int64)
    items = {}
    for index, name in enumerate(names):
        steps_of_task = np.flatnonzero(task == index)
        nth[steps_of_task] = np.arange(len(steps_of_task))
        items[name] = batches(streams[name], len(steps_of_task), seed, name)
    pairs = None if alignment is None else batches(alignment, steps, seed, "align")
    return Schedule(names, task, items, nth, pairs)


def batches(stream: Stream, count: int, seed: int, name: str) -> np.ndarray:
    """Make the first `count` batches of a task.

    Items are bucketed by length within shuffled windows.

    Returns:
        int [count, batch].
    """
    order = item_order(stream, count * stream.batch, seed, name)
    rng = generator(seed, "bucket", name)
    out = np.empty((count, stream.batch), dtype=np.int64)
    for first in range(0, count, WINDOW_BATCHES):
        last = min(count, first + WINDOW_BATCHES)
        window = order[first * stream.batch : last * stream.batch]
        window = window[np.argsort(stream.lengths[window], kind="stable")].reshape(last - first, stream.batch)
        out[first:last] = window[rng.permutation(last - first)]
    return out


def item_order(stream: Stream, count: int, seed: int, name: str) -> np.ndarray:
    """Draw item numbers in reshuffled epochs: int [count].

    If the stream has groups, the group of each is drawn first.
    """
    if stream.groups is None:
        return shuffled_epochs(np.arange(len(stream.lengths)), count, seed, name)
    assert stream.group_probabilities is not None
    cumulative = np.cumsum(stream.group_probabilities)[:-1]
    drawn = np.searchsorted(cumulative, generator(seed, "language", name).random(count), side="right")
    order = np.empty(count, dtype=np.int64)
    for group in range(len(stream.group_probabilities)):
        places = np.flatnonzero(drawn == group)
        members = np.flatnonzero(stream.groups == group)
        order[places] = shuffled_epochs(members, len(places), seed, f"{name}/{group}")
    return order


def shuffled_epochs(items: np.ndarray, count: int, seed: int, name: str) -> np.ndarray:
    """Repeat `items` in newly shuffled passes: int [count]."""
    passes = [items[:0]]
    passes += [
        generator(seed, "epoch", name, e).permutation(items) for e in range(math.ceil(count / max(1, len(items))))
    ]
    return np.concatenate(passes)[:count]


def mask_tokens(
    tokens: np.ndarray,
    special: np.ndarray,
    *,
    mask_id: int,
    vocabulary: int,
    rng: np.random.Generator,
    share: float = 0.15,
) -> tuple[np.ndarray, np.ndarray]:
    """Corrupt a share of the tokens for masked LM (Devlin et al. 2019).

    Of those 80 % become the mask, 10 % random tokens, and 10 % stay.

    Args:
        tokens: int [T], the tokens of a global batch in sequence.
        special: bool [T], tokens that are never chosen.
    Returns:
        corrupted tokens [T] and the chosen positions, bool [T].
    """
    chosen = (rng.random(len(tokens)) < share) & ~special
    how = rng.random(len(tokens))
    random_ids = rng.integers(0, vocabulary, len(tokens), dtype=tokens.dtype)
    corrupted = np.where(chosen & (how < 0.8), tokens.dtype.type(mask_id), tokens)
    corrupted = np.where(chosen & (how >= 0.8) & (how < 0.9), random_ids, corrupted)
    return corrupted, chosen


def mixture(config: Intermediate, sizes: Mapping[str, int], lines: int) -> tuple[int, float, dict[str, float]]:
    """Compute the mix of a phase's tasks.

    Args:
        sizes: task -> number of examples, of all tasks but masked LM.
        lines: number of lines of text for masked LM; 0 without it.
    Returns:
        the limit K at the phase's scale, masked LM's share, and each task's share of the other steps.
    """
    limit, share = (
        math.ceil(config.mixing_limit * config.scale),
        0.0,
    )  # a rehearsal keeps the proportions of the real mix
    if config.mlm and config.mlm_ratio == "by_size":
        sentences = min(math.ceil(config.mlm.sentences * config.scale), lines)
        share = mixing_probabilities({**sizes, "mlm": sentences}, limit)["mlm"]
    elif config.mlm:
        share = float(config.mlm_ratio)
    return limit, share, mixing_probabilities(sizes, limit or max(sizes.values()))


def rate_of(config: TrainingConfig, step: int, steps: int) -> float:
    """Compute the learning rate of a step, counted from 0."""
    if config.rates == "one_cycle":
        return one_cycle(step, steps, config.lr)
    warmup_frac = min(1.0, config.warmup_steps / steps if config.warmup_steps else config.warmup_frac)
    return learning_rate(step, steps, config.lr, warmup_frac)


def learning_rate(step: int, steps: int, peak: float, warmup_frac: float) -> float:
    """Compute the learning rate of warm-up and decay, both linear.

    It rises over the first `warmup_frac` of the steps, then falls to 0 after the last.
    """
    warmup = max(1, round(warmup_frac * steps)) if warmup_frac else 0
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (steps - step) / max(1, steps - warmup)


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Compute the learning rate of one cycle (Smith and Topin 2019).

    A cosine rises from peak / 25 to the peak over 30 % of the steps, then falls to peak / 250,000. The values are those of
    PyTorch's OneCycleLR at its defaults.
    """
    top = CYCLE_RISES * steps - 1
    low, end = peak / 25, peak / 250_000
    if step <= top:
        return _cosine(low, peak, step / top if top > 0 else 1.0)
    return _cosine(peak, end, (step - top) / max(1e-12, steps - 1 - top))


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
