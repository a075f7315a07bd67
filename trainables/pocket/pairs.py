"""Sentence pairs labelled by their frames: inference, paraphrase, duplicate questions.

In every pair one thing differs, and the label depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from trainables.pocket.frames import (
    KIND_OF,
    OPPOSITES,
    SORT,
    SYNONYM,
    Frame,
    adjectives_of,
    change,
    different,
    frames,
    in_split,
    negate,
    refilled,
    sample,
)
from trainables.pocket.grammar import Language, say

NLI_LABELS = ("entailment", "neutral", "contradiction")
_DETAILS = ("adjective", "number", "other", "recipient", "companion", "place", "time")


@dataclass(frozen=True, slots=True)
class Said:
    """One side of a pair: a frame and its wording."""

    frame: Frame
    order: str | None = None
    asked: str | None = None
    wh: str | None = None

    def text(self, language: Language) -> str:
        return say(self.frame, language, self.order, asked=self.asked, wh=self.wh).text


@dataclass(frozen=True, slots=True)
class Pair:
    first: Said
    second: Said
    label: int


def _details(frame: Frame) -> list[str]:
    return [d for d in _DETAILS if getattr(frame, d) is not None]


def reworded(frame: Frame) -> list[Frame]:
    """Replace one filler by a synonym."""
    slots = ("agent", "verb", "thing")
    return [change(frame, **{s: SYNONYM[f]}) for s in slots if (f := frame.filler(s)) in SYNONYM and f is not None]


def entailed(rng: Random, frame: Frame) -> Frame:
    """Derive a frame that follows from this one.

    It has one detail less, a synonym, or the kind instead of the thing.
    """
    weaker = reworded(frame)
    if frame.thing in KIND_OF:
        weaker.append(change(frame, thing=KIND_OF[frame.thing]))
    details = _details(frame)
    if weaker and (not details or rng.random() < 0.35):
        return rng.choice(weaker)
    return change(frame, **{rng.choice(details): None}) if details else frame


def unknown(rng: Random, frame: Frame) -> Frame:
    """Add one detail that the frame leaves open.

    Returns the frame itself if it leaves nothing open.
    """
    extra = sample(rng, frame.topic)
    while extra.place is None or extra.time is None:
        extra = sample(rng, frame.topic)
    details = {"place": extra.place, "time": extra.time}
    if not frame.number:
        details["adjective"] = rng.choice(adjectives_of(frame.thing))
    people = {p.split()[0] for p in (frame.agent, frame.recipient) if p}
    if not frame.recipient and extra.agent.split()[0] not in people and SORT[extra.agent.split()[0]] == "name":
        details["companion"] = extra.agent
    free = [d for d in details if getattr(frame, d) is None]
    slot = rng.choice(free) if free else None
    return change(frame, **{slot: details[slot]}) if slot else frame


def excluded(rng: Random, frame: Frame) -> Frame:
    """Derive a frame that this one rules out.

    It is the negation, or has one filler replaced by another of its sort.
    """
    if rng.random() < 0.4:
        return negate(frame)
    slots = ["agent", "thing"] + [s for s in ("place", "time", "adjective", "number") if getattr(frame, s)]
    if frame.adjective not in OPPOSITES and "adjective" in slots:
        slots.remove("adjective")
    slot = rng.choice(slots)
    return refilled(rng, slot, frame)


def nli_pair(rng: Random, frame: Frame, label: int, fronted: float = 0.2) -> Pair:
    """Make a pair with a given label.

    Args:
        label: index into NLI_LABELS; both sides may be the same frame where nothing else is left.
        fronted: share of second sentences in the other word order.
    """
    make = (entailed, unknown, excluded)[label]
    return Pair(Said(frame), Said(make(rng, frame), "fronted" if rng.random() < fronted else None), label)


@cache
def nli(dataset: str, split: str, n: int) -> tuple[Pair, ...]:
    """Make n pairs, the three labels equally often."""
    rng = Random(f"{dataset}/{split}")
    made: list[Pair] = []
    for frame in frames(rng, split):
        if len(made) == n:
            break
        pair = nli_pair(rng, frame, len(made) % 3)
        if pair.second.frame != frame:
            made.append(pair)
    rng.shuffle(made)
    return tuple(made)


@cache
def paraphrases(split: str, n: int) -> tuple[Pair, ...]:
    """Make n pairs of statements, half of them paraphrases (label 1).

    Both halves share the same word orders.
    """
    rng = Random(f"pawsx/{split}")
    made: list[Pair] = []
    for frame in frames(rng, split):
        if len(made) == n:
            break
        label = len(made) % 2
        if frame.time is None:
            continue
        words = reworded(frame)
        if not words and rng.random() < 0.7:  # more synonyms than moved words: a small model learns synonyms sooner
            continue
        order = None if words and rng.random() < 0.7 else "fronted"  # whatever the label: word order must not reveal it
        second = other_meaning(rng, frame) if label == 0 else rng.choice(words) if words else frame
        made.append(Pair(Said(frame), Said(second, order), label))
    rng.shuffle(made)
    return tuple(made)


def other_meaning(rng: Random, frame: Frame) -> Frame:
    """Change the meaning of a frame but hardly its words.

    Giver and receiver are swapped where there are two, else one filler is replaced.
    """
    if frame.recipient and SORT[frame.agent.split()[0]] == "name" and rng.random() < 0.5:
        return change(frame, agent=frame.recipient, recipient=frame.agent)
    slots = [s for s in ("agent", "thing", "place", "time") if getattr(frame, s)]
    slot = rng.choice(slots)
    changed = change(frame, **{slot: different(rng, slot, frame)})
    return change(changed, adjective=None) if slot == "thing" else changed


_WH = {"agent": "which person", "place": "in which place", "time": "at which time", "thing": "which thing"}


@cache
def questions(split: str, n: int) -> tuple[Pair, ...]:
    """Make n pairs of English questions, half duplicates (label 1)."""
    rng = Random(f"qqp/{split}")
    made: list[Pair] = []
    for frame in frames(rng, split):
        if len(made) == n:
            break
        label = len(made) % 2
        slots = [s for s in ("agent", "thing", "place", "time") if frame.filler(s)]
        asked = rng.choice(slots)
        if not in_split(frame.key_without(asked), split):
            continue
        second, asked_too = frame, asked
        if label == 1:
            words = [f for f in reworded(frame) if f.filler(asked) == frame.filler(asked)]
            second = rng.choice(words) if words else frame
        elif rng.random() < 0.3:
            asked_too = rng.choice([s for s in slots if s != asked])
        else:
            slot = rng.choice([s for s in slots if s != asked])
            second = change(frame, **{slot: different(rng, slot, frame)})
            second = change(second, adjective=None) if slot == "thing" else second
        front = "fronted " if frame.time and "time" not in (asked, asked_too) and rng.random() < 0.3 else None
        wh = None if front else _WH[asked_too]
        made.append(Pair(Said(frame, asked=asked), Said(second, front, asked_too, wh), label))
    rng.shuffle(made)
    return tuple(made)
