"""Objectives beside a task's own loss: alignment and robust training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import PurePath
from typing import Any, Literal, get_args

from trainables.errors import BadInput, check_number, check_path, unknown

In = Literal["target", "intermediate"]  # the phase that carries an objective
Order = Literal["joint", "before", "after"]
Method = Literal["adversarial", "random", "synonyms"]
Norm = Literal["l2", "linf"]
ALL = ("all",)  # every language that the parallel rows have


@dataclass(frozen=True, kw_only=True)
class Align:
    """XeroAlign (Gritta and Iacobacci 2021): alignment of translations.

    The sentence vector of a translation is pulled towards that of its English original.

    Attributes:
        languages: languages of the translations; ("all",) = every language that the rows have.
        weight: of the mean squared difference, beside the task's loss; published 1.
        phase: the training phase with this objective.
        order: `joint` is the published one; `before` and `after` train alignment in a stage of its own, on either side
            of the target's, which the paper found to fail.
        data: catalogue name of the parallel rows; "" = the translations of what the phase trains on.
    """

    languages: tuple[str, ...]
    weight: float = 1.0
    phase: In = "target"
    order: Order = "joint"
    data: str = ""

    def __post_init__(self) -> None:
        if not self.languages:
            raise BadInput("align.languages is empty: give languages, or 'all'")
        if len(set(self.languages)) != len(self.languages) or ("all" in self.languages and self.languages != ALL):
            raise BadInput(f"align.languages repeat, or are mixed with 'all': {', '.join(self.languages)}")
        object.__setattr__(self, "languages", tuple(sorted(self.languages)))
        object.__setattr__(self, "weight", check_number("align.weight", self.weight, at_least=0))
        _check_choice("align.phase", self.phase, In)
        _check_choice("align.order", self.order, Order)
        if self.order != "joint" and self.phase != "target":
            raise BadInput(
                f"align.order {self.order!r} applies to the target's stage only: set align.phase to 'target'"
            )


@dataclass(frozen=True, kw_only=True)
class Robust:
    """Robust training (Huang et al. 2021): the task's loss on changed inputs.

    Attributes:
        method: `adversarial` searches for the worst change of the embedded input inside a region, `random` draws one
            there, `synonyms` replaces every training row by copies with synonyms.
        norm, eps: the region: for each token, changes of its embedding with an l2 (or maximum) norm of at most `eps`.
        steps, step_size: of the ascent to the worst change; `step_size` is a multiple of `eps`.
        weight: share of the changed inputs in the loss; the rest is the unchanged ones'. Published 1.
        copies: of each row, with synonyms; 0 = the profile's number for the dataset.
        synonyms: file of synonyms; "" = found in the source's own paraphrases.
        phase: the training phase with this objective.
    """

    method: Method
    norm: Norm = "l2"
    eps: float = 0.0
    steps: int = 0
    step_size: float = 0.0
    weight: float = 1.0
    copies: int = 0
    synonyms: str = ""
    phase: In = "target"

    def __post_init__(self) -> None:
        for name, kind in (("method", Method), ("norm", Norm), ("phase", In)):
            _check_choice(f"robust.{name}", getattr(self, name), kind)
        check_path("robust.synonyms", self.synonyms)
        for name in {part for parts in _PARTS.values() for part in parts}.difference(self.parts):
            object.__setattr__(self, name, getattr(Robust, name))
        for name in _BOUNDS.keys() & set(self.parts):
            value = check_number(f"robust.{name}", getattr(self, name), **_BOUNDS[name])
            object.__setattr__(self, name, type(getattr(Robust, name))(value))

    @property
    def parts(self) -> tuple[str, ...]:
        """The fields that matter to its method; others are set to defaults."""
        return _PARTS[self.method]


_PARTS: Mapping[str, tuple[str, ...]] = {
    "adversarial": ("norm", "eps", "steps", "step_size", "weight"),
    "random": ("norm", "eps", "weight"),
    "synonyms": ("copies", "synonyms"),
}
_BOUNDS: Mapping[str, Mapping[str, float]] = {
    "eps": {"above": 0},
    "steps": {"at_least": 1},
    "step_size": {"above": 0},
    "weight": {"at_least": 0, "at_most": 1},
    "copies": {"at_least": 0},
}


def to_dict(objective: Align | Robust) -> dict[str, Any]:
    """Convert to plain literals, without defaults.

    Fields without meaning and fields as published are left out.
    """
    published = {f.name: f.default for f in fields(objective)}
    values = {k: v for k, v in asdict(objective).items() if v != published[k]}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def objective_titles(align: Align | None, robust: Robust | None) -> list[str]:
    """Return display names of objectives.

    Such as `aligned on de` and `adversarial l2 0.1`.
    """
    parts = []
    if align:
        words = {"joint": "aligned on", "before": "aligned first, on", "after": "aligned last, on"}[align.order]
        text = f"{words} {'+'.join(align.languages)}"
        text += " (intermediate)" if align.phase == "intermediate" else ""
        parts.append(text + (f" x{align.weight:g}" if align.weight != 1 else "") + _with(align.data))
    if robust:
        if robust.method == "synonyms":
            text = (f"{robust.copies}x " if robust.copies else "") + "synonyms" + _with(PurePath(robust.synonyms).name)
        else:
            text = f"{robust.method} {robust.norm} {robust.eps:g}"
        if robust.steps:
            text += f", {robust.steps} step{'s' * (robust.steps > 1)}"
        text += f" of {robust.step_size:g}" if robust.steps and robust.step_size != 1 else ""
        text += f" x{robust.weight:g}" if robust.weight != 1 else ""
        parts.append(text + (" (intermediate)" if robust.phase == "intermediate" else ""))
    return parts


def _with(data: str) -> str:
    return f" by {data}" if data else ""


def _check_choice(name: str, value: str, kind: Any) -> None:
    if value not in get_args(kind):
        raise unknown(name, value, get_args(kind))
