"""Rows from frames: single sentences, sentence pairs and paragraphs.

Every function returns rows (dicts in the hub's columns) for one language; the frames behind them come from a seed of
(dataset, split), never of the language, so rows at the same position are translations of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

from trainables.pocket import english, pairs
from trainables.pocket.frames import (
    ASKABLE,
    KIND_OF,
    SORT,
    TOPICS,
    TYPICAL,
    Frame,
    change,
    frames,
    in_split,
    negate,
)
from trainables.pocket.grammar import Language, Sentence, capital, mixed, say

Row = dict[str, Any]

_UPOS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
UPOS = tuple(_UPOS.split())
ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
# The finer English tags: part of speech and role, as far as they occur together.
_CCG = (
    "NOUN-AGENT PROPN-AGENT DET-AGENT VERB-EVENT AUX-EVENT PART-EVENT NOUN-THING ADJ-THING NUM-THING DET-THING "
    "CCONJ-THING ADP-RECIPIENT PROPN-RECIPIENT ADP-COMPANION PROPN-COMPANION ADP-PLACE DET-PLACE NOUN-PLACE "
    "PROPN-PLACE ADP-TIME DET-TIME NOUN-TIME PROPN-TIME ADP-ASKED PRON-ASKED ADV-ASKED PUNCT-END"
)
CCG_TAGS = tuple(_CCG.split())
_CCG_ROLE = {"verb": "EVENT", "wh": "ASKED"}


class Item:
    """A frame and its wording, the same in every language."""

    __slots__ = ("asked", "frame", "order")

    def __init__(self, frame: Frame, order: str | None = None, asked: str | None = None) -> None:
        self.frame, self.order, self.asked = frame, order, asked

    def key(self) -> str:
        """Return a key that is equal for items with the same sentence.

        The slot that is asked for does not count.
        """
        return self.frame.key_without(self.asked) if self.asked else self.frame.key()

    def say(self, language: Language) -> Sentence:
        return say(self.frame, language, self.order, asked=self.asked)


def _topical(frame: Frame) -> bool:
    """Return whether agent or place alone reveal the topic."""
    return SORT[frame.agent.split()[0]] == "profession" or (
        frame.place is not None and SORT.get(frame.place) == "venue"
    )


def _vary(rng: Random, frame: Frame, questions: float, negations: float) -> Item:
    """Choose a wording for a frame; topic and role stay recoverable."""
    if rng.random() < 0.08 and frame.thing in KIND_OF and _topical(frame):
        frame = change(frame, thing=KIND_OF[frame.thing])
    way = rng.random()
    if way < questions:
        told = _topical(frame) or frame.verb in TYPICAL.get(frame.thing, ())
        slots = [s for s in ASKABLE if frame.filler(s) and (s not in ("thing", "agent", "place") or told)]
        if slots:
            return Item(frame, asked=rng.choice(slots))
    if questions <= way < questions + negations:
        return Item(negate(frame))
    return Item(frame, "fronted" if rng.random() < 0.35 else None)


def _items(dataset: str, split: str, *, questions: float, negations: float) -> Iterator[Item]:
    """Generate different sentences of one split, topics in turn, without end."""
    rng = Random(f"{dataset}/{split}")
    sources = [frames(rng, split, topic) for topic in TOPICS]
    seen: set[str] = set()
    while True:
        item = _vary(rng, next(rng.choice(sources)), questions, negations)
        key = item.key()
        if key not in seen and in_split(key, split):
            seen.add(key)
            yield item


@cache
def items(dataset: str, split: str, n: int, questions: float = 0.0, negations: float = 0.0) -> tuple[Item, ...]:
    """Return the first n sentences of a dataset's split."""
    source = _items(dataset, split, questions=questions, negations=negations)
    return tuple(next(source) for _ in range(n))


def sib200(language: Language, split: str, n: int) -> list[Row]:
    first = {"train": 0, "validation": 100_000, "test": 200_000}[split]
    return [
        {"index_id": first + i, "category": TOPICS.index(item.frame.topic), "text": item.say(language).text}
        for i, item in enumerate(items("sib200", split, n, 0.15, 0.1))
    ]


def tatoeba(language: Language, split: str, n: int) -> list[Row]:
    from trainables.pocket.lang_en import ENGLISH

    return [
        {
            "source_sentence": item.say(language).text + "\n",
            "target_sentence": item.say(ENGLISH).text + "\n",
            "source_lang": language.iso3,
            "target_lang": ENGLISH.iso3,
        }
        for item in items("tatoeba", split, n, 0.2, 0.15)
    ]


def udpos(language: Language, split: str, n: int) -> list[Row]:
    return [
        {"tokens": [t.text for t in tokens], "pos_tags": [UPOS.index(t.pos) for t in tokens]}
        for tokens in (item.say(language).tokens for item in items("udpos", split, n, 0.15, 0.15))
    ]


def panx(language: Language, split: str, n: int) -> list[Row]:
    return [
        {
            "tokens": [t.text for t in tokens],
            "ner_tags": [ENTITIES.index(t.entity) for t in tokens],
            "langs": [language.code] * len(tokens),
        }
        for tokens in (item.say(language).tokens for item in items("panx", split, n, 0.0, 0.1))
    ]


def ccg(language: Language, split: str, n: int) -> list[Row]:
    rows = []
    for item in items("ccg", split, n, 0.15, 0.15):
        tokens = item.say(language).tokens
        tags = [CCG_TAGS.index(_ccg_tag(t.pos, t.role)) for t in tokens]
        rows.append({"tokens": [t.text for t in tokens], "tags": tags})
    return rows


def _ccg_tag(pos: str, role: str) -> str:
    """Return the finer tag of a word: part of speech and role."""
    outside = "END" if pos == "PUNCT" else "EVENT"
    return f"{pos}-{outside if role == 'none' else _CCG_ROLE.get(role, role.upper())}"


def nli(dataset: str) -> Callable[[Language, str, int], list[Row]]:
    """Make rows of mnli or xnli, from different frames."""

    def rows(language: Language, split: str, n: int) -> list[Row]:
        return [
            {
                "premise": pair.first.text(language),
                "hypothesis": pair.second.text(language),
                "label": pair.label,
            }
            for pair in pairs.nli(dataset, split, n)
        ]

    return rows


def qqp(language: Language, split: str, n: int) -> list[Row]:
    return [
        {"question1": pair.first.text(language), "question2": pair.second.text(language), "label": pair.label}
        for pair in pairs.questions(split, n)
    ]


def pawsx(language: Language, split: str, n: int) -> list[Row]:
    return [
        {
            "id": i + 1,
            "sentence1": pair.first.text(language),
            "sentence2": pair.second.text(language),
            "label": pair.label,
        }
        for i, pair in enumerate(pairs.paraphrases(split, n))
    ]


@cache
def paragraphs(dataset: str, split: str, n: int) -> tuple[tuple[tuple[Frame, ...], int, str], ...]:
    """Make paragraphs with a question each.

    No filler occurs twice in a paragraph.

    Returns:
        (frames of the paragraph, which one is asked about, slot).
    """
    rng = Random(f"{dataset}/{split}")
    source = frames(rng, split)
    made: list[tuple[tuple[Frame, ...], int, str]] = []
    while len(made) < n:
        chosen = [next(source)]
        size = rng.choice((1, 2, 2))
        while len(chosen) < size:
            more = next(source)
            if all(_fillers(more).isdisjoint(_fillers(f)) for f in chosen):
                chosen.append(more)
        asked = rng.randrange(size)
        slots = [s for s in ASKABLE if chosen[asked].filler(s)]
        made.append((tuple(chosen), asked, rng.choice(slots)))
    return tuple(made)


def _fillers(frame: Frame) -> set[str]:
    values = (frame.agent, frame.verb, frame.thing, frame.other, frame.recipient, frame.companion, frame.place)
    words = {word.removesuffix("_city") for value in values if value for word in value.split()}
    return words | ({frame.time} if frame.time else set())


def squad(dataset: str, title: bool) -> Callable[[Language, str, int], list[Row]]:
    """Make rows of squad or xquad, from different frames."""

    def rows(language: Language, split: str, n: int) -> list[Row]:
        made: list[Row] = []
        for i, (told, asked, slot) in enumerate(paragraphs(dataset, split, n)):
            sentences = [say(frame, language) for frame in told]
            before = sum(len(s.text) + len(language.space) for s in sentences[:asked])
            start, text = sentences[asked].answer(slot)
            row = {
                "id": f"{dataset}-{split}-{i:04d}",
                "context": language.space.join(s.text for s in sentences),
                "question": say(told[asked], language, asked=slot).text,
                "answers": {"text": [text], "answer_start": [before + start]},
            }
            made.append(row | ({"title": told[0].topic} if title else {}))
        return made

    return rows


def mlm(language: Language, split: str, n: int) -> list[Row]:
    """Make lines of raw text for masked LM.

    A line is a single sentence, a sentence and what follows from it, or a sentence, a question and its answer. There
    are n lines of English, two thirds of that of every other language; the languages have different frames. A share of
    every other language mixes English phrases into its sentences, the larger the nearer it is to English: with parallel
    sentences, that is what carries words across languages.
    """
    from trainables.pocket.lang_en import ENGLISH

    rng = Random(f"mlm/{language.code}/{split}")
    lines: list[Row] = []
    for frame in frames(rng, split):
        if len(lines) == (n if language.code == "en" else n * 2 // 3):
            break
        way = rng.random()
        spoken = mixed(language, ENGLISH, rng) if rng.random() < language.mixed else language
        if language.code == "en" and way < 0.25:
            text = english.story(rng, frame)
        elif way < 0.4:
            text = _vary(rng, frame, 0.15, 0.15).say(spoken).text
        elif way < 0.75:
            pair = pairs.nli_pair(rng, frame, rng.choice((0, 2)), fronted=0.5)
            text = language.space.join((pair.first.text(spoken), pair.second.text(spoken)))
        else:
            slot = rng.choice([s for s in ASKABLE if frame.filler(s)])
            told, question = say(frame, spoken), say(frame, spoken, asked=slot)
            text = language.space.join((told.text, question.text, _answer(told, slot, spoken)))
        if in_split(text, split):
            lines.append({"text": text})
    return lines


def _answer(told: Sentence, slot: str, language: Language) -> str:
    answer = told.answer(slot)[1]
    return capital(answer, language) + told.tokens[-1].text
