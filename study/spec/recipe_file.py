"""Best recipe of a study: selection, TOML file and command to rerun it."""

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
    """Select the complete row with the highest selection gain.

    The baseline wins ties. Rows that were trained on labels of languages other than English are only for comparison
    and never selected.

    Returns:
        The recipe with its gain, interval, rerun command and TOML; None if no row is complete.
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
    """Write a recipe as TOML for `study.launch --recipe`.

    Comments give the source of each hyperparameter.
    """
    study = {"space": settings.space, "source": settings.source, "seeds": settings.seeds}
    line = "".join(c for c in " ".join(name.split()) if c.isprintable())  # TOML takes no control characters
    head = f"# {line}\n# run again: python -m study.launch --recipe THIS_FILE\n\n"
    found = numbers(Recipe.from_dict(recipe))
    origins = [f"{part}: {text} ({origin})" for part, text, origin in lines(found)]
    tail = "".join(f"# {text}\n" for text in ("Hyperparameters and their sources:", *origins, *sources(found)))
    return head + tomli_w.dumps({"study": study, "recipe": dict(recipe)}) + "\n" + tail


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
