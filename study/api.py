"""A study as an object: what `import stepstone` gives to Python, and what every verb calls."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.execution.graceful_shutdown import STOP
from study.home import home_folder
from study.planning.encoder_weights import resolve as resolve_encoder
from study.planning.plan import Planner
from study.record.heartbeat import State, reconcile_status, states
from study.record.record import UNFINISHED, Record, Trial, studies, table_order
from study.spec.study_spec import ResolvedSpec, RunOptions, StudySpec
from study.store.remote import check_url
from study.store.store import Store
from trainables.sources import Source, open_source

if TYPE_CHECKING:
    import pandas

    from study.execution.driver import StudyDriver
    from study.execution.plan_summary import PlanSummary


@dataclass(frozen=True)
class StudyStatus:
    """Where a study stands: its trials in the order of the tables, and where the running ones are, by recipe id."""

    study: str
    spec: ResolvedSpec
    trials: tuple[Trial, ...]
    progress: Mapping[str, State]

    @property
    def counts(self) -> dict[str, int]:
        """Trials by status."""
        return dict(Counter(trial.status for trial in self.trials))

    def to_dict(self) -> dict[str, Any]:
        """Literals for --json."""
        names = {trial.address: trial.name for trial in self.trials}
        listed = ("name", "status", "seconds", "reason", "address")
        return {
            "study": self.study,
            **{key: getattr(self.spec, key) for key in ("space", "source", "encoder", "seeds")},
            "counts": self.counts,
            "trials": [{key: getattr(trial, key) for key in listed} for trial in self.trials],
            "progress": [{"address": a, "name": names[a], **asdict(state)} for a, state in self.progress.items()],
        }


class Study:
    """A study in a home: plan it, run it, ask what it found."""

    def __init__(self, record: Record, spec: ResolvedSpec, source: Source | None = None) -> None:
        """Use `create` or `open` instead."""
        self.record, self.spec = record, spec
        self._source = source

    @classmethod
    def create(
        cls,
        spec: StudySpec,
        *,
        name: str | None = None,
        home: str | Path | None = None,
        store: str | None = None,
    ) -> Study:
        """Check a spec and give it a name; nothing is written or started until `run`.

        Args:
            name: made from the spec where it is None.
            store: URL where finished stages are kept as well ($STEPSTONE_STORE, or what the study already has).

        Raises:
            BadInput: whatever is wrong with the spec, or the name belongs to a study with another one.
        """
        folder = home_folder(home)
        resolved, source = spec.resolve()
        weights = resolve_encoder(resolved.encoder)
        by_name = "mlm" in (spec.intermediate or ())
        if weights and not weights.can_mask and spec.recipe is None and not by_name:
            resolved = replace(resolved, mlm=False)  # nobody asked for it: the default is all that can be done
        record = Record(folder, resolved.default_name if name is None else name)
        record.check(resolved)
        url = store or os.environ.get("STEPSTONE_STORE") or (record.settings.store if record.exists else "")
        return cls(record, replace(resolved, store=check_url(url) if url else ""), source)

    @classmethod
    def open(cls, name: str, *, home: str | Path | None = None) -> Study:
        """Open a study that was run before; raises BadInput for an unknown name."""
        record = Record(home_folder(home), name)
        return cls(record, record.settings)

    @property
    def name(self) -> str:
        """Its name in the home."""
        return self.record.name

    @property
    def home(self) -> Path:
        """The folder of all studies and stages."""
        return self.record.home

    @cached_property
    def source(self) -> Source:
        """Where its rows come from."""
        return self._source or open_source(self.spec.source)

    @cached_property
    def store(self) -> Store:
        """The finished stages of the home."""
        return Store(self.home, self.spec.store)

    def plan(self, **options: Any) -> PlanSummary:
        """Say what would run, and how long and in how much memory; options as of `RunOptions`. Starts nothing."""
        from study.execution.plan_summary import summarize

        return summarize(self._driver(RunOptions(**options)))

    def run(self, **options: Any) -> dict[str, Any]:
        """Run what is missing and return the report; options as of `RunOptions`.

        Ctrl-C and SIGTERM stop it cleanly where this is the main thread; in any other thread signals are left alone.

        Raises:
            BadInput: something is known to be wrong before anything is started.
        """
        driver = self._driver(RunOptions(**options))
        with STOP.restored():
            return driver.run()

    resume = run

    def status(self) -> StudyStatus:
        """Look at what has run and what runs."""
        trials = reconcile_status(self.record.trials(), self.record.folder)
        running = {address for address, trial in trials.items() if trial.status == "running"}
        now = {address: state for address, state in states(self.record.folder).items() if address in running}
        return StudyStatus(self.name, self.spec, tuple(table_order(trials)), now)

    def report(self) -> dict[str, Any]:
        """Build the report from what is finished."""
        from study.results.transfer_matrix import build

        return build(self.record, self.store)

    def to_frame(self) -> pandas.DataFrame:
        """Every score as a tidy table: one line per recipe, target, language, metric and seed, see `results.frame`."""
        from study.results.frame import tidy_frame

        return tidy_frame(self.record, self.store)

    def matrix(self) -> pandas.DataFrame:
        """The transfer matrix: recipes x targets, the baseline's scores first, then differences from it, in points."""
        from study.results.frame import matrix_frame

        return matrix_frame(self.report())

    def _driver(self, options: RunOptions) -> StudyDriver:
        from study.execution.driver import StudyDriver

        planner = Planner(self.source, resolve_encoder(self.spec.encoder), self.spec.sweep_layers)
        return StudyDriver(self.home, self.record, self.spec, planner, **asdict(options))


def load(name: str, *, home: str | Path | None = None) -> Study:
    """Open a study that was run before: `Study.open`."""
    return Study.open(name, home=home)


def names(home: str | Path | None = None) -> list[str]:
    """List the studies of a home."""
    return studies(home_folder(home))


def is_finished(report: Mapping[str, Any]) -> bool:
    """Whether no trial of a report is left to run."""
    return not any(report["trials"][status] for status in UNFINISHED)
