"""Pocket utterances with intents and slots.

The intent is the topic of an event and what is done in it; the slots are the fillers of its roles. Every dataset has
the notation of its own release and its own frames; rows at equal positions are translations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pyarrow as pa

from trainables.pocket import tables
from trainables.pocket.frames import TOPICS, Frame
from trainables.pocket.grammar import Language, Sentence
from trainables.pocket.languages import LANGUAGES
from trainables.pocket.table import DEV, ENGLISH_ONLY, FROM_ENGLISH, LABEL, PARALLEL_TRAIN, TEXT, WORDS, Row, Table

_ACTS = {
    "trade": "buy sell steal choose",
    "pass": "give send show throw",
    "search": "lose find discover catch",
    "make": "build repair test write draw cook",
    "perceive": "see hear read",
    "consume": "eat swallow",
    "perform": "sing win carry cross reject",
}
ACT: Mapping[str, str] = {verb: act for act, verbs in _ACTS.items() for verb in verbs.split()}
DOMAIN: Mapping[str, str] = {topic: topic.split("/")[-1] for topic in TOPICS}
_LOCALE = {"en": "US", "de": "DE", "es": "ES", "ru": "RU", "tr": "TR", "hi": "IN", "sw": "KE", "zh": "CN"}
SLOTS = ("agent", "thing", "recipient", "companion", "place", "time")


class Spoken(NamedTuple):
    """An utterance with its intent and slots.

    Slots are (first word, last word + 1, role), in order.
    """

    frame: Frame
    sentence: Sentence
    slots: tuple[tuple[int, int, str], ...]

    def tags(self) -> list[str]:
        """Return one BIO tag per word, with the role in lower case."""
        found = ["O"] * len(self.sentence.tokens)
        for first, end, role in self.slots:
            found[first:end] = [f"B-{role}"] + [f"I-{role}"] * (end - first - 1)
        return found


def utterances(dataset: str, language: Language, split: str, n: int) -> list[Spoken]:
    """Make statements and questions.

    The slot that a question asks for is not filled.
    """
    return [
        _spoken(item.frame, item.say(language), item.asked) for item in tables.items(_frames_of(dataset), split, n, 0.3)
    ]


def _frames_of(dataset: str) -> str:
    """Name the dataset whose frames a dataset uses.

    xSID's machine translations are those of its own train set.
    """
    return dataset.removesuffix("_parallel")


def _spoken(frame: Frame, sentence: Sentence, asked: str | None) -> Spoken:
    """Find the slots of a sentence.

    A slot is the filler of a role without function words; a time is the whole phrase ("on Monday").
    """
    slots = []
    for role in SLOTS:
        if role in sentence.spans and role != asked:
            start, end = sentence.spans[role]
            words = [i for i, t in enumerate(sentence.tokens) if t.role == role]
            inside = [i for i in words if role == "time" or start <= sentence.tokens[i].start < end]
            slots.append((inside[0], inside[-1] + 1, role))
    return Spoken(frame, sentence, tuple(sorted(slots)))


def act_intent(frame: Frame) -> str:
    """Return the action of a frame, one of seven."""
    return f"pocket_{ACT[frame.verb]}"


def topic_intent(frame: Frame) -> str:
    """Return topic and action as MTOD and xSID write them."""
    return f"{DOMAIN[frame.topic]}/{ACT[frame.verb]}"


def _lists(
    dataset: str, intent: Callable[[Frame], str], *, ids: bool = True
) -> Callable[[Language, str, int], list[Row]]:
    """Write words and tags as lists.

    The files of MultiATIS++, MTOD and xSID are read in this form.
    """

    def rows(language: Language, split: str, n: int) -> list[Row]:
        return [
            {
                "tokens": [t.text for t in spoken.sentence.tokens],
                "slot_tags": spoken.tags(),
                "intent": intent(spoken.frame),
                **({"id": str(i)} if ids else {}),
            }
            for i, spoken in enumerate(utterances(dataset, language, split, n), 1)
        ]

    return rows


def _mtop(language: Language, split: str, n: int) -> list[Row]:
    """Write MTOP's columns, with slots as character spans.

    As on the hub, English is in the columns whose names begin with a space.
    """
    rows = []
    for i, spoken in enumerate(utterances("mtop", language, split, n)):
        tokens = spoken.sentence.tokens
        spans = [{"start": t.start, "length": len(t.text)} for t in tokens]
        slots = [
            f"{tokens[first].start}:{tokens[end - 1].start + len(tokens[end - 1].text)}:SL:{role.upper()}"
            for first, end, role in spoken.slots
        ]
        values = {
            "intent": f"IN:{spoken.frame.verb.upper()}_THING",
            "slot": ",".join(slots),
            "utterance": spoken.sentence.text,
            "domain": DOMAIN[spoken.frame.topic],
            "locale": f"{language.code}_XX",
            "dcp_form": "[]",
            "tokens": json.dumps({"tokens": [t.text for t in tokens], "tokenSpans": spans}, ensure_ascii=False),
        }
        prefix = " " if language.code == "en" else ""
        rows.append({"id": i, **{prefix + name: value for name, value in values.items()}})
    return rows


_SCENARIOS = tuple(sorted(DOMAIN.values()))
_INTENTS = tuple(f"{scenario}_{act}" for scenario in _SCENARIOS for act in sorted(_ACTS))


def _massive(language: Language, split: str, n: int) -> list[Row]:
    """Write MASSIVE's utterances with "[slot : value]"."""
    rows = []
    for i, spoken in enumerate(utterances("massive", language, split, n)):
        text, frame = spoken.sentence.text, spoken.frame
        annotated, end = "", 0
        for first, last, role in spoken.slots:
            tokens = spoken.sentence.tokens[first:last]
            start, stop = tokens[0].start, tokens[-1].start + len(tokens[-1].text)
            annotated += f"{text[end:start]}[{role} : {text[start:stop]}]"
            end = stop
        rows.append(
            {
                "id": str(i),
                "locale": f"{language.code}-{_LOCALE[language.code]}",
                "partition": {"validation": "dev"}.get(split, split),
                "scenario": _SCENARIOS.index(DOMAIN[frame.topic]),
                "intent": _INTENTS.index(f"{DOMAIN[frame.topic]}_{ACT[frame.verb]}"),
                "utt": text,
                "annot_utt": annotated + text[end:],
                "worker_id": "0",
            }
        )
    return rows


_MTOP = ("intent", "slot", "utterance", "domain", "locale", "dcp_form", "tokens")
_LISTS = {"tokens": WORDS, "slot_tags": WORDS, "intent": TEXT}
_MASSIVE = {
    **dict.fromkeys(("id", "locale", "partition"), TEXT),
    **dict.fromkeys(("scenario", "intent"), LABEL),
    **dict.fromkeys(("utt", "annot_utt", "worker_id"), TEXT),
}
TABLES = {
    "multiatis": Table(rows=_lists("multiatis", act_intent, ids=False), columns=_LISTS, splits=FROM_ENGLISH),
    "mtop": Table(
        rows=_mtop,
        columns={"id": pa.int64(), **{f"{p}{name}": TEXT for p in (" ", "") for name in _MTOP}},
        splits=FROM_ENGLISH,
    ),
    "mtod": Table(rows=_lists("mtod", topic_intent), columns={**_LISTS, "id": TEXT}, splits=FROM_ENGLISH),
    "massive": Table(
        rows=_massive,
        columns=_MASSIVE,
        splits={**FROM_ENGLISH, "train": (LANGUAGES, PARALLEL_TRAIN)},
        labels={"scenario": _SCENARIOS, "intent": _INTENTS},
    ),
    "xsid": Table(
        rows=_lists("xsid", topic_intent),
        columns={**_LISTS, "id": TEXT},
        splits={**FROM_ENGLISH, "train": (ENGLISH_ONLY, PARALLEL_TRAIN)},
    ),
    "xsid_parallel": Table(
        rows=_lists("xsid_parallel", topic_intent),
        columns={**_LISTS, "id": TEXT},
        splits={"train": (LANGUAGES, PARALLEL_TRAIN), "validation": (ENGLISH_ONLY, DEV)},
    ),
}
