"""Scores by epoch: evaluations during a target's training, for every recipe of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from study.record.record import Trial
from study.results.report import Report
from study.results.report_tables import EpochPoint, EpochRow, EpochTable, SeedScores
from study.store.store import Store, leaving_out
from trainables.atomic_file import parse_json
from trainables.catalogue import Dataset, dataset

TRAIN, DEV, ZERO_SHOT = (
    "train",
    "dev",
    "zero-shot",
)  # columns beside the languages; the last is the mean without English


class Lines(NamedTuple):
    """A table as text: its title, its columns, and (name, cells) of each line."""

    title: str
    columns: list[str]
    lines: list[tuple[str, list[str]]]


class _SeedPoint(NamedTuple):
    """A point of one seed's curve; `scores`: "dataset/language/split" -> metric -> percent."""

    epoch: float
    step: int
    share: float
    scores: Mapping[str, Mapping[str, float]]


def by_epoch(trials: Sequence[Trial], store: Store) -> dict[str, EpochTable]:
    """Read the points of every finished trial, by target, where training was scored on the way.

    A point that not every seed reached, since a phase ended early, is left out.
    """
    found: dict[str, EpochTable] = {}
    for trial in trials:
        for target, addresses in trial.evaluations.items():
            if not addresses or not all(store.has(a) for a in addresses):
                continue
            curves = [_curve(a, store) for a in addresses]
            if any(curve is None for curve in curves):
                continue
            d, splits = dataset(target), store.metrics(addresses[0]).splits
            shared = [p for p in zip(*(c or [] for c in curves), strict=False) if len({q.step for q in p}) == 1]
            keys = _keys(d, splits, shared[0][0].scores) if shared else {}
            known = found.get(target) or EpochTable(
                title=d.title, metrics=tuple(d.main), columns=(*keys, ZERO_SHOT), rows=()
            )
            points = tuple(_point(d, keys, point) for point in shared)
            row = EpochRow(name=trial.name, address=trial.address, points=points)
            found[target] = replace(known, rows=(*known.rows, row))
    return found


def _curve(evaluation: str, store: Store) -> list[_SeedPoint] | None:
    """Find the curve of the training that an evaluation's weights went through; None without one."""
    address = store.info(evaluation)["parent"]
    with leaving_out(store.small(address)):
        while address and (store.small(address) / "stage.json").exists():
            info = store.info(address)
            path = store.small(address) / "curve.json"
            if path.exists():
                epochs = info["config"]["task"]["epochs"]
                points = parse_json(path.read_bytes())
                return [_SeedPoint(p["epoch"], p["step"], p["epoch"] / epochs, p["scores"]) for p in points]
            if info["kind"] != "target" or info["parent"] == address:
                break
            address = info["parent"]
    return None


def _keys(d: Dataset, splits: Mapping[str, str], scores: Mapping[str, object]) -> dict[str, str]:
    """Map columns to the rows that they stand for; dev rows are the target's own, or those of its training set."""
    keys = {TRAIN: f"{d.train_on}/en/train"}
    dev = next((k for k in (f"{d.name}/en/validation", f"{d.train_on}/en/validation") if k in scores), "")
    reported = {language: f"{d.name}/{language}/{split}" for language, split in splits.items()}
    if dev not in (reported.get("en"), ""):  # where they are reported, there are no dev rows
        keys[DEV] = dev
    return {column: key for column, key in (keys | reported).items() if key in scores}


def _point(d: Dataset, keys: Mapping[str, str], seeds: Sequence[_SeedPoint]) -> EpochPoint:
    scores = {column: {m: [float(s.scores[key][m]) for s in seeds] for m in d.main} for column, key in keys.items()}
    others = [column for column in scores if column not in (TRAIN, DEV, "en")]
    if others:
        scores[ZERO_SHOT] = {m: np.mean([scores[c][m] for c in others], axis=0).tolist() for m in d.main}
    summed = {column: {m: _summary(values) for m, values in metrics.items()} for column, metrics in scores.items()}
    first = seeds[0]
    return EpochPoint(epoch=first.epoch, step=first.step, share=first.share, scores=summed)


def _summary(values: Sequence[float]) -> SeedScores:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return SeedScores(mean=float(np.mean(values)), sd=spread, values=tuple(values))


def curve_notes(found: Mapping[str, EpochTable]) -> list[str]:
    """Return notes on the tables; none where there are no tables."""
    if not found:
        return []
    return [
        "Scores by epoch are reported as they are: no weights, recipe or end of training was chosen by them.",
        f"“{ZERO_SHOT}” is the mean over the languages without English; a percentage says what it is of.",
    ]


# --- tables ---


def metric_title(metric: str) -> str:
    """Write a metric for readers: intent_accuracy -> intent accuracy; slot_f1_bio, the usual one, -> slot F1."""
    return {"slot_f1_bio": "slot F1"}.get(metric, metric.replace("_", " "))


def places(target: EpochTable) -> list[tuple[EpochRow, EpochPoint]]:
    """Order the points of a target by epoch, as the paper prints them."""
    reached = [(row, point) for row in target.rows for point in row.points]
    return sorted(reached, key=lambda place: place[1].epoch)


def score_table(report: Report, name: str, *, spread: bool = True) -> Lines:
    """Make a table with epoch x recipe in lines, train, dev and languages in columns; cells as in "78.5/59.0 ±0.8/1.2"."""
    target = report.epochs[name]
    lines = []
    published = report.published.epochs.get(name, ()) if report.published else ()
    for row, point in places(target):
        cells = [_cell(point.scores.get(column), spread) for column in target.columns]
        lines.append((f"{point.epoch:g}: {row.name}", cells))
        theirs = [p for p in published if p.address == row.address and abs(p.share - point.share) < 1e-6]
        for p in theirs:
            lines.append((f"  published, epoch {p.epoch}", [p.cells.get(c, "-") for c in target.columns]))
    what = "/".join(map(metric_title, target.metrics))
    return Lines(f"{target.title} by epoch: {what}", list(target.columns), lines)


def _cell(metrics: Mapping[str, SeedScores] | None, spread: bool) -> str:
    if not metrics:
        return "-"
    shown = "/".join(f"{m.mean:.1f}" for m in metrics.values())
    spreads = [m.sd for m in metrics.values()]
    if not spread or None in spreads:
        return shown
    return f"{shown} ±{'/'.join(f'{sd:.1f}' for sd in spreads)}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A recipe's score after an epoch and the baseline's; `percent` is of the baseline's, and None where that is 0."""

    epoch: float
    name: str
    address: str
    column: str
    metric: str
    baseline: float
    value: float

    @property
    def points(self) -> float:
        """Difference in points."""
        return self.value - self.baseline

    @property
    def percent(self) -> float | None:
        """Difference in percent of the baseline's score."""
        return 100 * self.points / self.baseline if self.baseline else None


def changes(target: EpochTable, baseline: str) -> list[Change]:
    """Compare every epoch, recipe, column and metric with the baseline, whose recipe has this address."""
    found = []
    reference = {point.epoch: point.scores for row, point in places(target) if row.address == baseline}
    for row, point in places(target):
        if row.address == baseline or point.epoch not in reference:
            continue
        for column, metrics in point.scores.items():
            for metric, own in metrics.items():
                old = reference[point.epoch].get(column, {}).get(metric)
                if old is not None:
                    about = {"name": row.name, "address": row.address, "column": column, "metric": metric}
                    found.append(Change(epoch=point.epoch, baseline=old.mean, value=own.mean, **about))
    return found


def _changes(report: Report, name: str) -> list[Change]:
    return changes(report.epochs[name], report.baseline.address if report.baseline else "")


def change_table(report: Report, name: str) -> Lines:
    """Make a table of zero-shot means against the baseline's, in points, and in percent of the baseline's score."""
    target = report.epochs[name]
    titles = [metric_title(m) for m in target.metrics]
    columns = [text for title in titles for text in (f"{title}, points", f"{title}, % of the baseline's")]
    lines: dict[str, list[str]] = {}
    for change in _changes(report, name):
        if change.column == ZERO_SHOT:
            percent = "-" if change.percent is None else f"{change.percent:+.1f}"
            lines.setdefault(f"{change.epoch:g}: {change.name}", []).extend([f"{change.points:+.1f}", percent])
    return Lines(f"{target.title}, {ZERO_SHOT} mean against the baseline", columns, list(lines.items()))


def text_tables(report: Report, *, spread: bool = True) -> Iterator[Lines]:
    """Make the tables of every target that has a curve; a table without lines is left out."""
    for name in report.epochs:
        for table in (score_table(report, name, spread=spread), change_table(report, name)):
            if table.lines:
                yield table


def epoch_rows(report: Report, name: str) -> list[list[object]]:
    """Write CSV lines: one per epoch, recipe, column and metric."""
    head = ["epoch", "step", "recipe", "address", "column", "metric", "mean", "standard deviation", "seeds"]
    rows: list[list[object]] = [[*head, "points against the baseline", "percent of the baseline's"]]
    known = {(c.epoch, c.address, c.column, c.metric): c for c in _changes(report, name)}
    for row, point in places(report.epochs[name]):
        for column, metrics in point.scores.items():
            for metric, own in metrics.items():
                change = known.get((point.epoch, row.address, column, metric))
                about = [point.epoch, point.step, row.name, row.address, column, metric, own.mean]
                against = (change.points, change.percent) if change else (None, None)
                blank = ["" if value is None else value for value in (own.sd, len(own.values), *against)]
                rows.append([*about, *blank])
    return rows


def points(found: Mapping[str, EpochTable], address: str) -> Iterator[tuple[str, float, int]]:
    """Yield (`curve/target/column/metric`, mean over seeds, epoch) of one recipe, for a tracker.

    Where epochs are not whole numbers, the optimiser step stands for them.
    """
    for name, target in found.items():
        for row in (row for row in target.rows if row.address == address):
            whole = all(float(point.epoch).is_integer() for point in row.points)
            for point in row.points:
                place = int(point.epoch if whole else point.step)
                for column, metrics in point.scores.items():
                    yield from ((f"curve/{name}/{column}/{m}", own.mean, place) for m, own in metrics.items())
