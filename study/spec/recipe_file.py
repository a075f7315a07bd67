"""Recipes as TOML files."""

from __future__ import annotations

from typing import Any

import tomli_w

from study.spec.study_spec import ResolvedSpec
from trainables.errors import BadInput, unknown
from trainables.hyperparameter_sources import lines, numbers, sources
from trainables.recipe import Recipe
from trainables.toml_file import read_toml

STUDY_KEYS = ("space", "source", "seeds")


def recipe_toml(recipe: Recipe, settings: ResolvedSpec, name: str) -> str:
    """Write a recipe as TOML for `study.launch --recipe`.

    Comments give the source of each hyperparameter.
    """
    study = {"space": settings.space, "source": settings.source, "seeds": settings.seeds}
    line = "".join(c for c in " ".join(name.split()) if c.isprintable())  # TOML takes no control characters
    head = f"# {line}\n# run again: python -m study.launch --recipe THIS_FILE\n\n"
    found = numbers(recipe)
    origins = [f"{part}: {text} ({origin})" for part, text, origin in lines(found)]
    tail = "".join(f"# {text}\n" for text in ("Numbers, and where they come from:", *origins, *sources(found)))
    return head + tomli_w.dumps({"study": study, "recipe": recipe.to_dict()}) + "\n" + tail


def read_recipe(path: str) -> tuple[Recipe, dict[str, Any]]:
    """Read a recipe and its `[study]` table from a TOML file.

    Raises:
        BadInput: the file or a key of it is not valid.
    """
    values = read_toml(path, f"recipe file {path!r}")
    for key in values:
        if key not in ("study", "recipe"):
            raise unknown(f"table of recipe file {path!r}:", key, ["study", "recipe"])
    study, recipe = values.get("study", {}), values.get("recipe")
    if not isinstance(recipe, dict) or not isinstance(study, dict):
        raise BadInput(f"recipe file {path!r} has no [recipe] table")
    for key in study:
        if key not in STUDY_KEYS:
            raise unknown(f"key of [study] in {path!r}:", key, STUDY_KEYS)
    return Recipe.from_dict(recipe), study
