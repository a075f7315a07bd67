"""Finished stages by content address. A stage appears by one atomic rename with its DONE file inside, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEARTBEAT_S = 5.0
# A lease whose heart has not beaten for this long belongs to a dead worker and may be taken over.
LEASE_S = 60.0


@dataclass(frozen=True)
class Store:
    """The stages below one home. Safe for many processes; a damaged stage is set aside and counts as absent."""

    home: Path
    _verified: set[str] = field(default_factory=set, compare=False, repr=False)

    def folder(self, address: str) -> Path:
        """Where a stage is, or would be."""
        return self.home / "stages" / address[:2] / address

    def has(self, address: str) -> bool:
        """True if the stage is finished and every file has the recorded size and SHA-256 (hashed once a process)."""
        folder = self.folder(address)
        if not (folder / "DONE").exists():
            return False
        if address in self._verified:
            return True
        if not _intact(folder):
            _rename(folder, self.home / "damaged" / f"{address}-{secrets.token_hex(4)}")
            return False
        self._verified.add(address)
        return True

    def info(self, address: str) -> dict[str, Any]:
        """The stage's `stage.json`: kind, config, parents, environment, summary."""
        return dict(json.loads((self.folder(address) / "stage.json").read_text()))

    def metrics(self, address: str) -> dict[str, Any]:
        """An evaluation's `metrics.json`."""
        return dict(json.loads((self.folder(address) / "metrics.json").read_text()))

    @contextmanager
    def claim(self, address: str) -> Iterator[Path | None]:
        """Waits for the right to make a stage.

        Yields a fresh folder to write into, or None when another worker has finished the stage meanwhile. When the
        block ends without an error and `publish` was called, the stage is visible; otherwise the folder is removed.
        """
        lease = self.home / "leases" / address
        lease.parent.mkdir(parents=True, exist_ok=True)
        owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        while not self.has(address):
            if _take(lease, owner):
                break
            time.sleep(0.2)
        else:
            yield None
            return
        stop = threading.Event()
        beat = threading.Thread(target=_beat, args=(lease, stop), daemon=True)
        beat.start()
        work = self.home / "work" / f"{address}-{secrets.token_hex(4)}"
        try:
            work.mkdir(parents=True)
            yield None if self.has(address) else work  # finished between the look and the lease
        finally:
            stop.set()
            beat.join()
            shutil.rmtree(work, ignore_errors=True)
            if lease.exists() and lease.read_text() == owner:
                lease.unlink(missing_ok=True)

    def publish(self, address: str, work: Path, info: Mapping[str, Any]) -> None:
        """Makes a finished folder visible: `stage.json`, then checksums in DONE, then the rename."""
        (work / "stage.json").write_text(json.dumps(info, indent=1))
        files = {str(p.relative_to(work)): _checksum(p) for p in sorted(work.rglob("*")) if p.is_file()}
        with open(work / "DONE", "w") as done:
            json.dump(files, done, indent=1)
            done.flush()
            os.fsync(done.fileno())
        folder = self.folder(address)
        if folder.exists():  # what is there was found damaged or half-written, or `claim` would not have let us in
            _rename(folder, self.home / "damaged" / f"{address}-{secrets.token_hex(4)}")
        _rename(work, folder)
        self._verified.add(address)


def _rename(folder: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # another process moved it first
        os.rename(folder, to)


def _checksum(path: Path) -> list[Any]:
    with open(path, "rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]


def _intact(folder: Path) -> bool:
    try:
        recorded = json.loads((folder / "DONE").read_text())
        return bool(recorded) and all(_checksum(folder / name) == sums for name, sums in recorded.items())
    except (OSError, ValueError, AttributeError):
        return False


def _take(lease: Path, owner: str) -> bool:
    """True if the lease is now ours: it was free, or its owner stopped beating."""
    try:
        handle = os.open(lease, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        try:
            if time.time() - lease.stat().st_mtime > LEASE_S:
                aside = f"{lease}.stale-{secrets.token_hex(4)}"
                os.rename(lease, aside)  # one of several takers wins the rename
                os.unlink(aside)
        except FileNotFoundError:
            pass
        return False
    with os.fdopen(handle, "w") as file:
        file.write(owner)
    return True


def _beat(lease: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        try:
            os.utime(lease)
        except FileNotFoundError:
            return
