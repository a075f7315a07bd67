"""Examples become rows of token ids, framed as the encoder expects them (Hu et al. 2020, XTREME).

    labelled, regression
              <s> A </s>  or  <s> A </s></s> B </s>          the longer text loses its tail
    choice    <s> prompt </s></s> choice </s> per choice     the longer text loses its head
    span      <s> question </s></s> window of context </s>   as many windows as the context needs
    words, intent
              <s> pieces of words </s>                       as many rows as the sentence needs, cut between words
    text      <s> A </s>                                     loses its tail

`<s>` and `</s>` stand for what the tokenizer has there (`layout.Layout`); the second text of a pair is segment 1 where it
has segments. The tokenizer only turns text into pieces; specials, cuts and windows are set here, so that every fast
tokenizer frames, cuts and counts the same way.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from trainables.encoding.special_tokens import Layout, Tokenizer
from trainables.encoding.windowing import best_window, longest_first, window_starts
from trainables.errors import BadInput, DataError
from trainables.examples import Bitext, Choice, Example, Labelled, Rated, Span, Text, Utterance, Words, split_joint
from trainables.recipe import BarePrefix

if TYPE_CHECKING:
    from trainables.catalogue import Kind

E = TypeVar("E")

BLOCK = 4096  # examples tokenised at once: large enough for the tokenizer's threads, small enough to hold as lists
NOT_SCORED = -100  # the label that torch's cross-entropy ignores
NO_WORD = -1
NO_CHARACTER = -1


@dataclass(frozen=True)
class Encoded:
    """All rows of a split, one after another, special tokens included. An *item* is what a batch is made of.

    tokens: int32 [T]; row r is tokens[starts[r]:starts[r + 1]], with starts int64 [R + 1].
    labels: labelled int64 [R]; choice int64 [items]; span int64 [R, 2], first and last token of the answer inside the
        row, (0, 0) where it is not in this window; words int64 [T], -100 = not scored; intent as words, with the intent
        at the first token of an example's first row; regression float32 [R]; text: empty.
    rows_per_item: choice: the number of choices c, rows of item i are i*c .. i*c + c - 1; else 1.
    example: int32 [items], the index of the example that an item belongs to, never descending.
    extra: span: "char_start", "char_end" int32 [T], the token's place in the context or -1 outside it, and
        "max_context" bool [T], the token's best window is this one. words, intent: "word" int32 [T], the index in its
        sentence of the word that begins at this token, else -1.
    second: int32 [R], the place in its row where segment 1 begins, the row's length where there is no second text; None
        where the tokenizer has no segments.
    """

    kind: Kind
    tokens: np.ndarray
    starts: np.ndarray
    labels: np.ndarray
    rows_per_item: int
    example: np.ndarray
    num_examples: int
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    second: np.ndarray | None = None

    @property
    def num_items(self) -> int:
        return (len(self.starts) - 1) // self.rows_per_item

    def save(self, path: Path) -> None:
        """Writes one .npz file at exactly this path; nothing in it is a pickle."""
        arrays = {"tokens": self.tokens, "starts": self.starts, "labels": self.labels, "example": self.example}
        arrays |= {f"extra.{name}": values for name, values in self.extra.items()}
        arrays |= {} if self.second is None else {"second": self.second}
        sizes = np.array([self.rows_per_item, self.num_examples])
        with open(path, "wb") as file:  # given a name instead, numpy would append a suffix of its own
            np.savez(file, kind=np.array(self.kind), sizes=sizes, **cast("dict[str, Any]", arrays))

    @classmethod
    def load(cls, path: Path) -> Encoded:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        rows_per_item, num_examples = map(int, arrays.pop("sizes"))
        extra = {name.removeprefix("extra."): arrays.pop(name) for name in list(arrays) if name.startswith("extra.")}
        kind = cast("Kind", str(arrays.pop("kind")))
        return cls(kind=kind, rows_per_item=rows_per_item, num_examples=num_examples, extra=extra, **arrays)


def encode(
    kind: Kind,
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    doc_stride: int = 128,
    max_query: int = 64,
    labels: Sequence[str] = (),
    bare_prefix: BarePrefix = "label",
) -> Encoded:
    """Rows of at most `max_length` tokens, specials included, in the order of `examples`.

    intent only: `labels` gives ids to names, intents before tags (`split_joint`); a name that it lacks is not scored,
    and with () nothing is. words and intent: `bare_prefix`. span only: questions are cut to `max_query` tokens, and
    windows over the context start `doc_stride` tokens apart (the distance of their starts as in BERT, not their
    overlap). Sentences for retrieval are encoded one side at a time: encode("text", side, ...).
    Raises BadInput when `max_length` leaves no room for text, DataError for examples that contradict each other.
    """
    layout = Layout.of(tokenizer)
    specials = layout.single_specials if kind in ("words", "intent", "text") else layout.pair_specials
    reserved = max_query if kind == "span" else 1
    if max_length < specials + reserved + 1 or doc_stride < 1 or max_query < 1:
        raise BadInput(
            f"max_length {max_length} is too short for {kind}: {specials} special tokens, {reserved} reserved for the "
            f"first text and at least 1 more are needed (doc_stride {doc_stride}, max_query {max_query}: at least 1)"
        )
    if kind == "labelled":
        labelled = _all(Labelled, examples)
        return _sentences(
            kind, labelled, np.array([e.label for e in labelled], np.int64), tokenizer, layout, max_length
        )
    if kind == "regression":
        rated = _all(Rated, examples)
        return _sentences(kind, rated, np.array([e.value for e in rated], np.float32), tokenizer, layout, max_length)
    if kind == "choice":
        return _choice(_all(Choice, examples), tokenizer, layout, max_length)
    if kind == "span":
        return _span(_all(Span, examples), tokenizer, layout, max_length, doc_stride, max_query)
    if kind == "words":
        tagged = [_Tagged(e.id, e.words, e.tags) for e in _all(Words, examples)]
        return _words(kind, tagged, tokenizer, layout, max_length, bare_prefix)
    if kind == "intent":
        tagged = _by_id(_all(Utterance, examples), labels)
        return _words(kind, tagged, tokenizer, layout, max_length, bare_prefix)
    if kind == "text":
        return _text(_all(Text, examples), tokenizer, layout, max_length)
    raise ValueError(f"{kind} is encoded one side at a time, as text")


def sides(pairs: Sequence[Bitext]) -> tuple[list[Text], list[Text]]:
    """The source (non-English) and the target (English) sentences of aligned pairs, each ready to encode as text."""
    return [Text(p.id, p.source) for p in pairs], [Text(p.id, p.target) for p in pairs]


class _Rows:
    """Grows the flat arrays row by row; machine integers, since a corpus as Python lists would not fit in memory."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.tokens, self.starts, self.example, self.second = array("i"), array("q", [0]), array("i"), array("i")

    def single(self, ids: Sequence[int], example: int) -> None:
        """One more row, of one text, which is an item."""
        row = self.layout.single(ids)
        self._add(row, len(row), example)

    def pair(self, first: Sequence[int], second: Sequence[int], example: int | None) -> None:
        """One more row, of two texts; `example` where the row begins an item."""
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
        kind: Kind,
        labels: np.ndarray,
        num_examples: int,
        rows_per_item: int = 1,
        extra: Mapping[str, np.ndarray] | None = None,
    ) -> Encoded:
        tokens, starts = np.array(self.tokens, np.int32), np.array(self.starts, np.int64)
        example = np.array(self.example, np.int32)
        second = np.array(self.second, np.int32) if self.layout.segments else None
        return Encoded(kind, tokens, starts, labels, rows_per_item, example, num_examples, extra or {}, second)


def _sentences(
    kind: Kind,
    examples: Sequence[Labelled | Rated],
    labels: np.ndarray,
    tokenizer: Tokenizer,
    layout: Layout,
    max_length: int,
) -> Encoded:
    rows = _Rows(layout)
    for index, example, pieces in _tokenised(examples, tokenizer, lambda e: (e.first, e.second)):
        first = pieces[example.first]
        if example.second is None:
            rows.single(first[: max_length - layout.single_specials], index)
        else:
            second = pieces[example.second]
            keep_first, keep_second = longest_first(len(first), len(second), max_length - layout.pair_specials)
            rows.pair(first[:keep_first], second[:keep_second], index)
    return rows.encoded(kind, labels, len(examples))


def _choice(examples: Sequence[Choice], tokenizer: Tokenizer, layout: Layout, max_length: int) -> Encoded:
    num_choices = len(examples[0].choices) if examples else 1
    rows = _Rows(layout)
    for index, example, pieces in _tokenised(examples, tokenizer, lambda e: (e.prompt, *e.choices)):
        if len(example.choices) != num_choices:
            raise DataError(f"{example.id}: {len(example.choices)} choices, but the rows before it have {num_choices}")
        prompt = pieces[example.prompt]
        for number, text in enumerate(example.choices):
            choice = pieces[text]
            keep_choice, keep_prompt = longest_first(len(choice), len(prompt), max_length - layout.pair_specials)
            item = index if number == 0 else None
            rows.pair(prompt[len(prompt) - keep_prompt :], choice[len(choice) - keep_choice :], item)
    return rows.encoded("choice", np.array([e.label for e in examples], np.int64), len(examples), num_choices)


def _text(examples: Sequence[Text], tokenizer: Tokenizer, layout: Layout, max_length: int) -> Encoded:
    rows = _Rows(layout)
    for index, example, pieces in _tokenised(examples, tokenizer, lambda e: (e.text,)):
        rows.single(pieces[example.text][: max_length - layout.single_specials], index)
    return rows.encoded("text", np.empty(0, np.int64), len(examples))


@dataclass(frozen=True, slots=True)
class _Tagged:
    """Words with tag ids, and the id of what the whole sentence is about."""

    id: str
    words: tuple[str, ...]
    tags: tuple[int, ...]
    intent: int = NOT_SCORED


def _by_id(examples: Sequence[Utterance], labels: Sequence[str]) -> list[_Tagged]:
    intents, tags = split_joint(labels) if labels else ((), ())
    intent_id = {name: i for i, name in enumerate(intents)}
    tag_id = {name: i for i, name in enumerate(tags)}
    return [
        _Tagged(e.id, e.words, tuple(tag_id.get(t, NOT_SCORED) for t in e.tags), intent_id.get(e.intent, NOT_SCORED))
        for e in examples
    ]


def _words(
    kind: Kind,
    examples: Sequence[_Tagged],
    tokenizer: Tokenizer,
    layout: Layout,
    max_length: int,
    bare_prefix: BarePrefix,
) -> Encoded:
    room = max_length - layout.single_specials
    known: dict[str, list[int]] = {}  # a corpus has far fewer distinct words than words
    rows, labels, words = _Rows(layout), array("q"), array("i")

    def add(index: int, ids: list[int], tags: list[int], places: list[int], intent: int) -> None:
        before, after = len(layout.prefix), len(layout.suffix)
        rows.single(ids, index)
        labels.extend([intent, *[NOT_SCORED] * (before - 1)] if before else [])
        labels.extend(tags + [NOT_SCORED] * after)
        words.extend([NO_WORD] * before + places + [NO_WORD] * after)

    for start, block in _blocks(examples):
        new = _pieces(tokenizer, (word for e in block for word in e.words if word not in known))
        known |= _without_bare_prefix(new, tokenizer) if bare_prefix == "drop" else new
        for index, example in enumerate(block, start):
            if len(example.words) != len(example.tags):
                raise DataError(f"{example.id}: {len(example.words)} words but {len(example.tags)} tags")
            ids: list[int] = []
            tags: list[int] = []
            places: list[int] = []
            intent = example.intent
            for place, (word, tag) in enumerate(zip(example.words, example.tags, strict=True)):
                pieces = known[word]
                if not 0 < len(pieces) <= room:  # else the word, and with it its tag, would be lost
                    pieces = [_unknown_piece(tokenizer)]
                if len(ids) + len(pieces) > room:
                    add(index, ids, tags, places, intent)
                    ids, tags, places, intent = [], [], [], NOT_SCORED
                ids += pieces
                tags += [tag] + [NOT_SCORED] * (len(pieces) - 1)
                places += [place] + [NO_WORD] * (len(pieces) - 1)
            if ids:  # a sentence without words has nothing to score, and gets no row
                add(index, ids, tags, places, intent)
    extra = {"word": np.array(words, np.int32)}
    return rows.encoded(kind, np.array(labels, np.int64), len(examples), extra=extra)


def _without_bare_prefix(pieces: Mapping[str, list[int]], tokenizer: Tokenizer) -> dict[str, list[int]]:
    """Words without a first piece that is a word boundary and nothing else, unless there is no other piece.

    It stands before many Chinese, Japanese and Thai words; XTREME lets it carry the tag, XeroAlign drops it.
    """
    bare = tokenizer.convert_tokens_to_ids("\u2581")
    return {word: ids[1:] if len(ids) > 1 and ids[0] == bare else ids for word, ids in pieces.items()}


def _span(
    examples: Sequence[Span], tokenizer: Tokenizer, layout: Layout, max_length: int, doc_stride: int, max_query: int
) -> Encoded:
    rows, labels = _Rows(layout), array("q")
    char_starts, char_ends, flags = array("i"), array("i"), array("b")
    for start, block in _blocks(examples):
        questions = _pieces(tokenizer, (e.question for e in block))
        contexts = _pieces_with_offsets(tokenizer, (e.context for e in block))
        for index, example in enumerate(block, start):
            question = questions[example.question][:max_query]
            ids, char_start, char_end = contexts[example.context]
            answer = _answer_tokens(example, char_start, char_end)
            cap = max_length - layout.pair_specials - len(question)
            before = len(layout.prefix) + len(question) + len(layout.middle)
            window_of = best_window(len(ids), cap, doc_stride)
            for number, first in enumerate(window_starts(len(ids), cap, doc_stride)):
                window = slice(first, min(first + cap, len(ids)))
                rows.pair(question, ids[window], index)
                inside = answer is not None and window.start <= answer[0] and answer[1] < window.stop
                labels.extend([before + t - first for t in answer] if answer and inside else [0, 0])
                for column, values, outside in (
                    (char_starts, char_start[window], NO_CHARACTER),
                    (char_ends, char_end[window], NO_CHARACTER),
                    (flags, (window_of[window] == number).tolist(), 0),
                ):
                    column.extend([outside] * before + values + [outside] * len(layout.suffix))
    extra = {
        "char_start": np.array(char_starts, np.int32),
        "char_end": np.array(char_ends, np.int32),
        "max_context": np.array(flags, np.int8).astype(bool),
    }
    return rows.encoded("span", np.array(labels, np.int64).reshape(-1, 2), len(examples), extra=extra)


def _answer_tokens(example: Span, char_start: Sequence[int], char_end: Sequence[int]) -> tuple[int, int] | None:
    """First and last context token that the first answer touches, None where it touches none."""
    if not example.answers:
        return None
    start, text = example.answers[0]
    first = int(np.searchsorted(char_end, start, side="right"))
    last = int(np.searchsorted(char_start, start + len(text), side="left")) - 1
    return (first, last) if first <= last else None


def _all(cls: type[E], examples: Sequence[Example]) -> Sequence[E]:
    for example in examples:
        if not isinstance(example, cls):
            raise TypeError(f"expected {cls.__name__}, got {type(example).__name__}")
    return cast("Sequence[E]", examples)


def _blocks(examples: Sequence[E]) -> Iterator[tuple[int, Sequence[E]]]:
    for start in range(0, len(examples), BLOCK):
        yield start, examples[start : start + BLOCK]


def _tokenised(
    examples: Sequence[E], tokenizer: Tokenizer, texts: Callable[[E], tuple[str | None, ...]]
) -> Iterator[tuple[int, E, dict[str, list[int]]]]:
    """(index, example, pieces of its texts by text) for each example in turn."""
    for start, block in _blocks(examples):
        pieces = _pieces(tokenizer, (text for e in block for text in texts(e) if text is not None))
        for index, example in enumerate(block, start):
            yield index, example, pieces


def _pieces(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, list[int]]:
    """Token ids of each distinct text, without specials."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    ids = tokenizer(distinct, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    return dict(zip(distinct, ids, strict=True))


def _pieces_with_offsets(
    tokenizer: Tokenizer, texts: Iterable[str]
) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """Token ids, first characters and ends (exclusive) of each distinct text, without specials."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    options = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
    batch = tokenizer(distinct, return_offsets_mapping=True, **options)
    return {
        text: (ids, [start for start, _ in offsets], [end for _, end in offsets])
        for text, ids, offsets in zip(distinct, batch["input_ids"], batch["offset_mapping"], strict=True)
    }


def _unknown_piece(tokenizer: Tokenizer) -> int:
    if tokenizer.unk_token_id is None:
        raise BadInput("this tokenizer has no unknown token to stand for a word that it cannot split into pieces")
    return int(tokenizer.unk_token_id)
