"""The report of a study as values; `to_dict` gives the JSON that files, `--json` and dashboards hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from study.record.record import UNFINISHED, Status
from study.results.report_tables import AlignmentTable, Comparison, EpochTable, LayerTable
from study.store.evaluation_result import Scores
from trainables.hyperparameter_sources import Number
from trainables.languages import Language
from trainables.recipe import Recipe

Interval = tuple[float, float]  # the central 95 %

# How a report of a study without a baseline shows the row that is not there.
_NO_BASELINE: dict[str, object] = {
    "name": "no intermediate task",
    "recipe": {},
    "status": "missing",
    "average": None,
    "gain": None,
    "targets": {},
}


@dataclass(frozen=True, kw_only=True)
class TargetResult:
    """A cell of the matrix: the mean over languages, its difference from the baseline, and every language.

    Scores are in percent and means over seeds; the baseline has gain 0 and no interval.
    """

    mean: float
    gain: float | None
    interval: Interval | None
    languages: Scores


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """Training loss by step, thinned, and every (step, dev score)."""

    step: tuple[int, ...]
    loss: tuple[float, ...]
    dev: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class ReportRow:
    """A row of the matrix: one recipe.

    Attributes:
        average, gain, interval: over all targets; None unless every target is finished (and the baseline's).
        selection: what choosing looks at: English dev scores, as a difference from the baseline's.
        run_id: of MLflow; None until it is written.
        targets: those that are finished.
        curves: stage -> curve of the first seed.
    """

    name: str
    recipe: Recipe
    address: str
    status: Status
    seeds: tuple[int, ...]
    average: float | None
    gain: float | None
    interval: Interval | None
    selection: float | None
    run_id: str | None
    targets: Mapping[str, TargetResult]
    curves: Mapping[str, LossCurve]


@dataclass(frozen=True, kw_only=True)
class LanguagePairs:
    """Languages of a target of pairs, and tag -> (language of sentence 1, of sentence 2)."""

    languages: Mapping[str, Language]
    of: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class ReportTarget:
    """A column of the matrix; `main` are the metrics that its number is the mean of."""

    name: str
    title: str
    main: tuple[str, ...]
    languages: tuple[str, ...]
    split: str
    trained_on: str | None
    note: str
    pairs: LanguagePairs | None


@dataclass(frozen=True, kw_only=True)
class FailedRecipe:
    """A failed recipe, and why it failed."""

    name: str
    address: str
    reason: str
    traceback: str


@dataclass(frozen=True, kw_only=True)
class BestRecipe:
    """The recipe to copy: its row, the command that runs it again, and its file."""

    name: str
    recipe: Recipe
    gain: float | None
    interval: Interval | None
    address: str
    command: str
    toml: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """Results of a study. The order of the fields is that of the JSON.

    Attributes:
        selection: what recipes are chosen by: "english_dev" or, as an oracle, "target_dev".
        trials: status -> how many.
        stages: how many the last launch ran and reused, and the steps that it trained.
        matrix: recipes in the order of the published tables; the baseline, if there is one, first.
        layers, epochs: by target.
        standins: titles of datasets whose rows stand in for the official ones.
        published: a paper's scores beside ours, where they were asked for.
    """

    study: str
    space: str
    question: str
    source: str
    encoder: str
    profile: str
    scale: float
    seeds: int
    selection: str
    pocket: bool
    trials: Mapping[str, int]
    stages: Mapping[str, int]
    targets: tuple[ReportTarget, ...]
    languages: Mapping[str, Language]
    matrix: tuple[ReportRow, ...]
    failures: tuple[FailedRecipe, ...]
    layers: Mapping[str, LayerTable]
    epochs: Mapping[str, EpochTable]
    standins: tuple[str, ...]
    notes: tuple[str, ...]
    created: str
    version: str
    best: BestRecipe | None
    numbers: tuple[Number, ...]
    alignment: tuple[AlignmentTable, ...]
    headline: str
    published: Comparison | None = None

    @property
    def baseline(self) -> ReportRow | None:
        """Row that gains are measured against, if it was recorded."""
        return next((row for row in self.matrix if row.recipe.is_baseline), None)

    @property
    def baseline_status(self) -> str:
        """Status of the baseline, or "missing"."""
        return self.baseline.status if self.baseline else "missing"

    @property
    def num_unfinished(self) -> int:
        """Number of trials that a resume continues."""
        return sum(self.trials[status] for status in UNFINISHED)

    def is_baseline(self, address: str) -> bool:
        """Return whether an address is that of the baseline."""
        return self.baseline is not None and self.baseline.address == address

    def with_runs(self, runs: Mapping[str, str]) -> Report:
        """Note the MLflow run of every row: `runs` is recipe address -> run id."""
        return replace(self, matrix=tuple(replace(row, run_id=runs.get(row.address)) for row in self.matrix))

    def to_dict(self) -> dict[str, Any]:
        """Return literals, as in `report.json`."""
        found: dict[str, Any] = {}
        for name in (f.name for f in fields(self)):
            if name == "matrix":
                found["baseline"] = literals(self.baseline) if self.baseline else dict(_NO_BASELINE)
            if name != "published" or self.published is not None:
                found[name] = literals(getattr(self, name))
        return found


def literals(value: Any) -> Any:
    """Turn a value into what JSON holds: named fields become keys in their order, and tuples lists."""
    if isinstance(value, Recipe):
        return value.to_dict()
    if is_dataclass(value):
        return {f.name: literals(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Number | Language):
        return value._asdict()
    if isinstance(value, Mapping):
        return {key: literals(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [literals(item) for item in value]
    return value


def signed(value: float | None) -> str:
    """Write a difference with its sign and one decimal."""
    return "-" if value is None else f"{round(value, 1) or 0.0:+.1f}"
