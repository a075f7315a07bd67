"""Truncation of pairs, and windows over a long context."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def window_starts(num_tokens: int, cap: int, stride: int) -> list[int]:
    """Return the first token of each window of `cap` tokens.

    An empty context has one window. A stride larger than a window is reduced to the window, so that no token is between two.
    """
    beyond = max(0, num_tokens - cap)
    step = min(stride, cap)
    return [i * step for i in range(1 + -(-beyond // step))]


@lru_cache(maxsize=64)  # questions about one context differ little in length, so the same sizes recur
def best_window(num_tokens: int, cap: int, stride: int) -> np.ndarray:
    """Find each token's window of maximum context (Devlin et al. 2019).

    The result is int32 [num_tokens]. A window's score is the shorter of the token's left and right context plus 0.01 of the
    window's length; the first of equals wins.
    """
    tokens, step = np.arange(num_tokens), min(stride, cap)
    newest = np.minimum(tokens // step, len(window_starts(num_tokens, cap, stride)) - 1)
    found, best = np.zeros(num_tokens, np.int32), np.full(num_tokens, -np.inf)
    for back in reversed(
        range(-(-cap // step))
    ):  # a token lies in no more windows than these, however long the context
        window = newest - back
        left = tokens - window * step
        lengths = np.minimum(cap, num_tokens - window * step)
        shorter = np.minimum(left, lengths - 1 - left)
        score = np.where((window >= 0) & (shorter >= 0), shorter + 0.01 * lengths, -np.inf)
        better = score > best
        found[better], best[better] = window[better], score[better]
    return found


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Compute the lengths of two texts that fit in `room`.

    The longer one loses one token at a time; of equals the second loses one.
    """
    if first + second <= room:
        return first, second
    if second <= room // 2:
        return room - second, second
    if first <= room - room // 2:
        return first, room - first
    return room - room // 2, room // 2
