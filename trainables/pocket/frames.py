"""Concepts of the pocket world and frames (events) made of them.

The concepts include what goes with what. A frame is a meaning without a language: who did what to which thing, where
and when. Every split has its own frames: a frame's split is a function of its fillers, so no frame of one split can
occur in another, whatever the dataset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from zlib import crc32


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TOPICS = ("science/technology", "travel", "politics", "sports", "health", "entertainment", "geography")

NAMES = _words("anna boris clara david emma felix igor julia leon maria nina omar peter sara sofia victoria")
FEMALE = frozenset(_words("anna clara emma julia maria nina sara sofia victoria nurse"))
SURNAMES = _words("rossi lee shaw kato mori diallo")
CITIES = _words(
    "berlin madrid moscow istanbul delhi nairobi beijing london paris rome cairo lima tokyo new_york "
    "sofia_city victoria_city"
)
BRANDS = _words("delta orion atlas nova sigma")
ORGS = _words("bank club university company")
TIMES = _words("yesterday today monday friday sunday morning evening night summer winter")
NUMBERS = ("two", "three", "four")
ADJECTIVES = _words("new old big small red black white expensive")
_COLOURS = ("red", "black", "white")
OPPOSITES: dict[str, tuple[str, ...]] = {
    "new": ("old",), "old": ("new",), "big": ("small",), "small": ("big",), **dict.fromkeys(_COLOURS, _COLOURS)
}  # fmt: skip

# Per topic: things, professions, venues.
_WORLD: dict[str, tuple[str, str, str]] = {
    "science/technology": (
        "computer robot telescope phone camera",
        "scientist researcher engineer",
        "laboratory factory",
    ),
    "travel": ("ticket passport suitcase map car automobile bicycle", "tourist pilot", "airport station hotel"),
    "politics": ("law contract letter plan report", "minister mayor", "parliament court"),
    "sports": ("ball medal trophy match race", "athlete sportsman coach", "stadium gym"),
    "health": ("pill tablet apple banana egg bandage", "doctor physician nurse", "hospital pharmacy market"),
    "entertainment": ("film song guitar piano drum", "singer actor", "theatre cinema"),
    "geography": ("river mountain island lake forest horse dog bird elephant", "farmer guide", "park zoo village"),
}
THINGS: dict[str, tuple[str, ...]] = {topic: tuple(w[0].split()) for topic, w in _WORLD.items()}
PROFESSIONS: dict[str, tuple[str, ...]] = {topic: tuple(w[1].split()) for topic, w in _WORLD.items()}
VENUES: dict[str, tuple[str, ...]] = {topic: tuple(w[2].split()) for topic, w in _WORLD.items()}
TOPIC_OF: dict[str, str] = {word: t for by in (THINGS, PROFESSIONS, VENUES) for t in TOPICS for word in by[t]}
ALL_PROFESSIONS = tuple(p for t in TOPICS for p in PROFESSIONS[t])
ALL_VENUES = tuple(v for t in TOPICS for v in VENUES[t])
ALL_THINGS = tuple(o for t in TOPICS for o in THINGS[t])

_KINDS = {
    "device": "computer robot telescope phone camera",
    "vehicle": "car automobile bicycle",
    "document": "ticket passport contract letter report",
    "fruit": "apple banana",
    "instrument": "guitar piano drum",
    "animal": "horse dog bird elephant",
}
KIND_OF: dict[str, str] = {thing: kind for kind, things in _KINDS.items() for thing in things.split()}
KINDS = tuple(_KINDS)
_SYNONYMS = (
    ("doctor", "physician"),
    ("scientist", "researcher"),
    ("athlete", "sportsman"),
    ("car", "automobile"),
    ("pill", "tablet"),
    ("find", "discover"),
)
SYNONYM: dict[str, str] = {**dict(_SYNONYMS), **{b: a for a, b in _SYNONYMS}}

_FIXED = frozenset(_words("river mountain island lake forest law plan match race song film"))
_PORTABLE = tuple(o for o in ALL_THINGS if o not in _FIXED)
_ANIMALS = ("horse", "dog", "bird", "elephant")
VERB_THINGS: dict[str, tuple[str, ...]] = {
    "buy": _PORTABLE,
    "sell": _PORTABLE,
    "steal": _PORTABLE,
    "lose": tuple(o for o in _PORTABLE if o not in ("piano", "elephant")),
    "find": (*_PORTABLE, "island", "lake", "river"),
    "discover": (*_PORTABLE, "island", "lake", "river"),
    "see": tuple(o for o in ALL_THINGS if o not in ("song", "plan", "law")),
    "choose": ALL_THINGS,
    "give": _PORTABLE,
    "send": tuple(o for o in _PORTABLE if o not in ("elephant", "piano", "egg")),
    "show": (*_PORTABLE, "river", "mountain", "island", "lake", "forest", "film"),
    "build": ("computer", "robot", "telescope", "camera", "bicycle", "car"),
    "repair": ("computer", "robot", "telescope", "phone", "camera", "car", "automobile", "bicycle", "guitar", "piano"),
    "test": ("computer", "robot", "telescope", "phone", "camera", "car", "automobile"),
    "carry": ("suitcase", "map", "ticket", "passport"),
    "read": ("letter", "report", "contract", "law", "map"),
    "write": ("letter", "report", "contract", "law", "plan", "song"),
    "reject": ("law", "contract", "plan", "report"),
    "win": ("medal", "trophy", "match", "race"),
    "throw": ("ball",),
    "catch": ("ball", *_ANIMALS),
    "eat": ("apple", "banana", "egg"),
    "cook": ("egg",),
    "swallow": ("pill", "tablet"),
    "hear": ("song", "guitar", "piano", "drum", "bird"),
    "sing": ("song",),
    "cross": ("river", "lake", "forest"),
    "draw": ("river", "mountain", "island", "lake", "forest", *_ANIMALS),
}
VERBS = tuple(VERB_THINGS)
TRANSFER = frozenset(("give", "send", "show"))
GENERAL = frozenset(_words("buy sell steal lose find discover see choose give send show"))
_VERBS_OF: dict[str, tuple[str, ...]] = {o: tuple(v for v in VERBS if o in VERB_THINGS[v]) for o in ALL_THINGS}
TYPICAL: dict[str, tuple[str, ...]] = {o: tuple(v for v in _VERBS_OF[o] if v not in GENERAL) for o in ALL_THINGS}

CONCEPTS: dict[str, tuple[str, ...]] = {
    "name": NAMES, "surname": SURNAMES, "city": CITIES, "brand": BRANDS, "org": ORGS, "time": TIMES,
    "number": NUMBERS, "adjective": ADJECTIVES, "profession": ALL_PROFESSIONS, "venue": ALL_VENUES,
    "thing": (*ALL_THINGS, *KINDS), "verb": VERBS,
}  # fmt: skip
SORT: dict[str, str] = {concept: sort for sort, concepts in CONCEPTS.items() for concept in concepts}

SLOTS = ("agent", "verb", "thing", "recipient", "companion", "place", "time")
ASKABLE = ("agent", "thing", "recipient", "companion", "place", "time")


@dataclass(frozen=True, slots=True)
class Frame:
    """One event.

    People are "name" or "name surname"; an agent may also be a profession; a place is a city, a venue or "brand org".
    adjective and number exclude each other.
    """

    topic: str
    agent: str
    verb: str
    thing: str
    adjective: str | None = None
    number: str | None = None
    other: str | None = None  # a second thing: "a map and a ticket"
    recipient: str | None = None
    companion: str | None = None
    place: str | None = None
    time: str | None = None
    negated: bool = False

    def key(self) -> str:
        """Join the fillers; equal keys are equal meanings."""
        details = (self.adjective, self.number, self.other, self.recipient, self.companion, self.place, self.time)
        return "|".join((self.agent, self.verb, self.thing, *(d or "" for d in details), str(self.negated)))

    def key_without(self, asked: str) -> str:
        """Return the key of the question for a slot.

        It is equal for frames that differ in the answer only.
        """
        hidden = {asked: "?"}
        if asked == "thing":
            hidden |= {"adjective": "", "number": "", "other": ""}
        return change(self, **hidden).key()

    def filler(self, slot: str) -> str | None:
        """Return the filler of a slot of SLOTS."""
        value: str | None = getattr(self, slot)
        return value


def change(frame: Frame, **fillers: str | None) -> Frame:
    """Return the frame with other fillers."""
    return replace(frame, **fillers)  # type: ignore[arg-type]


def negate(frame: Frame) -> Frame:
    """Return the frame's negation."""
    return replace(frame, negated=not frame.negated)


def in_split(key: str, split: str) -> bool:
    """Return the split that a key belongs to.

    70 % train, 15 % validation, 15 % test, the same on every machine.
    """
    part = crc32(key.encode()) % 20
    return split == ("train" if part < 14 else "validation" if part < 17 else "test")


def _person(rng: Random, surname: float = 0.15) -> str:
    name = rng.choice(NAMES)
    return f"{name} {rng.choice(SURNAMES)}" if rng.random() < surname else name


def adjectives_of(thing: str) -> tuple[str, ...]:
    """List the adjectives that suit a thing.

    Only what can be bought has a price, only bodies have a colour.
    """
    if thing in _FIXED:
        return ("new", "old") if thing in ("law", "plan", "match", "race", "song", "film") else ("big", "small")
    if thing in ("letter", "report", "contract", "ticket", "passport", "map"):
        return ("new", "old", "big", "small")
    return ADJECTIVES


def _place(rng: Random, topic: str, people: str) -> str:
    kind = rng.random()
    if kind < 0.45:  # Sofia may be in Victoria, but not in Sofia
        return rng.choice([c for c in CITIES if c.removesuffix("_city") not in people])
    if kind < 0.8:
        return rng.choice(VENUES[topic])
    return f"{rng.choice(BRANDS)} {rng.choice(ORGS)}"


def sample(rng: Random, topic: str | None = None) -> Frame:
    """Draw a frame of a topic (None = any).

    Half of the frames have the verb that the thing is made for.
    """
    topic = topic or rng.choice(TOPICS)
    thing = rng.choice(THINGS[topic])
    typical = TYPICAL[thing]
    verb = rng.choice(typical if typical and rng.random() < 0.5 else _VERBS_OF[thing])
    agent = rng.choice(PROFESSIONS[topic]) if rng.random() < 0.3 else _person(rng)
    modifier = rng.random()
    other = rng.choice(VERB_THINGS[verb])
    person = _person(rng)
    while person.split()[0] == agent.split()[0]:
        person = _person(rng)
    return Frame(
        topic=topic,
        agent=agent,
        verb=verb,
        thing=thing,
        adjective=rng.choice(adjectives_of(thing)) if modifier < 0.4 else None,
        number=rng.choice(NUMBERS) if modifier > 0.85 else None,
        other=other if other not in (thing, SYNONYM.get(thing)) and rng.random() < 0.08 else None,
        recipient=person if verb in TRANSFER else None,
        companion=person if verb not in TRANSFER and rng.random() < 0.25 else None,
        place=_place(rng, topic, f"{agent} {person}") if rng.random() < 0.8 else None,
        time=rng.choice(TIMES) if rng.random() < 0.7 else None,
    )


def frames(rng: Random, split: str, topic: str | None = None) -> Iterator[Frame]:
    """Generate distinct frames of one split, without end."""
    seen: set[str] = set()
    while True:
        frame = sample(rng, topic)
        key = frame.key()
        if key not in seen and in_split(key, split):
            seen.add(key)
            yield frame


def means_at_least(special: str, general: str) -> bool:
    """Return whether the first filler implies the second.

    It does when it is the same, a synonym, a kind of it, or a fuller name.
    """
    return general in (special, SYNONYM.get(special), KIND_OF.get(special)) or special.startswith(general + " ")


def relation(premise: Frame, hypothesis: Frame) -> str:
    """Derive the NLI label of two frames from their fillers.

    Both frames are taken to be about the same event.

    Returns:
        "entailment", "neutral" or "contradiction".

    Raises:
        ValueError: the pair is outside the small logic that pairs are made with (a negated premise).
    """
    if premise.negated:
        raise ValueError("a negated premise is not used")
    unknown = False
    for slot in ("agent", "verb", "thing", "adjective", "number", "other", "recipient", "companion", "place", "time"):
        said: str | None = getattr(premise, slot)
        claimed: str | None = getattr(hypothesis, slot)
        if claimed is None:
            continue
        if said is None:
            unknown = True
        elif not means_at_least(said, claimed):
            return "neutral" if hypothesis.negated else "contradiction"
    if unknown:
        return "neutral"
    return "contradiction" if hypothesis.negated else "entailment"


def different(rng: Random, slot: str, frame: Frame) -> str:
    """Draw another filler of the same sort that excludes the old one."""
    old: str = getattr(frame, slot)

    def excludes(new: str) -> bool:
        return not (means_at_least(old, new) or means_at_least(new, old))

    pool = [new for new in _alternatives(slot, frame, old) if excludes(new)]
    return rng.choice(pool or [thing for thing in ALL_THINGS if excludes(thing)])


def refilled(rng: Random, slot: str, frame: Frame) -> Frame:
    """Replace one filler, and drop an adjective that no longer suits."""
    found = change(frame, **{slot: different(rng, slot, frame)})
    suits = found.adjective is None or found.adjective in adjectives_of(found.thing)
    return found if suits else change(found, adjective=None)


def _alternatives(slot: str, frame: Frame, old: str) -> tuple[str, ...]:
    if slot == "thing":
        return VERB_THINGS[frame.verb]
    if slot == "adjective":
        return OPPOSITES[old]
    if slot in ("agent", "recipient", "companion"):
        others = {p.split()[0] for p in (frame.agent, frame.recipient, frame.companion) if p}
        return ALL_PROFESSIONS if SORT[old.split()[0]] == "profession" else tuple(n for n in NAMES if n not in others)
    if slot == "place":
        orgs = tuple(f"{brand} {org}" for brand in BRANDS for org in ORGS)
        people = f"{frame.agent} {frame.recipient} {frame.companion}"
        cities = tuple(c for c in CITIES if c.removesuffix("_city") not in people)
        return {"city": cities, "venue": ALL_VENUES, "brand": orgs}[SORT[old.split()[0]]]
    return {"time": TIMES, "number": NUMBERS}[slot]
