"""Phang et al. 2020: English intermediate-task training improves zero-shot cross-lingual transfer too."""

from __future__ import annotations

from search_spaces.space import Log, Setting, Space, Suggest, Value, arms, objectives
from trainables.recipe import Recipe


def recipe(suggest: Suggest, setting: Setting) -> Recipe:
    """Which tasks, mixed how, with how much masked LM, for how long?"""
    numbers = setting.numbers
    tasks = tuple(task for task in setting.tasks if suggest.scientific(f"use.{task}", [False, True]))
    beside = objectives(suggest, setting, has_tasks=bool(tasks))
    if not tasks:
        return Recipe(**setting.fixed, **beside)
    mlm_ratio = suggest.scientific("mlm_ratio", [0.0, "by_size", 0.25, 0.5]) if setting.mlm else 0.0
    limit = 0
    if len(tasks) > 1 or mlm_ratio == "by_size":
        limit = suggest.scientific("mixing_limit", [numbers.mixing_limit // 2**n for n in (0, 2, 4)])
    epochs = suggest.nuisance("epochs", [0.25, 0.5, 1.0, 2.0])
    own_lr = numbers.intermediate_lr(mlm=bool(mlm_ratio))
    # A multiple of the published value, so that with and without masked LM one scale is searched.
    lr = own_lr * suggest.nuisance("lr_multiple", Log(0.3, 3.0))
    return Recipe(
        **setting.fixed,
        **beside,
        intermediate=tasks,
        mixing_limit=limit,
        mlm_ratio=mlm_ratio,
        epochs=epochs,
        lr=float(f"{lr:.4g}"),
    )


def published(setting: Setting) -> list[dict[str, Value]]:
    """Table 2's rows: no intermediate task, each task alone, all together; then the same with masked LM.

    Where the study asks about objectives too, all of it without one, then with each of them.
    """
    sets: list[tuple[str, ...]] = [(task,) for task in setting.tasks]
    if len(setting.tasks) > 1:
        sets.append(setting.tasks)
    ratios: list[float | str] = [0.0, "by_size"] if setting.mlm else [0.0]
    own: dict[str, Value] = {"mixing_limit": setting.numbers.mixing_limit, "epochs": 1.0, "lr_multiple": 1.0}
    rows: list[dict[str, Value]] = [{f"use.{task}": False for task in setting.tasks}]
    for ratio in ratios:
        for tasks in sets:
            rows.append({**{f"use.{task}": task in tasks for task in setting.tasks}, "mlm_ratio": ratio, **own})
    return [{**row, **arm} for arm in arms(setting) for row in rows]


SPACE = Space(
    question="Which English tasks, trained first, help zero-shot transfer, in what mix and for how long?",
    recipe=recipe,
    published=published,
)
