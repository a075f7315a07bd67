"""Robust training (Huang et al. 2021): perturbations stay in their ball.

They raise the loss, and change nothing else.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.launch import main as launch
from trainables.catalogue import dataset
from trainables.configs import TrainingConfig
from trainables.encoding.encoded import Encoded
from trainables.formats import encode
from trainables.hyperparameter_sources import numbers
from trainables.modeling.model import Head, Net, load_lm
from trainables.objectives import Robust
from trainables.recipe import Recipe
from trainables.sources import Source
from trainables.training.batch import collate, item_lengths
from trainables.training.checkpoint import Checkpoints
from trainables.training.distributed import ProcessGroup
from trainables.training.loop import Device, History, Loss, PhaseData, fit
from trainables.training.robust import Changes, changed_loss, direction, pgd_perturbation, project, random_perturbation
from trainables.training.schedule import Stream, make_schedule

# One task of every format with a head, and masked LM.
KINDS = ("mnli", "stsb", "commonsense_qa", "squad", "ccg", "mtop", "mlm")
L2 = Robust(method="adversarial", eps=0.5, steps=1, step_size=1.0)
LINF = replace(L2, norm="linf", eps=0.03)
RANDOM = Robust(method="random", eps=0.5)
Train = Callable[..., History]


@pytest.fixture(scope="module")
def encoded(source: Source, tokenizer: Any) -> Mapping[str, Encoded]:
    found = {}
    for name in KINDS:
        d = dataset(name)
        rows = source.examples(d, "en", "train", take=160 if name == "mnli" else 8)
        found[name] = encode(d.kind, rows, tokenizer, max_length=96, labels=source.labels(d))
    return found


def fresh(nano: Path, source: Source, dropout: float) -> Net:
    heads = {name: Head(dataset(name).kind, tuple(source.labels(dataset(name)))) for name in KINDS}
    return Net(load_lm(nano, dropout=dropout), heads, seed=0)


@pytest.fixture
def train(encoded: Mapping[str, Encoded], tokenizer: Any, machine: Device) -> Train:
    """Train a net for some steps on one task."""

    def run(net: Net, task: str, steps: int, robust: Robust | None, **values: Any) -> History:
        schedule = make_schedule({task: Stream(item_lengths(encoded[task]), 4)}, {task: 1.0}, steps, seed=0)
        config = TrainingConfig(lr=1e-3, robust=robust, **values)
        data, none = PhaseData(rows=encoded, schedule=schedule), Checkpoints(None, ProcessGroup())
        return fit(net, data, config, tokenizer=tokenizer, machine=machine, checkpoints=none)

    return run


@pytest.fixture
def net(nano: Path, source: Source, train: Train) -> Net:
    """Train a net briefly on MNLI."""
    made = fresh(nano, source, 0.1)
    train(made, "mnli", 60, None)
    return made.eval()


def batches(encoded: Encoded, size: int) -> list[dict[str, torch.Tensor]]:
    order = np.arange(len(encoded.labels)).reshape(-1, size)
    return [collate(encoded, items, pad_id=1).tensors(torch.device("cpu")) for items in order]


def state_of(net: Net) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def equal(one: Net, other: Net) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


# --- the ball ---


@pytest.mark.protocol
def test_the_worked_projection() -> None:
    delta = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    assert torch.allclose(project(delta, "l2", 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    assert torch.equal(project(delta, "linf", 1.0), torch.tensor([[1.0, 1.0], [0.3, 0.4], [0.0, 0.0]]))


def test_directions_have_length_one_however_small_the_gradient_is() -> None:
    gradient = torch.tensor([[3.0, -4.0], [3e-30, -4e-30], [0.0, 0.0]])
    unit = torch.tensor([[0.6, -0.8], [0.6, -0.8], [0.0, 0.0]])
    assert torch.allclose(direction(gradient, "l2"), unit)
    assert torch.equal(direction(gradient, "linf"), torch.tensor([[1.0, -1.0], [1.0, -1.0], [0.0, 0.0]]))


@pytest.mark.parametrize("robust", [L2, LINF], ids=["l2", "linf"])
def test_the_first_step_has_the_stated_norm_on_every_token_and_none_on_padding(
    robust: Robust, net: Net, encoded: Mapping[str, Encoded]
) -> None:
    norm = 2.0 if robust.norm == "l2" else float("inf")
    padded = 0
    for batch in batches(encoded["mnli"], 4):
        lengths = torch.linalg.vector_norm(pgd_perturbation(net, "mnli", batch, 1, robust).double(), norm, dim=-1)
        seen = batch["mask"].bool()
        assert torch.all((lengths[seen] - robust.eps).abs() < 1e-6)
        assert torch.all(lengths[~seen] == 0)
        padded += int((~seen).sum())
    assert padded > 0


@pytest.mark.parametrize("robust", [L2, LINF], ids=["l2", "linf"])
def test_more_steps_stay_in_the_ball(robust: Robust, net: Net, encoded: Mapping[str, Encoded]) -> None:
    batch = batches(encoded["mnli"], 4)[0]
    delta = pgd_perturbation(net, "mnli", batch, 1, replace(robust, steps=3, step_size=0.6))
    norm = 2.0 if robust.norm == "l2" else float("inf")
    lengths = torch.linalg.vector_norm(delta.double(), norm, dim=-1)[batch["mask"].bool()]
    assert torch.all(lengths < robust.eps * (1 + 1e-6)) and float(lengths.mean()) > 0.7 * robust.eps


@pytest.mark.parametrize("robust", [replace(L2, eps=0.05), replace(LINF, eps=0.005)], ids=["l2", "linf"])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_change_raises_the_loss(robust: Robust, steps: int, net: Net, encoded: Mapping[str, Encoded]) -> None:
    robust = replace(robust, steps=steps, step_size=1.0 if steps == 1 else 0.5)
    raised = []
    for batch in batches(encoded["mnli"], 4):
        delta = pgd_perturbation(net, "mnli", batch, 1, robust)
        with torch.no_grad():
            raised.append(bool(net.loss("mnli", batch, 1, delta) > net.loss("mnli", batch)))
    assert len(raised) >= 40 and np.mean(raised) >= 0.95


def test_the_search_leaves_gradients_and_the_random_state_alone(net: Net, encoded: Mapping[str, Encoded]) -> None:
    batch = batches(encoded["mnli"], 4)[0]
    parameters = dict(net.named_parameters())
    marked = {name: torch.full_like(p, 0.25) for name, p in parameters.items() if "layer.0" in name}
    for name, value in marked.items():
        parameters[name].grad = value.clone()
    before = torch.get_rng_state()
    pgd_perturbation(net.train(), "mnli", batch, 1, replace(L2, steps=3))
    assert torch.equal(torch.get_rng_state(), before)
    assert marked
    for name, parameter in parameters.items():
        assert torch.equal(parameter.grad, marked[name]) if name in marked else parameter.grad is None  # type: ignore[arg-type]


def test_no_change_is_the_loss_as_it_is(net: Net, encoded: Mapping[str, Encoded]) -> None:
    batch = batches(encoded["mnli"], 4)[0]
    nothing = torch.zeros_like(net.embedded(batch["tokens"]))
    with torch.no_grad():
        assert float(net.loss("mnli", batch, 1, nothing)) == pytest.approx(float(net.loss("mnli", batch)), rel=1e-6)


# --- random changes ---


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_random_changes_fill_the_ball(norm: Any, net: Net, encoded: Mapping[str, Encoded]) -> None:
    robust, device = replace(RANDOM, norm=norm), torch.device("cpu")
    batch = batches(encoded["mnli"], 160)[0]
    delta = random_perturbation(net, batch, robust, Changes(robust, 0, 0).noise(0, device))
    seen = batch["mask"].bool()
    assert torch.all(delta[~seen] == 0)
    if norm == "l2":  # the share of a ball's volume inside radius r is r ** width
        share = (delta[seen].norm(dim=-1) / robust.eps) ** delta.shape[-1]
    else:
        share = delta[seen].flatten() / robust.eps / 2 + 0.5
    assert float(share.max()) <= 1 + 1e-4
    for part in (0.25, 0.5, 0.75):
        assert float((share < part).float().mean()) == pytest.approx(part, abs=0.03)


def test_random_changes_are_a_function_of_seed_step_and_worker() -> None:
    def draw(seed: int, step: int, rank: int) -> float:
        return float(torch.rand((), generator=Changes(RANDOM, seed, step).noise(rank, torch.device("cpu"))))

    assert draw(1, 2, 3) == draw(1, 2, 3)
    assert len({draw(0, 0, 0), draw(1, 0, 0), draw(0, 1, 0), draw(0, 0, 1)}) == 4


# --- in training ---


@pytest.mark.parametrize("robust", [replace(L2, steps=2, step_size=0.5), RANDOM], ids=["adversarial", "random"])
@pytest.mark.parametrize("task", [k for k in KINDS if k != "mlm"])
def test_every_format_trains(task: str, robust: Robust, nano: Path, source: Source, train: Train) -> None:
    plain, changed = fresh(nano, source, 0.1), fresh(nano, source, 0.1)
    losses = [train(net, task, 3, r).losses for net, r in ((plain, None), (changed, robust))]
    assert np.isfinite(losses).all() and losses[0] != losses[1]
    if robust.steps:
        assert losses[1][0] > losses[0][0]  # the same weights and masks
    assert not equal(plain, changed)


def test_masked_lm_is_trained_on_inputs_as_they_are(nano: Path, source: Source, train: Train) -> None:
    plain, changed = fresh(nano, source, 0.1), fresh(nano, source, 0.1)
    assert train(plain, "mlm", 3, None).losses == train(changed, "mlm", 3, L2).losses
    assert equal(plain, changed)


@pytest.mark.parametrize(
    "robust", [replace(L2, weight=0.0), replace(RANDOM, weight=0.0)], ids=["adversarial", "random"]
)
def test_weight_0_is_plain_training_to_the_bit(robust: Robust, nano: Path, source: Source, train: Train) -> None:
    plain, changed = fresh(nano, source, 0.1), fresh(nano, source, 0.1)
    assert train(plain, "mnli", 12, None).losses == train(changed, "mnli", 12, robust).losses
    assert equal(plain, changed)
    recipe = Recipe(encoder="pocket", profile="small", targets=("xnli",))
    assert replace(recipe, robust=robust) == recipe and replace(recipe, robust=robust).address == recipe.address


def test_a_weight_between_mixes_both_losses_under_the_same_masks(net: Net, encoded: Mapping[str, Encoded]) -> None:
    batch, noise = batches(encoded["mnli"], 4)[0], torch.Generator()
    net.train()

    def loss(weight: float) -> float:
        torch.manual_seed(7)
        return float(changed_loss(net, "mnli", batch, 1, replace(L2, weight=weight), noise).detach())

    assert loss(0.25) == pytest.approx(0.75 * loss(0.0) + 0.25 * loss(1.0), rel=1e-5)
    assert loss(1.0) > loss(0.0)


class Place(ProcessGroup):
    """One worker of several, without the others."""

    def __init__(self, rank: int, world: int) -> None:
        super().__init__()
        self.rank, self.world = rank, world


def test_the_workers_gradients_add_up_to_those_of_one(
    nano: Path, source: Source, encoded: Mapping[str, Encoded]
) -> None:
    batch = collate(encoded["mnli"], np.arange(9), pad_id=1)
    found = []
    for world in (1, 2):
        net = fresh(nano, source, 0.0).train()
        term = Loss("mnli", batch, changes=Changes(replace(L2, steps=2, step_size=0.7), 0, 0))
        for rank in range(world):
            for loss in term.parts(net, Device(torch.device("cpu"), Place(rank, world)), 300 // world):
                loss.backward()  # type: ignore[no-untyped-call]
        found.append({name: p.grad for name, p in net.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys() and len(found[0]) > 10
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize("robust", [replace(L2, weight=0.5), RANDOM], ids=["adversarial", "random"])
def test_half_precision(robust: Robust, net: Net, encoded: Mapping[str, Encoded]) -> None:
    batch = batches(encoded["mnli"], 4)[0]
    noise = Changes(robust, 0, 0).noise(0, torch.device("cpu"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        delta = pgd_perturbation(net, "mnli", batch, 1, L2)
        loss = changed_loss(net.train(), "mnli", batch, 1, robust, noise)
    loss.backward()  # type: ignore[no-untyped-call]
    assert delta.dtype == torch.float32 and torch.isfinite(loss)
    lengths = delta.norm(dim=-1)[batch["mask"].bool()]
    assert torch.all((lengths - L2.eps).abs() < 1e-6)
    gradients = [p.grad for p in net.parameters_of("mnli") if p.grad is not None]
    assert len(gradients) > 10 and all(torch.isfinite(g).all() for g in gradients)


# --- in a recipe ---


def test_the_numbers_of_robust_training_say_where_they_are_from() -> None:
    recipe = Recipe(
        encoder="x", profile="robust", targets=("xnli", "pawsx"), robust=replace(L2, steps=2, step_size=0.7)
    )
    found = {n.name: (n.value, n.origin) for n in numbers(recipe) if n.part.startswith("robust")}
    here = "this recipe"
    assert found == {
        "norm": ("l2", here), "eps": (0.5, here), "steps": (2, here),
        "step size": (0.7, here), "weight": (1.0, "robust"),
    }  # fmt: skip
    recipe = replace(recipe, targets=("pawsx", "sib200"), robust=Robust(method="synonyms"))
    found = {n.name: (n.value, n.origin) for n in numbers(recipe) if n.part.startswith("robust")}
    assert found["copies of pawsx"] == (10, "robust")
    assert found["copies of sib200"] == (3, "Stepstone, as robust's XNLI")


@pytest.mark.slow
def test_a_study_of_robust_training(tmp_path: Path) -> None:
    """About 30 s: four recipes, from the command to the report."""
    command = "--space robust_training --encoder pretrain:nano --scale 0.01 --targets xnli --json --grid"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert launch([*command.split(), "--home", str(tmp_path)]) == 0
    report = json.loads(out.getvalue())
    assert report["trials"]["complete"] == 4
    assert report["stages"]["run"] == 1 + 4 * 2  # the encoder; the target is trained and scored
    names = [row["name"] for row in report["matrix"]]
    assert names == ["no intermediate task", "adversarial l2 0.01, 1 step", "random l2 0.1", "synonyms"]
    assert all(set(row["targets"]) == {"xnli"} for row in report["matrix"])
