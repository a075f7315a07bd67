from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.tiny import tiny_tokenizer
from trainables.catalogue import DATASETS, Dataset, dataset
from trainables.errors import BadInput, DataError
from trainables.examples import Bitext, Choice, Labelled, Span, Text, Words
from trainables.formats import Encoded, encode
from trainables.scoring import Scored, aggregate, columns, predict_spans, predict_tags, score, score_retrieval

LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]
TOKENIZER = tiny_tokenizer([*LETTERS, "in", "Paris", "the", "Eiffel", "tower"])


def one_hot(predicted: list[int], width: int) -> np.ndarray:
    return np.eye(width, dtype=np.float32)[predicted]


def span_logits(encoded: Encoded, spans: dict[int, tuple[int, int, float]]) -> np.ndarray:
    """Flat logits but for one pair of raised ones in some rows: row -> (start, end, logit), token places in the row."""
    logits = np.zeros((len(encoded.tokens), 2), np.float32)
    for row, (start, end, logit) in spans.items():
        logits[encoded.starts[row] + start, 0] = logits[encoded.starts[row] + end, 1] = logit
    return logits


def tag_output(encoded: Encoded, predicted: list[int]) -> np.ndarray:
    """Tag ids [T] that hold `predicted` at the first pieces of the words, and nonsense everywhere else."""
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


def test_two_way_classification_with_f1_of_class_one() -> None:
    d = dataset("qqp")
    examples = [Labelled(str(i), "a", "b", label) for i, label in enumerate([1, 1, 0, 0, 1])]
    encoded = encode("labelled", examples, TOKENIZER, max_length=16)
    scored = score(d, "en", examples, encoded, one_hot([1, 0, 0, 1, 1], 2))
    assert scored.metrics == pytest.approx({"accuracy": 60, "f1": 100 * 2 / 3})


def test_choice_accuracy() -> None:
    examples = [Choice(str(i), "a", ("b", "c", "d", "e"), label) for i, label in enumerate([3, 0])]
    encoded = encode("choice", examples, TOKENIZER, max_length=16)
    scored = score(dataset("hellaswag"), "en", examples, encoded, one_hot([3, 1], 4))
    assert scored.metrics == {"accuracy": 50}


def test_answers_are_scored_by_squads_rules() -> None:
    context = "in Paris the Eiffel tower"
    examples = [
        Span("0", "a", context, ((3, "Paris"),)),
        Span("1", "a", context, ((13, "Eiffel Tower"),)),
        Span("2", "a", "", ((0, "Paris"),)),  # nothing to predict from, and still in the denominator
    ]
    encoded = encode("span", examples, TOKENIZER, max_length=96)
    logits = span_logits(encoded, {0: (4, 5, 9.0), 1: (6, 8, 9.0)})
    assert predict_spans(examples, encoded, logits) == ["in Paris", "the Eiffel tower", ""]
    scored = score(dataset("xquad"), "de", examples, encoded, logits)
    assert scored.metrics == pytest.approx({"f1": 100 * 5 / 9, "exact_match": 100 / 3})
    assert scored.table["f1"].tolist() == pytest.approx([2 / 3, 1, 0])
    assert scored.table["exact_match"].tolist() == [0, 1, 0]


SPECIALS_BEFORE = 4  # <s> a </s> </s>


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
    predicted = predict_spans(examples, encoded, span_logits(encoded, {0: (start, end, 9.0)}))[0]
    assert (predicted == answer and answer != "") == allowed


def test_only_the_twenty_best_starts_and_ends_are_tried() -> None:
    context = " ".join((LETTERS * 2)[:45])
    examples = [Span("0", "a", context, ())]
    encoded = encode("span", examples, TOKENIZER, max_length=96)
    logits = np.zeros((len(encoded.tokens), 2), np.float32)
    logits[-21:-1, 0] = 5  # the twenty best starts are the last of the context,
    logits[4:24, 1] = 5  # the twenty best ends the first: no pair is in order
    assert predict_spans(examples, encoded, logits) == [""]
    logits[-21, 1] = 6
    assert predict_spans(examples, encoded, logits) == [context.split()[-20]]


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
    assert predict_spans(examples, encoded, best_in_first) == ["c d", "y z"]
    # a higher start at c in the second window does not count: c is not at its best there
    raised = best_in_first.copy()
    raised[encoded.starts[1] + 4, 0] = 9
    assert predict_spans(examples, encoded, raised) == ["c d", "y z"]
    # an answer that scores higher there and starts at d does
    assert predict_spans(examples, encoded, span_logits(encoded, spans | {1: (5, 6, 9.0)})) == ["d e", "y z"]


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
    metrics = score(d, "yo", examples, encoded, output).metrics
    assert metrics == pytest.approx({"f1": f1} | ({"accuracy": accuracy} if accuracy is not None else {}))


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
    chunks = dataclasses.replace(d, metric="f1", metrics=("f1",))
    with pytest.raises(BadInput, match="names of the tags"):
        score(chunks, "en", examples, encoded, output)
    assert score(chunks, "en", examples, encoded, output, labels=("N/N", "N")).metrics == pytest.approx({"f1": 200 / 3})


@pytest.mark.parametrize(
    ("english", "accuracy"), [([(3, 0.2), (0.1, 2), (5, 4.9)], 100), ([(3, 2.5), (0.1, 2), (5, 4.9)], 200 / 3)]
)
def test_retrieval_is_english_to_other(english: list[tuple[float, float]], accuracy: float) -> None:
    other = np.array([(1, 0), (0, 1), (1, 1)], np.float32)
    pairs = [Bitext(str(i), "a", "b") for i in range(3)]
    scored = score_retrieval(dataset("tatoeba"), pairs, other, np.array(english, np.float32))
    assert scored.metrics == pytest.approx({"accuracy": accuracy})
    assert set(scored.table) == {"id", "correct"}


def cases() -> list[tuple[Dataset, Scored]]:
    """A score of every metric rule, with random outputs."""
    rng = np.random.default_rng(0)
    found = []
    for name in ("xnli", "qqp", "hellaswag", "xquad", "udpos", "panx", "ccg"):
        d = dataset(name)
        labels = d.labels or ("x", "y")
        examples: list[Any]
        if d.kind == "labelled":
            examples = [Labelled(str(i), "a", None, int(rng.integers(len(labels)))) for i in range(30)]
        elif d.kind == "choice":
            examples = [Choice(str(i), "a", tuple("bcde"), int(rng.integers(4))) for i in range(30)]
        elif d.kind == "span":
            examples = [Span(str(i), "a", "b c d e", ((2, "c d"),)) for i in range(30)]
        else:
            lengths = rng.integers(1, 5, 30)
            tags = [tuple(rng.integers(len(labels), size=n).tolist()) for n in lengths]
            examples = [Words(str(i), tuple("abcd"[: len(t)]), t) for i, t in enumerate(tags)]
        encoded = encode(d.kind, examples, TOKENIZER, max_length=96)
        if d.kind == "words":
            outputs = rng.integers(len(labels), size=len(encoded.tokens))
        else:
            size = {"labelled": (30, len(labels)), "choice": (30, 4), "span": (len(encoded.tokens), 2)}[d.kind]
            outputs = rng.normal(size=size).astype(np.float32)
        found.append((d, score(d, "en", examples, encoded, outputs)))
    return found


@pytest.mark.parametrize(("d", "scored"), cases(), ids=lambda value: getattr(value, "name", ""))
def test_aggregate_recomputes_and_reweights(d: Dataset, scored: Scored) -> None:
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


def test_a_sample_of_nothing_scores_nothing() -> None:
    for d, scored in cases():
        assert set(aggregate(d, scored.table, np.zeros(30)).values()) == {0.0}


@pytest.mark.parametrize("name", [name for name, d in DATASETS.items() if d.kind != "text"])
def test_every_catalogue_metric_has_a_rule(name: str) -> None:
    d = DATASETS[name]
    table = {"id": ["0"]} | {column: [1] for column in columns(d)}
    assert aggregate(d, table) == pytest.approx(dict.fromkeys(d.metrics, 100))


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
