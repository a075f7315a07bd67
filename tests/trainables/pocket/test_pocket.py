"""The pocket data: lexicons, gold labels, parallel rows, splits, determinism."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import unicodedata
from dataclasses import fields
from itertools import product
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from tests import ROOT
from trainables import pocket
from trainables.pocket import pairs, tables
from trainables.pocket.frames import (
    CONCEPTS,
    KIND_OF,
    SORT,
    SYNONYM,
    TOPIC_OF,
    VERB_THINGS,
    Frame,
    change,
    frames,
    means_at_least,
    negate,
    relation,
)
from trainables.pocket.grammar import say
from trainables.pocket.languages import BY_CODE

# The datasets that the shipped encoder was made beside; tests/trainables/pocket/test_pocket_rows.py covers the others.
HUB_COLUMNS = {
    "mlm": "text",
    "sib200": "index_id category text",
    "mnli": "premise hypothesis label",
    "xnli": "premise hypothesis label",
    "qqp": "question1 question2 label",
    "pawsx": "id sentence1 sentence2 label",
    "squad": "id title context question answers",
    "xquad": "id context question answers",
    "ccg": "tokens tags",
    "udpos": "tokens pos_tags",
    "panx": "tokens ner_tags langs",
    "commonsense_qa": "id question question_concept choices answerKey",
    "hellaswag": "ind activity_label ctx_a ctx_b ctx endings source_id split split_type label",
    "cosmos_qa": "id context question answer0 answer1 answer2 answer3 label",
    "tatoeba": "source_sentence target_sentence source_lang target_lang",
}
FIRST = tuple(HUB_COLUMNS)
ALL = [(d, la, s) for d in FIRST for s, languages in pocket.splits(d).items() for la in languages]
TRANSLATED = [
    (d, s, la)
    for d in ("sib200", "xnli", "pawsx", "xquad", "udpos", "panx", "tatoeba")
    for s, languages in pocket.splits(d).items()
    for la in languages
    if la != "en"
]
# What identifies a row of a dataset as a text, for the split check.
TEXT = {
    "mlm": ("text",), "sib200": ("text",), "mnli": ("premise",), "xnli": ("premise",), "qqp": ("question1", "question2"),
    "pawsx": ("sentence1",), "squad": ("context",), "ccg": ("tokens",), "udpos": ("tokens",), "panx": ("tokens",),
    "commonsense_qa": ("question",), "hellaswag": ("ctx_a",), "cosmos_qa": ("context",),
}  # fmt: skip


def rows(dataset: str, language: str, split: str) -> list[dict[str, Any]]:
    table = pocket.table(dataset, language, split)
    assert table is not None
    return list(table.to_pylist())


# --- lexicons ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", pocket.LANGUAGES)
def test_a_lexicon_has_every_concept_and_nothing_else(code: str) -> None:
    assert set(BY_CODE[code].words) == set(SORT)
    assert all(entry.strip() for entry in BY_CODE[code].words.values())


@pytest.mark.parametrize("code", pocket.LANGUAGES)
def test_no_word_means_two_things(code: str) -> None:
    allowed = {"sofia_city", "victoria_city"}  # cities named like people, on purpose
    seen: dict[str, str] = {}
    for concept, entry in BY_CODE[code].words.items():
        if concept not in allowed:
            assert entry.split("|")[0] not in seen, (concept, seen[entry.split("|")[0]])
            seen[entry.split("|")[0]] = concept


SCRIPT = {"Latn": "LATIN", "Cyrl": "CYRILLIC", "Deva": "DEVANAGARI", "Hani": "CJK"}


@pytest.mark.parametrize("code", pocket.LANGUAGES)
def test_texts_are_in_their_script(code: str) -> None:
    wanted = SCRIPT[BY_CODE[code].script]
    for row in rows("sib200", code, "train"):
        letters = [c for c in row["text"] if c.isalpha()]
        odd = [c for c in letters if wanted not in unicodedata.name(c)]
        assert letters and not odd, row
        assert row["text"] == unicodedata.normalize("NFC", row["text"]) or code == "hi"


@pytest.mark.parametrize("code", pocket.LANGUAGES)
def test_every_concept_is_said_in_the_parallel_training_text(code: str) -> None:
    said = " ".join(row["text"].lower() for row in rows("sib200", code, "train"))
    for concept, entry in BY_CODE[code].words.items():
        first = entry.split(":")[-1].split("|")[0].split()[-1].split("/")[0]
        assert first.lower() in said, concept


def test_what_goes_with_what_is_closed() -> None:
    things = set(CONCEPTS["thing"])
    assert {t for ts in VERB_THINGS.values() for t in ts} <= things
    assert set(KIND_OF) <= things and set(TOPIC_OF) <= set(SORT)
    for a, b in SYNONYM.items():
        assert SORT[a] == SORT[b] and SYNONYM[b] == a
        assert KIND_OF.get(a) == KIND_OF.get(b)


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", FIRST)
def test_columns_are_the_hubs(dataset: str) -> None:
    for split, languages in pocket.splits(dataset).items():
        for language in languages:
            table = pocket.table(dataset, language, split)
            assert table is not None and table.column_names == HUB_COLUMNS[dataset].split()
            assert table.num_rows >= 200
            for column in table.column_names:
                assert table[column].null_count == 0
    for column, names in pocket.label_names(dataset).items():
        table = pocket.table(dataset, pocket.splits(dataset)["validation"][0], "validation")
        assert table is not None
        ids = table[column].combine_chunks()
        values = ids.flatten() if pa.types.is_list(ids.type) else ids
        assert pa.types.is_int64(values.type)
        assert set(values.to_pylist()) <= set(range(len(names)))


def test_nothing_for_what_is_not_there() -> None:
    assert pocket.table("xnli", "en", "train") is None
    assert pocket.table("mnli", "de", "train") is None
    assert pocket.table("no_such_set", "en", "train") is None
    assert pocket.splits("no_such_set") == {} and pocket.label_names("no_such_set") == {}
    assert pocket.LANGUAGES[0] == "en"


@pytest.mark.parametrize("dataset", [d for d in FIRST if d not in ("tatoeba", "xquad")])
def test_splits_share_no_text(dataset: str) -> None:
    for language in pocket.LANGUAGES:
        splits = [s for s, languages in pocket.splits(dataset).items() if language in languages]
        texts = [{str([row[c] for c in TEXT[dataset]]) for row in rows(dataset, language, s)} for s in splits]
        for (i, one), (j, other) in product(enumerate(texts), enumerate(texts)):
            assert i == j or not one & other, (language, splits[i], splits[j], list(one & other)[:3])


@pytest.mark.parametrize(("dataset", "split", "language"), TRANSLATED)
def test_parallel_rows_carry_the_same_gold(dataset: str, split: str, language: str) -> None:
    if dataset == "tatoeba":
        english = [row["target_sentence"] for row in rows(dataset, "de", split)]
        assert [row["target_sentence"] for row in rows(dataset, language, split)] == english
        assert len(set(english)) == len(english)
        assert all(row["source_sentence"].endswith("\n") for row in rows(dataset, language, split))
        return
    for en, row in zip(rows(dataset, "en", split), rows(dataset, language, split), strict=True):
        for key in ("index_id", "id", "category", "label"):
            assert en.get(key) == row.get(key)
        if dataset == "panx":
            assert _entity_kinds(en["ner_tags"]) == _entity_kinds(row["ner_tags"])
        if dataset == "udpos":
            for pos in ("ADJ", "NUM", "VERB", "CCONJ", "PUNCT"):
                index = tables.UPOS.index(pos)
                assert index not in en["pos_tags"] or index in row["pos_tags"], (en, row)


def _entity_kinds(tags: list[int]) -> list[str]:
    return sorted(tables.ENTITIES[t] for t in tags if tables.ENTITIES[t].startswith("B-"))


@pytest.mark.parametrize(("dataset", "split"), [("squad", "train"), ("squad", "validation"), ("xquad", "validation")])
def test_answers_are_at_their_offsets_and_not_in_the_question(dataset: str, split: str) -> None:
    for language in pocket.splits(dataset)[split]:
        for row in rows(dataset, language, split):
            (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
            assert text and row["context"][start : start + len(text)] == text
            assert f" {text} " not in f" {row['question'][:-1]} ", row


@pytest.mark.parametrize("language", pocket.LANGUAGES)
def test_the_answer_is_what_fills_the_asked_role(language: str) -> None:
    la = BY_CODE[language]
    asked = tables.paragraphs("xquad", "validation", 300)
    for row, (told, which, slot) in zip(rows("xquad", language, "validation"), asked, strict=True):
        sentence = say(told[which], la)
        words = [t.text for t in sentence.tokens if t.role == slot and t.text.lower() not in la.function]
        answer = row["answers"]["text"][0]
        assert words and all(word in answer for word in words)
        for token in sentence.tokens:
            assert sentence.text[token.start : token.start + len(token.text)] == token.text


@pytest.mark.parametrize(("dataset", "column"), [("panx", "ner_tags"), ("udpos", "pos_tags"), ("ccg", "tags")])
def test_tags_are_as_many_as_words_and_all_occur(dataset: str, column: str) -> None:
    for split, languages in pocket.splits(dataset).items():
        for language in languages:
            for row in rows(dataset, language, split):
                assert len(row["tokens"]) == len(row[column]) and all(row["tokens"])
    seen = {tag for row in rows(dataset, "en", "train") for tag in row[column]}
    unused = {"INTJ", "SCONJ", "SYM", "X"}
    names = pocket.label_names(dataset)[column]
    assert {names[t] for t in seen} >= set(names) - unused


@pytest.mark.parametrize(("dataset", "language", "split"), ALL)
def test_labels_are_balanced_and_right_answers_are_unique(dataset: str, language: str, split: str) -> None:
    made = rows(dataset, language, split)
    if dataset in ("mnli", "xnli", "qqp", "pawsx"):
        counts = [sum(row["label"] == i for row in made) for i in range(len(pocket.label_names(dataset)["label"]))]
        assert max(counts) - min(counts) <= 1
    elif dataset == "sib200":
        assert all(sum(row["category"] == i for row in made) > len(made) / 12 for i in range(7))
    elif dataset == "hellaswag":
        assert all(len(set(row["endings"])) == 4 and row["label"] in "0123" for row in made)
    elif dataset == "cosmos_qa":
        assert all(len({row[f"answer{i}"] for i in range(4)}) == 4 and row["label"] in range(4) for row in made)
    elif dataset == "commonsense_qa":
        assert all(len(set(row["choices"]["text"])) == 5 and row["answerKey"] in "ABCDE" for row in made)


# --- meaning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dataset", "split", "n"), [("mnli", "train", 4000), ("xnli", "test", 300)])
def test_inference_labels_hold_for_the_frames(dataset: str, split: str, n: int) -> None:
    made = pairs.nli(dataset, split, n)
    assert len(made) == len(rows(dataset, "en", split))
    for pair in made:
        assert relation(pair.first.frame, pair.second.frame) == pairs.NLI_LABELS[pair.label], pair


@pytest.mark.parametrize(("dataset", "split", "n"), [("mnli", "train", 4000), ("xnli", "test", 300)])
def test_inference_labels_hold_in_every_world(dataset: str, split: str, n: int) -> None:
    """A world sets every filler that either statement names.

    It takes the first statement's filler, the second's, or neither.
    """

    def holds(frame: Frame, world: dict[str, str]) -> bool:
        told = all(means_at_least(world[slot], filler) for slot, filler in fillers(frame).items())
        return told != frame.negated

    def fillers(frame: Frame) -> dict[str, str]:
        slots = [f.name for f in fields(Frame) if f.name not in ("topic", "negated")]
        return {slot: filler for slot in slots if (filler := getattr(frame, slot)) is not None}

    for pair in pairs.nli(dataset, split, n):
        one, other = pair.first.frame, pair.second.frame
        values = {
            slot: {fillers(f).get(slot, "nothing of it") for f in (one, other)} | {"nothing of it"}
            for slot in {**fillers(one), **fillers(other)}
        }
        worlds = [dict(zip(values, world, strict=True)) for world in product(*values.values())]
        verdicts = {holds(other, world) for world in worlds if holds(one, world)}
        found = "neutral" if len(verdicts) == 2 else "entailment" if True in verdicts else "contradiction"
        assert verdicts and found == pairs.NLI_LABELS[pair.label], pair


def test_relation_by_example() -> None:
    frame = Frame(topic="geography", agent="anna lee", verb="buy", thing="dog", adjective="big", place="berlin")
    for fillers, expected in (
        ({"adjective": None}, "entailment"),
        ({"thing": "animal"}, "entailment"),
        ({"agent": "anna"}, "entailment"),
        ({"time": "monday"}, "neutral"),
        ({"place": "madrid"}, "contradiction"),
        ({"place": "madrid", "time": "monday"}, "contradiction"),
    ):
        assert relation(frame, change(frame, **fillers)) == expected, fillers
    assert relation(frame, negate(frame)) == "contradiction"
    assert relation(frame, negate(change(frame, place="rome"))) == "neutral"
    with pytest.raises(ValueError, match="negated"):
        relation(negate(frame), frame)


def test_paraphrases_entail_each_other_and_the_others_do_not() -> None:
    for pair in pairs.paraphrases("test", 300):
        one, other = pair.first.frame, pair.second.frame
        both = relation(one, other) == relation(other, one) == "entailment"
        assert both == (pair.label == 1), pair
        assert pair.first.text(BY_CODE["en"]) != pair.second.text(BY_CODE["en"])


def test_german_order_russian_agreement_hindi_agreement_turkish_capital() -> None:
    frame = Frame(topic="travel", agent="anna", verb="buy", thing="map", adjective="red", place="berlin", time="today")
    by = {code: say(frame, la, "fronted").text for code, la in BY_CODE.items()}
    assert by["en"] == "Today Anna bought a red map in Berlin."
    assert by["de"] == "Heute kaufte Anna in Berlin eine rote Landkarte."
    assert by["ru"] == "Сегодня Анна в Берлине купила красную карту."
    assert by["tr"] == "Bugün Anna Berlin'de kırmızı bir harita aldı."
    assert by["zh"] == "今天安娜在柏林买了一张红色的地图。"
    dogs = Frame(topic="geography", agent="peter", verb="see", thing="bird", number="two")
    assert say(dogs, BY_CODE["ru"]).text == "Пётр увидел двух птиц."
    assert say(dogs, BY_CODE["hi"]).text == "पीटर ने दो चिड़ियाँ देखीं।"
    assert say(dogs, BY_CODE["sw"]).text == "Petro aliona ndege wawili."
    assert say(negate(change(dogs, number=None)), BY_CODE["de"]).text == "Peter sah keinen Vogel."
    assert say(dogs, BY_CODE["es"], asked="thing").text == "¿Qué vio Pedro?"


# --- determinism ------------------------------------------------------------------------------------------------------


def _digest() -> str:
    content = hashlib.sha256()
    for dataset, language, split in ALL:
        if split == "train":
            continue
        content.update(str(rows(dataset, language, split)).encode())
    return content.hexdigest()


def test_the_same_bytes_in_another_process() -> None:
    code = "from tests.trainables.pocket.test_pocket import _digest; print(_digest())"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONHASHSEED": "7"}
    )
    assert told.stdout.strip() == _digest()


def test_any_table_is_made_quickly() -> None:
    started = time.process_time()
    made = [frame for frame, _ in zip(frames(Random(0), "validation"), range(300), strict=False)]
    for la in BY_CODE.values():
        for frame in made:
            say(frame, la)
    assert time.process_time() - started < 2
