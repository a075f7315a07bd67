"""Python API of a study, used by `import stepstone` and by all verbs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.execution.graceful_shutdown import STOP
from study.home import command, home_folder
from study.planning.encoder_weights import Weights
from study.planning.encoder_weights import resolve as resolve_encoder
from study.planning.plan import Planner
from study.record.heartbeat import State, reconcile_status, states
from study.record.record import Record, Trial, table_order
from study.spec.study_spec import ResolvedSpec, RunOptions, StudySpec
from study.store.remote import check_url
from study.store.store import Store
from trainables.errors import BadInput
from trainables.sources import Source, open_source, without_folders

if TYPE_CHECKING:
    import pandas

    from study.execution.driver import StudyDriver
    from study.execution.plan_summary import PlanSummary
    from study.results.report import Report


@dataclass(frozen=True)
class StudyStatus:
    """Status of a study.

    Attributes:
        trials: all trials, in the order of the tables.
        progress: recipe id -> progress of a running trial.
    """

    study: str
    spec: ResolvedSpec
    trials: tuple[Trial, ...]
    progress: Mapping[str, State]

    @property
    def counts(self) -> dict[str, int]:
        """Number of trials by status."""
        return dict(Counter(trial.status for trial in self.trials))

    def to_dict(self) -> dict[str, Any]:
        """Return literals for --json."""
        names = {trial.address: trial.name for trial in self.trials}
        listed = ("name", "status", "seconds", "reason", "address")
        return {
            "study": self.study,
            **{key: getattr(self.spec, key) for key in ("space", "source", "encoder", "seeds")},
            "counts": self.counts,
            "trials": [{key: getattr(trial, key) for key in listed} for trial in self.trials],
            "progress": [{"address": a, "name": names[a], **asdict(state)} for a, state in self.progress.items()],
        }


def _moved(record: Record, asked: ResolvedSpec, source: Source, weights: Weights | None) -> bool:
    """Return whether folders of a study are now elsewhere.

    They are the mirrors' and the encoder's, whose rows and weights must be those of the finished evaluations.
    """
    if not record.exists:
        return False
    old = record.settings
    if asked.source == old.source and asked.encoder == old.encoder:
        return False
    if without_folders(old.source) != without_folders(asked.source):
        return False
    if asked.encoder != old.encoder and not (os.path.isabs(old.encoder) and os.path.isabs(asked.encoder)):
        return False
    planner = Planner(source, weights, old.sweep_layers)
    for trial in record.trials().values():
        planned = planner.plan(trial.recipe, old.seeds).evaluations()
        if any(not set(found) <= set(planned.get(target, ())) for target, found in trial.evaluations.items()):
            return False
    return True


def _of_study(record: Record, asked: ResolvedSpec, source: Source, weights: Weights | None) -> ResolvedSpec:
    """Return the spec of a new study, or of the same study with its folders where they are now.

    Recipes name an encoder by the folder that it was first in.

    Raises:
        BadInput: the existing study has another spec.
    """
    if not _moved(record, asked, source, weights):
        record.check(asked)
        return asked
    old = record.settings
    spec = replace(asked, encoder=old.encoder, encoder_at="" if asked.encoder == old.encoder else asked.encoder)
    record.check(replace(spec, source=old.source))
    return spec


class Study:
    """A study in a home: plan it, run it, read its results."""

    def __init__(self, record: Record, spec: ResolvedSpec) -> None:
        """Initialise a study; use `create` or `open` instead."""
        self.record, self.spec = record, spec

    @classmethod
    def create(
        cls,
        spec: StudySpec,
        *,
        name: str | None = None,
        home: str | Path | None = None,
        store: str | None = None,
    ) -> Study:
        """Create a study from a spec, which is checked here.

        Nothing is written or started before `run`.

        Args:
            name: name of the study; None = made from the spec.
            home: folder of all studies and stages; None = $STEPSTONE_HOME, or else ./.stepstone.
            store: URL where finished stages are stored too; None = $STEPSTONE_STORE, or what the study already has.

        Raises:
            BadInput: the spec is not valid, or the name belongs to a study with another spec.
        """
        folder = home_folder(home)
        resolved, source = spec.resolve()
        weights = resolve_encoder(resolved.encoder)
        by_name = "mlm" in (spec.intermediate or ())
        if weights and not weights.can_mask and spec.recipe is None and not by_name:
            resolved = replace(resolved, mlm=False)  # the encoder cannot do it, and only the default included it
        record = Record(folder, resolved.default_name if name is None else name)
        resolved = _of_study(record, resolved, source, weights)
        url = store or os.environ.get("STEPSTONE_STORE") or (record.settings.store if record.exists else "")
        study = cls(record, replace(resolved, store=check_url(url) if url else ""))
        study.source, study.weights = source, weights  # opened and hashed once
        return study

    @classmethod
    def open(
        cls, name: str, *, home: str | Path | None = None, encoder: str | None = None, source: str | None = None
    ) -> Study:
        """Open an existing study.

        Args:
            encoder: where the encoder's folder is now, if it was moved.
            source: the source, if folders of its mirrors were moved.

        Raises:
            BadInput: the name is unknown, or other weights or rows are there than those that the study was run with.
        """
        record = Record(home_folder(home), name)
        old = record.settings
        if encoder is None and source is None:
            return cls(record, old)
        opened = open_source(source or old.source)
        weights = resolve_encoder(encoder or old.weights_from)
        where = weights.location if weights and encoder else old.weights_from
        study = cls(record, _of_study(record, replace(old, encoder=where, source=opened.spec), opened, weights))
        study.source, study.weights = opened, weights
        return study

    @property
    def name(self) -> str:
        """Name of the study in the home."""
        return self.record.name

    @property
    def home(self) -> Path:
        """Folder of all studies and stages."""
        return self.record.home

    @cached_property
    def source(self) -> Source:
        """Source of the study's rows."""
        try:
            return open_source(self.spec.source)
        except BadInput as error:
            raise BadInput(f"{error}; {self._elsewhere('--source SOURCE')}") from None

    @cached_property
    def weights(self) -> Weights | None:
        """Ready weights of the encoder, whose files are hashed; None for `pretrain:SIZE`."""
        try:
            return resolve_encoder(self.spec.weights_from)
        except BadInput as error:
            if not os.path.isabs(self.spec.weights_from) or os.path.isdir(self.spec.weights_from):
                raise
            gone = f"the encoder's folder {self.spec.weights_from!r} is gone"
            raise BadInput(f"{gone}; {self._elsewhere('--encoder FOLDER')}") from error

    def _elsewhere(self, option: str) -> str:
        return f"if it was moved, `{command('resume', self.name, home=self.home)} {option}` goes on"

    @cached_property
    def store(self) -> Store:
        """Finished stages of the home."""
        return Store(self.home, self.spec.store)

    def __repr__(self) -> str:
        counts = self.status().counts
        found = ", ".join(f"{number} {status}" for status, number in counts.items()) or "not run yet"
        return f"<Study {self.name!r} in {str(self.home)!r}: {found}>"

    def plan(self, *, workers: int = 1, address: str | None = None, mlflow_uri: str | None = None) -> PlanSummary:
        """Plan the study without starting anything.

        Args:
            workers, address, mlflow_uri: as of `run`.

        Returns:
            Recipes and stages to run, with an estimate of time and memory.
        """
        from study.execution.plan_summary import summarize

        return summarize(self._driver(RunOptions(workers=workers, address=address, mlflow_uri=mlflow_uri)))

    def run(
        self,
        *,
        workers: int = 1,
        address: str | None = None,
        mlflow_uri: str | None = None,
        checkpoint_every: float = 60.0,
        max_bytes: int | str | None = None,
        quiet: bool = False,
    ) -> Report:
        """Run all missing stages and return the report.

        Ctrl-C and SIGTERM stop it cleanly in the main thread; in other threads no signal handler is set.

        Args:
            workers: data-parallel workers of a trial.
            address: existing Ray cluster; None starts one on this machine.
            mlflow_uri: server or store; None is a SQLite file in the home.
            checkpoint_every: seconds between checkpoints.
            max_bytes: size limit of the home, such as "20GB"; None is no limit.
            quiet: messages go to standard error, and no table is printed.

        Raises:
            BadInput: a check fails before anything is started.
        """
        from study.execution.disk_usage import parse_size

        driver = self._driver(
            RunOptions(
                workers=workers,
                address=address,
                mlflow_uri=mlflow_uri,
                checkpoint_every=checkpoint_every,
                max_bytes=parse_size(max_bytes) if isinstance(max_bytes, str) else max_bytes,
                quiet=quiet,
            )
        )
        with STOP.restored():
            return driver.run()

    resume = run

    def status(self) -> StudyStatus:
        """Read the status of all trials and the progress of running ones."""
        trials = reconcile_status(self.record.trials(), self.record.folder)
        running = {address for address, trial in trials.items() if trial.status == "running"}
        now = {address: state for address, state in states(self.record.folder).items() if address in running}
        return StudyStatus(self.name, self.spec, tuple(table_order(trials)), now)

    def report(self) -> Report:
        """Build the report from finished stages."""
        from study.results.transfer_matrix import build

        self._check_has_run()
        return build(self.record, self.store)

    def to_frame(self) -> pandas.DataFrame:
        """Return all scores as a tidy table, see `results.frame`.

        It has one row per recipe, target, language, metric and seed.
        """
        from study.results.frame import tidy_frame

        self._check_has_run()
        return tidy_frame(self.record, self.store)

    def matrix(self) -> pandas.DataFrame:
        """Return the transfer matrix: recipes x targets, in points.

        The first row has the baseline's scores, the others differences from it.
        """
        from study.results.frame import matrix_frame

        return matrix_frame(self.report())

    def _check_has_run(self) -> None:
        if not self.record.exists:
            raise BadInput(f"study {self.name!r} has not run yet: call run()")

    def _driver(self, options: RunOptions) -> StudyDriver:
        from study.execution.driver import StudyDriver

        return StudyDriver(self.record, self.spec, Planner(self.source, self.weights, self.spec.sweep_layers), options)


def load(name: str, *, home: str | Path | None = None) -> Study:
    """Open an existing study, see `Study.open`."""
    return Study.open(name, home=home)
