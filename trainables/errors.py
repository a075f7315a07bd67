"""Errors in what a user asked for, and in what a data file contains."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

NO_MEMORY = ("out of memory", "can't allocate memory")  # torch's messages on a GPU and on a CPU


class BadInput(ValueError):
    """A request that cannot be met.

    The verbs print it as one line and exit with 2 before anything starts.
    """


class DataError(ValueError):
    """A row that breaks its declared schema.

    Names dataset, split, row and reason, and stops the stage that read it.
    """


def unknown(kind: str, value: str, allowed: Iterable[str]) -> BadInput:
    """Make the error for an unknown name.

    It has the value, the nearest match and the allowed names.
    """
    names = sorted(allowed)
    near = get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return BadInput(f"unknown {kind} {value!r}{hint} (allowed: {', '.join(names) or 'none'})")


def check_number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> float:
    """Return the value as a float.

    Raises:
        BadInput: it is not a finite number inside the bounds, which the message states.
    """
    bounds = [(above, ">"), (at_least, ">="), (below, "<"), (at_most, "<=")]
    wanted = " and ".join(f"{sign} {bound:g}" for bound, sign in bounds if bound is not None) or "finite"
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if good:
        good = (
            (above is None or value > above)
            and (at_least is None or value >= at_least)
            and (below is None or value < below)
            and (at_most is None or value <= at_most)
        )
    if not good:
        raise BadInput(f"{name} must be a number {wanted}, not {value!r}")
    return float(value)


def check_path(what: str, value: str) -> None:
    """Check that a path or name is valid on common file systems.

    Raises:
        BadInput: it has control characters, or is longer than any limit.
    """
    if any(unicodedata.category(c) == "Cc" for c in value):
        raise BadInput(f"{what}: {value[:200]!r} contains control characters")
    if len(value) > 4000 or any(len(part.encode("utf-8", "replace")) > 255 for part in value.split("/")):
        raise BadInput(f"{what}: {value[:60]!r}... is too long for a path")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that GPU or main memory is exhausted.

    It is recognised by the class or, as torch has none for it on a CPU, by the message.
    """
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_MEMORY)
