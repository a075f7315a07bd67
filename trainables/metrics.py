"""The formulas behind the scores, on plain text, tags and arrays; fractions in 0..1, never percentages."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

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
_HAN = re.compile("([\u4e00-\u9fa5])")


def accuracy(gold: Sequence[int], predicted: Sequence[int]) -> float:
    """Share of equal entries of two equally long sequences; 0 when they are empty."""
    return float(np.mean(np.asarray(gold) == np.asarray(predicted))) if len(gold) else 0.0


def f1_from_counts(true_positives: float, predicted: float, gold: float) -> float:
    """Harmonic mean of precision and recall from counts: 2 tp / (predicted + gold); 0 when both are empty."""
    return 2 * true_positives / (predicted + gold) if predicted + gold else 0.0


# ---- extractive question answering ----


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


def mlqa_scores(prediction: str, golds: Sequence[str], language: str) -> tuple[float, float]:
    """(F1, exact match) by MLQA's rules for the language of the context."""
    return answer_scores(prediction, golds, partial(mlqa_normalise, language=language))


def _token_f1(prediction: str, gold: str) -> float:
    ours, theirs = prediction.split(), gold.split()
    common = (Counter(ours) & Counter(theirs)).total()
    return f1_from_counts(common, len(ours), len(theirs))


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


# ---- retrieval ----


def nearest(queries: np.ndarray, pool: np.ndarray, block: int = 1024) -> np.ndarray:
    """For each query vector the index of the pool vector with the highest cosine, the first one on a tie.

    queries [n, dim], pool [m, dim]; returns int64 [n]. `block` queries are compared at once, to bound memory.
    """
    unit_queries, unit_pool = _unit(queries), _unit(pool)
    parts = [np.argmax(unit_queries[i : i + block] @ unit_pool.T, axis=1) for i in range(0, len(queries), block)]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _unit(vectors: np.ndarray) -> np.ndarray:
    wide = np.asarray(vectors, np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: np.ndarray = wide / np.where(length == 0, 1, length)
    return unit
