"""Search spaces: published rows are valid recipes, proposals have names."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

import search_spaces
from search_spaces import space, space_names
from search_spaces.intermediate_tasks import MIXTURE, mixtures
from search_spaces.space import ROBUST, FixedSuggest, SpaceContext
from stepstone.testing import RandomSuggest, check_space
from study.results.published import read_paper
from trainables.catalogue import TITLES
from trainables.errors import BadInput
from trainables.objectives import Align
from trainables.profiles import NO_LIMIT, PROFILES
from trainables.recipe import Recipe, title

TASKS = ("mnli", "qqp", "squad", "ccg", "commonsense_qa")
SETTING = SpaceContext(
    encoder="some/encoder", profile="phang2020", targets=("tatoeba", "xnli"), tasks=TASKS, mlm=True, scale=1.0
)
SETTINGS = {
    "everything": SETTING,
    "small encoder": replace(SETTING, encoder="pocket", profile="small", scale=0.05),
    "no text": replace(SETTING, mlm=False),
    "one task": replace(SETTING, tasks=("squad",)),
    "one task, no text": replace(SETTING, tasks=("squad",), mlm=False),
    "objectives": replace(SETTING, tasks=("squad",), align=(Align(languages=("all",)),), robust=ROBUST),
}


def published(name: str, setting: SpaceContext) -> list[Recipe]:
    return [space(name).recipe(FixedSuggest(p), setting) for p in space(name).published(setting)]


@pytest.mark.parametrize("name", space_names())
def test_a_space_keeps_the_rules(name: str) -> None:
    check_space(space(name), SETTINGS.values())


def test_robust_training_has_a_row_for_plain_training_and_for_each_method() -> None:
    setting = replace(SETTING, targets=("xnli", "pawsx"), robust=ROBUST)
    found = published("robust_training", setting)
    names = ["no intermediate task", "adversarial l2 0.01, 1 step", "random l2 0.1", "synonyms"]
    assert [title(r, TITLES) for r in found] == names
    assert [r.robust for r in found] == [None, *ROBUST] and all(not r.intermediate for r in found)
    asked = space("robust_training")
    assert (asked.profile, asked.tasks, asked.robust) == ("robust", (), ROBUST)
    assert asked.targets == ("xnli", "pawsx", "xnli_pairs", "pawsx_pairs")


def test_a_search_over_robust_training_asks_for_what_its_method_has() -> None:
    setting, rng = replace(SETTING, robust=ROBUST), random.Random(0)
    asked: dict[str, set[str]] = {}
    for _ in range(300):
        drawn = RandomSuggest(rng)
        found = space("robust_training").recipe(drawn, setting)
        asked.setdefault(drawn.params["robust"], set()).update(drawn.params)
        if found.robust and found.robust.eps:
            assert 1e-3 <= found.robust.eps <= 1
    region = {"robust", "robust.norm", "robust.eps"}
    assert asked == {
        "none": {"robust"},
        "adversarial": {*region, "robust.steps", "robust.step_size"},
        "random": region,
        "synonyms": {"robust", "robust.copies"},
    }


def test_intermediate_tasks_has_the_rows_of_the_paper() -> None:
    """Phang et al. 2020, Table 2, in the paper's order."""
    asked = space("intermediate_tasks")
    assert asked.tasks is not None
    grid = published("intermediate_tasks", replace(SETTING, tasks=asked.tasks))
    printed = [r for table in read_paper("phang2020").tables for r in table.rows if r.intermediate is not None]
    assert [(set(r.intermediate), bool(r.mlm_ratio)) for r in grid] == [
        (set(r.intermediate or ()), r.mlm) for r in printed
    ]
    assert len(grid) == 17


def test_named_tasks_widen_the_grid_of_intermediate_tasks() -> None:
    """Their mixture is a row beside the paper's; without text no row has masked LM."""
    for setting in (s for s in SETTINGS.values() if not s.align):
        sets = len(setting.tasks) + (len(setting.tasks) > 1)
        assert len(published("intermediate_tasks", setting)) == 1 + (2 if setting.mlm else 1) * sets
    tasks = (*MIXTURE, "squad")
    assert mixtures(tasks) == [MIXTURE] and mixtures(("squad", "mnli")) == [("squad", "mnli")]
    assert mixtures((*tasks, "mnli")) == [MIXTURE, (*tasks, "mnli")]
    assert mixtures(MIXTURE) == [MIXTURE] and mixtures(("mnli",)) == []
    recipes = published("intermediate_tasks", SETTING)
    profile = PROFILES["phang2020"]
    assert len(recipes) == 1 + 2 * (len(TASKS) + 1)
    assert {r.lr for r in recipes} == {0.0, profile.lr, profile.lr_mlm}
    assert all(r.lr == (profile.lr_mlm if r.mlm_ratio else profile.lr) for r in recipes[1:])
    assert {r.epochs for r in recipes[1:]} == {1.0}
    assert {r.mixing_limit for r in recipes if len(r.intermediate) > 1} == {profile.mixing_limit}
    assert [title(r, TITLES) for r in recipes[:2]] == ["no intermediate task", TITLES["mnli"]]


GLUE = ("cola", "sst2", "stsb", "rte", "mnli", "qqp", "mrpc", "qnli_ranking")


@pytest.mark.parametrize("profile", ["mtdnn", "small"])
def test_glue_prefinetuning_has_the_papers_rows_and_qnli_in_both_forms(profile: str) -> None:
    setting = replace(SETTING, profile=profile, tasks=GLUE, reading={"curve": 4})
    base, ranking, classes = published("glue_prefinetuning", setting)
    assert set(ranking.intermediate) == set(GLUE) and set(classes.intermediate) == {*GLUE[:-1], "qnli"}
    assert {r.curve for r in (base, ranking, classes)} == {4} and not ranking.mlm_ratio
    if profile == "mtdnn":
        assert (ranking.epochs, ranking.lr, ranking.mixing_limit) == (1.0, 5e-5, NO_LIMIT)
        assert title(ranking, TITLES) == " + ".join(TITLES[task] for task in sorted(GLUE))
    else:
        assert (ranking.epochs, ranking.lr) == (0.5, 6e-5)  # gentler, see docs/glue_prefinetuning.md
    assert len(published("glue_prefinetuning", replace(setting, tasks=("mnli", "rte")))) == 2
    assert space("glue_prefinetuning").curve == 4 and space("glue_prefinetuning").profile == "mtdnn"


def test_a_mix_without_limit_is_named_and_smaller_limits_are_searched() -> None:
    setting = replace(SETTING, profile="mtdnn", tasks=GLUE)
    seen = set()
    for seed in range(60):
        recipe = space("glue_prefinetuning").recipe(RandomSuggest(random.Random(seed)), setting)
        seen.add(recipe.mixing_limit)
    assert seen == {0, NO_LIMIT, 2**17, 2**15}
    small = replace(published("glue_prefinetuning", replace(setting, profile="small"))[1], mixing_limit=NO_LIMIT)
    assert "no limit" in title(small, TITLES)


def test_an_unknown_space_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'intermediate_tasks'"):
        space("intermediate_task")
    with pytest.raises(BadInput, match="unknown space 'space'"):
        space("space")


NEW = """
from search_spaces.space import Space
from trainables.recipe import Recipe


def recipe(suggest, setting):
    task = suggest.scientific("task", ["none", *setting.tasks])
    fixed = {"encoder": setting.encoder, "profile": setting.profile, "targets": setting.targets}
    return Recipe(**fixed) if task == "none" else Recipe(**fixed, intermediate=(task,), epochs=1.0, lr=1e-5)


SPACE = Space(question="Which one?", recipe=recipe, published=lambda setting: [{"task": "none"}, {"task": "squad"}])
"""


def test_a_new_space_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "which_one.py").write_text(NEW)
    monkeypatch.setattr(search_spaces, "__path__", [*search_spaces.__path__, str(tmp_path)])
    assert "which_one" in space_names()
    assert [r.intermediate for r in published("which_one", SETTING)] == [(), ("squad",)]
