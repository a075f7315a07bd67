"""Detection of out-of-disk errors, and the space required to continue."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

# Messages of safetensors and PyTorch where Python would raise OSError with a number.
WORDS = ("no space left on device", "disk quota exceeded", "os error 28", "os error 122", "pytorchstreamwriter failed")


class DiskFull(OSError):
    """A home is too full to write a stage.

    The message gives the bytes needed and free.
    """


def is_full(error: BaseException | None) -> bool:
    """Return whether an error or its cause is a full disk or quota."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(error).lower() for words in WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def no_room(error: BaseException, folder: Path, written: int = 0) -> str:
    """Describe the space needed and free, if the error is a full disk.

    The size of a stage is not known before it is finished. The estimate is at least twice what was written, and at least
    the size of the home's largest finished stage.

    Args:
        folder: the home.
        written: bytes of the stage that were written.

    Returns:
        One line, or "" for any other error.
    """
    if not is_full(error):
        return ""
    needed, free = max(2 * written, _largest(folder), 1 << 20), shutil.disk_usage(folder).free
    return (
        f"needs {needed} bytes ({_mb(needed)}) free in {folder}, which has {free} ({_mb(free)}){_but(folder, needed, free)}; "
        "free space there, then resume the study"
    )


def _but(folder: Path, needed: int, free: int) -> str:
    """Say what else is full where there are bytes enough."""
    if free < needed:
        return ""
    inodes = os.statvfs(folder)
    return (
        ", but no inode for another file" if inodes.f_files and not inodes.f_favail else ", but a quota may be used up"
    )


def bytes_in(folder: Path) -> int:
    """Sum the bytes of all files below a folder, which may be absent."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _largest(home: Path) -> int:
    sizes = [0]
    for done in (home / "stages").glob("*/*/DONE"):
        try:
            sizes.append(sum(size for size, _ in json.loads(done.read_text()).values()))
        except (OSError, ValueError, TypeError, AttributeError):  # damaged: `Store.has` handles it
            continue
    return max(sizes)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
