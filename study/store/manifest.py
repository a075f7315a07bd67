"""What a stage's DONE file says: the size and SHA-256 of every file beside it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import BinaryIO

Files = dict[str, list[int | str]]  # file below the stage's folder -> its size in bytes, its SHA-256
BLOCK_BYTES = 1 << 20


def write_done(folder: Path) -> None:
    """Lists the folder's files in its DONE, and waits until that is on disk."""
    with open(folder / "DONE", "w") as done:
        done.write(json.dumps({name: checksum(folder / name) for name in _names(folder)}, indent=1))
        done.flush()
        os.fsync(done.fileno())


def read_done(content: bytes) -> Files:
    """The files that DONE lists; ValueError for anything that `write_done` does not write, down to the spaces."""
    files = json.loads(content)
    if not isinstance(files, dict) or "stage.json" not in files or json.dumps(files, indent=1).encode() != content:
        raise ValueError("DONE is damaged")
    for name, sums in files.items():
        inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
        if not inside or not isinstance(sums, list) or list(map(type, sums)) != [int, str]:
            raise ValueError(f"DONE is damaged at {name!r}")
    return files


def checksum(path: Path) -> list[int | str]:
    """A file's size in bytes and SHA-256."""
    with open(path, "rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]


def is_intact(folder: Path) -> bool:
    """True if the folder holds exactly the files that its DONE lists, each with the recorded size and SHA-256."""
    try:
        files = read_done((folder / "DONE").read_bytes())
        return set(_names(folder)) == files.keys() and all(checksum(folder / f) == sums for f, sums in files.items())
    except (OSError, ValueError):
        return False


def copy_and_hash(source: BinaryIO, to: BinaryIO) -> list[int | str]:
    """Copies a stream to its end and returns the size and SHA-256 of what went by."""
    size, digest = 0, hashlib.sha256()
    while block := source.read(BLOCK_BYTES):
        to.write(block)
        digest.update(block)
        size += len(block)
    return [size, digest.hexdigest()]


def _names(folder: Path) -> list[str]:
    """All files below but DONE; `.nfs...` is what an NFS client calls a file that was deleted while open."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".nfs"))
    return sorted(name for p in files if (name := p.relative_to(folder).as_posix()) != "DONE")
