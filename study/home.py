"""The home: the folder of all studies and stages."""

from __future__ import annotations

import locale
import os
import pwd
import shlex
import tempfile
import time
from functools import lru_cache
from pathlib import Path

from trainables.errors import BadInput, check_path

SHARED = ("stages", "leases", "work", "studies", "checkpoints", "encoded")  # folders that every launch writes into


def home_folder(name: str | Path | None = None) -> Path:
    """Return the absolute home folder, which need not exist; nothing is made.

    Args:
        name: the folder; None = $STEPSTONE_HOME, or else ./.stepstone.

    Raises:
        BadInput: it is not a folder that can be read, or no file can be read as it should (`check_process`).
    """
    check_process()
    given = str(name or os.environ.get("STEPSTONE_HOME") or ".stepstone")
    check_path("--home", given)
    home = Path(os.path.expanduser(given)).resolve()
    try:
        if home.stat() and not home.is_dir():
            raise BadInput(f"home {str(home)!r} is a file, not a folder")
        with os.scandir(home):
            pass
    except FileNotFoundError:
        pass
    except OSError as error:
        raise BadInput(f"home {str(home)!r} cannot be used: {error.strerror}") from error
    return home


def check_writable(home: Path, *paths: Path) -> None:
    """Check that a launch may write into the home, and to these files and folders of it, as far as they exist.

    Raises:
        BadInput: a folder or file belongs to another user, or the file system is read-only.
    """
    for path in (nearest(home), *(home / name for name in SHARED), *paths):
        if path.exists() and not os.access(path, os.W_OK):
            raise BadInput(f"{owned(path)} is not writable: choose another --home, or ask for write permission")


def nearest(folder: Path) -> Path:
    """Return the folder or, where it does not exist yet, the nearest one above it that does."""
    return next(found for found in (folder, *folder.parents) if found.exists())


def owned(path: Path) -> str:
    """Write a path with the name of its owner."""
    try:
        owner = pwd.getpwuid(path.stat().st_uid).pw_name
    except (OSError, KeyError):  # a user without a name, as in a container
        owner = "another user"
    return f"{str(path)!r} (of {owner})"


def command(verb: str, *arguments: str, home: Path, mlflow_uri: str | None = None) -> str:
    """Write the command of a verb so that it works when pasted in any folder."""
    more = ["--mlflow-uri", mlflow_uri] if mlflow_uri else []
    return shlex.join(["python", "-m", f"study.{verb}", *arguments, "--home", str(home), *more])


def age_s(folder: Path, touched: float) -> float:
    """Return the seconds between now and a modification time, by the clock of the folder's file system.

    A time in the future counts like one in the past: a clock was wrong, and nothing that is alive has such a time.
    """
    return abs(time.time() + _clock_offset(folder) - touched)


@lru_cache
def _clock_offset(folder: Path) -> float:
    """Measure how far the clock of a file system, maybe another machine's, is ahead of ours."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock-") as file:
            return os.stat(file.name).st_mtime - time.time()
    except OSError:  # a full disk, or a reader without write permission
        return 0.0


def check_process() -> None:
    """Raise BadInput if this process would read text wrongly, or has no working directory."""
    encoding = locale.getpreferredencoding(False)
    if encoding.lower() not in ("utf-8", "utf8"):  # every file of a home is UTF-8, as are those of data sets
        raise BadInput(f"text files would be read as {encoding} here, and they are UTF-8: set PYTHONUTF8=1")
    try:
        os.getcwd()
    except FileNotFoundError as error:  # torch's libraries end the process then
        raise BadInput("the working directory no longer exists: change to another") from error
