"""Lost workers and nodes: classification, retries, and bounded waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from study.execution import worker_failures as lost
from study.execution.worker_failures import (
    BUSY_WAIT_S,
    MAX_LOST,
    NODE_WAIT_S,
    WorkersLost,
    has_no_place,
    is_lost,
    retry_on_worker_loss,
)
from trainables.errors import DataError
from trainables.training.loop import NonFiniteLoss

PEER = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4242")


def group(*failures: Exception) -> Exception:
    """Make Train's exception for failed workers."""
    from ray.train.v2.api.exceptions import WorkerGroupError

    return WorkerGroupError("workers failed", dict(enumerate(failures)))


def died() -> Exception:
    """Make Train's error for a worker whose process or node is gone."""
    from ray.exceptions import RayActorError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    return WorkerHealthCheckFailedError("A worker health check failed.", RayActorError(error_msg="the node died"))


def no_place() -> Exception:
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
    from ray.train.v2.api.exceptions import ControllerError

    return ControllerError(WorkerGroupStartupTimeoutError(2))


def hung() -> Exception:
    from ray.train.v2._internal.exceptions import WorkerHealthCheckTimeoutError

    return WorkerHealthCheckTimeoutError("no answer")  # type: ignore[no-untyped-call]


def not_started() -> Exception:
    from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError
    from ray.train.v2.api.exceptions import ControllerError

    return ControllerError(WorkerGroupStartupFailedError("a worker died while it started"))


def controller_died() -> Exception:
    from ray.exceptions import RayActorError

    return RayActorError(error_msg="the trial's controller died")


@pytest.mark.parametrize(
    "error",
    [
        lambda: group(died()),
        lambda: group(died(), PEER),
        lambda: group(PEER),  # the survivor reported before the node was declared lost
        lambda: group(hung()),
        not_started,
        controller_died,
    ],
)
def test_a_process_that_is_gone_is_a_loss(error: Callable[[], Exception]) -> None:
    assert is_lost(error()) and not has_no_place(error())


@pytest.mark.parametrize(
    "error",
    [
        lambda: group(DataError("mnli/en/train row 3: no label")),
        lambda: group(DataError("mnli/en/train row 3: no label"), PEER),
        lambda: group(PEER, NonFiniteLoss("loss is nan at step 7")),
        lambda: group(DataError("xnli/en/train row 3: label 'gloo' is unknown")),
        lambda: group(NonFiniteLoss("loss is nan (task gloo)")),
        lambda: group(MemoryError("out of memory"), died()),
        lambda: group(RuntimeError("mat1 and mat2 shapes cannot be multiplied")),
        lambda: group(OSError(28, "No space left on device")),
        lambda: ValueError("wrong"),
    ],
)
def test_a_workers_own_error_is_no_loss(error: Callable[[], Exception]) -> None:
    assert not is_lost(error())
    with pytest.raises(type(error())):
        Attempts([error()]).run()


class Attempts:
    """A trainer whose attempts fail in the given ways.

    Time passes only during attempts.
    """

    def __init__(self, errors: list[Any], *, room: bool = True, finishes: bool = False, takes: float = 60.0) -> None:
        self.errors, self.room, self.finishes, self.takes = errors, room, finishes, takes
        self.now, self.told, self.left = 0.0, [], 100  # type: float, list[int], int

    def fit(self, before: int) -> None:
        self.told.append(before)
        self.now += self.takes
        self.left -= self.finishes
        if self.errors:
            raise self.errors.pop(0)

    def run(self) -> int:
        return retry_on_worker_loss(self.fit, lambda: self.left, lambda: self.room, lambda: self.now)


def test_losses_are_counted_and_each_attempt_is_told() -> None:
    attempts = Attempts([group(died()), group(PEER)])
    assert attempts.run() == 2
    assert attempts.told == [0, 1, 2]


def test_a_trial_that_loses_its_workers_again_and_again_gives_up() -> None:
    attempts = Attempts([group(died()) for _ in range(99)])
    with pytest.raises(
        WorkersLost, match=f"lost {MAX_LOST} times in a row; the last time: RayActorError: the node died"
    ):
        attempts.run()
    assert len(attempts.told) == MAX_LOST


def test_losses_with_progress_between_them_are_not_in_a_row() -> None:
    assert Attempts([group(died()) for _ in range(3 * MAX_LOST)], finishes=True).run() == 3 * MAX_LOST


def test_a_node_that_never_comes_ends_the_wait() -> None:
    attempts = Attempts([no_place() for _ in range(10**4)], room=False)
    with pytest.raises(WorkersLost, match="cluster is too small for the workers, and no node was added in 600 s"):
        attempts.run()
    assert attempts.now == NODE_WAIT_S


def test_places_that_others_hold_are_waited_for_longer() -> None:
    assert Attempts([no_place() for _ in range(60)]).run() == 0  # an hour; not one loss
    attempts = Attempts([no_place() for _ in range(10**4)])
    with pytest.raises(WorkersLost, match="all resources of the cluster were in use"):
        attempts.run()
    assert attempts.now == BUSY_WAIT_S


class Worker:
    """The first of two workers; records what it sends to the other."""

    on, is_first = True, True

    def __init__(self) -> None:
        self.said: list[Any] = []

    def from_first(self, value: Any) -> Any:
        self.said.append(value)
        return value


def test_the_others_hear_of_a_long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost, "BROADCAST_EVERY_S", 0.02)
    worker = Worker()

    def wait() -> str:
        time.sleep(0.2)
        return "folder"

    assert lost.wait_and_broadcast(worker, wait) == "folder"  # type: ignore[arg-type]
    assert worker.said[-1] == "folder" and len(worker.said) > 2 and set(worker.said[:-1]) == {None}


def test_a_wait_that_breaks_raises_what_it_raised() -> None:
    def wait() -> str:
        raise TimeoutError("the file server does not answer")

    with pytest.raises(TimeoutError, match="file server"):
        lost.wait_and_broadcast(Worker(), wait)  # type: ignore[arg-type]
