"""Ranking of a pool's candidates by query (LAReQA, Mewsli-X).

Examples are gold pairs of ids over two pools.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from trainables.encoding.rows import all_of
from trainables.errors import DataError
from trainables.examples import Pair
from trainables.formats.format import DatasetSpec, ExampleScores, Format, SentenceReader
from trainables.metrics.formulas import average_precision, reciprocal_rank
from trainables.metrics.mining import neighbours
from trainables.recipe import Direction

RANKED = 20  # number of candidates of a ranking that are scored
RANKINGS = {"map_at_20": average_precision, "mrr": reciprocal_rank}


class Ranking(Format):
    """Predictions are JSON lists of the 20 best candidate ids."""

    kind = "ranking"
    retrieves = True
    pooled = True
    scored_length = "retrieval_max_length"
    assumed_tokens = 200

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        return tuple(metric for metric in RANKINGS if metric in metrics)

    def retrieve(self, d: DatasetSpec, reader: SentenceReader, split: str, direction: Direction) -> ExampleScores:
        gold = all_of(Pair, reader.examples(split))
        queries, candidates = reader.pool(split, "source"), reader.pool(split, "target")
        found = neighbours(reader.vectors(queries), reader.vectors(candidates), RANKED)
        rankings = [[candidates[i].id for i in row] for row in found]
        return score_ranking(d, gold, [q.id for q in queries], rankings)


def score_ranking(
    d: DatasetSpec, pairs: Sequence[Pair], queries: Sequence[str], rankings: Sequence[Sequence[str]]
) -> ExampleScores:
    """Score rankings as in XTREME-R (Ruder et al. 2021).

    Metrics are AP@20 (LAReQA) and reciprocal rank (Mewsli-X).

    rankings[i]: candidate ids for queries[i], best first, of which 20 count. Queries without a gold pair are not scored;
    one with gold pairs but no ranking is a DataError.
    """
    gold: dict[str, set[str]] = {}
    for pair in pairs:
        gold.setdefault(pair.source, set()).add(pair.target)
    ranked = dict(zip(queries, rankings, strict=True))
    missing = [query for query in gold if query not in ranked]
    if missing or not gold:
        raise DataError(f"{d.name}: {len(gold)} queries with gold pairs, {len(missing)} of them without a ranking")
    values = {
        metric: np.array([rule(ranked[query], right, RANKED) for query, right in gold.items()])
        for metric, rule in RANKINGS.items()
    }
    best = ((query, json.dumps(list(ranked[query][:RANKED]), ensure_ascii=False)) for query in gold)
    return ExampleScores(list(gold), values, tuple(best))
