"""Collectives for training, which also work in a single process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist


class ProcessGroup:
    """Group of workers, of one worker outside torch.distributed."""

    def __init__(self) -> None:
        self.on = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        self.rank = dist.get_rank() if self.on else 0
        self.world = dist.get_world_size() if self.on else 1

    @property
    def is_first(self) -> bool:
        """Whether this is the worker that writes."""
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum the gradients of all workers in place.

        A worker without a share of the batch adds zeros.
        """
        if not self.on:
            return
        handles = []
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            handles.append(dist.all_reduce(parameter.grad, async_op=True))
        for handle in handles:
            handle.wait()

    def sum_number(self, value: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over workers."""
        if self.on:
            dist.all_reduce(value)
        return value

    def gather(self, value: Any) -> list[Any]:
        """Return every worker's object, in rank order, on every worker."""
        if not self.on:
            return [value]
        out: list[Any] = [None] * self.world
        dist.all_gather_object(out, value)
        return out

    def from_first(self, value: Any) -> Any:
        """Return the first worker's object on every worker."""
        if not self.on:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]
