"""Pocket rows of every dataset: the hub's columns, gold, parallel rows, splits."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from dataclasses import astuple
from functools import cache
from random import Random
from typing import Any, TypeVar, cast

import pytest

from tests import ROOT
from tests.trainables.catalogue.test_schemas import recording
from tests.trainables.pocket.test_pocket import FIRST
from tests.trainables.pocket.test_pocket import rows as stored
from trainables import pocket
from trainables.catalogue import DATASETS, dataset
from trainables.examples import Bitext, Choice, Example, Labelled, Pair, Rated, Span, Utterance, Words
from trainables.pocket import dialogue, glue, inference, pairs, reading, retrieval, stories, tables
from trainables.pocket.frames import ASKABLE, SYNONYM, Frame, change, relation
from trainables.pocket.grammar import say
from trainables.pocket.lang_en import ENGLISH
from trainables.pocket.languages import BY_CODE
from trainables.pocket.pairs import NLI_LABELS
from trainables.sources import open_source

SOURCE = open_source("pocket")
SPLITS = ("train", "validation", "test")
NO_LANGUAGE = ("arcd", "klue_nli")  # Arabic and Korean
MORE = tuple(name for name in pocket.DATASETS if name not in FIRST)
SEVERAL = tuple(name for name in MORE if any(len(languages) > 1 for languages in pocket.splits(name).values()))


@cache
def examples(name: str, language: str, split: str) -> list[Example]:
    return SOURCE.examples(dataset(name), language, split)


Kind = TypeVar("Kind")


def of(kind: type[Kind], name: str, language: str, split: str) -> list[Kind]:
    """Return the examples, asserting that all are of one kind."""
    found = examples(name, language, split)
    assert all(isinstance(e, kind) for e in found)
    return cast("list[Kind]", found)


# --- all of them ------------------------------------------------------------------------------------------------------


def test_every_dataset_is_there_that_has_a_language_of_the_pocket_world() -> None:
    there = [name for name, d in DATASETS.items() if any(SOURCE.languages(d, split) for split in SPLITS)]
    assert sorted({*there, *NO_LANGUAGE}) == sorted(DATASETS)
    assert not any(set(DATASETS[name].configs) & set(pocket.LANGUAGES) for name in NO_LANGUAGE)
    assert {*pocket.DATASETS, "anli_plus", "xnli_pairs", "pawsx_pairs"} == set(there)
    for name in there:
        d = DATASETS[name]
        assert (name == "translations" or SOURCE.languages(d, d.scored)) and SOURCE.standin(d)
        assert d.train_on is None or "en" in SOURCE.languages(DATASETS[d.train_on], "train"), name
        assert set(d.configs) & set(pocket.LANGUAGES) <= {la for s in SPLITS for la in SOURCE.languages(d, s)}


@pytest.mark.parametrize("name", MORE)
def test_every_table_is_read_by_the_reader_of_its_dataset(name: str) -> None:
    d = dataset(name)
    labels = set(SOURCE.labels(d))
    for split in SPLITS:
        for language in SOURCE.languages(d, split):
            found, rows = examples(name, language, split), SOURCE.num_rows(d, language, split)
            assert rows >= 240 and (len(found) == rows or name in ("qnli_ranking", "pawsx_drop_ns"))
            for e in found:
                if isinstance(e, Utterance):
                    assert {e.intent, *e.tags} <= labels
            if d.format.pooled:
                assert min(len(SOURCE.pool(d, language, split, side)) for side in ("source", "target")) >= 120


def test_the_mix_is_read_from_its_parts() -> None:
    found = of(Labelled, "anli_plus", "en", "validation")
    assert Counter(e.id.split("/")[0] for e in found) == {"anli": 300, "mnli": 300, "snli": 300}


@pytest.mark.parametrize("name", [name for name in MORE if "features" in recording(name)])
def test_columns_types_and_label_names_are_those_of_the_recording(name: str) -> None:
    from datasets import ClassLabel, Features, List

    features = Features.from_dict(recording(name)["features"])
    for split, languages in pocket.splits(name).items():
        table = pocket.table(name, languages[-1], split)
        assert table is not None
        assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
            field.name: field.type for field in features.arrow_schema
        }
    recorded = {column: f.feature if isinstance(f, List) else f for column, f in features.items()}
    named = {column: tuple(f.names) for column, f in recorded.items() if isinstance(f, ClassLabel)}
    made = pocket.label_names(name)
    assert made == named or (name == "massive" and made.keys() == named.keys())


def test_only_mtop_leaves_columns_empty() -> None:
    for name in MORE:
        for split, languages in pocket.splits(name).items():
            table = pocket.table(name, languages[0], split)
            assert table is not None
            empty = [column for column in table.column_names if table[column].null_count]
            assert not empty or name == "mtop" and len(empty) == 7


def texts(name: str, language: str, split: str) -> set[str]:
    """Return an example's first text, without the second or the choices."""
    d = dataset(name)
    if d.format.pooled:
        return {e.text for e in SOURCE.pool(d, language, split, "source")}
    found = set()
    for e in examples(name, language, split):
        assert not isinstance(e, Pair)
        first = astuple(e)[2 if isinstance(e, Span) else 1]
        found.add(" ".join(first) if isinstance(first, tuple) else first)
    return found


@pytest.mark.parametrize("name", MORE)
def test_splits_share_no_text(name: str) -> None:
    d = dataset(name)
    for language in {la for split in SPLITS for la in SOURCE.languages(d, split)}:
        sets = [texts(name, language, split) for split in SPLITS if language in SOURCE.languages(d, split)]
        assert len(set().union(*sets)) == sum(map(len, sets)), language


def gold(e: Example) -> Any:
    """Return the part of an example that is the same in every language."""
    match e:
        case Labelled() | Choice():
            return e.id, e.label
        case Utterance():
            return e.id, e.intent, sorted(tag for tag in e.tags if tag[0] == "B")
        case Span():
            return e.id.split("-", 1)[e.id.split("-")[0] not in ("mlqa", "xquad")], len(e.answers)
        case Pair():
            return [id if id.startswith("q") else id.split("-")[-1] for id in (e.source, e.target)]
        case Words():
            return e.id
        case Rated():
            raise AssertionError("English only")
    return e.id, getattr(e, "target", None)


@pytest.mark.parametrize("name", [name for name in SEVERAL if name not in ("pawsx_drop_ns", "lareqa")])
def test_rows_at_equal_places_have_the_same_gold_in_every_language(name: str) -> None:
    d = dataset(name)
    for split in SPLITS:
        languages = SOURCE.languages(d, split)
        first = [gold(e) for e in examples(name, languages[0], split)] if languages else []
        for language in languages[1:]:
            assert [gold(e) for e in examples(name, language, split)] == first, (split, language)


@pytest.mark.parametrize("name", ["massive", "xsid_parallel"])
def test_parallel_rows_meet_by_their_ids(name: str) -> None:
    english = examples(name, "en", "train")
    for language in ("de", "zh"):
        found = SOURCE.parallel(dataset(name), language, "train")
        assert [pair.id for pair in found] == [e.id for e in english]
        assert all(pair.source != pair.target for pair in found)


# --- gold by brute force ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["anli", "snli", "mnli_mm", "rte"])
def test_inference_labels_hold_for_the_frames(name: str) -> None:
    (n,) = {SOURCE.num_rows(dataset(name), "en", "validation")}
    made = {
        "anli": lambda: inference.adversarial("validation", n),
        "rte": lambda: glue.entailments("validation", n),
    }.get(name, lambda: pairs.nli(name, "validation", n))()
    counts = Counter(pair.label for pair in made)
    assert max(counts.values()) - min(counts.values()) <= 1 and len(made) == n
    for pair in made:
        told = relation(pair.first.frame, pair.second.frame)
        assert told == NLI_LABELS[pair.label] if name != "rte" else (told == "entailment") == (pair.label == 0)
        assert name != "anli" or inference.changes(pair.first.frame, pair.second.frame) >= 2
    stored = [(e.first, e.second) for e in of(Labelled, name, "en", "validation")]
    said = {(p.first.text(ENGLISH), p.second.text(ENGLISH)) for p in made}
    assert len(set(stored)) == len(stored) and (name == "mnli_mm" or set(stored) == said)


def test_adversarial_pairs_have_negations_beside_neutral_and_contradiction() -> None:
    negated = Counter(pair.label for pair in inference.adversarial("train", 2400) if pair.second.frame.negated)
    assert min(negated[1], negated[2]) > 200 and negated[0] == 0


def test_untranslated_rows_are_left_out_and_nothing_else_differs_from_pawsx() -> None:
    for split in ("validation", "test"):
        whole = {e.id: e for e in of(Labelled, "pawsx", "de", split)}
        kept = of(Labelled, "pawsx_drop_ns", "de", split)
        assert 3 <= len(whole) - len(kept) <= 10
        assert all(whole[e.id] == e for e in kept)
        assert examples("pawsx_drop_ns", "en", split) == examples("pawsx", "en", split)


def test_equivalent_sentences_entail_each_other_and_the_others_do_not() -> None:
    made = glue.equivalents("train", 2400)
    assert Counter(pair.label for pair in made) == {0: 1200, 1: 1200}
    for pair in made:
        one, other = pair.first.frame, pair.second.frame
        assert (relation(one, other) == relation(other, one) == "entailment") == (pair.label == 1)
        assert pair.first.text(ENGLISH) != pair.second.text(ENGLISH)


def test_similarity_is_the_share_of_equal_fillers() -> None:
    made = glue.rated_pairs("validation", 300)
    degrees: Counter[int] = Counter()
    for one, other in made:
        slots = ("agent", "verb", "thing", "adjective", "number", "recipient", "companion", "place", "time")
        fillers = [(getattr(one.frame, s), getattr(other.frame, s)) for s in slots]
        used = [(a, b) for a, b in fillers if a or b]
        value = 5 * sum(a == b or bool(a and b and SYNONYM.get(a) == b) for a, b in used) / len(used)
        assert glue.similarity(one.frame, other.frame) == pytest.approx(value, abs=0.01)
        degrees[int(value + 0.5)] += 1
    assert degrees == dict.fromkeys(range(6), 50)
    stored = of(Rated, "stsb", "en", "validation")
    assert {e.first for e in stored} == {one.text(ENGLISH) for one, _ in made}
    assert min(e.value for e in stored) < 0.5 and max(e.value for e in stored) == 5


def test_every_further_change_makes_sentences_less_similar() -> None:
    frame = Frame(topic="travel", agent="anna", verb="buy", thing="car", adjective="red", place="berlin", time="today")
    steps = [frame, change(frame, thing="automobile"), change(frame, time="monday")]
    steps += [change(steps[-1], place="rome"), change(steps[-1], place="rome", agent="boris", adjective=None)]
    values = [glue.similarity(frame, step) for step in steps]
    assert values[:2] == [5, 5] and values[1:] == sorted(values[1:], reverse=True) and len(set(values[1:])) == 4
    assert all(glue.similarity(step, frame) == value for step, value in zip(steps, values, strict=True))


def test_unacceptable_sentences_have_the_right_words_in_an_order_that_nothing_says() -> None:
    rng = Random(0)
    for item in tables.items("cola", "validation", 300, 0.2, 0.15):
        sentence = item.say(ENGLISH)
        text = glue.disordered(rng, sentence)
        asked = [s for s in ASKABLE if item.frame.filler(s)]
        orders = [say(item.frame, ENGLISH, order).text for order in (None, "fronted")]
        orders += [say(item.frame, ENGLISH, order, asked=s).text for order in (None, "fronted ") for s in asked]
        assert text not in orders
        assert sorted(text[:-1].lower().split()) == sorted(sentence.text[:-1].lower().split()), text
    made = of(Labelled, "cola", "en", "train")
    assert Counter(e.label for e in made) == {0: 1200, 1: 1200}
    right = {e.first for e in made if e.label}
    assert not right & {e.first for e in made if not e.label}


def test_an_opinion_is_good_or_bad_and_a_negation_turns_it_round() -> None:
    made = of(Labelled, "sst2", "en", "train")
    assert Counter(e.label for e in made) == {0: 1200, 1: 1200}
    assert 400 < sum(" not " in e.first for e in made) < 800
    for e in made:
        words = e.first.split()
        (opinion,) = [word for word in words if word in (*glue.GOOD, *glue.BAD)]
        assert e.label == ((opinion in glue.GOOD) != ("not" in words))


def answered(told: tuple[Frame, ...], question: Frame, slot: str) -> bool:
    """Return whether any statement answers a question.

    It does if its own filler, put into the question, makes a statement that follows from it.
    """
    for frame in told:
        if frame.filler(slot) is not None:
            claim = change(question, **{slot: frame.filler(slot)})
            if slot == "thing":
                claim = change(claim, adjective=None, number=None, other=None)
            if relation(frame, claim) == "entailment":
                return True
    return False


def test_a_paragraph_answers_the_answerable_questions_and_no_others() -> None:
    for split, n in (("train", 2400), ("validation", 300)):
        made = reading.with_open_questions(split, n)
        for e, (told, question, slot, has_answer) in zip(examples("squad_v2", "en", split), made, strict=True):
            assert isinstance(e, Span) and bool(e.answers) == has_answer == answered(told, question, slot), e
        assert Counter(has for *_, has in made) == {True: n // 2, False: n // 2}


@pytest.mark.parametrize("language", pocket.LANGUAGES)
def test_answers_are_what_fills_the_asked_role(language: str) -> None:
    for name, split in (("mlqa", "test"), ("tydiqa", "validation")):
        if language not in SOURCE.languages(dataset(name), split):
            continue  # MLQA's metric has rules for seven languages
        n = SOURCE.num_rows(dataset(name), language, split)
        asked = tables.paragraphs(name, split, n)
        for e, (told, which, slot) in zip(examples(name, language, split), asked, strict=True):
            assert isinstance(e, Span)
            ((start, text),) = e.answers
            assert e.context[start : start + len(text)] == text == say(told[which], BY_CODE[language]).answer(slot)[1]
            assert name == "mlqa" or e.id.startswith(reading.NAMED[language] + "-")


def test_every_question_has_a_sentence_that_answers_it_and_one_that_does_not() -> None:
    for question, slot, told, answers in glue.questioned("validation", 300):
        assert answered((told,), question, slot) == answers
    for split, n in (("train", 2400), ("validation", 300)):
        rows = of(Labelled, "qnli", "en", split)
        ranked = of(Choice, "qnli_ranking", "en", split)
        assert len(ranked) == n // 2 and len(rows) == n
        right = {(e.first, e.second) for e in rows if e.label == 0}
        for e in ranked:
            assert [(e.prompt, choice) in right for choice in e.choices] == [True, False]


def test_one_alternative_of_two_is_a_cause_or_an_effect() -> None:
    for name, split, n in (("copa", "train", 2400), ("xcopa", "test", 300)):
        made = stories.alternatives(name, split, n)
        for found in made:
            fits = [
                stories.leads_to(*((choice, found.premise) if found.question == "cause" else (found.premise, choice)))
                for choice in found.choices
            ]
            assert fits == [found.label == 0, found.label == 1], found
        assert Counter(found.question for found in made) == {"cause": n // 2, "effect": n // 2}
        assert 0.45 < sum(found.label for found in made) / n < 0.55


def test_social_questions_have_three_different_answers_of_which_any_may_be_right() -> None:
    made = of(Choice, "siqa", "en", "train")
    assert all(len(set(e.choices)) == 3 for e in made)
    assert min(Counter(e.label for e in made).values()) > 600
    for e in made:
        if "feel" in e.prompt:
            assert (e.choices[e.label] in ("sad", "angry", "upset", "worried")) == (" lost " in e.prompt)


# --- retrieval --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "n"), [("validation", 240), ("test", 300)])
def test_distractors_are_near_the_gold_and_translations_of_nothing(split: str, n: int) -> None:
    gold, here, there = retrieval.mined(split, n)
    assert len({retrieval.meaning(frame) for frame in (*gold, *here, *there)}) == 3 * n
    d = dataset("bucc2018")
    english = SOURCE.pool(d, "de", split, "target")
    told = {say(frame, ENGLISH).text for frame in gold}
    assert len({e.text for e in english}) == len(english) == 2 * n and len(told & {e.text for e in english}) == n
    for language in pocket.LANGUAGES[1:]:
        pool = SOURCE.pool(d, language, split, "source")
        assert len({e.text for e in pool}) == len(pool) == 2 * n, language
        assert SOURCE.pool(d, language, split, "target") == english
        first = {e.id: e.text for e in pool}
        second = {e.id: e.text for e in english}
        meant = {say(frame, BY_CODE[language]).text: say(frame, ENGLISH).text for frame in gold}
        found = of(Pair, "bucc2018", language, split)
        assert len({e.source for e in found}) == len({e.target for e in found}) == n
        assert all(meant[first[e.source]] == second[e.target] for e in found)
    words = {word for text in told for word in text.split()}
    near = [e.text for e in english if e.text not in told]
    assert all(len(set(text.split()) & words) >= 3 for text in near)


def test_gold_pairs_are_those_of_the_pools() -> None:
    for row in stored("bucc_gold_pairs", "ru", "test"):
        assert row["source_lang"].startswith("ru-") and row["target_lang"].startswith("en-")
    pool = {e.text for e in SOURCE.pool(dataset("bucc2018"), "ru", "test", "source")}
    assert {e.source for e in of(Bitext, "bucc_gold_pairs", "ru", "test")} <= pool


def test_a_mention_is_marked_in_its_sentence_and_means_one_entity() -> None:
    d = dataset("mewslix")
    about = zip(retrieval.entities(), retrieval.described(), strict=True)
    names = [say(frame, ENGLISH).answer(slot)[1] for (slot, _), frame in about]
    for language in ("en", "ru", "zh"):
        assert len(SOURCE.pool(d, language, "test", "target")) == len(names) == 132
        queries = {e.id: e.text for e in SOURCE.pool(d, language, "test", "source")}
        for e in examples("mewslix", language, "test"):
            assert isinstance(e, Pair)
            name, _, sentence = queries[e.source].partition(": ")
            assert f"{{ {name} }}" in sentence
            assert language != "en" or name == names[int(e.target[1:]) - 1]


def test_the_sentences_of_all_languages_that_answer_are_right_and_no_others() -> None:
    d, made = dataset("lareqa"), retrieval.passages(120)
    sentences = [frame for told, _, _ in made for frame in told]
    for told, which, slot in made:
        question = told[which]
        assert [frame for frame in sentences if answered((frame,), question, slot)] == [question]
    for language in pocket.LANGUAGES:
        pool = [e.id for e in SOURCE.pool(d, language, "validation", "target")]
        assert pool[0].startswith(language) and len(pool) == len(set(pool)) == len(sentences) * 8
        right = Counter(e.source for e in of(Pair, "lareqa", language, "validation"))
        assert set(right.values()) == {8} and len(right) == 120


# --- dialogue ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", pocket.LANGUAGES)
def test_slots_are_what_fills_the_roles(language: str) -> None:
    made = dialogue.utterances("massive", BY_CODE[language], "test", 300)
    for e, spoken in zip(examples("massive", language, "test"), made, strict=True):
        assert isinstance(e, Utterance)
        filled: dict[str, str] = {}
        for word, tag in zip(e.words, e.tags, strict=True):
            if tag != "O":
                filled[tag[2:]] = filled.get(tag[2:], "") + word
        asked = [role for role in dialogue.SLOTS if spoken.frame.filler(role) and role not in filled]
        assert len(asked) <= 1
        for role, text in filled.items():
            answer = spoken.sentence.answer(role)[1].replace(" ", "")
            assert text == answer or (role == "time" and answer in text)


def test_the_notations_of_one_frame_say_the_same() -> None:
    for name, intent in (("mtod", dialogue.topic_intent), ("multiatis", dialogue.act_intent)):
        made = dialogue.utterances(name, ENGLISH, "test", 300)
        for e, spoken in zip(examples(name, "en", "test"), made, strict=True):
            assert isinstance(e, Utterance) and e.intent == intent(spoken.frame) and list(e.tags) == spoken.tags()
    for e, spoken in zip(
        examples("mtop", "hi", "test"), dialogue.utterances("mtop", BY_CODE["hi"], "test", 300), strict=True
    ):
        assert isinstance(e, Utterance) and e.intent == f"IN:{spoken.frame.verb.upper()}_THING"
        assert [tag.replace("SL:", "").lower() for tag in e.tags] == [tag.lower() for tag in spoken.tags()]
    assert examples("xsid", "en", "train") == examples("xsid_parallel", "en", "train")


# --- the same bytes ---------------------------------------------------------------------------------------------------

FEW = (("massive", "de", "test"), ("bucc2018", "zh", "validation"), ("stsb", "en", "validation"),
       ("squad_v2", "en", "validation"), ("xcopa", "sw", "test"), ("mewslix", "hi", "validation"))  # fmt: skip


def fingerprints() -> list[str]:
    return [SOURCE.fingerprint(dataset(name), language, split) for name, language, split in FEW]


def test_another_process_makes_the_same_rows() -> None:
    code = "import json; from tests.trainables.pocket.test_pocket_rows import fingerprints; print(json.dumps(fingerprints()))"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONHASHSEED": "7"}
    )
    assert json.loads(told.stdout) == fingerprints()


OLD = "688be466177980969b766978090670abbc326379388628239bed2ee6167d042a"


def test_the_rows_beside_which_the_shipped_encoder_was_made_stay_what_they_are() -> None:
    """A change here changes every result of the shipped encoder."""
    content = hashlib.sha256()
    for name in FIRST:
        for split, languages in pocket.splits(name).items():
            later = {"tr", "zh"} if (name, split) == ("pawsx", "train") else set()  # rows that came after it
            for language in ("en", "tr", "zh"):
                if language in languages and language not in later:
                    rows = stored(name, language, split)
                    content.update(json.dumps([name, split, language, rows], ensure_ascii=False).encode())
    assert content.hexdigest() == OLD
