"""What alignment did: aligned on x evaluated on, and the lines of XeroAlign's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from trainables.catalogue import dataset
from trainables.recipe import Recipe

Row = Mapping[str, Any]
Cells = dict[str, dict[str, float]]  # language -> metric -> score
ZERO_SHOT, TARGET, TRANSLATED, ALIGNED = "0-shot", "target", "translate-train", "aligned"
SAME = (TARGET, TRANSLATED, ALIGNED)  # one model for each language, tested on it


def alignment(rows: Iterable[Row], targets: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each trained target, and each intermediate phase that the study has: rows aligned on a language or a group by
    evaluated language, and the published table's lines (Gritta and Iacobacci 2021, Tables 2 to 6).

    A line `target` (labels of the language), `translate-train` (English labels and translated ones) or `aligned` is made
    of one model per language, each scored on its own language; its English cell is the mean over these models. Averages
    are over the languages but English that every line has. [] for a study that aligned nothing.
    """
    groups: dict[str, list[tuple[Recipe, Row]]] = {}
    for row in rows:
        recipe = Recipe.from_dict(row["recipe"])
        base = replace(recipe, train_languages=(), align=None)
        groups.setdefault(base.address, []).append((recipe, row))
    found = []
    for several in groups.values():
        if any(recipe.align for recipe, _ in several):
            found += [_one(several, target) for target in targets if target["trained_on"]]
    return [one for one in found if len(one["matrix"]) > 1]


def _one(rows: Sequence[tuple[Recipe, Row]], target: Mapping[str, Any]) -> dict[str, Any]:
    name = target["name"]
    scored = [(recipe, row, row["targets"][name]["languages"]) for recipe, row in rows if name in row["targets"]]
    plain = next((row["name"] for recipe, row, _ in scored if not (recipe.align or recipe.train_languages)), "")
    matrix = [
        {"on": list(recipe.align.languages) if recipe.align else [], "name": row["name"], "scores": cells}
        for recipe, row, cells in scored
        if not recipe.train_languages and (recipe.align is None or recipe.align.order == "joint")
    ]
    by = {dataset(_data(recipe, name)).translated_by or "unknown" for recipe, _, _ in scored if recipe.align}
    return {
        "target": name,
        "title": target["title"],
        "main": target["main"],
        "base": plain,
        "translated_by": " and ".join(sorted(by)),
        "languages": target["languages"],
        "matrix": matrix,
        "table": list(_table(scored, target)),
    }


def _data(recipe: Recipe, target: str) -> str:
    """The dataset whose translations were aligned."""
    assert recipe.align is not None
    return recipe.align.data or dataset(dataset(target).train_on or target).in_translation


def _line_of(recipe: Recipe) -> tuple[str, str]:
    """(line, language of the model; "" where one model is scored on all)."""
    if recipe.train_languages:
        own = [tag for tag in recipe.train_languages if tag != "en"]
        return (TRANSLATED if "en" in recipe.train_languages else TARGET), "+".join(own)
    if recipe.align is None:
        return ZERO_SHOT, ""
    if recipe.align.order == "joint" and len(recipe.align.languages) == 1 and recipe.align.languages != ("all",):
        return ALIGNED, recipe.align.languages[0]
    return "", ""


def _table(scored: Sequence[tuple[Recipe, Row, Cells]], target: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    models: dict[str, dict[str, Cells]] = {}
    for recipe, row, cells in scored:
        line, language = _line_of(recipe)
        models.setdefault(line or row["name"], {})[language] = cells
    order = [TARGET, TRANSLATED, ZERO_SHOT, ALIGNED, *(line for line in models if line not in (*SAME, ZERO_SHOT))]
    found = {
        line: _diagonal(models[line], target) if line in SAME else models[line][""] for line in order if line in models
    }
    shared = [tag for tag in target["languages"] if tag != "en" and all(tag in cells for cells in found.values())]
    for line, cells in found.items():
        means = {metric: fmean(cells[tag][metric] for tag in shared) for metric in target["main"]} if shared else None
        yield {"name": line, "cells": cells, "average": means}


def _diagonal(models: Mapping[str, Cells], target: Mapping[str, Any]) -> Cells:
    """Each language by the model that was made for it."""
    found: Cells = {}
    for tag in target["languages"]:
        if tag in models and tag in models[tag]:
            found[tag] = models[tag][tag]
    english = [cells["en"] for cells in models.values() if "en" in cells]
    if english:
        found["en"] = {metric: fmean(one[metric] for one in english) for metric in english[0]}
    return found


def on(row: Mapping[str, Any]) -> str:
    """What a row of the matrix was aligned on: "de", "de+es", "all", or "nothing"."""
    return "+".join(row["on"]) or "nothing"


def aligned_rows(report: Mapping[str, Any], target: str) -> list[list[Any]]:
    """One line per row of a target's matrices, evaluated language and metric, with the difference from no alignment."""
    found: list[list[Any]] = [["recipe", "aligned_on", "evaluated_on", "metric", "score", "difference"]]
    for one in report.get("alignment", ()):
        if one["target"] == target:
            base: Cells = next((row["scores"] for row in one["matrix"] if not row["on"]), {})
            for row in one["matrix"]:
                for tag, metrics in row["scores"].items():
                    for metric, score in metrics.items():
                        reference = base.get(tag, {}).get(metric)
                        difference = "" if reference is None else score - reference
                        found.append([row["name"], on(row), tag, metric, score, difference])
    return found


def lines(
    one: Mapping[str, Any], published: Iterable[tuple[str, Mapping[str, str]]] = ()
) -> tuple[list[str], list[tuple[str, list[str], str]]]:
    """Columns, and (name, cells, style) of each line of a published table; main metrics stand as a/b.

    `published`: (name, cells by language) of a paper's own lines, which stand under ours.
    """

    def text(metrics: Mapping[str, float] | None) -> str:
        return "/".join(f"{metrics[name]:.1f}" for name in one["main"]) if metrics else "-"

    tags = list(one["languages"])
    rows = [(r["name"], [*(text(r["cells"].get(t)) for t in tags), text(r["average"])], "") for r in one["table"]]
    columns = [*tags, "average"]
    rows += [(f"published: {name}", [cells.get(c, "-") for c in columns], "dim") for name, cells in published]
    return columns, rows
