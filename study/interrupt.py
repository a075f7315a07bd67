"""Ctrl-C and SIGTERM, as schedulers send before they take a machine: the workers write their state and give way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GRACE_S = 30.0  # seconds that workers have to get to the end of a step and write


@contextmanager
def giving_way(stop: Path, asked: Callable[[], None]) -> Iterator[None]:
    """While the block runs, SIGINT or SIGTERM makes the file that the workers look for, and calls `asked`.

    A second signal, or the end of the grace period, raises KeyboardInterrupt in the block. In a thread that is not the
    main one, where Python hears no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def now(*_: Any) -> None:
        raise KeyboardInterrupt

    def ask(*_: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, now)
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        stop.touch()
        asked()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.unlink(missing_ok=True)
