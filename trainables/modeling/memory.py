"""Memory: how much a trial needs, how much a process takes, and how it gives back what it no longer uses."""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What a trial's process holds beside its encoder: interpreter, libraries and rows (`benchmarks.memory`); for each entry of its
# vocabulary a tokenizer of XLM-R's kind takes 1.2 kB. What the allocator keeps comes on top of it all.
LIBRARIES_BYTES, TOKENIZER_BYTES = 700_000_000, 1200
SLACK = 1.15
SMALL_BYTES = 1_000_000_000  # a process of this size does not give memory back while it runs
# Of a large vocabulary the texts of a phase use some tens of thousands of rows; the longest rows are questions.
ROWS_IN_USE, LONG_ROW = 60_000, 384
# What the forward pass may leave behind for the backward pass; a larger encoder may use a share of its own size.
ACTIVATION_BYTES, ACTIVATION_FRAC = 400_000_000, 0.5
MAX_TOKENS, MIN_TOKENS = {"cpu": 4096, "cuda": 65_536}, 64
MASKED_FRAC = 0.15  # of the positions, whose logits masked LM holds about three times: logits, log-softmax, gradient
FLOAT = 4  # bytes; training is in float32, its moments too


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of an encoder that its memory depends on.

    Attributes:
        layers, width: how many layers, and how wide the vectors between them are.
        inner: width of the layers' feed-forward part; `gated`: its first map is there twice.
        heads, attended: of attention, and the width of their queries, keys and values together.
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
        """Read the sizes from a `config.json` of transformers; KeyError where one is missing."""

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
        """Bytes of the weights but for the word embedding; biases, norms and task heads, less than one percent, are left out."""
        layer = self.width * (4 * self.attended + (3 if self.gated else 2) * self.inner)
        return FLOAT * (self.width * (self.positions + 2 * self.width) + self.layers * layer)

    @property
    def _row_bytes(self) -> int:
        return FLOAT * self.width

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all weights, tied ones once."""
        return self.layer_bytes + self._row_bytes * self.vocabulary

    def tokens_at_once(self, device: str, length: int, frac: float = 1.0, *, text: bool = False) -> int:
        """Choose how many padded tokens go through the model at once while it is trained.

        A fact about machines, never part of a recipe: larger batches go through in pieces whose gradients are added.

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
        """What one token leaves behind for the backward pass."""
        # Inputs of the linear maps, attention and norms, dropout masks; the inner layer before and after its function;
        # with dropout, attention keeps about three numbers for each head and position that is attended to.
        each = 12 * self.width + 3 * self.inner + 3 * self.heads * length
        return FLOAT * (self.layers * each + (int(3 * MASKED_FRAC * self.vocabulary) if text else 0))

    def trial_bytes(self, device: str = "cpu", *, text: bool = False) -> int:
        """Estimate the resident memory of one worker of a trial.

        On a CPU: weights, gradients and Adam's two moments, what a pass leaves behind, and the libraries. Of the embedding
        only the rows in use are trained, unless masked LM (`text`) needs them all. With a GPU all of that is in its own
        memory, and the process holds a copy of the state while it is written.
        """
        if device == "cuda":
            return 3 * LIBRARIES_BYTES + 4 * self.parameter_bytes
        trained = (
            self.parameter_bytes if text else self.layer_bytes + self._row_bytes * min(self.vocabulary, ROWS_IN_USE)
        )
        passes = self.tokens_at_once(device, LONG_ROW) * self._token_bytes(LONG_ROW, text=text)
        table = 0 if text else self._row_bytes * self.vocabulary  # from which the rows in use are taken
        return int(SLACK * (LIBRARIES_BYTES + TOKENIZER_BYTES * self.vocabulary + table + 4 * trained + passes))


def release() -> None:
    """Free what nothing refers to, and give the pages back to the system.

    A process that holds little more than its libraries is left alone, since it takes some 0.2 s.
    """
    if resident() > SMALL_BYTES:
        gc.collect()
        trim_heap()


def trim_heap() -> None:
    """Give the free pages between blocks in use back to the system, where its allocator is glibc's.

    They add up to half a gigabyte over some hundred batches of different lengths. An allocator that returns every block at
    once would make training a fifth slower; small processes are left alone.
    """
    if resident() > SMALL_BYTES:
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident() -> int:
    """Bytes of this process in memory now; 0 where the system does not say."""
    return _status("VmRSS")


def peak() -> int:
    """The most bytes of this process in memory since the last `reset_peak`; 0 where the system does not say."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Begin a new measurement of `peak`; where the system does not allow it, peaks are those of the whole process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    with suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        return 1024 * int(found.group(1)) if found else 0
    return 0
