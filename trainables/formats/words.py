"""Tags of pre-split words: `<s> pieces of words </s>`.

Long sentences are split into rows between words.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.encoding.encoded import NOT_SCORED, Encoded
from trainables.encoding.rows import Framing, Rows, all_of, in_blocks, pieces_of, unknown_piece
from trainables.encoding.special_tokens import Tokenizer
from trainables.errors import BadInput, DataError
from trainables.examples import Example, Utterance, Words
from trainables.formats.format import DatasetSpec, ExampleScores, Format, Targets, named, targets_by_token
from trainables.metrics.formulas import chunk_counts
from trainables.metrics.samples import COUNTS, OF_COUNTS, Values, share

if TYPE_CHECKING:
    from torch import Tensor, nn

NO_WORD = -1


class Tagging(Format):
    """Tags at first pieces of words.

    Labels int64 [T], -100 at other pieces.

    extra: "word" int32 [T], the index in its sentence of the word that begins at this token, else -1. Outputs are the
    predicted tag at every token, int64 [T]; predictions are the tags of a sentence, joined by spaces.
    """

    kind = "words"
    by_token = True
    tagged = True
    labels_declared = True
    labels_closed = True
    rules = {**OF_COUNTS, "accuracy": lambda s: share(s.total("correct"), s.total("words"))}

    def encode(self, examples: Sequence[Example], framing: Framing) -> Encoded:
        tagged = [Tagged(e.id, e.words, e.tags) for e in all_of(Words, examples)]
        return encode_words(self.kind, tagged, framing)

    def targets(self, encoded: Encoded, items: np.ndarray, places: np.ndarray, mask: np.ndarray) -> Targets:
        return targets_by_token(encoded, places, mask)

    def head(self, labels: Sequence[str], width: int, dropout: float) -> nn.Module:
        from trainables.formats.heads import TokenHead

        return TokenHead(width, len(labels), dropout)

    def loss(self, logits: Any, batch: Mapping[str, Tensor], rows_per_item: int) -> Tensor:
        from trainables.formats.heads import cross_entropy

        return cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())

    def outputs(self, logits: Any) -> Tensor:
        return logits.argmax(-1)  # type: ignore[no-any-return]

    def rename(
        self, outputs: np.ndarray, head: tuple[str, ...], own: tuple[str, ...]
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """Renumber tags, the dataset's first.

        Other tags of the head are wrong.
        """
        names = tuple(dict.fromkeys(own + head))
        return np.asarray(np.array([names.index(name) for name in head])[outputs]), names

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        """Name the columns: "correct", "words", and counts if needed.

        They are the right tags, and counts of chunks for F1.
        """
        return (*(COUNTS if {"f1", "mcc"} & set(metrics) else ()), "correct", "words")

    def score(
        self,
        d: DatasetSpec,
        language: str,
        examples: Sequence[Example],
        encoded: Encoded,
        outputs: np.ndarray,
        names: Sequence[str],
    ) -> ExampleScores:
        sentences = all_of(Words, examples)
        predicted = predict_tags(sentences, encoded, outputs)
        right = [
            sum(p == g for p, g in zip(ours, e.tags, strict=True)) for ours, e in zip(predicted, sentences, strict=True)
        ]
        values: Values = {"correct": np.array(right), "words": np.array([len(e.words) for e in sentences])}
        ours = [named(tags, names) for tags in predicted]
        if "f1" in d.metrics:
            if not names:
                raise BadInput(f"{d.name}: F1 over tags needs the names of the tags")
            values |= count_chunks([named(e.tags, names) for e in sentences], ours)
        return ExampleScores.of(examples, values, [" ".join(tags) for tags in ours])


@dataclass(frozen=True, slots=True)
class Tagged(Example):
    """Words with tag ids, and the intent id of the sentence."""

    words: tuple[str, ...]
    tags: tuple[int, ...]
    intent: int = NOT_SCORED


def encode_words(kind: str, examples: Sequence[Tagged], framing: Framing) -> Encoded:
    """Encode words, with labels at first pieces.

    The word's number is there too, and the intent at an example's first token.
    """
    layout, tokenizer = framing.layout, framing.tokenizer
    framing.check_length(kind, layout.single_specials)
    room = framing.max_length - layout.single_specials
    known: dict[str, list[int]] = {}  # a corpus has far fewer distinct words than words
    rows, labels, words = Rows(layout), array("q"), array("i")

    def add(index: int, ids: list[int], tags: list[int], places: list[int], intent: int) -> None:
        before, after = len(layout.prefix), len(layout.suffix)
        rows.single(ids, index)
        labels.extend([intent, *[NOT_SCORED] * (before - 1)] if before else [])
        labels.extend(tags + [NOT_SCORED] * after)
        words.extend([NO_WORD] * before + places + [NO_WORD] * after)

    for start, block in in_blocks(examples):
        new = pieces_of(tokenizer, (word for e in block for word in e.words if word not in known))
        known |= _without_bare_prefix(new, tokenizer) if framing.bare_prefix == "drop" else new
        for index, example in enumerate(block, start):
            if len(example.words) != len(example.tags):
                raise DataError(f"{example.id}: {len(example.words)} words but {len(example.tags)} tags")
            ids: list[int] = []
            tags: list[int] = []
            places: list[int] = []
            intent = example.intent
            for place, (word, tag) in enumerate(zip(example.words, example.tags, strict=True)):
                pieces = known[word]
                if not 0 < len(pieces) <= room:  # otherwise the word and its tag would be lost
                    pieces = [unknown_piece(tokenizer)]
                if len(ids) + len(pieces) > room:
                    add(index, ids, tags, places, intent)
                    ids, tags, places, intent = [], [], [], NOT_SCORED
                ids += pieces
                tags += [tag] + [NOT_SCORED] * (len(pieces) - 1)
                places += [place] + [NO_WORD] * (len(pieces) - 1)
            if ids:  # a sentence without words has no row, since there is nothing to score
                add(index, ids, tags, places, intent)
    extra = {"word": np.array(words, np.int32)}
    return rows.encoded(kind, np.array(labels, np.int64), len(examples), extra=extra)


def _without_bare_prefix(pieces: Mapping[str, list[int]], tokenizer: Tokenizer) -> dict[str, list[int]]:
    """Drop first pieces that are only a word boundary.

    They stay in a word without other pieces.

    Many Chinese, Japanese and Thai words have one; XTREME assigns the tag to it, XeroAlign drops it.
    """
    bare = tokenizer.convert_tokens_to_ids("\u2581")
    return {word: ids[1:] if len(ids) > 1 and ids[0] == bare else ids for word, ids in pieces.items()}


def predict_tags(examples: Sequence[Words | Utterance], encoded: Encoded, tags: np.ndarray) -> list[list[int]]:
    """Return the predicted tag id of each word, by sentence.

    Args:
        tags: int [T], the predicted tag at each token.
    Raises:
        DataError: a word has no prediction, or two.
    """
    places = encoded.extra["word"]
    first = places != NO_WORD
    counts = [len(e.words) for e in examples]
    expected = np.concatenate([np.arange(n) for n in counts]) if counts else np.empty(0)
    of_row = np.repeat(encoded.example, np.diff(encoded.starts))
    if not np.array_equal(places[first], expected) or np.any(
        np.bincount(of_row[first], minlength=len(counts)) != counts
    ):
        raise DataError(f"{int(first.sum())} predicted words for {sum(counts)} words of {len(examples)} sentences")
    flat = tags[first].tolist()
    ends = np.cumsum(counts).tolist()
    return [flat[end - n : end] for end, n in zip(ends, counts, strict=True)]


def count_chunks(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Values:
    """Count right, predicted and gold chunks of each sentence."""
    counts = [chunk_counts(theirs, ours) for theirs, ours in zip(gold, predicted, strict=True)]
    return dict(zip(COUNTS, np.array(counts).T, strict=True))
