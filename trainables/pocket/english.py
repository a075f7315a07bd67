"""English multiple choice on world knowledge, and stories that teach it."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

from trainables.pocket.frames import (
    KIND_OF,
    KINDS,
    NAMES,
    PROFESSIONS,
    SORT,
    THINGS,
    TOPICS,
    TYPICAL,
    VENUES,
    VERB_THINGS,
    Frame,
    change,
    frames,
    in_split,
    sample,
)
from trainables.pocket.grammar import say
from trainables.pocket.lang_en import ENGLISH, WORDS, noun, person, phrases, place

Row = dict[str, Any]
_TYPICAL_VERBS = tuple(sorted({v for verbs in TYPICAL.values() for v in verbs}))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def base(verb: str) -> str:
    return WORDS[verb].split("|")[1]


def singular(thing: str) -> str:
    return WORDS[thing].split("|")[0]


def _when(frame: Frame) -> str:
    return " " + WORDS[frame.time].replace("/PROPN", "") if frame.time else ""


def _unlike(rng: Random, topic: str, words: dict[str, tuple[str, ...]], n: int) -> list[str]:
    """Draw one word from each of n other topics."""
    return [rng.choice(words[t]) for t in rng.sample([t for t in TOPICS if t != topic], n)]


def with_verb(rng: Random, topic: str) -> tuple[str, str]:
    """Draw a thing of a topic and a verb that fits it."""
    thing = rng.choice([t for t in THINGS[topic] if TYPICAL[t]])
    return thing, rng.choice(TYPICAL[thing])


def _venue(rng: Random, frame: Frame) -> str:
    return rng.choice(VENUES[frame.topic])


def story(rng: Random, frame: Frame) -> str:
    """Write a short story with the knowledge that multiple choice needs."""
    who = person(frame.agent)
    venue = _venue(rng, frame)
    thing, verb = with_verb(rng, frame.topic)
    told = say(frame, ENGLISH).text
    ways = [
        f"{_capital(who)} went {_to(venue)}{_when(frame)}. {_capital(who)} wanted to {base(verb)} {noun(thing)}.",
        f"{told} Then {who} {WORDS[verb].split('|')[0]} the {singular(thing)}.",
        f"{_capital(who)} met the {WORDS[rng.choice(PROFESSIONS[frame.topic])]} {place(venue)}{_when(frame)}.",
        f"{_capital(who)} looked for {noun(thing)}{_when(frame)}. The {singular(thing)} was {place(venue)}.",
        f"The {WORDS[rng.choice(PROFESSIONS[frame.topic])]} needed {noun(thing)}{_when(frame)}.",
    ]
    if frame.thing in KIND_OF:
        ways.append(f"{told} The {singular(frame.thing)} is {noun(KIND_OF[frame.thing])}.")
    return rng.choice(ways)


def _to(venue: str) -> str:
    return f"to the {WORDS[venue]}"


@cache
def commonsense_qa(split: str, n: int) -> tuple[Row, ...]:
    rng = Random(f"commonsense_qa/{split}")
    made: list[Row] = []
    for frame in frames(rng, split):
        if len(made) == n:
            break
        row = _question(rng, frame, f"commonsense_qa-{split}-{len(made):05d}")
        if in_split(row["question"], split):
            made.append(row)
    return tuple(made)


def _question(rng: Random, frame: Frame, row_id: str) -> Row:
    who, topic, when = person(frame.agent), frame.topic, _when(frame)
    name = person(frame.agent) if SORT[frame.agent.split()[0]] == "name" else "Anna"
    thing, verb = with_verb(rng, topic)
    way = rng.randrange(5 if frame.thing in KIND_OF else 4)
    if way == 0:
        concept, text = thing, f"{_capital(who)} looked for {noun(thing)}{when}. Where was the {singular(thing)}?"
        right, wrong = rng.choice(VENUES[topic]), _unlike(rng, topic, VENUES, 4)
    elif way == 1:
        concept = rng.choice(PROFESSIONS[topic])
        text = f"The {WORDS[concept]} needed something{when}{_in_city(frame)}. What was it?"
        right, wrong = thing, _unlike(rng, topic, THINGS, 4)
    elif way == 2:
        concept = rng.choice(VENUES[topic])
        text = f"{name} met someone {place(concept)}{when}. Who was it?"
        right, wrong = rng.choice(PROFESSIONS[topic]), _unlike(rng, topic, PROFESSIONS, 4)
    elif way == 3:
        concept = thing
        text = f"{_capital(who)} has {noun(thing)}{_in_city(frame)}. What can {who} do with the {singular(thing)}?"
        right, wrong = verb, rng.sample([v for v in _TYPICAL_VERBS if thing not in VERB_THINGS[v]], 4)
    else:
        concept = frame.thing
        text = f"{say(frame, ENGLISH).text} What is the {singular(concept)}?"
        right = KIND_OF[concept]
        wrong = rng.sample([k for k in KINDS if k != right], 4)
    choices = [right, *wrong]
    rng.shuffle(choices)
    labels = ["A", "B", "C", "D", "E"]
    return {
        "id": row_id,
        "question": text,
        "question_concept": WORDS[concept].split("|")[0],
        "choices": {"label": labels, "text": [base(c) if SORT[c] == "verb" else singular(c) for c in choices]},
        "answerKey": labels[choices.index(right)],
    }


def _in_city(frame: Frame) -> str:
    return f" {place(frame.place)}" if frame.place and SORT[frame.place.split()[0]] == "city" else ""


@cache
def hellaswag(split: str, n: int) -> tuple[Row, ...]:
    """Make HellaSwag's rows.

    The right ending does to the thing what one does with it; the wrong ones take another thing or another verb.
    """
    rng = Random(f"hellaswag/{split}")
    made: list[Row] = []
    for frame in frames(rng, split):
        if len(made) == n:
            break
        fitting = [v for v in TYPICAL[frame.thing] if v != frame.verb]
        if not fitting:
            continue
        misfits = [v for v in _TYPICAL_VERBS if frame.thing not in VERB_THINGS[v]]
        topics = rng.sample([t for t in TOPICS if t != frame.topic], 2)
        endings = [(rng.choice(fitting), frame.thing), (rng.choice(misfits), frame.thing)]
        endings += [(verb, thing) for thing, verb in (with_verb(rng, t) for t in topics)]
        right = endings[0]
        rng.shuffle(endings)
        first, second = say(frame, ENGLISH).text, f"then {person(frame.agent)}"
        if not in_split(first, split):
            continue
        made.append(
            {
                "ind": len(made),
                "activity_label": frame.topic,
                "ctx_a": first,
                "ctx_b": second,
                "ctx": f"{first} {_capital(second)}",
                "endings": [f"{WORDS[v].split('|')[0]} the {singular(t)}." for v, t in endings],
                "source_id": f"pocket~{split}~{len(made)}",
                "split": "val" if split == "validation" else split,
                "split_type": "indomain",
                "label": str(endings.index(right)),
            }
        )
    return tuple(made)


@cache
def cosmos_qa(split: str, n: int) -> tuple[Row, ...]:
    """Make Cosmos QA's rows.

    Questions ask why someone went somewhere, what someone will do next, and who has the thing now.
    """
    rng = Random(f"cosmos_qa/{split}")
    made: list[Row] = []
    for frame in frames(rng, split):
        if len(made) == n:
            break
        context, question, answers = _reading(rng, frame)
        if not in_split(context, split):
            continue
        right = answers[0]
        rng.shuffle(answers)
        row = {"id": f"cosmos_qa-{split}-{len(made):05d}", "context": context, "question": question}
        made.append(row | {f"answer{i}": a for i, a in enumerate(answers)} | {"label": answers.index(right)})
    return tuple(made)


def _reading(rng: Random, frame: Frame) -> tuple[str, str, list[str]]:
    """Return context, question and answers, the right one first."""
    who, way = person(frame.agent), rng.randrange(3)
    if frame.thing not in VERB_THINGS["lose"]:
        way = 1 if TYPICAL[frame.thing] else 0
    options = [with_verb(rng, t) for t in (frame.topic, *rng.sample([t for t in TOPICS if t != frame.topic], 3))]
    if way == 0:
        venue = _venue(rng, frame)
        companion = " " + phrases(frame)["companion"] if frame.companion else ""
        context = f"{_capital(who)} went {_to(venue)}{companion}{_when(frame)}. It was {_weather(rng)}."
        answers = [f"{_capital(who)} wanted to {base(verb)} {noun(thing)}." for thing, verb in options]
        return context, f"Why did {who} go {_to(venue)}?", answers
    if way == 1 and TYPICAL[frame.thing]:
        told = say(change(frame, verb="see", recipient=None, number=None, other=None), ENGLISH).text
        options[0] = (frame.thing, rng.choice(TYPICAL[frame.thing]))
        answers = [f"{_capital(who)} will {base(verb)} the {singular(thing)}." for thing, verb in options]
        return f"{told} It was {_weather(rng)}.", f"What will {who} do now?", answers
    other = sample(rng, frame.topic)
    while other.agent.split()[0] == frame.agent.split()[0] or SORT[other.agent.split()[0]] != "name":
        other = sample(rng, frame.topic)
    lost = say(change(frame, verb="lose", recipient=None, companion=None, number=None, other=None), ENGLISH).text
    taker = rng.choice(("find", "steal"))
    then = f"{_capital(person(other.agent))} {WORDS[taker].split('|')[0]} the {singular(frame.thing)}."
    around = [n for n in NAMES if n not in (frame.agent.split()[0], other.agent.split()[0])]
    answers = [_capital(a) + "." for a in (person(other.agent), who, *(person(n) for n in rng.sample(around, 2)))]
    return f"{lost} {then}", f"Who has the {singular(frame.thing)} now?", answers


def _weather(rng: Random) -> str:
    return rng.choice(("cold", "hot", "late", "early"))
