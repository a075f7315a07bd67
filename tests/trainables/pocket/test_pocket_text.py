"""Raw text of the pocket data, and the encoder trained on it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from random import Random

import pytest

from trainables import pocket
from trainables.pocket.frames import frames
from trainables.pocket.grammar import mixed, say
from trainables.pocket.lang_en import ENGLISH
from trainables.pocket.lang_hi import HINDI
from trainables.pocket.lang_ru import RUSSIAN
from trainables.pocket.lang_zh import CHINESE

ENCODER = Path(pocket.__file__).parent / "encoder"
LATIN = re.compile(r"[A-Za-z]{2,}")


def lines(language: str) -> list[str]:
    table = pocket.table("mlm", language, "train")
    assert table is not None
    texts: list[str] = table["text"].to_pylist()
    return texts


def test_text_mixes_english_in_the_more_the_nearer_a_language_stands() -> None:
    shares = {}
    for language in (RUSSIAN, HINDI, CHINESE):  # in other scripts, so that English can be seen
        found = [bool(LATIN.search(line)) for line in lines(language.code)]
        shares[language.code] = sum(found) / len(found)
        assert shares[language.code] == pytest.approx(language.mixed, abs=0.05)
        assert not any(LATIN.fullmatch(line) for line in lines(language.code))
    assert shares["ru"] > shares["hi"] > shares["zh"]
    assert ENGLISH.mixed == 0


def test_only_raw_text_is_mixed() -> None:
    for dataset in ("sib200", "tatoeba", "xnli", "udpos", "panx"):
        for split, languages in pocket.splits(dataset).items():
            for language in {"ru", "hi", "zh"} & set(languages):
                table = pocket.table(dataset, language, split)
                assert table is not None
                columns = {"target_sentence", "source_lang", "target_lang", "langs"}
                own = [
                    str(row) for row in table.drop_columns([c for c in table.column_names if c in columns]).to_pylist()
                ]
                names = "|".join(table.column_names)
                assert not [t for t in own if set(LATIN.findall(t)) - set(re.split(r"[|_]", names))][:3], (
                    dataset,
                    split,
                )


def test_a_mixed_sentence_keeps_the_word_order_of_its_language() -> None:
    rng = Random(0)
    for frame, _ in zip(frames(Random(1), "train"), range(200), strict=False):
        own, borrowed = say(frame, CHINESE), say(frame, mixed(CHINESE, ENGLISH, rng))
        order = list(dict.fromkeys(t.role for t in own.tokens))
        assert list(dict.fromkeys(t.role for t in borrowed.tokens)) == order
        for first, second in zip(borrowed.tokens, borrowed.tokens[1:], strict=False):
            if first.text.isascii() and second.text[0].isascii() and second.text.isalpha():
                between = borrowed.text[first.start + len(first.text) : second.start]
                assert between == " ", borrowed.text


def test_the_shipped_weights_are_those_of_their_card() -> None:
    card = (ENCODER / "CARD.md").read_text()
    assert hashlib.sha256((ENCODER / "model.safetensors").read_bytes()).hexdigest() in card
    found = re.search(r"retrieval to English: (.*)", card)
    assert found
    scores = [int(score) for score in re.findall(r"(\d+) %", found[1])]
    assert len(scores) == 7 and 15 <= sum(scores) / 7 <= 85  # room above and below
