"""DONE files: the size and SHA-256 of every file of a stage."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from trainables.atomic_file import parse_json, write_atomic

Files = dict[str, list[int | str]]  # file below the stage's folder -> its size in bytes, its SHA-256
BLOCK_BYTES = 1 << 20


def write_done(folder: Path) -> None:
    """Write a folder's DONE and wait until it is on disk."""
    write_atomic(folder / "DONE", json.dumps({name: checksum(folder / name) for name in _names(folder)}, indent=1))


def read_done(content: bytes) -> Files:
    """Parse the content of a DONE file.

    Raises:
        ValueError: the content is not exactly, byte for byte, what `write_done` writes.
    """
    files = parse_json(content)
    if not isinstance(files, dict) or "stage.json" not in files or json.dumps(files, indent=1).encode() != content:
        raise ValueError("DONE is damaged")
    for name, sums in files.items():
        inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
        if not inside or not isinstance(sums, list) or list(map(type, sums)) != [int, str]:
            raise ValueError(f"DONE is damaged at {name!r}")
    return files


def checksum(path: Path) -> list[int | str]:
    """Compute a file's size in bytes and SHA-256."""
    with open(path, "rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]


def is_intact(folder: Path) -> bool:
    """Check that a folder matches its DONE.

    It must have exactly the listed files, each with the recorded size and SHA-256.
    """
    try:
        files = read_done((folder / "DONE").read_bytes())
        return set(_names(folder)) == files.keys() and all(checksum(folder / f) == sums for f, sums in files.items())
    except (OSError, ValueError):
        return False


def copy_and_hash(source: BinaryIO, to: BinaryIO) -> list[int | str]:
    """Copy a stream to its end; return its size and SHA-256."""
    size, digest = 0, hashlib.sha256()
    while block := source.read(BLOCK_BYTES):
        to.write(block)
        digest.update(block)
        size += len(block)
    return [size, digest.hexdigest()]


def _names(folder: Path) -> list[str]:
    """List all files below a folder except DONE.

    `.nfs...` is the name that an NFS client gives to a file that was deleted while open.
    """
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".nfs"))
    return sorted(name for p in files if (name := p.relative_to(folder).as_posix()) != "DONE")
