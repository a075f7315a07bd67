"""Lost workers and nodes: classification, retries and maximum waits.

Ray Train reports only "a worker failed", and by default requests resources without end. So every attempt here is a `fit`
without Train's own retries, and this module decides about the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent import futures
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.training.distributed import ProcessGroup

# Maximum losses in a row, without a stage finished between them.
MAX_LOST = 5
# Maximum wait for nodes when the cluster is too small.
NODE_WAIT_S = 600.0
# Maximum wait for resources that are in use by other trials of the study or other users of the cluster.
BUSY_WAIT_S = 24 * 3600.0
# Timeout of a collective: a sum over workers, or the wait for encoded rows.
GROUP_WAIT_S = 1800
# Interval of broadcasts while the first worker waits for a stage that another trial computes, which may take days. It must be
# below GROUP_WAIT_S, or the other workers' collective would time out.
BROADCAST_EVERY_S = 60.0

# Messages of the workers whose peer was lost. Those whose peer raised an exception have the same messages.
PEER_LOST = ("Connection closed by peer", "Connection reset", "gloo", "NCCL")
# Names of error classes, most of which are private to Ray; each of them means that a process is gone.
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
    """Too many losses of workers, or no node in time.

    The message has the cause and the wait.
    """


def is_lost(error: BaseException) -> bool:
    """Return whether an error is an infrastructure failure and can be retried.

    Infrastructure is processes, nodes and the network.
    One worker with an exception of its own is enough for False, even if its peers report a lost connection.
    """
    return all(_gone(part) for part in _parts(error))


def has_no_place(error: BaseException) -> bool:
    """Return whether the cluster had no resources for the workers in time."""
    return any(type(part).__name__ == NO_PLACE for part in _parts(error))


def is_short_of_memory(text: str) -> bool:
    """Return whether Ray's memory monitor killed the process."""
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
    """Call `fit`, retrying after each loss of workers.

    Args:
        fit: one attempt; its argument is the number of losses before it.
        left: returns the number of unfinished stages; the count of losses in a row restarts when it decreases.
        has_room: returns whether the live nodes could hold the workers if idle.
        clock: monotonic time in seconds.
    Returns:
        the number of losses.
    Raises:
        WorkersLost: after `MAX_LOST` losses in a row, `NODE_WAIT_S` on a cluster that is too small, or `BUSY_WAIT_S` on one
            that is in use.
        Exception: any other error of `fit`, at once.
    """
    lost = in_a_row = 0
    least = left()
    asked: float | None = None  # start of the wait for resources
    short: float | None = None  # start of the time in which the cluster is too small
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
            f"the cluster is too small for the workers, and no node was added in {now - short:.0f} s"
        ) from error
    if now - asked >= BUSY_WAIT_S:
        raise WorkersLost(f"all resources of the cluster were in use for {now - asked:.0f} s") from error


def _line(error: BaseException) -> str:
    part = _parts(error)[0]
    inner = getattr(part, "health_check_failure", part)
    lines = str(inner).strip().splitlines()
    return f"{type(inner).__name__}: {lines[0] if lines else 'no message'}"


def wait_and_broadcast(comm: ProcessGroup, wait: Callable[[], str]) -> str:
    """Run `wait` on the first worker; return its result everywhere.

    It may take as long as another trial needs for a stage, which is more than the timeout of a collective. So the first
    worker waits in a thread, and broadcasts at intervals that it still waits.
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
