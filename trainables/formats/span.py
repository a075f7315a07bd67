"""Extractive question answering over windows of the context.

A row is `<s> question </s></s> window of context </s>`.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.encoding.encoded import Encoded
from trainables.encoding.rows import Framing, Rows, all_of, in_blocks, pieces_of, pieces_with_offsets
from trainables.encoding.windowing import best_window, window_starts
from trainables.examples import Example, Span
from trainables.formats.format import DatasetSpec, ExampleScores, Format
from trainables.metrics.formulas import character_f1, mlqa_scores, squad2_scores, squad_scores
from trainables.metrics.samples import Values
from trainables.profiles import MAX_ANSWER, N_BEST

if TYPE_CHECKING:
    from torch import Tensor, nn

NO_CHARACTER = -1
NULL = ("null_odds", "unanswerable", "span_f1", "span_exact_match")


class ExtractiveAnswers(Format):
    """Answers as first and last token in a row.

    Labels int64 [R, 2], (0, 0) if the answer is not in this window.

    extra: "char_start", "char_end" int32 [T], the token's characters in the context, -1 outside it; "max_context" bool [T],
    whether this is the token's best window. Outputs are start and end logits float32 [T, 2]; predictions are answers.
    """

    kind = "span"
    by_token = True
    scored_length = "span_max_length"
    assumed_tokens = 280
    rules = {
        "best_f1": lambda s: s.at_best_threshold("span_f1"),
        "best_exact_match": lambda s: s.at_best_threshold("span_exact_match"),
    }

    def encode(self, examples: Sequence[Example], framing: Framing) -> Encoded:
        framing.check_length(self.kind, framing.layout.pair_specials, framing.max_query)
        return _encode(self.kind, all_of(Span, examples), framing)

    def head(self, labels: Sequence[str], width: int, dropout: float) -> nn.Module:
        from trainables.formats.heads import TokenHead

        return TokenHead(width, 2, dropout)

    def loss(self, logits: Any, batch: Mapping[str, Tensor], rows_per_item: int) -> Tensor:
        from trainables.formats.heads import cross_entropy

        labels = batch["labels"]
        logits = logits.masked_fill(~batch["mask"].bool().unsqueeze(-1), -1e4)
        return (cross_entropy(logits[..., 0], labels[:, 0]) + cross_entropy(logits[..., 1], labels[:, 1])) / 2

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        """Name F1, exact match and inputs of `best_at_threshold`.

        The latter are for sets with unanswerable questions.
        """
        found = ["f1", "exact_match", *(["f1_characters"] if "f1_characters" in metrics else [])]
        return (*found, *(NULL if _has_null(metrics) else ()))

    def score(
        self,
        d: DatasetSpec,
        language: str,
        examples: Sequence[Example],
        encoded: Encoded,
        outputs: np.ndarray,
        names: Sequence[str],
    ) -> ExampleScores:
        """Score answers extracted from their contexts.

        MLQA's rules depend on the language.
        """
        questions = all_of(Span, examples)
        spans, null_odds = predict_spans(questions, encoded, outputs)
        golds = [[text for _, text in e.answers] for e in questions]

        def scores(answers: Sequence[str]) -> list[np.ndarray]:
            pairs = zip(answers, golds, strict=True)
            if _has_null(d.metrics):
                found = [squad2_scores(answer, gold) for answer, gold in pairs]
            elif d.answers == "mlqa":
                found = [mlqa_scores(answer, gold, language) for answer, gold in pairs]
            else:
                found = [squad_scores(answer, gold) for answer, gold in pairs]
            return list(np.array(found, np.float64).T)

        answers = spans
        values: Values = {}
        if _has_null(d.metrics):
            answers = ["" if odds > 0 else span for odds, span in zip(null_odds, spans, strict=True)]
            values = null_columns(spans, golds, null_odds)
        values |= dict(zip(("f1", "exact_match"), scores(answers), strict=True))
        if "f1_characters" in d.metrics:
            shared = [character_f1(answer, gold) for answer, gold in zip(answers, golds, strict=True)]
            values["f1_characters"] = np.array(shared)
        return ExampleScores.of(examples, values, answers)


def null_columns(spans: Sequence[str], golds: Sequence[Sequence[str]], null_odds: np.ndarray) -> Values:
    """Compute the inputs of `best_at_threshold`.

    For a question without an answer the official sweep counts any text as wrong, also one that is empty after normalisation.
    """
    unanswerable = np.array([not gold for gold in golds], np.int64)
    empty = np.array([not span for span in spans])
    pairs = [squad2_scores(span, gold) for span, gold in zip(spans, golds, strict=True)]
    at_span = [np.where(unanswerable, empty, column) for column in np.array(pairs, np.float64).T]
    return dict(zip(NULL, (null_odds, unanswerable, *at_span), strict=True))


def _has_null(metrics: Sequence[str]) -> bool:
    return "best_f1" in metrics or "best_exact_match" in metrics


def _encode(kind: str, examples: Sequence[Span], framing: Framing) -> Encoded:
    layout = framing.layout
    rows, labels = Rows(layout), array("q")
    char_starts, char_ends, flags = array("i"), array("i"), array("b")
    for start, block in in_blocks(examples):
        questions = pieces_of(framing.tokenizer, (e.question for e in block))
        contexts = pieces_with_offsets(framing.tokenizer, (e.context for e in block))
        for index, example in enumerate(block, start):
            question = questions[example.question][: framing.max_query]
            ids, char_start, char_end = contexts[example.context]
            answer = _answer_tokens(example, char_start, char_end)
            cap = framing.max_length - layout.pair_specials - len(question)
            before = len(layout.prefix) + len(question) + len(layout.middle)
            window_of = best_window(len(ids), cap, framing.doc_stride)
            for number, first in enumerate(window_starts(len(ids), cap, framing.doc_stride)):
                window = slice(first, min(first + cap, len(ids)))
                rows.pair(question, ids[window], index)
                inside = answer is not None and window.start <= answer[0] and answer[1] < window.stop
                labels.extend([before + t - first for t in answer] if answer and inside else [0, 0])
                for column, values, outside in (
                    (char_starts, char_start[window], NO_CHARACTER),
                    (char_ends, char_end[window], NO_CHARACTER),
                    (flags, (window_of[window] == number).tolist(), 0),
                ):
                    column.extend([outside] * before + values + [outside] * len(layout.suffix))
    extra = {
        "char_start": np.array(char_starts, np.int32),
        "char_end": np.array(char_ends, np.int32),
        "max_context": np.array(flags, np.int8).astype(bool),
    }
    return rows.encoded(kind, np.array(labels, np.int64).reshape(-1, 2), len(examples), extra=extra)


def _answer_tokens(example: Span, char_start: Sequence[int], char_end: Sequence[int]) -> tuple[int, int] | None:
    """Find the first and last context token of the first answer."""
    if not example.answers:
        return None
    start, text = example.answers[0]
    first = int(np.searchsorted(char_end, start, side="right"))
    last = int(np.searchsorted(char_start, start + len(text), side="left")) - 1
    return (first, last) if first <= last else None


def predict_spans(examples: Sequence[Span], encoded: Encoded, logits: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Find the best answer of each question, and the null odds.

    The answer is extracted from its context by character offsets; "" if no window has a valid span. In each window the 20
    best starts are combined with the 20 best ends; a pair is valid if both are in the context, the window is the start's
    window of maximum context, and it is at most 30 tokens long. The best sum of start and end logit over all windows wins
    (XTREME's decoding, Hu et al. 2020). The null score is the lowest over the windows of the sum at the first token, `<s>`
    (Devlin et al. 2019).

    Args:
        logits: start and end [T, 2].
    Returns:
        the answers, and null score minus best sum, float64 [examples] (infinite if there is no valid span).
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
    """Find (sum of logits, start, end) of a window's best span."""
    order = np.argsort(-logits, axis=0, kind="stable")[:N_BEST]
    starts, ends = order[:, 0], order[:, 1]
    length = ends[None, :] - starts[:, None] + 1
    valid = may_start[starts][:, None] & may_end[ends][None, :] & (length >= 1) & (length <= MAX_ANSWER)
    if not valid.any():
        return None
    sums = np.where(valid, logits[starts, 0][:, None] + logits[ends, 1][None, :], -np.inf)
    i, j = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return float(sums[i, j]), int(starts[i]), int(ends[j])
