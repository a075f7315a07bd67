"""Stop a launch cleanly: Ctrl-C, SIGTERM as schedulers send before they take a machine, and a terminal that goes away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

GRACE_S = 15.0  # seconds that workers have to get to the end of a step and write; whoever still runs then is ended
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Whether this process was asked to stop, from the call of `listen` on.

    Outside of `deferred` a signal raises KeyboardInterrupt at once, as Ctrl-C does. Inside of it the first one is noted, and
    the second, or the end of the grace period, raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False
        self._then: Callable[[], None] | None = None

    def listen(self) -> None:
        """Handle the signals from now on, whatever the parent process ignores: a shell's `&` ignores Ctrl-C.

        Only a hang-up stays ignored where it is, since that is what nohup is for. Called again after libraries that install
        handlers of their own.
        """
        if threading.current_thread() is not threading.main_thread():
            return  # where Python hears no signals
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_signal)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While the block runs, the first signal is only noted; the grace period that it begins outlasts the block."""
        before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
        self.requested, self._deferred = False, True
        self.listen()
        try:
            yield
        finally:
            self._deferred, self._then = False, None
            if not self.requested and threading.current_thread() is threading.main_thread():
                for number, handler in before.items():
                    signal.signal(number, handler)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Leave the handlers of signals after the block as they were before it, and no grace period that still runs."""
        before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                self.end()
                for number, handler in before.items():
                    signal.signal(number, handler)

    def end(self) -> None:
        """End the grace period: what is left to do is to exit."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def call(self, then: Callable[[], None]) -> None:
        """Have `then` called when a stop is asked for, at once if it was already."""
        self._then = then
        if self.requested:
            then()

    def _on_signal(self, *_: Any) -> None:
        if self.requested or not self._deferred:
            raise KeyboardInterrupt
        self.requested = True
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        if self._then:
            self._then()


STOP = StopRequest()
