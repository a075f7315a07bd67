"""XeroAlign (Gritta and Iacobacci 2021): align translations with English during task training."""

from __future__ import annotations

from dataclasses import replace

from search_spaces.space import Space, SpaceContext, Suggest, arms, objectives
from trainables.objectives import ALL
from trainables.recipe import Recipe


def _recipe(suggest: Suggest, setting: SpaceContext) -> Recipe:
    """Suggest the languages to align on, and the weight."""
    return Recipe(**setting.fixed, **objectives(suggest, setting, has_tasks=False))


def _comparison_rows(setting: SpaceContext) -> list[Recipe]:
    """List recipes to compare alignment with.

    These are: labels of the language itself, translated labels beside the English ones, and the two orders that failed in
    the paper.
    """
    found = []
    for align in setting.align:
        (language, *more) = align.languages
        if not more and language in setting.labelled:
            found.append(Recipe(**setting.fixed, train_languages=(language,)))
            found.append(Recipe(**setting.fixed, train_languages=("en", language)))
    whole = next((align for align in setting.align if align.languages == ALL), None)
    if whole and whole.phase == "target":
        found += [Recipe(**setting.fixed, align=replace(whole, order=order)) for order in ("before", "after")]
    return found


SPACE = Space(
    question="How much does aligning translations with English help, on which languages, and against target labels?",
    recipe=_recipe,
    published=arms,  # English labels alone; then aligned on each language by itself, on groups, and on all of them
    comparison_rows=_comparison_rows,
    profile="xeroalign",
    targets=("massive", "xsid", "pawsx"),
    pocket_targets=("massive",),  # such a small encoder does not learn PAWS-X
    tasks=(),
    aligns=True,
)
