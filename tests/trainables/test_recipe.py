"""Recipes as values: equality, errors, unique names."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from search_spaces import space
from search_spaces.space import FixedSuggest, SpaceContext
from trainables.catalogue import DATASETS
from trainables.errors import BadInput
from trainables.profiles import PHANG2020, SMALL
from trainables.recipe import MlmRatio, Recipe, baseline_of, canonical, digest, title

FIXED: dict[str, Any] = {"encoder": "pocket", "profile": "small", "targets": ("xnli", "panx"), "scale": 0.5}
MIXED: dict[str, Any] = {"intermediate": ("squad", "mnli"), "mixing_limit": 8192, "epochs": 1.0, "lr": 5e-4}
TITLES = {name: d.title for name, d in DATASETS.items()}


def mixed(**changes: Any) -> Recipe:
    return Recipe(**{**FIXED, **MIXED, **changes})


def test_every_baseline_is_equal() -> None:
    baseline = Recipe(**FIXED)
    leftovers = Recipe(**FIXED, mixing_limit=512, mlm_ratio=0.25, epochs=2.0, steps=7, lr=1e-3)
    assert baseline == leftovers == baseline_of(mixed(mlm_ratio="by_size"))
    assert baseline.address == leftovers.address
    assert baseline.is_baseline and not mixed().is_baseline
    assert set(baseline.to_dict()) == {"encoder", "profile", "targets", "scale"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"intermediate": ("squad", "mnli")}, {"intermediate": ("mnli", "squad")}),  # the order of a mix means nothing
        ({"intermediate": ("squad",), "mixing_limit": 1}, {"intermediate": ("squad",), "mixing_limit": 8192}),
        ({"steps": 9, "epochs": 1.0}, {"steps": 9, "epochs": 3.0}),
        ({"scale": 1}, {"scale": 1.0}),
        ({"epochs": 2, "mlm_ratio": 0}, {"epochs": 2.0, "mlm_ratio": 0.0}),
    ],
)
def test_recipes_that_mean_the_same_are_equal_and_share_an_address(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert mixed(**one) == mixed(**other)
    assert mixed(**one).address == mixed(**other).address


def test_the_mixing_limit_stays_where_two_sources_mix() -> None:
    assert mixed().mixing_limit == 8192
    assert mixed(intermediate=("squad",), mlm_ratio="by_size").mixing_limit == 8192
    assert mixed(intermediate=("squad",), mlm_ratio=0.5).mixing_limit == 0  # the share is given: nothing to cap


def test_every_field_changes_the_address() -> None:
    changes: list[dict[str, Any]] = [
        {"encoder": "pretrain:nano"},
        {"profile": "phang2020"},
        {"targets": ("xnli",)},
        {"targets": ("panx", "xnli")},
        {"scale": 0.25},
        {"intermediate": ("mnli",)},
        {"intermediate": ("mnli", "qqp")},
        {"mixing_limit": 4096},
        {"mlm_ratio": "by_size"},
        {"mlm_ratio": 0.25},
        {"epochs": 2.0},
        {"steps": 100},
        {"lr": 1e-4},
    ]
    addresses = [mixed().address, Recipe(**FIXED).address, *(mixed(**change).address for change in changes)]
    assert len(set(addresses)) == len(addresses)


def test_an_address_is_the_hash_of_the_canonical_json() -> None:
    text = '{"encoder":"pocket","profile":"small","scale":0.5,"targets":["xnli","panx"]}'
    assert Recipe(**FIXED).address == hashlib.sha256(text.encode()).hexdigest()
    assert canonical({"b": 1, "a": (2.0, None)}) == '{"a":[2.0,null],"b":1}'
    with pytest.raises(TypeError):
        digest({"function": print})
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))


@pytest.mark.parametrize(
    "made", [Recipe(**FIXED), mixed(), mixed(mlm_ratio="by_size", steps=12), mixed(mlm_ratio=0.25, epochs=0.5)]
)
def test_a_recipe_survives_json(made: Recipe) -> None:
    again = Recipe.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.address == made.address


@pytest.mark.parametrize("missing", ["encoder", "profile", "targets"])
def test_a_missing_key_is_named(missing: str) -> None:
    with pytest.raises(BadInput, match=f"recipe has no '{missing}'"):
        Recipe.from_dict({k: v for k, v in FIXED.items() if k != missing})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixing_limt": 5}, "unknown recipe key 'mixing_limt', did you mean 'mixing_limit'"),
        ({"encoder": 5}, "'encoder' must be a string, not 5"),
        ({"profile": ["small"]}, "'profile' must be a string"),
        ({"profile": "smal"}, "unknown profile 'smal', did you mean 'small'"),
        ({"targets": "xnli"}, "'targets' must be a list of names, not 'xnli'"),
        ({"targets": []}, "no targets"),
        ({"targets": ["xnli", "xnli"]}, "targets repeat: xnli, xnli"),
        ({"intermediate": ["mnli", 5]}, "'intermediate' must be a list of names"),
        ({"intermediate": ["mnli", "mnli"]}, "intermediate tasks repeat: mnli, mnli"),
        ({"scale": 0}, "scale must be a number > 0 and <= 1, not 0"),
        ({"scale": 1.5}, "scale must be a number > 0 and <= 1, not 1.5"),
        ({"scale": True}, "scale must be a number"),
        ({"mixing_limit": 0}, "mixing_limit must be a number >= 1"),
        ({"mixing_limit": 2.5}, "mixing_limit must be a whole number, not 2.5"),
        ({"mlm_ratio": 1}, "mlm_ratio must be a number >= 0 and < 1, not 1"),
        ({"mlm_ratio": -0.1}, "mlm_ratio must be a number"),
        ({"mlm_ratio": True}, "mlm_ratio must be a number"),
        ({"mlm_ratio": "by_sise"}, "unknown mlm_ratio 'by_sise', did you mean 'by_size'"),
        ({"epochs": 0}, "epochs must be a number > 0"),
        ({"epochs": "1"}, "epochs must be a number finite, not '1'"),
        ({"epochs": float("inf")}, "epochs must be a number"),
        ({"steps": -1}, "steps must be a number >= 1"),
        ({"steps": "many"}, "steps must be a number"),
        ({"lr": 0}, "lr must be a number > 0"),
        ({"lr": float("nan")}, "lr must be a number"),
        ({"lr": 2}, "lr must be a number > 0 and <= 1"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        Recipe.from_dict({**FIXED, **MIXED, **changes})
    assert message in str(caught.value)


@pytest.mark.parametrize("changes", [{"mlm_ratio": "by_sise"}, {"mlm_ratio": []}, {"lr": "high"}, {"steps": 1.5}])
def test_a_mistyped_value_of_a_baseline_is_an_error_too(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(changes))):
        Recipe.from_dict({**FIXED, **changes})


def test_titles_are_unique_over_a_grid() -> None:
    recipes = {Recipe(**FIXED)}
    ratios: list[MlmRatio] = [0.0, "by_size", 0.25, 0.5]
    tasks = [("mnli",), ("squad",), ("mnli", "squad"), ("ccg", "mnli", "squad")]
    for names, limit, ratio, epochs, lr in itertools.product(tasks, (8192, 2048), ratios, (0.5, 1.0), (5e-4, 1e-4)):
        recipes.add(mixed(intermediate=names, mixing_limit=limit, mlm_ratio=ratio, epochs=epochs, lr=lr))
        recipes.add(mixed(intermediate=names, mixing_limit=limit, mlm_ratio=ratio, steps=100, lr=lr))
    names_of = [title(recipe, TITLES) for recipe in recipes]
    assert len(recipes) > 100
    assert len(set(names_of)) == len(names_of)


def test_published_rows_have_short_titles() -> None:
    setting = SpaceContext(
        encoder="xlm-roberta-large",
        profile="phang2020",
        targets=("xnli",),
        tasks=("squad", "commonsense_qa"),
        mlm=True,
        scale=1.0,
    )
    found = space("intermediate_tasks")
    recipes = [found.recipe(FixedSuggest(row), setting) for row in found.published(setting)]
    assert recipes[0].is_baseline
    assert [title(recipe, TITLES) for recipe in recipes[1:3]] == ["SQuAD", TITLES["commonsense_qa"]]
    assert [title(recipe, TITLES) for recipe in recipes[4:5]] == ["SQuAD + MLM"]
    assert {recipe.lr for recipe in recipes[1:4]} == {1e-5}  # Phang et al. 2020, appendix A.1
    assert {recipe.lr for recipe in recipes[4:]} == {5e-6}
    assert {recipe.mixing_limit for recipe in recipes if len(recipe.intermediate) > 1} == {2**17}
    assert not any("(" in title(recipe, TITLES) for recipe in recipes)


def test_what_differs_from_the_profile_is_in_the_title() -> None:
    recipe = mixed(mlm_ratio=0.25, mixing_limit=1024, epochs=0.5, lr=1e-4)
    assert title(recipe, TITLES) == "MNLI + SQuAD + MLM 0.25 (K=1024, 0.5x epochs, lr 0.0001)"
    assert title(replace(recipe, steps=40), TITLES) == "MNLI + SQuAD + MLM 0.25 (K=1024, 40 steps, lr 0.0001)"


def test_profiles_look_at_the_first_500_dev_examples() -> None:
    assert PHANG2020.phase.dev_examples == SMALL.phase.dev_examples == 500
    assert (PHANG2020.fit("squad", target=False).batch, PHANG2020.fit("squad", target=True).batch) == (8, 16)
    assert (PHANG2020.target_phase.lr, PHANG2020.phase.warmup_frac) == (3e-6, 0.1)
