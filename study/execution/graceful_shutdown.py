"""Clean stop of a launch on Ctrl-C, SIGTERM and SIGHUP.

Schedulers send SIGTERM before preemption; a closed terminal sends SIGHUP.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

GRACE_S = 12.0  # seconds for workers to finish a step and write their state; processes that still run then are ended
LAST_S = 4.0  # seconds after that for the launch to end by itself
LOOK_EVERY_S = 0.5
AGAIN = "stopped; run the same command again to continue"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Stop request of this process, by signals after `listen`.

    Outside of `deferred` a signal raises KeyboardInterrupt at once, as Ctrl-C does. Inside of it the first signal sets
    `requested`; the second, or the end of the grace period, raises KeyboardInterrupt. A main thread that is in a call of Ray
    does not hear it: a verb's process then ends `LAST_S` later, with `last_words`.
    """

    def __init__(self) -> None:
        self.requested = False
        self.last_words = AGAIN
        self._deferred = self._owns_process = False
        self._deadline: float | None = None
        self._then: Callable[[], None] | None = None

    def listen(self, *, owns_process: bool = False) -> None:
        """Install the signal handlers, even for ignored signals.

        A shell's `&` makes its processes ignore Ctrl-C. Only SIGHUP stays ignored if it was, since that is the purpose of
        nohup. Call this again after libraries that install handlers of their own.

        Args:
            owns_process: the process is that of a verb, which may be ended.
        """
        self._owns_process |= owns_process
        if not _in_main_thread():
            return
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_signal)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer the first signal in the block.

        It only sets `requested` and starts the grace period, which may outlast the block.
        """
        before = _handlers()
        self.requested, self._deferred, self._deadline, self.last_words = False, True, None, AGAIN
        self.listen()
        if self._owns_process:
            threading.Thread(target=self._end_in_time, daemon=True).start()
        try:
            yield
        finally:
            self._deferred, self._then = False, None
            if not self.requested:
                _install(before)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore signal handlers after the block, and end the grace period."""
        before = _handlers()
        try:
            yield
        finally:
            if _in_main_thread():
                self.end()
            _install(before)

    def end(self) -> None:
        """End the grace period, just before the exit, which has the rest of the time."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.last_words = ""

    def abort(self) -> None:
        """End the launch at once from another thread, since nothing can go on.

        The main thread is interrupted as by a second signal.
        """
        self.requested, self._deadline = True, time.monotonic() + LAST_S
        main = threading.main_thread().ident
        if main is not None and signal.getsignal(signal.SIGALRM) == self._on_signal:
            signal.pthread_kill(main, signal.SIGALRM)

    def call(self, then: Callable[[], None]) -> None:
        """Call `then` on a stop request, or now after one."""
        self._then = then
        if self.requested:
            then()

    def _on_signal(self, *_: Any) -> None:
        if self.requested or not self._deferred:
            raise KeyboardInterrupt
        self.requested, self._deadline = True, time.monotonic() + GRACE_S + LAST_S
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        if self._then:
            self._then()

    def _end_in_time(self) -> None:
        while self._deadline is None or time.monotonic() < self._deadline:
            time.sleep(LOOK_EVERY_S)
        if self.last_words:
            with suppress(OSError):
                print(self.last_words, file=sys.stderr, flush=True)
        os._exit(1)  # Ray's processes notice, as when the launch is killed


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()  # Python handles signals in no other


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}


def _install(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items() if _in_main_thread() else ():
        signal.signal(number, handler)


STOP = StopRequest()
