"""Pools for sentence retrieval: BUCC, Mewsli-X, LAReQA.

BUCC's distractors share words with the gold sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from random import Random

from trainables.pocket import tables
from trainables.pocket.frames import (
    BRANDS,
    CITIES,
    NAMES,
    ORGS,
    PROFESSIONS,
    SURNAMES,
    SYNONYM,
    VENUES,
    Frame,
    change,
    frames,
    in_split,
    refilled,
)
from trainables.pocket.grammar import Language, say
from trainables.pocket.lang_en import ENGLISH
from trainables.pocket.languages import BY_CODE, LANGUAGES, OTHERS
from trainables.pocket.reading import answers
from trainables.pocket.table import DEV, GOLD, TEST, TEXT, Row, Table, pooled

_QUESTIONS = 120  # of LAReQA, with over two sentences each in eight languages
_SPLITS = {"validation": DEV, "test": TEST}
Passage = tuple[tuple[Frame, ...], int, str]


def meaning(frame: Frame) -> str:
    """Return a frame's key, equal for frames that differ in synonyms only.

    Either of such frames is as good a translation as the other.
    """
    first = {s: min(f, SYNONYM[f]) for s in ("agent", "verb", "thing") if (f := str(frame.filler(s))) in SYNONYM}
    return change(frame, **first).key()


def _near(rng: Random, frame: Frame, kept: str = "") -> Frame:
    """Replace one filler, other than that of slot `kept`.

    The new filler is another of the same sort.
    """
    slots = [s for s in ("agent", "thing", "recipient", "companion", "place", "time") if frame.filler(s) and s != kept]
    slot = rng.choice(slots)
    return refilled(rng, slot, frame)


@cache
def mined(split: str, n: int) -> tuple[tuple[Frame, ...], tuple[Frame, ...], tuple[Frame, ...]]:
    """Draw n gold frames, and n distractors for each of two pools.

    Gold frames are in both pools; each distractor is near a gold frame. No two of the three times n frames have the
    same meaning.
    """
    rng = Random(f"bucc2018/{split}")
    seen: set[str] = set()

    def new(source: Iterator[Frame]) -> Iterator[Frame]:
        for frame in source:
            if meaning(frame) not in seen and in_split(frame.key(), split):
                seen.add(meaning(frame))
                yield frame

    gold = tuple(islice(new(frames(rng, split)), n))
    near = new(_near(rng, rng.choice(gold)) for _ in iter(int, 1))  # without end
    return gold, tuple(islice(near, n)), tuple(islice(near, n))


@cache
def _ids(language: str, split: str, n: int) -> tuple[str, ...]:
    """Return an id for each frame of a pool, gold first.

    Equal positions in the two pools have unrelated ids.
    """
    numbers = list(range(1, 2 * n + 1))
    Random(f"bucc2018/{split}/{language == 'en'}").shuffle(numbers)
    return tuple(f"{language}-{number:09d}" for number in numbers)


def _bucc(language: Language, table: str, n: int) -> list[Row]:
    """Make pools in id order, gold pairs in the order of source ids."""
    part, _, split = table.partition("_")
    gold, here, there = mined(split, n)
    ids, english = _ids(language.code, split, n), _ids("en", split, n)
    if part == "pairs":
        return [{"source_id": a, "target_id": b} for a, b in sorted(zip(ids[:n], english[:n], strict=True))]
    if part == "source":
        return _pool((id, say(frame, language).text) for id, frame in zip(ids, (*gold, *here), strict=True))
    return _pool((id, say(frame, ENGLISH).text) for id, frame in zip(english, (*gold, *there), strict=True))


def _pool(entries: Iterator[tuple[str, str]]) -> list[Row]:
    return [{"id": id, "text": text} for id, text in sorted(entries)]


def _gold_pairs(language: Language, split: str, n: int) -> list[Row]:
    """Make BUCC's gold pairs alone.

    The hub's copy has the ids where the languages should be.
    """
    source, target = (
        {row["id"]: row["text"] for row in _bucc(language, f"{p}_{split}", n)} for p in ("source", "target")
    )
    return [
        {
            "source_sentence": source[pair["source_id"]],
            "target_sentence": target[pair["target_id"]],
            "source_lang": pair["source_id"],
            "target_lang": pair["target_id"],
        }
        for pair in _bucc(language, f"pairs_{split}", n)
    ]


@cache
def entities() -> tuple[tuple[str, str], ...]:
    """List (slot, filler) of all named entities, shuffled.

    They are people with a surname, cities and organisations.
    """
    found = [("agent", f"{name} {surname}") for name in NAMES for surname in SURNAMES]
    found += [("place", city) for city in CITIES] + [("place", f"{brand} {org}") for brand in BRANDS for org in ORGS]
    Random("mewslix").shuffle(found)
    return tuple(found)


def _about(frame: Frame, slot: str, filler: str) -> Frame | None:
    """Put an entity into a frame.

    Returns None where another entity of the same name has a part in it.
    """
    name = filler.split()[0].removesuffix("_city")
    others = (frame.recipient, frame.companion, frame.place if slot == "agent" else frame.agent)
    if any(name in other.replace("_city", "").split() for other in others if other):
        return None
    return change(frame, **{slot: filler})


@cache
def described() -> tuple[Frame, ...]:
    """Draw for each entity an event that names no other one."""
    rng = Random("mewslix/entities")
    source = frames(rng, "train")
    found = []
    for slot, filler in entities():
        frame = change(next(source), recipient=None, companion=None)
        while frame.verb in ("give", "send", "show"):
            frame = change(next(source), recipient=None, companion=None)
        topic = frame.topic
        frame = change(frame, agent=rng.choice(PROFESSIONS[topic]), place=rng.choice(VENUES[topic]))
        found.append(change(frame, **{slot: filler}))
    return tuple(found)


@cache
def mentions(split: str, n: int) -> tuple[tuple[int, Frame], ...]:
    """Draw n queries: (number of the entity, an event with it)."""
    rng = Random(f"mewslix/{split}")
    found: list[tuple[int, Frame]] = []
    seen: set[str] = set()
    for frame in frames(rng, split):
        if len(found) == n:
            break
        number = rng.randrange(len(entities()))
        told = _about(frame, *entities()[number])
        if told and in_split(told.key(), split) and told.key() not in seen:
            seen.add(told.key())
            found.append((number, told))
    return tuple(found)


def _mewslix(language: Language, table: str, n: int) -> list[Row]:
    """Make Mewsli-X: queries are mentions in their sentence.

    They have XTREME-R's markup; every entity is described in one language.
    """
    part, _, split = table.partition("_")
    if part == "target":
        told = zip(range(len(entities())), described(), strict=True)
        return [{"id": f"Q{i + 1}", "text": say(f, BY_CODE[LANGUAGES[i % len(LANGUAGES)]]).text} for i, f in told]
    queries = mentions(split, n)
    if part == "pairs":
        return [{"source_id": f"{split}-{i}", "target_id": f"Q{number + 1}"} for i, (number, _) in enumerate(queries)]
    return [
        {"id": f"{split}-{i}", "text": _marked(frame, entities()[number][0], language)}
        for i, (number, frame) in enumerate(queries)
    ]


def _marked(frame: Frame, slot: str, language: Language) -> str:
    """Mark a mention in its sentence.

    "Anna Lee: { Anna Lee } bought a map."
    """
    sentence = say(frame, language)
    start, name = sentence.answer(slot)
    left, right = sentence.text[:start], sentence.text[start + len(name) :]
    return " ".join(f"{name}: {left} {{ {name} }} {right}".split())


@cache
def passages(n: int) -> tuple[Passage, ...]:
    """Draw n questions with the passages that answer them.

    No sentence answers the question of another passage.

    Returns:
        The frames of a paragraph and of one sentence more, which is the answer but for a filler that the question
            names; the
        number of the frame that answers; and the slot that is asked for.
    """
    rng = Random("lareqa/near")
    made: list[Passage] = []
    for told, which, slot in tables.paragraphs("lareqa", "validation", 2 * n):
        new = ((*told, _near(rng, told[which], kept=slot)), which, slot)
        if len(made) < n and not any(_answers(new, old) or _answers(old, new) for old in made):
            made.append(new)
    return tuple(made)


def _answers(one: Passage, other: Passage) -> bool:
    """Return whether a sentence of one passage answers another's question."""
    told, which, slot = other
    question = told[which]
    verbs = (question.verb, SYNONYM.get(question.verb))
    return any(frame.verb in verbs and answers(frame, question, slot) for frame in one[0])


def _lareqa(language: Language, table: str, n: int) -> list[Row]:
    """Make LAReQA: queries are questions in one language.

    Candidates are the sentences of all languages, its own first.
    """
    codes = (language.code, *(code for code in LANGUAGES if code != language.code))
    made = passages(n)
    if table.startswith("source_"):
        return [
            {"id": f"q{i}", "text": say(told[which], language, asked=slot).text}
            for i, (told, which, slot) in enumerate(made)
        ]
    if table.startswith("target_"):
        return [
            {"id": f"{code}:{i}:{k}", "text": say(frame, BY_CODE[code]).text}
            for code in codes
            for i, (told, _, _) in enumerate(made)
            for k, frame in enumerate(told)
        ]
    return [
        {"source_id": f"q{i}", "target_id": f"{code}:{i}:{which}"}
        for i, (_, which, _) in enumerate(made)
        for code in codes
    ]


TABLES = {
    "bucc2018": Table(rows=_bucc, columns=GOLD, splits=pooled(_SPLITS)),
    "bucc_gold_pairs": Table(
        rows=_gold_pairs,
        columns=dict.fromkeys(("source_sentence", "target_sentence", "source_lang", "target_lang"), TEXT),
        splits={split: (OTHERS, n) for split, n in _SPLITS.items()},
    ),
    "mewslix": Table(rows=_mewslix, columns=GOLD, splits=pooled(_SPLITS, LANGUAGES)),
    "lareqa": Table(rows=_lareqa, columns=GOLD, splits=pooled({"validation": _QUESTIONS}, LANGUAGES)),
}
