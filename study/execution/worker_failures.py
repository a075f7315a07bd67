"""Workers and nodes that go away under a trial: what counts as lost, how often it starts again, how long it waits.

Ray Train knows only "a worker failed", and by itself asks for a place again without end. So every attempt here is a `fit`
without retries of Train's own, and this module decides about the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent import futures
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.training.distributed import ProcessGroup

# So many losses in a row, without a stage finished between them, are no accident.
MAX_LOST = 5
# For so long a trial waits for nodes while those that there are could not hold its workers.
NODE_WAIT_S = 600.0
# For so long it waits for places that others hold: other trials of the study, or other users of the cluster.
BUSY_WAIT_S = 24 * 3600.0
# A worker that waits for another one's part of a sum, or for encoded rows, gives up after this.
GROUP_WAIT_S = 1800
# While the first worker waits for a stage that another trial makes, which may take days, the others hear of it this often.
BROADCAST_EVERY_S = 60.0

# What the survivors of a lost worker say. A worker that broke by itself leaves its peers the same words.
PEER_LOST = ("Connection closed by peer", "Connection reset", "gloo", "NCCL")
# Kinds of error, by the names of their classes: most are private to Ray, and all of them stand in for a process that is gone.
GONE = {
    "RayActorError",
    "OutOfMemoryError",  # Ray's memory monitor killed it
    "WorkerCrashedError",
    "NodeDiedError",
    "WorkerHealthCheckFailedError",
    "WorkerHealthCheckTimeoutError",
    "WorkerGroupStartupFailedError",
    "PreemptionError",
    "DistError",
}
NO_PLACE = "WorkerGroupStartupTimeoutError"
OWN = ("trainables", "study", "search_spaces")


class WorkersLost(RuntimeError):
    """A trial lost its workers too often, or no node came to run them; the message says which, and how long it waited."""


def is_lost(error: BaseException) -> bool:
    """True where nothing failed but processes, nodes or the wires between them: the same work may well succeed elsewhere.

    One worker with an exception of its own is enough for False, whatever its peers say of a lost connection.
    """
    return all(_gone(part) for part in _parts(error))


def has_no_place(error: BaseException) -> bool:
    """True where the workers did not start, because the cluster had no room for them in time."""
    return any(type(part).__name__ == NO_PLACE for part in _parts(error))


def is_short_of_memory(text: str) -> bool:
    """Whether Ray says of a lost process that its memory monitor has killed it."""
    return "low on memory" in text or "OutOfMemoryError" in text or "memory pressure" in text


def _parts(error: BaseException) -> list[BaseException]:
    failures = getattr(error, "worker_failures", None)
    if failures:
        return list(failures.values())
    inner = getattr(error, "controller_failure", None)
    return [inner] if isinstance(inner, BaseException) else [error]


def _gone(part: BaseException) -> bool:
    kinds = {kind.__name__ for kind in type(part).__mro__}
    if kinds & GONE:
        return True
    is_own = type(part).__module__.partition(".")[0] in OWN
    return isinstance(part, RuntimeError) and not is_own and any(words in str(part) for words in PEER_LOST)


def retry_on_worker_loss(
    fit: Callable[[int], object],
    left: Callable[[], int],
    has_room: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Calls `fit` until it returns, again after every loss of workers; returns how often that was.

    Args:
        fit: one attempt; is told how many losses came before it.
        left: how many stages are not finished; a loss after which it is smaller than ever starts a new count.
        has_room: whether the nodes that are alive could hold the workers, were they idle.
        clock: seconds that never go back.
    Raises:
        WorkersLost: after `MAX_LOST` losses in a row, `NODE_WAIT_S` without room, or `BUSY_WAIT_S` without a place.
        Exception: whatever else `fit` raises, at once.
    """
    lost = in_a_row = 0
    least = left()
    asked: float | None = None  # since when we wait for a place
    short: float | None = None  # since when there has been no room
    while True:
        began = clock()
        try:
            fit(lost)
            return lost
        except Exception as error:
            if has_no_place(error):
                asked = began if asked is None else asked
                short = None if has_room() else began if short is None else short
                _check_wait(clock(), asked, short, error)
                continue
            if not is_lost(error):
                raise
            asked = short = None
            now_left = left()
            lost, in_a_row = lost + 1, 1 if now_left < least else in_a_row + 1
            least = min(least, now_left)
            if in_a_row >= MAX_LOST:
                raise WorkersLost(
                    f"workers were lost {in_a_row} times in a row; the last time: {_line(error)}"
                ) from error


def _check_wait(now: float, asked: float, short: float | None, error: Exception) -> None:
    if short is not None and now - short >= NODE_WAIT_S:
        raise WorkersLost(
            f"the cluster's nodes have no room for the workers, and none came in {now - short:.0f} s"
        ) from error
    if now - asked >= BUSY_WAIT_S:
        raise WorkersLost(f"others held all places of the cluster for {now - asked:.0f} s") from error


def _line(error: BaseException) -> str:
    part = _parts(error)[0]
    inner = getattr(part, "health_check_failure", part)
    lines = str(inner).strip().splitlines()
    return f"{type(inner).__name__}: {lines[0] if lines else 'no message'}"


def wait_and_broadcast(comm: ProcessGroup, wait: Callable[[], str]) -> str:
    """What `wait` returns on the first worker, on every worker.

    It may take as long as another trial needs for a stage. A collective that nobody answers may not: the first worker waits
    in a thread, and says to the others from time to time that it still does.
    """
    if not comm.on:
        return wait()
    answer: futures.Future[str] = futures.Future()

    def run() -> None:
        try:
            answer.set_result(wait())
        except BaseException as error:
            answer.set_exception(error)

    if comm.is_first:
        Thread(target=run, daemon=True).start()
    while True:
        if comm.is_first:
            futures.wait([answer], timeout=BROADCAST_EVERY_S)
        found = comm.from_first(answer.result() if answer.done() else None)
        if found is not None:
            return str(found)
