"""Disk full: how it is told from other errors, and what it takes to go on."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

# What safetensors and PyTorch say where Python would raise OSError with a number.
WORDS = ("no space left on device", "disk quota exceeded", "os error 28", "os error 122", "pytorchstreamwriter failed")


class DiskFull(OSError):
    """A home has no room for the stage that was to be written; the message says how much is needed and where."""


def is_full(error: BaseException | None) -> bool:
    """True if the error, or what it came from, is about a full disk or quota."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(error).lower() for words in WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def no_room(error: BaseException, folder: Path, written: int = 0) -> str:
    """One line on the bytes needed and free in a home, if the error is about room; otherwise ''.

    Nobody knows how large the rest of a stage will be: `written` is what there was of it, in bytes, and it is taken to need
    at least that once more, and no less than the home's largest finished stage.
    """
    if not is_full(error):
        return ""
    needed, free = max(2 * written, _largest(folder), 1 << 20), shutil.disk_usage(folder).free
    return (
        f"needs {needed} bytes ({_mb(needed)}) free in {folder}, which has {free} ({_mb(free)}); "
        "make room there, and `python -m study.resume NAME` goes on"
    )


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder; 0 if there is none."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _largest(home: Path) -> int:
    sizes = [0]
    for done in (home / "stages").glob("*/*/DONE"):
        try:
            sizes.append(sum(size for size, _ in json.loads(done.read_text()).values()))
        except (OSError, ValueError, TypeError, AttributeError):  # damaged: `Store.has` will see to it
            continue
    return max(sizes)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
