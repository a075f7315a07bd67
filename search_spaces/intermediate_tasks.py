"""Phang et al. 2020: English intermediate-task training improves zero-shot cross-lingual transfer too."""

from __future__ import annotations

from search_spaces.space import Space, SpaceContext, Suggest, Value, arms, as_published, trained_first
from trainables.recipe import Recipe

# The tasks of Table 2. Its mixture is of six: the paper leaves SQuAD out for a technical reason.
TASKS = ("anli_plus", "qqp", "squad", "hellaswag", "ccg", "cosmos_qa", "commonsense_qa")
MIXTURE = tuple(task for task in TASKS if task != "squad")


def _recipe(suggest: Suggest, setting: SpaceContext) -> Recipe:
    """Suggest the tasks, the mix, the share of masked LM and the length."""
    tasks = tuple(task for task in setting.tasks if suggest.scientific(f"use.{task}", [False, True]))
    return trained_first(suggest, setting, tasks)


def mixtures(tasks: tuple[str, ...]) -> list[tuple[str, ...]]:
    """List the mixtures of a grid over these tasks.

    The paper's own comes first if all of its tasks are there. All tasks together are a row of their own, unless these are
    the paper's tasks.
    """
    found = [MIXTURE] if set(MIXTURE) <= set(tasks) else []
    own = len(tasks) > 1 and set(tasks) not in (set(TASKS), set(MIXTURE))
    return [*found, tasks] if own else found


def _published(setting: SpaceContext) -> list[dict[str, Value]]:
    """List the rows of Table 2.

    These are: no intermediate task, each task alone, a mixture; then the same with masked LM. If the study has objectives,
    all of these without one come first, then with each of them.
    """
    sets = [*((task,) for task in setting.tasks), *mixtures(setting.tasks)]
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
    tasks=TASKS,
    pocket_targets=("tatoeba", "panx", "udpos", "xquad", "xnli"),
    pocket_tasks=("mnli", "squad", "ccg", "cola", "mlm"),
)
