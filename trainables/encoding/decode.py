"""Model outputs become predictions: answers cut from contexts, tags of words, intents of sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainables.encoding.formats import NO_CHARACTER, NO_WORD, Encoded
from trainables.errors import DataError
from trainables.examples import Span, Utterance, Words
from trainables.profiles import MAX_ANSWER, N_BEST


def predict_spans(examples: Sequence[Span], encoded: Encoded, logits: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The best answer of each question, and by how much the null answer beats it.

    The answer is cut from its context by character offsets; "" where no window has a valid span. In each window the 20
    best starts meet the 20 best ends; a pair is valid when both lie in the context, the start is in the window that
    shows most around it, and it is at most 30 tokens long. The best sum of start and end logit over all windows wins
    (XTREME's decoding, Hu et al. 2020). The null score is the lowest over the windows of the sum at the first token,
    `<s>` (Devlin et al. 2019).

    logits: start and end [T, 2]. Returns the answers, and null score less best sum, float64 [examples] (infinite where
    there is no valid span).
    """
    char_start, char_end = encoded.extra["char_start"], encoded.extra["char_end"]
    in_context, max_context = char_start != NO_CHARACTER, encoded.extra["max_context"]
    best, null = np.full(len(examples), -np.inf), np.full(len(examples), np.inf)
    answers = [""] * len(examples)
    for row, index in enumerate(encoded.example):
        here = slice(encoded.starts[row], encoded.starts[row + 1])
        null[index] = min(null[index], float(logits[here.start, 0] + logits[here.start, 1]))
        may_end = in_context[here]
        found = _best_pair(logits[here], may_end & max_context[here], may_end)
        if found is not None and found[0] > best[index]:
            best[index] = found[0]
            first, last = here.start + found[1], here.start + found[2]
            answers[index] = examples[index].context[char_start[first] : char_end[last]].strip()
    return answers, null - best


def _best_pair(logits: np.ndarray, may_start: np.ndarray, may_end: np.ndarray) -> tuple[float, int, int] | None:
    """(sum of logits, start, end) of the best valid pair of one window [L, 2], None without one."""
    order = np.argsort(-logits, axis=0, kind="stable")[:N_BEST]
    starts, ends = order[:, 0], order[:, 1]
    length = ends[None, :] - starts[:, None] + 1
    valid = may_start[starts][:, None] & may_end[ends][None, :] & (length >= 1) & (length <= MAX_ANSWER)
    if not valid.any():
        return None
    sums = np.where(valid, logits[starts, 0][:, None] + logits[ends, 1][None, :], -np.inf)
    i, j = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return float(sums[i, j]), int(starts[i]), int(ends[j])


def predict_tags(examples: Sequence[Words | Utterance], encoded: Encoded, tags: np.ndarray) -> list[list[int]]:
    """The predicted tag ids of each sentence, its rows joined again; as many as it has words.

    tags: int [T], the predicted tag at each token. Raises DataError if a word has no prediction, or two.
    """
    places = encoded.extra["word"]
    first = places != NO_WORD
    counts = [len(e.words) for e in examples]
    expected = np.concatenate([np.arange(n) for n in counts]) if counts else np.empty(0)
    of_row = np.repeat(encoded.example, np.diff(encoded.starts))
    if not np.array_equal(places[first], expected) or np.any(
        np.bincount(of_row[first], minlength=len(counts)) != counts
    ):
        raise DataError(f"{int(first.sum())} predicted words for {sum(counts)} words of {len(examples)} sentences")
    flat = tags[first].tolist()
    ends = np.cumsum(counts).tolist()
    return [flat[end - n : end] for end, n in zip(ends, counts, strict=True)]


def predict_intents(examples: Sequence[Utterance], encoded: Encoded, outputs: np.ndarray) -> list[int | None]:
    """The predicted intent id of each sentence, that of the first of its rows; None for a sentence without words.

    outputs: int [T], the predicted intent at the first token of each row.
    """
    indices, rows = np.unique(encoded.example, return_index=True)
    found = dict(zip(indices.tolist(), outputs[encoded.starts[rows]].tolist(), strict=True))
    return [found.get(index) for index in range(len(examples))]
