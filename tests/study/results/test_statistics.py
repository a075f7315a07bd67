"""Intervals: nominal coverage, pairing, resampling of examples.

Examples rather than averages are resampled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.results.statistics import RESAMPLES, gain_resamples, interval, read_scores, resampled_mean
from trainables.catalogue import dataset

XNLI, PANX, XQUAD = dataset("xnli"), dataset("panx"), dataset("xquad")
Tables = dict[str, dict[str, np.ndarray]]


def accuracy(**right: Any) -> Tables:
    """Map languages to an XNLI table with these examples right."""
    return {tag: {"correct": np.asarray(values, dtype=np.int64)} for tag, values in right.items()}


def gain_interval(row: list[Tables], baseline: list[Tables]) -> tuple[float, float]:
    by_seed = [np.stack([resampled_mean(XNLI, tables) for tables in seeds]) for seeds in (row, baseline)]
    return interval(gain_resamples(*by_seed))


def simulate(rng: np.random.Generator, seeds: int, share: bool, luck: float) -> tuple[list[Tables], list[Tables]]:
    """Draw a baseline with p = 0.5 and a row with p = 0.56.

    Both depend on how hard each example is (so paired).

    Args:
        share: whether a language has translations of the English rows.
        luck: spread of p from one training run to the next.
    """
    rows: tuple[list[Tables], list[Tables]] = [], []
    hard = {tag: rng.random(n) for tag, n in {"en": 150, "de": 150, "sw": 90}.items()}
    if share:
        hard["de"] = hard["en"]
    for _ in range(seeds):
        for one, p in zip(rows, (0.5, 0.56), strict=True):
            p += luck * rng.normal()
            # Half the sum of two uniforms lies below this with probability p.
            threshold = 1 - np.sqrt((1 - p) / 2) if p >= 0.5 else np.sqrt(p / 2)
            one.append(accuracy(**{tag: 0.5 * (h + rng.random(len(h))) < threshold for tag, h in hard.items()}))
    return rows


@pytest.mark.parametrize(
    ("seeds", "share", "luck", "at_most"), [(1, True, 0.0, 0.985), (1, False, 0.0, 0.985), (3, True, 0.02, 1.0)]
)
def test_the_interval_covers_the_true_difference_about_as_often_as_it_says(
    seeds: int, share: bool, luck: float, at_most: float
) -> None:
    """With several seeds it is a little wide.

    The variation by example and seed is drawn twice (Owen 2007).
    """
    rng, times = np.random.default_rng(7), 300
    covered, widths = 0, []
    for _ in range(times):
        baseline, row = simulate(rng, seeds, share, luck)
        low, high = gain_interval(row, baseline)
        covered += low <= 6.0 <= high
        widths.append(high - low)
    assert 0.91 <= covered / times <= at_most
    assert 2.0 < np.mean(widths) < 15.0  # it does not cover by being wide


def test_identical_rows_differ_by_nothing() -> None:
    tables = [accuracy(en=np.arange(50) % 3 == 0, sw=np.arange(30) % 2), accuracy(en=np.ones(50), sw=np.zeros(30))]
    assert gain_interval(tables, tables) == (0.0, 0.0)


def test_a_clear_gain_excludes_zero_and_noise_does_not() -> None:
    rng = np.random.default_rng(0)
    baseline = rng.random(400) < 0.5
    better = baseline | (rng.random(400) < 0.3)
    low, high = gain_interval([accuracy(en=better)], [accuracy(en=baseline)])
    gain = 100 * (better.mean() - baseline.mean())
    assert 0 < low < gain < high
    low, high = gain_interval([accuracy(en=rng.random(400) < 0.5)], [accuracy(en=baseline)])
    assert low < 0 < high
    assert gain_interval([accuracy(en=baseline)], [accuracy(en=better)])[1] < 0


def test_differences_are_paired_by_example_and_seed() -> None:
    """Examples that both get right add no spread, and neither do seeds that move together.

    The row is right wherever the baseline is, and on one more example in ten.
    """
    rng = np.random.default_rng(1)
    seeds = []
    for level in (0.2, 0.5, 0.8):
        right = rng.random(300) < level
        seeds.append((right, right | (np.arange(300) % 10 == 0)))
    paired = gain_interval([accuracy(en=b) for _, b in seeds], [accuracy(en=a) for a, _ in seeds])
    crossed = gain_interval([accuracy(en=b) for _, b in seeds], [accuracy(en=a) for a, _ in seeds[::-1]])
    assert paired[1] - paired[0] < 0.3 * (crossed[1] - crossed[0])


def test_seeds_that_disagree_widen_the_interval() -> None:
    base = np.arange(300) % 2 == 0
    agree, less = base | (np.arange(300) % 10 == 1), base & (np.arange(300) % 10 != 0)
    more = base | (np.arange(300) % 10 == 1) | (np.arange(300) % 10 == 3) | (np.arange(300) % 10 == 5)
    same = gain_interval([accuracy(en=agree)] * 2, [accuracy(en=base)] * 2)
    apart = gain_interval([accuracy(en=less), accuracy(en=more)], [accuracy(en=base)] * 2)
    assert apart[1] - apart[0] > 2 * (same[1] - same[0])


def chunks(tp: list[int], predicted: list[int], gold: list[int]) -> Tables:
    columns = {"tp": tp, "predicted": predicted, "gold": gold}
    return {"en": {name: np.asarray(values) for name, values in columns.items()}}


def test_f1_of_a_resample_is_computed_from_its_counts_and_not_averaged() -> None:
    """Half the sentences have one chunk, found; half have nine, none found.

    F1 is 2*1/(1+1+0+9), not the mean, 50.
    """
    tables = chunks([1, 0] * 100, [1, 0] * 100, [1, 9] * 100)
    found = resampled_mean(PANX, {"en": {**tables["en"]}})
    assert abs(found.mean() - 100 * 2 / 11) < 0.5 and found.max() < 35


def test_the_mean_is_over_languages_and_question_answering_uses_both_scores() -> None:
    """A language with few examples weighs as much as one with many."""
    found = resampled_mean(XNLI, accuracy(en=np.ones(300), sw=np.zeros(20)))
    assert found.shape == (RESAMPLES,) and np.allclose(found, 50.0)
    answers = {"en": {"f1": np.full(40, 0.75), "exact_match": np.full(40, 0.25)}}
    assert np.allclose(resampled_mean(XQUAD, answers), 50.0)


def test_resamples_are_the_same_in_every_run_and_shared_by_translated_test_sets() -> None:
    right = np.arange(200) % 7 == 0
    one, two = (resampled_mean(XNLI, accuracy(en=right, sw=right)) for _ in range(2))
    assert np.array_equal(one, two) and np.array_equal(one, resampled_mean(XNLI, accuracy(en=right)))


def test_the_interval_holds_the_central_95_percent() -> None:
    assert interval(np.arange(1001.0)) == pytest.approx([25.0, 975.0])


def test_scores_are_read_by_language_in_the_order_of_the_file(tmp_path: Path) -> None:
    table = pa.table({"language": ["en", "en", "de"], "id": ["1", "2", "1"], "correct": [1, 0, 1]})
    pq.write_table(table, tmp_path / "scores.parquet")
    found = read_scores(tmp_path / "scores.parquet")
    assert list(found) == ["en", "de"] and {tag: list(t) for tag, t in found.items()} == {
        "en": ["correct"],
        "de": ["correct"],
    }
    assert found["en"]["correct"].tolist() == [1, 0]
