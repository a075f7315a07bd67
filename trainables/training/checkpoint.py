"""Checkpoints from which an interrupted training phase resumes.

A step depends only on the recipe, the seed and the step number (`schedule.py`), so weights, optimizer, history and the best
weights so far are the whole state, and a resumed phase ends with the same bits as an uninterrupted one on the same kind of
machine. Files are written from the tensors in place and read one tensor at a time, so that memory never contains a second
copy of the net and its optimizer.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from trainables.training.distributed import ProcessGroup

KEPT = 2  # checkpoints; the interruption may have damaged the newest
WRITING_FRAC = 0.05  # maximum share of the time spent on writing, for a state of any size
BEST = "best"  # prefix of the names of files with best weights
Tensors = Mapping[str, torch.Tensor]


class Stopped(RuntimeError):
    """Clean stop of a stage on request.

    Its state is on disk, from which it resumes.
    """


class Saved(NamedTuple):
    """Checkpoint on disk, with the best weights so far."""

    step: int
    path: Path
    values: dict[str, Any]
    best: Path | None


class Checkpoints:
    """Checkpoints of one phase, in a folder of its own.

    All workers call the methods at the same steps, and the first worker writes. Best weights are files beside the
    checkpoints. Without a folder each worker has them in a temporary one, and no checkpoint is written.
    """

    def __init__(
        self, folder: Path | None, comm: ProcessGroup, every: float = 60.0, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Open a folder of checkpoints.

        Args:
            folder: None = no checkpoints.
            every: seconds between two checkpoints.
            stop: returns whether the phase has to stop.
        """
        self.comm, self.every, self.stop = comm, every, stop
        self.temporary = (
            None if folder else tempfile.TemporaryDirectory(prefix="stepstone-", ignore_cleanup_errors=True)
        )
        self.folder = folder or Path(self.temporary.name if self.temporary else "")
        self.best: Path | None = None
        self.written = time.monotonic()

    @property
    def _writes(self) -> bool:
        return self.comm.is_first or self.temporary is not None

    def maybe_save(
        self, step: int, net: torch.nn.Module, optimizer: torch.optim.Optimizer, values: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Write the state after `step` if due or before a stop.

        Raises:
            Stopped: the stage has to stop, and its state is written.
            OSError: the checkpoint cannot be written.
        """
        if self.temporary:
            return
        stop = self.stop()
        due, stop = self.comm.from_first((stop or time.monotonic() - self.written >= self.every, stop))
        if due:
            self.save(step, net, optimizer, values())
        if stop:
            raise Stopped(f"stopped cleanly after step {step}")

    def save(
        self, step: int, net: torch.nn.Module, optimizer: torch.optim.Optimizer, values: Mapping[str, Any]
    ) -> None:
        """Write the state after `step` now, and remove older checkpoints.

        Raises:
            OSError: the checkpoint cannot be written.
        """
        if self.temporary or not self.comm.is_first:
            return
        began = time.monotonic()
        tensors = {f"net.{name}": value for name, value in untied(net).items()}
        tensors |= {f"optimizer.{name}": value for name, value in _moments(optimizer)}
        best = self.best.name if self.best else None
        self._write(f"{step:09d}", tensors, {"values": json.dumps(values), "best": json.dumps(best)})
        self.written = time.monotonic()
        self.every = max(self.every, (self.written - began) / WRITING_FRAC)
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)
        self._remove_unused()

    def keep_best(self, net: torch.nn.Module) -> None:
        """Write the net's weights as the best so far.

        Raises:
            OSError: the file cannot be written.
        """
        if self._writes:
            self.best = self._write(BEST, untied(net), {})
            self._remove_unused()

    def load_best(self, net: torch.nn.Module) -> None:
        """Load the best weights into the net, on every worker.

        It returns when all have read them: the first worker may remove the file next.
        """
        if not self.temporary:
            name = self.comm.from_first(self.best.name if self.best else None)
            self.best = self.folder / name if name else None
        if self.best:
            copy_into(untied(net), self.best)
        if not self.temporary:
            self.comm.gather(None)

    def latest(self) -> Saved | None:
        """Find the newest intact checkpoint, the same on every worker."""
        if self.temporary:
            return None
        name = self.comm.from_first(next((p.name for p in reversed(self._files()) if self._is_whole(p)), None))
        if name is None:
            return None
        path = self.folder / name
        with safe_open(path, framework="pt") as file:
            values = json.loads(file.metadata()["values"])
        return Saved(int(name.partition("-")[0]), path, values, _best_of(path))

    def restore(self, saved: Saved, net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Restore weights, optimizer and best weights from a checkpoint."""
        copy_into(untied(net), saved.path, "net.")
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        with safe_open(saved.path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith("optimizer.")]  # noqa: SIM118
        for name in names:
            _, index, key = name.split(".", 2)
            parameter = trained[int(index)]
            # A clone, since a tensor of the file keeps its pages mapped; Adam expects its step count on the CPU unless fused.
            value = _read(saved.path, name).clone()
            device = parameter.device if key != "step" or optimizer.defaults.get("fused") else value.device
            optimizer.state[parameter][key] = value.to(device)
        self.best = saved.best

    def clear(self) -> None:
        """Remove the checkpoints of a finished phase."""
        if self.temporary is None and self.comm.is_first:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        """List the checkpoints, the oldest first."""
        return sorted(path for path in self.folder.glob("*.safetensors") if not path.name.startswith(BEST))

    def _remove_unused(self) -> None:
        """Remove best weights that no checkpoint needs."""
        used = {self.best, *(_best_of(path) for path in self._files())}
        for path in self.folder.glob(f"{BEST}-*.safetensors"):
            if path not in used:
                path.unlink(missing_ok=True)

    def _is_whole(self, path: Path) -> bool:
        if not _intact(path):
            return False
        best = _best_of(path)
        return best is None or _intact(best)

    def _write(self, name: str, tensors: Tensors, metadata: dict[str, str]) -> Path:
        """Write one file atomically.

        Its name contains its hash, so that damage is detected.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{os.getpid()}.part"
        try:
            # On a CPU these are the net's own tensors, which are written without a copy.
            save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, part, metadata)
            with open(part, "rb") as file:
                path = self.folder / f"{name}-{hashlib.file_digest(file, 'sha256').hexdigest()}.safetensors"
                os.fsync(file.fileno())
            os.replace(part, path)
        except Exception as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise
            raise OSError(f"checkpoint {part}: {error}") from error  # safetensors has an error class of its own
        return path


def untied(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the net's weights by name, tied weights only once.

    Tied weights have the first of their names.
    """
    found: dict[str, torch.Tensor] = {}
    places: set[tuple[int, torch.Size]] = set()
    for name, value in net.state_dict().items():
        place = (value.data_ptr(), value.shape)
        if value.numel() == 0 or place not in places:
            found[name] = value
        places.add(place)
    return found


def copy_into(tensors: Tensors, path: Path, prefix: str = "") -> None:
    """Overwrite tensors from a safetensors file, one at a time."""
    with torch.no_grad():
        for name, value in tensors.items():
            value.copy_(_read(path, prefix + name))


def _read(path: Path, name: str) -> torch.Tensor:
    """Read one tensor.

    The file is opened for it alone, since a mapping keeps all pages that were read.
    """
    with safe_open(path, framework="pt") as file:
        return file.get_tensor(name)  # type: ignore[no-any-return]


def _moments(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield ("number of the parameter.key", tensor) of the optimizer's state."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    for index, parameter in enumerate(trained):
        for key, value in optimizer.state.get(parameter, {}).items():
            yield f"{index}.{key}", value


def _best_of(checkpoint: Path) -> Path | None:
    """Return a checkpoint's file of best weights, if any."""
    try:
        with safe_open(checkpoint, framework="pt") as file:
            name = json.loads(file.metadata()["best"])
    except Exception:  # a damaged checkpoint has none; safetensors has an error class of its own
        return None
    return checkpoint.parent / name if name else None


def _intact(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == path.stem.rpartition("-")[2]
    except OSError:
        return False
