"""Disk usage of a home: sizes, leftovers, and removal of weights.

A finished stage always has its weights: to free them, its whole folder leaves the store by one rename. Its description and
history stay in `kept/`, where `Store.info` finds them, so that reports keep their curves.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from study.home import age_s
from study.record.heartbeat import states
from study.record.record import studies
from study.store.store import LEASE_S, Store
from trainables.atomic_file import PART
from trainables.configs import Intermediate, Pretrain, Target
from trainables.errors import BadInput

WEIGHTS = (Pretrain.kind, Intermediate.kind, Target.kind)  # kinds of stages that others start from
# Files without a heartbeat of their own belong to a killed process if nothing touched them for this long.
LEFT_S = 600.0
LOCK = "launch.lock"
UNITS = {"": 1, "B": 1} | {
    prefix + suffix: base**power
    for power, prefix in enumerate("KMGTP", 1)
    for suffix, base in (("", 1000), ("B", 1000), ("iB", 1024))
}
FORGOTTEN_S = 30 * 24 * 3600.0  # age of a checkpoint that no resume is likely to need
FOLDERS = {  # folder of a home -> its line in the table
    "encoded": "encoded rows (a cache)",
    "studies": "studies",
    "checkpoints": "checkpoints of stages under way",
    "kept": "descriptions of stages without weights",
    "resampled": "resampled scores",
    "checked.json": "which rows were checked",
    "mlartifacts": "MLflow",
    "mlflow.db": "MLflow",
    "work": "leftovers",
    "ray": "leftovers",
    "damaged": "leftovers",
    "trash": "leftovers",
    "leases": "leftovers",
}


@dataclass(frozen=True)
class Use:
    """Number and total size of items of one kind."""

    what: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Item:
    """Item that can be freed.

    `used` is its last known use, in seconds of the file system's clock.
    """

    kind: Literal["leftover", "encoded", "weights"]
    path: Path
    bytes: int
    used: float
    address: str = ""


@dataclass(frozen=True)
class Stage:
    """Finished stage in the store.

    Attributes:
        parent: the stage that it started from.
        bytes, weights: size of all its files, and of its weights.
        made: modification time of DONE, in seconds of the file system's clock.
    """

    address: str
    kind: str
    parent: str
    bytes: int
    weights: int
    made: float


@dataclass(frozen=True)
class Disk:
    """Snapshot of a home, taken when first read."""

    home: Path

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Finished stages by id.

        Folders without DONE or a readable description are left out.
        """
        found, store = {}, Store(self.home)
        for folder in (self.home / "stages").glob("??/*"):
            with suppress(OSError, ValueError, KeyError):
                made, info = (folder / "DONE").stat().st_mtime, store.info(folder.name)
                all_bytes = size_of(folder)
                weights = all_bytes - sum(p.stat().st_size for p in small_files(folder))
                found[folder.name] = Stage(folder.name, info["kind"], info["parent"], all_bytes, weights, made)
        return found

    @cached_property
    def leases(self) -> dict[str, float]:
        """Seconds since the last heartbeat of each lease, by stage."""
        return {p.name: self.age_s(at) for p, at in _touched(self.home / "leases") if ".stale" not in p.name}

    def age_s(self, touched: float) -> float:
        """Return the seconds since a modification time, see `home.age_s`."""
        return age_s(self.home, touched)

    def is_live(self, address: str) -> bool:
        """Return whether a process is computing the stage."""
        return self.leases.get(address, LEASE_S) < LEASE_S

    @cached_property
    def is_busy(self) -> bool:
        """Whether a stage or trial is running in this home."""
        return any(map(self.is_live, self.leases)) or any(states(self.home / "studies" / n) for n in studies(self.home))

    def uses(self) -> list[Use]:
        """List what uses the space, the largest first.

        Each byte of the home counts once.
        """
        counts: dict[str, list[int]] = {}
        for stage in self.stages.values():
            counts.setdefault(f"stages: {stage.kind}", []).append(stage.bytes)
        for entry in self.home.iterdir():
            if entry.name != "stages":
                sizes = [size_of(p) for p in entry.iterdir()] if entry.is_dir() else [size_of(entry)]
                counts.setdefault(FOLDERS.get(entry.name, "other files"), []).extend(sizes)
        known = sum(stage.bytes for stage in self.stages.values())
        if (unread := size_of(self.home / "stages") - known) > 0:
            counts["stages: not finished"] = [unread]
        found = [Use(what, len(sizes), sum(sizes)) for what, sizes in counts.items() if sizes]
        return sorted(found, key=lambda use: -use.bytes)

    def weights(self) -> list[Item]:
        """List the stages with weights, the least recently used first.

        A stage is used when another stage that starts from it ends.
        """
        used = {address: stage.made for address, stage in self.stages.items()}
        for stage in self.stages.values():
            if stage.parent in used:
                used[stage.parent] = max(used[stage.parent], stage.made)
        folder = Store(self.home).folder
        found = [Item("weights", folder(a), s.weights, used[a], a) for a, s in self.stages.items() if s.kind in WEIGHTS]
        return sorted(found, key=lambda item: (item.used, item.address))

    def encoded(self) -> list[Item]:
        """List the cached files of encoded rows, the oldest first."""
        found = [Item("encoded", p, size_of(p), t) for p, t in _touched(self.home / "encoded") if p.suffix == ".npz"]
        return sorted(found, key=lambda item: item.used)

    def leftovers(self) -> list[Item]:
        """List the files of killed processes, and damaged stages."""
        found: list[tuple[Path, float]] = []
        for path, touched in _touched(self.home / "work"):
            if not self.is_live(path.name.rpartition("-")[0]) and self.age_s(touched) > LEASE_S:
                found.append((path, touched))
        for path, touched in _touched(self.home / "checkpoints"):
            over = path.name in self.stages or self.age_s(touched) > FORGOTTEN_S
            if over and not self.is_live(path.name):
                found.append((path, touched))
        for folder in ("damaged", "trash"):
            found += _touched(self.home / folder)
        old = [*_touched(self.home / "leases"), *self._half_written()]
        old += [(path, touched) for path, touched in _touched(self.home / "ray") if not _is_held(path / LOCK)]
        found += [(path, touched) for path, touched in old if self.age_s(touched) > LEFT_S]
        return [Item("leftover", path, size_of(path), touched) for path, touched in found]

    def _half_written(self) -> Iterator[tuple[Path, float]]:
        """Yield files that a killed process was writing, with their modification times."""
        for folder in (".", "encoded", "resampled", "studies/*", "studies/*/report"):
            for path in self.home.glob(f"{folder}/*{PART}"):
                with suppress(OSError):
                    yield path, path.lstat().st_mtime

    def free(self, item: Item) -> bool:
        """Remove an item permanently.

        Returns:
            False if it is in use, gone or not removable.
        """
        try:
            if item.kind == "weights":
                return _free_stage(self.home, item)
            if item.path.parent.name == "leases":
                return _free_lease(item.path)
            if item.path.parent.name == "trash":
                _empty(self.home, item.path)
            elif item.path.is_dir():
                shutil.rmtree(item.path)
            else:
                item.path.unlink()
        except OSError:
            return False
        return True


@contextmanager
def scratch(home: Path) -> Iterator[str]:
    """Make a folder for Ray's files for the launch's duration.

    A lock file in it marks the launch as alive.
    """
    (home / "ray").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home / "ray") as folder, open(Path(folder, LOCK), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield folder


def size_of(path: Path) -> int:
    """Compute the size of a file, or of a folder's files.

    Links are not followed.
    """
    total = 0 if path.is_dir() else _lstat(path)
    for folder, _, names in os.walk(path):
        total += sum(_lstat(Path(folder, name)) for name in names)
    return total


def parse_size(text: str) -> int:
    """Parse a size such as `500MB` or `1TiB` into bytes.

    `MB` and `GB` are powers of 1000, `MiB` and `GiB` of 1024.

    Raises:
        BadInput: the text has another form, or the size is 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    units = {unit.lower(): factor for unit, factor in UNITS.items()}
    if not match or match[2].lower() not in units or not float(match[1]):
        raise BadInput(f"{text!r} is not a size: write 500MB, 20GB or 1TiB")
    return int(float(match[1]) * units[match[2].lower()])


def small_files(folder: Path) -> list[Path]:
    """List a stage's files without its weights."""
    return [p for p in folder.iterdir() if p.is_file() and p.suffix != ".safetensors" and p.name != "DONE"]


def _touched(folder: Path) -> Iterator[tuple[Path, float]]:
    """Yield a folder's entries, with the latest modification time below each."""
    for path in sorted(folder.glob("*")):
        with suppress(OSError):
            times = [path.lstat().st_mtime]
            for below, _, names in os.walk(path):
                times += [os.lstat(below).st_mtime, *(os.lstat(Path(below, name)).st_mtime for name in names)]
            yield path, max(times)


def _is_held(lock: Path) -> bool:
    """Return whether a live process holds the lock file."""
    with suppress(FileNotFoundError), open(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _lstat(path: Path) -> int:
    with suppress(OSError):
        return path.lstat().st_size
    return 0


def _free_stage(home: Path, item: Item) -> bool:
    """Free a stage's weights: rename its folder, keep its small files."""
    if Disk(home).is_live(item.address):  # checked again: the item's snapshot may be minutes old
        return False
    aside = home / "trash" / f"{item.address}-{secrets.token_hex(4)}"
    aside.parent.mkdir(exist_ok=True)
    os.rename(item.path, aside)
    _empty(home, aside)
    return True


def _empty(home: Path, aside: Path) -> None:
    """Move the small files to `kept/` and remove the rest.

    Files are moved, since a full disk leaves no room for copies. The function continues what a killed process began.
    """
    to = Store(home).kept(aside.name.rpartition("-")[0])
    to.mkdir(parents=True, exist_ok=True)
    for path in sorted(small_files(aside), key=lambda p: p.name == "stage.json"):  # last: it marks the rest as complete
        os.replace(path, to / path.name)
    shutil.rmtree(aside)


def _free_lease(lease: Path) -> bool:
    aside = lease.with_name(f"{lease.name}.stale-{secrets.token_hex(4)}")
    before = lease.stat().st_mtime
    os.rename(lease, aside)
    if aside.stat().st_mtime != before:  # another process has just taken the lease
        os.rename(aside, lease)
        return False
    aside.unlink()
    return True
