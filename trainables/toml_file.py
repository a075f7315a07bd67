"""TOML from a person or a download: limited in size, faults on one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from trainables.errors import BadInput, check_path

MAX_BYTES = 2**20  # the largest file that the project writes has a few kilobytes
MAX_DEPTH = 20


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Read the tables of a TOML file.

    Args:
        what: the beginning of error messages.

    Raises:
        BadInput: the file cannot be read, is too large, or is not TOML.
    """
    check_path(what, str(path))
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise BadInput(f"{what} is not a file")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{what} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise BadInput(f"{what} has more than {MAX_BYTES:,} bytes, the limit for such files")
    try:
        values = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, ValueError) as error:  # ValueError: not UTF-8, or a number of too many digits
        raise BadInput(f"{what} is not valid TOML: {error}") from error
    except RecursionError:
        raise BadInput(f"{what} is nested too deeply") from None
    if _deep(values):
        raise BadInput(f"{what} is nested deeper than {MAX_DEPTH}")
    return values


def _deep(values: Any) -> bool:
    level = [values]
    for _ in range(MAX_DEPTH):
        nested = [v for v in level if isinstance(v, dict | list)]
        level = [item for v in nested for item in (v.values() if isinstance(v, dict) else v)]
    return any(isinstance(v, dict | list) for v in level)
