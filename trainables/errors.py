"""The two kinds of blame: what a user asked for, and what a data file holds."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(ValueError):
    """A request that cannot be met; the verbs print it as one line and exit 2 before anything starts."""


class DataError(ValueError):
    """A row that breaks its declared schema; names dataset, split, row and reason, and stops the stage that read it."""


def unknown(kind: str, value: str, allowed: Iterable[str]) -> BadInput:
    """The error for a name that is not known: the value, the nearest match and what is allowed."""
    names = sorted(allowed)
    near = get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return BadInput(f"unknown {kind} {value!r}{hint} (allowed: {', '.join(names) or 'none'})")
