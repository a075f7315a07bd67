from __future__ import annotations

import random

import numpy as np
import pytest

from trainables.errors import BadInput
from trainables.metrics import (
    accuracy,
    chunk_counts,
    f1_from_counts,
    mlqa_normalise,
    mlqa_scores,
    nearest,
    squad_normalise,
    squad_scores,
)


@pytest.mark.parametrize(
    ("prediction", "golds", "exact", "f1"),
    [
        ("The Eiffel Tower!", ["Eiffel Tower"], 1, 1),
        ("in Paris, France", ["Paris"], 0, 0.5),
        ("Denver Broncos defeated", ["Denver Broncos", "The Broncos"], 0, 0.8),
        ("2,000", ["2000"], 1, 1),
        ("re-open", ["reopen"], 1, 1),
        ("the", ["a"], 1, 0),  # both empty after normalising
        ("«Paris»", ["Paris"], 0, 0),  # only ASCII punctuation goes
        ("天气很好", ["天气很好。"], 0, 0),  # no segmentation
        ("", ["Paris"], 0, 0),
        ("", [], 1, 1),  # unanswerable
        ("Paris", [], 0, 0),
    ],
)
def test_squad_scores(prediction: str, golds: list[str], exact: float, f1: float) -> None:
    assert squad_scores(prediction, golds) == pytest.approx((f1, exact))


def test_squad_takes_the_best_gold_for_each_number_on_its_own() -> None:
    # "a" equals "the" once normalised (exact match, F1 0), while "the cat" shares a token with no exact match
    assert squad_scores("the", ["a", "the the cat"]) == (0.0, 1.0)
    assert squad_scores("cat", ["the big cat", "cat"]) == (1.0, 1.0)


def test_squad_normalise_deletes_punctuation_and_articles() -> None:
    assert squad_normalise("  The co-op, an  A-team's THEATRE ") == "coop ateams theatre"


@pytest.mark.parametrize(
    ("language", "prediction", "gold", "normalised", "exact", "f1"),
    [
        ("zh", "天气很好", "天气", "天 气 很 好", 0, 2 / 3),
        ("zh", "iPhone 手机", "iPhone手机", "iphone 手 机", 1, 1),
        ("de", "des großen Berges", "großen Berges", "großen berges", 1, 1),
        ("ar", "في المدينة", "مدينة", "في مدينة", 0, 2 / 3),
        ("ar", "باللغة العربية", "العربية", "ب لغة عربية", 0, 0.5),
        ("es", "«París»", "París", "parís", 1, 1),
        ("en", "$5", "5", "5", 1, 1),
        ("vi", "những con mèo", "con mèo", "con mèo", 1, 1),
        ("hi", "यह दिल्ली।", "दिल्ली", "यह दिल्ली", 0, 2 / 3),
    ],
)
def test_mlqa_scores(language: str, prediction: str, gold: str, normalised: str, exact: float, f1: float) -> None:
    assert mlqa_normalise(prediction, language) == normalised
    assert mlqa_scores(prediction, [gold], language) == pytest.approx((f1, exact))


def test_mlqa_has_seven_languages() -> None:
    with pytest.raises(BadInput, match="MLQA language 'fr'"):
        mlqa_scores("Paris", ["Paris"], "fr")


TAGGED = [  # sentences are separated by "|"
    ("DET NOUN NOUN VERB", "DET NOUN PROPN VERB", 1 / 2, 2 / 3, 4 / 7),
    ("ADJ NOUN VERB", "NOUN NOUN VERB", 1 / 2, 1 / 3, 2 / 5),
    ("PRON VERB SCONJ PRON VERB", "PRON VERB CCONJ PRON VERB", 4 / 5, 4 / 5, 4 / 5),
    ("SYM SYM NUM", "SYM NUM NUM", 1 / 2, 1 / 3, 2 / 5),
    ("NOUN PUNCT | VERB", "NOUN PUNCT | NOUN", 2 / 3, 2 / 3, 2 / 3),
    ("B-PER I-PER O B-LOC", "B-PER I-PER O B-ORG", 1 / 2, 1 / 2, 1 / 2),
    ("B-PER I-PER O B-LOC", "I-PER I-PER O I-LOC", 1, 1, 1),
    ("B-PER I-PER I-PER O", "B-PER I-PER O O", 0, 0, 0),
    ("O B-LOC | B-LOC I-LOC O", "O B-LOC | B-LOC I-LOC I-LOC", 1 / 2, 1 / 2, 1 / 2),
    ("B-city B-city O", "B-city I-city O", 0, 0, 0),
    ("B-from-city O", "B-to-city O", 1, 1, 1),  # the type is what follows the last "-"
    ("O O", "O O", 0, 0, 0),
]


@pytest.mark.parametrize(("gold", "predicted", "precision", "recall", "f1"), TAGGED)
def test_tagging_f1(gold: str, predicted: str, precision: float, recall: float, f1: float) -> None:
    sentences = zip(gold.split("|"), predicted.split("|"), strict=True)
    counts = [chunk_counts(g.split(), p.split()) for g, p in sentences]
    right, found, there = map(sum, zip(*counts, strict=True))
    assert right / max(1, found) == pytest.approx(precision)
    assert right / max(1, there) == pytest.approx(recall)
    assert f1_from_counts(right, found, there) == pytest.approx(f1)


def test_part_of_speech_chunks_are_runs_except_those_of_s() -> None:
    upos = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
    rng = random.Random(0)

    def runs(tags: list[str]) -> set[tuple[str, int, int]]:
        found: list[tuple[str, int, int]] = []
        for i, tag in enumerate(tags):
            if found and found[-1][0] == tag and tag[0] != "S":
                found[-1] = (tag, found[-1][1], i)
            else:
                found.append((tag, i, i))
        return set(found)

    for _ in range(2000):
        few = rng.sample(upos, 3)
        gold, predicted = ([rng.choice(few) for _ in range(8)] for _ in range(2))
        ours, theirs = runs(predicted), runs(gold)
        assert chunk_counts(gold, predicted) == (len(ours & theirs), len(ours), len(theirs))


def test_chunk_counts_warn_about_nothing(recwarn: pytest.WarningsRecorder) -> None:
    chunk_counts(["NOUN", "INTJ", "X"], ["SCONJ", "SYM", "O"])
    assert not recwarn.list


@pytest.mark.parametrize(
    ("english", "found", "share"),
    [
        ([(0.1, 2), (3, 2.5), (5, 4.9)], [1, 2, 2], 2 / 3),
        ([(0.1, 2), (3, 0.2), (5, 4.9)], [1, 0, 2], 1),
    ],
)
def test_nearest_by_cosine(english: list[tuple[float, float]], found: list[int], share: float) -> None:
    other = np.array([(1, 0), (0, 1), (1, 1)], np.float32)
    for block in (1, 2, 1024):
        predicted = nearest(np.array(english, np.float32), other, block=block)
        assert predicted.tolist() == found
    assert accuracy([1, 0, 2], predicted.tolist()) == pytest.approx(share)


def test_nearest_ignores_length_and_survives_zero_vectors() -> None:
    pool = np.array([(100, 90), (0, 0.1), (0, 0)], np.float32)
    assert nearest(np.array([(0, 7), (0, 0)], np.float32), pool).tolist() == [1, 0]
    assert nearest(np.empty((0, 2), np.float32), pool).tolist() == []


def test_two_way_accuracy_and_f1_of_class_one() -> None:
    gold, predicted = [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]
    assert accuracy(gold, predicted) == pytest.approx(0.6)
    right = sum(g == p == 1 for g, p in zip(gold, predicted, strict=True))
    assert f1_from_counts(right, sum(predicted), sum(gold)) == pytest.approx(2 / 3)
    assert accuracy([], []) == 0
