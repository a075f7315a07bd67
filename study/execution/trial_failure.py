"""Failures of trials as values, without secrets."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from study.execution.worker_failures import PEER_LOST
from study.sanitize import sanitize
from study.store.disk_full import is_full
from trainables.errors import is_out_of_memory

STOPPED, DISK_FULL, OUT_OF_MEMORY = "Stopped", "DiskFull", "OutOfMemory"


@dataclass(frozen=True)
class TrialFailure:
    """Failure that a trial reports to the driver.

    Attributes:
        kind: name of the exception's class, STOPPED, DISK_FULL or OUT_OF_MEMORY; "" if only a message is known.
    """

    kind: str
    message: str
    traceback: str

    @property
    def reason(self) -> str:
        """One line for the record.

        A stop has no kind in it, since it is no error.
        """
        return f"{self.kind}: {self.message}" if self.kind not in ("", STOPPED) else self.message


def explain(error: BaseException) -> TrialFailure:
    """Describe the root cause of an exception.

    For an error of a group of workers it is the first cause, and for a wrapped error the inner one.
    """
    inner: BaseException = error
    failures = getattr(error, "worker_failures", None)
    if failures:
        # Workers that waited for the broken one fail too, with a lost connection.
        inner = min(failures.values(), key=lambda failure: any(words in str(failure) for words in PEER_LOST))
    while isinstance(cause := getattr(inner, "cause", None), BaseException):
        inner = cause
    notes = [note for note in getattr(inner, "__notes__", []) if note.startswith("Traceback")]
    trace = notes[-1] if notes else "".join(traceback.format_exception(inner))
    lines = [line for line in sanitize(str(inner)).strip().split("\n") if line.strip()]
    return TrialFailure(_kind(inner), lines[-1] if lines else "no message", sanitize(trace))


def _kind(error: BaseException) -> str:
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    return DISK_FULL if is_full(error) else type(error).__name__


def failure_of_process(error: str) -> TrialFailure:
    """Describe the loss of a trial's process from Tune's error text."""
    lines = error.strip().splitlines()
    return TrialFailure("", lines[-1] if lines else "no result", error)
