"""Selection rule: which recipes may be chosen, and which is the best.

Report, gc, submission, search and MLflow all use it.
Choosing looks at English dev scores (`english_dev`), or as an oracle at the scores that are reported (`target_dev`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from study.record.record import Status, Trial
from study.spec.study_spec import ResolvedSpec
from study.store.evaluation_result import EvaluationResult, mean_over_seeds
from study.store.store import Store
from trainables.catalogue import Dataset, dataset
from trainables.recipe import Recipe

ENGLISH_DEV, TARGET_DEV = "english_dev", "target_dev"
CHOSEN_BY = {ENGLISH_DEV: "English dev scores", TARGET_DEV: "the scores reported here (an oracle)"}

TargetScores = Mapping[str, float | None]  # target -> what choosing looks at; None where it has nothing to look at


class Choosable(Protocol):
    """A row that the rule can judge; `selection` is the number that is compared, None without one."""

    @property
    def recipe(self) -> Recipe: ...

    @property
    def status(self) -> Status: ...

    @property
    def selection(self) -> float | None: ...


@dataclass(frozen=True)
class Candidate:
    """A trial and the number that is compared."""

    trial: Trial
    selection: float | None

    @property
    def recipe(self) -> Recipe:
        """Recipe of the trial."""
        return self.trial.recipe

    @property
    def status(self) -> Status:
        """Status of the trial."""
        return self.trial.status


Row = TypeVar("Row", bound=Choosable)


def is_zero_shot(recipe: Recipe) -> bool:
    """Return whether a recipe saw labels in English alone; others are for comparison and never chosen."""
    return not recipe.train_languages


def may_be_chosen(row: Choosable) -> bool:
    """Return whether a row may be the best: complete, zero-shot, and with a number to compare."""
    return row.status == "complete" and row.selection is not None and is_zero_shot(row.recipe)


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Rank the rows that may be chosen, best first; among equals the baseline, then the earlier."""
    return sorted(
        filter(may_be_chosen, rows), key=lambda row: (row.selection or 0.0, row.recipe.is_baseline), reverse=True
    )


def best_of(rows: Iterable[Row]) -> Row | None:
    """Return the best row; None if none may be chosen."""
    return next(iter(ranked(rows)), None)


# --- the numbers that are compared ---


def choosing_score(result: EvaluationResult, d: Dataset, selection: str) -> float | None:
    """Return the score of one target that is compared; None if it has no English dev rows."""
    return result.selection if selection == ENGLISH_DEV else result.mean(d)


def target_score(target: str, addresses: Sequence[str], store: Store, selection: str) -> float | None:
    """Read the score that is compared from the evaluations of a target, one per seed."""
    return choosing_score(mean_over_seeds([store.metrics(a) for a in addresses]), dataset(target), selection)


def scores_of(evaluations: Mapping[str, Sequence[str]], store: Store, selection: str) -> list[float]:
    """Read these scores of all targets that have one, in percent; `evaluations`: target -> address per seed."""
    found = (target_score(target, addresses, store, selection) for target, addresses in evaluations.items())
    return [score for score in found if score is not None]


def advantage(own: TargetScores, base: TargetScores, targets: Sequence[str]) -> float | None:
    """Average the differences from the baseline's scores; None unless both finished every target."""
    if not all(target in own and target in base for target in targets):
        return None
    pairs = ((own[target], base[target]) for target in targets)
    differences = [one - other for one, other in pairs if one is not None and other is not None]
    return float(np.mean(differences)) if differences else None


def candidate(trial: Trial, store: Store, selection: str) -> Candidate:
    """Score a trial by itself, for a search, which has no baseline yet; None unless it is complete."""
    scores = scores_of(trial.evaluations, store, selection) if trial.status == "complete" else []
    return Candidate(trial, float(np.mean(scores)) if scores else None)


def candidates(
    trials: Sequence[Trial], spec: ResolvedSpec, store: Store, has: Callable[[str], bool]
) -> list[Candidate]:
    """Score the trials of a study as its report compares them.

    While the baseline lacks scores the report compares nothing. Trials then stand by their scores alone, so that gc
    frees none that may turn out to be the best.

    Args:
        trials: in the order of the tables.
        has: whether an evaluation is finished.
    """
    scores = {
        trial.address: {
            target: target_score(target, trial.evaluations[target], store, spec.selection)
            for target in spec.targets
            if is_scored(trial, target, has)
        }
        for trial in trials
    }
    base: TargetScores = next((scores[t.address] for t in trials if t.recipe.is_baseline), {})
    if not base.keys() >= set(spec.targets):
        base = dict.fromkeys(spec.targets, 0.0)
    return [Candidate(trial, advantage(scores[trial.address], base, spec.targets)) for trial in trials]


def is_scored(trial: Trial, target: str, has: Callable[[str], bool]) -> bool:
    """Return whether every seed of a trial has its evaluation of a target."""
    addresses = trial.evaluations.get(target, [])
    return bool(addresses) and all(has(address) for address in addresses)
