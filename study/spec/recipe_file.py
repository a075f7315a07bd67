"""The recipe to copy: which one it is, its TOML file, and the command that runs it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from study.spec.study_spec import ResolvedSpec
from trainables.errors import BadInput, unknown
from trainables.hyperparameter_sources import lines, numbers, sources
from trainables.recipe import Recipe
from trainables.toml_file import read_toml

STUDY_KEYS = ("space", "source", "seeds")


def best_recipe(rows: Sequence[Mapping[str, Any]], settings: ResolvedSpec, path: Path) -> dict[str, Any] | None:
    """The complete row with the highest selection gain (the baseline wins ties); None when no row is complete.

    Rows that saw labels of other languages than English are there to compare with, never to be chosen.
    """
    complete = [row for row in rows if row["status"] == "complete" and row["selection"] is not None]
    complete = [row for row in complete if not row["recipe"].get("train_languages")]
    if not complete:
        return None
    row = max(complete, key=lambda r: (r["selection"], Recipe.from_dict(r["recipe"]).is_baseline))
    return {
        "name": row["name"],
        "recipe": row["recipe"],
        "gain": row["gain"],
        "interval": row["interval"],
        "address": row["address"],
        "command": f"python -m study.launch --recipe {shlex.quote(str(path))}",
        "toml": recipe_toml(row["recipe"], settings, row["name"]),
    }


def recipe_toml(recipe: Mapping[str, Any], settings: ResolvedSpec, name: str) -> str:
    """The file that `study.launch --recipe` reads; comments say where each number of it comes from."""
    study = {"space": settings.space, "source": settings.source, "seeds": settings.seeds}
    line = "".join(c for c in " ".join(name.split()) if c.isprintable())  # TOML takes no control characters
    head = f"# {line}\n# run again: python -m study.launch --recipe THIS_FILE\n\n"
    found = numbers(Recipe.from_dict(recipe))
    origins = [f"{part}: {text} ({origin})" for part, text, origin in lines(found)]
    tail = "".join(f"# {text}\n" for text in ("Numbers, and where they come from:", *origins, *sources(found)))
    return head + tomli_w.dumps({"study": study, "recipe": dict(recipe)}) + "\n" + tail


def read_recipe(path: str) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a TOML file and its `[study]` table; BadInput naming what is wrong with it."""
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
