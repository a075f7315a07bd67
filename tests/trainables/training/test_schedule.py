"""Schedules: published mixing numbers, frequencies, dependence on the seed alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from trainables.configs import rows_at, steps_of
from trainables.training.schedule import (
    WINDOW_BATCHES,
    Stream,
    draw_tasks,
    generator,
    item_order,
    language_probabilities,
    learning_rate,
    make_schedule,
    mask_tokens,
    mixing_probabilities,
)

K = 2**17
DRAWS = 100_000
# Sizes e_m of Phang et al. 2020; what lies above K counts as K.
SIX = {
    "anli_plus": 1_104_934,
    "qqp": 363_846,
    "hellaswag": 39_905,
    "ccg": 38_015,
    "cosmos_qa": 25_588,
    "commonsense_qa": 9_741,
}
NINE = {**SIX, "squad": 87_599, "mnli": 392_702, "squad2": 130_319}
MLM = {"mlm": 2_000_000}


def far_from(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the largest deviation of counts, in standard deviations."""
    draws = counts.sum()
    return float(np.max(np.abs(counts - draws * probabilities) / np.sqrt(draws * probabilities * (1 - probabilities))))


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (
            SIX,
            {
                "anli_plus": 0.349159,
                "qqp": 0.349159,
                "hellaswag": 0.106302,
                "ccg": 0.101267,
                "cosmos_qa": 0.068163,
                "commonsense_qa": 0.025949,
            },
        ),
        (
            NINE,
            {
                "anli_plus": 0.180943,
                "qqp": 0.180943,
                "mnli": 0.180943,
                "squad2": 0.179903,
                "squad": 0.120929,
                "hellaswag": 0.055088,
                "ccg": 0.052479,
                "cosmos_qa": 0.035324,
                "commonsense_qa": 0.013447,
            },
        ),
        ({"squad": 87_599} | MLM, {"squad": 0.400597, "mlm": 0.599403}),
        ({"commonsense_qa": 9_741} | MLM, {"commonsense_qa": 0.069177, "mlm": 0.930823}),
        ({"anli_plus": 1_104_934} | MLM, {"anli_plus": 0.5, "mlm": 0.5}),
    ],
)
def test_mixing_follows_the_published_formula(sizes: dict[str, int], expected: dict[str, float]) -> None:
    found = mixing_probabilities(sizes, K)
    assert found == pytest.approx(expected, abs=5e-7)
    assert math.fsum(found.values()) == pytest.approx(1)


@pytest.mark.protocol
def test_the_six_published_tasks_take_69_012_steps() -> None:
    batches = {"cosmos_qa": 4, "commonsense_qa": 4}
    tasks = {name: (items, 3.0, batches.get(name, 24)) for name, items in SIX.items()}
    assert steps_of(tasks, 1.0, K, 0.0) == 69_012
    assert steps_of(tasks, 0.5, K, 0.0) == 34_506
    assert steps_of(tasks, 1.0, K, 0.25) == 92_016  # a quarter masked LM: the tasks keep their passes


def test_one_task_alone_is_not_capped() -> None:
    assert steps_of({"qqp": (363_846, 3, 24)}, 1.0, K, 0.0) == 3 * math.ceil(363_846 / 24)
    assert steps_of({"squad": (87_599, 3, 8)}, 1.0, K, 1 - 0.400597) == pytest.approx(32_850 / 0.400597, abs=1)
    assert steps_of({"tiny": (1, 0.1, 8)}, 1.0, 0, 0.0) == 1


def test_a_rehearsal_keeps_a_floor_of_rows_and_never_more_than_there_are() -> None:
    assert rows_at(1.0, 1000, 64) == 1000
    assert rows_at(0.1, 1000, 64) == 100
    assert rows_at(0.001, 1000, 64) == 64
    assert rows_at(0.001, 10, 64) == 10


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((900, 90, 10), (0.568039, 0.284694, 0.147267)), ((1_000_000, 10_000, 100), (0.760870, 0.191122, 0.048008))],
)
def test_languages_are_smoothed_by_alpha(sizes: tuple[int, ...], expected: tuple[float, ...]) -> None:
    assert language_probabilities(sizes, 0.3) == pytest.approx(expected, abs=5e-7)
    assert language_probabilities(sizes, 1.0) == pytest.approx(np.array(sizes) / sum(sizes))


@pytest.mark.parametrize("sizes", [SIX, NINE, {"squad": 87_599} | MLM])
def test_tasks_are_drawn_with_their_probabilities(sizes: dict[str, int]) -> None:
    probabilities = np.array(list(mixing_probabilities(sizes, K).values()))
    counts = np.bincount(draw_tasks(list(probabilities), DRAWS, seed=3), minlength=len(sizes))
    assert far_from(counts, probabilities) < 4


def test_one_task_is_drawn_at_every_step() -> None:
    assert not draw_tasks([1.0], 1000, seed=0).any()


def test_languages_are_drawn_with_their_probabilities() -> None:
    sizes = (900, 90, 10)
    probabilities = language_probabilities(sizes, 0.3)
    groups = np.repeat(np.arange(3), sizes)
    stream = Stream(np.ones(1000, np.int64), 10, groups, probabilities)
    items = make_schedule({"mlm": stream}, {"mlm": 1.0}, DRAWS // 10, seed=1).items["mlm"]
    assert far_from(np.bincount(groups[items.ravel()]), probabilities) < 4
    # Inside a language every line comes up equally often, give or take one pass.
    times = np.bincount(items.ravel(), minlength=1000)
    assert all(np.ptp(times[groups == language]) <= 1 for language in range(3))


@pytest.mark.protocol
def test_masking_rates() -> None:
    tokens = generator(5, "test").integers(10, 1000, 200_000)
    special = np.arange(len(tokens)) % 10 == 0
    before = tokens.copy()
    corrupted, chosen = mask_tokens(tokens, special, mask_id=4, vocabulary=1000, rng=generator(0, "mask", 1))
    assert np.array_equal(tokens, before)
    assert not (chosen & special).any()
    assert np.array_equal(corrupted[~chosen], tokens[~chosen])
    eligible, hidden = int((~special).sum()), int(chosen.sum())
    assert far_from(np.array([hidden, eligible - hidden]), np.array([0.15, 0.85])) < 4
    masked, kept = (corrupted[chosen] == 4).sum(), (corrupted[chosen] == tokens[chosen]).sum()
    # A random id is the token itself, or <mask>, once in a thousand.
    expected = np.array([0.8 + 0.1 / 1000, 0.1 + 0.1 / 1000, 0.1 * 998 / 1000])
    assert far_from(np.array([masked, kept, hidden - masked - kept]), expected) < 4
    replaced = corrupted[chosen & (corrupted != 4) & (corrupted != tokens)]
    assert 0 <= replaced.min() < 20 and 980 < replaced.max() < 1000  # the whole vocabulary is drawn from
    again, others = (
        mask_tokens(tokens, special, mask_id=4, vocabulary=1000, rng=generator(0, "mask", s)) for s in (1, 2)
    )
    assert np.array_equal(again[0], corrupted) and not np.array_equal(others[1], chosen)


def streams() -> dict[str, Stream]:
    rng = generator(0, "lengths")
    groups = np.repeat(np.arange(2), (200, 57))
    return {
        "a": Stream(rng.integers(3, 60, 501), 4),
        "b": Stream(rng.integers(3, 60, 77), 7),
        "mlm": Stream(rng.integers(3, 60, 257), 5, groups, language_probabilities((200, 57), 0.3)),
    }


MIX: Mapping[str, float] = {"a": 0.5, "b": 0.2, "mlm": 0.3}


def test_a_schedule_depends_on_the_seed_alone() -> None:
    one, same, other = (make_schedule(streams(), MIX, 200, seed=seed) for seed in (1, 1, 2))
    for step in range(200):
        assert one.at(step)[0] == same.at(step)[0]
        assert np.array_equal(one.at(step)[1], same.at(step)[1])
    assert not np.array_equal(one.task, other.task)
    assert not np.array_equal(one.items["a"][:10], other.items["a"][:10])


def test_the_same_seed_begins_the_same_way_however_long_the_phase() -> None:
    short, long = (make_schedule(streams(), MIX, steps, seed=1) for steps in (600, 1000))
    assert np.array_equal(short.task, long.task[:600])
    for name, items in short.items.items():
        whole = len(items) // WINDOW_BATCHES * WINDOW_BATCHES  # what is in the last window depends on where it ends
        assert whole >= WINDOW_BATCHES
        assert np.array_equal(items[:whole], long.items[name][:whole])


def test_a_task_draws_the_same_batches_whatever_it_is_mixed_with() -> None:
    mixed = make_schedule(streams(), MIX, 600, seed=1)
    alone = make_schedule({"a": streams()["a"]}, {"a": 1.0}, len(mixed.items["a"]), seed=1)
    assert np.array_equal(mixed.items["a"], alone.items["a"])


def test_the_kth_batch_of_a_task_comes_at_its_kth_draw() -> None:
    made = make_schedule(streams(), MIX, 300, seed=4)
    seen: dict[str, int] = dict.fromkeys(made.names, 0)
    for step in range(made.steps):
        name, items = made.at(step)
        assert np.array_equal(items, made.items[name][seen[name]])
        seen[name] += 1
    assert seen == {name: len(items) for name, items in made.items.items()}
    assert made.epochs(streams())["b"] == pytest.approx(seen["b"] * 7 / 77)


def test_every_epoch_covers_each_item_once() -> None:
    order = item_order(Stream(np.ones(77, np.int64), 7), 3 * 77, seed=0, name="b").reshape(3, 77)
    assert all(np.array_equal(np.sort(epoch), np.arange(77)) for epoch in order)
    assert not np.array_equal(order[0], order[1])
    items = make_schedule({"b": streams()["b"]}, {"b": 1.0}, 5 * 11, seed=0).items["b"]
    assert np.array_equal(np.bincount(items.ravel()), np.full(77, 5))


def test_batches_hold_items_of_like_length() -> None:
    stream = Stream(generator(0, "lengths").integers(3, 200, 6400), 16)
    items = make_schedule({"a": stream}, {"a": 1.0}, 400, seed=0).items["a"]
    lengths = stream.lengths[items]
    assert lengths.sum() / (lengths.max(1) * 16).sum() > 0.95  # the rest is padding
    assert abs(np.corrcoef(np.arange(64), lengths[:64].mean(1))[0, 1]) < 0.4  # short ones do not all come first


def test_generators_differ_by_seed_and_purpose() -> None:
    draws = [generator(*key).random() for key in [(0, "mask", 1), (0, "mask", 2), (0, "dropout", 1), (1, "mask", 1)]]
    assert len(set(draws)) == 4
    assert generator(0, "mask", 1).random() == draws[0]


def test_the_learning_rate_warms_up_and_decays_linearly() -> None:
    rates = [learning_rate(step, 100, 2.0, 0.1) for step in range(100)]
    assert rates[:10] == pytest.approx(np.linspace(0.2, 2.0, 10))
    assert rates[10:] == pytest.approx(np.linspace(2.0, 2.0 / 90, 90))
    assert max(rates) == 2.0
    assert learning_rate(100, 100, 2.0, 0.1) == 0
    assert learning_rate(0, 1, 2.0, 0.1) == 2.0
    assert [learning_rate(step, 4, 2.0, 0.0) for step in range(4)] == [2.0, 1.5, 1.0, 0.5]
