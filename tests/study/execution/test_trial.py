"""A trial's failure as one line and a traceback.

An exception, a loss that is not finite, no memory left.
"""

from __future__ import annotations

import pytest

from study.execution.trial_failure import explain
from trainables.errors import DataError
from trainables.training.loop import NonFiniteLoss

torch = pytest.importorskip("torch")


def raised(error: BaseException) -> BaseException:
    """Return the error with a traceback, as if a worker had raised it."""
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DataError("xnli/de/test row 3: no label"), "DataError: xnli/de/test row 3: no label"),
        (NonFiniteLoss("loss is nan at step 7"), "NonFiniteLoss: loss is nan at step 7"),
        (MemoryError("cannot allocate 9 GiB"), "OutOfMemory: cannot allocate 9 GiB"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
            "OutOfMemory: CUDA out of memory. Tried to allocate",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "OutOfMemory: "),
        (ValueError(), "ValueError: no message"),
    ],
)
def test_the_reason_names_the_kind_and_the_traceback_the_place(error: BaseException, reason: str) -> None:
    failure = explain(raised(error))
    assert failure.reason.startswith(reason) and failure.kind == reason.partition(":")[0]
    assert "in raised" in failure.traceback


def test_the_broken_workers_error_is_told_not_its_peers() -> None:
    class WorkerGroupError(Exception):
        worker_failures = {
            0: raised(RuntimeError("gloo/transport/tcp/pair.cc: Connection closed by peer")),
            1: raised(NonFiniteLoss("loss is inf at step 2")),
        }

    failure = explain(WorkerGroupError("Training failed due to worker errors"))
    assert failure.reason == "NonFiniteLoss: loss is inf at step 2"
    assert "Connection closed" not in failure.traceback
