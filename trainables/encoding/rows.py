"""Building blocks for formats: pieces, special tokens and growing arrays.

The tokenizer only splits text into pieces; special tokens, truncation and windows are applied here and in the formats, so that
they are the same for every fast tokenizer. The second text of a pair is segment 1 if the tokenizer has segments.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

import numpy as np

from trainables.encoding.encoded import Encoded
from trainables.encoding.special_tokens import Layout, Tokenizer
from trainables.encoding.windowing import longest_first
from trainables.errors import BadInput
from trainables.examples import Example, Labelled, Rated
from trainables.recipe import BarePrefix

E = TypeVar("E", bound=Example)

BLOCK = 4096  # examples tokenised at once: large enough for the tokenizer's threads, small enough to hold as lists


@dataclass(frozen=True, kw_only=True)
class Framing:
    """Options of encoding.

    Attributes:
        max_length: maximum tokens of a row, special tokens included.
        doc_stride: tokens between the starts of two windows over a context (as in BERT, not their overlap).
        max_query: maximum tokens of a question.
        labels: names in the order of their ids, for examples with label names.
        bare_prefix: treatment of a first piece that is only a word boundary.
    """

    tokenizer: Tokenizer
    max_length: int
    doc_stride: int = 128
    max_query: int = 64
    labels: Sequence[str] = ()
    bare_prefix: BarePrefix = "label"

    @cached_property
    def layout(self) -> Layout:
        """Special tokens around one text, and between two."""
        return Layout.of(self.tokenizer)

    def check_length(self, kind: str, specials: int, reserved: int = 1) -> None:
        """Check that a row can contain text.

        Raises:
            BadInput: specials, `reserved` tokens of the first text and one more do not fit.
        """
        if self.max_length < specials + reserved + 1 or self.doc_stride < 1 or self.max_query < 1:
            raise BadInput(
                f"max_length {self.max_length} is too short for {kind}: {specials} special tokens, {reserved} reserved for "
                f"the first text and at least 1 more are needed (doc_stride {self.doc_stride}, max_query {self.max_query}: "
                "at least 1)"
            )


class Rows:
    """Flat arrays that grow row by row.

    They are machine integers, since a corpus as Python lists would not fit in memory.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.tokens, self.starts, self.example, self.second = array("i"), array("q", [0]), array("i"), array("i")

    def single(self, ids: Sequence[int], example: int) -> None:
        """Add a row of one text, which is an item."""
        row = self.layout.single(ids)
        self._add(row, len(row), example)

    def pair(self, first: Sequence[int], second: Sequence[int], example: int | None) -> None:
        """Add a row of two texts.

        `example` is given if the row begins an item.
        """
        row = self.layout.pair(first, second)
        self._add(row, len(row) - len(second) - len(self.layout.suffix), example)

    def _add(self, row: Sequence[int], second: int, example: int | None) -> None:
        self.tokens.extend(row)
        self.starts.append(len(self.tokens))
        self.second.append(second)
        if example is not None:
            self.example.append(example)

    def encoded(
        self,
        kind: str,
        labels: np.ndarray,
        num_examples: int,
        rows_per_item: int = 1,
        extra: Mapping[str, np.ndarray] | None = None,
    ) -> Encoded:
        """Return the arrays as they are now."""
        tokens, starts = np.array(self.tokens, np.int32), np.array(self.starts, np.int64)
        example = np.array(self.example, np.int32)
        second = np.array(self.second, np.int32) if self.layout.segments else None
        return Encoded(kind, tokens, starts, labels, rows_per_item, example, num_examples, extra or {}, second)


def encode_sentences(kind: str, examples: Sequence[Labelled | Rated], labels: np.ndarray, framing: Framing) -> Encoded:
    """Encode one row for each text or pair.

    The longer text of a pair is truncated at its end.
    """
    layout = framing.layout
    framing.check_length(kind, layout.pair_specials)
    rows = Rows(layout)
    for index, example, pieces in tokenised(examples, framing.tokenizer, lambda e: (e.first, e.second)):
        first = pieces[example.first]
        if example.second is None:
            rows.single(first[: framing.max_length - layout.single_specials], index)
        else:
            second = pieces[example.second]
            keep_first, keep_second = longest_first(len(first), len(second), framing.max_length - layout.pair_specials)
            rows.pair(first[:keep_first], second[:keep_second], index)
    return rows.encoded(kind, labels, len(examples))


def all_of(cls: type[E], examples: Sequence[Example]) -> Sequence[E]:
    """Check that all examples are of one class; TypeError otherwise."""
    for example in examples:
        if not isinstance(example, cls):
            raise TypeError(f"expected {cls.__name__}, got {type(example).__name__}")
    return cast("Sequence[E]", examples)


def in_blocks(examples: Sequence[E]) -> Iterator[tuple[int, Sequence[E]]]:
    """Yield (index of the first, examples) of blocks.

    A block is tokenised in one call.
    """
    for start in range(0, len(examples), BLOCK):
        yield start, examples[start : start + BLOCK]


def tokenised(
    examples: Sequence[E], tokenizer: Tokenizer, texts: Callable[[E], tuple[str | None, ...]]
) -> Iterator[tuple[int, E, dict[str, list[int]]]]:
    """Yield (index, example, text -> pieces) for each example."""
    for start, block in in_blocks(examples):
        pieces = pieces_of(tokenizer, (text for e in block for text in texts(e) if text is not None))
        for index, example in enumerate(block, start):
            yield index, example, pieces


def pieces_of(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, list[int]]:
    """Tokenise each distinct text, without specials: text -> token ids."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    ids = tokenizer(distinct, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    return dict(zip(distinct, ids, strict=True))


def pieces_with_offsets(
    tokenizer: Tokenizer, texts: Iterable[str]
) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """Tokenise each distinct text, without specials, with offsets.

    A token's end reaches over the rest of its last character, where the tokenizer deletes that or joins it to the token.

    Returns:
        text -> token ids, first characters, ends (exclusive).
    """
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    options = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
    batch = tokenizer(distinct, return_offsets_mapping=True, **options)
    return {
        text: (ids, [start for start, _ in offsets], _whole_ends(text, offsets))
        for text, ids, offsets in zip(distinct, batch["input_ids"], batch["offset_mapping"], strict=True)
    }


def _whole_ends(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Return the ends of tokens, none of them inside a character as it is read.

    "e" and an accent are one character for a tokenizer that composes them (NFC, NFKC), and "e" for one that strips accents:
    both give the offsets of the "e" alone. So an end moves over characters in no token, if they are combining marks or NFKC
    joins them to what is before them (Hangul jamo, half-width voiced kana).
    """
    covered = bytearray(len(text))
    for start, end in offsets:
        covered[start:end] = b"\1" * (end - start)

    def whole(end: int) -> int:
        last = end - 1
        while end < len(text) and not covered[end]:
            joined = unicodedata.normalize("NFKC", text[last : end + 1])
            if unicodedata.category(text[end])[0] != "M" and len(joined) > 1:
                break
            end += 1
        return end

    return [whole(end) if end > start else end for start, end in offsets]


def unknown_piece(tokenizer: Tokenizer) -> int:
    """Return the id that replaces a word without pieces.

    Raises:
        BadInput: the tokenizer has none.
    """
    if tokenizer.unk_token_id is None:
        raise BadInput("this tokenizer has no unknown token for a word that it cannot split into pieces")
    return int(tokenizer.unk_token_id)
