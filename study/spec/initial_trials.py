"""Initial trials of a study, and the context of its search space."""

from __future__ import annotations

from search_spaces import space
from search_spaces.space import FixedSuggest, SpaceContext, Value
from study.spec.study_spec import ResolvedSpec
from trainables.objectives import Align, Robust
from trainables.read_dataclass import read_dataclass
from trainables.recipe import Recipe, baseline_of

Row = tuple[Recipe, dict[str, Value]]


def context_of(settings: ResolvedSpec) -> SpaceContext:
    """Return the study's fixed values that a search space reads."""
    return SpaceContext(
        encoder=settings.encoder,
        profile=settings.profile,
        targets=settings.targets,
        tasks=settings.intermediate,
        mlm=settings.mlm,
        scale=settings.scale,
        reading=settings.reading,
        labelled=settings.labelled,
        align=tuple(
            read_dataclass(Align, values, "align", inside="recipe") for values in settings.objectives.get("align", ())
        ),
        robust=tuple(
            read_dataclass(Robust, values, "robust", inside="recipe")
            for values in settings.objectives.get("robust", ())
        ),
    )


def initial_trials(settings: ResolvedSpec) -> list[Row]:
    """List the recipes that run before any search, without duplicates.

    These are the published rows, or the one recipe of a file, each with its parameters. The baseline comes first.
    """
    if settings.recipe:
        recipe = Recipe.from_dict(settings.recipe)
        rows: list[Row] = [(baseline_of(recipe), {}), (recipe, {})]
    else:
        asked, setting = space(settings.space), context_of(settings)
        rows = [(asked.recipe(FixedSuggest(params), setting), params) for params in asked.published(setting)]
        rows += [(recipe, {}) for recipe in asked.comparison_rows(setting)] if settings.grid else []
    unique: dict[str, Row] = {}
    for recipe, params in rows:
        unique.setdefault(recipe.address, (recipe, params))
    return list(unique.values())
