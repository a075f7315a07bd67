"""Who works on a stage: the names of workers, and when a lease is dead, judged without comparing two machines' clocks."""

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
    """A name for one claim: machine, process and a random part, as `MACHINE:PID:HEX`; fit to be a file name."""
    return f"{_machine()}:{os.getpid()}:{secrets.token_hex(8)}"


def is_dead(owner: str) -> bool:
    """True if the owner is known to be dead: a process of this boot of this machine that is no longer there."""
    machine, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if machine != _machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it lives, but belongs to somebody else
        pass
    return False


@cache
def _machine() -> str:
    """Host, boot and process namespace: a process number means the same thing only where all three agree."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:  # no such files: a name that nothing else has, so that only silence counts as death
        boot, namespace = secrets.token_hex(4), "0"
    return f"{socket.gethostname()}.{boot}.{namespace}"


@dataclass
class Watch:
    """Since when each lease has looked the same, on this process's monotonic clock.

    No clock of another machine (nor a file server's) is compared with ours, so that one that is wrong or jumps harms nothing.
    """

    _seen: dict[str, tuple[object, float]] = field(default_factory=dict)

    def silent_s(self, name: str, mark: object) -> float:
        """For how many seconds this watch has seen no other `mark` under that name; 0 at the first look."""
        now = time.monotonic()
        if self._seen.get(name, (None, 0.0))[0] != mark:
            self._seen[name] = (mark, now)
        return now - self._seen[name][1]


@contextmanager
def beating(beat: Callable[[], object], every_s: float) -> Iterator[None]:
    """Calls `beat` in a thread every so many seconds while the block runs.

    A beat that fails is tried again at the next: a file server may be away for a moment, and a worker whose lease is lost
    ends with the same bytes as the one that took it.
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
    """True if the lease file is now ours. One whose owner is dead, or silent for longer than `lease_s`, is cleared away."""
    try:
        handle = os.open(lease, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        _clear_if_dead(lease, watch, lease_s)
        return False
    try:
        with os.fdopen(handle, "w") as file:
            file.write(owner)
    except OSError:  # a full disk makes files but fills none: a lease without a name would only be waited for
        lease.unlink(missing_ok=True)
        raise
    return True


def release(lease: Path, owner: str) -> None:
    """Removes the lease file, unless somebody took it over; a file server that is away leaves it to fall silent."""
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
        if aside.read_text() != owner:  # another taker was faster, and this is its new lease: give it back
            with suppress(FileExistsError):
                os.link(aside, lease)
        aside.unlink()
