"""Special tokens and segments, inferred from a tokenizer's output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from trainables.errors import BadInput

Tokenizer: TypeAlias = Any  # a fast tokenizer of transformers; naming its class would cost seconds at every start

SENTINELS = ("<extra_id_0>", "\u2581<extra_id_0>")  # T5's name of the token, and mT5's


@dataclass(frozen=True)
class Layout:
    """Special tokens around one text (prefix, suffix), between two (middle).

    Attributes:
        segments: whether the second text and the special tokens after it are segment 1, and all before segment 0, as in BERT;
            else there is one segment only.
    """

    prefix: tuple[int, ...]
    middle: tuple[int, ...]
    suffix: tuple[int, ...]
    segments: bool = False

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Layout:
        """Infer the layout from the tokenizer's own output.

        Heads use the first position. If a tokenizer has no special token there, such as T5's (`A </s>`), one is added:
        `<extra_id_0> A </s>`. This is the sentinel of the first gap of every pretraining text (Xue et al. 2021): it is in the
        vocabulary, its state was trained to collect its context, and no text contains it.

        Raises:
            BadInput: pairs and single texts have different special tokens, or there is no token to add.
        """
        probe = tokenizer("a", "a", return_token_type_ids=True)
        ids, sides = probe["input_ids"], probe.sequence_ids(0)
        if 0 not in sides or 1 not in sides:
            raise BadInput("the tokenizer yields no token for the letter a, so its special tokens cannot be found")
        first = [i for i, side in enumerate(sides) if side == 0]
        second = [i for i, side in enumerate(sides) if side == 1]
        prefix, middle, suffix = ids[: first[0]], ids[first[-1] + 1 : second[0]], ids[second[-1] + 1 :]
        layout = cls(tuple(prefix), tuple(middle), tuple(suffix), _has_segments(probe["token_type_ids"], second[0]))
        single = tokenizer("a")["input_ids"]
        if single != layout.single(ids[first[0] : first[-1] + 1]):
            raise BadInput(f"the tokenizer frames one text as {single} but two texts as {ids}: not supported")
        if prefix:
            return layout
        return cls((_sentence_token(tokenizer),), layout.middle, layout.suffix, layout.segments)

    @property
    def single_specials(self) -> int:
        return len(self.prefix) + len(self.suffix)

    @property
    def pair_specials(self) -> int:
        return self.single_specials + len(self.middle)

    def single(self, ids: Iterable[int]) -> list[int]:
        return [*self.prefix, *ids, *self.suffix]

    def pair(self, first: Iterable[int], second: Iterable[int]) -> list[int]:
        return [*self.prefix, *first, *self.middle, *second, *self.suffix]


def _has_segments(types: Sequence[int], second: int) -> bool:
    """Return whether a pair's second text is segment 1.

    Raises:
        BadInput: the segment ids change in any other way.
    """
    if not any(types):
        return False
    if list(types) == [0] * second + [1] * (len(types) - second):
        return True
    raise BadInput(f"the tokenizer gives the segments {list(types)} to two texts: not supported")


def _sentence_token(tokenizer: Tokenizer) -> int:
    """Return the sentinel's id.

    The pretrained vocabulary is searched before added tokens.

    Raises:
        BadInput: there is none.
    """
    for vocabulary in (tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False), tokenizer.get_vocab()):
        for name in SENTINELS:
            if name in vocabulary:
                return int(vocabulary[name])
    raise BadInput(
        f"the tokenizer has no special token before a text, which sentence vectors need, and no {SENTINELS[0]}"
    )
