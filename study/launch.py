"""Run a study: every recipe of a space from encoder to zero-shot scores, and the report that answers its question."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from search_spaces import space
from search_spaces.space import Space
from study.execution.graceful_shutdown import STOP
from study.planning.encoder_weights import resolve
from study.planning.plan import Planner, scored_languages, selection_rows
from study.record.record import Record, ResolvedSpec
from study.spec.cli_parser import Parser, add_running, home_of, names_of, print_json, run_verb, running_of
from study.spec.objectives import OPTIONS, add_objectives, objectives_of, supervised_languages, with_absolute_paths
from study.spec.recipe_file import read_recipe
from study.store.remote import check_url
from trainables.catalogue import DATASETS, RETRIEVAL, Dataset, dataset
from trainables.errors import BadInput, check_number, check_path, unknown
from trainables.profiles import PROFILES, default_profile
from trainables.recipe import CHOICES, MAX_CURVE
from trainables.sources import Source, open_source

# XTREME's targets; other targets of the catalogue are scored when they are named.
DEFAULT_TARGETS = ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba")
ALL = "all"  # in place of names: every one that the source has
SHARED = ("layer", *CHOICES, "curve")  # recipe keys that all recipes of a study share


def parser() -> Parser:
    """The options of `launch`."""
    made = Parser("launch", __doc__)
    made.add_argument("--space", help="which question: a file of search_spaces/ (needed unless --recipe is given)")
    made.add_argument("--name", help="name of the study (default: made from its settings)")
    made.add_argument("--source", help="where rows come from: pocket, mirror:DIR or hub (default: pocket)")
    made.add_argument("--encoder", default=None, help="pocket, pretrain:SIZE, a hub id or a folder (default: pocket)")
    made.add_argument(
        "--targets",
        help="comma-separated target tasks, or 'all' that the source has (default: the space's or XTREME's)",
    )
    made.add_argument(
        "--intermediate",
        help="comma-separated intermediate tasks, with 'mlm' to mix masked LM; 'all' = the catalogue's, with it "
        "(default: the space's or all; on pocket a few)",
    )
    made.add_argument("--trials", type=int, help="search, with so many trials in all; the published rows come first")
    made.add_argument("--grid", action="store_true", help="exactly the published rows (the default without --trials)")
    made.add_argument("--recipe", help="run the recipe of a TOML file, beside the baseline")
    made.add_argument("--profile", help=f"training numbers: {', '.join(PROFILES)} (default: by encoder)")
    made.add_argument("--seeds", type=int, help="seeds per recipe; gains are paired by seed (default: 1)")
    made.add_argument("--scale", type=float, help="fraction of all rows and steps, for a rehearsal (default: 1)")
    made.add_argument("--layer", type=int, help="hidden state that retrieval reads (default: 14 of 24, 8 of 12)")
    made.add_argument("--pooling", choices=CHOICES["pooling"], help="sentence vectors for retrieval (default: mean)")
    made.add_argument("--direction", choices=CHOICES["direction"], help="who looks for whom (default: en_to_xx)")
    made.add_argument("--bare-prefix", choices=CHOICES["bare_prefix"], help="lone word-boundary pieces in tagging")
    made.add_argument(
        "--curve", type=int, metavar="N", help="score targets at N points of their training (default: by space; 0 = no)"
    )
    add_objectives(made)
    made.add_argument("--sweep-layers", action="store_true", help="score retrieval at every layer too, as a report")
    made.add_argument(
        "--store", metavar="URL", help="share finished stages at s3://, gs:// or file:// (default: $STEPSTONE_STORE)"
    )
    add_running(made)
    made.add_argument("--dry-run", action="store_true", help="print what would run, and stop")
    return made


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    STOP.listen()
    options = parser().parse_args(argv)
    home, running = home_of(options), running_of(options)
    settings, source = settings_of(options)
    weights = resolve(settings.encoder)
    if weights and not weights.can_mask and not options.recipe and "mlm" not in (names_of(options.intermediate) or ()):
        settings = replace(settings, mlm=False)  # nobody asked for it: the default is all that can be done
    planner = Planner(source, weights, settings.sweep_layers)
    record = Record(home, settings.default_name if options.name is None else options.name)
    record.check(settings)
    settings = replace(settings, store=_store(options, record))

    from study.execution.driver import StudyDriver, dry_run, exit_status

    launch = StudyDriver(home, record, settings, planner, **running)
    if options.dry_run:
        return dry_run(launch)
    report = launch.run()
    if options.json:
        print_json(report)
    STOP.end()
    return exit_status(report)


def settings_of(options: argparse.Namespace) -> tuple[ResolvedSpec, Source]:
    """The settings that the options name, all of them checked against catalogue and source; raises BadInput."""
    if options.recipe and (options.space or options.trials is not None or options.grid):
        raise BadInput("--recipe runs one recipe: leave --space, --trials and --grid out")
    if options.trials is not None and options.grid:
        raise BadInput("--trials searches and --grid runs the published rows: give one of them")
    for name in ("trials", "seeds"):
        value = getattr(options, name)
        if value is not None:
            check_number(f"--{name}", value, at_least=1)
    if options.scale is not None:
        check_number("--scale", options.scale, above=0, at_most=1)
    if options.recipe:
        return _of_recipe(options)
    if not options.space:
        raise BadInput("--space is missing: which question? (or --recipe FILE)")
    asked = space(options.space)
    encoder = options.encoder or "pocket"
    check_path("--encoder", encoder)
    profile = options.profile or default_profile(encoder, asked.profile)
    if profile not in PROFILES:
        raise unknown("profile", profile, PROFILES)
    source = open_source(options.source or "pocket")
    _check_words(encoder, source)
    pocket = source.spec == "pocket"
    own = asked.pocket_targets if pocket and asked.pocket_targets else asked.targets
    targets = _targets(_with_all(names_of(options.targets), lambda: _served(source)), source, own or DEFAULT_TARGETS)
    named = _with_all(names_of(options.intermediate), lambda: _all_tasks(source))
    if named is None and pocket:
        named = asked.pocket_tasks or None
    tasks, mlm = _tasks(named, source, asked.tasks)
    settings = ResolvedSpec(
        space=options.space,
        source=source.spec,
        encoder=_absolute(encoder),
        profile=profile,
        targets=targets,
        intermediate=tasks,
        mlm=mlm,
        seeds=options.seeds or 1,
        scale=1.0 if options.scale is None else options.scale,
        selection=_selection(targets, source),
        trials=options.trials or 0,
        grid=options.trials is None,
        reading=_shared(options, asked),
        objectives=objectives_of(options, asked, targets, source),
        labelled=supervised_languages(targets, source) if asked.aligns else (),
        sweep_layers=options.sweep_layers,
    )
    return settings, source


def _store(options: argparse.Namespace, record: Record) -> str:
    """The URL of the option or the environment, or the one that the study already has."""
    url = options.store or os.environ.get("STEPSTONE_STORE") or (record.settings.store if record.exists else "")
    return check_url(url) if url else ""


def _shared(options: argparse.Namespace, asked: Space) -> dict[str, Any]:
    """What the options say about reading encoders and about curves, where it is not as published."""
    if options.layer is not None:
        check_number("--layer", options.layer, at_least=1)
    if options.curve is not None:
        check_number("--curve", options.curve, at_least=0, at_most=MAX_CURVE)
    published: dict[str, Any] = {name: allowed[0] for name, allowed in CHOICES.items()} | {"curve": 0}
    found = {name: getattr(options, name) for name in SHARED}
    if found["curve"] is None:
        found["curve"] = asked.curve
    return {name: value for name, value in found.items() if value not in (None, published.get(name))}


def _of_recipe(options: argparse.Namespace) -> tuple[ResolvedSpec, Source]:
    recipe, study = read_recipe(options.recipe)
    recipe = with_absolute_paths(recipe)
    for name in ("encoder", "targets", "intermediate", "profile", "scale", *SHARED, *OPTIONS):
        if getattr(options, name) is not None:
            raise BadInput(f"--{name.replace('_', '-')} is part of the recipe: change it in {options.recipe!r}")
    seeds = options.seeds or study.get("seeds", 1)
    check_number("seeds", seeds, at_least=1)
    if seeds != int(seeds):
        raise BadInput(f"seeds in {options.recipe!r} must be a whole number, not {seeds!r}")
    space_name = str(study.get("space", "intermediate_tasks"))
    space(space_name)
    source = open_source(options.source or str(study.get("source", "pocket")))
    _check_words(recipe.encoder, source)
    if "mlm" in recipe.intermediate:
        raise BadInput(f"'mlm' is not an intermediate task in recipe {options.recipe!r}: set mlm_ratio")
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
        sweep_layers=options.sweep_layers,
        recipe=replace(recipe, targets=targets).to_dict(),  # targets in order of cost, as in every recipe of a space
    )
    return settings, source


def _check_words(encoder: str, source: Source) -> None:
    if encoder == "pocket" and source.spec != "pocket":
        raise BadInput(f"encoder 'pocket' knows only the pocket world's words: give --encoder for {source.spec!r}")


def _selection(targets: tuple[str, ...], source: Source) -> str:
    """English dev scores where any target has them; else only the reported scores are left to choose by."""
    return "english_dev" if any(selection_rows(source, dataset(t))[0] for t in targets) else "target_dev"


def _absolute(encoder: str) -> str:
    return str(Path(encoder).resolve()) if Path(encoder).is_dir() and encoder != "pocket" else encoder


def _trains(source: Source, d: Dataset) -> bool:
    return "en" in source.languages(d, "train")


def _targets(names: tuple[str, ...] | None, source: Source, default: tuple[str, ...]) -> tuple[str, ...]:
    """Targets in order of cost: retrieval trains nothing, then by the number of English training rows."""
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
    """The names of an option, with "all" replaced by what the source serves; each once."""
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
    """The intermediate tasks, and whether masked LM may be mixed in.

    Any dataset with English training rows can be named; the default is the space's own, or for None what the catalogue
    lists as intermediate.
    """
    if names is None and default == ():
        return (), False
    if names is None:
        names = _all_tasks(source, default)
    trainable = [d.name for d in DATASETS.values() if d.kind != "text" and d.kind not in RETRIEVAL]
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
    """Those of the listed tasks (None: the catalogue's) that the source has, and "mlm" where it has text."""
    if listed is None:
        listed = tuple(d.name for d in DATASETS.values() if "intermediate" in d.roles)
    found = tuple(name for name in listed if _trains(source, dataset(name)))
    if not found:
        raise BadInput(f"source {source.spec!r} has no English training rows of any intermediate task")
    return (*found, "mlm") if _has_text(source) else found


def _has_text(source: Source) -> bool:
    return bool(source.languages(DATASETS["mlm"], "train"))


if __name__ == "__main__":
    run_verb(main)
