"""What lets an interrupted phase go on: its whole state at a step, written beside the training.

A step depends on nothing but the recipe, the seed and the step (`schedule.py`), so weights, optimizer, history and the best
weights so far are the whole state, and a phase that goes on from them ends with the same bits as one that was never
interrupted on the same kind of machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from trainables.comm import Comm

KEPT = 2  # the newest may be damaged by what interrupted the phase
Tensors = Mapping[str, torch.Tensor]


class Stopped(RuntimeError):
    """The stage was asked to give way; its state is on disk, and it goes on from there."""


class Checkpoints:
    """The checkpoints of one phase in a folder of its own; all workers call it at the same steps, the first one writes."""

    def __init__(
        self, folder: Path | None, comm: Comm, every: float = 60.0, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """`folder` None: nothing is ever written. `every`: seconds between two checkpoints. `stop`: whether to give way."""
        self.folder, self.comm, self.every, self.stop = folder, comm, every, stop
        self.written = time.monotonic()
        self.writer: threading.Thread | None = None
        self.trouble: OSError | None = None

    def look(self, step: int, state: Callable[[], tuple[Tensors, Mapping[str, Any]]]) -> None:
        """Writes the state after `step` when it is time, or when the stage has to give way.

        Raises:
            Stopped: the stage gives way, and its state is written.
            OSError: the checkpoint before this one could not be written.
        """
        if self.folder is None:
            return
        stop = self.stop()
        due, stop = self.comm.from_first((stop or time.monotonic() - self.written >= self.every, stop))
        if due and self.comm.is_first:
            self.wait()
            tensors, values = state()
            copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
            self.writer = threading.Thread(target=self._write, args=(step, copies, dict(values)))
            self.writer.start()
            self.written = time.monotonic()
        if stop:
            self.wait()
            raise Stopped(f"gave way after step {step}")

    def wait(self) -> None:
        """Waits for the checkpoint that is being written; raises its OSError."""
        if self.writer:
            self.writer.join()
        if self.trouble:
            raise self.trouble

    def latest(self) -> tuple[int, dict[str, torch.Tensor], dict[str, Any]] | None:
        """Step, tensors and values of the newest intact checkpoint, the same on every worker; None without one."""
        if self.folder is None:
            return None
        name = self.comm.from_first(next((p.name for p in reversed(self._files()) if _intact(p)), None))
        if name is None:
            return None
        with safe_open(self.folder / name, framework="pt") as file:
            values = json.loads(file.metadata()["values"])
            return int(name.partition("-")[0]), {key: file.get_tensor(key) for key in file.keys()}, values  # noqa: SIM118

    def clear(self) -> None:
        """Removes what the finished phase no longer needs."""
        if self.folder is not None and self.comm.is_first:
            self.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("*.safetensors")) if self.folder else []

    def _write(self, step: int, tensors: Tensors, values: dict[str, Any]) -> None:
        """One file, named by its step and its own hash, so that a torn one is seen; visible by its rename."""
        assert self.folder is not None
        part = self.folder / f"{os.getpid()}.part"
        try:
            content = save(dict(tensors), {"values": json.dumps(values)})
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.folder / f"{step:09d}-{hashlib.sha256(content).hexdigest()}.safetensors")
            for old in self._files()[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            self.trouble = error
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _intact(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == path.stem.partition("-")[2]
    except OSError:
        return False


def pack(net: torch.nn.Module, optimizer: torch.optim.Optimizer, best: Tensors | None) -> dict[str, torch.Tensor]:
    """Weights, optimizer and best weights as one flat mapping."""
    found = {f"net.{name}": value for name, value in net.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        found |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    return found | {f"best.{name}": value for name, value in (best or {}).items()}


def unpack(tensors: Tensors, net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor] | None:
    """Puts weights and optimizer back, and returns the best weights so far, None where there are none."""

    def part(name: str) -> dict[str, torch.Tensor]:
        return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}

    net.load_state_dict(part("net"))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in part("optimizer").items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return part("best") or None
