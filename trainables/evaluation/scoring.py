"""Predictions become scores per example; every metric is then recomputed from those, for any weighting of examples.

Outputs, as numpy arrays: labelled logits [items, labels], choice logits [items, choices], regression floats [items] or
[items, 1], span start and end logits [T, 2], words predicted tag ids [T], intent predicted tag ids [T] with the intent
id at the first token of each row, where T counts the tokens of `Encoded.tokens`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from trainables.catalogue import Dataset
from trainables.encoding.decode import predict_intents, predict_spans, predict_tags
from trainables.encoding.formats import Encoded
from trainables.errors import BadInput, DataError
from trainables.evaluation.metrics import (
    average_precision,
    best_at_threshold,
    character_f1,
    chunk_counts,
    matthews,
    mlqa_scores,
    nearest,
    pearson,
    rebuild_bio,
    reciprocal_rank,
    spearman,
    squad2_scores,
    squad_scores,
)
from trainables.examples import Bitext, Choice, Example, Labelled, Pair, Rated, Span, Utterance, Words, split_joint
from trainables.recipe import Direction

Table = Mapping[str, Any]  # column name -> one value per example
Values = dict[str, np.ndarray]

POSITIVE = 1  # the class that a two-way classification's F1 is about
RANKED = 20  # candidates of a ranking that count
COUNTS = ("tp", "predicted", "gold")
NULL = ("null_odds", "unanswerable", "span_f1", "span_exact_match")
RANKINGS = {"map_at_20": average_precision, "mrr": reciprocal_rank}


@dataclass(frozen=True)
class Scored:
    """Metrics in percent; "id" plus `columns(dataset)` for each example, in the order of the examples; predictions.

    predictions: (id, prediction). labelled, choice: a label name; span: an answer; words: tags joined by spaces;
    intent: the intent, a tab, the tags; regression: a number; bitext: the row found; mining: the target id of a source
    id, for each extracted pair; ranking: a JSON list of the 20 best candidate ids.
    """

    metrics: dict[str, float]
    table: dict[str, Any]
    predictions: tuple[tuple[str, str], ...]


def columns(d: Dataset) -> tuple[str, ...]:
    """What a score keeps of each example besides its id.

    Counts: "correct" of "words" (without it: of 1), and "tp", "predicted", "gold" of class 1, chunks or pairs (of an
    intent dataset's chunks once for the slots as they are and once rebuilt). Fractions: "f1", "exact_match",
    "f1_characters", "intent_accuracy", "joint_accuracy", "map_at_20", "mrr". Of questions that may have no answer also
    what the best threshold is found from, see `metrics.best_at_threshold`. Of numbers "gold" and "predicted" themselves.
    """
    if d.kind == "span":
        found = ["f1", "exact_match", *(["f1_characters"] if "f1_characters" in d.metrics else [])]
        return (*found, *(NULL if _has_null(d) else ()))
    if d.kind == "regression":
        return ("gold", "predicted")
    if d.kind == "intent":
        return ("intent_accuracy", "joint_accuracy", *COUNTS, *(f"rebuilt_{name}" for name in COUNTS))
    if d.kind == "mining":
        return COUNTS
    if d.kind == "ranking":
        return tuple(metric for metric in RANKINGS if metric in d.metrics)
    counts = COUNTS if {"f1", "mcc"} & set(d.metrics) else ()
    return (*counts, "correct", "words") if d.kind == "words" else (*counts, "correct")


def score(
    d: Dataset,
    language: str,
    examples: Sequence[Example],
    encoded: Encoded,
    outputs: np.ndarray,
    labels: Sequence[str] | None = None,
) -> Scored:
    """Scores of one language.

    labels: what the outputs' ids stand for, by default the dataset's own labels; of an intent dataset the head's, see
    `examples.split_joint`. MLQA's answers are compared by the rules of `language`.

    Raises DataError when there is nothing to score or when outputs, rows and examples do not belong together.
    """
    by_item = d.kind in ("labelled", "choice", "regression")
    expected = encoded.num_items if by_item else len(encoded.tokens)
    if not examples or len(examples) != encoded.num_examples or len(outputs) != expected:
        raise DataError(
            f"{d.name}/{language}: {len(examples)} examples to score, {encoded.num_examples} encoded, "
            f"{len(outputs)} outputs where {expected} were expected"
        )
    names = d.labels if d.kind == "choice" else labels or d.labels  # choices are the dataset's, not the head's
    if d.kind in ("labelled", "choice"):
        values, predicted = _classes(cast("Sequence[Labelled | Choice]", examples), outputs, names)
    elif d.kind == "regression":
        values, predicted = _numbers(cast("Sequence[Rated]", examples), outputs)
    elif d.kind == "span":
        values, predicted = _answers(d, language, cast("Sequence[Span]", examples), encoded, outputs)
    elif d.kind == "words":
        values, predicted = _tags(d, cast("Sequence[Words]", examples), encoded, outputs, names)
    elif d.kind == "intent":
        values, predicted = _intents(d, cast("Sequence[Utterance]", examples), encoded, outputs, names)
    else:
        raise ValueError(f"{d.name}: {d.kind} has no outputs per example to score")
    ids = [e.id for e in examples]
    return _scored(d, ids, values, zip(ids, predicted, strict=True))


def score_retrieval(
    d: Dataset,
    examples: Sequence[Bitext],
    source_vectors: np.ndarray,
    target_vectors: np.ndarray,
    direction: Direction = "en_to_xx",
) -> Scored:
    """Tatoeba as in XTREME (Hu et al. 2020): for each English sentence, is the nearest source its own translation?

    source_vectors (non-English) and target_vectors (English): float32 [n, dim], row i for examples[i]; nearest by
    cosine, without a margin. direction "xx_to_en" asks for the nearest English sentence of each source.
    """
    if not examples or not len(examples) == len(source_vectors) == len(target_vectors):
        raise DataError(
            f"{d.name}: {len(examples)} pairs, {len(source_vectors)} source and {len(target_vectors)} target vectors"
        )
    sides = (target_vectors, source_vectors) if direction == "en_to_xx" else (source_vectors, target_vectors)
    found = nearest(*sides)
    ids, right = [e.id for e in examples], (found == np.arange(len(examples))).astype(np.int64)
    return _scored(d, ids, {"correct": right}, zip(ids, map(str, found.tolist()), strict=True))


def score_mining(d: Dataset, pairs: Sequence[Pair], extracted: Sequence[tuple[str, str]]) -> Scored:
    """BUCC (Hu et al. 2020): F1, precision and recall of the set of extracted (source id, target id) pairs.

    The table has a row for each gold pair, so that any two systems can be compared row by row. Its "predicted" counts
    the pair itself and its share of the wrong ones, which are dealt out by a hash of their source id.
    """
    gold, found = list(dict.fromkeys((p.source, p.target) for p in pairs)), set(extracted)
    if not gold:
        raise DataError(f"{d.name}: no gold pairs to score")
    right = np.array([pair in found for pair in gold], np.int64)
    wrong = np.zeros(len(gold), np.int64)
    for source, _ in found.difference(gold):
        wrong[zlib.crc32(source.encode()) % len(gold)] += 1
    values = {"tp": right, "predicted": right + wrong, "gold": np.ones_like(right)}
    return _scored(d, ["\t".join(pair) for pair in gold], values, dict.fromkeys(extracted))


def score_ranking(
    d: Dataset, pairs: Sequence[Pair], queries: Sequence[str], rankings: Sequence[Sequence[str]]
) -> Scored:
    """Mean over the queries of AP@20 (LAReQA) or reciprocal rank (Mewsli-X), both as in XTREME-R (Ruder et al. 2021).

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
    return _scored(d, list(gold), values, best)


# ---- from predictions to a value per example ----


def _has_null(d: Dataset) -> bool:
    return "best_f1" in d.metrics or "best_exact_match" in d.metrics


def _scored(
    d: Dataset, ids: list[str], values: Mapping[str, np.ndarray], predictions: Iterable[tuple[str, str]]
) -> Scored:
    table = {"id": ids} | {column: values[column] for column in columns(d)}
    return Scored(aggregate(d, table), table, tuple(predictions))


def _named(ids: Sequence[int], names: Sequence[str]) -> list[str]:
    return [names[i] for i in ids] if names else [str(i) for i in ids]


def _classes(
    examples: Sequence[Labelled | Choice], logits: np.ndarray, names: Sequence[str]
) -> tuple[Values, list[str]]:
    gold = np.array([e.label for e in examples])
    predicted = np.argmax(logits, axis=1)
    right = predicted == gold
    values = {"correct": right, "tp": right & (gold == POSITIVE), "predicted": predicted == POSITIVE}
    values["gold"] = gold == POSITIVE
    return {column: value.astype(np.int64) for column, value in values.items()}, _named(predicted.tolist(), names)


def _numbers(examples: Sequence[Rated], outputs: np.ndarray) -> tuple[Values, list[str]]:
    predicted = np.asarray(outputs, np.float64).reshape(-1)
    return {"gold": np.array([e.value for e in examples], np.float64), "predicted": predicted}, [
        repr(value) for value in predicted.tolist()
    ]


def _answers(
    d: Dataset, language: str, examples: Sequence[Span], encoded: Encoded, logits: np.ndarray
) -> tuple[Values, list[str]]:
    spans, null_odds = predict_spans(examples, encoded, logits)
    golds = [[text for _, text in e.answers] for e in examples]

    def scores(answers: Sequence[str]) -> list[np.ndarray]:
        pairs = zip(answers, golds, strict=True)
        if _has_null(d):
            found = [squad2_scores(answer, gold) for answer, gold in pairs]
        elif d.answers == "mlqa":
            found = [mlqa_scores(answer, gold, language) for answer, gold in pairs]
        else:
            found = [squad_scores(answer, gold) for answer, gold in pairs]
        return list(np.array(found, np.float64).T)

    answers = spans
    values: Values = {}
    if _has_null(d):
        answers = ["" if odds > 0 else span for odds, span in zip(null_odds, spans, strict=True)]
        unanswerable = np.array([not gold for gold in golds], np.int64)
        values = dict(zip(NULL, (null_odds, unanswerable, *scores(spans)), strict=True))
    values |= dict(zip(("f1", "exact_match"), scores(answers), strict=True))
    if "f1_characters" in d.metrics:
        found = [character_f1(answer, gold) for answer, gold in zip(answers, golds, strict=True)]
        values["f1_characters"] = np.array(found)
    return values, answers


def _tags(
    d: Dataset, examples: Sequence[Words], encoded: Encoded, tags: np.ndarray, names: Sequence[str]
) -> tuple[Values, list[str]]:
    predicted = predict_tags(examples, encoded, tags)
    right = [
        sum(p == g for p, g in zip(ours, e.tags, strict=True)) for ours, e in zip(predicted, examples, strict=True)
    ]
    values: Values = {"correct": np.array(right), "words": np.array([len(e.words) for e in examples])}
    ours = [_named(tags, names) for tags in predicted]
    if "f1" in d.metrics:
        if not names:
            raise BadInput(f"{d.name}: F1 over tags needs the names of the tags")
        values |= _chunks([_named(e.tags, names) for e in examples], ours)
    return values, [" ".join(tags) for tags in ours]


def _intents(
    d: Dataset, examples: Sequence[Utterance], encoded: Encoded, outputs: np.ndarray, names: Sequence[str]
) -> tuple[Values, list[str]]:
    """All by name: a gold intent or tag that the head does not know is wrong."""
    if "O" not in names:
        raise BadInput(f"{d.name}: scores of intents and slots need the names of both")
    uneven = next((e for e in examples if len(e.tags) != len(e.words)), None)
    if uneven is not None:
        raise DataError(f"{d.name}: {uneven.id}: {len(uneven.words)} words but {len(uneven.tags)} tags")
    intents, tags = split_joint(names)
    intent = ["" if i is None else intents[i] for i in predict_intents(examples, encoded, outputs)]
    ours = [_named(found, tags) for found in predict_tags(examples, encoded, outputs)]
    golds = [list(e.tags) for e in examples]
    right = np.array([found == e.intent for found, e in zip(intent, examples, strict=True)])
    all_right = np.array([found == gold for found, gold in zip(ours, golds, strict=True)])
    rebuilt = _chunks([rebuild_bio(gold) for gold in golds], [rebuild_bio(found) for found in ours])
    values = {"intent_accuracy": right.astype(np.int64), "joint_accuracy": (right & all_right).astype(np.int64)}
    values |= _chunks(golds, ours) | {f"rebuilt_{name}": counts for name, counts in rebuilt.items()}
    return values, [f"{name}\t{' '.join(found)}" for name, found in zip(intent, ours, strict=True)]


def _chunks(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Values:
    counts = [chunk_counts(theirs, ours) for theirs, ours in zip(gold, predicted, strict=True)]
    return dict(zip(COUNTS, np.array(counts).T, strict=True))


# ---- from values per example to metrics ----


@dataclass(frozen=True)
class _Sample:
    """A table, and how often each of its examples is drawn, [n] or [B, n]."""

    table: Table
    drawn: np.ndarray

    def column(self, name: str) -> np.ndarray:
        return np.asarray(self.table[name], np.float64)

    def total(self, name: str) -> np.ndarray:
        return np.asarray(self.drawn @ self.column(name))

    def size(self) -> np.ndarray:
        return np.asarray(self.drawn.sum(-1))

    def mean(self, name: str) -> np.ndarray:
        return _share(self.total(name), self.size())

    def f1(self, prefix: str = "") -> np.ndarray:
        right, predicted, gold = (self.total(prefix + name) for name in COUNTS)
        return _share(2 * right, predicted + gold)

    def at_best_threshold(self, name: str) -> np.ndarray:
        odds, unanswerable = self.column("null_odds"), self.column("unanswerable")
        return best_at_threshold(odds, self.column(name), unanswerable, self.drawn)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole != 0))


# Any other metric is the mean of the column of its name.
RULES: Mapping[str, Callable[[_Sample], np.ndarray]] = {
    "accuracy": lambda s: _share(s.total("correct"), s.total("words") if "words" in s.table else s.size()),
    "f1": lambda s: s.f1() if "tp" in s.table else s.mean("f1"),
    "precision": lambda s: _share(s.total("tp"), s.total("predicted")),
    "recall": lambda s: _share(s.total("tp"), s.total("gold")),
    "mcc": lambda s: matthews(s.total("tp"), s.total("predicted"), s.total("gold"), s.size()),
    "pearson": lambda s: pearson(s.column("gold"), s.column("predicted"), s.drawn),
    "spearman": lambda s: spearman(s.column("gold"), s.column("predicted"), s.drawn),
    "best_f1": lambda s: s.at_best_threshold("span_f1"),
    "best_exact_match": lambda s: s.at_best_threshold("span_exact_match"),
    "slot_f1_bio": lambda s: s.f1(),
    "slot_f1_rebuilt": lambda s: s.f1("rebuilt_"),
}


def aggregate(
    d: Dataset, table: Table, weights: np.ndarray | None = None, metrics: Sequence[str] | None = None
) -> dict[str, Any]:
    """The metrics of a (re)weighted sample of examples, in percent; those of the dataset, or only `metrics`.

    weights: [n], or [B, n] for B samples at once (say, how often a bootstrap drew each example); then every value is
    an array [B]. A sample of nothing scores 0. Spearman and SQuAD 2.0's best thresholds make several arrays of the
    shape of `weights`; all else is one product with them.
    """
    drawn = np.ones(len(table["id"])) if weights is None else np.asarray(weights, np.float64)
    sample, found = _Sample(table, drawn), {}
    for metric in d.metrics if metrics is None else metrics:
        if metric not in RULES and metric not in table:
            raise ValueError(f"{d.name}: no rule to compute {metric!r} from {', '.join(table)}")
        value = 100 * (RULES[metric](sample) if metric in RULES else sample.mean(metric))
        found[metric] = value if drawn.ndim == 2 else float(value)
    return found


def main_score(d: Dataset, metrics: Mapping[str, Any]) -> Any:
    """The one number that stands for a dataset: the plain mean of its main metrics, such as F1 and exact match.

    Averages follow Hu et al. 2020 (XTREME) and Phang et al. 2020.
    """
    return sum(metrics[name] for name in d.main) / len(d.main)
