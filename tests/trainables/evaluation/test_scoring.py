from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.tiny import tiny_tokenizer
from trainables.catalogue import DATASETS, Dataset, dataset
from trainables.encoding.encoded import Encoded
from trainables.errors import BadInput, DataError
from trainables.evaluation.scoring import (
    LanguageScores,
    NonFiniteOutput,
    aggregate,
    columns,
    main_score,
    score,
    with_metrics,
)
from trainables.examples import Bitext, Choice, Labelled, Pair, Rated, Span, Text, Utterance, Words
from trainables.formats import encode
from trainables.formats.bitext import score_retrieval
from trainables.formats.format import ExampleScores
from trainables.formats.intent import predict_intents
from trainables.formats.mining import score_mining
from trainables.formats.ranking import score_ranking
from trainables.formats.span import predict_spans
from trainables.formats.words import predict_tags

LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]
TOKENIZER = tiny_tokenizer([*LETTERS, "in", "Paris", "the", "Eiffel", "tower"])
SPECIALS_BEFORE = 4  # <s> a </s> </s>


def scored_by(rule: Callable[..., ExampleScores], name: str, *what: Any) -> LanguageScores:
    """Score a dataset by a retrieval rule; return results and metrics."""
    return with_metrics(dataset(name), rule(dataset(name), *what))


def one_hot(predicted: list[int], width: int) -> np.ndarray:
    return np.eye(width, dtype=np.float32)[predicted]


def span_logits(encoded: Encoded, spans: dict[int, tuple[int, int, float]]) -> np.ndarray:
    """Make flat logits with one raised (start, end) pair in some rows.

    Args:
        spans: row -> (start, end, logit), as token positions in the row.
    """
    logits = np.zeros((len(encoded.tokens), 2), np.float32)
    for row, (start, end, logit) in spans.items():
        logits[encoded.starts[row] + start, 0] = logits[encoded.starts[row] + end, 1] = logit
    return logits


def tag_output(encoded: Encoded, predicted: list[int]) -> np.ndarray:
    """Make tag ids [T] with `predicted` at first pieces, noise elsewhere."""
    output = np.full(len(encoded.tokens), 10**6)
    output[encoded.extra["word"] >= 0] = predicted
    return output


def words_case(d: Dataset, sentences: str, labels: tuple[str, ...]) -> list[Words]:
    tagged = [sentence.split() for sentence in sentences.split("|")]
    return [
        Words(str(i), tuple("abcd"[: len(tags)]), tuple(labels.index(t) for t in tags)) for i, tags in enumerate(tagged)
    ]


def test_classification_accuracy() -> None:
    d = dataset("xnli")
    examples = [Labelled(str(i), "a", "b", label) for i, label in enumerate([0, 1, 2, 2])]
    encoded = encode("labelled", examples, TOKENIZER, max_length=16)
    scored = score(d, "sw", examples, encoded, one_hot([0, 1, 2, 0], 3))
    assert scored.metrics == {"accuracy": 75}
    assert scored.table["id"] == ["0", "1", "2", "3"] and scored.table["correct"].tolist() == [1, 1, 1, 0]
    names = ["entailment", "neutral", "contradiction", "entailment"]
    assert scored.predictions == tuple(zip("0123", names, strict=True))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_predicted_classes_are_told_by_name(order: tuple[int, ...]) -> None:
    d = dataset("xnli")
    names = [d.labels[i] for i in order]
    examples = [Labelled(str(i), "a", "b", i) for i in range(3)]
    encoded = encode("labelled", examples, TOKENIZER, max_length=16)
    scored = score(d, "sw", examples, encoded, one_hot([0, 1, 2], 3), names)
    assert [prediction for _, prediction in scored.predictions] == names


@pytest.mark.protocol
def test_two_way_classification_with_f1_of_class_one() -> None:
    d = dataset("qqp")
    examples = [Labelled(str(i), "a", "b", label) for i, label in enumerate([1, 1, 0, 0, 1])]
    encoded = encode("labelled", examples, TOKENIZER, max_length=16)
    scored = score(d, "en", examples, encoded, one_hot([1, 0, 0, 1, 1], 2))
    assert scored.metrics == pytest.approx({"accuracy": 60, "f1": 100 * 2 / 3})


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("gold", "predicted", "mcc"),
    [
        ([1, 1, 1, 0, 0], [1, 1, 0, 0, 1], 0.1667),
        ([0, 0, 1, 1, 1, 0], [0, 1, 1, 1, 0, 0], 0.3333),
        ([1, 0, 1, 1], [1, 1, 1, 1], 0),
    ],
)
def test_two_way_classification_by_matthews_correlation(gold: list[int], predicted: list[int], mcc: float) -> None:
    d = dataset("cola")
    examples = [Labelled(str(i), "a", None, label) for i, label in enumerate(gold)]
    encoded = encode("labelled", examples, TOKENIZER, max_length=16)
    scored = score(d, "en", examples, encoded, one_hot(predicted, 2))
    assert scored.metrics["mcc"] == pytest.approx(100 * mcc, abs=5e-3)
    assert main_score(d, scored.metrics) == scored.metrics["mcc"]


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("gold", "predicted", "pearson", "spearman"),
    [([1, 2, 3, 4], [1, 2, 3, 10], 0.8854, 1), ([0, 1, 2.5, 5], [0.5, 0.5, 3, 4], 0.9475, 0.9487)],
)
def test_regression(gold: list[float], predicted: list[float], pearson: float, spearman: float) -> None:
    d = dataset("stsb")
    examples = [Rated(str(i), "a", "b", value) for i, value in enumerate(gold)]
    encoded = encode("regression", examples, TOKENIZER, max_length=16)
    for outputs in (np.array(predicted, np.float32), np.array(predicted, np.float32)[:, None]):
        scored = score(d, "en", examples, encoded, outputs)
        assert scored.metrics == pytest.approx({"pearson": 100 * pearson, "spearman": 100 * spearman}, abs=5e-3)
        assert scored.table["predicted"].tolist() == predicted  # 10 is above the scale and stays
        assert scored.predictions == tuple((str(i), repr(float(value))) for i, value in enumerate(predicted))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_have_no_score(value: float) -> None:
    classes = [Labelled(name, "a", "b", 0) for name in "xyz"]
    rated = [Rated(name, "a", "b", 1.0) for name in "xyz"]
    spans = [Span(name, "a", " ".join("abcdefgh"), ((0, "a"),)) for name in "xyz"]
    for name, examples in (("xnli", classes), ("stsb", rated), ("xquad", spans)):
        d = dataset(name)
        encoded = encode(d.kind, examples, TOKENIZER, max_length=9, doc_stride=2, max_query=1)
        outputs = np.zeros((len(encoded.tokens) if d.format.by_token else 3, 2), np.float32)
        last = len(outputs) - 1 if d.format.by_token else 2
        outputs[last, 1] = value
        with pytest.raises(NonFiniteOutput, match=f"^{name}/sw: example 'z': the model's outputs are infinite or NaN$"):
            score(d, "sw", examples, encoded, outputs)


def test_choice_accuracy() -> None:
    examples = [Choice(str(i), "a", ("b", "c", "d", "e"), label) for i, label in enumerate([3, 0])]
    encoded = encode("choice", examples, TOKENIZER, max_length=16)
    scored = score(dataset("hellaswag"), "en", examples, encoded, one_hot([3, 1], 4))
    assert scored.metrics == {"accuracy": 50}
    assert scored.predictions == (("0", "3"), ("1", "1"))


@pytest.mark.protocol
def test_answers_are_scored_by_squads_rules() -> None:
    context = "in Paris the Eiffel tower"
    examples = [
        Span("0", "a", context, ((3, "Paris"),)),
        Span("1", "a", context, ((13, "Eiffel Tower"),)),
        Span("2", "a", "", ((0, "Paris"),)),  # nothing to predict from, and still in the denominator
    ]
    encoded = encode("span", examples, TOKENIZER, max_length=96)
    logits = span_logits(encoded, {0: (4, 5, 9.0), 1: (6, 8, 9.0)})
    answers = ["in Paris", "the Eiffel tower", ""]
    assert predict_spans(examples, encoded, logits)[0] == answers
    d = dataset("squad")
    scored = score(d, "en", examples, encoded, logits)
    assert scored.metrics == pytest.approx({"f1": 100 * 5 / 9, "exact_match": 100 / 3})
    assert main_score(d, scored.metrics) == pytest.approx(100 * (5 / 9 + 1 / 3) / 2)
    assert scored.predictions == tuple(zip("012", answers, strict=True))
    assert scored.table["f1"].tolist() == pytest.approx([2 / 3, 1, 0])
    assert scored.table["exact_match"].tolist() == [0, 1, 0]


def test_mlqa_answers_are_scored_by_the_rules_of_their_language() -> None:
    examples = [Span("0", "a", "des tower", ((4, "tower"),)), Span("1", "a", "in Paris", ((3, "Paris"),))]
    encoded = encode("span", examples, TOKENIZER, max_length=96)
    whole = [int((encoded.extra["char_start"][encoded.starts[r] : encoded.starts[r + 1]] >= 0).sum()) for r in (0, 1)]
    logits = span_logits(encoded, {r: (SPECIALS_BEFORE, SPECIALS_BEFORE + whole[r] - 1, 9.0) for r in (0, 1)})
    assert predict_spans(examples, encoded, logits)[0] == ["des tower", "in Paris"]
    found = {tag: score(dataset("mlqa"), tag, examples, encoded, logits).metrics["exact_match"] for tag in ("de", "en")}
    assert found == {"de": 50, "en": 0}  # "des" is an article in German


def test_characters_are_scored_beside_and_not_in_the_main_score() -> None:
    d = dataset("xquad")
    examples = [Span("0", "a", "ab", ((0, "abc"),))]
    encoded = encode("span", examples, TOKENIZER, max_length=96)
    tokens = len(encoded.tokens) - SPECIALS_BEFORE - 1
    logits = span_logits(encoded, {0: (SPECIALS_BEFORE, SPECIALS_BEFORE + tokens - 1, 9.0)})
    metrics = score(d, "zh", examples, encoded, logits).metrics
    assert metrics == pytest.approx({"f1": 0, "exact_match": 0, "f1_characters": 80})
    assert main_score(d, metrics) == 0


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("start", "end", "allowed"),
    [
        (4, 4, True),
        (5, 4, False),  # ends before it starts
        (4, 33, True),  # 30 tokens
        (4, 34, False),  # 31 tokens
        (1, 4, False),  # starts in the question
        (40, 44, False),  # ends in the closing special
    ],
)
def test_which_spans_are_valid(start: int, end: int, allowed: bool) -> None:
    context = " ".join((LETTERS * 2)[:40])
    examples = [Span("0", "a", context, ())]
    encoded = encode("span", examples, TOKENIZER, max_length=96)
    assert len(encoded.tokens) == SPECIALS_BEFORE + 40 + 1
    answer = " ".join((LETTERS * 2)[start - SPECIALS_BEFORE : end - SPECIALS_BEFORE + 1])
    [predicted], _ = predict_spans(examples, encoded, span_logits(encoded, {0: (start, end, 9.0)}))
    assert (predicted == answer and answer != "") == allowed


@pytest.mark.protocol
def test_only_the_twenty_best_starts_and_ends_are_tried() -> None:
    context = " ".join((LETTERS * 2)[:45])
    examples = [Span("0", "a", context, ())]
    encoded = encode("span", examples, TOKENIZER, max_length=96)
    logits = np.zeros((len(encoded.tokens), 2), np.float32)
    logits[-21:-1, 0] = 5  # the twenty best starts are the last of the context,
    logits[4:24, 1] = 5  # the twenty best ends the first: no pair is in order
    assert predict_spans(examples, encoded, logits)[0] == [""]
    logits[-21, 1] = 6
    assert predict_spans(examples, encoded, logits)[0] == [context.split()[-20]]


@pytest.mark.protocol
def test_best_of_all_windows_but_only_where_the_start_has_most_context() -> None:
    examples = [Span("0", "x", "a b c d e f", ()), Span("1", "x", "y z", ())]
    encoded = encode("span", examples, TOKENIZER, max_length=9, doc_stride=2, max_query=1)  # windows abcd, cdef; yz
    assert encoded.example.tolist() == [0, 0, 1]
    # c is at its best in the first window, d in the second
    spans = {0: (6, 7, 3.0), 1: (7, 7, 2.0), 2: (4, 5, 1.0)}
    best_in_first = span_logits(encoded, spans)
    in_first = encoded.extra["max_context"][encoded.starts[0] :][4:8].tolist()
    in_second = encoded.extra["max_context"][encoded.starts[1] :][4:8].tolist()
    assert (in_first, in_second) == ([True, True, True, False], [False, True, True, True])
    assert predict_spans(examples, encoded, best_in_first)[0] == ["c d", "y z"]
    # a higher start at c in the second window does not count: c is not at its best there
    raised = best_in_first.copy()
    raised[encoded.starts[1] + 4, 0] = 9
    assert predict_spans(examples, encoded, raised)[0] == ["c d", "y z"]
    # an answer that scores higher there and starts at d does
    assert predict_spans(examples, encoded, span_logits(encoded, spans | {1: (5, 6, 9.0)}))[0] == ["d e", "y z"]


@pytest.mark.protocol
@pytest.mark.parametrize(("null", "answer"), [(5.9, "c d"), (6.0, "c d"), (6.1, "")])
def test_no_answer_wins_where_its_score_is_above_the_best_spans(null: float, answer: str) -> None:
    examples = [Span("0", "x", "a b c d", ())]
    encoded = encode("span", examples, TOKENIZER, max_length=9, max_query=1)
    logits = span_logits(encoded, {0: (6, 7, 3.0)})  # sum 6
    logits[0] = (null, 0)
    spans, odds = predict_spans(examples, encoded, logits)
    assert spans == ["c d"] and odds.tolist() == pytest.approx([null - 6], abs=1e-5)
    metrics = score(dataset("squad_v2"), "en", examples, encoded, logits)
    assert metrics.predictions == (("0", answer),)
    assert metrics.metrics["f1"] == metrics.metrics["exact_match"] == (100 if answer == "" else 0)
    assert score(dataset("squad"), "en", examples, encoded, logits).predictions == (("0", "c d"),)


def test_the_null_score_is_the_lowest_of_all_windows() -> None:
    examples = [Span("0", "x", "a b c d e f", ()), Span("1", "x", "y z", ())]
    encoded = encode("span", examples, TOKENIZER, max_length=9, doc_stride=2, max_query=1)
    logits = np.zeros((len(encoded.tokens), 2), np.float32)
    logits[encoded.starts[:-1]] = [(4, 1), (1, 2), (-1, 0.5)]
    assert predict_spans(examples, encoded, logits)[1].tolist() == [3, -0.5]


def test_an_empty_context_is_left_without_an_answer() -> None:
    examples = [Span("0", "x", "", ()), Span("1", "x", "", ((0, "a"),))]
    encoded = encode("span", examples, TOKENIZER, max_length=9, max_query=1)
    scored = score(dataset("squad_v2"), "en", examples, encoded, np.zeros((len(encoded.tokens), 2), np.float32))
    assert [prediction for _, prediction in scored.predictions] == ["", ""]
    # "a" has no token after normalisation, so that for this question too the empty answer is right
    assert scored.metrics == {"f1": 100, "exact_match": 100, "best_f1": 100, "best_exact_match": 100}


def test_squad_2_at_its_best_threshold() -> None:
    d = dataset("squad_v2")
    gold: list[tuple[tuple[int, str], ...]] = [((0, "b"),), (), ((0, "b c"),), ()]
    examples = [Span(str(i), "x", "b c d e", answers) for i, answers in enumerate(gold)]
    encoded = encode("span", examples, TOKENIZER, max_length=9, max_query=1)
    best = {0: (4, 4, 3.0), 1: (5, 5, 3.0), 2: (4, 4, 3.0), 3: (5, 5, 3.0)}  # b, c, b, c with a score of 6
    logits = span_logits(encoded, best)
    logits[encoded.starts[:-1], 0] = [7, 7.5, 8, 9]  # all above 6: nothing is answered
    scored = score(d, "en", examples, encoded, logits)
    assert [prediction for _, prediction in scored.predictions] == [""] * 4
    # F1 gains 1, loses 1 and gains 2/3 as 0, 1 and 2 are answered; exact match gains by 0 alone
    assert scored.metrics == pytest.approx({"f1": 50, "exact_match": 50, "best_f1": 75, "best_exact_match": 75})
    assert scored.table["null_odds"].tolist() == pytest.approx([1, 1.5, 2, 3])
    assert scored.table["span_f1"].tolist() == pytest.approx([1, 0, 2 / 3, 0])
    assert scored.table["unanswerable"].tolist() == [0, 1, 0, 1]
    many = aggregate(d, scored.table, np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0]]))
    assert many["best_f1"].tolist() == pytest.approx([75, 100 * (1 + 2 / 3 + 1) / 3, 0])


@pytest.mark.parametrize("context", ["a b c", ". b c", "the b c"])
def test_any_answer_to_a_question_without_one_costs_1_at_the_best_threshold(context: str) -> None:
    """An article or punctuation is empty only after normalisation, which the official sweep does not apply here."""
    d = dataset("squad_v2")
    examples = [Span("0", "x", context, ()), Span("1", "x", "b c d", ((0, "b"),))]
    encoded = encode("span", examples, TOKENIZER, max_length=9, max_query=1)
    logits = span_logits(encoded, {0: (3, 3, 3.0), 1: (3, 3, 3.0)})
    logits[encoded.starts[:-1], 0] = [7, 8]  # answering 1 means answering 0 too
    scored = score(d, "en", examples, encoded, logits)
    assert predict_spans(examples, encoded, logits)[0][0] == context.split()[0]
    assert scored.table["span_f1"].tolist() == scored.table["span_exact_match"].tolist()
    assert scored.table["span_f1"][0] == 0
    assert scored.metrics["best_f1"] == scored.metrics["best_exact_match"] == 50


TAGGED = [
    ("udpos", "DET NOUN NOUN VERB", "DET NOUN PROPN VERB", 400 / 7, 75),
    ("udpos", "NOUN PUNCT | VERB", "NOUN PUNCT | NOUN", 200 / 3, 200 / 3),
    ("udpos", "PRON SCONJ PRON VERB", "PRON CCONJ PRON VERB", 75, 75),
    ("panx", "O B-LOC | B-LOC I-LOC O", "O B-LOC | B-LOC I-LOC I-LOC", 50, None),
    ("panx", "B-PER I-PER O B-LOC", "I-PER I-PER O I-LOC", 100, None),
]


@pytest.mark.parametrize(("name", "gold", "predicted", "f1", "accuracy"), TAGGED)
def test_tagging(name: str, gold: str, predicted: str, f1: float, accuracy: float | None) -> None:
    d = dataset(name)
    examples = words_case(d, gold, d.labels)
    encoded = encode("words", examples, TOKENIZER, max_length=16)
    output = tag_output(encoded, [d.labels.index(t) for t in predicted.replace("|", "").split()])
    scored = score(d, "yo", examples, encoded, output)
    assert [" ".join(tags.split()) for tags in predicted.split("|")] == [tags for _, tags in scored.predictions]
    assert scored.metrics == pytest.approx({"f1": f1} | ({"accuracy": accuracy} if accuracy is not None else {}))


def test_split_sentences_are_joined_again() -> None:
    examples = [
        Words("0", ("a", "bcd", "efghijklm", "\u200b", "n"), (0, 1, 2, 3, 4)),
        Words("1", (), ()),
        Words("2", ("o", ""), (5, 6)),
    ]
    encoded = encode("words", examples, TOKENIZER, max_length=6)
    assert encoded.example.tolist() == [0, 0, 2]
    assert predict_tags(examples, encoded, tag_output(encoded, list(range(7)))) == [[0, 1, 2, 3, 4], [], [5, 6]]
    scored = score(dataset("udpos"), "th", examples, encoded, tag_output(encoded, list(range(7))))
    assert scored.metrics == {"f1": 100, "accuracy": 100}
    assert scored.table["words"].tolist() == [5, 0, 2]


def test_a_lost_word_is_an_error() -> None:
    examples = [Words("0", ("a", "b", "c"), (0, 1, 2))]
    encoded = encode("words", examples, TOKENIZER, max_length=16)
    word = encoded.extra["word"].copy()
    word[word == 1] = -1
    broken = dataclasses.replace(encoded, extra={"word": word})
    with pytest.raises(DataError, match="2 predicted words for 3 words"):
        score(dataset("udpos"), "en", examples, broken, np.zeros(len(encoded.tokens), int))


def test_open_tag_sets() -> None:
    d = dataset("ccg")
    examples = words_case(d, "N/N N | N", ("N/N", "N"))
    encoded = encode("words", examples, TOKENIZER, max_length=16)
    output = tag_output(encoded, [0, 1, 0])
    scored = score(d, "en", examples, encoded, output)  # accuracy needs no names
    assert scored.metrics == pytest.approx({"accuracy": 200 / 3})
    assert set(scored.table) == {"id", "correct", "words"}
    chunks = dataclasses.replace(d, main=("f1",), metrics=("f1",))
    with pytest.raises(BadInput, match="names of the tags"):
        score(chunks, "en", examples, encoded, output)
    assert score(chunks, "en", examples, encoded, output, labels=("N/N", "N")).metrics == pytest.approx({"f1": 200 / 3})


# ---- intents and slots ----

JOINT = ("book", "rain", "O", "B-from", "I-from", "B-to")


def utterances(*tagged: tuple[str, str]) -> list[Utterance]:
    """Make one utterance per (tags, intent)."""
    return [
        Utterance(str(i), tuple("abcdefgh"[: len(tags.split())]), tuple(tags.split()), intent)
        for i, (tags, intent) in enumerate(tagged)
    ]


def joint_output(encoded: Encoded, intents: list[int], tags: str) -> np.ndarray:
    """Make an intent id per row and tag ids of all words, noise elsewhere."""
    output = tag_output(encoded, [JOINT[2:].index(tag) for tag in tags.split()])
    output[encoded.starts[:-1]] = intents
    return output


@pytest.mark.protocol
def test_slots_as_they_are_and_rebuilt() -> None:
    examples = utterances(("O O B-from I-from O B-to", "book"))
    encoded = encode("intent", examples, TOKENIZER, max_length=16, labels=JOINT)
    output = joint_output(encoded, [0], "O O B-from O O B-to")
    scored = score(dataset("multiatis"), "de", examples, encoded, output, JOINT)
    assert scored.metrics == {"intent_accuracy": 100, "slot_f1_bio": 50, "slot_f1_rebuilt": 50, "joint_accuracy": 0}
    assert scored.predictions == (("0", "book\tO O B-from O O B-to"),)


def test_intents_and_slots() -> None:
    d = dataset("multiatis")
    examples = utterances(("B-to B-to", "book"), ("O B-from", "rain"), ("O O", "rain"), ("B-to", "book"))
    encoded = encode("intent", examples, TOKENIZER, max_length=16, labels=JOINT)
    output = joint_output(encoded, [0, 0, 1, 0], "B-to B-to O B-from O O B-from")
    scored = score(d, "de", examples, encoded, output, JOINT)
    # joint: the first and third are right in all; the second has another intent, the last another slot
    assert scored.metrics["intent_accuracy"] == 75 and scored.metrics["joint_accuracy"] == 50
    assert scored.metrics["slot_f1_bio"] == 75  # 3 of 4 and of 4
    assert scored.metrics["slot_f1_rebuilt"] == pytest.approx(200 / 3)  # 2 of 3 and of 3: the first two slots are one
    assert main_score(d, scored.metrics) == 75


def test_names_that_the_head_does_not_know_are_wrong() -> None:
    examples = utterances(("B-via O", "fly"), ("O O", "book"))
    encoded = encode("intent", examples, TOKENIZER, max_length=16, labels=JOINT)
    output = joint_output(encoded, [0, 0], "O O O O")
    scored = score(dataset("multiatis"), "de", examples, encoded, output, JOINT)
    assert scored.metrics == {"intent_accuracy": 50, "slot_f1_bio": 0, "slot_f1_rebuilt": 0, "joint_accuracy": 50}
    assert scored.table["gold"].tolist() == [1, 0]


def test_the_intent_of_a_split_sentence_is_that_of_its_first_row() -> None:
    words = [Utterance("0", tuple("abcdef"), ("O",) * 6, "book"), Utterance("1", (), (), "rain")]
    encoded = encode("intent", words, TOKENIZER, max_length=6, labels=JOINT)
    assert encoded.example.tolist() == [0, 0]
    output = joint_output(encoded, [0, 1], "O O O O O O")
    assert predict_intents(words, encoded, output) == [0, None]
    scored = score(dataset("multiatis"), "de", words, encoded, output, JOINT)
    assert scored.metrics["intent_accuracy"] == scored.metrics["joint_accuracy"] == 50
    assert scored.predictions == (("0", "book\tO O O O O O"), ("1", "\t"))


def test_intents_need_names_and_as_many_tags_as_words() -> None:
    examples = utterances(("O O", "book"))
    encoded = encode("intent", examples, TOKENIZER, max_length=16, labels=JOINT)
    output = joint_output(encoded, [0], "O O")
    with pytest.raises(BadInput, match="multiatis: .* names"):
        score(dataset("multiatis"), "de", examples, encoded, output)
    uneven = [dataclasses.replace(examples[0], tags=("O",))]
    with pytest.raises(DataError, match="0: 2 words but 1 tags"):
        score(dataset("multiatis"), "de", uneven, encoded, output, JOINT)


# ---- retrieval ----


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("english", "accuracy"), [([(3, 0.2), (0.1, 2), (5, 4.9)], 100), ([(3, 2.5), (0.1, 2), (5, 4.9)], 200 / 3)]
)
def test_retrieval_is_english_to_other(english: list[tuple[float, float]], accuracy: float) -> None:
    other = np.array([(1, 0), (0, 1), (1, 1)], np.float32)
    pairs = [Bitext(str(i), "a", "b") for i in range(3)]
    scored = scored_by(score_retrieval, "tatoeba", pairs, other, np.array(english, np.float32))
    assert scored.metrics == pytest.approx({"accuracy": accuracy})
    assert set(scored.table) == {"id", "correct"}
    first = "0" if accuracy == 100 else "2"
    assert scored.predictions == (("0", first), ("1", "1"), ("2", "2"))


def test_retrieval_the_other_way_round() -> None:
    source, target = np.array([(1, 0), (2, 1)], np.float32), np.array([(1, 0), (0, 1)], np.float32)
    pairs = [Bitext(str(i), "a", "b") for i in range(2)]
    there = scored_by(score_retrieval, "tatoeba", pairs, source, target)
    back = scored_by(score_retrieval, "tatoeba", pairs, source, target, "xx_to_en")
    assert (there.metrics["accuracy"], back.metrics["accuracy"]) == (100, 50)
    assert back.predictions == (("0", "0"), ("1", "0"))


GOLD = [Pair("0", "a0", "b0"), Pair("1", "a1", "b1"), Pair("2", "a3", "b3")]
FOUND = [("a0", "b0"), ("a1", "b1"), ("a2", "b9"), ("a3", "b3")]


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("more", "precision", "recall", "f1"), [([], 75, 100, 85.714), ([Pair("3", "a7", "b7")], 75, 75, 75)]
)
def test_mined_pairs(more: list[Pair], precision: float, recall: float, f1: float) -> None:
    scored = scored_by(score_mining, "bucc2018", GOLD + more, FOUND)
    assert scored.metrics == pytest.approx({"f1": f1, "precision": precision, "recall": recall}, abs=5e-4)
    assert scored.predictions == tuple(FOUND)
    missed = ["a7\tb7"] if more else []
    assert scored.table["id"] == ["a0\tb0", "a1\tb1", "a3\tb3", *missed]  # the same rows for every system
    assert sum(scored.table["predicted"]) == len(FOUND) and set(scored.table["gold"]) == {1}


def test_mined_pairs_are_sets() -> None:
    scored = scored_by(score_mining, "bucc2018", [*GOLD, GOLD[0]], [*FOUND, FOUND[0]])
    assert scored.metrics["precision"] == 75 and scored.metrics["recall"] == 100
    nothing = scored_by(score_mining, "bucc2018", GOLD, [])
    assert nothing.metrics == {"f1": 0, "precision": 0, "recall": 0} and nothing.predictions == ()
    with pytest.raises(DataError, match="bucc2018: no gold pairs"):
        score_mining(dataset("bucc2018"), [], FOUND)


@pytest.mark.protocol
@pytest.mark.parametrize(("ranking", "value"), [("3102", 83.33), ("1203", 41.67)])
def test_ranking_by_average_precision(ranking: str, value: float) -> None:
    gold = [Pair("0", "q", "0"), Pair("1", "q", "3")]
    scored = scored_by(score_ranking, "lareqa", gold, ["q"], [list(ranking)])
    assert scored.metrics == pytest.approx({"map_at_20": value}, abs=5e-3)
    assert [(query, json.loads(text)) for query, text in scored.predictions] == [("q", list(ranking))]


@pytest.mark.protocol
def test_ranking_by_reciprocal_rank() -> None:
    gold = [Pair(str(i), query, "x") for i, query in enumerate("abc")]
    scored = scored_by(score_ranking, "mewslix", gold, list("cba"), [["y", "z"], ["y", "x"], ["x"]])
    assert scored.metrics == {"mrr": 50}
    assert scored.table["id"] == ["a", "b", "c"] and scored.table["mrr"].tolist() == [1, 0.5, 0]


def test_rankings_are_cut_after_twenty_and_must_be_there() -> None:
    candidates = [str(i) for i in range(30)]
    gold = [Pair("0", "q", "20")]
    scored = scored_by(score_ranking, "mewslix", gold, ["q", "no gold"], [candidates, candidates])
    assert scored.metrics == {"mrr": 0} and scored.table["id"] == ["q"]
    assert json.loads(scored.predictions[0][1]) == candidates[:20]
    with pytest.raises(DataError, match="1 queries with gold pairs, 1 of them without a ranking"):
        score_ranking(dataset("mewslix"), gold, [], [])


# ---- reweighting ----


def cases() -> list[tuple[Dataset, LanguageScores]]:
    """Make a score of every metric rule, with random outputs."""
    rng = np.random.default_rng(0)
    found = []
    for name in (
        *("xnli", "qqp", "cola", "stsb", "hellaswag", "squad", "xquad", "squad_v2"),
        *("udpos", "panx", "ccg", "multiatis"),
    ):
        d = dataset(name)
        labels = d.labels or ("x", "y")
        examples: list[Any]
        outputs: np.ndarray
        if d.kind == "labelled":
            examples = [Labelled(str(i), "a", None, int(rng.integers(len(labels)))) for i in range(30)]
        elif d.kind == "choice":
            examples = [Choice(str(i), "a", tuple("bcde"), int(rng.integers(4))) for i in range(30)]
        elif d.kind == "span":
            answers: tuple[tuple[int, str], ...] = ((2, "c d"),)
            some = [() if name == "squad_v2" and i % 3 == 0 else answers for i in range(30)]
            examples = [Span(str(i), "a", "b c d e", answers) for i, answers in enumerate(some)]
        elif d.kind == "regression":
            examples = [Rated(str(i), "a", "b", i / 6) for i in range(30)]
        elif d.kind == "intent":
            labels = JOINT
            tags_of = [" ".join(rng.choice(JOINT[2:], rng.integers(1, 5))) for _ in range(30)]
            examples = utterances(*((tags, str(rng.choice(JOINT[:2]))) for tags in tags_of))
        else:
            lengths = rng.integers(1, 5, 30)
            tags = [tuple(rng.integers(len(labels), size=n).tolist()) for n in lengths]
            examples = [Words(str(i), tuple("abcd"[: len(t)]), t) for i, t in enumerate(tags)]
        encoded = encode(d.kind, examples, TOKENIZER, max_length=96, labels=labels)
        if d.kind in ("words", "intent"):
            outputs = rng.integers(len(labels) if d.kind == "words" else 2, size=len(encoded.tokens))
        else:
            sizes = {"labelled": (30, len(labels)), "choice": (30, 4), "span": (len(encoded.tokens), 2)}
            outputs = rng.normal(size=sizes.get(d.kind, (30, 1))).astype(np.float32)
        if d.kind == "regression":
            outputs = outputs + np.arange(30)[:, None] / 10
        found.append((d, score(d, "en", examples, encoded, outputs, labels)))
    names = [f"{i}" for i in range(30)]
    gold = [Pair(i, i, i) for i in names]
    d = dataset("bucc2018")
    found.append((d, with_metrics(d, score_mining(d, gold, [(i, i) for i in names[:20]]))))
    for name in ("lareqa", "mewslix"):
        rankings = [rng.permutation(names).tolist() for _ in names]
        d = dataset(name)
        found.append((d, with_metrics(d, score_ranking(d, gold, names, rankings))))
    return found


@pytest.mark.parametrize(("d", "scored"), cases(), ids=lambda value: getattr(value, "name", ""))
def test_aggregate_recomputes_and_reweights(d: Dataset, scored: LanguageScores) -> None:
    assert set(scored.table) == {"id", *columns(d)}
    assert tuple(scored.metrics) == d.metrics
    assert aggregate(d, scored.table) == scored.metrics
    assert all(type(value) is float and 0 <= value <= 100 for value in scored.metrics.values())
    as_lists = {name: list(values) for name, values in scored.table.items()}
    weights = np.random.default_rng(1).integers(0, 3, size=(4, 30))
    many = aggregate(d, as_lists, weights)
    for sample, counts in enumerate(weights):
        drawn = np.repeat(np.arange(30), counts)  # the sample written out row by row
        rows = {name: np.asarray(values)[drawn] for name, values in scored.table.items()}
        assert aggregate(d, rows) == pytest.approx({name: many[name][sample] for name in many})
        assert aggregate(d, as_lists, counts) == pytest.approx({name: many[name][sample] for name in many})
        assert aggregate(d, as_lists, counts, d.main) == pytest.approx({name: many[name][sample] for name in d.main})


def test_a_sample_of_nothing_scores_nothing() -> None:
    for d, scored in cases():
        assert set(aggregate(d, scored.table, np.zeros(30)).values()) == {0.0}


@pytest.mark.parametrize("name", [name for name, d in DATASETS.items() if d.kind != "text"])
def test_every_catalogue_metric_has_a_rule(name: str) -> None:
    d = DATASETS[name]
    table = {"id": ["0", "1"]} | {column: [1, 1] for column in columns(d)}
    for column in columns(d):
        if d.kind == "regression" or "mcc" in d.metrics and column in ("tp", "predicted", "gold"):
            table[column] = [0, 1]  # a correlation needs two values
    assert aggregate(d, table) == pytest.approx(dict.fromkeys(d.metrics, 100))


def test_a_metric_without_a_column_is_an_error() -> None:
    with pytest.raises(ValueError, match="xquad: no rule to compute 'exact_match' from f1"):
        aggregate(dataset("xquad"), {"f1": [1]}, np.ones(1))


def test_outputs_that_do_not_belong_are_refused() -> None:
    d = dataset("xnli")
    examples = [Labelled("0", "a", "b", 0), Labelled("1", "a", "b", 0)]
    encoded = encode("labelled", examples, TOKENIZER, max_length=16)
    with pytest.raises(DataError, match="xnli/sw: 2 examples to score, 2 encoded, 1 outputs where 2 were expected"):
        score(d, "sw", examples, encoded, one_hot([0], 3))
    with pytest.raises(DataError, match="1 examples to score"):
        score(d, "sw", examples[:1], encoded, one_hot([0, 0], 3))
    with pytest.raises(DataError, match="0 examples"):
        score(d, "sw", [], encode("labelled", [], TOKENIZER, max_length=16), np.empty((0, 3)))
    with pytest.raises(DataError, match="tatoeba: 0 pairs"):
        score_retrieval(dataset("tatoeba"), [], np.empty((0, 2)), np.empty((0, 2)))
    text = [Text("0", "a")]
    rows = encode("text", text, TOKENIZER, max_length=16)
    with pytest.raises(ValueError, match="mlm: text has no outputs"):
        score(dataset("mlm"), "en", text, rows, np.zeros(len(rows.tokens)))
