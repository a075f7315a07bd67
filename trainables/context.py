"""The run-time arguments of every stage, beside its config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainables.sources import Source
from trainables.training.checkpoint import Checkpoints
from trainables.training.loop import Device, ProgressCallback


@dataclass(frozen=True)
class Context:
    """Where a stage runs; nothing here is hashed.

    Attributes:
        source: source of rows.
        cache: folder of encoded rows.
        machine: device and process group.
        on_progress: progress callback.
        checkpoints: state of an unfinished training; None = not saved, an interrupted stage starts again.
        synonyms: file of synonyms; "" = found in the source.
    """

    source: Source
    cache: Path
    machine: Device
    on_progress: ProgressCallback
    checkpoints: Checkpoints | None = None
    synonyms: str = ""


def encoder_folder(init: Path) -> Path:
    """Return the Hugging Face folder inside a stage's folder, or the folder itself."""
    return init / "encoder" if (init / "encoder").is_dir() else init
