"""Follows the trials of a launch in the driver: the record, MLflow, and a line for a person."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from study.record import Trial
from study.trial import Job
from trainables.catalogue import DATASETS
from trainables.recipe import Recipe, title

if TYPE_CHECKING:
    from study.run import Launch

TITLES = {name: d.title for name, d in DATASETS.items()}


class Progress:
    """Follows the trials in the driver: the record, MLflow and a line per event."""

    def __init__(self, launch: Launch, writer: Any, log: Path, gpu: bool, budget: int) -> None:
        self.launch, self.writer, self.log, self.gpu, self.budget = launch, writer, log, gpu, budget
        self.done = 0
        self.started: dict[str, float] = {}
        self.params: dict[str, dict[str, Any]] = {}

    def start(self, recipe: Recipe, params: dict[str, Any]) -> dict[str, Any]:
        """The Tune config of a new trial, which is recorded as running."""
        plan = self.launch.plan(recipe)
        self.started[recipe.address], self.params[recipe.address] = time.time(), params
        self._note(recipe, "running")
        settings = self.launch.settings
        job = Job(
            plan=plan,
            home=str(self.launch.home),
            source=settings.source,
            log=str(self.log),
            selection=settings.selection,
            workers=self.launch.workers,
            gpu=self.gpu,
            cpus=1,
        )
        return {"recipe": recipe.to_dict(), "job": job}

    def callback(self) -> Any:
        """The Tune callback that calls `ended`."""
        from ray import tune

        class Callback(tune.Callback):
            def __init__(self, ended: Any) -> None:
                self.ended = ended

            def __getstate__(self) -> dict[str, Any]:  # Tune pickles its callbacks; this one belongs to this process
                return {}

            def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
                self.ended(trial, "")

            def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
                path = trial.error_file
                lost = "the trial's process was lost"
                self.ended(trial, Path(path).read_text() if path and Path(path).exists() else lost)

        return Callback(self.ended)

    def ended(self, trial: Any, error: str) -> None:
        """Records how a trial ended."""
        recipe = Recipe.from_dict(trial.config["recipe"])
        result: Mapping[str, Any] = trial.last_result or {}
        if error or "failed" in result or "score" not in result:
            lines = error.strip().splitlines()
            reason = str(result.get("failed") or (lines[-1] if lines else "no result"))
            self._note(recipe, "failed", reason, str(result.get("traceback") or error))
        elif int(result["targets_done"]) < len(recipe.targets):
            self._note(recipe, "pruned", f"stopped after {result['targets_done']} of {len(recipe.targets)} targets")
        else:
            self._note(recipe, "complete")

    def _note(self, recipe: Recipe, status: Any, reason: str = "", trace: str = "") -> None:
        launch = self.launch
        seconds = time.time() - self.started[recipe.address]
        found = {
            target: addresses
            for target, addresses in launch.plan(recipe).evaluations().items()
            if all(launch.store.has(a) for a in addresses)
        }
        trial = Trial(
            address=recipe.address,
            name=title(recipe, TITLES),
            recipe=recipe,
            status=status,
            evaluations=found,
            params=self.params[recipe.address],
            reason=reason,
            traceback=trace,
            seconds=round(seconds, 1),
            at=time.time(),
        )
        launch.record.add_trial(trial)
        self.writer.put(trial)
        if status == "running":
            return
        self.done += 1
        ending = f": {reason}" if reason else ""
        launch.say(escape(f"[{self.done}/{self.budget}] {trial.name}  {status} after {seconds:.0f} s{ending}"))
