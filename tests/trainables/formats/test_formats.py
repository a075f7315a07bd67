from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import tiny_tokenizer
from tools import structure
from trainables import formats
from trainables.catalogue import DATASETS
from trainables.encoding.encoded import NOT_SCORED, Encoded
from trainables.encoding.special_tokens import Layout
from trainables.encoding.windowing import best_window, longest_first, window_starts
from trainables.errors import BadInput, DataError
from trainables.examples import Bitext, Choice, Labelled, Rated, Span, Text, Utterance, Words
from trainables.formats import encode
from trainables.formats.bitext import sides

LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]  # one piece each: "a b c" is three tokens
TOKENIZER = tiny_tokenizer([*LETTERS, "paris", "的"])
BOS, EOS, UNK = 0, 2, 3


def ids(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def row(encoded: Encoded, number: int) -> list[int]:
    return list(encoded.tokens[encoded.starts[number] : encoded.starts[number + 1]].tolist())


def rows(encoded: Encoded) -> list[list[int]]:
    return [row(encoded, number) for number in range(len(encoded.starts) - 1)]


def column(encoded: Encoded, name: str, number: int) -> list[Any]:
    return list(encoded.extra[name][encoded.starts[number] : encoded.starts[number + 1]].tolist())


def bert_like() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "b": 4}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    wrap: Any = PreTrainedTokenizerFast
    return wrap(tokenizer_object=tokenizer, unk_token="[UNK]")


def test_layout_is_measured_from_the_tokenizer() -> None:
    assert Layout.of(TOKENIZER) == Layout(prefix=(0,), middle=(2, 2), suffix=(2,))
    assert Layout.of(bert_like()) == Layout(prefix=(1,), middle=(2,), suffix=(2,), segments=True)
    pair = Labelled("0", "a", "b b", 0)
    assert rows(encode("labelled", [pair], bert_like(), max_length=16)) == [[1, 3, 2, 4, 4, 2]]


def test_single_sentences_lose_their_tail_and_pairs_the_longer_tail() -> None:
    examples = [
        Labelled("0", "a b c", None, 2),
        Labelled("1", "a b c d e f g h i", None, 0),
        Labelled("2", "a b", "c", 1),
        Labelled("3", "a b c d e f", "g", 1),
        Labelled("4", "a b c d", "e f g h", 1),
    ]
    encoded = encode("labelled", examples, TOKENIZER, max_length=9)  # 7 pieces of one text, or 5 of two
    assert rows(encoded) == [
        [BOS, *ids("a b c"), EOS],
        [BOS, *ids("a b c d e f g"), EOS],
        [BOS, *ids("a b"), EOS, EOS, *ids("c"), EOS],
        [BOS, *ids("a b c d"), EOS, EOS, *ids("g"), EOS],
        [BOS, *ids("a b c"), EOS, EOS, *ids("e f"), EOS],
    ]
    assert encoded.labels.tolist() == [2, 0, 1, 1, 1]
    assert encoded.example.tolist() == [0, 1, 2, 3, 4] and encoded.num_items == encoded.num_examples == 5


def test_longest_first_equals_removing_one_at_a_time() -> None:
    for first in range(9):
        for second in range(9):
            for room in range(2, 12):
                a, b = first, second
                while a + b > room:
                    a, b = (a - 1, b) if a > b else (a, b - 1)
                assert longest_first(first, second, room) == (a, b)


def test_choices_share_a_prompt_that_loses_its_head() -> None:
    examples = [Choice("0", "a b c d e f", ("x", "y z"), 1), Choice("1", "a", ("p q r s t u", ""), 0)]
    encoded = encode("choice", examples, TOKENIZER, max_length=8)  # room for 4 pieces
    assert rows(encoded) == [
        [BOS, *ids("d e f"), EOS, EOS, *ids("x"), EOS],
        [BOS, *ids("e f"), EOS, EOS, *ids("y z"), EOS],
        [BOS, *ids("a"), EOS, EOS, *ids("s t u"), EOS],
        [BOS, *ids("a"), EOS, EOS, EOS],
    ]
    assert encoded.rows_per_item == 2 and encoded.num_items == 2
    assert encoded.labels.tolist() == [1, 0] and encoded.example.tolist() == [0, 1]


def test_choices_must_be_equally_many() -> None:
    with pytest.raises(DataError, match="odd: 3 choices"):
        encode(
            "choice", [Choice("0", "a", ("b", "c"), 0), Choice("odd", "a", ("b", "c", "d"), 0)], TOKENIZER, max_length=9
        )


@pytest.mark.protocol
@pytest.mark.parametrize(("num_tokens", "windows"), [(0, 1), (1, 1), (370, 1), (371, 2), (498, 2), (499, 3), (1000, 6)])
def test_window_counts(num_tokens: int, windows: int) -> None:
    question, context = " ".join(["a"] * 10), " ".join(["b"] * num_tokens)
    encoded = encode("span", [Span("0", question, context, ())], TOKENIZER, max_length=384, doc_stride=128)
    assert encoded.num_items == windows
    assert max(np.diff(encoded.starts)) <= 384
    assert encoded.extra["max_context"].sum() == num_tokens  # each token is at its best in exactly one window


def test_windows_cover_the_context_even_with_a_stride_beyond_their_size() -> None:
    assert window_starts(10, 4, 128) == [0, 4, 8]
    assert window_starts(10, 4, 3) == [0, 3, 6]


def test_span_rows_offsets_and_answers() -> None:
    context = "a b paris c d e f"  # pieces 0..6
    examples = [
        Span("0", "x y", context, ((4, "paris"), (0, "a"))),  # only the first answer is trained on
        Span("1", "x y", context, ((10, "c d e"),)),
        Span("2", "x y", context, ()),
        Span("3", "", "", ()),
    ]
    encoded = encode("span", examples, TOKENIZER, max_length=10, doc_stride=2, max_query=2)  # windows of 4, 2 apart
    assert encoded.example.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert row(encoded, 1) == [BOS, *ids("x y"), EOS, EOS, *ids("paris c d e"), EOS]
    assert rows(encoded)[-1] == [BOS, EOS, EOS, EOS]
    assert encoded.labels.tolist() == [[7, 7], [5, 5], [0, 0], [0, 0], [6, 8], [0, 0]] + [[0, 0]] * 4
    assert column(encoded, "char_start", 1) == [-1] * 5 + [4, 10, 12, 14] + [-1]
    assert column(encoded, "char_end", 1) == [-1] * 5 + [9, 11, 13, 15] + [-1]
    in_context = [column(encoded, "max_context", n)[5:-1] for n in range(3)]
    assert in_context == [[True, True, True, False], [False, True, True, False], [False, True, True]]


def test_every_answer_is_found_again_by_its_offsets() -> None:
    context = "  a b的c paris, paris\u200b d  的的 e"
    answers = ["b", "的", "c paris", "paris, paris", "d", "的的 e"]
    examples = [Span(a, "a", context, ((context.index(a), a),)) for a in answers]
    encoded = encode("span", examples, TOKENIZER, max_length=64, max_query=4)
    for number, answer in enumerate(answers):
        first, last = encoded.labels[number]
        start, end = column(encoded, "char_start", number), column(encoded, "char_end", number)
        text = context[start[first] : end[last]].strip()
        assert answer in text and len(text) <= len(answer) + 1, (answer, text)


def test_best_window_is_berts_rule() -> None:
    for num_tokens, cap, stride in [(7, 4, 2), (40, 16, 5), (33, 10, 10), (12, 5, 1), (9, 9, 3)]:
        starts = window_starts(num_tokens, cap, stride)
        for token, chosen in enumerate(best_window(num_tokens, cap, stride).tolist()):
            scores = []
            for start in starts:
                length = min(cap, num_tokens - start)
                left, right = token - start, start + length - 1 - token
                scores.append(min(left, right) + 0.01 * length if left >= 0 and right >= 0 else -math.inf)
            assert chosen == scores.index(max(scores))


def test_questions_are_cut() -> None:
    encoded = encode("span", [Span("0", " ".join(LETTERS), "a", ())], TOKENIZER, max_length=80, max_query=3)
    assert rows(encoded) == [[BOS, *ids("a b c"), EOS, EOS, *ids("a"), EOS]]


def test_words_are_labelled_on_their_first_piece() -> None:
    examples = [Words("0", ("paris", "abc", "的", "\u200b"), (3, 1, 4, 1))]
    encoded = encode("words", examples, TOKENIZER, max_length=32)
    pieces = [ids("paris"), ids("abc"), ids("的"), [UNK]]  # the zero-width word has no piece of its own
    assert [len(p) for p in pieces] == [1, 3, 1, 1]
    assert rows(encoded) == [[BOS, *sum(pieces, []), EOS]]
    no = NOT_SCORED
    assert encoded.labels.tolist() == [no, 3, 1, no, no, 4, 1, no]
    assert encoded.extra["word"].tolist() == [-1, 0, 1, -1, -1, 2, 3, -1]


def test_long_sentences_are_split_between_words() -> None:
    examples = [
        Words("0", ("a", "bcde", "f", "ghijkl", "m"), (0, 1, 2, 3, 4)),
        Words("1", (), ()),
        Words("2", ("z",), (5,)),
    ]
    encoded = encode("words", examples, TOKENIZER, max_length=7)  # 5 pieces a row; "ghijkl" has 6
    assert rows(encoded) == [
        [BOS, *ids("a"), *ids("bcde"), EOS],
        [BOS, *ids("f"), UNK, *ids("m"), EOS],
        [BOS, *ids("z"), EOS],
    ]
    assert encoded.example.tolist() == [0, 0, 2] and encoded.num_examples == 3
    assert encoded.labels[encoded.labels != NOT_SCORED].tolist() == [0, 1, 2, 3, 4, 5]
    assert encoded.extra["word"][encoded.extra["word"] >= 0].tolist() == [0, 1, 2, 3, 4, 0]


def test_words_and_tags_must_pair_up() -> None:
    with pytest.raises(DataError, match="odd: 2 words but 1 tags"):
        encode("words", [Words("odd", ("a", "b"), (0,))], TOKENIZER, max_length=9)


def test_numbers_are_kept_as_they_are() -> None:
    encoded = encode("regression", [Rated("0", "a", "b", 2.5), Rated("1", "a b", None, 0.0)], TOKENIZER, max_length=9)
    assert rows(encoded) == [[BOS, *ids("a"), EOS, EOS, *ids("b"), EOS], [BOS, *ids("a b"), EOS]]
    assert encoded.labels.tolist() == [2.5, 0.0] and encoded.labels.dtype == np.float32


JOINT = ("book", "play", "O", "B-city", "I-city")


def test_an_utterance_has_its_intent_at_its_first_token_and_its_tags_at_its_words() -> None:
    examples = [
        Utterance("0", ("a", "bcd", "e"), ("O", "B-city", "I-city"), "play"),
        Utterance("1", ("a",), ("B-song",), "sing"),  # names that no training row has
    ]
    encoded = encode("intent", examples, TOKENIZER, max_length=16, labels=JOINT)
    skip = NOT_SCORED
    pieces = len(ids("bcd"))
    assert column(encoded, "word", 0) == [-1, 0, 1, *[-1] * (pieces - 1), 2, -1]
    labels = [list(encoded.labels[a:b]) for a, b in zip(encoded.starts, encoded.starts[1:], strict=False)]
    assert labels == [[1, 0, 1, *[skip] * (pieces - 1), 2, skip], [skip, skip, skip]]
    assert not (encode("intent", examples, TOKENIZER, max_length=16).labels != skip).any()


def test_the_intent_of_a_long_utterance_is_asked_of_its_first_row() -> None:
    example = Utterance("0", tuple("abcde"), ("O",) * 5, "book")
    encoded = encode("intent", [example], TOKENIZER, max_length=4, labels=JOINT)  # two words a row
    assert encoded.labels[encoded.starts[:-1]].tolist() == [0, NOT_SCORED, NOT_SCORED]
    assert encoded.example.tolist() == [0, 0, 0]


def test_a_lone_word_boundary_carries_the_tag_or_goes() -> None:
    tokenizer = tiny_tokenizer(["ab"])  # "ab" is one piece, "ba" a boundary and two letters
    boundary, b, a, ab = tokenizer.convert_tokens_to_ids(["\u2581", "b", "a", "\u2581ab"])
    sentence = Words("0", ("ba", "ab"), (3, 4))
    kept = encode("words", [sentence], tokenizer, max_length=9)
    dropped = encode("words", [sentence], tokenizer, max_length=9, bare_prefix="drop")
    assert rows(kept) == [[BOS, boundary, b, a, ab, EOS]]
    assert rows(dropped) == [[BOS, b, a, ab, EOS]]
    for encoded in (kept, dropped):
        first = encoded.extra["word"] >= 0
        assert encoded.extra["word"][first].tolist() == [0, 1] and encoded.labels[first].tolist() == [3, 4]


def test_text_and_both_sides_of_a_translation() -> None:
    encoded = encode("text", [Text("0", "a b c d"), Text("1", "")], TOKENIZER, max_length=5)
    assert rows(encoded) == [[BOS, *ids("a b c"), EOS], [BOS, EOS]]
    assert encoded.labels.size == 0
    pairs = [Bitext("0", "的", "a"), Bitext("1", "的 的", "b")]
    source, target = sides(pairs)
    assert rows(encode("text", source, TOKENIZER, max_length=8)) == [[BOS, *ids("的"), EOS], [BOS, *ids("的 的"), EOS]]
    assert rows(encode("text", target, TOKENIZER, max_length=8)) == [[BOS, *ids("a"), EOS], [BOS, *ids("b"), EOS]]
    with pytest.raises(ValueError, match="one side at a time"):
        encode("bitext", pairs, TOKENIZER, max_length=8)


EMPTY: list[tuple[Any, Any]] = [
    ("labelled", Labelled("0", "", "", 0)),
    ("regression", Rated("0", "", "", 0.0)),
    ("choice", Choice("0", "", ("", ""), 0)),
    ("span", Span("0", "", "", ((0, ""),))),
    ("words", Words("0", ("",), (0,))),
    ("intent", Utterance("0", ("",), ("O",), "book")),
    ("text", Text("0", "")),
]


@pytest.mark.parametrize(("kind", "example"), EMPTY)
def test_empty_strings_and_empty_splits(kind: Any, example: Any) -> None:
    assert encode(kind, [example], TOKENIZER, max_length=96).num_items == 1
    nothing = encode(kind, [], TOKENIZER, max_length=96)
    assert nothing.num_items == nothing.num_examples == 0 and len(nothing.tokens) == 0


@pytest.mark.parametrize(("kind", "example"), EMPTY)
def test_a_length_without_room_for_text_is_refused(kind: Any, example: Any) -> None:
    with pytest.raises(BadInput, match="max_length 2 is too short"):
        encode(kind, [example], TOKENIZER, max_length=2)


def test_examples_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="expected Choice, got Text"):
        encode("choice", [Text("0", "a")], TOKENIZER, max_length=9)


def test_saved_and_loaded_again(tmp_path: Path) -> None:
    for kind, example in EMPTY:
        encoded = encode(kind, [example] * 3, TOKENIZER, max_length=96)
        path = tmp_path / f"{kind}.rows"
        encoded.save(path)
        again = Encoded.load(path)
        assert (again.kind, again.rows_per_item, again.num_examples) == (kind, encoded.rows_per_item, 3)
        for name in ("tokens", "starts", "labels", "example"):
            old, new = getattr(encoded, name), getattr(again, name)
            assert old.dtype == new.dtype and np.array_equal(old, new)
        assert set(again.extra) == set(encoded.extra)
        assert all(np.array_equal(again.extra[name], encoded.extra[name]) for name in encoded.extra)


def test_types_of_the_arrays() -> None:
    examples = [Span("0", "a", "b c", ((0, "b"),))]
    encoded = encode("span", examples, TOKENIZER, max_length=96)
    dtypes = {name: values.dtype.name for name, values in encoded.extra.items()}
    assert dtypes == {"char_start": "int32", "char_end": "int32", "max_context": "bool"}
    arrays = (encoded.tokens, encoded.starts, encoded.labels, encoded.example)
    assert [a.dtype.name for a in arrays] == ["int32", "int64", "int64", "int32"]


def test_short_examples_encode_fast() -> None:
    examples = [Labelled(str(i), "a b c d e f g h", f"i j k l {i}", 0) for i in range(10_000)]
    began = time.perf_counter()
    encoded = encode("labelled", examples, TOKENIZER, max_length=64)
    assert encoded.num_items == 10_000
    assert time.perf_counter() - began < 6  # 100,000 in under a minute


def test_only_formats_know_kinds() -> None:
    built_in = {f.kind for f in formats._BUILT_IN}
    assert built_in == set(structure.KINDS) and {d.kind for d in DATASETS.values() if not d.own_format} == built_in
    assert structure.counts()["comparisons of kinds outside formats"] == 0
