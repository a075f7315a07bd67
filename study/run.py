"""One launch: Ray runs the trials that are missing, the record notes how each ended, and the report is written."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from search_spaces import space
from search_spaces.space import Given, Setting, Value
from study.plan import Plan, Planner, missing
from study.record import Record, Settings, Trial
from study.report import print_report, write_report
from study.store import Store
from study.trial import Job, selection_score
from trainables.catalogue import DATASETS
from trainables.configs import Evaluate
from trainables.errors import BadInput
from trainables.recipe import Recipe, title

TITLES = {name: d.title for name, d in DATASETS.items()}
# Train looks after its workers every 2 s by default, which is most of the run time of a small trial.
RAY_ENV = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_AIR_NEW_OUTPUT": "0",  # the other output prints boxes at any verbosity
    # Ray warns of a node on which four times as many processes were started; a trial alone has four.
    "RAY_worker_maximum_startup_concurrency": str(2 * (os.cpu_count() or 1)),
}
# Read when ray is imported: a Ray that may not form a cluster takes 127.0.0.1 as its address and listens nowhere else.
LOOPBACK_ONLY = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
MLFLOW_PATIENCE_S = 60.0
# One logical CPU more than there are: the trials' drivers wait, and must not take a core from the workers.
LOGICAL_CPUS = (os.cpu_count() or 1) + 1


@dataclass
class Launch:
    """What one launch or resume of a study works with."""

    home: Path
    record: Record
    settings: Settings
    planner: Planner
    workers: int
    address: str | None
    mlflow_uri: str | None
    quiet: bool
    plans: dict[str, Plan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = Store(self.home)
        self.space = space(self.settings.space)
        self.console = Console(file=sys.stderr if self.quiet else sys.stdout, highlight=False)
        s = self.settings
        self.setting = Setting(
            encoder=s.encoder, profile=s.profile, targets=s.targets, tasks=s.intermediate, mlm=s.mlm, scale=s.scale
        )

    def plan(self, recipe: Recipe) -> Plan:
        """The recipe's plan, made once."""
        if recipe.address not in self.plans:
            self.plans[recipe.address] = self.planner.plan(recipe, self.settings.seeds)
        return self.plans[recipe.address]

    def rows(self) -> list[tuple[Recipe, dict[str, Value]]]:
        """The published rows, or the one recipe of a file; the baseline first."""
        if self.settings.recipe:
            recipe = Recipe.from_dict(self.settings.recipe)
            rows: list[tuple[Recipe, dict[str, Value]]] = [(replace(recipe, intermediate=()), {}), (recipe, {})]
        else:
            rows = [(self.space.recipe(Given(p), self.setting), p) for p in self.space.published(self.setting)]
        unique = {recipe.address: (recipe, params) for recipe, params in reversed(rows)}
        return list(reversed(unique.values()))

    def finished(self) -> dict[str, Trial]:
        """The record's trials that need not run: ended, and if complete, with every score still in the store."""
        ended = {a: t for a, t in self.record.trials().items() if t.status in ("complete", "pruned")}
        return {
            a: t for a, t in ended.items() if t.status == "pruned" or not missing(self.plan(t.recipe), self.store.has)
        }

    def todo(self) -> tuple[list[tuple[Recipe, dict[str, Value]]], int]:
        """Rows to run first, and how many trials to run in all."""
        known = self.finished()
        rows = [(recipe, params) for recipe, params in self.rows() if recipe.address not in known]
        if self.settings.grid:
            return rows, len(rows)
        budget = max(0, self.settings.trials - len(known))
        return rows[:budget], budget

    def run(self) -> dict[str, Any]:
        """Runs what is missing and returns the report; interrupted at any point, a later launch goes on."""
        from study.tracking import Writer, default_uri

        uri = self.mlflow_uri or default_uri(self.home)
        # Whatever is bad input raises before anything is started.
        if self.workers > 1 and not self.address:
            capacity(this_machine(), self.workers)
        for recipe, _ in self.rows():
            self.plan(recipe)
        self.record.open(self.settings)
        rows, budget = self.todo()
        log = self.record.folder / f"stages-{time.time_ns()}.jsonl"
        self.say(f"study [bold]{self.record.name}[/] in {self.home}: {budget} trials to run")
        if budget:
            writer = Writer(uri, self.record, self.store)
            with redirect_stdout(sys.stderr):  # where Ray prints warnings of its own; --json is one object
                self._tune(rows, budget, log, writer)
            trouble = writer.close(MLFLOW_PATIENCE_S)
            if trouble:
                self.say(
                    f"MLflow is behind ({trouble}); `python -m study.sync {self.record.name}` brings it up to date"
                )
        self._count(log)
        report = write_report(self.record, self.store)
        self._mlflow(uri, report)
        if report["trials"]["running"]:
            self.say(f"stopped before the end; `python -m study.resume {self.record.name}` goes on from here")
        if not self.quiet:
            print_report(report, self.console)
            self.say(f"\nreport  {self.record.folder / 'report' / 'index.html'}")
            if not self.mlflow_uri:
                self.say(f"MLflow  mlflow server --backend-store-uri {uri}")
        return report

    def _tune(self, rows: list[tuple[Recipe, dict[str, Value]]], budget: int, log: Path, writer: Any) -> None:
        """Starts or joins Ray and lets Tune run the trials."""
        os.environ.update({k: os.environ.get(k, v) for k, v in RAY_ENV.items()})
        if not self.address:
            os.environ.setdefault(*LOOPBACK_ONLY)
        import logging

        import ray
        from ray import tune

        from study.search import RecipeSearcher, Rungs, open_optuna
        from study.trial import tune_trial

        joined = ray.is_initialized()
        if not joined:
            start_ray(self.address)
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        try:
            gpu, concurrent = capacity(ray.cluster_resources(), self.workers)  # type: ignore[no-untyped-call]
            progress = Progress(self, writer, log, gpu, budget)
            known = self.finished()
            searcher = RecipeSearcher(
                self.space,
                self.setting,
                open_optuna(self.record.folder, self.record.name),
                rows,
                budget,
                known,
                lambda t: selection_score(
                    self.plan(t.recipe), len(t.recipe.targets), self.store, self.settings.selection
                ),
                progress.start,
            )
            with tempfile.TemporaryDirectory(dir=self._scratch()) as scratch:
                tuner = tune.Tuner(
                    tune.with_resources(tune.with_parameters(tune_trial, storage=scratch), {"CPU": 0.01}),
                    tune_config=tune.TuneConfig(
                        search_alg=searcher,
                        scheduler=None if self.settings.grid else Rungs(len(self.settings.targets)),
                        num_samples=budget,
                        max_concurrent_trials=concurrent,
                    ),
                    run_config=tune.RunConfig(
                        name="tune", storage_path=scratch, verbose=0, callbacks=[progress.callback()]
                    ),
                )
                tuner.fit()
        finally:
            if not joined:
                ray.shutdown()

    def _scratch(self) -> Path:
        folder = self.home / "ray"
        folder.mkdir(exist_ok=True)
        return folder

    def _count(self, log: Path) -> None:
        """Records how many stages this launch ran and how many it found finished."""
        import json

        ran = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        needed = {
            n.address
            for t in self.record.trials().values()
            for n in self.plan(t.recipe).nodes
            if self.store.has(n.address)
        }
        self.record.append(
            "launch",
            {
                "run": len(ran),
                "reused": len(needed - {r["address"] for r in ran}),
                "train_steps": sum(r["steps"] for r in ran),
            },
        )
        log.unlink(missing_ok=True)

    def _mlflow(self, uri: str, report: dict[str, Any]) -> None:
        from study.tracking import sync

        try:
            sync(uri, self.record, self.store, report, self.record.folder / "report")
        except Exception as error:  # the view may be unreachable; the study is complete without it
            self.say(f"MLflow is behind ({type(error).__name__}); `python -m study.sync {self.record.name}` mends it")

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


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
        from rich.markup import escape

        ending = f": {reason}" if reason else ""
        launch.say(escape(f"[{self.done}/{self.budget}] {trial.name}  {status} after {seconds:.0f} s{ending}"))


def this_machine() -> dict[str, float]:
    """The resources that a cluster started here will have."""
    import torch

    return {"CPU": LOGICAL_CPUS, "GPU": torch.cuda.device_count()}


def start_ray(address: str | None) -> None:
    """Joins the cluster at `address`, or starts one on this machine that listens on 127.0.0.1 only."""
    import logging

    import ray

    init = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
    if address:
        try:
            init(address=address, runtime_env={"env_vars": RAY_ENV})
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise BadInput(f"no Ray cluster answers at {address!r}: {str(error).splitlines()[0]}") from error
    else:
        init(include_dashboard=False, num_cpus=LOGICAL_CPUS)


def capacity(resources: Mapping[str, float], workers: int) -> tuple[bool, int]:
    """Whether trials train on GPUs, and how many fit at once; BadInput when not even one does.

    One CPU of the cluster is left to the drivers of the trials, each of which asks for 0.01.
    """
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    have, kind = (gpus, "GPUs") if gpus else (cpus - 1, "CPUs")
    if workers > have:
        raise BadInput(f"--workers {workers} needs {workers} {kind}, and the cluster has {have}")
    return bool(gpus), have // workers


def dry_run(launch: Launch) -> int:
    """Prints the plan: recipes, stages to run and stages found; starts nothing."""
    from rich.table import Table

    table = Table("recipe", "stages", "finished", "to train", "to score", title=f"plan of {launch.record.name}")
    seen: set[str] = set()
    for recipe, _ in launch.rows():
        plan = launch.plan(recipe)
        lacking = [n for n in missing(plan, launch.store.has) if n.address not in seen]
        seen |= {n.address for n in lacking}
        scoring = sum(isinstance(n.config, Evaluate) for n in lacking)
        counts = (len(plan.nodes), len(plan.nodes) - len(lacking), len(lacking) - scoring, scoring)
        table.add_row(title(recipe, TITLES), *map(str, counts))
    if launch.quiet:
        from study.options import print_json

        print_json({"study": launch.record.name, "recipes": len(launch.rows()), "stages_to_run": len(seen)})
    else:
        launch.console.print(table)
        launch.console.print(f"{len(launch.rows())} recipes, {len(seen)} stages to run; shared stages are counted once")
    sys.stdout.flush()
    return 0
