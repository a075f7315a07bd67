"""Content-addressed store of finished stages.

A stage is published by one atomic rename, with its DONE file inside.
"""

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
from study.store.evaluation_result import EvaluationResult
from study.store.lease import Watch, beating, is_dead, new_owner, release_lease, take
from study.store.manifest import Files, is_intact, write_done
from study.store.remote import Remote
from trainables.atomic_file import parse_json

HEARTBEAT_S = 5.0
# A lease without a beat for this long, by the clock of the waiting process, belongs to a dead worker.
LEASE_S = 60.0
# How long the absence of a stage at the URL is cached: other machines may publish it.
ABSENT_S = 5.0
# Pauses between retries of a URL that does not answer, for a stage that is about to be made or started from.
PATIENCE_S = (1.0, 5.0, 20.0)


@dataclass(frozen=True)
class Store:
    """Finished stages of one home, and optionally of a URL.

    It is safe for concurrent processes and machines. A damaged stage is set aside and counts as absent.
    """

    home: Path
    url: str = ""
    _verified: set[str] = field(default_factory=set, compare=False, repr=False)
    # Address -> time of the last request to the URL, and its answer
    _looks: dict[str, tuple[float, Files | None]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def remote(self) -> Remote | None:
        """Stages at the URL; None without a URL."""
        return Remote(self.url) if self.url else None

    def folder(self, address: str) -> Path:
        """Return the folder of a stage, which need not exist."""
        return self.home / "stages" / address[:2] / address

    def has(self, address: str) -> bool:
        """Return whether a stage is finished, in the home or at the URL.

        In the home every file must be as recorded; files are hashed once per process. A stage found at the URL is copied
        into the home, except that one with weights is copied by `fetch` only. A URL that does not answer counts as
        empty, so that a report of the home works without it.
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
        """Copy a stage from the URL into the home, if necessary.

        Returns:
            Whether the whole stage is in the home.

        Raises:
            OSError: the URL does not answer, after retries.
        """
        for pause in PATIENCE_S if self.remote else ():
            try:
                return self._fetch(address)
            except OSError as error:
                if is_full(error):
                    raise
                time.sleep(pause)
        return self._fetch(address)

    def info(self, address: str) -> dict[str, Any]:
        """Read `stage.json`: kind, config, parents, environment, summary.

        This also works for a stage whose weights were removed.
        """
        return self._json(address, "stage.json")

    def kept(self, address: str) -> Path:
        """Return the folder for small files of a stage whose weights `study.gc` removes."""
        return self.home / "kept" / address[:2] / address

    def small(self, address: str) -> Path:
        """Return the folder that has a stage's small files: its own, or `kept`."""
        folder = self.folder(address)
        return folder if (folder / "DONE").exists() else self.kept(address)

    def metrics(self, address: str) -> EvaluationResult:
        """Read an evaluation's `metrics.json`."""
        return EvaluationResult.from_dict(self._json(address, "metrics.json"))

    @contextmanager
    def claim(self, address: str) -> Iterator[Path | None]:
        """Wait for the exclusive right to make a stage.

        If the block calls `publish` and ends without an error, the stage is visible; otherwise its folder is removed.

        Yields:
            A new folder to write into, or None if another worker has finished the stage meanwhile.

        Raises:
            DiskFull: the disk is full.
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
                yield None if self.fetch(address) else work  # it may have been finished before the lease was taken
        except Exception as error:
            if reason := no_room(error, self.home, bytes_in(work)):
                raise DiskFull(f"stage {address[:12]} {reason}") from error
            raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
            release_lease(lease, owner)

    def publish(self, address: str, work: Path, info: Mapping[str, Any]) -> None:
        """Publish a finished folder as a stage, in the home and at the URL.

        `stage.json` is written first, then checksums in DONE, then the folder is renamed. A URL that does not answer is no
        error: the stage is in the home, and is sent when it is next used.
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
        """List a stage's files at the URL; a positive answer is cached."""
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
        """Copy a stage to the URL, once per home."""
        if not self.remote or self.remote.rests or self._marker(self.remote, address).exists():
            return
        try:
            self.remote.send(address, self.folder(address))
            self._sent(self.remote, address)
        except OSError as error:
            self._trouble(self.remote, error)

    def _is_being_sent(self, address: str) -> bool:
        """Return whether the worker that made the stage still holds its lease."""
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
        logging.getLogger(__name__).warning(
            "store %s: %s; continuing with the stages in %s", self.url, error, self.home
        )

    def _json(self, address: str, name: str) -> dict[str, Any]:
        path = self.small(address) / name
        if self.remote and not path.exists():
            return dict(parse_json(self.remote.read(address, name)))
        return dict(parse_json(path.read_bytes()))

    def _work(self, address: str) -> Path:
        return self.home / "work" / f"{address}-{secrets.token_hex(4)}"

    def _place(self, address: str, work: Path) -> None:
        """Rename a complete folder into place.

        An intact stage that already exists stays, since other processes may be reading it.
        """
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
        with suppress(FileNotFoundError, PermissionError):  # another process moved it first, or who asks may only read
            damaged.parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.folder(address), damaged)


@contextmanager
def leaving_out(folder: Path) -> Iterator[None]:
    """Leave out what a stage's small files say if they are damaged; log a line.

    Scores have checksums; descriptions of stages without weights and curves have none, and a report goes on without them.
    """
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        logging.getLogger(__name__).warning(
            "%s is damaged (%s: %s): its curves are left out", folder, type(error).__name__, error
        )
