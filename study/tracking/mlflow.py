"""MLflow as a view of the record.

There is one experiment per study, and one run per trial. Runs are found by the recipe's hash. No decision depends on MLflow:
if its server is down the study continues, and `study.sync` writes what is missing.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from study.record.heartbeat import reconcile_status
from study.record.record import Record, Trial, code_version
from study.results import learning_curves as epochs
from study.results.report import Report, ReportRow
from study.results.transfer_matrix import curves
from study.results.writers import plain, write_files
from study.sanitize import print_error, sanitize
from study.spec.recipe_file import recipe_toml
from study.store.evaluation_result import mean_over_seeds
from study.store.store import Store
from study.tracking.mlflow_store import prepare
from trainables.atomic_file import PART, locked
from trainables.catalogue import dataset
from trainables.errors import BadInput

METRICS_PER_BATCH, PARAMS_PER_BATCH, PARAM_CHARACTERS = 1000, 100, 6000
RUN_STATUS = {"running": "RUNNING", "complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED", "stopped": "KILLED"}
ADDRESS, REPORT = "stepstone.recipe", "stepstone.report"
NOTE, KIND = "mlflow.note.content", "mlflow.experimentKind"  # the second makes the UI show runs, not traces


Point = tuple[str, float, int]  # metric, value, step


class MlflowView:
    """Writer of one study's trials to MLflow.

    All methods are idempotent.
    """

    def __init__(self, uri: str, record: Record, store: Store, say: Callable[[str], None] = print_error) -> None:
        """Open the store, and the study's experiment in it.

        Args:
            say: prints a line about what was mended.

        Raises:
            BadInput: the store cannot be used.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # --json is one object
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow"):  # after the import, which sets levels of its own
            logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are raised, and said in a line
        self.record, self.store, self.uri = record, store, uri
        prepare(uri, record.home, record.name, say)
        self.client = MlflowClient(uri)
        with locked(record.folder / "mlflow.lock"):
            self.experiment = self._experiment(say)
        self.runs: dict[str, str] = {}
        self.there: dict[str, Mapping[str, str]] = {}  # run -> params that it has
        self.failed: set[str] = set()  # runs that have the reason of an earlier failure
        for run in sorted(self._all_runs(), key=lambda run: str(run.info.run_id)):  # all launches keep the same one
            for tag in {ADDRESS, REPORT} & run.data.tags.keys():
                if self.runs.setdefault(run.data.tags[tag], run.info.run_id) != run.info.run_id:
                    # MLflow's client repeats an unanswered request, although a server that died may have made the run.
                    self.client.delete_run(run.info.run_id)
            self.there[run.info.run_id] = run.data.params
            if "reason" in run.data.tags:
                self.failed.add(run.info.run_id)

    def _experiment(self, say: Callable[[str], None]) -> str:
        """Return the id of the study's experiment, which is made, or restored if it was deleted in MLflow's pages."""
        found = self.client.get_experiment_by_name(self.record.name)
        if found and found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
            say(f"MLflow's experiment {self.record.name!r} had been deleted: it is restored")
        if found:
            return str(found.experiment_id)
        local = self.uri.startswith("sqlite:")
        location = (self.record.home / "mlartifacts" / self.record.name).as_uri() if local else None
        return str(self.client.create_experiment(self.record.name, location, {KIND: "custom_model_development"}))

    def _all_runs(self) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs([self.experiment], max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def write_trial(self, trial: Trial, gains: Mapping[str, float] | None = None) -> str:
        """Write the run of a trial, and return its id.

        It has params, tags, metrics of every language, curves, artifacts and a status.
        """
        ended_ms = int(1000 * trial.at)
        run_id = self._run(trial.address, ADDRESS, trial.name, ended_ms - int(1000 * trial.seconds))
        settings = self.record.settings
        tags = {
            "study": self.record.name,
            "space": settings.space,
            "source": settings.source,
            "encoder": settings.encoder,
            "status": trial.status,
            "code_version": code_version(),
            "mlflow.runName": trial.name,
        }
        if trial.reason:
            tags["reason"] = trial.reason[:500]
        elif run_id in self.failed and trial.status == "complete":
            self.client.delete_tag(run_id, "reason")
            self.failed.discard(run_id)
        params = {k: json.dumps(v) if isinstance(v, list) else str(v) for k, v in flat(trial.recipe.to_dict())}
        params["seeds"] = str(settings.seeds)
        params |= {f"retrieval.{key}": str(value) for key, value in self._reading(trial).items()}
        self._check_params(run_id, trial.name, params)
        at_once = [*scores(trial, self.store), *(gains or {}).items()]
        points = [*((key, value, 0) for key, value in at_once), *curve_points(trial, self.store)]
        self._log(run_id, points, params, tags, ended_ms)
        if trial.status == "running":
            self.client.update_run(run_id, status="RUNNING")
            return run_id
        self.client.log_text(run_id, recipe_toml(trial.recipe, settings, trial.name), "recipe.toml")
        if trial.traceback:
            self.client.log_text(run_id, trial.traceback, "traceback.txt")
        self.client.set_terminated(run_id, RUN_STATUS[trial.status], ended_ms)
        return run_id

    def _check_params(self, run_id: str, name: str, params: Mapping[str, str]) -> None:
        """Check that a run is this study's, since MLflow never changes a param.

        Raises:
            BadInput: it has other params.
        """
        there = self.there.get(run_id, {})
        for key, value in params.items():
            if key in there and there[key] != value[:PARAM_CHARACTERS]:
                raise BadInput(
                    f"MLflow's experiment {self.record.name!r} is that of another study: its run {name!r} has {key} = "
                    f"{there[key]!r}, not {value!r}; rename the experiment there, or launch under another --name"
                )

    def _reading(self, trial: Trial) -> Mapping[str, int | str]:
        """Return layer, pooling and direction of retrieval scores, if any."""
        finished = [addresses[0] for addresses in trial.evaluations.values() if addresses]
        found = [self.store.metrics(a).retrieval for a in finished if self.store.has(a)]
        return next((about for about in found if about), {})

    def write_report(self, folder: Path, headline: str) -> None:
        """Write the run with the report's files."""
        run_id = self._run("report", REPORT, "report", None)
        self.client.set_experiment_tag(self.experiment, NOTE, headline)
        self._log(run_id, [], {}, {NOTE: headline, "study": self.record.name, "status": "complete"}, 0)
        with tempfile.TemporaryDirectory() as copy:  # another launch or sync may be writing a report too
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(f"*{PART}"), dirs_exist_ok=True)
            self.client.log_artifacts(run_id, copy)
        self.client.set_terminated(run_id)

    def _run(self, key: str, tag: str, name: str, started_ms: int | None) -> str:
        if key in self.runs:
            return self.runs[key]
        with locked(self.record.folder / "mlflow.lock"):  # another launch of this study may be about to
            found = self.client.search_runs([self.experiment], f"tags.`{tag}` = '{key}'", max_results=1)
            run = found[0] if found else self.client.create_run(self.experiment, started_ms, {tag: key}, name)
        self.runs[key] = run.info.run_id
        return self.runs[key]

    def _log(
        self, run_id: str, points: Iterable[Point], params: Mapping[str, str], tags: Mapping[str, str], time_ms: int
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        # The trial's own time: MLflow keeps a metric once per (key, step, time, value), so repeated writes add nothing, and
        # the values of a later trial of the same recipe count as the latest.
        metrics = iter([Metric(key, float(value), time_ms, int(step)) for key, value, step in points])
        self.client.log_batch(
            run_id,
            params=[Param(k, v[:PARAM_CHARACTERS]) for k, v in islice(params.items(), PARAMS_PER_BATCH)],
            tags=[RunTag(k, v[:5000]) for k, v in tags.items()],
        )
        while batch := list(islice(metrics, METRICS_PER_BATCH)):
            self.client.log_batch(run_id, metrics=batch)


def flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten nested tables, with keys such as "align.weight"."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def scores(trial: Trial, store: Store) -> Iterator[tuple[str, float]]:
    """Yield (metric, mean over seeds) of all finished targets.

    Metrics are `target/language/metric`, `target/mean` and, with all targets finished, `average`.
    """
    means = []
    for target, addresses in trial.evaluations.items():
        if not addresses or not all(store.has(a) for a in addresses):
            continue
        result = mean_over_seeds([store.metrics(a) for a in addresses])
        for language, metrics in result.languages.items():
            yield from ((f"{target}/{language}/{metric}", value) for metric, value in metrics.items())
        means.append(result.mean(dataset(target)))
        yield f"{target}/mean", means[-1]
    if means and len(means) == len(trial.recipe.targets):
        yield "average", sum(means) / len(means)


def curve_points(trial: Trial, store: Store) -> Iterator[Point]:
    """Yield the points of learning curves.

    They are `train/stage/loss` and `train/stage/dev` of the first seed, and those of `learning_curves.points` by epoch.
    """
    for label, curve in curves(trial, store).items():
        name = label.replace(" ", "/")
        yield from ((f"train/{name}/loss", loss, step) for step, loss in zip(curve.step, curve.loss, strict=True))
        yield from ((f"train/{name}/dev", score, step) for step, score in curve.dev)
    yield from epochs.points(epochs.by_epoch([trial], store), trial.address)


class Writer:
    """Background thread that writes to MLflow.

    A slow or absent server never delays a trial.
    """

    def __init__(self, uri: str, record: Record, store: Store, say: Callable[[str], None] = print_error) -> None:
        self.queue: queue.SimpleQueue[Trial | None] = queue.SimpleQueue()
        self.error: str | None = None
        self.thread = threading.Thread(target=self._work, args=(uri, record, store, say), daemon=True)
        self.thread.start()

    def put(self, trial: Trial) -> None:
        """Queue the current state of a trial."""
        self.queue.put(trial)

    def close(self, timeout_s: float) -> str | None:
        """Wait until everything is written; return an error message."""
        self.queue.put(None)
        self.thread.join(timeout_s)
        return "MLflow did not answer in time" if self.thread.is_alive() else self.error

    def _work(self, uri: str, record: Record, store: Store, say: Callable[[str], None]) -> None:
        view: MlflowView | None = None
        while (trial := self.queue.get()) is not None:
            try:
                view = view or MlflowView(uri, record, store, say)
                view.write_trial(trial)
            except Exception as error:  # a view may fail in any way; the study continues and reports it at its end
                self.error = reason_of(error)


def reason_of(error: Exception) -> str:
    """Write why MLflow could not be brought up to date, in one line."""
    lines = sanitize(str(error)).splitlines()  # a server's address may contain a password
    return (
        sanitize(str(error)) if isinstance(error, BadInput) else f"{type(error).__name__}: {lines[0] if lines else ''}"
    )


def gains_of(row: ReportRow) -> dict[str, float]:
    """Return `target/gain`, `gain` and `selection`, if the report has them."""
    found = {f"{target}/gain": cell.gain for target, cell in row.targets.items()}
    found |= {"gain": row.gain, "selection": row.selection}
    return {key: value for key, value in found.items() if value is not None}


def sync(
    uri: str,
    record: Record,
    store: Store,
    report: Report,
    folder: Path,
    say: Callable[[str], None] = print_error,
) -> dict[str, str]:
    """Update MLflow from the record, and upload the report.

    Returns:
        recipe hash -> run id, also stored in the study's `mlflow.json` for later reports.

    Raises:
        BadInput: the store cannot be used, or the experiment is another study's.
    """
    view = MlflowView(uri, record, store, say)
    rows = {row.address: row for row in report.matrix}
    for trial in reconcile_status(record.trials(), record.folder).values():
        view.write_trial(trial, gains_of(rows[trial.address]) if trial.address in rows else {})
    record.keep_mlflow_runs(view.runs)
    write_files(report.with_runs(view.runs), folder)
    view.write_report(folder, plain(report.headline))
    return view.runs
