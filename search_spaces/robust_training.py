"""Huang et al. 2021: robust training improves zero-shot transfer, as if another language were a small change of the input."""

from __future__ import annotations

from search_spaces.space import ROBUST, Space, SpaceContext, Suggest, arms, objectives
from trainables.recipe import Recipe


def recipe(suggest: Suggest, setting: SpaceContext) -> Recipe:
    """Is the input changed by the worst small change, by a random one, or by synonyms, and how far?"""
    return Recipe(**setting.fixed, **objectives(suggest, setting, has_tasks=False))


SPACE = Space(
    question="Does training on changed inputs help zero-shot transfer, and which changes, how large?",
    recipe=recipe,
    published=arms,  # plain fine-tuning, then each of the three
    profile="robust",
    targets=("xnli", "pawsx", "xnli_pairs", "pawsx_pairs"),
    tasks=(),
    robust=ROBUST,
)
