"""Driver of a launch.

It runs the missing trials on Ray, records their ends and writes the report.
"""

from __future__ import annotations

import json
import logging
import shlex
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces import space
from search_spaces.space import Suggest, Value
from study.execution.disk_usage import scratch
from study.execution.graceful_shutdown import STOP
from study.execution.live_display import LastingStream, live_display
from study.execution.monitor import MonitorCallbacks, TrialMonitor
from study.execution.ray_cluster import capacity, restart_trials_killed_for_memory, start_ray, this_machine
from study.execution.retention import Budget
from study.execution.trial import TrialJob, own_share, stop_file
from study.execution.worker_failures import MAX_LOST
from study.hardware import num_gpus
from study.home import check_writable, command
from study.planning.cost import Cost, cost_of
from study.planning.encoder_weights import check_loads, shape_of
from study.planning.plan import Plan, Planner, missing, selection_rows
from study.planning.rows_check import check_rows
from study.planning.throughput import measure_speed
from study.record.heartbeat import remove_stale, remove_state
from study.record.record import Record, Trial
from study.results.report import Report
from study.results.selection import Candidate, candidate
from study.results.writers import print_report, write_report
from study.sanitize import SafeConsole, sanitize
from study.spec.initial_trials import context_of, initial_trials
from study.spec.study_spec import ResolvedSpec, RunOptions
from study.store.store import Store
from trainables.catalogue import dataset, registered
from trainables.recipe import Recipe
from trainables.sources import Source

if TYPE_CHECKING:
    from study.tracking.mlflow import Writer

MLFLOW_PATIENCE_S, STOPPED_PATIENCE_S = 60.0, 3.0


@dataclass
class StudyDriver:
    """Driver of one launch or resume of a study."""

    record: Record
    settings: ResolvedSpec
    planner: Planner
    options: RunOptions
    plans: dict[str, Plan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.record.home
        self.store = Store(self.home, self.settings.store)
        with self.record.named():
            self.space = space(self.settings.space)
        stream: Any = LastingStream(sys.stderr if self.options.quiet else sys.stdout)
        self.console = SafeConsole(file=stream, highlight=False)
        self.setting = context_of(self.settings)
        self.unread = ""  # which letters the encoder cannot read

    def plan(self, recipe: Recipe) -> Plan:
        """Return the plan of a recipe, cached."""
        if recipe.address not in self.plans:
            self.plans[recipe.address] = self.planner.plan(recipe, self.settings.seeds)
        return self.plans[recipe.address]

    def rows(self) -> list[tuple[Recipe, dict[str, Value]]]:
        """Return the published rows or a file's recipe, baseline first."""
        return initial_trials(self.settings)

    def finished(self) -> dict[str, Trial]:
        """Return the recorded trials that need not run again.

        They are pruned, or complete with every score still in the store.
        """
        ended = {a: t for a, t in self.record.trials().items() if t.status in ("complete", "pruned")}
        return {
            a: t for a, t in ended.items() if t.status == "pruned" or not missing(self.plan(t.recipe), self.store.has)
        }

    def todo(self) -> tuple[list[tuple[Recipe, dict[str, Value]]], int]:
        """Return the rows to run first, and the number of trials."""
        known = self.finished()
        rows = [(recipe, params) for recipe, params in self.rows() if recipe.address not in known]
        if self.settings.grid:
            # Long trials first, after the baseline, so that the last one to end does not run alone.
            return sorted(rows, key=lambda row: _length(row[0])), len(rows)
        budget = max(0, self.settings.trials - len(known))
        return rows[:budget], budget

    def run(self) -> Report:
        """Run the missing trials and return the report.

        After an interruption at any point a later launch continues.
        """
        from study.tracking.mlflow import Writer

        uri = self.check()
        self.home.mkdir(parents=True, exist_ok=True)
        _, budget = self.todo()
        log = self.record.folder / f"stages-{time.time_ns()}.jsonl"
        self.say(f"study {self.record.name} in {self.home}: {budget} trials to run")
        if not budget:
            self.open_record()
        else:
            self.say(self.cost(time=not self.options.quiet).text())
            writer = Writer(uri, self.record, self.store, self.say)
            with redirect_stdout(sys.stderr):  # keeps Ray's warnings out of --json, which is one object
                try:
                    self._run_trials(log, writer)
                except KeyboardInterrupt:
                    if not self.record.exists:  # Ray was still starting: there is no study yet
                        raise
                    self.say("stopped immediately")
                finally:  # workers that were stopped leave their files
                    stop_file(log).unlink(missing_ok=True)
                    for address in self.plans:
                        remove_state(self.record.folder, address)
            problem = writer.close(STOPPED_PATIENCE_S if STOP.requested else MLFLOW_PATIENCE_S)
            if problem:
                self.say(f"MLflow is behind ({problem}); `{self.command('sync')}` brings it up to date")
        self._count(log)
        report = write_report(self.record, self.store)
        if not STOP.requested:  # there is little time, and a resume writes it anyway
            report = self._mlflow(uri, report)
        if report.num_unfinished or STOP.requested:
            self.say(f"stopped before the end; {self.advice}")
        if not self.options.quiet:
            print_report(report, self.console)
            self.say(f"\nreport  {self.record.folder / 'report' / 'index.html'}")
            if not self.options.mlflow_uri:
                # From inside the home any path will do, and what the server makes stays there.
                server = "mlflow server --backend-store-uri sqlite:///mlflow.db"
                self.say(f"MLflow  cd {shlex.quote(str(self.home))} && {server}")
        return report

    def command(self, verb: str) -> str:
        """Write the command of another verb for this study, as it can be pasted."""
        return command(verb, self.record.name, home=self.home, mlflow_uri=self.options.mlflow_uri)

    def check(self, *, read: bool = True) -> str:
        """Raise BadInput for errors that are known before the start; return the URI of MLflow.

        Rows are read once per home; without `read` only checks that need no download are made.
        """
        from study.tracking.mlflow_store import NoAnswer, check_uri, default_uri

        uri = self.options.mlflow_uri or default_uri(self.home)
        try:
            uri = check_uri(uri) if self.options.mlflow_uri else uri
        except NoAnswer as error:
            if not self.record.exists:
                raise
            self.say(f"{error}; the study goes on without it")  # such as a job that a scheduler has started again
        if read:
            check_writable(self.home, self.record.folder, self.record.folder / "record.jsonl")
        if not self.options.address:
            capacity(this_machine(), self.options.workers, self.need)
        plans = [self.plan(recipe) for recipe, _ in self.rows()]
        if self.todo()[1]:
            weights, encoder = self.planner.weights, self.settings.encoder
            warning = check_loads(weights) if weights and encoder != "pocket" else ""
            if warning and self.settings.source != "pocket":  # whose languages are invented
                self.unread = warning
                self.say(f"warning: {warning}")
            check_rows(self.planner.source, plans, self.home, self.say, read=read)
        return uri

    def cost(self, *, time: bool) -> Cost:
        """Estimate the cost of the rows that run first.

        Args:
            time: estimate minutes too. If the rows run on this machine, its speed is measured, which takes some seconds.
        """
        plans = [self.plan(recipe) for recipe, _ in self.todo()[0]]
        lacking = [node for plan in plans for node in missing(plan, self.store.has)]
        gpu, concurrent = (
            (True, 1) if self.options.address else capacity(this_machine(), self.options.workers, self.need)
        )
        speed = measure_speed(plans) if time and lacking and not gpu else None
        return cost_of(plans, lacking, self.planner.source, speed, concurrent)

    def _run_trials(self, log: Path, writer: Writer) -> None:
        """Start Ray and run all trials, despite errors of Tune."""
        with STOP.deferred(), start_ray(self.options.address, self._abort) as resources, scratch(self.home) as folder:
            STOP.listen()  # Ray has installed handlers of its own
            if STOP.requested:
                self.open_record()
                return
            restart_trials_killed_for_memory()
            for name in ("ray.tune", "ray.train"):  # failures are printed by the monitor, in a line
                logging.getLogger(name).setLevel(logging.CRITICAL)
            gpu, concurrent = capacity(resources, self.options.workers, self.need)
            self.open_record()  # only now, since no BadInput is raised after this
            remove_stale(self.record.folder)
            budget = self.todo()[1]
            monitor = TrialMonitor(
                record=self.record,
                store=self.store,
                job_of=lambda recipe: self._job(recipe, gpu, log),
                budget=budget,
                concurrent=concurrent,
                callbacks=MonitorCallbacks(
                    put=writer.put, say=self.say, after=Budget(self.home, self.options.max_bytes, self.say)
                ),
            )
            with live_display(self.console, monitor.view, plain=self.options.quiet):
                for attempt in range(MAX_LOST):
                    ended = monitor.done
                    try:
                        self._tune(monitor, log, f"{folder}/{attempt}")
                        break
                    except Exception as error:
                        if monitor.done == ended:  # no trial ended since the last attempt: not an infrastructure error
                            raise
                        lines = str(error).strip().splitlines() or [""]
                        self.say(f"Ray Tune ended early ({type(error).__name__}: {sanitize(lines[0])})")
                        if STOP.requested or not self.todo()[1]:
                            break

    def open_record(self) -> None:
        """Write the spec and the list of stand-in datasets into the record.

        So reports need no source.
        """
        self.record.open(self.settings)
        STOP.last_words = f"stopped; {self.advice}"
        if self.settings.source != "pocket":
            self.record.note_standins(standins(self.planner.source, self.settings))
            if self.unread:
                self.record.note_unread(self.unread)

    def _tune(self, monitor: TrialMonitor, log: Path, folder: str) -> None:
        """Run the remaining trials with Tune."""
        from ray import tune

        from study.execution.trial import tune_trial
        from study.search.searcher import EveryTrial, RecipeSearcher, TargetHalving, open_optuna

        def stop(why: str) -> None:
            stop_file(log).touch()
            searcher.left = 0
            self.say(why)

        monitor.callbacks.disk_full = partial(stop, "the disk is full: no more trials start, and running ones stop")
        monitor.callbacks.abort = lambda reason: stop(
            f"stopping, since the other trials would fail as well: {sanitize(reason)}"
        )
        rows, budget = self.todo()

        def propose(suggest: Suggest) -> Recipe:
            return self.space.recipe(suggest, self.setting)

        optuna = open_optuna(self.record.folder, self.record.name, propose, self.say)
        searcher = RecipeSearcher(
            propose=propose,
            study=optuna,
            given=rows,
            budget=budget,
            known=self._known(),
            start=monitor.start,
        )
        scheduler = (
            EveryTrial(monitor.restart) if self.settings.grid else TargetHalving(self._num_rungs(), monitor.restart)
        )
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(tune_trial, storage=folder), lambda config: own_share(config["job"])
            ),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=budget,
                max_concurrent_trials=monitor.concurrent,
                reuse_actors=True,  # a new process takes four seconds to import what it needs
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=folder,
                verbose=0,
                callbacks=[monitor.tune_callback()],
                # For losses of the trials' own processes; `study.execution.worker_failures` handles those of their workers.
                failure_config=tune.FailureConfig(max_failures=MAX_LOST),
            ),
        )
        # With the advice, since whoever stops all processes at once stops Ray too, and then nothing is said in the end.
        STOP.call(partial(stop, f"stopping: running stages write their state (again: stop at once); {self.advice}"))
        try:
            tuner.fit()
        finally:
            monitor.stop_rest()

    @cached_property
    def need(self) -> int:
        """Estimated memory of one worker, in bytes.

        It is 0 if the encoder's sizes are not known.
        """
        shape = shape_of(self.settings.encoder, self.planner.weights)
        gpu = not self.options.address and num_gpus() > 0
        text = self.settings.mlm or self.planner.weights is None
        return shape.trial_bytes("cuda" if gpu else "cpu", text=text) if shape else 0

    def _num_rungs(self) -> int:
        """Count the targets that have rows for selection."""
        if self.settings.selection != "english_dev":
            return len(self.settings.targets)
        return sum(bool(selection_rows(self.planner.source, dataset(t))[0]) for t in self.settings.targets)

    def _job(self, recipe: Recipe, gpu: bool, log: Path) -> TrialJob:
        return TrialJob(
            plan=self.plan(recipe),
            home=str(self.home),
            source=self.settings.source,
            log=str(log),
            selection=self.settings.selection,
            workers=self.options.workers,
            gpu=gpu,
            cpus=1,
            store=self.settings.store,
            checkpoint_every=self.options.checkpoint_every,
            memory=self.need,
            datasets=registered(),
        )

    def _known(self) -> dict[str, Candidate]:
        """Return the finished trials as selection candidates, for Optuna."""
        return {a: candidate(t, self.store, self.settings.selection) for a, t in self.finished().items()}

    def _count(self, log: Path) -> None:
        """Record how many stages this launch ran and reused."""
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

    def _mlflow(self, uri: str, report: Report) -> Report:
        """Bring MLflow up to date.

        Returns:
            the report with its run ids.
        """
        from study.tracking.mlflow import reason_of, sync

        try:
            sync(uri, self.record, self.store, report, self.record.folder / "report", self.say)
        except Exception as error:  # the view may be unreachable; the study is complete without it
            self.say(f"MLflow is behind ({reason_of(error)}); `{self.command('sync')}` brings it up to date")
        return report.with_runs(self.record.mlflow_runs())

    @property
    def advice(self) -> str:
        """How to go on after a stop."""
        return f"`{self.command('resume')}` continues"

    def _abort(self) -> None:
        """End a launch whose Ray has lost a process."""
        self.say("Ray's node process has ended, and with it all trials")
        STOP.abort()

    def say(self, text: str) -> None:
        """Print a line literally: names and paths are not markup."""
        self.console.print(sanitize(text), soft_wrap=True, markup=False)


def standins(source: Source, spec: ResolvedSpec) -> list[str]:
    """List the titles of datasets with stand-in rows."""
    trained = (dataset(target).train_on or "" for target in spec.targets)
    names = dict.fromkeys((*spec.targets, *spec.intermediate, *trained))
    return [dataset(name).title for name in names if name and source.standin(dataset(name))]


def exit_status(report: Report) -> int:
    """Return the exit status of a launch.

    Returns:
        1 if trials are left to run, the baseline failed (then there are no gains) or every trial failed; else 0.
    """
    no_answer = report.trials["failed"] and (report.baseline_status == "failed" or not report.trials["complete"])
    return 1 if report.num_unfinished or no_answer or STOP.requested else 0


def _length(recipe: Recipe) -> tuple[bool, int, bool]:
    """Return a sort key: baseline first, then longest training.

    Mixtures, objectives and masked LM make training longer.
    """
    passes = len(recipe.train_languages) + 2 * bool(recipe.align) + (recipe.robust.steps + 1 if recipe.robust else 0)
    return not recipe.is_baseline, -len(recipe.intermediate) - passes, not recipe.mlm_ratio
