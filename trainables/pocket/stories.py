"""More multiple choice: Social IQA in English, COPA and its translations.

Causes and effects are frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

import pyarrow as pa

from trainables.pocket.english import base, singular, with_verb
from trainables.pocket.frames import NAMES, THINGS, TOPICS, TYPICAL, VERB_THINGS, Frame, change, frames
from trainables.pocket.grammar import Language, say
from trainables.pocket.lang_en import ENGLISH, person
from trainables.pocket.languages import OTHERS
from trainables.pocket.table import (
    DEV,
    ENGLISH_ONLY,
    IN_ENGLISH,
    LABEL,
    TEST,
    TEXT,
    TRAIN,
    Row,
    Table,
    in_english,
)

GAINS = ("buy", "find", "discover")
GIVES = ("give", "send")
HANDED_ON = {"lose": "find", "sell": "buy"}  # what another person does after it
_TAKEN = {after: before for before, after in HANDED_ON.items()}
_GLAD, _SAD = ("happy", "glad", "proud", "pleased"), ("sad", "angry", "upset", "worried")


@cache
def siqa(split: str, n: int) -> tuple[Row, ...]:
    """Make Social IQA's rows.

    Questions ask what someone who got a thing will do next or wanted it for, and how someone feels who won, got or lost
    it.
    """
    rng = Random(f"siqa/{split}")
    rows: list[Row] = []
    for frame in frames(rng, split):
        if len(rows) == n:
            break
        asked = _social(rng, frame)
        if asked is None:
            continue
        question, choices = asked
        right = choices[0]
        rng.shuffle(choices)
        row = {"context": say(frame, ENGLISH).text, "question": question, "label": str(choices.index(right) + 1)}
        rows.append(row | {f"answer{letter}": choice for letter, choice in zip("ABC", choices, strict=True)})
    return tuple(rows)


def _social(rng: Random, frame: Frame) -> tuple[str, list[str]] | None:
    """Return question and answers, the right one first.

    None for an event that allows no such question.
    """
    owner = _owner(frame)
    if owner is None and frame.verb not in ("lose", "win"):
        return None
    who = person(owner or frame.agent)
    if owner and TYPICAL[frame.thing] and rng.random() < 0.7:
        misfits = [v for v in _uses() if frame.thing not in VERB_THINGS[v]]
        other, verb = with_verb(rng, rng.choice([t for t in TOPICS if t != frame.topic]))
        done = [(rng.choice(TYPICAL[frame.thing]), frame.thing), (rng.choice(misfits), frame.thing), (verb, other)]
        choices = [f"{base(v)} the {singular(t)}" for v, t in done]
        if owner == frame.agent and rng.random() < 0.5:
            return f"Why did {who} do this?", [f"to {choice}" for choice in choices]
        return f"What will {who} want to do next?", choices
    right, wrong = (_SAD, _GLAD) if frame.verb == "lose" else (_GLAD, _SAD)
    return f"How would {who} feel afterwards?", [rng.choice(right), *rng.sample(wrong, 2)]


def _owner(frame: Frame) -> str | None:
    """Return who has the thing afterwards, where the event implies it."""
    if frame.verb in GIVES:
        return frame.recipient
    return frame.agent if frame.verb in GAINS else None


@cache
def _uses() -> tuple[str, ...]:
    return tuple(sorted({verb for verbs in TYPICAL.values() for verb in verbs}))


@dataclass(frozen=True, slots=True)
class Alternative:
    """A premise and two choices.

    choices[label] is its cause or effect.
    """

    premise: Frame
    choices: tuple[Frame, Frame]
    question: str
    label: int


def leads_to(cause: Frame, effect: Frame) -> bool:
    """Return whether one frame causes the other.

    Whoever got a thing uses it; what one person loses or sells, another finds or buys.
    """
    if cause.thing != effect.thing:
        return False
    if effect.verb in TYPICAL[effect.thing]:
        return effect.agent == _owner(cause)
    return HANDED_ON.get(cause.verb) == effect.verb and cause.agent != effect.agent


@cache
def alternatives(dataset: str, split: str, n: int) -> tuple[Alternative, ...]:
    """Return the first n questions of a split, cause and effect in turn."""
    rng = Random(f"{dataset}/{split}")
    made: list[Alternative] = []
    for frame in frames(rng, split):
        if len(made) == n:
            break
        question = ("cause", "effect")[len(made) % 2]
        found = None if frame.other else (_cause if question == "cause" else _effect)(rng, frame)
        if found is None:
            continue
        label = rng.randrange(2)
        choices = found if label == 0 else (found[1], found[0])
        made.append(Alternative(frame, choices, question, label))
    return tuple(made)


def _someone(rng: Random, frame: Frame) -> str:
    around = {p.split()[0] for p in (frame.agent, frame.recipient, frame.companion) if p}
    return rng.choice([name for name in NAMES if name not in around])


def _event(frame: Frame, agent: str, verb: str, thing: str | None = None) -> Frame:
    return Frame(topic=frame.topic, agent=agent, verb=verb, thing=thing or frame.thing)


def _another(rng: Random, frame: Frame, verb: str | None) -> Frame:
    """Make an event with a thing of another topic.

    The verb is a use of that thing, or a given one.
    """
    topic = rng.choice([t for t in TOPICS if t != frame.topic and (not verb or _of(t, verb))])
    thing, use = with_verb(rng, topic)
    return _event(frame, "", verb or use, rng.choice(_of(topic, verb)) if verb else thing)


def _of(topic: str, verb: str) -> list[str]:
    return [t for t in THINGS[topic] if t in VERB_THINGS[verb]]


def _effect(rng: Random, frame: Frame) -> tuple[Frame, Frame] | None:
    """Make an effect of a frame and a non-effect; None if impossible."""
    other, owner, uses = _someone(rng, frame), _owner(frame), TYPICAL[frame.thing]
    if owner and uses:
        use = rng.choice(uses)
        wrong = [_event(frame, other, use), change(_another(rng, frame, None), agent=owner)]
        if frame.verb in GIVES:
            wrong.append(_event(frame, frame.agent, use))
        return _event(frame, owner, use), rng.choice(wrong)
    if frame.verb in HANDED_ON:
        after = HANDED_ON[frame.verb]
        wrong = [change(_another(rng, frame, after), agent=other)]
        if uses:
            wrong.append(_event(frame, frame.agent, rng.choice(uses)))
        return _event(frame, other, after), rng.choice(wrong)
    return None


def _cause(rng: Random, frame: Frame) -> tuple[Frame, Frame] | None:
    """Make a cause of a frame and a non-cause; None if impossible."""
    other = _someone(rng, frame)
    if frame.verb in TYPICAL[frame.thing] and frame.thing in VERB_THINGS["lose"]:
        gain = rng.choice(GAINS)
        wrong = [
            _event(frame, frame.agent, rng.choice(tuple(HANDED_ON))),
            _event(frame, other, gain),
            change(_another(rng, frame, gain), agent=frame.agent),
        ]
        return _event(frame, frame.agent, gain), rng.choice(wrong)
    if frame.verb in _TAKEN and frame.thing in VERB_THINGS["lose"]:
        before, uses = _TAKEN[frame.verb], TYPICAL[frame.thing]
        wrong = [change(_another(rng, frame, before), agent=other)]
        if uses:
            wrong.append(_event(frame, frame.agent, rng.choice(uses)))
        return _event(frame, other, before), rng.choice(wrong)
    return None


def copa(dataset: str) -> Callable[[Language, str, int], list[Row]]:
    """Make rows of copa or xcopa, from different frames."""

    def rows(language: Language, split: str, n: int) -> list[Row]:
        return [
            {
                "premise": say(found.premise, language).text,
                "choice1": say(found.choices[0], language).text,
                "choice2": say(found.choices[1], language).text,
                "question": found.question,
                "idx": i,
                "label": found.label,
                "changed": False,
            }
            for i, found in enumerate(alternatives(dataset, split, n))
        ]

    return rows


_SIQA = dict.fromkeys(("context", "question", "answerA", "answerB", "answerC", "label"), TEXT)
_COPA = {**dict.fromkeys(("premise", "choice1", "choice2", "question"), TEXT), "idx": pa.int32()}
TABLES = {
    "siqa": Table(rows=in_english(siqa), columns=_SIQA, splits=IN_ENGLISH),
    "copa": Table(
        rows=copa("copa"),
        columns={**_COPA, "label": LABEL},
        splits={"train": (ENGLISH_ONLY, TRAIN), "validation": (ENGLISH_ONLY, TEST)},
        labels={"label": ("choice1", "choice2")},
    ),
    "xcopa": Table(  # its English is COPA
        rows=copa("xcopa"),
        columns={
            **dict.fromkeys(("premise", "choice1", "choice2", "question"), TEXT),
            "label": pa.int32(),
            "idx": pa.int32(),
            "changed": pa.bool_(),
        },
        splits={"validation": (OTHERS, DEV), "test": (OTHERS, TEST)},
    ),
}
