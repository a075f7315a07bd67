"""The training loop: every kind learns, the best weights stay, bad losses fail.

The error of a non-finite loss names step and task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables.catalogue import DATASETS, dataset
from trainables.configs import TrainingConfig
from trainables.encoding.encoded import Encoded
from trainables.formats import encode
from trainables.modeling.memory import MAX_TOKENS
from trainables.modeling.model import Head, Net, load_lm
from trainables.profiles import PROFILES
from trainables.sources import Source
from trainables.training.batch import item_lengths
from trainables.training.checkpoint import Checkpoints
from trainables.training.distributed import ProcessGroup
from trainables.training.loop import CHECK_EVERY, Device, History, NonFiniteLoss, PhaseData, fit, make_optimizer
from trainables.training.schedule import Stream, make_schedule

KINDS = ("mnli", "sib200", "commonsense_qa", "squad", "ccg", "mlm")
State = dict[str, torch.Tensor]
NOWHERE = Checkpoints(None, ProcessGroup())


@pytest.fixture(scope="module")
def encoded(source: Source, tokenizer: Any) -> Mapping[str, Encoded]:
    rows = {name: source.examples(dataset(name), "en", "train", take=8) for name in KINDS}
    return {name: encode(dataset(name).kind, found, tokenizer, max_length=96) for name, found in rows.items()}


@pytest.fixture
def net(nano: Path, source: Source) -> Net:
    heads = {name: Head(DATASETS[name].kind, tuple(source.labels(DATASETS[name]))) for name in KINDS}
    return Net(load_lm(nano, dropout=0.0), heads, seed=0)


@pytest.fixture
def train(net: Net, encoded: Mapping[str, Encoded], tokenizer: Any, machine: Device) -> Callable[..., History]:
    """Train `net` for some steps on one task, or on several with equal shares."""

    def run(
        *tasks: str,
        steps: int,
        dev: Callable[[], float] | None = None,
        on_progress: Callable[[int, int, float, int], None] = lambda *_: None,
        **numbers: Any,
    ) -> History:
        streams = {name: Stream(item_lengths(encoded[name]), 4) for name in tasks}
        schedule = make_schedule(streams, {name: 1 / len(tasks) for name in tasks}, steps, seed=0)
        config = TrainingConfig(**{"lr": 3e-3, **numbers})
        return fit(
            net,
            PhaseData(rows=encoded, schedule=schedule),
            config,
            tokenizer=tokenizer,
            machine=machine,
            checkpoints=NOWHERE,
            on_progress=on_progress,
            dev_score=dev,
        )

    return run


def state_of(net: Net) -> State:
    return {name: value.clone() for name, value in net.state_dict().items()}


def differing(one: State, other: State) -> set[str]:
    return {name for name in one if not torch.equal(one[name], other[name])}


@pytest.mark.parametrize("task", KINDS)
def test_every_kind_of_dataset_learns_its_rows(task: str, train: Callable[..., History]) -> None:
    steps = 40 if task in ("squad", "ccg") else 120  # a pooled head on a narrow encoder starts slowly
    history = train(task, steps=steps)
    assert history.tasks == [task] * steps
    assert history.steps == len(history.losses) == history.best_step == steps
    share = 0.95 if task == "mlm" else 0.6  # masked LM hides other tokens at every step
    assert np.mean(history.losses[-15:]) < share * np.mean(history.losses[:15])


def test_a_step_changes_only_what_its_task_uses(net: Net, train: Callable[..., History]) -> None:
    before = state_of(net)
    train("mnli", steps=3)
    changed = differing(before, state_of(net))
    assert {name.split(".")[1] for name in changed if name.startswith("heads.")} == {"mnli"}
    assert not any("lm_head" in name and "decoder.weight" not in name for name in changed)  # tied to the embeddings
    before = state_of(net)
    train("mlm", steps=3)
    changed = differing(before, state_of(net))
    assert not any(name.startswith("heads.") for name in changed)
    assert "lm.lm_head.dense.weight" in changed


def test_early_stopping_restores_the_best_weights(net: Net, train: Callable[..., History]) -> None:
    scores = iter([1.0, 3.0, 3.0, 2.0, 2.5, 9.0])
    seen: list[State] = []

    def dev() -> float:
        assert not net.training
        seen.append(state_of(net))
        return next(scores)

    history = train("mnli", steps=20, dev=dev, min_evals=10, patience=3)
    assert history.dev == [(2, 1.0), (4, 3.0), (6, 3.0), (8, 2.0), (10, 2.5)]  # an equal score is not a better one
    assert (history.best_step, history.steps, len(history.losses)) == (4, 10, 10)
    assert not differing(seen[1], state_of(net))
    assert differing(seen[1], seen[2])


def test_without_a_dev_score_the_last_weights_stay(net: Net, train: Callable[..., History]) -> None:
    before = state_of(net)
    history = train("mnli", steps=4)
    assert (history.dev, history.best_step) == ([], 4)
    assert differing(before, state_of(net))


def test_the_last_weights_stay_where_a_profile_keeps_them(net: Net, train: Callable[..., History]) -> None:
    scores = iter([3.0, 2.0, 1.0, 0.5])
    seen: list[State] = []

    def dev() -> float:
        seen.append(state_of(net))
        return next(scores)

    history = train("mnli", steps=8, dev=dev, min_evals=4, patience=None, keep="last")
    assert history.dev == [(2, 3.0), (4, 2.0), (6, 1.0), (8, 0.5)] and history.best_step == history.steps == 8
    assert not differing(seen[-1], state_of(net)) and differing(seen[0], seen[-1])


def test_without_patience_a_phase_runs_to_its_end_and_keeps_the_best(net: Net, train: Callable[..., History]) -> None:
    scores = iter([9.0, *[1.0] * 19])
    seen: list[State] = []

    def dev() -> float:
        seen.append(state_of(net))
        return next(scores)

    history = train("mnli", steps=20, dev=dev, min_evals=20, patience=None)
    assert (history.best_step, history.steps) == (1, 20) and not differing(seen[0], state_of(net))


def test_steps_of_warm_up_take_the_place_of_a_share(net: Net, train: Callable[..., History]) -> None:
    """Equal warm-ups give equal results.

    A warm-up longer than the phase is cut to it.
    """
    start = state_of(net)
    ends = []
    for numbers in ({"warmup_frac": 0.5}, {"warmup_steps": 5}, {"warmup_steps": 10}, {"warmup_steps": 500}):
        net.load_state_dict(start)
        train("mnli", steps=10, **numbers)
        ends.append(state_of(net))
    assert not differing(ends[0], ends[1]) and differing(ends[1], ends[2]) and not differing(ends[2], ends[3])


def test_the_last_step_is_always_evaluated(train: Callable[..., History]) -> None:
    scores = iter([1.0, 2.0, 3.0])
    history = train("mnli", steps=7, dev=lambda: next(scores), min_evals=3)
    assert history.dev == [(3, 1.0), (6, 2.0), (7, 3.0)]
    assert history.best_step == 7


def test_progress_has_the_mean_loss_since_the_last_call_and_all_tokens(
    train: Callable[..., History], encoded: Mapping[str, Encoded]
) -> None:
    calls: list[tuple[int, int, float, int]] = []
    steps = CHECK_EVERY + 5
    history = train("mnli", steps=steps, on_progress=lambda *values: calls.append(values))
    steps_seen = [call[0] for call in calls]
    assert steps_seen[:2] == [0, 1] and steps_seen[-1] == steps and {call[1] for call in calls} == {steps}
    assert max(np.diff(steps_seen)) <= CHECK_EVERY
    expected = [np.mean(history.losses[a:b]) for a, b in pairwise(steps_seen)]
    assert np.isnan(calls[0][2]) and [call[2] for call in calls[1:]] == pytest.approx(expected)
    lengths = item_lengths(encoded["mnli"])
    schedule = make_schedule({"mnli": Stream(lengths, 4)}, {"mnli": 1.0}, steps, seed=0)
    tokens = np.cumsum([0, *(lengths[schedule.at(step)[1]].sum() for step in range(steps))])
    assert [call[3] for call in calls] == [tokens[at] for at in steps_seen]


def test_a_loss_that_is_not_finite_names_step_task_and_the_losses_before(train: Callable[..., History]) -> None:
    with pytest.raises(
        NonFiniteLoss, match=r"^loss is (nan|inf) at step [2-9] \(task squad\); before it: \d"
    ) as caught:
        train("squad", steps=200, lr=1e30, warmup_frac=0.0, clip=1e30)
    step = int(str(caught.value).split("at step ")[1].split()[0])
    assert str(caught.value).count(",") == min(step - 1, 5) - 1


def test_poisoned_weights_stop_at_the_first_step(net: Net, train: Callable[..., History]) -> None:
    with torch.no_grad():
        net.get_parameter("heads.ccg.out.weight")[0, 0] = float("nan")
    with pytest.raises(NonFiniteLoss, match=r"loss is nan at step 1 \(task ccg\); before it: none"):
        train("ccg", steps=CHECK_EVERY)


def test_a_loss_that_is_not_finite_is_found_before_the_dev_score_can_hide_it(train: Callable[..., History]) -> None:
    with pytest.raises(NonFiniteLoss):
        train("mnli", steps=10, dev=lambda: 0.0, min_evals=10, patience=1, lr=1e30, warmup_frac=0.0, clip=1e30)


def test_training_is_a_function_of_the_seed(
    nano: Path, encoded: Mapping[str, Encoded], tokenizer: Any, machine: Device
) -> None:
    def trained(seed: int) -> State:
        torch.manual_seed(int(torch.randint(1000, ())))  # whatever state the process is in
        net = Net(load_lm(nano), {"mnli": Head("labelled", ("a", "b", "c"))}, seed=0)  # with the encoder's own dropout
        schedule = make_schedule({"mnli": Stream(item_lengths(encoded["mnli"]), 4)}, {"mnli": 1.0}, 5, seed=0)
        data = PhaseData(rows=encoded, schedule=schedule)
        config = TrainingConfig(lr=1e-3, seed=seed)
        fit(net, data, config, tokenizer=tokenizer, machine=machine, checkpoints=NOWHERE)
        return state_of(net)

    first = trained(0)
    assert not differing(first, trained(0))
    assert differing(first, trained(1))


def test_smaller_pieces_train_the_same(
    nano: Path,
    source: Source,
    encoded: Mapping[str, Encoded],
    tokenizer: Any,
    machine: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = []
    for budget in (10**9, 100):
        monkeypatch.setitem(MAX_TOKENS, "cpu", budget)
        heads = {name: Head(DATASETS[name].kind, tuple(source.labels(DATASETS[name]))) for name in ("squad", "mlm")}
        net = Net(load_lm(nano, dropout=0.0), heads, seed=0)
        streams = {name: Stream(item_lengths(encoded[name]), 4) for name in heads}
        schedule = make_schedule(streams, {"squad": 0.5, "mlm": 0.5}, 20, seed=0)
        data, config = PhaseData(rows=encoded, schedule=schedule), TrainingConfig(lr=5e-4)
        losses.append(fit(net, data, config, tokenizer=tokenizer, machine=machine, checkpoints=NOWHERE).losses)
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-4)


def test_weight_decay_spares_biases_and_layer_norms(net: Net) -> None:
    decayed, plain = make_optimizer(net, TrainingConfig(lr=1e-3, weight_decay=0.01), torch.device("cpu")).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)
    names = {id(p): name for name, p in net.named_parameters()}
    assert all(
        names[id(p)].endswith("bias") or "LayerNorm" in names[id(p)] or "layer_norm" in names[id(p)]
        for p in plain["params"]
    )
    assert not any(names[id(p)].endswith("bias") for p in decayed["params"])
    assert len(decayed["params"]) + len(plain["params"]) == len(names)


def test_what_does_not_fit_goes_through_in_smaller_pieces_once(
    net: Net, train: Callable[..., History], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, sizes = net.loss, []
    short = 0

    def loss(task: str, tensors: Any, rows_per_item: int) -> torch.Tensor:
        sizes.append(len(tensors["tokens"]))
        if len(sizes) <= short:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot.")
        return whole(task, tensors, rows_per_item)

    monkeypatch.setattr(net, "loss", loss)
    before = state_of(net)
    expected = train("ccg", steps=3).losses
    net.load_state_dict(before)
    sizes.clear()
    short = 1
    found = train("ccg", steps=3).losses
    assert found == pytest.approx(expected, abs=1e-5)
    net.load_state_dict(before)
    sizes.clear()
    short = 2
    with pytest.raises(torch.OutOfMemoryError):
        train("ccg", steps=3)
    assert len(sizes) == 2


@pytest.mark.protocol
def test_ranking_two_candidates_is_cross_entropy_over_their_scores(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """QNLI as MT-DNN ranks it.

    Scores (2, 1), the positive first, have the loss ln(1 + 1/e) = .3133.
    """
    monkeypatch.setattr(net, "forward", lambda task, tokens, mask, *rest: torch.tensor([[2.0], [1.0]]))
    batch = {"tokens": torch.zeros(2, 4), "mask": torch.ones(2, 4), "labels": torch.tensor([0])}
    assert float(net.loss("commonsense_qa", batch, rows_per_item=2)) == pytest.approx(0.3133, abs=5e-5)


@pytest.mark.protocol
def test_adamax_of_mtdnn(net: Net) -> None:
    """Kingma and Ba 2015: the first step moves every weight by lr.

    It moves against the gradient's sign, whatever the gradient's size.
    """
    config = TrainingConfig(**asdict(PROFILES["mtdnn"].phase))
    optimizer = make_optimizer(net, config, torch.device("cpu"))
    assert isinstance(optimizer, torch.optim.Adamax)
    for group in optimizer.param_groups:
        assert (group["lr"], group["eps"], group["betas"], group["weight_decay"]) == (5e-5, 1e-6, (0.9, 0.999), 0.0)
    weight = net.get_parameter("heads.ccg.out.weight")
    before = weight.detach().clone()
    weight.grad = torch.where(torch.arange(weight.numel()).view_as(weight) % 2 == 0, 0.5, -300.0)
    optimizer.step()
    assert torch.allclose(weight, before - 5e-5 * weight.grad.sign(), atol=1e-8)
