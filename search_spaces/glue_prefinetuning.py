"""MT-DNN-MultiLingual: multi-task pre-finetuning on GLUE before zero-shot intents and slots."""

from __future__ import annotations

from search_spaces.space import NONE, Space, SpaceContext, Suggest, Value, arms, as_published, trained_first
from trainables.recipe import Recipe

GLUE = ("cola", "sst2", "stsb", "rte", "mnli", "qqp", "mrpc", "qnli_ranking")
QNLI = ("qnli_ranking", "qnli")  # ranking as in the paper, and classification as in mt-dnn's later code
SMALL: dict[str, Value] = {"epochs": 0.5, "lr_multiple": 0.3}  # found on pocket data


def _recipe(suggest: Suggest, setting: SpaceContext) -> Recipe:
    """Suggest the tasks, the form of QNLI, the mix and the length."""
    tasks = [task for task in _others(setting) if suggest.scientific(f"use.{task}", [False, True])]
    if _has_qnli(setting):
        form = suggest.scientific("qnli", [NONE, *QNLI])
        tasks += [form] if form != NONE else []
    return trained_first(suggest, setting, tuple(tasks))


def _published(setting: SpaceContext) -> list[dict[str, Value]]:
    """List the published rows.

    These are: no pre-finetuning; all tasks with QNLI as ranking; the same with QNLI as classification.
    """
    others, own = _others(setting), as_published(setting.numbers)
    if setting.profile == "small":  # at the full rate, eight tasks make such a small encoder forget its languages
        own |= SMALL
    own |= {"mlm_ratio": 0.0} if setting.mlm else {}
    rows: list[dict[str, Value]] = [dict.fromkeys((f"use.{task}" for task in others), False)]
    if _has_qnli(setting):
        rows[0]["qnli"] = NONE
    for form in QNLI if _has_qnli(setting) else (NONE,):
        row: dict[str, Value] = {f"use.{task}": True for task in others}
        rows.append({**row, **({"qnli": form} if form != NONE else {}), **own})
    return [{**row, **arm} for arm in arms(setting) for row in rows]


def _others(setting: SpaceContext) -> list[str]:
    return [task for task in setting.tasks if task not in QNLI]


def _has_qnli(setting: SpaceContext) -> bool:
    return any(task in QNLI for task in setting.tasks)


SPACE = Space(
    question="Does training on GLUE first speed up and improve zero-shot transfer of intents and slots?",
    recipe=_recipe,
    published=_published,
    profile="mtdnn",
    targets=("multiatis", "mtop", "mtod", "massive", "xsid"),
    pocket_targets=("massive",),
    tasks=GLUE,
    curve=4,
)
