"""One file per question. `space(name)` finds a file's SPACE."""

from __future__ import annotations

import importlib
import pkgutil

from search_spaces.space import Space
from trainables.errors import unknown


def names() -> list[str]:
    """The spaces that can be launched."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "space")


def space(name: str) -> Space:
    """The space of a name; BadInput with the nearest match for an unknown one."""
    if name not in names():
        raise unknown("space", name, names())
    found: Space = importlib.import_module(f"search_spaces.{name}").SPACE
    return found
