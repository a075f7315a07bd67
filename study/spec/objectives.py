"""Training objectives of a study, from the options of `launch`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from search_spaces.space import ROBUST, Space
from study.planning.auxiliary_data import training_languages
from study.spec.study_spec import StudySpec
from trainables.catalogue import dataset
from trainables.errors import BadInput, check_path, unknown
from trainables.objectives import ALL, Align, In, Robust, to_dict
from trainables.recipe import Recipe
from trainables.sources import Source
from trainables.training.synonyms import synonyms_of

OPTIONS = ("align_on", "align_data", "align_phase", "robust", "synonyms")


def objectives_of(
    spec: StudySpec, space: Space, targets: Iterable[str], source: Source
) -> dict[str, list[dict[str, Any]]]:
    """Resolve the alignment and robust-training options.

    A space that studies alignment gets one objective for each language in which all targets have translations, and one
    for all of these languages.

    Returns:
        `align` and `robust` as the study's settings store them; a key without objectives is absent.

    Raises:
        BadInput: a name is unknown, or the options contradict each other.
    """
    phase: Any = spec.align_phase or "target"
    if phase not in get_args(In):
        raise unknown("--align-phase", phase, get_args(In))
    groups: list[tuple[str, ...]] = [tuple(group.split("+")) for group in spec.align_on or ()]
    if not groups and (space.aligns or spec.align_data or spec.align_phase):
        languages = _translated(targets, spec.align_data, source)
        groups = [ALL]
        if space.aligns:
            groups = [*((language,) for language in languages), *groups[: len(languages) - 1]]
    data = spec.align_data or ""
    found = {"align": [to_dict(Align(languages=group, data=data, phase=phase)) for group in groups]}
    names = spec.robust
    known: dict[str, Robust] = {arm.method: arm for arm in ROBUST}
    for name in names or ():
        if name not in known:
            raise unknown("robust method", name, known)
    arms = list(space.robust) if names is None else [known[name] for name in names]
    if names is None and not spec.synonyms and any(arm.method == "synonyms" for arm in arms):
        arms = _without_synonyms(arms, source)
    if spec.synonyms:
        check_path("--synonyms", spec.synonyms)
        if not Path(spec.synonyms).is_file():
            raise BadInput(f"--synonyms: there is no file {spec.synonyms!r}")
        if not any(arm.method == "synonyms" for arm in arms):
            raise BadInput("--synonyms needs --robust synonyms")
        own = str(Path(spec.synonyms).resolve())
        arms = [replace(arm, synonyms=own) if arm.method == "synonyms" else arm for arm in arms]
    found["robust"] = [to_dict(arm) for arm in arms]
    return {name: values for name, values in found.items() if values}


def _without_synonyms(arms: list[Robust], source: Source) -> list[Robust]:
    """Drop the synonym method if the source has no synonyms.

    Used where the method was not requested by name; prints the reason to standard error.
    """
    try:
        synonyms_of(source)
    except BadInput as error:
        print(f"skipping the synonyms row: {error}", file=sys.stderr)
        return [arm for arm in arms if arm.method != "synonyms"]
    return arms


def supervised_languages(targets: Iterable[str], source: Source) -> tuple[str, ...]:
    """List languages with training rows of every trained target, except English."""
    having = [training_languages(source, name).keys() - {"en"} for name in _trained(targets)]
    return tuple(sorted(set.intersection(*having))) if having else ()


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """Make the recipe's synonym path absolute.

    Workers run in other working directories.
    """
    if not recipe.robust or not recipe.robust.synonyms:
        return recipe
    return replace(recipe, robust=replace(recipe.robust, synonyms=str(Path(recipe.robust.synonyms).resolve())))


def _trained(targets: Iterable[str]) -> list[str]:
    """List the targets' training sets; retrieval targets have none."""
    return [name for name in (dataset(target).train_on for target in targets) if name]


def _translated(targets: Iterable[str], data: str | None, source: Source) -> list[str]:
    """List languages into which all targets' training rows are translated.

    English is left out.

    Raises:
        BadInput: there is no such language.
    """
    sets = [dataset(data)] if data else [dataset(dataset(name).in_translation) for name in _trained(targets)]
    common = [set(source.languages(d, "train")) if d.holds_translations else set() for d in sets]
    found = set.intersection(*common) - {"en"} if common else set()
    if not found:
        raise BadInput(
            f"source {source.spec!r} has no language in which the training rows of all targets are translated: "
            "set --align-data to a dataset with translations"
        )
    return sorted(found)
