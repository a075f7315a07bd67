"""Finished stages by content address. A stage appears by one atomic rename with its DONE file inside, or not at all."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from study.store.disk_full import DiskFull, bytes_in, is_full, no_room
from study.store.lease import Watch, beating, is_dead, new_owner, release, take
from study.store.manifest import Files, is_intact, write_done
from study.store.remote import Remote

HEARTBEAT_S = 5.0
# A lease whose heart has not beaten for this long, by the clock of the one that waits, belongs to a dead worker.
LEASE_S = 60.0
# For how long a process believes that a URL has no such stage: others publish meanwhile.
ABSENT_S = 5.0
# The pauses before a URL that does not answer is asked again for a stage that is about to be made or started from.
PATIENCE_S = (1.0, 5.0, 20.0)


@dataclass(frozen=True)
class Store:
    """The stages below one home, and at a URL if there is one. Safe for many processes and machines.

    A damaged stage is set aside and counts as absent.
    """

    home: Path
    url: str = ""
    _verified: set[str] = field(default_factory=set, compare=False, repr=False)
    # Address -> when the URL was last asked, and what it has
    _looks: dict[str, tuple[float, Files | None]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def remote(self) -> Remote | None:
        """The stages at the URL."""
        return Remote(self.url) if self.url else None

    def folder(self, address: str) -> Path:
        """Where a stage is, or would be."""
        return self.home / "stages" / address[:2] / address

    def has(self, address: str) -> bool:
        """True if the stage is finished: in the home with every file as recorded (hashed once a process), or at the URL.

        What the URL has is copied into the home; only stages with weights wait there until `fetch` asks for them. A URL
        that does not answer has nothing: a report of what is in the home does without it.
        """
        if self._is_here(address):
            return True
        if not self.remote or self.remote.rests:
            return False
        try:
            files = self._at_url(address)
            weights = any(name.endswith(".safetensors") for name in files or ())
            return files is not None and (weights or self._fetch(address))
        except OSError as error:
            self._trouble(self.remote, error)
            return False

    def fetch(self, address: str) -> bool:
        """True once the whole stage is in the home, copied from the URL if need be; OSError if that does not answer."""
        for pause in PATIENCE_S if self.remote else ():
            try:
                return self._fetch(address)
            except OSError as error:
                if is_full(error):
                    raise
                time.sleep(pause)
        return self._fetch(address)

    def info(self, address: str) -> dict[str, Any]:
        """The stage's `stage.json`: kind, config, parents, environment, summary; also of a stage without its weights."""
        return self._json(address, "stage.json")

    def kept(self, address: str) -> Path:
        """Where `study.gc` puts the small files of a stage whose weights it removes."""
        return self.home / "kept" / address[:2] / address

    def small(self, address: str) -> Path:
        """Where a stage's small files are: in its folder, or what was kept of it."""
        folder = self.folder(address)
        return folder if (folder / "DONE").exists() else self.kept(address)

    def metrics(self, address: str) -> dict[str, Any]:
        """An evaluation's `metrics.json`."""
        return self._json(address, "metrics.json")

    @contextmanager
    def claim(self, address: str) -> Iterator[Path | None]:
        """Waits for the right to make a stage.

        Yields a fresh folder to write into, or None when another worker has finished the stage meanwhile. When the
        block ends without an error and `publish` was called, the stage is visible; otherwise the folder is removed.
        Raises DiskFull where the block, or the home, ran out of room.
        """
        lease, work = self.home / "leases" / address, self._work(address)
        owner, watch = new_owner(), Watch()
        lease.parent.mkdir(parents=True, exist_ok=True)
        try:
            while not self.fetch(address):
                if take(lease, owner, watch, LEASE_S):
                    break
                time.sleep(0.2)
            else:
                yield None
                return
            with ExitStack() as held:
                held.enter_context(beating(lambda: os.utime(lease), HEARTBEAT_S))
                if self.remote:
                    far = self.remote.lease(address, lambda: self.fetch(address), LEASE_S, HEARTBEAT_S)
                    held.enter_context(far)
                work.mkdir(parents=True)
                self._looks.pop(address, None)
                yield None if self.fetch(address) else work  # finished between the look and the lease
        except Exception as error:
            if reason := no_room(error, self.home, bytes_in(work)):
                raise DiskFull(f"stage {address[:12]} {reason}") from error
            raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
            release(lease, owner)

    def publish(self, address: str, work: Path, info: Mapping[str, Any]) -> None:
        """Makes a finished folder visible: `stage.json`, then checksums in DONE, then the rename; then the same at the URL.

        A URL that does not answer is no failure: the stage is safe in the home, and is sent when it is next looked at.
        """
        (work / "stage.json").write_text(json.dumps(info, indent=1))
        write_done(work)
        self._place(address, work)
        if self.remote:
            self._marker(self.remote, address).unlink(missing_ok=True)
        self._send(address)

    def _is_here(self, address: str) -> bool:
        folder = self.folder(address)
        if not (folder / "DONE").exists():
            return False
        if address in self._verified:
            return True
        if not is_intact(folder):
            self._set_aside(address)
            return False
        self._verified.add(address)
        if not self._is_being_sent(address):
            self._send(address)
        return True

    def _at_url(self, address: str) -> Files | None:
        """What the URL has of a stage; once seen it is not asked for again."""
        if not self.remote:
            return None
        looked, files = self._looks.get(address, (-ABSENT_S, None))
        if files is None and time.monotonic() - looked >= ABSENT_S:
            files = self.remote.files(address)
            self._looks[address] = time.monotonic(), files
        return files

    def _fetch(self, address: str) -> bool:
        if self._is_here(address):
            return True
        if not self.remote or self._at_url(address) is None:
            return False
        work = self._work(address)
        try:
            if self.remote.fetch(address, work):
                self._sent(self.remote, address)
                self._place(address, work)
                return True
            self._looks.pop(address, None)
            return False
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _send(self, address: str) -> None:
        """Copies a stage to the URL, once per home."""
        if not self.remote or self.remote.rests or self._marker(self.remote, address).exists():
            return
        try:
            self.remote.send(address, self.folder(address))
            self._sent(self.remote, address)
        except OSError as error:
            self._trouble(self.remote, error)

    def _is_being_sent(self, address: str) -> bool:
        """True while the worker that made the stage still holds its lease."""
        try:
            return not is_dead((self.home / "leases" / address).read_text())
        except OSError:
            return False

    def _sent(self, remote: Remote, address: str) -> None:
        marker = self._marker(remote, address)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()

    def _marker(self, remote: Remote, address: str) -> Path:
        return self.home / "sent" / remote.tag / address

    def _trouble(self, remote: Remote, error: OSError) -> None:
        remote.rest()
        logging.getLogger(__name__).warning("store %s: %s; going on with what is in %s", self.url, error, self.home)

    def _json(self, address: str, name: str) -> dict[str, Any]:
        path = self.small(address) / name
        if self.remote and not path.exists():
            return dict(json.loads(self.remote.read(address, name)))
        return dict(json.loads(path.read_text()))

    def _work(self, address: str) -> Path:
        return self.home / "work" / f"{address}-{secrets.token_hex(4)}"

    def _place(self, address: str, work: Path) -> None:
        """Renames a whole folder into place. A whole one that is already there stays: others may be reading it."""
        folder = self.folder(address)
        if folder.exists() and not is_intact(folder):
            self._set_aside(address)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(work, folder)
        except OSError:
            if not is_intact(folder):
                raise
        self._verified.add(address)

    def _set_aside(self, address: str) -> None:
        damaged = self.home / "damaged" / f"{address}-{secrets.token_hex(4)}"
        damaged.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process moved it first
            os.rename(self.folder(address), damaged)
