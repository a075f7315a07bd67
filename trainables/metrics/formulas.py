"""The formulas behind the scores, on plain text, tags and arrays; fractions, never percentages."""

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
# What counts as an article in MLQA. Arabic's definite article is a prefix, cut wherever its two letters stand.
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
    """Share of equal entries of two equally long sequences; 0 when they are empty."""
    return float(np.mean(np.asarray(gold) == np.asarray(predicted))) if len(gold) else 0.0


def f1_from_counts(true_positives: float, predicted: float, gold: float) -> float:
    """Harmonic mean of precision and recall from counts: 2 tp / (predicted + gold); 0 when both are empty."""
    return 2 * true_positives / (predicted + gold) if predicted + gold else 0.0


def matthews(true_positives: np.ndarray, predicted: np.ndarray, gold: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Matthews correlation of two classes from counts (Matthews 1975), in -1..1, elementwise.

    predicted, gold: how many of the `size` examples are predicted, or truly are, of class 1. 0 where they are all of
    one class in the prediction or in the gold labels, as in scikit-learn.
    """
    covariance = size * true_positives - predicted * gold
    margins = np.maximum(predicted * gold * (size - predicted) * (size - gold), 0)
    return np.asarray(np.divide(covariance, np.sqrt(margins), out=np.zeros_like(covariance), where=margins > 0))


# ---- correlation of numbers ----


def pearson(gold: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson correlation of two columns in weighted samples, in -1..1; 0 where a column of the sample is constant.

    weights: [n] or [B, n], say how often each row is in each of B samples. gold, predicted: [n], or as `weights` where
    a row's value differs between samples. Returns [] or [B].
    """
    size = weights.sum(-1, keepdims=True)
    size = np.where(size > 0, size, 1)
    x, y = (values - (weights * values).sum(-1, keepdims=True) / size for values in (gold, predicted))
    product = np.sqrt((weights * x * x).sum(-1) * (weights * y * y).sum(-1))
    varies = ~(_constant(gold, weights) | _constant(predicted, weights)) & (product > 0)
    return np.asarray(np.divide((weights * x * y).sum(-1), product, out=np.zeros_like(product), where=varies))


def spearman(gold: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman correlation of two columns [n] in weighted samples: Pearson's of their ranks, ties at their mean rank.

    weights as in `pearson`. Needs a few arrays of the shape of `weights`.
    """
    return pearson(_ranks(gold, weights), _ranks(predicted, weights), weights)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean rank of each value [n] in samples that hold it `weights` times, less 1/2; of the shape of `weights`."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    weight_of_value = np.add.reduceat(weights[..., order], np.flatnonzero(first), axis=-1)
    middle = np.cumsum(weight_of_value, axis=-1) - weight_of_value / 2
    ranks = np.empty(weights.shape)
    ranks[..., order] = middle[..., np.cumsum(first) - 1]
    return ranks


def _constant(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Whether a sample holds one value only: told from the values, since a mean of equals may be off by a rounding."""
    low, high = np.where(weights > 0, values, np.inf).min(-1), np.where(weights > 0, values, -np.inf).max(-1)
    return np.asarray(low >= high)


# ---- extractive question answering ----


def languages_compared(answers: Literal["squad", "mlqa"]) -> tuple[str, ...] | None:
    """Languages whose answers these rules can compare; None: all of them.

    Every metric but MLQA's treats all languages alike.
    """
    return MLQA_LANGUAGES if answers == "mlqa" else None


def squad_normalise(text: str) -> str:
    """SQuAD's answer form (Rajpurkar et al. 2016): lower case, no ASCII punctuation, no English articles.

    XTREME (Hu et al. 2020) uses this English form for XQuAD and TyDiQA in every language.
    """
    kept = "".join(c for c in text.lower() if c not in _ASCII_PUNCTUATION)
    return " ".join(_ENGLISH_ARTICLES.sub(" ", kept).split())


def mlqa_normalise(text: str, language: str) -> str:
    """MLQA's answer form (Lewis et al. 2020): all Unicode punctuation goes, then the articles of `language`.

    Chinese characters become one token each; every other script is split on white space.
    Raises BadInput for a language that MLQA does not have.
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
    """(F1, exact match) of one answer, each the best over the gold answers.

    F1 is over the multiset of tokens and 0 without a common token, even where both sides are empty after
    `normalise`. Without any gold answer (an unanswerable question) both are 1 for an empty prediction, else 0.
    """
    answer = normalise(prediction)
    if not golds:
        return (1.0, 1.0) if not answer else (0.0, 0.0)
    forms = {normalise(gold) for gold in golds}
    return max(_token_f1(answer, form) for form in forms), float(answer in forms)


def squad_scores(prediction: str, golds: Sequence[str]) -> tuple[float, float]:
    """(F1, exact match) by SQuAD's rules: SQuAD v1.1, XQuAD and TyDiQA, in all languages."""
    return answer_scores(prediction, golds, squad_normalise)


def squad2_scores(prediction: str, golds: Sequence[str]) -> tuple[float, float]:
    """(F1, exact match) by SQuAD 2.0's rules (Rajpurkar et al. 2018), where no answer is an answer.

    Gold answers without a token after normalisation do not count; without any other the right answer is the empty one.
    Unlike SQuAD 1.1, an empty answer where the empty one is right has F1 1.
    """
    answer = squad_normalise(prediction)
    forms = {form for gold in golds if (form := squad_normalise(gold))} or {""}
    exact = float(answer in forms)
    return (max(_token_f1(answer, form) for form in forms) if answer else exact), exact


def best_at_threshold(
    null_odds: np.ndarray, answered: np.ndarray, unanswerable: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The mean score of weighted samples when the threshold of SQuAD 2.0's null answer suits them best.

    Args:
        null_odds: [n], by how much the null answer's score exceeds the best span's.
        answered: [n], the score of the best span as the answer.
        unanswerable: [n], the score of no answer: 1 where the question has none, else 0.
        weights: [n] or [B, n].
    Returns:
        [] or [B]. As in the official evaluation (Rajpurkar et al. 2018): from no question answered, answer one more at
        a time by rising odds (of equals the one that stands first), and take the best point on the way.
    """
    order = np.argsort(null_odds, kind="stable")
    gain = np.cumsum(weights[..., order] * (answered - unanswerable)[order], axis=-1).max(-1)
    size = weights.sum(-1)
    best = weights @ unanswerable + np.maximum(gain, 0)
    return np.asarray(np.divide(best, size, out=np.zeros_like(best), where=size != 0))


def mlqa_scores(prediction: str, golds: Sequence[str], language: str) -> tuple[float, float]:
    """(F1, exact match) by MLQA's rules for the language of the context."""
    return answer_scores(prediction, golds, partial(mlqa_normalise, language=language))


def character_f1(prediction: str, golds: Sequence[str]) -> float:
    """F1 over the multiset of characters of SQuAD's answer form without its spaces, the best over the gold answers.

    Not a published number: where words stand without spaces, SQuAD's F1 is hardly more than exact match.
    """
    answer, *forms = (squad_normalise(text).replace(" ", "") for text in (prediction, *golds))
    return max((_multiset_f1(answer, form) for form in forms), default=float(not answer))


def _token_f1(prediction: str, gold: str) -> float:
    return _multiset_f1(prediction.split(), gold.split())


def _multiset_f1(ours: Sequence[str], theirs: Sequence[str]) -> float:
    return f1_from_counts((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


# ---- tagging ----


def chunk_counts(gold: Sequence[str], predicted: Sequence[str]) -> tuple[int, int, int]:
    """(true positives, predicted chunks, gold chunks) of one sentence of tag names.

    Chunks are those of seqeval 0.0.12, which XTREME's scores come from (Hu et al. 2020), for IOB tags and for bare
    part-of-speech tags alike; F1 over a file is `f1_from_counts` of the sums over its sentences. Newer releases of
    seqeval drop the first letter of a bare tag, so that CCONJ and SCONJ count as the same.
    """
    ours, theirs = _chunks(tuple(predicted)), _chunks(tuple(gold))
    return len(ours & theirs), len(ours), len(theirs)


@lru_cache(maxsize=1 << 16)  # gold tags are met again in every trial, and short sentences share their tags
def _chunks(tags: tuple[str, ...]) -> frozenset[tuple[str, int, int]]:
    from seqeval.metrics.sequence_labeling import get_entities

    return frozenset(get_entities([_as_iob(tag) for tag in tags]))


@lru_cache(maxsize=4096)
def _as_iob(tag: str) -> str:
    """The tag that makes any seqeval behave like 0.0.12: the type follows the last "-", a bare tag is all type.

    0.0.12 takes a bare tag's first letter for its prefix. S (SCONJ, SYM) always stands alone, like B and E; any other
    letter extends a run of the same tag, as I does.
    """
    if tag == "O" or tag.startswith(("B-", "I-", "E-", "S-", "O-")):
        return "O" if tag[0] == "O" else f"{tag[0]}-{tag.rpartition('-')[2]}"
    prefix = tag[0] if tag[0] in "BES" else "I"
    return f"{prefix}-{tag.rpartition('-')[2]}"


def rebuild_bio(tags: Sequence[str]) -> list[str]:
    """BIO tags made from slot names alone, as XeroAlign scores slots (Gritta and Iacobacci 2021).

    A word with the name of the word before it continues that slot, so neighbours of one name become one slot. Takes
    bare names or BIO tags; "O" stays. XeroAlign also scores every sub-token of a word outside slots, which is not
    done here: tags are those of words.
    """
    names = [tag[2:] if tag.startswith(("B-", "I-")) else tag for tag in tags]
    before = ["O", *names]
    return [
        name if name == "O" else f"{'I' if name == last else 'B'}-{name}"
        for name, last in zip(names, before, strict=False)
    ]


# ---- retrieval ----


def average_precision(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """AP@k of one query, as LAReQA has it (Roy et al. 2020): precision at each hit, summed, over min(golds, k).

    ranking: distinct candidates, best first; those after the k-th do not count. 0 without gold candidates.
    """
    hits = [rank for rank, candidate in enumerate(ranking[:k], 1) if candidate in gold]
    return sum(n / rank for n, rank in enumerate(hits, 1)) / min(len(gold), k) if gold else 0.0


def reciprocal_rank(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """1 / rank of the first gold candidate among the first k, 0 without one, as for Mewsli-X (Ruder et al. 2021)."""
    return next((1 / rank for rank, candidate in enumerate(ranking[:k], 1) if candidate in gold), 0.0)


def nearest(queries: np.ndarray, pool: np.ndarray, block: int = 1024) -> np.ndarray:
    """For each query vector the index of the pool vector with the highest cosine, the first one on a tie.

    queries [n, dim], pool [m, dim]; returns int64 [n]. `block` queries are compared at once, to bound memory.
    """
    unit_queries, unit_pool = unit(queries), unit(pool)
    parts = [np.argmax(unit_queries[i : i + block] @ unit_pool.T, axis=1) for i in range(0, len(queries), block)]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32; a row of zeros stays."""
    wide = np.asarray(vectors, np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(length == 0, 1, length), np.float32)
