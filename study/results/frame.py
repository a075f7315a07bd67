"""A study's scores as pandas tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from study.record.record import Record
from study.results.report import Interval, Report
from study.results.transfer_matrix import build
from study.store.store import Store

if TYPE_CHECKING:
    import pandas

COLUMNS = ("recipe", "target", "language", "metric", "seed", "split", "value", "gain", "interval")
Line = tuple[str, str, str, str, int, str, float, float, Interval | None]


def tidy_frame(record: Record, store: Store) -> pandas.DataFrame:
    """Return every score, one line per recipe, target, language, metric and seed.

    Columns: recipe, target, language, metric, seed, split (of the language's rows), value (points), gain (points above the
    baseline with the same seed; NaN without one), interval ((low, high) of the recipe's mean gain on the target over its
    languages and seeds, 95 %; None for the baseline).
    """
    import pandas

    return pandas.DataFrame(_lines(record, store), columns=list(COLUMNS))


def _lines(record: Record, store: Store) -> Iterator[Line]:
    report, trials = build(record, store), record.trials()
    baseline = trials[report.baseline.address] if report.baseline else None
    for row in report.matrix:
        for target, cell in row.targets.items():
            reference = baseline.evaluations.get(target, []) if baseline else []
            for seed, evaluation in enumerate(trials[row.address].evaluations[target]):
                own = store.metrics(evaluation)
                base = store.metrics(reference[seed]).languages if seed < len(reference) else {}
                for language, metrics in own.languages.items():
                    for metric, value in metrics.items():
                        gain = value - base.get(language, {}).get(metric, float("nan"))
                        split = own.splits[language]
                        yield row.name, target, language, metric, seed, split, value, gain, cell.interval


def matrix_frame(report: Report) -> pandas.DataFrame:
    """Return the transfer matrix: the baseline's scores, then differences from it, in points; NaN = not finished."""
    import pandas

    rows = {}
    for row in report.matrix:
        absolute = report.is_baseline(row.address)
        found: dict[str, float | None] = {}
        for target in report.targets:
            cell = row.targets.get(target.name)
            found[target.title] = None if cell is None else cell.mean if absolute else cell.gain
        rows[row.name] = {**found, "average": row.average if absolute else row.gain}
    columns = [*(target.title for target in report.targets), "average"]
    return pandas.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)
