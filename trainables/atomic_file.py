"""Files that appear whole or not at all, whenever a process or machine stops."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

PART = ".part"  # suffix of a file that is being written; left behind only by a killed process


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name, by a rename, once it is on disk.

    After an error in the block an older file of that name is unchanged. Unlike `tempfile`, the umask decides who may read it.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file, text as UTF-8, by a rename."""
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def parse_json(content: bytes) -> Any:
    """Parse the content of a file of ours.

    Raises:
        ValueError: it is damaged: not JSON, nested without end, or with halves of surrogates.
    """
    try:
        found = json.loads(content)
        json.dumps(found, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return found


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is created and stays; wait for it."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def set_aside(path: Path) -> Path:
    """Rename a broken file to `NAME.broken-1`, or the next free number; return its new path."""
    numbers = iter(range(1, 10**6))
    while (aside := path.with_name(f"{path.name}.broken-{next(numbers)}")).exists():
        pass
    os.rename(path, aside)
    return aside
