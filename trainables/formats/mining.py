"""Mining of translations from two pools (BUCC).

Pairs with a margin above a threshold are compared with gold pairs of ids.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from trainables.encoding.rows import all_of
from trainables.errors import DataError
from trainables.examples import Pair
from trainables.formats.format import DatasetSpec, ExampleScores, Format, SentenceReader
from trainables.metrics.mining import Candidate, best_threshold, extract, mine
from trainables.metrics.samples import COUNTS, OF_COUNTS
from trainables.recipe import Direction


class BitextMining(Format):
    """Mining with a threshold from dev pools.

    Predictions are (source id, target id) of extracted pairs.
    """

    kind = "mining"
    retrieves = True
    pooled = True
    dev_pools = True
    scored_length = "retrieval_max_length"
    rules = OF_COUNTS

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        return COUNTS

    def retrieve(self, d: DatasetSpec, reader: SentenceReader, split: str, direction: Direction) -> ExampleScores:
        gold = all_of(Pair, reader.examples(split))
        dev = all_of(Pair, reader.examples("validation"))
        threshold = best_threshold(_mined(reader, "validation"), {(p.source, p.target) for p in dev})
        return score_mining(d, gold, extract(_mined(reader, split), threshold))


def _mined(reader: SentenceReader, split: str) -> list[Candidate]:
    pools = [reader.pool(split, "source"), reader.pool(split, "target")]
    source, target = (([t.id for t in pool], [t.text for t in pool], reader.vectors(pool)) for pool in pools)
    return mine(source, target)


def score_mining(d: DatasetSpec, pairs: Sequence[Pair], extracted: Sequence[tuple[str, str]]) -> ExampleScores:
    """Score extracted pairs as XTREME does for BUCC (Hu et al. 2020).

    Pairs are (source id, target id). There is a row for each gold pair, so that any two systems can be compared row by row.
    Its "predicted" counts the pair itself and its share of the wrong pairs, which are distributed by a hash of their source
    id.
    """
    gold, found = list(dict.fromkeys((p.source, p.target) for p in pairs)), set(extracted)
    if not gold:
        raise DataError(f"{d.name}: no gold pairs to score")
    right = np.array([pair in found for pair in gold], np.int64)
    wrong = np.zeros(len(gold), np.int64)
    for source, _ in found.difference(gold):
        wrong[zlib.crc32(source.encode()) % len(gold)] += 1
    values = {"tp": right, "predicted": right + wrong, "gold": np.ones_like(right)}
    return ExampleScores(["\t".join(pair) for pair in gold], values, tuple(dict.fromkeys(extracted)))
