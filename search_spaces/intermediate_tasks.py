"""Phang et al. 2020: English intermediate-task training improves zero-shot cross-lingual transfer too."""

from __future__ import annotations

from search_spaces.space import Space, SpaceContext, Suggest, Value, arms, as_published, trained_first
from trainables.recipe import Recipe


def _recipe(suggest: Suggest, setting: SpaceContext) -> Recipe:
    """Suggest the tasks, the mix, the share of masked LM and the length."""
    tasks = tuple(task for task in setting.tasks if suggest.scientific(f"use.{task}", [False, True]))
    return trained_first(suggest, setting, tasks)


def _published(setting: SpaceContext) -> list[dict[str, Value]]:
    """List the rows of Table 2.

    These are: no intermediate task, each task alone, all tasks; then the same with masked LM. If the study has objectives,
    all of these without one come first, then with each of them.
    """
    sets: list[tuple[str, ...]] = [(task,) for task in setting.tasks]
    if len(setting.tasks) > 1:
        sets.append(setting.tasks)
    ratios: list[float | str] = [0.0, "by_size"] if setting.mlm else [0.0]
    own = as_published(setting.numbers)
    rows: list[dict[str, Value]] = [{f"use.{task}": False for task in setting.tasks}]
    for ratio in ratios:
        for tasks in sets:
            rows.append({**{f"use.{task}": task in tasks for task in setting.tasks}, "mlm_ratio": ratio, **own})
    return [{**row, **arm} for arm in arms(setting) for row in rows]


SPACE = Space(
    question="Which English tasks, trained first, help zero-shot transfer, in what mix and for how long?",
    recipe=_recipe,
    published=_published,
    pocket_targets=("tatoeba", "panx", "udpos", "xquad", "xnli"),
    pocket_tasks=("mnli", "squad", "ccg", "cola", "mlm"),
)
