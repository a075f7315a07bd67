"""English: subject verb object, questions with "did".

Verbs: past|base; nouns: singular|plural where not just -s.
"""

from __future__ import annotations

from trainables.pocket.frames import SORT, Frame
from trainables.pocket.grammar import Language

WORDS = {
    # people and places
    "anna": "Anna", "boris": "Boris", "clara": "Clara", "david": "David", "emma": "Emma", "felix": "Felix",
    "igor": "Igor", "julia": "Julia", "leon": "Leon", "maria": "Maria", "nina": "Nina", "omar": "Omar",
    "peter": "Peter", "sara": "Sara", "sofia": "Sofia", "victoria": "Victoria",
    "rossi": "Rossi", "lee": "Lee", "shaw": "Shaw", "kato": "Kato", "mori": "Mori", "diallo": "Diallo",
    "berlin": "Berlin", "madrid": "Madrid", "moscow": "Moscow", "istanbul": "Istanbul", "delhi": "Delhi",
    "nairobi": "Nairobi", "beijing": "Beijing", "london": "London", "paris": "Paris", "rome": "Rome",
    "cairo": "Cairo", "lima": "Lima", "tokyo": "Tokyo", "new_york": "New York",
    "sofia_city": "Sofia", "victoria_city": "Victoria",
    "delta": "Delta", "orion": "Orion", "atlas": "Atlas", "nova": "Nova", "sigma": "Sigma",
    "bank": "Bank", "club": "Club", "university": "University", "company": "Company",
    # times, numbers, adjectives
    "yesterday": "yesterday", "today": "today", "monday": "on Monday/PROPN", "friday": "on Friday/PROPN",
    "sunday": "on Sunday/PROPN", "morning": "in the morning", "evening": "in the evening", "night": "at night",
    "summer": "in summer", "winter": "in winter",
    "two": "two", "three": "three", "four": "four",
    "new": "new", "old": "old", "big": "big", "small": "small", "red": "red", "black": "black", "white": "white",
    "expensive": "expensive",
    # professions
    "scientist": "scientist", "researcher": "researcher", "engineer": "engineer", "tourist": "tourist",
    "pilot": "pilot", "minister": "minister", "mayor": "mayor", "athlete": "athlete", "sportsman": "sportsman",
    "coach": "coach", "doctor": "doctor", "physician": "physician", "nurse": "nurse", "singer": "singer",
    "actor": "actor", "farmer": "farmer", "guide": "guide",
    # venues
    "laboratory": "laboratory", "factory": "factory", "airport": "airport", "station": "station", "hotel": "hotel",
    "parliament": "parliament", "court": "court", "stadium": "stadium", "gym": "gym", "hospital": "hospital",
    "pharmacy": "pharmacy", "market": "market", "theatre": "theatre", "cinema": "cinema", "park": "park",
    "zoo": "zoo", "village": "village",
    # things
    "computer": "computer", "robot": "robot", "telescope": "telescope", "phone": "phone", "camera": "camera",
    "ticket": "ticket", "passport": "passport", "suitcase": "suitcase", "map": "map", "car": "car",
    "automobile": "automobile", "bicycle": "bicycle", "law": "law", "contract": "contract", "letter": "letter",
    "plan": "plan", "report": "report", "ball": "ball", "medal": "medal", "trophy": "trophy|trophies",
    "match": "match|matches", "race": "race", "pill": "pill", "tablet": "tablet", "apple": "apple",
    "banana": "banana", "egg": "egg", "bandage": "bandage", "film": "film", "song": "song", "guitar": "guitar",
    "piano": "piano", "drum": "drum", "river": "river", "mountain": "mountain", "island": "island", "lake": "lake",
    "forest": "forest", "horse": "horse", "dog": "dog", "bird": "bird", "elephant": "elephant",
    "device": "device", "vehicle": "vehicle", "document": "document", "fruit": "fruit",
    "instrument": "instrument", "animal": "animal",
    # verbs
    "buy": "bought|buy", "sell": "sold|sell", "steal": "stole|steal", "lose": "lost|lose", "find": "found|find",
    "discover": "discovered|discover", "see": "saw|see", "choose": "chose|choose", "give": "gave|give",
    "send": "sent|send", "show": "showed|show", "build": "built|build", "repair": "repaired|repair",
    "test": "tested|test", "carry": "carried|carry", "read": "read|read", "write": "wrote|write",
    "reject": "rejected|reject", "win": "won|win", "throw": "threw|throw", "catch": "caught|catch",
    "eat": "ate|eat", "cook": "cooked|cook", "swallow": "swallowed|swallow", "hear": "heard|hear",
    "sing": "sang|sing", "cross": "crossed|cross", "draw": "drew|draw",
}  # fmt: skip

FUNCTION = {
    "a": "DET", "an": "DET", "the": "DET", "and": "CCONJ", "in": "ADP", "at": "ADP", "on": "ADP", "to": "ADP",
    "with": "ADP", "did": "AUX", "not": "PART", "who": "PRON", "what": "PRON", "where": "ADV", "when": "ADV",
    "whom": "PRON", "which": "DET",
}  # fmt: skip
QUESTION = {
    "agent": "who", "thing": "what", "recipient": "to whom", "companion": "with whom",
    "place": "where", "time": "when",
}  # fmt: skip


_AT = ("airport", "station", "stadium", "market", "zoo")


def noun(thing: str, number: str | None = None, adjective: str | None = None) -> str:
    """Return a noun phrase: "a red apple", "two apples"."""
    singular, _, plural = WORDS[thing].partition("|")
    if number:
        return f"{WORDS[number]}/NUM {plural or singular + 's'}"
    first = WORDS[adjective] if adjective else singular
    article = "an" if first[0] in "aeio" else "a"
    return f"{article} {first}/ADJ {singular}" if adjective else f"{article} {singular}"


def person(ids: str) -> str:
    """Return a name, or a profession such as "the doctor"."""
    words = " ".join(WORDS[i] for i in ids.split())
    return f"the {words}" if SORT[ids.split()[0]] == "profession" else words


def place(ids: str) -> str:
    """Return a place phrase: "in Berlin", "in the hotel", "at Delta Bank"."""
    words = " ".join(WORDS[i] for i in ids.split())
    in_venue = f"{'at' if ids in _AT else 'in'} the {words}"
    return {"city": f"in {words}", "venue": in_venue}.get(SORT[ids.split()[0]], f"at {words}")


def phrases(f: Frame) -> dict[str, str]:
    past, base = WORDS[f.verb].split("|")
    thing = noun(f.thing, f.number, f.adjective)
    return {
        "agent": person(f.agent),
        "verb": past,
        "verb.base": base,
        "thing": f"{thing} and {noun(f.other)}" if f.other else thing,
        "recipient": f"to {person(f.recipient)}" if f.recipient else "",
        "companion": f"with {person(f.companion)}" if f.companion else "",
        "place": place(f.place) if f.place else "",
        "time": WORDS[f.time] if f.time else "",
    }


ENGLISH = Language(
    code="en",
    iso3="eng",
    script="Latn",
    words=WORDS,
    function=FUNCTION,
    orders={
        "statement": "agent verb thing recipient companion place time =.",
        "fronted": "time agent verb thing recipient companion place =.",
        "negated": "agent =did =not verb.base thing recipient companion place time =.",
        "ask_agent": "wh verb thing recipient companion place time =?",
        "ask": "wh =did agent verb.base thing recipient companion place time =?",
        "fronted ask_agent": "time wh verb thing recipient companion place =?",
        "fronted ask": "time wh =did agent verb.base thing recipient companion place =?",
    },
    question=QUESTION,
    phrases=phrases,
)
