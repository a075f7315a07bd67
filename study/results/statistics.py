"""Paired bootstrap intervals over examples and seeds (Efron and Tibshirani 1993; paired because both rows saw the same rows)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from trainables.catalogue import Dataset
from trainables.evaluation.scoring import aggregate, main_score
from trainables.training.schedule import generator

RESAMPLES = 1000
LEVEL = 0.95

Tables = Mapping[str, Mapping[str, np.ndarray]]  # language -> column -> one value per example


def read_scores(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read an evaluation's per-example columns, by language."""
    table = pq.read_table(path)
    languages = table["language"].combine_chunks().dictionary_encode()
    codes = np.asarray(languages.indices)
    order = np.argsort(codes, kind="stable")  # hundreds of pairs of languages: not one pass over all rows for each
    ends = np.searchsorted(codes[order], np.arange(1, len(languages.dictionary)))
    columns = {n: np.asarray(table[n].to_numpy()) for n in table.column_names if n not in ("language", "id")}
    parts = {name: np.split(values[order], ends) for name, values in columns.items()}
    tags = languages.dictionary.to_pylist()
    return {tag: {name: part[n] for name, part in parts.items()} for n, tag in enumerate(tags)}


@lru_cache(maxsize=8)
def _counts(examples: int) -> np.ndarray:
    """float32 [RESAMPLES, examples]: how often each example is in each resample.

    Languages with equally many examples share the counts, since test sets translated from one another have the same
    questions in the same rows, and are not independent.
    """
    rng = generator(0, "bootstrap", examples)
    drawn = rng.integers(0, examples, (RESAMPLES, examples))
    offsets = np.arange(RESAMPLES)[:, None] * examples
    counts = np.bincount((drawn + offsets).ravel(), minlength=RESAMPLES * examples)
    return counts.reshape(RESAMPLES, examples).astype(np.float32)


def resampled_mean(d: Dataset, tables: Tables) -> np.ndarray:
    """float64 [RESAMPLES]: the target's mean over languages in every resample of its examples."""
    by_language = []
    for columns in tables.values():
        examples = len(next(iter(columns.values())))
        by_language.append(np.asarray(main_score(d, aggregate(d, columns, _counts(examples), d.main))))
    return np.asarray(np.mean(by_language, axis=0), dtype=np.float64)


def gain_resamples(row: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """float64 [RESAMPLES]: differences from the baseline on the same seeds and examples, seeds resampled as well.

    Args:
        row, baseline: [seeds, RESAMPLES], one line of `resampled_mean` per seed, of equal shape.
    """
    seeds = len(row)
    rng = generator(0, "bootstrap seeds", seeds)
    drawn = rng.integers(0, seeds, (seeds, RESAMPLES))
    return np.asarray(np.take_along_axis(row - baseline, drawn, axis=0).mean(0))


def interval(resamples: np.ndarray) -> tuple[float, float]:
    """Return the central 95 % of the resamples."""
    tail = (1 - LEVEL) / 2
    return float(np.quantile(resamples, tail)), float(np.quantile(resamples, 1 - tail))


def paired(values: Sequence[float], baseline: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Compute the mean difference of one number per seed, and its interval over seeds; None of one seed."""
    one, other = (np.repeat(np.asarray(side)[:, None], RESAMPLES, axis=1) for side in (values, baseline))
    found = None if len(values) < 2 else interval(gain_resamples(one, other))
    return float(np.mean(values) - np.mean(baseline)), found
