"""Huang et al. 2021: robust training improves zero-shot transfer.

The idea is that another language acts like a small change of the input.
"""

from __future__ import annotations

from search_spaces.space import ROBUST, Space, SpaceContext, Suggest, arms, objectives
from trainables.recipe import Recipe


def _recipe(suggest: Suggest, setting: SpaceContext) -> Recipe:
    """Suggest how inputs are perturbed, and how far.

    The perturbation is adversarial, random, or by synonyms.
    """
    return Recipe(**setting.fixed, **objectives(suggest, setting, has_tasks=False))


SPACE = Space(
    question="Does training on changed inputs help zero-shot transfer, and which changes, how large?",
    recipe=_recipe,
    published=arms,  # plain fine-tuning, then each of the three
    profile="robust",
    targets=("xnli", "pawsx", "xnli_pairs", "pawsx_pairs"),
    tasks=(),
    robust=ROBUST,
)
