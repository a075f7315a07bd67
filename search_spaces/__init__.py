"""One file per question. `space(name)` finds a file's SPACE, or one that `register` was given."""

from __future__ import annotations

import importlib
import pkgutil

from search_spaces.space import Space
from trainables.errors import BadInput, unknown

_OWN: dict[str, Space] = {}  # spaces given as values, by name


def names() -> list[str]:
    """List the spaces that can be launched."""
    return sorted({*_OWN, *(m.name for m in pkgutil.iter_modules(__path__) if m.name != "space")})


def register(own: Space) -> str:
    """Make a space known by its name, for this process; returns the name.

    Raises:
        BadInput: it has no name, or that of a file of this package.
    """
    if not own.name or (own.name in names() and own.name not in _OWN):
        raise BadInput(f"a space of your own needs a name that no other has, not {own.name!r}")
    _OWN[own.name] = own
    return own.name


def space(name: str) -> Space:
    """Find the space of a name; BadInput with the nearest match for an unknown one."""
    if name in _OWN:
        return _OWN[name]
    if name not in names():
        raise unknown("space", name, names())
    found: Space = importlib.import_module(f"search_spaces.{name}").SPACE
    return found
