"""Mining of parallel sentences from two pools (Hu et al. 2020).

It uses the ratio margin, as in XTREME for BUCC. The margin is that of Artetxe and Schwenk 2019: the similarity of two
sentences relative to that of each to its neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import numpy as np

from trainables.metrics.formulas import f1_from_counts, unit

NEIGHBOURS = 4
SIMILARITIES = 1 << 25  # maximum number in memory at once: 128 MiB

Mined = tuple[int, int, float]  # row of the source, row of the target, margin
Candidate = tuple[str, str, float]  # the same by id


def margin_candidates(source: np.ndarray, target: np.ndarray, k: int = NEIGHBOURS) -> list[Mined]:
    """Find pairs of rows that may be translations, by descending margin.

    Sides are [n, dim] and [m, dim], and each row is in at most one pair. Each row has k nearest rows of the other side by
    cosine (all if there are fewer). The margin of two neighbours is their cosine over the mean of the two rows' mean cosines to
    their neighbours. The best target of each source and the best source of each target are taken greedily by margin, while it
    is above 0. Of equals the one with the lower row numbers comes first. Rows of zeros are in no pair.
    """
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1]:
        raise ValueError(f"two matrices of equal width are needed, not {source.shape} and {target.shape}")
    if not len(source) or not len(target):
        return []
    x, y = unit(source), unit(target)
    forward, backward = _nearest(x, y, k), _nearest(y, x, k)
    near_forward, near_backward = _cosines(x, y, forward), _cosines(y, x, backward)
    mean_forward, mean_backward = near_forward.mean(1), near_backward.mean(1)
    best_forward = _best(near_forward, forward, mean_forward, mean_backward)
    best_backward = _best(near_backward, backward, mean_backward, mean_forward)
    rows = np.concatenate([np.arange(len(x)), best_backward[0]])
    columns = np.concatenate([best_forward[0], np.arange(len(y))])
    margins = np.concatenate([best_forward[1], best_backward[1]])
    found: list[Mined] = []
    used_rows, used_columns = np.zeros(len(x), bool), np.zeros(len(y), bool)
    for place in np.lexsort((columns, rows, -margins)):
        i, j, margin = int(rows[place]), int(columns[place]), float(margins[place])
        if margin <= 0:
            break
        if not used_rows[i] and not used_columns[j]:
            used_rows[i] = used_columns[j] = True
            found.append((i, j, margin))
    return found


def neighbours(queries: np.ndarray, pool: np.ndarray, k: int) -> np.ndarray:
    """Find the k pool rows of the highest cosine by query.

    They are sorted by descending cosine.

    queries [n, dim], pool [m, dim]; returns int64 [n, min(k, m)]. Of equals the lower row comes first. Blocks of queries are
    compared with the pool, so that two large pools never need one matrix.
    """
    return _nearest(unit(queries), unit(pool), k)


def _nearest(queries: np.ndarray, pool: np.ndarray, k: int) -> np.ndarray:
    """Find the `neighbours` of unit vectors."""
    k = min(k, len(pool))
    found = np.empty((len(queries), k), np.int64)
    block = max(1, SIMILARITIES // max(1, len(pool)))
    for start in range(0, len(queries), block):
        cosines = queries[start : start + block] @ pool.T
        here = np.arange(len(cosines))
        for place in range(k):  # k is small: repeated argmax is faster than a sort, and orders ties by row
            best = np.argmax(cosines, axis=1)
            found[start : start + block, place] = best
            cosines[here, best] = -np.inf
    return found


def _cosines(queries: np.ndarray, pool: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Compute the cosines to the neighbours, float64 [n, k].

    A pair has the same cosine from both sides, independent of blocks.
    """
    found = np.empty(neighbours.shape, np.float64)
    block = max(1, SIMILARITIES // (8 * neighbours.shape[1] * queries.shape[1]))
    for start in range(0, len(queries), block):
        part = slice(start, start + block)
        wide = pool[neighbours[part]].astype(np.float64)
        found[part] = (queries[part, None, :] * wide).sum(-1)
    return found


def _best(
    cosines: np.ndarray, neighbours: np.ndarray, own_mean: np.ndarray, other_mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find each row's neighbour of the highest margin, and its margin.

    An undefined margin is 0.
    """
    mean = (own_mean[:, None] + other_mean[neighbours]) / 2
    margins = np.divide(cosines, mean, out=np.zeros_like(cosines), where=mean != 0)
    highest = margins.max(1, keepdims=True)
    best = np.where(margins == highest, neighbours, np.iinfo(np.int64).max).min(1)
    return best, highest[:, 0]


# ---- sentences ----


def unify(texts: Sequence[str]) -> list[int]:
    """List the first row of each distinct text.

    Equal sentences are searched once, since otherwise each would hide the other.
    """
    first: dict[str, int] = {}
    for row, text in enumerate(texts):
        first.setdefault(text, row)
    return list(first.values())


def occurring_once(texts: Sequence[str]) -> list[bool]:
    """Mark the sentences that occur once, ignoring outer white space."""
    counts = Counter(text.strip() for text in texts)
    return [counts[text.strip()] == 1 for text in texts]


def mine(
    source: tuple[Sequence[str], Sequence[str], np.ndarray],
    target: tuple[Sequence[str], Sequence[str], np.ndarray],
    *,
    k: int = NEIGHBOURS,
    repeated: Literal["drop", "all"] = "drop",
) -> list[Candidate]:
    """Find candidate pairs of two pools, by descending margin.

    Args:
        source, target: (ids, texts, vectors [n, dim]) of the sentences; equal texts count as one sentence.
        repeated: treatment of a sentence that occurs in its pool more than once and so has several ids. "drop" leaves its
            pairs out after the search (XTREME, Hu et al. 2020); "all" returns every combination of the ids.
    """
    sides = []
    for ids, texts, vectors in (source, target):
        if not len(ids) == len(texts) == len(vectors):
            raise ValueError(
                f"{len(ids)} ids, {len(texts)} texts and {len(vectors)} vectors: the numbers must be equal"
            )
        rows = unify(texts)
        if repeated == "drop":
            once = occurring_once(texts)
            names = [[ids[row]] if once[row] else [] for row in rows]
        else:
            of: dict[str, list[str]] = {}
            for name, text in zip(ids, texts, strict=True):
                of.setdefault(text, []).append(name)
            names = [of[texts[row]] for row in rows]
        sides.append((names, np.asarray(vectors)[rows]))
    (sources, x), (targets, y) = sides
    return [(a, b, margin) for i, j, margin in margin_candidates(x, y, k) for a in sources[i] for b in targets[j]]


# ---- threshold and scores ----


def best_threshold(candidates: Iterable[Candidate], gold: Collection[tuple[str, str]]) -> float:
    """Find the margin threshold of the highest F1.

    Of equals it is the first. It is midway between the last pair to extract and the next one; after the last candidate it is
    the margin of that one. 0 if no candidate is right.
    """
    right, ordered = set(gold), sorted(candidates, key=lambda c: -c[2])
    threshold, best, correct = 0.0, 0.0, 0
    for taken, (source, target, margin) in enumerate(ordered, 1):
        correct += (source, target) in right
        f1 = f1_from_counts(correct, taken, len(right))
        if f1 > best:
            following = ordered[taken][2] if taken < len(ordered) else margin
            best, threshold = f1, (margin + following) / 2
    return threshold


def extract(candidates: Iterable[Candidate], threshold: float) -> list[tuple[str, str]]:
    """Return the pairs with a margin of at least the threshold."""
    return [(source, target) for source, target, margin in candidates if margin >= threshold]


def pair_scores(found: Iterable[tuple[str, str]], gold: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Compute `f1`, `precision` and `recall` of pairs, in percent."""
    ours, golds = set(found), set(gold)
    return count_scores(len(ours & golds), len(ours), len(golds))


def count_scores(right: int, predicted: int, gold: int) -> dict[str, float]:
    """Compute `f1`, `precision` and `recall` from counts, in percent.

    They are 0 if a divisor is 0.
    """
    return {
        "f1": 100 * f1_from_counts(right, predicted, gold),
        "precision": 100 * right / predicted if predicted else 0.0,
        "recall": 100 * right / gold if gold else 0.0,
    }
