"""A study's scores as pandas tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from study.record.record import Record
from study.results.transfer_matrix import build
from study.store.store import Store

if TYPE_CHECKING:
    import pandas

COLUMNS = ("recipe", "target", "language", "metric", "seed", "split", "value", "gain", "interval")


def tidy_frame(record: Record, store: Store) -> pandas.DataFrame:
    """Every score, one line per recipe, target, language, metric and seed.

    Columns: recipe, target, language, metric, seed, split (of the language's rows), value (points), gain (points above the
    baseline with the same seed; NaN without one), interval ((low, high) of the recipe's mean gain on the target over its
    languages and seeds, 95 %; None for the baseline).
    """
    import pandas

    return pandas.DataFrame(_lines(record, store), columns=list(COLUMNS))


def _lines(record: Record, store: Store) -> Iterator[tuple[Any, ...]]:
    report, trials = build(record, store), record.trials()
    baseline = trials.get(report["baseline"].get("address", ""))
    for row in report["matrix"]:
        for target, cell in row["targets"].items():
            bounds = tuple(cell["interval"]) if cell["interval"] else None
            reference = baseline.evaluations.get(target, []) if baseline else []
            for seed, evaluation in enumerate(trials[row["address"]].evaluations[target]):
                own = store.metrics(evaluation)
                base = store.metrics(reference[seed])["languages"] if seed < len(reference) else {}
                for language, metrics in own["languages"].items():
                    for metric, value in metrics.items():
                        gain = value - base.get(language, {}).get(metric, float("nan"))
                        split = own["splits"][language]
                        yield row["name"], target, language, metric, seed, split, value, gain, bounds


def matrix_frame(report: Mapping[str, Any]) -> pandas.DataFrame:
    """The transfer matrix: the baseline's scores, then each recipe's differences from it, in points; NaN = not finished."""
    import pandas

    titles = {target["name"]: target["title"] for target in report["targets"]}
    rows = {}
    for row in report["matrix"]:
        absolute = row["address"] == report["baseline"].get("address")
        cells = {title: row["targets"].get(name) for name, title in titles.items()}
        found = {title: cell and cell["mean" if absolute else "gain"] for title, cell in cells.items()}
        rows[row["name"]] = {**found, "average": row["average" if absolute else "gain"]}
    return pandas.DataFrame.from_dict(rows, orient="index", columns=[*titles.values(), "average"], dtype=float)
