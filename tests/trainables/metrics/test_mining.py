"""Bitext mining: published examples, ties, blocks and repeated sentences."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from trainables.catalogue import dataset
from trainables.evaluation.evaluation import PREDICTIONS, _predictions, _write
from trainables.evaluation.scoring import with_metrics
from trainables.examples import Pair
from trainables.formats.mining import score_mining
from trainables.metrics import mining
from trainables.metrics.formulas import unit
from trainables.metrics.mining import (
    best_threshold,
    extract,
    margin_candidates,
    mine,
    neighbours,
    occurring_once,
    pair_scores,
    unify,
)

SOURCE = np.array([[1, 0, 0], [0, 1, 0], [0, 0.2, 1]], np.float32)
TARGET = np.array([[0.9, 0.1, 0], [0, 1, 0.1], [0.1, 0, 1], [0.6, 0.6, 0]], np.float32)


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("k", "margins"), [(4, (2.7270, 2.4081, 2.2553)), (9, (2.7270, 2.4081, 2.2553)), (2, (1.6653, 1.4171, 1.3312))]
)
def test_the_published_toy_pools_give_the_published_pairs(k: int, margins: tuple[float, ...]) -> None:
    """Target 3 is near two sources and stays unused; k above the pool is the whole pool."""
    found = margin_candidates(SOURCE, TARGET, k)
    assert [(i, j) for i, j, _ in found] == [(2, 2), (0, 0), (1, 1)]
    assert [margin for _, _, margin in found] == pytest.approx(margins, abs=5e-5)
    longer = margin_candidates(7 * SOURCE, 0.01 * TARGET, k)  # only directions count
    assert [c[:2] for c in longer] == [c[:2] for c in found]
    assert [c[2] for c in longer] == pytest.approx(margins, abs=5e-5)


@pytest.mark.protocol
def test_the_published_mean_similarities_of_neighbours() -> None:
    x, y = unit(SOURCE), unit(TARGET)
    forward, backward = neighbours(SOURCE, TARGET, 4), neighbours(TARGET, SOURCE, 4)
    assert forward.shape == (3, 4) and backward.shape == (4, 3)
    assert mining._cosines(x, y, forward).mean(1) == pytest.approx([0.4501, 0.4531, 0.3572], abs=5e-5)
    assert mining._cosines(y, x, backward).mean(1) == pytest.approx([0.3753, 0.4293, 0.3584, 0.5176], abs=5e-5)


CANDIDATES = [("a0", "b0", 1.30), ("a1", "b1", 1.20), ("a2", "b9", 1.10), ("a3", "b3", 1.05), ("a4", "b4", 1.00)]
GOLD = {("a0", "b0"), ("a1", "b1"), ("a3", "b3")}


@pytest.mark.protocol
def test_the_published_threshold_and_its_scores() -> None:
    threshold = best_threshold(CANDIDATES, GOLD)
    assert threshold == pytest.approx(1.025)
    found = extract(CANDIDATES, threshold)
    assert len(found) == 4
    assert pair_scores(found, GOLD) == pytest.approx({"precision": 75, "recall": 100, "f1": 85.714}, abs=5e-4)
    more = GOLD | {("a7", "b7")}
    assert best_threshold(CANDIDATES, more) == pytest.approx(1.025)
    assert pair_scores(extract(CANDIDATES, 1.025), more) == pytest.approx({"precision": 75, "recall": 75, "f1": 75})


@pytest.mark.protocol
def test_the_threshold_after_the_last_candidate_is_its_own_margin() -> None:
    gold = {(a, b) for a, b, _ in CANDIDATES}
    assert best_threshold(CANDIDATES, gold) == 1.00
    assert extract(CANDIDATES, 1.00) == [(a, b) for a, b, _ in CANDIDATES]
    assert best_threshold([("a", "b", 0.7)], {("a", "b")}) == 0.7


def test_thresholds_of_nothing_right_of_ties_and_of_any_order() -> None:
    assert best_threshold(CANDIDATES, {("a9", "b9")}) == best_threshold([], GOLD) == best_threshold(CANDIDATES, ()) == 0
    assert best_threshold(CANDIDATES[::-1], GOLD) == best_threshold(CANDIDATES, GOLD)
    tied = [("a0", "b0", 1.0), ("a1", "b9", 1.0), ("a2", "b8", 0.5)]
    assert best_threshold(tied, {("a0", "b0")}) == 1.0  # what is tied with the last one is extracted too
    assert pair_scores([], GOLD) == {"f1": 0, "precision": 0, "recall": 0} == pair_scores(GOLD, [])


def by_definition(source: np.ndarray, target: np.ndarray, k: int) -> dict[tuple[int, int], float]:
    """Compute the margins of all neighbour pairs, one pair at a time."""
    x = source / np.linalg.norm(source, axis=1, keepdims=True)
    y = target / np.linalg.norm(target, axis=1, keepdims=True)
    cosines = (x @ y.T).astype(np.float64)
    forward, backward = np.argsort(-cosines, 1)[:, :k], np.argsort(-cosines, 0)[:k]
    means = np.sort(cosines, 1)[:, -k:].mean(1), np.sort(cosines, 0)[-k:].mean(0)
    pairs = {(i, int(j)) for i in range(len(x)) for j in forward[i]}
    pairs |= {(int(i), j) for j in range(len(y)) for i in backward[:, j]}
    margins = {(i, j): cosines[i, j] / ((means[0][i] + means[1][j]) / 2) for i, j in pairs}
    best = {max(((m, p) for p, m in margins.items() if p[0] == i and p[1] in forward[i]))[1] for i in range(len(x))}
    best |= {
        max(((m, p) for p, m in margins.items() if p[1] == j and p[0] in backward[:, j]))[1] for j in range(len(y))
    }
    found: dict[tuple[int, int], float] = {}
    for i, j in sorted(best, key=lambda p: -margins[p]):
        if margins[i, j] > 0 and i not in {a for a, _ in found} and j not in {b for _, b in found}:
            found[i, j] = margins[i, j]
    return found


@pytest.mark.parametrize(("n", "m"), [(30, 50), (50, 30), (3, 60), (1, 1), (2, 5)])
def test_pairs_are_those_of_the_definition_whatever_the_block(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(n)
    shared = rng.normal(size=(60, 8))
    source = (shared[:n] + 0.3 * rng.normal(size=(n, 8)) + 1).astype(np.float32)
    target = (shared[:m] + 0.3 * rng.normal(size=(m, 8)) + 1).astype(np.float32)
    found = margin_candidates(source, target)
    expected = by_definition(source, target, 4)
    assert {(i, j): margin for i, j, margin in found} == pytest.approx(expected, rel=1e-5)
    assert [c[2] for c in found] == sorted((c[2] for c in found), reverse=True)
    assert len({i for i, _, _ in found}) == len({j for _, j, _ in found}) == len(found)
    monkeypatch.setattr(mining, "SIMILARITIES", 7 * m)
    assert margin_candidates(source, target) == found


def test_ties_go_to_the_lower_rows() -> None:
    same = np.ones((3, 2), np.float32)
    assert [(i, j) for i, j, _ in margin_candidates(same, same)] == [(0, 0)]  # all rows propose their first neighbour
    two = np.array([[1, 0], [0, 1]], np.float32)
    assert margin_candidates(two, two[::-1]) == [(0, 1, 2.0), (1, 0, 2.0)]


def test_neighbours_come_by_cosine_and_then_by_row() -> None:
    pool = np.array([[9, 9], [0, 1], [2, 0], [1, 1]], np.float32)
    assert neighbours(np.array([[1, 1], [1, 0]]), pool, 3).tolist() == [[0, 3, 1], [2, 0, 3]]
    assert neighbours(np.empty((0, 2)), pool, 3).shape == (0, 3) and neighbours(pool, np.empty((0, 2)), 3).shape == (
        4,
        0,
    )


def test_no_pair_without_likeness() -> None:
    assert margin_candidates(np.zeros((2, 3)), np.ones((2, 3))) == []
    assert (
        margin_candidates(np.empty((0, 3)), np.ones((2, 3)))
        == margin_candidates(np.ones((2, 3)), np.empty((0, 3)))
        == []
    )
    with pytest.raises(ValueError, match="equal width"):
        margin_candidates(np.ones((2, 3)), np.ones((2, 4)))


def test_repeated_sentences_are_searched_once_and_then_dropped() -> None:
    """The second "b" would halve the margin of the first.

    XTREME leaves its pair out, since its id is not known.
    """
    texts = ["a", "b", "c", "b"]
    assert unify(texts) == [0, 1, 2]
    assert occurring_once([*texts, "a "]) == [False, False, True, False, False]
    source = (["s0", "s1", "s2", "s3"], texts, SOURCE[[0, 1, 2, 1]])
    target = (["t0", "t1", "t2", "t3"], ["A", "B", "C", "D"], TARGET)
    found = mine(source, target)
    assert [c[:2] for c in found] == [("s2", "t2"), ("s0", "t0")]
    assert [c[2] for c in found] == pytest.approx([2.7270, 2.4081], abs=5e-5)
    every = mine(source, target, repeated="all")
    assert [c[:2] for c in every] == [("s2", "t2"), ("s0", "t0"), ("s1", "t1"), ("s3", "t1")]
    with pytest.raises(ValueError, match="the numbers must be equal"):
        mine((["s0"], texts, SOURCE), target)


def test_pools_of_thousands_take_seconds_and_little_memory() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(4000, 32)).astype(np.float32)
    source, target = shared + 0.1 * rng.normal(size=shared.shape), shared[::-1]
    start = time.perf_counter()
    found = margin_candidates(source, target)
    assert time.perf_counter() - start < 20
    assert sum(i + j == 3999 for i, j, _ in found) > 3900


def test_a_language_without_an_extracted_pair_has_no_predictions(tmp_path: Path) -> None:
    pairs, d = [Pair("1", "a-1", "b-1")], dataset("bucc2018")
    none, one = (with_metrics(d, score_mining(d, pairs, found)) for found in ([], [("a-1", "b-1")]))
    assert none.metrics["f1"] == 0
    _write(tmp_path / "p.parquet", [_predictions("de", none), _predictions("fr", one)], PREDICTIONS)
    assert pq.read_table(tmp_path / "p.parquet").to_pylist() == [{"language": "fr", "id": "a-1", "prediction": "b-1"}]
