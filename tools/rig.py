"""What the rigs of this folder share: Debian's system programs, and waiting."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def system_path() -> str:
    """Return a PATH with the programs of the system too."""
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def wait(what: str, done: Callable[[], bool], limit_s: float = 60) -> None:
    """Wait until it is done.

    Raises:
        RuntimeError: it is not within `limit_s` seconds.
    """
    end = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {limit_s:.0f} s: {what}")
        time.sleep(0.2)
