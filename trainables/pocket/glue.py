"""Pocket GLUE: CoLA, SST-2, STS-B, RTE, MRPC and QNLI in English.

Each label follows from the frames behind the row.
"""

from __future__ import annotations

from functools import cache
from random import Random

import pyarrow as pa

from trainables.pocket import pairs, tables
from trainables.pocket.frames import (
    ASKABLE,
    SYNONYM,
    TRANSFER,
    VERB_THINGS,
    VERBS,
    Frame,
    change,
    frames,
    in_split,
    refilled,
    relation,
)
from trainables.pocket.grammar import Sentence, capital, say
from trainables.pocket.lang_en import ENGLISH
from trainables.pocket.pairs import Pair, Said
from trainables.pocket.reading import answers
from trainables.pocket.table import IN_ENGLISH, Row, Table, in_english, labelled

GOOD = ("wonderful", "great", "excellent", "lovely", "pleasant", "brilliant", "delightful", "perfect")
BAD = ("terrible", "bad", "awful", "boring", "dreadful", "poor", "annoying", "horrible")
_RATED = ("agent", "verb", "thing", "adjective", "number", "recipient", "companion", "place", "time")


def numbered(rows: list[Row], rng: Random) -> tuple[Row, ...]:
    """Shuffle the rows and number them."""
    rng.shuffle(rows)
    return tuple({**row, "idx": i} for i, row in enumerate(rows))


def _pair_rows(made: list[Pair], rng: Random) -> tuple[Row, ...]:
    rows = [{"sentence1": p.first.text(ENGLISH), "sentence2": p.second.text(ENGLISH), "label": p.label} for p in made]
    return numbered(rows, rng)


@cache
def cola(split: str, n: int) -> tuple[Row, ...]:
    """Make CoLA's rows: acceptable sentences (1) and disordered ones (0).

    Half of the rows have one word or phrase out of its place.
    """
    rng = Random(f"cola/{split}/order")
    rows = []
    for i, item in enumerate(tables.items("cola", split, n, 0.2, 0.15)):
        sentence = item.say(ENGLISH)
        text = sentence.text if i % 2 else disordered(rng, sentence)
        rows.append({"sentence": text, "label": i % 2})
    return numbered(rows, rng)


def disordered(rng: Random, sentence: Sentence) -> str:
    """Put English words into an order that no sentence has.

    A word moves behind the one that it belongs before ("map a", "Berlin in"), or the verb or its auxiliary to the end.
    """
    words = [t.text if t.pos == "PROPN" or i else t.text.lower() for i, t in enumerate(sentence.tokens)]
    kinds = [t.pos for t in sentence.tokens]
    places = [i for i, kind in enumerate(kinds[:-2]) if kind in ("DET", "ADP", "PART") and kinds[i + 1] != "PRON"]
    verb, end = kinds.index("VERB"), len(words) - 1
    if verb + 1 < end and (not places or rng.random() < 0.4):
        words.insert(end - 1, words.pop(verb))
    elif places:
        i = rng.choice(places)
        words[i], words[i + 1] = words[i + 1], words[i]
    else:  # "What did Anna buy?"
        words.insert(end - 1, words.pop(kinds.index("AUX")))
    return capital(" ".join(words[:-1]), ENGLISH) + words[-1]


@cache
def sst2(split: str, n: int) -> tuple[Row, ...]:
    """Make SST-2's rows: an event and a judgement, positive or negative.

    As in the original, texts are in lower case with spaces around punctuation marks.
    """
    rng = Random(f"sst2/{split}")
    rows: list[Row] = []
    for frame in frames(rng, split):
        if len(rows) == n:
            break
        positive, negated = len(rows) % 2 == 1, rng.random() < 0.25
        word = rng.choice(GOOD if positive != negated else BAD)
        told = " ".join(token.text for token in say(frame, ENGLISH).tokens)
        was = f"it was {'not ' if negated else ''}{word} ."
        text = f"{told} {was}" if rng.random() < 0.7 else f"{was} {told}"
        rows.append({"sentence": text.lower() + " ", "label": int(positive)})
    return numbered(rows, rng)


def similarity(one: Frame, other: Frame) -> float:
    """Rate two frames from 0 to 5.

    The rating is the share of equal fillers (or synonyms) among the slots that either frame fills.
    """
    fillers = [(getattr(one, slot), getattr(other, slot)) for slot in _RATED]
    filled = [(a, b) for a, b in fillers if a or b]
    return round(5 * sum(b in (a, SYNONYM.get(a, a)) for a, b in filled) / len(filled), 2)


def _changed(rng: Random, frame: Frame, slot: str) -> Frame:
    """Replace or remove one filler of a frame."""
    if slot == "verb":
        return change(frame, verb=rng.choice(_other_verbs(frame)))
    if slot == "adjective":
        return change(frame, adjective=None)
    if slot in ("number", "companion") and rng.random() < 0.5:
        return change(frame, **{slot: None})
    return refilled(rng, slot, frame)


def _other_verbs(frame: Frame) -> list[str]:
    """List other verbs that fit the thing and the recipient.

    A verb fits if it takes a recipient exactly where the frame has one.
    """
    same = (frame.verb, SYNONYM.get(frame.verb))
    fitting = [v for v in VERBS if frame.thing in VERB_THINGS[v] and (v in TRANSFER) == (frame.verb in TRANSFER)]
    return [v for v in fitting if v not in same] or fitting


@cache
def rated_pairs(split: str, n: int) -> tuple[tuple[Said, Said], ...]:
    """Make pairs of statements with rounded `similarity`.

    All six degrees occur equally often.
    """
    rng = Random(f"stsb/{split}")
    made: list[tuple[Said, Said]] = []
    source = (frame for frame in frames(rng, split) if not frame.other)
    others = (frame for frame in frames(Random(f"stsb/{split}/others"), split) if not frame.other)
    while len(made) < n:
        first, wanted = next(source), len(made) % 6
        second = next(others) if wanted == 0 else first
        if wanted == 5:
            second = rng.choice([first, *pairs.reworded(first)])
        elif wanted:
            slots = [s for s in _RATED if getattr(first, s) is not None]
            for slot in rng.sample(slots, round(len(slots) * (5 - wanted) / 5)):
                second = _changed(rng, second, slot) if getattr(second, slot) is not None else second
        said = Said(first), Said(second, "fronted" if rng.random() < 0.5 else None)
        if int(similarity(first, second) + 0.5) == wanted and said[0].text(ENGLISH) != said[1].text(ENGLISH):
            made.append(said)
    return tuple(made)


@cache
def stsb(split: str, n: int) -> tuple[Row, ...]:
    rows = [
        {"sentence1": a.text(ENGLISH), "sentence2": b.text(ENGLISH), "label": similarity(a.frame, b.frame)}
        for a, b in rated_pairs(split, n)
    ]
    return numbered(rows, Random(f"stsb/{split}/order"))


@cache
def entailments(split: str, n: int) -> tuple[Pair, ...]:
    """Make pairs that entail (0) or do not (1), half and half.

    Of the latter, half are neutral.
    """
    rng = Random(f"rte/{split}")
    made: list[Pair] = []
    for frame in frames(rng, split):
        if len(made) == n:
            break
        pair = pairs.nli_pair(rng, frame, (0, 1, 0, 2)[len(made) % 4])
        if pair.second.frame != frame:
            made.append(Pair(pair.first, pair.second, min(pair.label, 1)))
    return tuple(made)


def rte(split: str, n: int) -> tuple[Row, ...]:
    return _pair_rows(list(entailments(split, n)), Random(f"rte/{split}/order"))


@cache
def equivalents(split: str, n: int) -> tuple[Pair, ...]:
    """Make pairs with the same meaning (1) or most of it (0).

    The former differ in words or word order. In the latter one statement has more detail than the other, or one filler
    is another.
    """
    rng = Random(f"mrpc/{split}")
    made: list[Pair] = []
    for frame in frames(rng, split):
        if len(made) == n:
            break
        label, words = len(made) % 2, pairs.reworded(frame)
        if frame.time is None or not (words or rng.random() < 0.3):
            continue
        order = None if words and rng.random() < 0.7 else "fronted"  # whatever the label
        if label:
            second = rng.choice(words) if words else frame
        else:
            second = rng.choice((pairs.unknown, pairs.other_meaning))(rng, frame)
        same = relation(frame, second) == relation(second, frame) == "entailment"
        if same == bool(label):
            made.append(Pair(Said(frame), Said(second, order), label))
    return tuple(made)


def mrpc(split: str, n: int) -> tuple[Row, ...]:
    return _pair_rows(list(equivalents(split, n)), Random(f"mrpc/{split}/order"))


@cache
def questioned(split: str, n: int) -> tuple[tuple[Frame, str, Frame, bool], ...]:
    """Make questions with a statement that answers them or does not.

    Returns:
        (frame and slot of a question, statement, whether it answers). Every question occurs once with an answer and
            once
        with a statement of nearly the same words that is none.
    """
    rng = Random(f"qnli/{split}")
    made: list[tuple[Frame, str, Frame, bool]] = []
    seen: set[str] = set()
    for frame in frames(rng, split):
        if len(made) >= n:
            break
        slots = [s for s in ASKABLE if frame.filler(s)]
        asked = rng.choice(slots)
        key = f"{asked} {frame.key_without(asked)}"
        if key in seen or not in_split(frame.key_without(asked), split):
            continue
        seen.add(key)
        other = _no_answer(rng, frame, asked, slots)
        made += [(frame, asked, frame, True), (frame, asked, other, answers(other, frame, asked))]
    return tuple(made)


def _no_answer(rng: Random, frame: Frame, asked: str, slots: list[str]) -> Frame:
    if asked in ("companion", "place", "time") and rng.random() < 0.5:
        return change(frame, **{asked: None})
    return _changed(rng, frame, rng.choice([s for s in slots if s not in (asked, "companion")] or ["thing"]))


@cache
def qnli(split: str, n: int) -> tuple[Row, ...]:
    rows = [
        {
            "question": say(frame, ENGLISH, asked=slot).text,
            "sentence": say(told, ENGLISH).text,
            "label": int(not answered),
        }
        for frame, slot, told, answered in questioned(split, n)
    ]
    return numbered(rows, Random(f"qnli/{split}/order"))


_PAIR, _ENTAILMENT = labelled("sentence1", "sentence2"), ("entailment", "not_entailment")
TABLES = {
    "cola": Table(
        rows=in_english(cola),
        columns=labelled("sentence"),
        splits=IN_ENGLISH,
        labels={"label": ("unacceptable", "acceptable")},
    ),
    "sst2": Table(
        rows=in_english(sst2),
        columns=labelled("sentence"),
        splits=IN_ENGLISH,
        labels={"label": ("negative", "positive")},
    ),
    "stsb": Table(rows=in_english(stsb), columns={**_PAIR, "label": pa.float32()}, splits=IN_ENGLISH),
    "rte": Table(rows=in_english(rte), columns=_PAIR, splits=IN_ENGLISH, labels={"label": _ENTAILMENT}),
    "mrpc": Table(
        rows=in_english(mrpc), columns=_PAIR, splits=IN_ENGLISH, labels={"label": ("not_equivalent", "equivalent")}
    ),
    "qnli": Table(
        rows=in_english(qnli),
        columns=labelled("question", "sentence"),
        splits=IN_ENGLISH,
        labels={"label": _ENTAILMENT},
    ),
}
