"""Remote stage store at a URL: S3, Google Cloud Storage or a folder.

Machines without a common home share stages there. Layout below the URL: `stages/AA/ADDRESS/DONE` is written last and is byte
for byte the local DONE; the files it lists are in `stages/AA/ADDRESS/VERSION/`, where VERSION is the start of DONE's own
SHA-256. Two writers of one stage can therefore never mix their files, and a changed DONE matches no version.
`leases/ADDRESS/` has the owners of stages being made, `damaged/` the DONE of stages that were found damaged. Credentials
come from the environment, by pyarrow's own chain.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from study.store.lease import Watch, beating, is_dead, new_owner
from study.store.manifest import Files, copy_and_hash, read_done
from trainables.errors import BadInput

SETTLE_S = 1.0  # between requesting a lease and listing other requests: longer than a write takes to be listed
POLL_S = 1.0  # between checks of a lease that another owner holds
REST_S = 30.0  # optional requests are skipped for this long after a URL did not answer
SECRET = ("secret", "password", "token", "key", "signature", "credential")


def check_url(url: str) -> str:
    """Check a store URL and return it.

    Raises:
        BadInput: the URL contains a secret, is not supported by pyarrow, or does not answer.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadInput(f"store is not a URL: {error}") from error
    if parts.password is not None or any(word in k.lower() for k, _ in parse_qsl(parts.query) for word in SECRET):
        clean = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
        raise BadInput(
            f"store {clean!r} must not contain credentials: set them in the environment, as AWS_... or GOOGLE_..."
        )
    if not parts.netloc and parts.scheme != "file":
        raise BadInput(f"store {url!r} is not a URL like s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or file:///FOLDER")
    try:
        Remote(url).check()
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise BadInput(f"store {url!r} cannot be used: {error}") from error
    return url


class Remote:
    """Finished stages below one URL.

    All methods raise OSError if the URL does not answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._rests_until = 0.0

    @property
    def tag(self) -> str:
        """Short hash of the URL, used as a folder name."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    @property
    def rests(self) -> bool:
        """True for `REST_S` seconds after `rest`."""
        return time.monotonic() < self._rests_until

    def rest(self) -> None:
        """Pause optional requests, since the URL did not answer.

        A request to an unavailable URL takes seconds, and a report makes many.
        """
        self._rests_until = time.monotonic() + REST_S

    def check(self) -> None:
        """Check that files can be written below the URL.

        Raises:
            OSError: they cannot.
        """
        probe = f"leases/probe-{secrets.token_hex(4)}"
        self._write(probe, b"")
        self._fs.delete_file(probe)

    def files(self, address: str) -> Files | None:
        """Read the file list of a stage and check the files' sizes.

        Returns:
            None if the stage is absent or incomplete; an incomplete one is set aside.
        """
        try:
            content = self._read(_done(address))
        except FileNotFoundError:
            return None
        try:
            files = read_done(content)
        except ValueError:
            files = {}
        folder = _version(address, content)
        there = {info.path: info.size for info in self._listed(folder)}
        if not files or any(there.get(f"{folder}/{name}") != size for name, (size, _) in files.items()):
            self._set_aside(address, content)
            return None
        return files

    def fetch(self, address: str, work: Path) -> bool:
        """Copy a stage into a new folder.

        Returns:
            False if the stage is absent or damaged; a damaged one is set aside.
        """
        try:
            content = self._read(_done(address))
        except FileNotFoundError:
            return False
        try:
            for name, sums in read_done(content).items():
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                with self._open(f"{_version(address, content)}/{name}") as source, open(work / name, "wb") as to:
                    if copy_and_hash(source, to) != sums:
                        raise ValueError(f"{name} is damaged")
        except (ValueError, FileNotFoundError):
            self._set_aside(address, content)
            return False
        (work / "DONE").write_bytes(content)
        return True

    def read(self, address: str, name: str) -> bytes:
        """Read one small file of a stage.

        Raises:
            FileNotFoundError: the stage or the file is absent or damaged.
        """
        content = self._read(_done(address))
        with suppress(ValueError):
            data = self._read(f"{_version(address, content)}/{name}")
            if read_done(content).get(name) == [len(data), hashlib.sha256(data).hexdigest()]:
                return data
        raise FileNotFoundError(f"{name} of stage {address} is damaged at {self.url}")

    def send(self, address: str, folder: Path) -> None:
        """Copy a finished stage to the URL, DONE last, unless it exists there."""
        if self.files(address) is not None:
            return
        content = (folder / "DONE").read_bytes()
        for name, sums in read_done(content).items():
            with open(folder / name, "rb") as source, self._create(f"{_version(address, content)}/{name}") as to:
                if copy_and_hash(source, to) != sums:
                    raise OSError(f"{folder / name} changed while it was copied")
        self._write(_done(address), content)

    @contextmanager
    def lease(self, address: str, finished: Callable[[], bool], lease_s: float, beat_s: float) -> Iterator[bool]:
        """Wait for the exclusive right to make a stage among all machines.

        Object stores have no exclusive create. A process that finds no live lease writes its own request, waits `SETTLE_S`,
        and gets the lease if no other process holds one or has an earlier request (by the clocks of those that request at
        the same time). Should two processes get it, the stage is made twice with the same bytes, never mixed.

        Yields:
            True if the lease is held, False if the stage was `finished` by another process.
        """
        folder, owner, watch = f"leases/{address}", new_owner(), Watch()
        mine = ""
        try:
            while not finished():
                if self._others(folder, mine, watch, lease_s):
                    time.sleep(POLL_S)
                    continue
                mine = f"{folder}/{time.time_ns():020d}-{owner}"
                self._write(mine, b"asks")
                time.sleep(SETTLE_S)
                if all(asks and name > mine for name, asks in self._others(folder, mine, watch, lease_s).items()):
                    with beating(self._beat(mine), beat_s):
                        yield True
                    return
                self._fs.delete_file(mine)
                mine = ""
            yield False
        finally:
            if mine:
                with suppress(OSError):  # already removed, or it will expire
                    self._fs.delete_file(mine)

    def _others(self, folder: str, mine: str, watch: Watch, lease_s: float) -> dict[str, bool]:
        """List other live leases, and remove dead ones.

        Returns:
            Path of a lease -> whether it is only a request.
        """
        alive = {}
        for name in (info.path for info in self._listed(folder) if info.path != mine):
            with suppress(FileNotFoundError):  # released since it was listed
                content = self._read(name)
                if watch.silent_s(name, content) > lease_s or is_dead(name.rpartition("/")[2].partition("-")[2]):
                    self._fs.delete_file(name)
                else:
                    alive[name] = content == b"asks"
        return alive

    def _beat(self, mine: str) -> Callable[[], None]:
        """Mark the lease as held, and return a function that renews it.

        Renewal stops once another process has taken the lease over.
        """
        beats = 0

        def beat() -> None:
            nonlocal beats
            beats += 1
            if beats == 1 or next(iter(self._fs.get_file_info([mine]))).is_file:
                self._write(mine, b"holds %d" % beats)

        beat()
        return beat

    def _set_aside(self, address: str, content: bytes) -> None:
        """Move DONE away, so that the stage is absent, unless DONE has changed."""
        with suppress(FileNotFoundError):
            if self._read(_done(address)) == content:
                self._write(f"damaged/{address}-{secrets.token_hex(4)}", content)
                self._fs.delete_file(_done(address))

    @cached_property
    def _fs(self) -> Any:
        from pyarrow import fs  # loads the clients of all object stores: only where a URL is used

        base, path = fs.FileSystem.from_uri(self.url)
        return fs.SubTreeFileSystem(path, base)

    def _listed(self, folder: str) -> list[Any]:
        from pyarrow import fs

        found = self._fs.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
        return [info for info in found if info.is_file]

    def _open(self, path: str) -> Any:
        return self._fs.open_input_stream(path)

    def _create(self, path: str) -> Any:
        if self._fs.base_fs.type_name == "local":  # object stores have no folders
            self._fs.create_dir(path.rpartition("/")[0], recursive=True)
        return self._fs.open_output_stream(path)

    def _read(self, path: str) -> bytes:
        with self._open(path) as file:
            return bytes(file.read())

    def _write(self, path: str, content: bytes) -> None:
        with self._create(path) as file:
            file.write(content)


def _done(address: str) -> str:
    return f"stages/{address[:2]}/{address}/DONE"


def _version(address: str, done: bytes) -> str:
    return f"stages/{address[:2]}/{address}/{hashlib.sha256(done).hexdigest()[:16]}"
