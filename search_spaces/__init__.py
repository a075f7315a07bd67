"""Search spaces, one file each; `space(name)` finds them."""

from __future__ import annotations

import importlib
import pkgutil

from search_spaces.space import Space
from trainables.errors import BadInput, unknown

_OWN: dict[str, Space] = {}  # spaces given as values, by name


def space_names() -> list[str]:
    """List the spaces that can be launched."""
    return sorted({*_OWN, *(m.name for m in pkgutil.iter_modules(__path__) if m.name != "space")})


def register(own: Space) -> str:
    """Register a space by its name, for this process; return the name.

    Raises:
        BadInput: it has no name, or the name of a file in this package.
    """
    if not own.name or (own.name in space_names() and own.name not in _OWN):
        raise BadInput(f"a custom space needs a unique name, not {own.name!r}")
    _OWN[own.name] = own
    return own.name


def space(name: str) -> Space:
    """Find a space by its name.

    Raises:
        BadInput: the name is unknown; the message has the nearest match.
    """
    if name in _OWN:
        return _OWN[name]
    if name not in space_names():
        raise unknown("space", name, space_names())
    found: Space = importlib.import_module(f"search_spaces.{name}").SPACE
    return found
