"""A recipe, the configuration of one trial, as a value of literals.

Two equal recipes are one trial.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from trainables.errors import BadInput, check_number, unknown
from trainables.objectives import Align, Robust, objective_titles
from trainables.objectives import to_dict as objective_to_dict
from trainables.profiles import NO_LIMIT, PROFILES, Profile
from trainables.read_dataclass import read_dataclass

MlmRatio = float | Literal["by_size"]
Pooling = Literal["mean", "cls"]
Direction = Literal["en_to_xx", "xx_to_en"]
BarePrefix = Literal["label", "drop"]
MAX_CURVE = 1000  # evaluations of a curve; each scores every language
# Options of how an encoder is used, and their allowed values; the first is the published one.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "pooling": get_args(Pooling),
    "direction": get_args(Direction),
    "bare_prefix": get_args(BarePrefix),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One recipe of a study.

    Without an intermediate phase its fields are 0, so that every baseline is equal.

    Attributes:
        encoder: hub id, folder, `pocket` or `pretrain:<size>`.
        profile: named set of hyperparameters, which gives every batch size, length and target learning rate.
        targets: catalogue names of the target tasks, in order of cost.
        scale: fraction of the rows and steps of every stage; 1 is the full study.
        intermediate: catalogue names of the English tasks trained first, mixed when there are several.
        mixing_limit: K of P(m) = min(e_m, K) / sum (Phang et al. 2020); 0 where only one source is trained.
        mlm_ratio: share of the steps that are masked LM; `by_size` treats it as one more task in the mix, as published.
        epochs: multiple of each task's own number of epochs in the profile.
        steps: exact number of intermediate steps instead of `epochs`; 0 = use `epochs`.
        lr: peak learning rate of the intermediate phase.
        layer: which of the encoder's `hidden_states` sentence retrieval uses; 0 = the published rule for its depth.
        pooling: sentence vectors are the mean of all positions, or the state of `<s>`.
        direction: retrieval direction: English sentences as queries (XTREME), or the other way round.
        bare_prefix: a lone word-boundary piece before a word carries its tag (XTREME), or is dropped (XeroAlign).
        train_languages: languages whose labelled rows targets are trained on, where a dataset has them; () = English
            alone.
        curve: number of evaluations during a target's training, evenly spaced; 0 = none. They influence no result.
        align, robust: objectives in addition to a task's own loss; None = none. One of weight 0 is none.
    """

    encoder: str
    profile: str
    targets: tuple[str, ...]
    scale: float = 1.0
    intermediate: tuple[str, ...] = ()
    mixing_limit: int = 0
    mlm_ratio: MlmRatio = 0.0
    epochs: float = 0.0
    steps: int = 0
    lr: float = 0.0
    layer: int = 0
    pooling: Pooling = "mean"
    direction: Direction = "en_to_xx"
    bare_prefix: BarePrefix = "label"
    train_languages: tuple[str, ...] = ()
    align: Align | None = None
    robust: Robust | None = None
    curve: int = 0

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise unknown("profile", self.profile, PROFILES)
        for name in ("scale", "mlm_ratio", "epochs", "lr"):
            if type(value := getattr(self, name)) is int:  # 1 == 1.0, but their JSON differs and so would the hash
                object.__setattr__(self, name, float(value))
        check_number("scale", self.scale, above=0, at_most=1)
        check_number("layer", self.layer, at_least=0)
        check_number("curve", self.curve, at_least=0, at_most=MAX_CURVE)
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise unknown(name, getattr(self, name), allowed)
        for name in ("align", "robust"):
            objective = getattr(self, name)
            if objective and not objective.weight:
                object.__setattr__(self, name, None)
            elif objective and objective.phase == "intermediate" and not self.intermediate:
                raise BadInput(f"{name}.phase is 'intermediate', but the recipe has no intermediate tasks")
        if not self.targets:
            raise BadInput("recipe has no targets")
        english_first = sorted(self.train_languages, key=lambda tag: (tag != "en", tag))
        languages = () if self.train_languages == ("en",) else tuple(english_first)
        object.__setattr__(self, "train_languages", languages)
        named = {"targets": self.targets, "intermediate tasks": self.intermediate, "train_languages": languages}
        for kind, names in named.items():
            if len(set(names)) != len(names):
                raise BadInput(f"{kind} repeat: {', '.join(names)}")
        if isinstance(self.mlm_ratio, str) and self.mlm_ratio != "by_size":
            raise unknown("mlm_ratio", self.mlm_ratio, ["by_size"])
        if not self.intermediate:
            for name in ("mixing_limit", "mlm_ratio", "epochs", "steps", "lr"):
                object.__setattr__(self, name, type(getattr(Recipe, name))(0))
            return
        object.__setattr__(self, "intermediate", tuple(sorted(self.intermediate)))
        if self.mlm_ratio != "by_size":
            check_number("mlm_ratio", self.mlm_ratio, at_least=0, below=1)
        check_number("lr", self.lr, above=0, at_most=1)
        if self.steps:
            check_number("steps", self.steps, at_least=1)
            object.__setattr__(self, "epochs", 0.0)
        else:
            check_number("epochs", self.epochs, above=0)
        mixed = len(self.intermediate) > 1 or self.mlm_ratio == "by_size"
        if mixed:
            check_number("mixing_limit", self.mixing_limit, at_least=1)
        else:
            object.__setattr__(self, "mixing_limit", 0)

    @property
    def is_baseline(self) -> bool:
        """True for English target training alone, the reference of every gain."""
        return not (self.intermediate or self.train_languages or self.align or self.robust)

    @property
    def address(self) -> str:
        """Hex digest of the canonical JSON of every field."""
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain literals, without defaults.

        Fields without meaning in this recipe and fields as published are left out.
        """
        published = {name: allowed[0] for name, allowed in CHOICES.items()}
        values = {k: v for k, v in asdict(self).items() if v not in (0, (), None) and v != published.get(k)}
        objectives = {"align": self.align, "robust": self.robust}
        values |= {k: objective_to_dict(v) for k, v in objectives.items() if v}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Recipe:
        """Make a recipe from a TOML or JSON table.

        Raises:
            BadInput: a key is unknown, missing or mistyped.
        """
        return read_dataclass(Recipe, values, "recipe")


def canonical(value: Any) -> str:
    """Return the canonical JSON text of a value made of literals.

    Raises:
        TypeError: the value holds anything else; its repr must not be hashed.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON, as 64 hex characters."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def title(recipe: Recipe, task_titles: Mapping[str, str]) -> str:
    """Return a recipe's display name, such as `SQuAD + MLM 0.25 + aligned on all`.

    Tables and MLflow use it. What equals the profile's own value is left out, so published rows have short names and no
    two recipes share one.
    """
    parts = [_intermediate_title(recipe, task_titles)] if recipe.intermediate else []
    if recipe.train_languages:
        parts.append(f"labels in {'+'.join(recipe.train_languages)}")
    return " + ".join([*parts, *objective_titles(recipe.align, recipe.robust)]) or "no intermediate task"


def _intermediate_title(recipe: Recipe, task_titles: Mapping[str, str]) -> str:
    profile: Profile = PROFILES[recipe.profile]
    name = " + ".join(task_titles.get(task, task) for task in recipe.intermediate)
    if recipe.mlm_ratio:
        name += " + MLM" if recipe.mlm_ratio == "by_size" else f" + MLM {recipe.mlm_ratio:g}"
    details = []
    if recipe.mixing_limit and recipe.mixing_limit != profile.mixing_limit:
        details.append("no limit" if recipe.mixing_limit == NO_LIMIT else f"K={recipe.mixing_limit}")
    if recipe.steps:
        details.append(f"{recipe.steps} steps")
    elif recipe.epochs != 1:
        details.append(f"{recipe.epochs:g}x epochs")
    if recipe.lr != profile.intermediate_lr(mlm=bool(recipe.mlm_ratio)):
        details.append(f"lr {recipe.lr:g}")
    return name + (f" ({', '.join(details)})" if details else "")


def baseline_of(recipe: Recipe) -> Recipe:
    """Return the baseline of a recipe.

    It has the same encoder, targets and pooling, and is trained on English targets alone.
    """
    return replace(recipe, intermediate=(), train_languages=(), align=None, robust=None)
