"""Search spaces: a question, a function from suggestions to a recipe, and published rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from trainables.objectives import Align, Robust
from trainables.objectives import objective_titles as titles
from trainables.profiles import NO_LIMIT, PROFILES, Profile
from trainables.recipe import Recipe

Value = bool | int | float | str
NONE = "none"

# Initial values for `--robust` and for spaces that study it. The paper's regions are not known: a search tunes them. A
# random change of some length matches the direction that matters only by chance, so its region is larger.
ROBUST = (
    Robust(method="adversarial", eps=0.01, steps=1, step_size=1.0),
    Robust(method="random", eps=0.1),
    Robust(method="synonyms"),
)


@dataclass(frozen=True)
class Log:
    """Domain of a float between two bounds, on a log scale."""

    low: float
    high: float


Domain = Sequence[Value] | Log


class Suggest(Protocol):
    """Provider of values: a sampler, or a fixed row."""

    def scientific(self, name: str, domain: Domain) -> Any:
        """Suggest a value whose effect is the question of the study."""

    def nuisance(self, name: str, domain: Domain) -> Any:
        """Suggest a value that is tuned only for a fair comparison."""


@dataclass(frozen=True, kw_only=True)
class SpaceContext:
    """Values that are fixed for a whole study.

    Attributes:
        reading: recipe keys on retrieval and on curves.
        labelled: languages other than English with training rows of every trained target.
        align, robust: objectives that the study compares with each other and with none.
    """

    encoder: str
    profile: str
    targets: tuple[str, ...]
    tasks: tuple[str, ...]
    mlm: bool
    scale: float
    reading: Mapping[str, Any] = field(default_factory=dict)
    labelled: tuple[str, ...] = ()
    align: tuple[Align, ...] = ()
    robust: tuple[Robust, ...] = ()

    @property
    def fixed(self) -> dict[str, Any]:
        """Recipe keys that all recipes of the study share."""
        shared = {"encoder": self.encoder, "profile": self.profile, "targets": self.targets, "scale": self.scale}
        return {**shared, **self.reading}

    @property
    def numbers(self) -> Profile:
        """Hyperparameters of the profile."""
        return PROFILES[self.profile]


@dataclass(frozen=True, kw_only=True)
class Space:
    """A search space.

    A module of this package with a `SPACE` can be launched by its file name.

    Attributes:
        question: the question that a study over this space answers, in one sentence.
        recipe: define-by-run function from suggested values to a recipe.
        published: the paper's own rows as parameters for `recipe`, the baseline first.
        comparison_rows: further rows of the published tables, which are not searched since they use other data.
        profile: name of the set of hyperparameters for encoders of full size.
        targets: default targets, as far as the source has them; () = XTREME's.
        pocket_targets: default targets on the pocket data, where all targets would take too long; () = `targets`.
        tasks: default intermediate tasks; None = those that the catalogue lists, () = the space has none.
        pocket_tasks: default tasks on the pocket data, with "mlm" to mix in masked LM; () = `tasks`.
        curve: default number of points of a target's training at which it is scored.
        aligns, robust: objectives that the space studies by default.
        name: name of a space that is given as a value; a file's space has the file's name.
    """

    question: str
    recipe: Callable[[Suggest, SpaceContext], Recipe]
    published: Callable[[SpaceContext], list[dict[str, Value]]]
    comparison_rows: Callable[[SpaceContext], list[Recipe]] = lambda setting: []
    profile: str = "phang2020"
    targets: tuple[str, ...] = ()
    pocket_targets: tuple[str, ...] = ()
    tasks: tuple[str, ...] | None = None
    pocket_tasks: tuple[str, ...] = ()
    curve: int = 0
    aligns: bool = False
    robust: tuple[Robust, ...] = ()
    name: str = ""


# Searched hyperparameters of robust training; 0 copies = the profile's number for each dataset.
_ROBUST: Mapping[str, Domain] = {
    "norm": ("l2", "linf"),
    "eps": Log(1e-3, 1.0),
    "steps": (1, 2, 3),
    "step_size": Log(0.1, 1.0),
    "copies": (0, 1, 3, 10),
}


@dataclass(frozen=True)
class FixedSuggest:
    """Fixed suggestions, as for a published row."""

    params: Mapping[str, Value]

    def scientific(self, name: str, domain: Domain) -> Any:
        """Return the fixed value."""
        return self.params[name]

    nuisance = scientific


def trained_first(suggest: Suggest, setting: SpaceContext, tasks: tuple[str, ...]) -> Recipe:
    """Build the recipe that trains these tasks first, or none.

    Mix, masked LM, length and learning rate are suggested.
    """
    numbers = setting.numbers
    beside = objectives(suggest, setting, has_tasks=bool(tasks))
    if not tasks:
        return Recipe(**setting.fixed, **beside)
    mlm_ratio = suggest.scientific("mlm_ratio", [0.0, "by_size", 0.25, 0.5]) if setting.mlm else 0.0
    limit = 0
    if len(tasks) > 1 or mlm_ratio == "by_size":
        limit = suggest.scientific("mixing_limit", limits(numbers))
    epochs = suggest.nuisance("epochs", [0.25, 0.5, 1.0, 2.0])
    own_lr = numbers.intermediate_lr(mlm=bool(mlm_ratio))
    # A multiple of the published value, so that the same scale is searched with and without masked LM.
    lr = own_lr * suggest.nuisance("lr_multiple", Log(0.3, 3.0))
    return Recipe(
        **setting.fixed,
        **beside,
        intermediate=tasks,
        mixing_limit=limit,
        mlm_ratio=mlm_ratio,
        epochs=epochs,
        lr=_short(lr),
    )


def as_published(numbers: Profile) -> dict[str, Value]:
    """Return the parameters of `trained_first` for a published row.

    That of masked LM is not included.
    """
    return {"mixing_limit": numbers.mixing_limit, "epochs": 1.0, "lr_multiple": 1.0}


def limits(numbers: Profile) -> list[int]:
    """List mixing limits to search: the published one and smaller ones.

    If no limit was published, the smaller ones are those of Phang et al. 2020.
    """
    if numbers.mixing_limit == NO_LIMIT:
        return [NO_LIMIT, 2**17, 2**15]
    return [numbers.mixing_limit // 2**n for n in (0, 2, 4)]


def objectives(suggest: Suggest, setting: SpaceContext, *, has_tasks: bool) -> dict[str, Any]:
    """Suggest the recipe keys `align` and `robust`.

    Args:
        has_tasks: the recipe has an intermediate phase; without it, objectives of that phase are left out.
    """
    found: dict[str, Any] = {}
    if setting.align:
        arms = {titles(arm, None)[0]: arm for arm in setting.align}
        found["align"] = arms.get(suggest.scientific("align", [NONE, *arms]))
        if found["align"]:
            found["align"] = replace(found["align"], weight=_short(suggest.nuisance("align.weight", Log(0.1, 10.0))))
    if setting.robust:
        methods = {arm.method: arm for arm in setting.robust}
        found["robust"] = methods.get(suggest.scientific("robust", [NONE, *methods]))
        for name, domain in _ROBUST.items():
            if found["robust"] and name in _searched(found["robust"]):
                value = suggest.nuisance(f"robust.{name}", domain)
                own = _short(value) if isinstance(domain, Log) else value
                found["robust"] = replace(found["robust"], **{name: own})
    return {key: arm for key, arm in found.items() if arm and (has_tasks or arm.phase == "target")}


def _searched(robust: Robust) -> list[str]:
    """List the searched hyperparameters of a method.

    The step size is searched only with several steps: a single shorter step equals a step in a smaller region.
    """
    return [n for n in _ROBUST if n in robust.parts and (n != "step_size" or robust.steps > 1)]


def arms(setting: SpaceContext) -> list[dict[str, Value]]:
    """List parameters of `objectives` for the rows of a grid.

    The first row has no objective; each of the others has one, with its default hyperparameters.
    """
    none: dict[str, Value] = {"align": NONE} if setting.align else {}
    none |= {"robust": NONE} if setting.robust else {}
    rows = [none]
    for align in setting.align:
        rows.append({**none, "align": titles(align, None)[0], "align.weight": align.weight})
    for robust in setting.robust:
        own: dict[str, Value] = {f"robust.{name}": getattr(robust, name) for name in _searched(robust)}
        rows.append({**none, "robust": robust.method, **own})
    return rows


def _short(value: float) -> float:
    """Round to four digits, for readable names."""
    return float(f"{value:.4g}")
