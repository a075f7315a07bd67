"""Resolution of a `StudySpec`: check names and numbers, fill in defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import search_spaces
from search_spaces import space
from search_spaces.space import Space
from study.planning.plan import scored_languages, selection_rows
from study.spec.objectives import OPTIONS, objectives_of, supervised_languages, with_absolute_paths
from study.spec.recipe_file import read_recipe
from study.spec.study_spec import ResolvedSpec, StudySpec
from trainables import catalogue
from trainables.catalogue import DATASETS, Dataset, dataset
from trainables.errors import BadInput, check_number, check_path, unknown
from trainables.profiles import PROFILES, default_profile
from trainables.recipe import CHOICES, MAX_CURVE, Recipe
from trainables.sources import Source, open_source

# XTREME's targets; other targets of the catalogue are scored only if named.
DEFAULT_TARGETS = ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba")
ALL = "all"  # in place of names: all that the source has
SHARED = ("layer", *CHOICES, "curve")  # recipe keys that all recipes of a study share


def resolve_spec(spec: StudySpec) -> tuple[ResolvedSpec, Source]:
    """Check a spec against catalogue and source, and fill in defaults.

    Raises:
        BadInput: an option is invalid, unknown or missing from the source.
    """
    if spec.recipe and (spec.space or spec.trials is not None or spec.grid):
        raise BadInput("--recipe runs one recipe: omit --space, --trials and --grid")
    if spec.trials is not None and spec.grid:
        raise BadInput("--trials runs a search and --grid the published rows: give only one of them")
    for name in ("trials", "seeds"):
        value = getattr(spec, name)
        if value is not None:
            check_number(f"--{name}", value, at_least=1)
    if spec.scale is not None:
        check_number("--scale", spec.scale, above=0, at_most=1)
    for name in ("align_on", "robust"):
        _check_list(name, getattr(spec, name) or ())
    if spec.recipe:
        return _of_recipe(spec)
    if not spec.space:
        raise BadInput("--space is missing (or give --recipe FILE)")
    space_name, asked = _space(spec.space)
    encoder = spec.encoder or "pocket"
    check_path("--encoder", encoder)
    profile = spec.profile or default_profile(encoder, asked.profile)
    if profile not in PROFILES:
        raise unknown("profile", profile, PROFILES)
    wanted, given = _names("targets", spec.targets), _names("intermediate", spec.intermediate)
    source = open_source(spec.source or "pocket")
    _check_words(encoder, source)
    pocket = source.spec == "pocket"
    own = asked.pocket_targets if pocket and asked.pocket_targets else asked.targets
    targets = _targets(_with_all(wanted, lambda: _served(source)), source, own or DEFAULT_TARGETS)
    named = _with_all(given, lambda: _all_tasks(source))
    if named is None and pocket:
        named = asked.pocket_tasks or None
    tasks, mlm = _tasks(named, source, asked.tasks)
    settings = ResolvedSpec(
        space=space_name,
        source=source.spec,
        encoder=_absolute(encoder),
        profile=profile,
        targets=targets,
        intermediate=tasks,
        mlm=mlm,
        seeds=spec.seeds or 1,
        scale=1.0 if spec.scale is None else spec.scale,
        selection=_selection(targets, source),
        trials=spec.trials or 0,
        grid=spec.trials is None,
        reading=_shared(spec, asked),
        objectives=objectives_of(spec, asked, targets, source),
        labelled=supervised_languages(targets, source) if asked.aligns else (),
        sweep_layers=spec.sweep_layers,
    )
    return settings, source


def _space(asked: str | Space) -> tuple[str, Space]:
    """Return a space and its name; a `Space` value is registered by name."""
    if isinstance(asked, Space):
        return search_spaces.register(asked), asked
    if not isinstance(asked, str):
        raise BadInput(f"space must be a name or a Space, not {asked!r}")
    return asked, space(asked)


def _names(what: str, values: Sequence[str | Dataset] | None) -> tuple[str, ...] | None:
    """Return the names of datasets given by name or value.

    `Dataset` values are added to the catalogue.

    Raises:
        BadInput: the list is empty, a plain string, or has duplicates.
    """
    if values is None:
        return None
    _check_list(what, values)
    names = tuple(value if isinstance(value, str) else catalogue.register(value) for value in values)
    if not names:
        raise BadInput(f"{what} is an empty list of names")
    if len(set(names)) != len(names):
        raise BadInput(f"{what} has duplicate names: {', '.join(names)}")
    return names


def _check_list(what: str, values: Sequence[str | Dataset]) -> None:
    if isinstance(values, str):
        raise BadInput(f"{what} must be a list of names, not the text {values!r}")
    for value in values:
        if not isinstance(value, str | Dataset):
            raise BadInput(f"{what} must be a list of names, not {value!r}")


def _shared(spec: StudySpec, asked: Space) -> dict[str, Any]:
    """Collect retrieval and curve options that differ from the published values."""
    if spec.layer is not None:
        check_number("--layer", spec.layer, at_least=1)
    if spec.curve is not None:
        check_number("--curve", spec.curve, at_least=0, at_most=MAX_CURVE)
    for name, allowed in CHOICES.items():
        if getattr(spec, name) not in (None, *allowed):
            raise unknown(f"--{name.replace('_', '-')}", getattr(spec, name), allowed)
    published: dict[str, Any] = {name: allowed[0] for name, allowed in CHOICES.items()} | {"curve": 0}
    found = {name: getattr(spec, name) for name in SHARED}
    if found["curve"] is None:
        found["curve"] = asked.curve
    return {name: value for name, value in found.items() if value not in (None, published.get(name))}


def _of_recipe(spec: StudySpec) -> tuple[ResolvedSpec, Source]:
    given = spec.recipe
    recipe, study = (given, {}) if isinstance(given, Recipe) else read_recipe(str(given))
    recipe = with_absolute_paths(recipe)
    for name in ("encoder", "targets", "intermediate", "profile", "scale", *SHARED, *OPTIONS):
        if getattr(spec, name) is not None:
            raise BadInput(f"--{name.replace('_', '-')} is part of the recipe: change it in {given!r}")
    seeds = spec.seeds or study.get("seeds", 1)
    check_number("seeds", seeds, at_least=1)
    if seeds != int(seeds):
        raise BadInput(f"seeds in {given!r} must be a whole number, not {seeds!r}")
    space_name = str(study.get("space", "intermediate_tasks"))
    space(space_name)
    source = open_source(spec.source or str(study.get("source", "pocket")))
    _check_words(recipe.encoder, source)
    if "mlm" in recipe.intermediate:
        raise BadInput(f"'mlm' is not an intermediate task in recipe {given!r}: set mlm_ratio")
    targets = _targets(recipe.targets, source, ())
    tasks, mlm = _tasks(recipe.intermediate, source, None) if recipe.intermediate else ((), False)
    settings = ResolvedSpec(
        space=space_name,
        source=source.spec,
        encoder=recipe.encoder,
        profile=recipe.profile,
        targets=targets,
        intermediate=tasks,
        mlm=mlm or bool(recipe.mlm_ratio),
        seeds=int(seeds),
        scale=recipe.scale,
        selection=_selection(targets, source),
        trials=0,
        grid=True,
        sweep_layers=spec.sweep_layers,
        recipe=replace(recipe, targets=targets).to_dict(),  # targets in order of cost, as in every recipe of a space
    )
    return settings, source


def _check_words(encoder: str, source: Source) -> None:
    if encoder == "pocket" and source.spec != "pocket":
        raise BadInput(
            f"encoder 'pocket' has only the vocabulary of the pocket data: set --encoder for source {source.spec!r}"
        )


def _selection(targets: tuple[str, ...], source: Source) -> str:
    """Choose the scores that select recipes.

    English dev scores if any target has them; otherwise only the reported scores are available.
    """
    return "english_dev" if any(selection_rows(source, dataset(t))[0] for t in targets) else "target_dev"


def _absolute(encoder: str) -> str:
    return str(Path(encoder).resolve()) if Path(encoder).is_dir() and encoder != "pocket" else encoder


def _trains(source: Source, d: Dataset) -> bool:
    return "en" in source.languages(d, "train")


def _targets(names: tuple[str, ...] | None, source: Source, default: tuple[str, ...]) -> tuple[str, ...]:
    """Check targets and sort them by cost.

    Retrieval, which trains nothing, comes first; then by the number of English training rows.

    Raises:
        BadInput: a target is unknown, or the source lacks its rows or training set.
    """
    known = [d.name for d in DATASETS.values() if "target" in d.roles]
    for name in names or ():
        if name not in known:
            raise unknown("target", name, known)
        d = dataset(name)
        if not scored_languages(source, d):
            raise BadInput(
                f"source {source.spec!r} has no rows of target {name!r} (it has: {', '.join(_served(source)) or 'none'})"
            )
        if d.train_on and not _trains(source, dataset(d.train_on)):
            raise BadInput(
                f"target {name!r} trains on English {d.train_on!r}, which source {source.spec!r} does not have"
            )
    chosen = names or tuple(name for name in default if name in _served(source))
    if not chosen:
        raise BadInput(f"source {source.spec!r} has none of the targets {', '.join(default)} with what they train on")

    def cost(name: str) -> tuple[int, str]:
        trained = dataset(name).train_on
        return (source.num_rows(dataset(trained), "en", "train") if trained else 0, name)

    return tuple(sorted(chosen, key=cost))


def _with_all(names: tuple[str, ...] | None, served: Callable[[], Iterable[str]]) -> tuple[str, ...] | None:
    """Replace "all" by what the source has, without duplicates."""
    if names is None or ALL not in names:
        return names
    return tuple(dict.fromkeys(known for name in names for known in (served() if name == ALL else (name,))))


def _served(source: Source) -> list[str]:
    targets = [d for d in DATASETS.values() if "target" in d.roles]
    return [
        d.name
        for d in targets
        if scored_languages(source, d) and (not d.train_on or _trains(source, dataset(d.train_on)))
    ]


def _tasks(
    names: tuple[str, ...] | None, source: Source, default: tuple[str, ...] | None
) -> tuple[tuple[str, ...], bool]:
    """Check the intermediate tasks, and whether masked LM may be mixed in.

    Any dataset with English training rows can be named. The default is the space's own; if that is None, the datasets
    that the catalogue lists as intermediate.

    Raises:
        BadInput: a task is unknown, or the source lacks its English training rows.
    """
    if names is None and default == ():
        return (), False
    if names is None:
        names = _all_tasks(source, default)
    trainable = [d.name for d in DATASETS.values() if d.format.has_head]
    for name in names:
        if name == "mlm":
            if not _has_text(source):
                raise BadInput(f"source {source.spec!r} has no raw text for masked LM")
        elif name not in trainable:
            raise unknown("intermediate task", name, [*trainable, "mlm"])
        elif not _trains(source, dataset(name)):
            served = [n for n in trainable if _trains(source, dataset(n))]
            raise BadInput(
                f"source {source.spec!r} has no English training rows of {name!r} (it has: {', '.join(served) or 'none'})"
            )
    tasks = tuple(name for name in names if name != "mlm")
    if not tasks:
        raise BadInput("--intermediate names no task beside 'mlm'")
    return tasks, "mlm" in names


def _all_tasks(source: Source, listed: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """List the tasks that the source has, and "mlm" if it has text.

    Args:
        listed: tasks to consider; None = the catalogue's intermediate tasks.
    """
    known = tuple(d.name for d in DATASETS.values() if "intermediate" in d.roles and _trains(source, d))
    found = known if listed is None else tuple(name for name in listed if _trains(source, dataset(name)))
    if not found:
        wanted = "any intermediate task" if listed is None or not known else ", ".join(listed)
        others = f": choose --intermediate among {', '.join(known)}" if known else ""
        raise BadInput(f"source {source.spec!r} has no English training rows of {wanted}{others}")
    return (*found, "mlm") if _has_text(source) else found


def _has_text(source: Source) -> bool:
    return bool(source.languages(DATASETS["mlm"], "train"))
