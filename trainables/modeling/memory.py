"""Memory of trials: estimates, measurements, and release of unused memory."""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Memory of a trial's process beside its encoder: interpreter, libraries and rows (`benchmarks.memory`), and 1.2 kB for each
# entry of the vocabulary of a tokenizer like XLM-R's. SLACK is for memory that the allocator keeps.
LIBRARIES_BYTES, TOKENIZER_BYTES = 700_000_000, 1200
SLACK = 1.15
SMALL_BYTES = 1_000_000_000  # processes up to this size do not release memory while they run
# The texts of a phase use some tens of thousands of a large vocabulary's rows; the longest rows are those of QA.
ROWS_IN_USE, LONG_ROW = 60_000, 384
# Maximum size of the activations kept for the backward pass; a larger encoder may use a share of its own size.
ACTIVATION_BYTES, ACTIVATION_FRAC = 400_000_000, 0.5
MAX_TOKENS, MIN_TOKENS = {"cpu": 4096, "cuda": 65_536}, 64
MASKED_FRAC = (
    0.15  # of the positions; masked LM keeps about three arrays of their logits: logits, log-softmax, gradient
)
FLOAT = 4  # bytes; weights and moments are float32


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of an encoder that determine its memory.

    Attributes:
        layers, width: number of layers, and width of the hidden states.
        inner: width of the layers' feed-forward part; with `gated` its first linear map exists twice.
        heads, attended: number of attention heads, and the total width of their queries, keys or values.
        vocabulary, positions: rows of the embeddings.
    """

    layers: int
    width: int
    inner: int
    heads: int
    attended: int
    vocabulary: int
    positions: int = 512
    gated: bool = False

    @staticmethod
    def of(config: Mapping[str, Any]) -> Shape:
        """Read the sizes from a `config.json` of transformers.

        Raises:
            KeyError: one is missing.
        """

        def value(*names: str) -> int:
            return int(config[next((name for name in names if name in config), names[0])])

        width, heads = value("hidden_size", "d_model"), value("num_attention_heads", "num_heads")
        return Shape(
            layers=value("num_hidden_layers", "num_layers"),
            width=width,
            inner=value("intermediate_size", "d_ff"),
            heads=heads,
            attended=heads * int(config.get("d_kv") or width // heads),
            vocabulary=value("vocab_size"),
            positions=int(config.get("max_position_embeddings") or 0),
            gated="gated" in str(config.get("feed_forward_proj", "")),
        )

    @property
    def layer_bytes(self) -> int:
        """Bytes of the weights without the word embedding.

        Biases, norms and task heads are left out: they are less than one percent.
        """
        layer = self.width * (4 * self.attended + (3 if self.gated else 2) * self.inner)
        return FLOAT * (self.width * (self.positions + 2 * self.width) + self.layers * layer)

    @property
    def _row_bytes(self) -> int:
        return FLOAT * self.width

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all weights; tied weights count once."""
        return self.layer_bytes + self._row_bytes * self.vocabulary

    def tokens_at_once(self, device: str, length: int, frac: float = 1.0, *, text: bool = False) -> int:
        """Choose the padded tokens in the model at once.

        It depends on the machine and is never part of a recipe: larger batches are split, and their gradients accumulated.

        Args:
            device: "cpu" or "cuda".
            length: tokens of the longest row.
            frac: share of the usual number, for a trial that ran out of memory before.
            text: masked LM, whose logits over the vocabulary count too.
        """
        most = MAX_TOKENS[device]
        if device == "cpu":
            budget = max(ACTIVATION_BYTES, int(ACTIVATION_FRAC * self.layer_bytes))
            most = min(most, budget // self._token_bytes(length, text=text))
        return max(MIN_TOKENS, int(frac * most))

    def _token_bytes(self, length: int, *, text: bool) -> int:
        """Estimate the bytes of a token's activations for the backward pass."""
        # Inputs of the linear maps, attention and norms, dropout masks; the inner layer before and after its activation;
        # with dropout, attention keeps about three numbers for each head and attended position.
        each = 12 * self.width + 3 * self.inner + 3 * self.heads * length
        return FLOAT * (self.layers * each + (int(3 * MASKED_FRAC * self.vocabulary) if text else 0))

    def trial_bytes(self, device: str = "cpu", *, text: bool = False) -> int:
        """Estimate the resident memory of one worker, in bytes.

        On a CPU: weights, gradients, Adam's two moments, activations and libraries. Only the used rows of the embedding are
        trained, unless masked LM (`text`) needs them all. With a GPU all of that is in its own memory, and the process has a
        copy of the state while it is written.
        """
        if device == "cuda":
            return 3 * LIBRARIES_BYTES + 4 * self.parameter_bytes
        trained = (
            self.parameter_bytes if text else self.layer_bytes + self._row_bytes * min(self.vocabulary, ROWS_IN_USE)
        )
        passes = self.tokens_at_once(device, LONG_ROW) * self._token_bytes(LONG_ROW, text=text)
        table = 0 if text else self._row_bytes * self.vocabulary  # the whole table, beside the rows in use
        return int(SLACK * (LIBRARIES_BYTES + TOKENIZER_BYTES * self.vocabulary + table + 4 * trained + passes))


def release() -> None:
    """Collect garbage and return free pages to the system.

    Small processes are skipped, since it takes some 0.2 s.
    """
    if resident() > SMALL_BYTES:
        gc.collect()
        trim_heap()


def trim_heap() -> None:
    """Return free pages between used blocks to the system.

    It needs glibc's allocator.

    They add up to half a gigabyte over some hundred batches of different lengths. An allocator that returns every block at
    once would make training a fifth slower. Small processes are skipped.
    """
    if resident() > SMALL_BYTES:
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident() -> int:
    """Return this process's resident memory in bytes; 0 if unknown."""
    return _status("VmRSS")


def peak() -> int:
    """Return the peak of `resident` since the last `reset_peak`; 0 if unknown."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Start a new measurement of `peak`.

    If the system refuses, peaks are those of the whole process.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    with suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        return 1024 * int(found.group(1)) if found else 0
    return 0
