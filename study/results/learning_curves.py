"""Targets by epoch: the scores that were noted on the way of their training, for every recipe of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from study.record.record import Trial
from study.store.store import Store
from trainables.catalogue import Dataset, dataset

Report = Mapping[str, Any]
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


def by_epoch(trials: Sequence[Trial], store: Store) -> dict[str, Any]:
    """target -> its title, main metrics, columns (train, dev, languages, zero-shot), and the points of every finished trial.

    `scores` of a point has for each column and metric the mean over seeds, their standard deviation (None of one seed),
    and `values`, one per seed, in percent. A point that not every seed reached, since a phase ended early, is left out.
    """
    found: dict[str, Any] = {}
    for trial in trials:
        for target, addresses in trial.evaluations.items():
            if not addresses or not all(store.has(a) for a in addresses):
                continue
            curves = [_curve(a, store) for a in addresses]
            if any(curve is None for curve in curves):
                continue
            d, splits = dataset(target), store.metrics(addresses[0])["splits"]
            shared = [p for p in zip(*(c or [] for c in curves), strict=False) if len({q["step"] for q in p}) == 1]
            keys = _keys(d, splits, shared[0][0]["scores"]) if shared else {}
            about = {"title": d.title, "metrics": list(d.main), "columns": [*keys, ZERO_SHOT], "rows": []}
            found.setdefault(target, about)["rows"].append(
                {"name": trial.name, "address": trial.address, "points": [_point(d, keys, point) for point in shared]}
            )
    return found


def _curve(evaluation: str, store: Store) -> list[dict[str, Any]] | None:
    """The curve of the training that an evaluation's weights went through, and the share of it at each point."""
    address = store.info(evaluation)["parent"]
    while address and (store.small(address) / "stage.json").exists():
        info = store.info(address)
        path = store.small(address) / "curve.json"
        if path.exists():
            epochs = info["config"]["task"]["epochs"]
            return [{**point, "share": point["epoch"] / epochs} for point in json.loads(path.read_text())]
        if info["kind"] != "target":
            break
        address = info["parent"]
    return None


def _keys(d: Dataset, splits: Mapping[str, str], scores: Mapping[str, Any]) -> dict[str, str]:
    """Column -> the rows that it stands for; dev rows are the target's own, or those of its training set."""
    keys = {TRAIN: f"{d.train_on}/en/train"}
    keys[DEV] = next((k for k in (f"{d.name}/en/validation", f"{d.train_on}/en/validation") if k in scores), "")
    keys |= {language: f"{d.name}/{language}/{split}" for language, split in splits.items()}
    if keys[DEV] in (keys.get("en"), ""):  # reported, so no dev rows
        del keys[DEV]
    return {column: key for column, key in keys.items() if key in scores}


def _point(d: Dataset, keys: Mapping[str, str], seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scores = {column: {m: [float(s["scores"][key][m]) for s in seeds] for m in d.main} for column, key in keys.items()}
    others = [column for column in scores if column not in (TRAIN, DEV, "en")]
    if others:
        scores[ZERO_SHOT] = {m: np.mean([scores[c][m] for c in others], axis=0).tolist() for m in d.main}
    summed = {column: {m: _summary(values) for m, values in metrics.items()} for column, metrics in scores.items()}
    return {**{key: seeds[0][key] for key in ("epoch", "step", "share")}, "scores": summed}


def _summary(values: Sequence[float]) -> dict[str, Any]:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": spread, "values": list(values)}


def notes(found: Mapping[str, Any]) -> list[str]:
    """What a reader of the tables must know; nothing where there are none."""
    if not found:
        return []
    return [
        "Scores by epoch are reported as they are: no weights, recipe or end of training was chosen by them.",
        f"“{ZERO_SHOT}” is the mean over the languages without English; a percentage says what it is of.",
    ]


# --- tables ---


def metric_title(metric: str) -> str:
    """intent_accuracy -> intent accuracy; slot_f1_bio, the usual one, -> slot F1."""
    return {"slot_f1_bio": "slot F1"}.get(metric, metric.replace("_", " "))


def places(target: Mapping[str, Any]) -> Iterator[tuple[float, Mapping[str, Any], Mapping[str, Any]]]:
    """(epoch, row, point) of a target, epoch by epoch as the paper prints it."""
    reached = [(point["epoch"], row, point) for row in target["rows"] for point in row["points"]]
    yield from sorted(reached, key=lambda place: place[0])


def score_table(report: Report, name: str, *, spread: bool = True) -> Lines:
    """Epoch x recipe in lines, train, dev and languages in columns; cells as in "78.5/59.0 ±0.8/1.2"."""
    target = report["epochs"][name]
    lines = []
    published = report.get("published", {}).get("epochs", {}).get(name, [])
    for epoch, row, point in places(target):
        cells = [_cell(point["scores"].get(column), spread) for column in target["columns"]]
        lines.append((f"{epoch:g}: {row['name']}", cells))
        theirs = [p for p in published if p["address"] == row["address"] and abs(p["share"] - point["share"]) < 1e-6]
        for p in theirs:
            lines.append((f"  published, epoch {p['epoch']}", [p["cells"].get(c, "-") for c in target["columns"]]))
    what = "/".join(map(metric_title, target["metrics"]))
    return Lines(f"{target['title']} by epoch: {what}", list(target["columns"]), lines)


def _cell(metrics: Mapping[str, Mapping[str, Any]] | None, spread: bool) -> str:
    if not metrics:
        return "-"
    shown = "/".join(f"{m['mean']:.1f}" for m in metrics.values())
    spreads = [m["sd"] for m in metrics.values()]
    if not spread or None in spreads:
        return shown
    return f"{shown} ±{'/'.join(f'{sd:.1f}' for sd in spreads)}"


def changes(report: Report, name: str) -> list[dict[str, Any]]:
    """For every epoch, recipe, column and metric: `baseline`, `value`, `points` and `percent`, which is of the baseline's value.

    A percentage of 0 is None.
    """
    target, base = report["epochs"][name], report["baseline"].get("address")
    found = []
    reference = {epoch: point for epoch, row, point in places(target) if row["address"] == base}
    for epoch, row, point in places(target):
        if row["address"] == base or epoch not in reference:
            continue
        for column, metrics in point["scores"].items():
            for metric, own in metrics.items():
                old = reference[epoch]["scores"].get(column, {}).get(metric)
                if old is None:
                    continue
                points = own["mean"] - old["mean"]
                percent = 100 * points / old["mean"] if old["mean"] else None
                about = {"epoch": epoch, "name": row["name"], "address": row["address"]}
                about |= {"column": column, "metric": metric}
                found.append(
                    {**about, "baseline": old["mean"], "value": own["mean"], "points": points, "percent": percent}
                )
    return found


def change_table(report: Report, name: str) -> Lines:
    """Zero-shot means against the baseline's: in points, and in percent of the baseline's score."""
    target = report["epochs"][name]
    titles = [metric_title(m) for m in target["metrics"]]
    columns = [text for title in titles for text in (f"{title}, points", f"{title}, % of the baseline's")]
    lines: dict[str, list[str]] = {}
    for change in changes(report, name):
        if change["column"] == ZERO_SHOT:
            percent = "-" if change["percent"] is None else f"{change['percent']:+.1f}"
            cells = lines.setdefault(f"{change['epoch']:g}: {change['name']}", [])
            cells += [f"{change['points']:+.1f}", percent]
    return Lines(f"{target['title']}, {ZERO_SHOT} mean against the baseline", columns, list(lines.items()))


def text_tables(report: Report, *, spread: bool = True) -> Iterator[Lines]:
    """The tables of every target that has a curve; a table without lines is left out."""
    for name in report.get("epochs", {}):
        for table in (score_table(report, name, spread=spread), change_table(report, name)):
            if table.lines:
                yield table


def epoch_rows(report: Report, name: str) -> list[list[Any]]:
    """For a CSV file: one line per epoch, recipe, column and metric."""
    target = report["epochs"][name]
    head = ["epoch", "step", "recipe", "address", "column", "metric", "mean", "standard deviation", "seeds"]
    rows: list[list[Any]] = [[*head, "points against the baseline", "percent of the baseline's"]]
    known = {(c["epoch"], c["address"], c["column"], c["metric"]): c for c in changes(report, name)}
    for epoch, row, point in places(target):
        for column, metrics in point["scores"].items():
            for metric, own in metrics.items():
                change = known.get((epoch, row["address"], column, metric), {})
                about = [epoch, point["step"], row["name"], row["address"], column, metric, own["mean"]]
                spread = "" if own["sd"] is None else own["sd"]
                against = ["" if change.get(key) is None else change[key] for key in ("points", "percent")]
                rows.append([*about, spread, len(own["values"]), *against])
    return rows


def points(found: Mapping[str, Any], address: str) -> Iterator[tuple[str, float, int]]:
    """(`curve/target/column/metric`, mean over seeds, epoch) of one recipe, for a tracker.

    Where epochs are not whole numbers, the optimiser step stands for them.
    """
    for name, target in found.items():
        for row in (row for row in target["rows"] if row["address"] == address):
            whole = all(float(point["epoch"]).is_integer() for point in row["points"])
            for point in row["points"]:
                place = int(point["epoch"] if whole else point["step"])
                for column, metrics in point["scores"].items():
                    yield from ((f"curve/{name}/{column}/{m}", own["mean"], place) for m, own in metrics.items())
