"""Number formatting, and the colour scale of page and picture."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
Side = Literal["up", "down", "level", "empty"]
Certainty = Literal["clear", "noise", "unknown"]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# Not allowed in XML, so they would break the standalone SVG; tracebacks and tokenizer output may contain them.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


def tidy(value: Any) -> Any:
    """Remove terminal colours and characters that XML forbids from a JSON value."""
    if isinstance(value, str):
        return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _ANSI.sub("", value))
    if isinstance(value, Mapping):
        return {tidy(key): tidy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tidy(item) for item in value]
    return value


def number(value: object) -> float | None:
    """Return a finite float, or None for anything else (None, NaN, text, a bool)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def read_interval(value: object) -> tuple[float, float] | None:
    """Return the two ends of an interval, or None for anything else."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)


def score_text(value: float | None, digits: int = 1) -> str:
    """Format a score as `62.1`; a missing one is a dash."""
    return DASH if value is None else f"{_rounded(value, digits):.{digits}f}".replace("-", MINUS)


def difference_text(value: float | None, digits: int = 1) -> str:
    """Format a difference as `+1.3`.

    Zero has no sign; a missing difference is a dash.
    """
    if value is None:
        return DASH
    shown = _rounded(value, digits)
    return f"{shown:+.{digits}f}".replace("-", MINUS) if shown else f"{0:.{digits}f}"


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) + 0.0  # + 0.0 turns -0.0 into 0.0


def certainty(gain: float | None, bounds: tuple[float, float] | None) -> Certainty:
    """Classify a gain by its interval.

    Returns:
        "clear" if the interval excludes 0, "noise" if it includes 0, "unknown" if there is none.
    """
    if gain is None or bounds is None:
        return "unknown"
    return "noise" if bounds[0] <= 0 <= bounds[1] else "clear"


@dataclass(frozen=True, slots=True)
class Scale:
    """A diverging colour scale, symmetric around 0.

    Attributes:
        limit: gain in points that has the full colour.
        clipped: some gains are beyond the limit and share its colour.
    """

    limit: float
    clipped: bool

    def strength(self, gain: float | None) -> float:
        """Return a gain's share of the full colour, 0 to 1."""
        return 0.0 if gain is None else round(min(1.0, abs(gain) / self.limit), 3)

    def side(self, gain: float | None) -> Side:
        """Return which of the two colours a gain has."""
        if gain is None:
            return "empty"
        return "up" if gain > 0 else "down" if gain < 0 else "level"


def scale(gains: Iterable[float | None]) -> Scale:
    """Choose the colour scale of a table of gains.

    The limit is a round number that covers nine in ten of the gains, so that one collapsed recipe does not wash out the
    rest. It is at least one point, so that small noise has weak colours.
    """
    sizes = sorted(abs(gain) for gain in gains if gain is not None)
    if not sizes:
        return Scale(1.0, False)
    wanted = max(1.0, sizes[min(len(sizes) - 1, math.floor(0.9 * len(sizes)))])
    limit = round_up(wanted)
    return Scale(limit, sizes[-1] > limit)


def round_up(value: float) -> float:
    """Round up to a number with one leading digit, or 1.5.

    Examples are 1.2 -> 1.5, 7 -> 8, 23 -> 30.
    """
    unit = 10.0 ** math.floor(math.log10(value))
    return next((step * unit for step in _STEPS if step * unit >= value - 1e-9), 10 * unit)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Choose about `count` round numbers inside [low, high], ascending.

    The ends are included only if they are round.
    """
    if not high > low:
        return [low]
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(s * unit for s in (1, 2, 5, 10) if s * unit >= raw - 1e-12)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 10) + 0.0 for index in range(first, last + 1)]
