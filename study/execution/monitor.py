"""Monitor of trials in the driver: record, MLflow and display."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from search_spaces.space import Value
from study.execution.live_display import View, clock
from study.execution.trial import TrialJob, largest_memory, own_share, with_less_memory
from study.execution.trial_failure import DISK_FULL, STOPPED, TrialFailure, failure_of_process
from study.execution.worker_failures import is_short_of_memory
from study.hardware import killed_for_memory
from study.record.heartbeat import remove_state, states
from study.record.record import Record, Status, Trial
from study.sanitize import sanitize
from study.store.store import Store
from trainables.catalogue import TITLES
from trainables.recipe import Recipe, title

if TYPE_CHECKING:
    from ray import tune

Params = dict[str, Value]
MAX_ALIKE = 3  # consecutive failures for one reason that end a launch


@dataclass(kw_only=True)
class MonitorCallbacks:
    """Functions that a monitor calls.

    Attributes:
        put: sends the current state of a trial to the MLflow writer.
        say: prints a line.
        after: called when a trial has ended and is recorded.
        disk_full: called when a trial failed because the disk is full, as the other trials would.
        abort: called with the reason when the other trials would fail as well.
    """

    put: Callable[[Trial], None] = lambda trial: None
    say: Callable[[str], None] = lambda text: None
    after: Callable[[], None] = lambda: None
    disk_full: Callable[[], None] = lambda: None
    abort: Callable[[str], None] = lambda reason: None


class TrialMonitor:
    """Monitor that records trials, and prints a line per event.

    Args:
        job_of: returns the job of a recipe's workers, which contains its plan.
        budget: number of trials.
        concurrent: number of trials at once.
        callbacks: may be changed at any time.
    """

    def __init__(
        self,
        *,
        record: Record,
        store: Store,
        job_of: Callable[[Recipe], TrialJob],
        budget: int,
        concurrent: int,
        callbacks: MonitorCallbacks,
    ) -> None:
        self.record, self.store, self.job_of = record, store, job_of
        self.budget, self.concurrent, self.callbacks, self.done = budget, concurrent, callbacks, 0
        self.alike: list[str] = []  # reasons of the failures since the last success, as long as they are the same
        self.killed = killed_for_memory()
        self.running: dict[str, str] = {}  # address -> name
        self.seen: set[str] = set()  # trials whose workers have started
        self.took: list[float] = []  # seconds of the trials that succeeded or were pruned
        self.started: dict[str, float] = {}
        self.params: dict[str, Params] = {}
        self.recipes: dict[str, Recipe] = {}
        self.retries: dict[str, int] = {}

    def start(self, recipe: Recipe, params: Params) -> dict[str, Any]:
        """Record a new trial as running; return its Tune config."""
        self.started[recipe.address], self.params[recipe.address] = time.time(), params
        self.recipes[recipe.address] = recipe
        self._note(recipe, "running")
        return {"recipe": recipe.to_dict(), "job": self.job_of(recipe)}

    def tune_callback(self) -> tune.Callback:
        """Make the Tune callback that calls `ended`."""
        from ray import tune

        class Callback(tune.Callback):
            def __init__(self, ended: Callable[[Any, str], None]) -> None:
                self.ended = ended

            def __getstate__(self) -> dict[str, object]:  # Tune pickles its callbacks; this one belongs to this process
                return {}

            def on_trial_complete(self, iteration: int, trials: object, trial: Any, **info: object) -> None:
                self.ended(trial, "")

            def on_trial_error(self, iteration: int, trials: object, trial: Any, **info: object) -> None:
                path = trial.error_file
                lost = "the trial's process was lost"
                self.ended(trial, Path(path).read_text() if path and Path(path).exists() else lost)

        return Callback(self.ended)

    def restart(self, trial: Any) -> None:
        """Report that a trial lost its process and restarts.

        If it was killed for lack of memory, it restarts with less at once and asks Ray for more.
        """
        job: TrialJob = trial.config["job"]
        name, error = self.running[job.plan.recipe.address], Path(trial.error_file or os.devnull)
        killed, self.killed = self.killed, killed_for_memory()
        if is_short_of_memory(error.read_text() if error.exists() else "") or self.killed > killed:
            job = trial.config["job"] = with_less_memory(job, largest_memory())
            trial.update_resources(own_share(job))
            how = f"killed for lack of memory: it restarts with {job.tokens_frac:.0%} of the tokens at once"
            how += f" and asks for {job.memory / 1e9:.1f} GB"
        else:
            how = "lost its process: it restarts"
        self.callbacks.say(f"{name}  {how}, from its last checkpoint")

    def ended(self, trial: Any, error: str) -> None:
        """Record the end of a trial."""
        recipe = Recipe.from_dict(trial.config["recipe"])
        result: Mapping[str, Any] = trial.last_result or {}
        # Losses that the trial's process counted, and losses of that process itself.
        self.retries[recipe.address] = int(result.get("retries", 0)) + trial.num_failures - bool(error)
        failure: TrialFailure | None = result.get("failed")
        if failure is None and (error or "score" not in result):
            failure = failure_of_process(error)
        if failure is None and int(result["targets_done"]) < len(recipe.targets):
            self._note(recipe, "pruned", f"stopped after {result['targets_done']} of {len(recipe.targets)} targets")
        elif failure is None:
            self._note(recipe, "complete")
        elif failure.kind == STOPPED:
            self._note(recipe, "stopped", failure.reason)
        elif failure.kind == DISK_FULL:
            self._note(recipe, "stopped", failure.reason, failure.traceback)
            self.callbacks.disk_full()
        else:
            self._note(recipe, "failed", failure.reason, failure.traceback)
            self._failed(recipe, failure.reason)

    def _failed(self, recipe: Recipe, reason: str) -> None:
        """Abort the launch if the other trials would be useless.

        They are if the baseline failed, without which there are no gains, or if `MAX_ALIKE` trials in a row failed for one
        reason.
        """
        kind = re.sub(r"\d+", "0", reason)
        self.alike = [*self.alike, kind] if self.alike[-1:] in ([], [kind]) else [kind]
        if recipe.is_baseline or len(self.alike) == MAX_ALIKE:
            self.callbacks.abort(reason)

    def stop_rest(self) -> None:
        """Record trials that still run at the end as stopped."""
        for recipe in [self.recipes[address] for address in self.running]:
            self._note(recipe, "stopped", "the launch ended before the trial did")

    def view(self) -> View:
        """Return the progress of the study and its running trials."""
        running = dict(self.running)  # a copy: other threads start and end trials meanwhile
        summary = f"{self.done} of {self.budget} trials ended, {len(running)} running, ETA {clock(self._left(running))}"
        found = states(self.record.folder)
        self.seen |= found.keys()
        words = {address: "ending" if address in self.seen else "starting" for address in running}
        return View(summary, [(name, found.get(address, words[address])) for address, name in running.items()])

    def _left(self, running: Mapping[str, str]) -> float | None:
        """Estimate the seconds to the end of the study.

        It assumes that every trial takes the mean of those that ended.

        Returns:
            None if no trial has ended.
        """
        if not self.took:
            return None
        now = time.time()
        spent = [now - self.started[address] for address in running]
        mean = fmean(self.took)
        mean = fmean([*self.took, *(s for s in spent if s > mean)])  # the first to end are the short ones
        under_way = [max(0.0, mean - s) for s in spent]
        to_start = self.budget - self.done - len(running)
        at_once = max(1, min(self.concurrent, to_start + len(running)))
        return max([(sum(under_way) + to_start * mean) / at_once, *under_way, mean if to_start > 0 else 0.0])

    def _note(self, recipe: Recipe, status: Status, reason: str = "", trace: str = "") -> None:
        seconds = time.time() - self.started[recipe.address]
        plan = self.job_of(recipe).plan
        trial = Trial(
            address=recipe.address,
            name=title(recipe, TITLES),
            recipe=recipe,
            status=status,
            evaluations=self._finished(plan.evaluations()),
            sweeps=self._finished(plan.sweeps()),
            params=self.params[recipe.address],
            reason=sanitize(reason),
            traceback=sanitize(trace),
            retries=self.retries.get(recipe.address, 0),
            seconds=round(seconds, 1),
            at=time.time(),
        )
        self.record.add_trial(trial)
        self.callbacks.put(trial)
        if status == "running":
            self.running[recipe.address] = trial.name
            return
        self.running.pop(recipe.address, None)
        remove_state(self.record.folder, recipe.address)
        self.done += 1
        if status in ("complete", "pruned"):
            self.took.append(seconds)
            self.alike = []
        ending = f", {trial.retries} lost workers or nodes" if trial.retries else ""
        ending += f": {sanitize(reason)}" if reason else ""
        self.callbacks.say(f"[{self.done}/{self.budget}] {trial.name}  {status} after {seconds:.0f} s{ending}")
        self.callbacks.after()

    def _finished(self, addresses: Mapping[str, list[str]]) -> dict[str, list[str]]:
        return {target: found for target, found in addresses.items() if all(self.store.has(a) for a in found)}
