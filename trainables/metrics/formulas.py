"""Formulas of the scores, on plain text, tags and arrays.

Scores are fractions, never percentages.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache, partial
from typing import Literal

import numpy as np

from trainables.errors import unknown

_ASCII_PUNCTUATION = frozenset(string.punctuation)
_ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")
# Articles in MLQA. Arabic's definite article is a prefix, removed wherever its two letters occur.
_MLQA_ARTICLES = {
    "ar": re.compile("ال"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "en": _ENGLISH_ARTICLES,
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "hi": None,
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "zh": None,
}
MLQA_LANGUAGES: tuple[str, ...] = tuple(_MLQA_ARTICLES)
_HAN = re.compile("([\u4e00-\u9fa5])")


def accuracy(gold: Sequence[int], predicted: Sequence[int]) -> float:
    """Compute the share of equal entries of two sequences.

    They have the same length; without entries it is 0.
    """
    return float(np.mean(np.asarray(gold) == np.asarray(predicted))) if len(gold) else 0.0


def f1_from_counts(true_positives: float, predicted: float, gold: float) -> float:
    """Compute F1 from counts: 2 tp / (predicted + gold).

    It is the harmonic mean of precision and recall; 0 if both counts are 0.
    """
    return 2 * true_positives / (predicted + gold) if predicted + gold else 0.0


def matthews(true_positives: np.ndarray, predicted: np.ndarray, gold: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Compute the Matthews correlation from counts (Matthews 1975).

    It is for two classes, elementwise, in -1..1.

    Args:
        predicted, gold: number of the `size` examples that are predicted, or truly are, of class 1.
    Returns:
        0 if all predictions or all gold labels are of one class, as in scikit-learn.
    """
    covariance = size * true_positives - predicted * gold
    margins = np.maximum(predicted * gold * (size - predicted) * (size - gold), 0)
    return np.asarray(np.divide(covariance, np.sqrt(margins), out=np.zeros_like(covariance), where=margins > 0))


# ---- correlation of numbers ----


def pearson(gold: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the Pearson correlation in weighted samples, in -1..1.

    Args:
        weights: [n] or [B, n], for example how often each row is in each of B samples.
        gold, predicted: [n], or as `weights` if a row's value differs between samples.
    Returns:
        [] or [B]; 0 for a sample with a constant column.
    """
    size = weights.sum(-1, keepdims=True)
    size = np.where(size > 0, size, 1)
    x, y = (values - (weights * values).sum(-1, keepdims=True) / size for values in (gold, predicted))
    product = np.sqrt((weights * x * x).sum(-1) * (weights * y * y).sum(-1))
    varies = ~(_constant(gold, weights) | _constant(predicted, weights)) & (product > 0)
    return np.asarray(np.divide((weights * x * y).sum(-1), product, out=np.zeros_like(product), where=varies))


def spearman(gold: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the Spearman correlation of columns [n] in weighted samples.

    It is Pearson's of their ranks, with ties at their mean rank. `weights` are as in `pearson`. It needs a few arrays of the
    shape of `weights`.
    """
    return pearson(_ranks(gold, weights), _ranks(predicted, weights), weights)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the mean rank, less 1/2, of each value.

    Values [n] occur `weights` times in each sample.

    Returns:
        an array of the shape of `weights`.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    weight_of_value = np.add.reduceat(weights[..., order], np.flatnonzero(first), axis=-1)
    middle = np.cumsum(weight_of_value, axis=-1) - weight_of_value / 2
    ranks = np.empty(weights.shape)
    ranks[..., order] = middle[..., np.cumsum(first) - 1]
    return ranks


def _constant(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return whether a sample has one distinct value only.

    The values are compared, since the mean of equal values may differ from them by a rounding error.
    """
    low, high = np.where(weights > 0, values, np.inf).min(-1), np.where(weights > 0, values, -np.inf).max(-1)
    return np.asarray(low >= high)


# ---- extractive question answering ----


def languages_compared(answers: Literal["squad", "mlqa"]) -> tuple[str, ...] | None:
    """Return the languages of a rule for answers; None = all.

    Only MLQA's metric depends on the language.
    """
    return MLQA_LANGUAGES if answers == "mlqa" else None


def squad_normalise(text: str) -> str:
    """Normalise an answer by SQuAD's rules (Rajpurkar et al. 2016).

    The result has lower case, no ASCII punctuation and no English articles. XTREME (Hu et al. 2020) applies them to XQuAD and
    TyDiQA in every language.
    """
    kept = "".join(c for c in text.lower() if c not in _ASCII_PUNCTUATION)
    return " ".join(_ENGLISH_ARTICLES.sub(" ", kept).split())


def mlqa_normalise(text: str, language: str) -> str:
    """Normalise an answer by MLQA's rules (Lewis et al. 2020).

    The result has no Unicode punctuation and no articles of `language`. Chinese characters become one token each; every other
    script is split on white space.

    Raises:
        BadInput: MLQA does not have the language.
    """
    if language not in _MLQA_ARTICLES:
        raise unknown("MLQA language", language, _MLQA_ARTICLES)
    kept = "".join(c for c in text.lower() if not _is_punctuation(c))
    articles = _MLQA_ARTICLES[language]
    if articles is not None:
        kept = articles.sub(" ", kept)
    if language == "zh":
        kept = _HAN.sub(r" \1 ", kept)
    return " ".join(kept.split())


def _is_punctuation(char: str) -> bool:
    return char in _ASCII_PUNCTUATION or unicodedata.category(char).startswith("P")


def answer_scores(prediction: str, golds: Sequence[str], normalise: Callable[[str], str]) -> tuple[float, float]:
    """Compute (F1, exact match), each the best over gold answers.

    F1 is over the multiset of tokens and 0 without a common token, even where both sides are empty after
    `normalise`. Without any gold answer (an unanswerable question) both are 1 for an empty prediction, else 0.
    """
    answer = normalise(prediction)
    if not golds:
        return (1.0, 1.0) if not answer else (0.0, 0.0)
    forms = {normalise(gold) for gold in golds}
    return max(_token_f1(answer, form) for form in forms), float(answer in forms)


def squad_scores(prediction: str, golds: Sequence[str]) -> tuple[float, float]:
    """Compute (F1, exact match) by the rules of SQuAD v1.1.

    They are those of XQuAD and TyDiQA too, in all languages.
    """
    return answer_scores(prediction, golds, squad_normalise)


def squad2_scores(prediction: str, golds: Sequence[str]) -> tuple[float, float]:
    """Compute (F1, exact match) by SQuAD 2.0's rules.

    Questions may be unanswerable (Rajpurkar et al. 2018). Gold answers without a token after normalisation do not count;
    without any other the right answer is the empty one. Unlike in SQuAD 1.1, an empty answer has F1 1 where it is right.
    """
    answer = squad_normalise(prediction)
    forms = {form for gold in golds if (form := squad_normalise(gold))} or {""}
    exact = float(answer in forms)
    return (max(_token_f1(answer, form) for form in forms) if answer else exact), exact


def best_at_threshold(
    null_odds: np.ndarray, answered: np.ndarray, unanswerable: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Compute weighted mean scores at SQuAD 2.0's best null threshold.

    Args:
        null_odds: [n], the null answer's score minus the best span's.
        answered: [n], the score of the best span as the answer; of a question without one, 0 for any text at all.
        unanswerable: [n], the score of no answer: 1 if the question has none, else 0.
        weights: [n] or [B, n].
    Returns:
        [] or [B]. As in the official evaluation (Rajpurkar et al. 2018): start with no question answered, answer one more at
        a time by ascending odds (the first of equals first), and take the best score on the way.
    """
    order = np.argsort(null_odds, kind="stable")
    gain = np.cumsum(weights[..., order] * (answered - unanswerable)[order], axis=-1).max(-1)
    size = weights.sum(-1)
    best = weights @ unanswerable + np.maximum(gain, 0)
    return np.asarray(np.divide(best, size, out=np.zeros_like(best), where=size != 0))


def mlqa_scores(prediction: str, golds: Sequence[str], language: str) -> tuple[float, float]:
    """Compute (F1, exact match) by MLQA's rules for a context's language."""
    return answer_scores(prediction, golds, partial(mlqa_normalise, language=language))


def character_f1(prediction: str, golds: Sequence[str]) -> float:
    """Compute F1 over characters, the best over the gold answers.

    Answers are normalised by SQuAD's rules. It is over the multiset of characters without spaces. It is not a published
    metric: in scripts without spaces between words, SQuAD's F1 is hardly more than exact match.
    """
    answer, *forms = (squad_normalise(text).replace(" ", "") for text in (prediction, *golds))
    return max((_multiset_f1(answer, form) for form in forms), default=float(not answer))


def _token_f1(prediction: str, gold: str) -> float:
    return _multiset_f1(prediction.split(), gold.split())


def _multiset_f1(ours: Sequence[str], theirs: Sequence[str]) -> float:
    return f1_from_counts((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


# ---- tagging ----


def chunk_counts(gold: Sequence[str], predicted: Sequence[str]) -> tuple[int, int, int]:
    """Count (true positives, predicted chunks, gold chunks) of a sentence.

    F1 over a file is `f1_from_counts` of the sums over its sentences. IOB tags are read as in seqeval 1.2: the type is all that
    follows the prefix, so B-from-city is not B-to-city. Bare part-of-speech tags are read as in seqeval 0.0.12, which computed
    XTREME's scores (Hu et al. 2020): newer releases drop their first letter, so that CCONJ and SCONJ count as the same.
    """
    ours, theirs = _chunks(tuple(predicted)), _chunks(tuple(gold))
    return len(ours & theirs), len(ours), len(theirs)


@lru_cache(maxsize=1 << 16)  # gold tags recur in every trial, and short sentences share their tags
def _chunks(tags: tuple[str, ...]) -> frozenset[tuple[str, int, int]]:
    from seqeval.metrics.sequence_labeling import get_entities

    return frozenset(get_entities([_as_iob(tag) for tag in tags]))


@lru_cache(maxsize=4096)
def _as_iob(tag: str) -> str:
    """Convert a tag to make seqeval read bare tags as 0.0.12 did.

    It treats a bare tag's first letter as its prefix: S (SCONJ, SYM) is always a chunk of its own, like B and E; any other
    letter extends a run of the same tag, as I does.
    """
    if tag == "O" or tag.startswith("O-"):
        return "O"
    if tag.startswith(("B-", "I-", "E-", "S-")):
        return tag
    return f"{tag[0] if tag[0] in 'BES' else 'I'}-{tag}"


def rebuild_bio(tags: Sequence[str]) -> list[str]:
    """Make BIO tags from slot names alone, as in XeroAlign.

    XeroAlign scores slots like this (Gritta and Iacobacci 2021). A word with the name of the word before it continues that
    slot, so adjacent slots of one name become one. The input are bare names or BIO tags; "O" stays. XeroAlign also scores
    every sub-token of a word outside slots, which is not done here: tags are those of words.
    """
    names = [tag[2:] if tag.startswith(("B-", "I-")) else tag for tag in tags]
    before = ["O", *names]
    return [
        name if name == "O" else f"{'I' if name == last else 'B'}-{name}"
        for name, last in zip(names, before, strict=False)
    ]


# ---- retrieval ----


def average_precision(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """Compute AP@k of one query.

    It is the sum of the precision at each hit, over min(golds, k), as in LAReQA (Roy et al. 2020); 0 without gold candidates.

    Args:
        ranking: distinct candidates, best first; those after the k-th do not count.
    """
    hits = [rank for rank, candidate in enumerate(ranking[:k], 1) if candidate in gold]
    return sum(n / rank for n, rank in enumerate(hits, 1)) / min(len(gold), k) if gold else 0.0


def reciprocal_rank(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """Compute the reciprocal rank of the first gold candidate.

    It is 0 if there is none among the first k, as for Mewsli-X (Ruder et al. 2021).
    """
    return next((1 / rank for rank, candidate in enumerate(ranking[:k], 1) if candidate in gold), 0.0)


def nearest(queries: np.ndarray, pool: np.ndarray, block: int = 1024) -> np.ndarray:
    """Find the pool vector of the highest cosine by query.

    Of equals it is the first.

    Args:
        queries, pool: [n, dim] and [m, dim].
        block: number of queries compared at once, to bound memory.
    Returns:
        indices in the pool, int64 [n].
    """
    unit_queries, unit_pool = unit(queries), unit(pool)
    parts = [np.argmax(unit_queries[i : i + block] @ unit_pool.T, axis=1) for i in range(0, len(queries), block)]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length 1, float32.

    A row of zeros stays.
    """
    wide = np.asarray(vectors, np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(length == 0, 1, length), np.float32)
