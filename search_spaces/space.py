"""What a search space is: a question, a function from suggestions to a recipe, and the published rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from trainables.objectives import Align, Robust
from trainables.objectives import title as titles
from trainables.profiles import NO_LIMIT, PROFILES, Profile
from trainables.recipe import Recipe

Value = bool | int | float | str
NONE = "none"

# What `--robust` and spaces that ask about it begin with. The paper's regions are not known: a search looks for one. A
# random change of some length meets the direction that matters only by chance, so its region is the larger.
ROBUST = (
    Robust(method="adversarial", eps=0.01, steps=1, step_size=1.0),
    Robust(method="random", eps=0.1),
    Robust(method="synonyms"),
)


@dataclass(frozen=True)
class Log:
    """A float between two bounds, searched on a log scale."""

    low: float
    high: float


Domain = Sequence[Value] | Log


class Suggest(Protocol):
    """Where values come from: a sampler, or a given row."""

    def scientific(self, name: str, domain: Domain) -> Any:
        """A value whose effect the study asks about."""

    def nuisance(self, name: str, domain: Domain) -> Any:
        """A value that must be tuned for a fair comparison, but is not itself the question."""


@dataclass(frozen=True, kw_only=True)
class SpaceContext:
    """What is fixed for a whole study."""

    encoder: str
    profile: str
    targets: tuple[str, ...]
    tasks: tuple[str, ...]
    mlm: bool
    scale: float
    reading: Mapping[str, Any] = field(default_factory=dict)  # recipe keys on how encoders are read, and on curves
    labelled: tuple[str, ...] = ()  # languages other than English with training rows of every target that is trained
    align: tuple[Align, ...] = ()  # objectives that the study asks about, beside none at all
    robust: tuple[Robust, ...] = ()

    @property
    def fixed(self) -> dict[str, Any]:
        """The keys that every recipe of the study shares."""
        shared = {"encoder": self.encoder, "profile": self.profile, "targets": self.targets, "scale": self.scale}
        return {**shared, **self.reading}

    @property
    def numbers(self) -> Profile:
        """The profile's numbers."""
        return PROFILES[self.profile]


@dataclass(frozen=True, kw_only=True)
class Space:
    """A search space; a module of this package that holds one as `SPACE` can be launched by its file name.

    Attributes:
        question: what a study over this space answers, in a sentence.
        recipe: a define-by-run function: asks for the values it needs and returns the recipe.
        published: the paper's own rows as parameters for `recipe`, the baseline first.
        comparison_rows: further rows of the published tables that no search proposes, since they see other data.
        profile: the training numbers for encoders of full size.
        targets: what it is asked on unless a launch says otherwise, as far as the source has it; () = XTREME's.
        pocket_targets: the same on the pocket data, where all of them would take too long for a first look.
        tasks: the same of intermediate tasks; None = what the catalogue lists as such, () = the space takes none.
        pocket_tasks: the same on the pocket data, with "mlm" where masked LM is mixed in; () = as elsewhere.
        curve: at how many points of a target's training scores are noted unless a launch says otherwise.
        aligns, robust: objectives that it asks about by itself; a launch may name others.
        name: of a space that is given as a value; a file's is that of the file.
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


# Numbers of robust training that are searched; 0 copies are the profile's number for each data set.
_ROBUST: Mapping[str, Domain] = {
    "norm": ("l2", "linf"),
    "eps": Log(1e-3, 1.0),
    "steps": (1, 2, 3),
    "step_size": Log(0.1, 1.0),
    "copies": (0, 1, 3, 10),
}


@dataclass(frozen=True)
class FixedSuggest:
    """Suggestions that are given beforehand, as for a published row."""

    params: Mapping[str, Value]

    def scientific(self, name: str, domain: Domain) -> Any:
        """The given value."""
        return self.params[name]

    nuisance = scientific


def trained_first(suggest: Suggest, setting: SpaceContext, tasks: tuple[str, ...]) -> Recipe:
    """The recipe that trains these tasks first, or none: asks for the mix, masked LM, length and learning rate."""
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
    # A multiple of the published value, so that with and without masked LM one scale is searched.
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
    """The parameters of `trained_first` for a published row, but for masked LM."""
    return {"mixing_limit": numbers.mixing_limit, "epochs": 1.0, "lr_multiple": 1.0}


def limits(numbers: Profile) -> list[int]:
    """Limits of a mix to try: the published one and smaller ones; below no limit those of Phang et al. 2020."""
    if numbers.mixing_limit == NO_LIMIT:
        return [NO_LIMIT, 2**17, 2**15]
    return [numbers.mixing_limit // 2**n for n in (0, 2, 4)]


def objectives(suggest: Suggest, setting: SpaceContext, *, has_tasks: bool) -> dict[str, Any]:
    """The recipe keys `align` and `robust`; an objective of the intermediate phase needs one that exists."""
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
    """The numbers of its method; one step that is shorter than the region is wide is a step in a smaller region."""
    return [n for n in _ROBUST if n in robust.parts and (n != "step_size" or robust.steps > 1)]


def arms(setting: SpaceContext) -> list[dict[str, Value]]:
    """Parameters of `objectives` for rows of a grid: none, then each objective by itself with its own numbers."""
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
    """Four digits: enough for a number that was drawn, and readable in a name."""
    return float(f"{value:.4g}")
