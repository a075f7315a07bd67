"""Leases on stages: owner names, and expiry without comparing clocks of machines."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path


def new_owner() -> str:
    """Create an owner name for one claim: `MACHINE:PID:HEX`.

    HEX is random; the name is valid as a file name.
    """
    return f"{_machine()}:{os.getpid()}:{secrets.token_hex(8)}"


def is_dead(owner: str) -> bool:
    """Return whether the owner is a process of this machine that has ended.

    Processes of other machines, boots or process namespaces are never known to be dead.
    """
    machine, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if machine != _machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it exists, but belongs to another user
        pass
    return False


@cache
def _machine() -> str:
    """Identify the host, boot and process namespace.

    Process ids are comparable only if all three are equal.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:  # no such files: use a unique name, so that leases end by timeout only
        boot, namespace = secrets.token_hex(4), "0"
    return f"{socket.gethostname()}.{boot}.{namespace}"


@dataclass
class Watch:
    """Times since leases last changed, by this process's monotonic clock.

    No clock of another machine or file server is used, so a wrong clock does no harm.
    """

    _seen: dict[str, tuple[object, float]] = field(default_factory=dict)

    def silent_s(self, name: str, mark: object) -> float:
        """Return the seconds since a lease's mark changed; 0 at the first call.

        Args:
            name: name of the lease.
            mark: any value that changes with every beat.
        """
        now = time.monotonic()
        if self._seen.get(name, (None, 0.0))[0] != mark:
            self._seen[name] = (mark, now)
        return now - self._seen[name][1]


@contextmanager
def beating(beat: Callable[[], object], every_s: float) -> Iterator[None]:
    """Call `beat` in a thread every `every_s` seconds while the block runs.

    A failed beat is retried at the next: a file server may be unavailable for a moment, and a worker that has lost its
    lease produces the same bytes as the worker that took it over.
    """
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every_s):
            with suppress(OSError):
                beat()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def take(lease: Path, owner: str, watch: Watch, lease_s: float) -> bool:
    """Try to take the lease file; return whether it succeeded.

    A lease whose owner is dead, or silent for longer than `lease_s`, is removed.
    """
    try:
        handle = os.open(lease, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        _clear_if_dead(lease, watch, lease_s)
        return False
    try:
        with os.fdopen(handle, "w") as file:
            file.write(owner)
    except OSError:  # a full disk creates empty files: others would wait for a lease without an owner
        lease.unlink(missing_ok=True)
        raise
    return True


def release_lease(lease: Path, owner: str) -> None:
    """Remove the lease file, unless another owner took it over.

    If the file server is unavailable, the lease stays and expires.
    """
    with suppress(OSError):
        if lease.read_text() == owner:
            lease.unlink()


def _clear_if_dead(lease: Path, watch: Watch, lease_s: float) -> None:
    try:
        with open(lease) as file:  # opening makes NFS ask the server instead of its cache
            owner = file.read()
            mark = owner, os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return
    if watch.silent_s(lease.name, mark) <= lease_s and not is_dead(owner):
        return
    aside = lease.with_name(f"{lease.name}.stale-{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):  # one of several takers wins the rename
        os.rename(lease, aside)
        if aside.read_text() != owner:  # another process was faster, and this is its new lease: restore it
            with suppress(FileExistsError):
                os.link(aside, lease)
        aside.unlink()
