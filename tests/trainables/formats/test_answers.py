"""Answers extracted from contexts that the tokenizer normalises: what the gold tokens point at is the gold answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from tests import ROOT
from trainables.examples import Span
from trainables.formats import encode
from trainables.formats.span import predict_spans

HUB = ROOT.parent / "shared" / "hub"
WORDS = pre_tokenizers.WhitespaceSplit()
NORMALIZERS: dict[str, tuple[Any, Any]] = {
    "nfc": (normalizers.NFC(), WORDS),
    "nfd": (normalizers.NFD(), WORDS),
    "nfkc": (normalizers.NFKC(), None),  # every letter is a token
    "uncased": (normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()),
    "stripped": (normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents()]), None),
}


@cache
def tokenizer(name: str) -> Any:
    """Make a tokenizer in which every pre-token is one unknown token; offsets are all that matters."""
    from transformers import PreTrainedTokenizerFast

    normalizer, split = NORMALIZERS[name]
    made = Tokenizer(models.WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}, unk_token="<unk>"))
    made.normalizer = normalizer
    letters = pre_tokenizers.Sequence([WORDS, pre_tokenizers.Split(Regex("."), "isolated")])
    made.pre_tokenizer = split or letters
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    wrap: Any = PreTrainedTokenizerFast
    return wrap(tokenizer_object=made, unk_token="<unk>", pad_token="<pad>", cls_token="<s>", sep_token="</s>")


def pointed_at(spans: Sequence[Span], name: str) -> list[str]:
    """Return the answers of a model that points at the gold tokens."""
    encoded = encode("span", spans, tokenizer(name), max_length=4096, max_query=1)
    logits = np.zeros((len(encoded.tokens), 2), np.float32)
    rows = np.flatnonzero(encoded.labels.any(1))
    for side in (0, 1):
        logits[encoded.starts[rows] + encoded.labels[rows, side], side] = 9.0
    return predict_spans(spans, encoded, logits)[0]


def asked(context: str, answer: str) -> Span:
    return Span("0", "a", context, ((context.index(answer), answer),))


@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("le cafe\u0301 z", "cafe\u0301"),
        ("le caf\u00e9 z", "caf\u00e9"),
        ("a\u0323\u0302 b", "a\u0323\u0302"),
        ("x \u1112\u1161\u11ab\u1100\u1173\u11af y", "\u1112\u1161\u11ab\u1100\u1173\u11af"),  # jamo
        ("x \uff76\uff9e\uff8a\uff9f y", "\uff76\uff9e\uff8a\uff9f"),  # half-width kana, voiced
        ("x \u0e19\u0e49\u0e33\u0e14\u0e35\u0e48 y", "\u0e19\u0e49\u0e33\u0e14\u0e35\u0e48"),  # Thai
        ("x \u0939\u093f\u0928\u094d\u0926\u0940\u0902 y", "\u0939\u093f\u0928\u094d\u0926\u0940\u0902"),
        ("x \u0915\u093c\u094d y", "\u0915\u093c\u094d"),  # nukta and virama
        ("x \u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd\u05b0 y", "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd\u05b0"),
        ("x \ufb01\u0301 y", "\ufb01\u0301"),
        ("cafe\u0301", "cafe\u0301"),
    ],
)
def test_gold_tokens_give_the_whole_gold_answer(name: str, context: str, answer: str) -> None:
    assert pointed_at([asked(context, answer)], name) == [answer]


def test_an_end_does_not_reach_into_the_next_word() -> None:
    for name in NORMALIZERS:
        assert pointed_at([asked("e \u0301x", "e")], name) == ["e"]


def real() -> Iterator[tuple[str, list[Span]]]:
    for path in sorted(HUB.glob("google/xtreme/XQuAD.*/validation.parquet")):
        rows = pq.read_table(path).to_pylist()[:300]
        yield (
            path.parent.name,
            [
                Span(
                    str(i), "a", row["context"], ((int(row["answers"]["answer_start"][0]), row["answers"]["text"][0]),)
                )
                for i, row in enumerate(rows)
            ],
        )


@pytest.mark.skipif(not HUB.is_dir(), reason=f"no mirror of real data at {HUB}")
@pytest.mark.parametrize("name", NORMALIZERS)
def test_gold_tokens_give_the_gold_answers_of_every_language(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is larger than the answer may add to it; only format characters may be lost."""
    monkeypatch.setattr("trainables.formats.span.MAX_ANSWER", 1000)  # letters are tokens here
    languages = list(real())
    assert len(languages) > 3
    for language, spans in languages:
        for span, answer in zip(spans, pointed_at(spans, name), strict=True):
            gold = span.answers[0][1].strip()
            assert gold in answer or len(answer) > 0 and answer in gold and not lost(gold, answer), (language, gold)


def lost(gold: str, answer: str) -> str:
    """Return what an answer lacks of the gold one at its end."""
    rest = gold[gold.index(answer) + len(answer) :]
    return "".join(c for c in rest if unicodedata.category(c) != "Cf")
