"""Search algorithm with Optuna, and schedulers, for Ray Tune.

Ray's own OptunaSearch leaves a trial RUNNING for ever after a NaN, reports stopped trials as complete and proposes
duplicates. This searcher follows the record instead: stopped = PRUNED, failed = FAIL, equal recipes are one trial.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    check_distribution_compatibility,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search_spaces.space import Domain, Log, Suggest, Value
from study.record.record import Trial
from study.results.selection import Candidate, is_zero_shot, may_be_chosen
from study.sanitize import print_error
from trainables.atomic_file import set_aside
from trainables.recipe import Recipe

# Maximum repeated proposals in a row; after them the space counts as exhausted.
MAX_REPEATS = 200
SEARCH_SEED = 0

Params = dict[str, Value]
End = tuple[TrialState, float | None]
FAILED: End = (TrialState.FAIL, None)


class OptunaSuggest:
    """Suggestions from an Optuna trial."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def scientific(self, name: str, domain: Domain) -> Any:
        if isinstance(domain, Log):
            return self.trial.suggest_float(name, domain.low, domain.high, log=True)
        return self.trial.suggest_categorical(name, list(domain))

    nuisance = scientific


class _Replay:
    """Suggestions that repeat known values, as far as the space still asks for them and offers them.

    Args:
        distributions: the domains that Optuna knows, which it cannot mix with others.
    """

    def __init__(self, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution] | None = None) -> None:
        self.params, self.distributions = params, distributions or {}

    def scientific(self, name: str, domain: Domain) -> Any:
        """Return the known value; ValueError if the domain has changed."""
        if name not in self.params:
            raise _Ended
        if isinstance(domain, Log):
            wanted: BaseDistribution = FloatDistribution(domain.low, domain.high, log=True)
        else:
            wanted = CategoricalDistribution(list(domain))  # type: ignore[arg-type]
        wanted.to_internal_repr(self.params[name])
        check_distribution_compatibility(self.distributions.get(name, wanted), wanted)
        return self.params[name]

    nuisance = scientific


class _Ended(Exception):
    """A replay has no more answers."""


def open_optuna(
    folder: Path, name: str, propose: Callable[[Suggest], Recipe], say: Callable[[str], None] = print_error
) -> optuna.Study:
    """Open the study's Optuna view in `optuna.journal`.

    Trials that a killed driver left RUNNING or WAITING become FAIL. A journal that is damaged, or was written for other
    choices than the space now has, is set aside: the searcher fills a new one from the record.

    Args:
        propose: makes a recipe of the space from suggestions.
        say: prints a line about what was mended.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / "optuna.journal"
    try:
        return _open_journal(path, name, propose)
    except OSError:
        raise
    except Exception as error:  # a damaged line breaks Optuna in any way
        aside = set_aside(path)
        why = " ".join(str(error).split()) or type(error).__name__
        say(f"{path} does not fit this study ({why}): it is now {aside.name}, and a new one is filled from the record")
        return _open_journal(path, name, propose)


def _open_journal(path: Path, name: str, propose: Callable[[Suggest], Recipe]) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=SEARCH_SEED),
    )
    for _ in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.ask()  # consumes an enqueued trial, which would otherwise replace the next row
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    for trial in study.get_trials(deepcopy=False):
        with suppress(_Ended):
            propose(_Replay(trial.params, trial.distributions))
    return study


class RecipeSearcher(Searcher):  # type: ignore[misc]
    """Searcher that suggests given rows first, then Optuna's proposals.

    Optuna receives the scores of recipes that may be chosen; all others run, and are recorded as FAIL in it.

    Args:
        propose: makes a recipe of the space from suggestions.
        given: (recipe, parameters) to run first; parameters may be empty for a recipe from a file.
        budget: number of trials to start in this run, including the given ones.
        known: recipe hash -> result of a recipe that need not run again.
        start: makes the Tune config of a new trial; called once per trial, when Tune receives it.
    """

    def __init__(
        self,
        *,
        propose: Callable[[Suggest], Recipe],
        study: optuna.Study,
        given: Sequence[tuple[Recipe, Params]],
        budget: int,
        known: Mapping[str, Candidate],
        start: Callable[[Recipe, Params], dict[str, Any]],
    ) -> None:
        super().__init__(metric="score", mode="max")
        self.propose, self.study, self.start = propose, study, start
        self.given, self.left, self.known = list(given), budget, known
        self.running: dict[str, tuple[optuna.Trial | None, Recipe]] = {}
        self.seen = set(known)
        self.ends: dict[str, End] = {}  # of the trials of this launch
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        known_to_optuna = {t.user_attrs.get("recipe") for t in ended}
        # Restore from the record what the journal lacks, if it was deleted or the driver was killed before writing to it.
        for trial in (candidate.trial for candidate in known.values()):
            if trial.address not in known_to_optuna and self._is_offered(trial):
                self._tell(self._ask(trial.params)[0], self._end(trial.address))

    def _is_offered(self, trial: Trial) -> bool:
        """Return whether the space could propose a recorded trial now."""
        try:
            return bool(trial.params) and self.propose(_Replay(trial.params)).address == trial.address
        except (ValueError, _Ended):
            return False

    def suggest(self, trial_id: str) -> Any:
        """Return the Tune config of the next new recipe, or FINISHED."""
        if self.left <= 0:
            return str(Searcher.FINISHED)
        if self.given:
            recipe, params = self.given.pop(0)
            return self._hand_out(trial_id, self._ask(params)[0] if params else None, recipe, params)
        for _ in range(MAX_REPEATS):
            asked, recipe = self._ask(None)
            if recipe.address not in self.seen:
                return self._hand_out(trial_id, asked, recipe, dict(asked.params))
            # Without the known result of a repeat the sampler would learn nothing and propose it again.
            self._tell(asked, self._end(recipe.address))
        logging.getLogger(__name__).warning("no new recipe in %d proposals: the space is exhausted", MAX_REPEATS)
        return str(Searcher.FINISHED)

    def _hand_out(self, trial_id: str, asked: optuna.Trial | None, recipe: Recipe, params: Params) -> dict[str, Any]:
        self.left -= 1
        self.seen.add(recipe.address)
        self.running[trial_id] = (asked, recipe)
        return self.start(recipe, params)

    def _ask(self, params: Params | None) -> tuple[optuna.Trial, Recipe]:
        if params is not None:
            self.study.enqueue_trial(params)
        asked = self.study.ask()
        recipe = self.propose(OptunaSuggest(asked))
        asked.set_user_attr("recipe", recipe.address)
        return asked, recipe

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report the score after each target to Optuna."""
        score = result.get("score")
        if trial_id in self.running and score is not None and math.isfinite(score):
            asked, _ = self.running[trial_id]
            if asked is not None:
                asked.report(score, step=int(result["targets_done"]))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Report the end of a trial to Optuna."""
        if trial_id not in self.running:
            return
        asked, recipe = self.running.pop(trial_id)
        score = (result or {}).get("score")
        end: End = (TrialState.COMPLETE, score)
        if (
            error
            or result is None
            or "failed" in result
            or score is None
            or not math.isfinite(score)
            or not is_zero_shot(recipe)
        ):
            end = FAILED
        elif int(result["targets_done"]) < len(recipe.targets):
            end = (TrialState.PRUNED, None)
        self.ends[recipe.address] = end
        if asked is not None:
            self._tell(asked, FAILED if self._is_known_to_optuna(recipe) else end)

    def _is_known_to_optuna(self, recipe: Recipe) -> bool:
        """Return whether Optuna has this recipe's result, from another launch."""
        ended = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return any(trial.user_attrs.get("recipe") == recipe.address for trial in ended)

    def _end(self, address: str) -> End:
        """Return a recipe's end, or FAILED while it runs."""
        known = self.known.get(address)
        if known is None:
            return self.ends.get(address, FAILED)
        if known.status == "pruned":
            return TrialState.PRUNED, None
        return (TrialState.COMPLETE, known.selection) if may_be_chosen(known) else FAILED

    def _tell(self, asked: optuna.Trial, end: End) -> None:
        self.study.tell(asked, end[1], end[0], skip_if_finished=True)  # another launch of the study may have ended it

    # Tune snapshots its searcher; the study's record is the state here, so there is nothing to save.
    def save(self, checkpoint_path: str) -> None:
        """Write an empty file, which Tune expects."""
        Path(checkpoint_path).write_text("{}")

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: there is no state to restore."""

    def __getstate__(self) -> dict[str, object]:
        return {}


Restart = Callable[[Any], None]


class _Restarting:
    """Scheduler mixin for trials with a lost process.

    It calls `restart` before Tune queues them again.

    Args:
        restart: called with each of them; it may change the resources that the trial requests.
    """

    restart: Restart

    def on_trial_error(self, controller: object, trial: Any) -> None:
        """Call `restart` for a trial that Tune restarts.

        Tune marks it as ERROR meanwhile, and a trial that ended for good only after this call.
        """
        if trial.status == trial.ERROR:
            self.restart(trial)

    # Tune pickles its scheduler; the study's record is the state here, so there is nothing to save.
    def __getstate__(self) -> dict[str, object]:
        return {}


class EveryTrial(_Restarting, FIFOScheduler):  # type: ignore[misc]
    """Scheduler that runs all trials to their end, in order."""

    def __init__(self, restart: Restart) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.restart = restart


class TargetHalving(_Restarting, AsyncHyperBandScheduler):  # type: ignore[misc]
    """Successive halving with targets as rungs.

    Rungs are the targets in order of cost that have rows for selection. The baseline always runs to its end.
    """

    def __init__(self, num_rungs: int, restart: Restart) -> None:
        super().__init__(
            time_attr="rung", metric="score", mode="max", max_t=max(1, num_rungs), grace_period=1, reduction_factor=2
        )
        self.restart = restart

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop the lower half at each rung.

        A trial at its last rung ends by itself, as complete.
        """
        exempt = "failed" in result or Recipe.from_dict(trial.config["recipe"]).is_baseline
        if exempt or result["rung"] == 0 or result["rung"] >= self._max_t:
            return str(TrialScheduler.CONTINUE)
        return str(super().on_trial_result(controller, trial, result))
