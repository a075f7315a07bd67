"""The origin of each number of a recipe.

It is a paper, the code it was run with, this project, or the recipe itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import NamedTuple

from trainables.catalogue import dataset
from trainables.objectives import Align, In, Robust
from trainables.profiles import MAX_ANSWER, MAX_QUERY, N_BEST, NO_LIMIT, PROFILES, Phase, Profile, TaskHyperparameters
from trainables.recipe import CHOICES, Recipe
from trainables.training.schedule import CYCLE_RISES

HERE = "this recipe"
CODE = "xtreme and jiant alike"
_NAMES = {
    "lr": "lr",
    "optimizer": "optimizer",
    "rates": "rates",
    "warmup_frac": "warm-up",
    "weight_decay": "weight decay",
    "clip": "clip",
    "adam_eps": "eps",
    "eval_every": "eval every",
    "patience": "patience",
    "dev_examples": "dev examples",
    "keep": "keep",
}
# Display order of phases.
_PHASES = ("every", "intermediate", "mixture", "masked", "targets", "target", "alignment", "robust", "scoring")
Value = int | float | str


class Number(NamedTuple):
    """One number of a recipe.

    `part` is its phase, and the task where the number belongs to one; `value` is "none" or "all" where there is no
    limit.
    """

    part: str
    name: str
    value: Value
    origin: str


def numbers(recipe: Recipe) -> list[Number]:
    """List every number of a recipe.

    Numbers of a whole phase come before those of single tasks.
    """
    profile = PROFILES[recipe.profile]
    trained = dict.fromkeys(
        name
        for target in recipe.targets
        for name in (dataset(target).train_first, dataset(target).train_on)
        if name is not None
    )
    found: list[Number] = []
    if recipe.scale < 1:
        found.append(Number("every stage", "scale", recipe.scale, HERE))
    if recipe.intermediate:
        found += _intermediate(recipe, profile)
    found += _targets(tuple(trained), profile)
    if recipe.align:
        found += _alignment(recipe, recipe.align, tuple(trained), profile)
    if recipe.robust:
        found += _robust(recipe, recipe.robust, tuple(trained), profile)
    return found + _scoring(recipe, profile)


def _intermediate(recipe: Recipe, profile: Profile) -> Iterator[Number]:
    mlm, mixed = bool(recipe.mlm_ratio), len(recipe.intermediate) > 1
    published = recipe.lr == profile.intermediate_lr(mlm=mlm)
    yield Number(
        "intermediate",
        "lr with MLM" if mlm else "lr",
        recipe.lr,
        profile.origin("lr_mlm" if mlm else "phase.lr") if published else HERE,
    )
    yield from (n for n in _phase("intermediate", profile.phase, profile) if n.name != "lr")
    if recipe.steps:
        yield Number("intermediate", "steps", recipe.steps, HERE)
    elif recipe.epochs != 1:
        yield Number("intermediate", "times its epochs", recipe.epochs, HERE)
    if recipe.mixing_limit:
        own = recipe.mixing_limit == profile.mixing_limit
        limit: Value = "none" if recipe.mixing_limit == NO_LIMIT else recipe.mixing_limit
        yield Number("mixture", "limit K", limit, profile.origin("mixing_limit") if own else HERE)
    if mixed:
        yield Number("mixture", "epochs", profile.mixture_epochs, profile.origin("mixture_epochs"))
    for task in recipe.intermediate:
        own_numbers = _fit(f"intermediate {task}", profile.fit(task, target=False), profile, "fits")
        yield from (n for n in own_numbers if not (mixed and n.name == "epochs"))
    if mlm:
        ratio = "by size" if recipe.mlm_ratio == "by_size" else recipe.mlm_ratio
        yield Number("masked LM", "share", ratio, profile.origin("mixing_limit") if ratio == "by size" else HERE)
        yield from (n for n in _fit("masked LM", profile.mlm, profile, "mlm") if n.name != "epochs")
        yield Number("masked LM", "sentences", profile.mlm_sentences, profile.origin("mlm_sentences"))
        yield Number("masked LM", "alpha", profile.mlm_alpha, profile.origin("mlm_alpha"))


def _fit(part: str, fit: TaskHyperparameters, profile: Profile, table: str) -> Iterator[Number]:
    own = fit.origin or profile.origin(table)
    batch = f"{fit.batch} ({fit.batch // fit.accumulation} x {fit.accumulation})"
    yield Number(part, "batch", batch if fit.accumulation > 1 else fit.batch, own)
    yield Number(part, "epochs", fit.epochs, own)
    length = profile.origins.get(f"{table}.max_length", own)
    yield Number(part, "length", fit.max_length, fit.origin or length)


def _targets(trained: tuple[str, ...], profile: Profile) -> list[Number]:
    """List numbers that all targets share, then those of single targets."""
    phases = {name: list(_phase(f"target {name}", profile.target_phase_of(name), profile)) for name in trained}
    usual = {n.name: n for n in _phase("targets", profile.target_phase, profile)}
    shared, own = [], []
    for numbers_of_all in zip(*phases.values(), strict=True):
        same = len({n.value for n in numbers_of_all}) == 1
        for name, number in zip(phases, numbers_of_all, strict=True):
            fit = profile.fit(name, target=True)
            if number.value != usual[number.name].value:
                number = number._replace(origin=fit.origin or profile.origin("target_fits"))
            if same:
                shared.append(number._replace(part="targets"))
                break
            own.append(number)
    fits = [
        n for name in trained for n in _fit(f"target {name}", profile.fit(name, target=True), profile, "target_fits")
    ]
    return shared + fits + own


def _alignment(recipe: Recipe, align: Align, trained: tuple[str, ...], profile: Profile) -> Iterator[Number]:
    """Yield weight, languages, order and pairs of the alignment.

    A step has as many pairs as the task has examples.
    """
    tasks, target = _carriers(recipe, align.phase, trained)
    yield Number("alignment", "weight", align.weight, "Gritta and Iacobacci 2021" if align.weight == 1 else HERE)
    yield Number("alignment", "languages", "+".join(align.languages), HERE)
    yield Number("alignment", "order", align.order, "Gritta and Iacobacci 2021" if align.order == "joint" else HERE)
    for task in tasks:
        data = align.data or dataset(task).in_translation
        by = dataset(data).translated_by
        yield Number("alignment", "pairs", data + (f", translated by {by}" if by else ""), HERE)
    batch = max(profile.fit(task, target=target).batch for task in tasks)
    yield Number("alignment", "batch", batch, "as the task's")


def _robust(recipe: Recipe, robust: Robust, trained: tuple[str, ...], profile: Profile) -> Iterator[Number]:
    """Yield the numbers of robust training.

    The paper's regions are not known, so they always originate from the recipe.
    """
    part = f"robust {robust.method}"
    for name in robust.parts:
        if name == "copies" and not robust.copies:
            for task in _carriers(recipe, robust.phase, trained)[0]:
                origin = profile.origin(f"copies.{task}")
                yield Number(part, f"copies of {task}", profile.copies_of(task), origin)
        elif name == "synonyms":
            yield Number(part, "words", robust.synonyms or "of the source's paraphrases", HERE)
        else:
            value = getattr(robust, name)
            published = name == "weight" and value == 1
            yield Number(part, name.replace("_", " "), value, "robust" if published else HERE)


def _carriers(recipe: Recipe, phase: In, trained: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """Return the training sets of an objective's phase.

    Also returns whether that phase is the training of the targets.
    """
    return (trained, True) if phase == "target" else (recipe.intermediate, False)


def _phase(part: str, phase: Phase, profile: Profile) -> Iterator[Number]:
    """Yield the numbers of a phase in a fixed order.

    Origins are those of the profile's own phases.
    """
    table = "phase" if part == "intermediate" else "target_phase"
    values: dict[str, Value] = {
        **asdict(phase),
        "patience": "none" if phase.patience is None else phase.patience,
        "dev_examples": "all" if phase.dev_examples is None else phase.dev_examples,
        "warmup_frac": f"{phase.warmup_steps} steps" if phase.warmup_steps else phase.warmup_frac,
        **({"warmup_frac": CYCLE_RISES} if phase.rates == "one_cycle" else {}),
    }
    del values["warmup_steps"]
    for key, value in values.items():
        yield Number(part, _NAMES[key], value, profile.origin(f"{table}.{key}"))


def _scoring(recipe: Recipe, profile: Profile) -> list[Number]:
    titles = {
        "eval_max_length": "length",
        "span_max_length": "length with a question",
        "retrieval_max_length": "length in retrieval",
    }
    needed = {dataset(task).format.scored_length for task in (*recipe.intermediate, *recipe.targets)}
    found = [
        Number("scoring", title, getattr(profile, name), profile.origin(name))
        for name, title in titles.items()
        if name in needed
    ]
    if "span_max_length" in needed:
        found.append(Number("scoring", "window step", profile.doc_stride, profile.origin("doc_stride")))
        for name, value in (("question", MAX_QUERY), ("n-best", N_BEST), ("answer", MAX_ANSWER)):
            found.append(Number("scoring", name, value, CODE))
    published: dict[str, Value] = {"layer": 0, **{name: allowed[0] for name, allowed in CHOICES.items()}}
    own = {name: getattr(recipe, name) for name in published}
    return found + [Number("scoring", name, value, HERE) for name, value in own.items() if value != published[name]]


def lines(found: Iterable[Number]) -> list[tuple[str, str, str]]:
    """Group numbers into (parts, numbers, origin) for display.

    Equal numbers occur once, and tasks with the same ones share a line.
    """
    grouped: dict[tuple[str, str], dict[str, None]] = {}
    for number in found:
        value = f"{number.value:g}" if isinstance(number.value, float) else str(number.value)
        grouped.setdefault((number.part, number.origin), {})[f"{number.name} {value}"] = None
    shared: dict[tuple[str, str, str], list[str]] = {}
    for (part, origin), texts in sorted(grouped.items(), key=lambda item: _PHASES.index(item[0][0].partition(" ")[0])):
        phase, _, task = part.partition(" ")
        phase, task = (phase, task) if phase in ("intermediate", "target") else (part, "")
        shared.setdefault((phase, ", ".join(texts), origin), []).append(task)
    return [(f"{phase} {', '.join(tasks)}".strip(), text, origin) for (phase, text, origin), tasks in shared.items()]


def sources(found: Iterable[Number]) -> list[str]:
    """Cite the profiles that the origins name: "phang2020: its citation"."""
    origins = {number.origin for number in found}
    return [f"{p.name}: {p.cite}" for p in PROFILES.values() if any(p.name in o for o in origins)]
