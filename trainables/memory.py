"""Memory: how much a trial needs, how much a process takes, and how it gives back what it no longer uses."""

from __future__ import annotations

import ctypes
import gc
import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

GB = 1e9
# What a trial's process holds beside its encoder: interpreter and libraries, encoded rows, and what the allocator keeps
# (`benchmarks.memory`: 0.6 + 0.3 GB).
LIBRARIES_BYTES = 900_000_000
# What the forward pass may leave behind for the backward pass; a larger encoder may use a share of its own size.
ACTIVATION_BYTES, ACTIVATION_FRAC = 400_000_000, 0.5
MAX_TOKENS, MIN_TOKENS = {"cpu": 4096, "cuda": 65_536}, 64
MASKED_FRAC = 0.15  # of the positions, whose logits masked LM holds about three times: logits, log-softmax, gradient
FLOAT = 4  # bytes; training is in float32, its moments too
# Larger blocks are mapped on their own, and so go back to the system when they are freed.
MMAP_THRESHOLD = 4 << 20
_M_MMAP_THRESHOLD = -3  # of <malloc.h>


def parameter_bytes(config: Any) -> int:
    """Count the bytes of the weights of a transformers configuration, tied ones once, without making them.

    The embedding and linear maps of its layers, which all supported architectures share; a few vectors are left out.
    """
    width, vocabulary = config.hidden_size, config.vocab_size
    inner = getattr(config, "intermediate_size", 0) or getattr(config, "d_ff", 4 * width)
    heads = config.num_attention_heads * getattr(config, "d_kv", width // config.num_attention_heads)
    positions = getattr(config, "max_position_embeddings", 0) or 0
    gated = 3 if getattr(config, "is_gated_act", False) else 2
    layer = 4 * width * heads + gated * width * inner
    return FLOAT * (width * (vocabulary + positions + 2 * width) + config.num_hidden_layers * layer)


def activation_budget(config: Any) -> float:
    """Bytes that one pass through the model may leave behind for its backward pass."""
    return max(ACTIVATION_BYTES, ACTIVATION_FRAC * parameter_bytes(config))


def tokens_at_once(config: Any, device: str, frac: float = 1.0, *, text: bool = False) -> int:
    """Choose how many padded tokens go through the model at once while it is trained.

    A fact about machines, never part of a recipe: larger batches go through in pieces whose gradients are added.

    Args:
        config: of the encoder, as transformers has it.
        device: "cpu" or "cuda".
        frac: share of the usual number, for a trial that ran out of memory before.
        text: masked LM, whose logits over the vocabulary count too.
    """
    most = MAX_TOKENS[device]
    if device == "cpu":
        inner = getattr(config, "intermediate_size", 0) or getattr(config, "d_ff", 4 * config.hidden_size)
        # Inputs of the linear maps, attention and norms, the dropout masks; of the inner layer before and after its function.
        each = FLOAT * config.num_hidden_layers * (12 * config.hidden_size + 3 * inner)
        each += FLOAT * 3 * MASKED_FRAC * config.vocab_size if text else 0
        most = min(most, int(activation_budget(config) / each))
    return max(MIN_TOKENS, int(frac * most))


def trial_bytes(config: Any, device: str = "cpu") -> int:
    """Estimate the resident memory of one worker of a trial, in bytes.

    On a CPU: weights, gradients and Adam's two moments, what a pass leaves behind, and the libraries. With a GPU those are in
    its own memory, and the process holds weights while they are read and written.
    """
    weights = parameter_bytes(config)
    if device == "cuda":
        return math.ceil(3 * LIBRARIES_BYTES + 4 * weights)
    return math.ceil(LIBRARIES_BYTES + 4 * weights + activation_budget(config))


def keep_heap_small() -> None:
    """Make the allocator give large blocks back when they are freed; without effect where it is not glibc's."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD)


def release() -> None:
    """Free what nothing refers to, and give the pages back to the system."""
    gc.collect()
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
