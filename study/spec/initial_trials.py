"""What a study has to run: the setting that its space reads, and the rows that come first."""

from __future__ import annotations

from search_spaces import space
from search_spaces.space import FixedSuggest, SpaceContext, Value
from study.spec.study_spec import ResolvedSpec
from trainables.objectives import Align, Robust, from_dict
from trainables.recipe import Recipe, baseline_of

Row = tuple[Recipe, dict[str, Value]]


def context_of(settings: ResolvedSpec) -> SpaceContext:
    """What a search space is told of a study."""
    return SpaceContext(
        encoder=settings.encoder,
        profile=settings.profile,
        targets=settings.targets,
        tasks=settings.intermediate,
        mlm=settings.mlm,
        scale=settings.scale,
        reading=settings.reading,
        labelled=settings.labelled,
        align=tuple(from_dict(Align, "align", values) for values in settings.objectives.get("align", ())),
        robust=tuple(from_dict(Robust, "robust", values) for values in settings.objectives.get("robust", ())),
    )


def initial_trials(settings: ResolvedSpec) -> list[Row]:
    """The published rows, or the one recipe of a file, each with its parameters; the baseline first, none twice."""
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
