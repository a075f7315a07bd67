from __future__ import annotations

import random
from collections.abc import Sequence
from importlib import import_module

import numpy as np
import pytest

from trainables.errors import BadInput
from trainables.metrics.formulas import (
    accuracy,
    average_precision,
    best_at_threshold,
    character_f1,
    chunk_counts,
    f1_from_counts,
    matthews,
    mlqa_normalise,
    mlqa_scores,
    nearest,
    pearson,
    rebuild_bio,
    reciprocal_rank,
    spearman,
    squad2_scores,
    squad_normalise,
    squad_scores,
)


@pytest.mark.protocol
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
    ],
)
def test_squad_scores(prediction: str, golds: list[str], exact: float, f1: float) -> None:
    assert squad_scores(prediction, golds) == pytest.approx((f1, exact))


@pytest.mark.parametrize(
    ("prediction", "golds", "scores"), [("", ["Paris"], (0, 0)), ("", [], (1, 1)), ("Paris", [], (0, 0))]
)
def test_squad_scores_of_nothing(prediction: str, golds: list[str], scores: tuple[float, float]) -> None:
    assert squad_scores(prediction, golds) == squad2_scores(prediction, golds) == scores


@pytest.mark.protocol
def test_squad_2_counts_two_empty_answers_as_equal() -> None:
    assert squad2_scores("the", ["a"]) == (1, 1)


def test_squad_2_drops_gold_answers_without_a_token() -> None:
    assert squad2_scores("the", ["a", "Paris"]) == (0, 0)
    assert squad2_scores("in Paris", ["a", "Paris"]) == pytest.approx((2 / 3, 0))
    assert squad2_scores("Paris", ["..."]) == (0, 0)


@pytest.mark.parametrize(
    ("prediction", "golds", "f1"),
    [
        ("天气很好", ["天气很好。"], 8 / 9),  # a token F1 of 0
        ("天气很好", ["天气", "很好 天"], 6 / 7),
        ("The big cat", ["a cat's"], 6 / 10),  # bigcat and cats share c, a and t
        ("", [], 1),
        ("猫", [], 0),
        ("", ["猫"], 0),
    ],
)
def test_f1_over_characters(prediction: str, golds: list[str], f1: float) -> None:
    assert character_f1(prediction, golds) == pytest.approx(f1)


def test_squad_takes_the_best_gold_for_each_number_on_its_own() -> None:
    # "a" equals "the" once normalised (exact match, F1 0), while "the cat" shares a token with no exact match
    assert squad_scores("the", ["a", "the the cat"]) == (0.0, 1.0)
    assert squad_scores("cat", ["the big cat", "cat"]) == (1.0, 1.0)


def test_squad_normalise_deletes_punctuation_and_articles() -> None:
    assert squad_normalise("  The co-op, an  A-team's THEATRE ") == "coop ateams theatre"


MLQA = [
    ("zh", "天气很好", "天气", "天 气 很 好", 0, 2 / 3),
    ("zh", "iPhone 手机", "iPhone手机", "iphone 手 机", 1, 1),
    ("de", "des großen Berges", "großen Berges", "großen berges", 1, 1),
    ("ar", "في المدينة", "مدينة", "في مدينة", 0, 2 / 3),
    ("ar", "باللغة العربية", "العربية", "ب لغة عربية", 0, 0.5),
    ("es", "«París»", "París", "parís", 1, 1),
    ("en", "$5", "5", "5", 1, 1),
]
MLQA_MORE = [
    ("vi", "những con mèo", "con mèo", "con mèo", 1, 1),
    ("hi", "यह दिल्ली।", "दिल्ली", "यह दिल्ली", 0, 2 / 3),
]


@pytest.mark.parametrize(
    ("language", "prediction", "gold", "normalised", "exact", "f1"),
    [
        *MLQA_MORE,
        *(pytest.param(*case, marks=pytest.mark.protocol) for case in MLQA),
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
]
TAGGED_MORE = [
    ("B-from-city O", "B-to-city O", 0, 0, 0),  # the type is all that follows the first "-"
    ("B-from-city I-from-city", "B-from-city I-to-city", 0, 0, 0),
    ("O O", "O O", 0, 0, 0),
]


@pytest.mark.parametrize(
    ("gold", "predicted", "precision", "recall", "f1"),
    [*(pytest.param(*case, marks=pytest.mark.protocol) for case in TAGGED), *TAGGED_MORE],
)
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
    "tags",
    [
        "O B-PER I-PER B-ORG I-ORG B-LOC I-LOC",
        "O B-fromloc.city_name I-fromloc.city_name B-date I-date",
        "O B-from-city I-from-city B-to-city I-to-city B-city",
        # newer releases drop the first letter of a bare tag: no two of these become the same, and none begins with S
        "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT VERB",
    ],
)
@pytest.mark.filterwarnings("ignore:.*seems not to be NE tag")
def test_chunk_f1_is_seqevals_where_its_releases_agree(tags: str) -> None:
    from seqeval.metrics import f1_score

    rng = random.Random(1)
    for _ in range(200):
        few = rng.sample(tags.split(), 4)
        gold, predicted = ([[rng.choice(few) for _ in range(n)] for n in (1, 3, 8)] for _ in range(2))
        predicted = [p if rng.random() < 0.5 else g for g, p in zip(gold, predicted, strict=True)]
        counts = [chunk_counts(g, p) for g, p in zip(gold, predicted, strict=True)]
        ours = f1_from_counts(*(sum(column) for column in zip(*counts, strict=True)))
        assert ours == pytest.approx(f1_score(gold, predicted, zero_division=0))


@pytest.mark.protocol
def test_slots_rebuilt_from_bare_names() -> None:
    gold, predicted = "O O B-from I-from O B-to".split(), "O O B-from O O B-to".split()
    counts = chunk_counts(rebuild_bio(gold), rebuild_bio(predicted))
    assert counts[0] / counts[1] == counts[0] / counts[2] == f1_from_counts(*counts) == 0.5


def test_neighbouring_slots_of_one_name_merge_when_rebuilt() -> None:
    assert rebuild_bio("B-to B-to O I-to I-from B-B".split()) == "B-to I-to O B-to B-from B-B".split()
    assert rebuild_bio("to to O to from".split()) == "B-to I-to O B-to B-from".split()
    assert rebuild_bio([]) == []
    gold, predicted = ["B-to", "B-to"], ["B-to", "I-to"]
    assert chunk_counts(gold, predicted) == (0, 1, 2)
    assert chunk_counts(rebuild_bio(gold), rebuild_bio(predicted)) == (1, 1, 1)


@pytest.mark.protocol
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


@pytest.mark.protocol
def test_two_way_accuracy_and_f1_of_class_one() -> None:
    gold, predicted = [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]
    assert accuracy(gold, predicted) == pytest.approx(0.6)
    right = sum(g == p == 1 for g, p in zip(gold, predicted, strict=True))
    assert f1_from_counts(right, sum(predicted), sum(gold)) == pytest.approx(2 / 3)


def test_accuracy_of_nothing() -> None:
    assert accuracy([], []) == 0


# ---- classes and numbers ----


def mcc_of(gold: Sequence[int], predicted: Sequence[int]) -> float:
    y, p = np.array(gold, float), np.array(predicted, float)
    return float(matthews(y @ p, p.sum(), y.sum(), np.asarray(float(len(y)))))


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("gold", "predicted", "value"),
    [
        ([1, 1, 1, 0, 0], [1, 1, 0, 0, 1], 0.1667),
        ([0, 0, 1, 1, 1, 0], [0, 1, 1, 1, 0, 0], 0.3333),
        ([1, 0, 1, 1], [1, 1, 1, 1], 0),
    ],
)
def test_matthews_correlation(gold: list[int], predicted: list[int], value: float) -> None:
    assert mcc_of(gold, predicted) == pytest.approx(value, abs=5e-5)


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_matthews_correlation_is_that_of_scikit_learn() -> None:
    matthews_corrcoef = import_module("sklearn.metrics").matthews_corrcoef
    rng = np.random.default_rng(0)
    for n in (2, 3, 10, 1000):
        for _ in range(20):
            gold, predicted = rng.integers(0, 2, (2, n))
            assert mcc_of(gold, predicted) == pytest.approx(matthews_corrcoef(gold, predicted))


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("gold", "predicted", "linear", "ranked"),
    [([1, 2, 3, 4], [1, 2, 3, 10], 0.8854, 1), ([0, 1, 2.5, 5], [0.5, 0.5, 3, 4], 0.9475, 0.9487)],
)
def test_correlations(gold: list[float], predicted: list[float], linear: float, ranked: float) -> None:
    columns = np.array(gold), np.array(predicted), np.ones(4)
    assert pearson(*columns) == pytest.approx(linear, abs=5e-5)
    assert spearman(*columns) == pytest.approx(ranked, abs=5e-5)


def test_correlations_of_samples_are_those_of_scipy_on_the_rows_written_out() -> None:
    stats = import_module("scipy.stats")  # it has no types
    rng = np.random.default_rng(3)
    gold, predicted = rng.integers(0, 6, 40) / 2, rng.normal(size=40).round(1)  # both with ties
    weights = rng.integers(0, 4, (8, 40)).astype(float)
    linear, ranked = pearson(gold, predicted, weights), spearman(gold, predicted, weights)
    for i, times in enumerate(weights):
        x, y = (np.repeat(values, times.astype(int)) for values in (gold, predicted))
        assert linear[i] == pytest.approx(stats.pearsonr(x, y).statistic)
        assert ranked[i] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert pearson(gold, predicted, times) == pytest.approx(linear[i])
        assert spearman(gold, predicted, times) == pytest.approx(ranked[i])


def test_a_constant_column_has_no_correlation() -> None:
    tenths, rising = np.full(7, 0.1), np.arange(7.0)  # seven tenths do not have the mean 0.1 exactly
    for metric in (pearson, spearman):
        assert metric(tenths, rising, np.ones(7)) == metric(rising, tenths, np.ones(7)) == 0
        assert metric(rising, rising, np.eye(7)[2]) == metric(rising, rising, np.zeros(7)) == 0
        assert metric(rising, -rising, np.ones(7)) == pytest.approx(-1)


# ---- questions without an answer ----


def official_best(odds: list[float], answered: list[float], unanswerable: list[int]) -> float:
    """Compute the threshold sweep of SQuAD 2.0's evaluation.

    One question at a time, as it is described.
    """
    score = best = float(sum(unanswerable))
    for i in sorted(range(len(odds)), key=lambda i: odds[i]):
        score += answered[i] if not unanswerable[i] else answered[i] - 1
        best = max(best, score)
    return best / len(odds)


def test_the_best_threshold_is_found_by_the_official_sweep() -> None:
    rng = np.random.default_rng(4)
    odds = rng.normal(size=30).round(1)
    odds[3] = np.inf
    unanswerable = rng.integers(0, 2, 30)
    answered = np.where(unanswerable, 0, rng.random(30))
    weights = rng.integers(0, 3, (5, 30)).astype(float)
    many = best_at_threshold(odds, answered, unanswerable, weights)
    for i, times in enumerate(weights.astype(int)):
        rows = [np.repeat(values, times).tolist() for values in (odds, answered, unanswerable)]
        assert many[i] == pytest.approx(official_best(*rows))
        assert best_at_threshold(odds, answered, unanswerable, times.astype(float)) == pytest.approx(many[i])


def test_the_best_threshold_may_answer_nothing_or_everything() -> None:
    weights = np.ones(3)
    assert best_at_threshold(np.array([1.0, 2, 3]), np.zeros(3), np.array([1, 1, 0]), weights) == pytest.approx(2 / 3)
    assert best_at_threshold(np.array([1.0, 2, 3]), np.ones(3), np.array([0, 0, 0]), weights) == 1
    assert best_at_threshold(np.array([9.0, 5, 7]), np.array([0, 1.0, 0.5]), np.array([1, 0, 0]), weights) == (
        pytest.approx(2.5 / 3)
    )


# ---- rankings ----


@pytest.mark.protocol
@pytest.mark.parametrize(("ranking", "value"), [("3102", 0.8333), ("1203", 0.4167)])
def test_average_precision(ranking: str, value: float) -> None:
    assert average_precision(ranking, {"0", "3"}, 20) == pytest.approx(value, abs=5e-5)


def test_average_precision_looks_at_k_candidates() -> None:
    assert average_precision("ab", set("abc"), 2) == 1  # no more than two of the three can be found
    assert average_precision("xxa", {"a"}, 2) == average_precision("", {"a"}, 2) == average_precision("a", (), 2) == 0


@pytest.mark.protocol
def test_mean_reciprocal_rank() -> None:
    ranks = [reciprocal_rank(ranking, {"a"}, 20) for ranking in ("ab", "ba", "")]
    assert sum(ranks) / 3 == 0.5


def test_reciprocal_rank_looks_at_k_candidates() -> None:
    ranking = [*map(str, range(20)), "a"]
    assert reciprocal_rank(ranking, {"a"}, 20) == 0
    assert reciprocal_rank(ranking[1:], {"a"}, 20) == 1 / 20
