"""What every stage is handed beside its config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainables.sources import Source
from trainables.training.checkpoint import Checkpoints
from trainables.training.loop import Device

# Hears (step, steps, mean loss since the last call, tokens so far): once at step 0, then as a stage goes on. What is a step
# is the stage's own: of the optimiser where it trains, a language where it scores; there the loss is nan and tokens are 0.
Watch = Callable[[int, int, float, int], None]


@dataclass(frozen=True)
class Context:
    """Where a stage runs: the source of rows, the cache of encoded rows, the machine, who watches the progress, where its
    state is kept while it trains (None: nowhere, an interrupted stage starts anew), and the file of synonyms ("": found in
    the source)."""

    source: Source
    cache: Path
    machine: Device
    watch: Watch
    checkpoints: Checkpoints | None = None
    synonyms: str = ""


def encoder_folder(init: Path) -> Path:
    """The Hugging Face folder inside a stage's folder, or the folder itself."""
    return init / "encoder" if (init / "encoder").is_dir() else init
