"""Cost estimates of a launch: exact steps, shared stages once, seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from study.planning.cost import LAUNCH_S, ROW_S, STAGE_S, TRIAL_S, Cost, Work, cost_of
from study.planning.encoder_weights import Weights, resolve
from study.planning.plan import Node, Plan, Planner, missing
from study.planning.throughput import Speed, measure_speed
from tests.small import run_stage, small_source
from trainables.catalogue import Dataset
from trainables.configs import Evaluate, LayerSweep
from trainables.errors import DataError
from trainables.examples import Example
from trainables.objectives import Robust
from trainables.recipe import Recipe
from trainables.sources import Source
from trainables.sources.pocket import PocketTables
from trainables.sources.tables import TableSource

SPEED = Speed(layers=2, step=0.01, trained=2e-4, read=5e-5, masked=1e-3)
MIXED: dict[str, Any] = {"intermediate": ("mnli", "squad"), "mixing_limit": 8192, "epochs": 1.0, "lr": 5e-4}


class Unstated(PocketTables):
    """The pocket data as a hub without row counts that can only download."""

    def stated_rows(self, d: Dataset, language: str, split: str) -> int | None:
        return None

    def comes_from(self, d: Dataset) -> str:
        return "hub"

    def table(self, d: Dataset, language: str, split: str) -> Any:
        raise AssertionError("an estimate downloads nothing")


def plan_of(source: Source, encoder: str, num_seeds: int = 1, sweep: bool = False, **recipe: Any) -> Plan:
    values = {"profile": "small", "targets": ("xnli",), **recipe}
    return Planner(source, resolve(encoder), sweep).plan(Recipe(encoder=encoder, **values), num_seeds)


def nodes_of(*plans: Plan) -> list[Node]:
    return [node for plan in plans for node in missing(plan, lambda _: False)]


def cost_of_all(source: Source, *plans: Plan, speed: Speed | None = None, concurrent: int = 2) -> Cost:
    return cost_of(plans, nodes_of(*plans), source, speed, concurrent)


def cost_of_kind(source: Source, plan: Plan, *kinds: type, speed: Speed | None = None) -> Cost:
    return cost_of([plan], [n for n in plan.nodes if isinstance(n.config, kinds)], source, speed, 1)


# --- steps and rows ---


@pytest.mark.parametrize(
    "recipe",
    [
        {"targets": ("panx", "xquad"), "scale": 0.4},
        {"targets": ("tatoeba",), "mlm_ratio": 0.25, "scale": 0.1, **MIXED},
        {"targets": ("tatoeba",), "mlm_ratio": "by_size", "scale": 0.1, **MIXED},
    ],
    ids=["targets", "with a share of masked LM", "masked LM by size"],
)
def test_steps_are_those_that_the_stages_train(
    recipe: Mapping[str, Any], source: Source, nano: Path, tmp_path: Path
) -> None:
    plan = plan_of(source, str(nano), **recipe)
    for node in plan.nodes:
        if isinstance(node.config, Evaluate):
            continue
        seen: list[int] = []

        def on_progress(step: int, steps: int, *_: Any, seen: list[int] = seen) -> None:
            seen.append(steps)

        run_stage(node.config, nano, tmp_path / node.address, source, on_progress)
        for speed in (SPEED, None):  # with a limit on dev rows, and without
            assert {cost_of([plan], [node], source, speed, 1).train_steps} == set(seen), node.label


def test_pretraining_has_the_steps_of_its_size(source: Source) -> None:
    plan = plan_of(source, "pretrain:nano", scale=0.15)
    cost = cost_of([plan], plan.nodes[:1], source, SPEED, 1)
    assert (cost.train_steps, cost.scored_rows) == (60, 0)


def test_an_evaluation_scores_every_language_and_the_dev_rows_that_select(source: Source, nano: Path) -> None:
    plan = plan_of(source, str(nano))
    (config,) = (n.config for n in plan.nodes if isinstance(n.config, Evaluate))
    assert config.languages and config.selection[0]
    assert cost_of_kind(source, plan, Evaluate).scored_rows == 60 * (len(config.languages) + 1)


def test_a_rehearsal_costs_its_share_but_not_less_than_the_smallest_split(source: Source, nano: Path) -> None:
    whole, half, least = (cost_of_all(source, plan_of(source, str(nano), scale=s)) for s in (1.0, 0.5, 0.01))
    assert half.train_steps < whole.train_steps
    assert least.train_steps == 1  # half a pass over the 64 rows that are used at least
    (config,) = (n.config for n in plan_of(source, str(nano)).nodes if isinstance(n.config, Evaluate))
    evaluated = cost_of_kind(source, plan_of(source, str(nano), scale=0.01), Evaluate)
    assert evaluated.scored_rows == 50 * (len(config.languages) + 1)


def test_retrieval_trains_nothing(source: Source, nano: Path) -> None:
    cost = cost_of_all(source, plan_of(source, str(nano), targets=("tatoeba", "bucc2018"), sweep=True))
    assert cost.train_steps == 0 and cost.scored_rows > 0 and cost.stages == 3


def test_retrieval_reads_up_to_its_layer_and_a_sweep_to_the_top(source: Source, nano: Path) -> None:
    def read(layer: int, kind: type) -> float:
        plan = plan_of(source, str(nano), targets=("tatoeba",), sweep=True, layer=layer)
        cost = cost_of_kind(source, plan, kind, speed=replace(SPEED, read=1.0))
        assert cost.seconds
        return cost.seconds - LAUNCH_S - TRIAL_S - STAGE_S - ROW_S * cost.scored_rows

    assert 2 * read(1, Evaluate) == pytest.approx(read(2, Evaluate)) == pytest.approx(read(1, LayerSweep))


# --- which stages ---


def test_stages_that_recipes_share_count_once(source: Source, nano: Path) -> None:
    one = plan_of(source, str(nano), **MIXED)
    other = plan_of(source, str(nano), **{**MIXED, "targets": ("xnli", "panx")})
    alone, both = cost_of_all(source, one), cost_of_all(source, one, other)
    more = [node for node in other.nodes if node.address not in {n.address for n in one.nodes}]
    assert (both.recipes, both.stages) == (2, alone.stages + 2)
    assert both.train_steps == alone.train_steps + cost_of([other], more, source, None, 1).train_steps
    assert cost_of([one], nodes_of(one, one), source, None, 1) == alone


def test_finished_stages_do_not_count(source: Source, nano: Path) -> None:
    plan = plan_of(source, str(nano), **MIXED)
    finished = next(n.address for n in plan.nodes if n.label == "intermediate")
    rest = cost_of([plan], missing(plan, lambda address: address == finished), source, None, 1)
    assert (rest.recipes, rest.stages) == (1, 2)
    assert rest.train_steps < cost_of_all(source, plan).train_steps
    nothing = cost_of([plan], missing(plan, lambda _: True), source, SPEED, 2)
    assert (nothing.recipes, nothing.stages, nothing.train_steps, nothing.seconds) == (0, 0, 0, 0.0)
    assert nothing.text() == "nothing to run: all stages are finished"


# --- seconds ---


def test_seconds_are_the_sum_of_what_a_stage_does() -> None:
    work = Work(steps=10, trained=1000.0, masked=20.0, read=4000.0, rows=50)
    assert work.seconds(SPEED) == pytest.approx(
        STAGE_S + 10 * 0.01 + 1000 * 2e-4 + 20 * 1e-3 + 4000 * 5e-5 + 50 * ROW_S
    )


def test_what_all_trials_share_comes_first_and_no_trial_is_split(source: Source, nano: Path) -> None:
    still = Speed(layers=2, step=1.0, trained=0.0, read=0.0, masked=0.0)  # only steps take time
    one, other = (plan_of(source, str(nano), **MIXED, targets=(target,)) for target in ("xnli", "panx"))

    def steps(*plans: Plan) -> float:
        """Compute the seconds of steps, stages and rows."""
        cost = cost_of_all(source, *plans)
        return cost.train_steps + STAGE_S * cost.stages + ROW_S * cost.scored_rows

    shared = cost_of([one], [n for n in one.nodes if n.label == "intermediate"], source, None, 1)
    first = shared.train_steps + STAGE_S + ROW_S * shared.scored_rows
    in_turn, at_once = (cost_of_all(source, one, other, speed=still, concurrent=n).seconds for n in (1, 2))
    assert in_turn == pytest.approx(LAUNCH_S + 2 * TRIAL_S + steps(one, other))
    longest, half = max(steps(one), steps(other)) - first + TRIAL_S, (steps(one, other) - first) / 2 + TRIAL_S
    assert at_once == pytest.approx(LAUNCH_S + first + max(longest, half))
    lone = cost_of_all(source, one, speed=still, concurrent=8)
    assert lone.concurrent == 1 and lone.seconds == pytest.approx(LAUNCH_S + TRIAL_S + steps(one))


def test_masked_lm_and_robust_training_take_longer_than_the_same_steps(source: Source, nano: Path) -> None:
    def seconds(speed: Speed = SPEED, **recipe: Any) -> float:
        plan = plan_of(source, str(nano), targets=("xnli",), **recipe)
        cost = cost_of([plan], plan.nodes[:1], source, replace(speed, step=0.0), 1)
        assert cost.seconds is not None
        return (cost.seconds - LAUNCH_S - TRIAL_S - STAGE_S) / cost.train_steps

    plain, steps = seconds(), 3
    robust = seconds(robust=Robust(method="adversarial", eps=0.1, steps=steps, step_size=0.5))
    assert 2 * plain < robust < (steps + 1) * plain  # dev evaluations are as they were
    cheap, dear = (seconds(replace(SPEED, masked=masked), mlm_ratio=0.5, **MIXED) for masked in (0.0, 1.0))
    assert dear - cheap > 0.15 * 0.5 * 32 * 5  # half the steps hide 15 % of the tokens of 32 lines
    without = (seconds(replace(SPEED, masked=masked), **MIXED) for masked in (0.0, 1.0))
    assert len(set(without)) == 1


def test_without_a_measurement_there_are_steps_and_no_seconds(source: Source, nano: Path) -> None:
    cost = cost_of_all(source, plan_of(source, str(nano)))
    assert cost.seconds is None and cost.train_steps
    assert cost.text().endswith("rows to score")


def test_unknown_sizes_give_no_seconds_and_are_named(source: Source, nano: Path) -> None:
    plan = plan_of(
        source, str(nano), targets=("xnli", "tatoeba"), **{**MIXED, "intermediate": ("mnli",)}, mlm_ratio=0.5
    )
    cost = cost_of_all(TableSource(Unstated()), plan, speed=SPEED)
    assert cost.seconds is None and "mlm" in cost.unknown and "xnli" not in cost.unknown
    assert "not counting" in cost.text() and "mlm" in cost.text()


def test_sizes_that_are_published_stand_in_for_those_that_are_not_stated(source: Source, nano: Path) -> None:
    cost = cost_of_all(TableSource(Unstated()), plan_of(source, str(nano)), speed=SPEED)
    assert cost.seconds and not cost.unknown and "xnli" in cost.assumed
    assert cost.train_steps == 6136  # half a pass over MNLI's 392,702 rows, in batches of 32
    assert "roughly" in cost.text()


def test_a_broken_row_is_left_to_the_stage_that_meets_it(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = small_source()
    plan = plan_of(source, str(nano))

    def broken(*_: Any) -> list[Example]:
        raise DataError("mnli/en/train row 3: no label")

    monkeypatch.setattr(source, "examples", broken)
    assert cost_of_all(source, plan, speed=SPEED).seconds


# --- output, and the measurement ---


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(42.3, "about 42 seconds"), (250.0, "about 4 minutes"), (9000.0, "about 2.5 hours"), (None, "rows to score")],
)
def test_one_line_says_it_all(seconds: float | None, said: str) -> None:
    text = Cost(11, 94, 5200, 61_000, 2, seconds).text()
    assert text.startswith("11 recipes, 94 stages, at most 5,200 training steps and 61,000 rows to score")
    assert said in text
    assert Cost(1, 1, 1, 1, 1, 60.0).text() == (
        "1 recipe, 1 stage, at most 1 training step and 1 row to score: about 60 seconds with 1 trial at once"
    )


@pytest.mark.parametrize("encoder", ["pocket", "pretrain:nano"])
def test_a_measurement_leaves_threads_and_random_numbers_as_they_were(source: Source, encoder: str) -> None:
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    speed = measure_speed([plan_of(source, encoder)])
    assert torch.get_num_threads() == before and torch.equal(torch.random.get_rng_state(), state)
    assert speed
    assert speed.layers == {"pocket": 3, "pretrain:nano": 2}[encoder]
    assert min(speed.trained, speed.read, speed.masked) > 0 <= speed.step


def test_a_hub_that_does_not_answer_costs_the_estimate_alone(
    source: Source, nano: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **asked: Any) -> str:
        assert "*.safetensors" not in asked["allow_patterns"]
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    far = Weights("0" * 64, "hub:some/encoder@" + "0" * 40, "xlm-roberta")
    plan = Planner(source, far).plan(Recipe(encoder="some/encoder", profile="small", targets=("xnli",)), 1)
    assert measure_speed([plan]) is None and measure_speed([]) is None


def test_a_verb_can_import_it_quickly() -> None:
    code = "import study.planning.cost, sys; print({'torch', 'transformers', 'ray', 'tokenizers'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "set()"
