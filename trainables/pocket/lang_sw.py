"""Swahili: subject verb object, noun classes, question words in place.

The negated past is a form of its own. Nouns: class:singular|plural where they differ; classes a (animate), 3, 5, 7, 9,
11. Adjectives: the forms for a and 3, 5, 7, 9. Numbers: the forms for the plurals of a, 3, 5, 7, 9. Verbs: past|negated
past; those of giving hold "m" (him, her).
"""

from __future__ import annotations

from trainables.pocket.frames import SORT, Frame
from trainables.pocket.grammar import Language

WORDS = {
    # people and places
    "anna": "Anna", "boris": "Boris", "clara": "Klara", "david": "Daudi", "emma": "Emma", "felix": "Feliksi",
    "igor": "Igor", "julia": "Julia", "leon": "Leon", "maria": "Maria", "nina": "Nina", "omar": "Omari",
    "peter": "Petro", "sara": "Sara", "sofia": "Sofia", "victoria": "Viktoria",
    "rossi": "Rossi", "lee": "Lee", "shaw": "Shaw", "kato": "Kato", "mori": "Mori", "diallo": "Diallo",
    "berlin": "Berlin", "madrid": "Madrid", "moscow": "Moscow", "istanbul": "Istanbul", "delhi": "Delhi",
    "nairobi": "Nairobi", "beijing": "Beijing", "london": "London", "paris": "Paris", "rome": "Roma",
    "cairo": "Kairo", "lima": "Lima", "tokyo": "Tokyo", "new_york": "New York",
    "sofia_city": "Sofia", "victoria_city": "Viktoria",
    "delta": "Delta", "orion": "Orion", "atlas": "Atlasi", "nova": "Nova", "sigma": "Sigma",
    "bank": "Benki ya", "club": "Klabu ya", "university": "Chuo Kikuu cha", "company": "Kampuni ya",
    # times, numbers, adjectives
    "yesterday": "jana/ADV", "today": "leo/ADV", "monday": "Jumatatu", "friday": "Ijumaa", "sunday": "Jumapili",
    "morning": "asubuhi", "evening": "jioni", "night": "usiku", "summer": "wakati wa kiangazi",
    "winter": "wakati wa baridi",
    "two": "wawili miwili mawili viwili mbili", "three": "watatu mitatu matatu vitatu tatu",
    "four": "wanne minne manne vinne nne",
    "new": "mpya jipya kipya mpya", "old": "mzee kuukuu kikuukuu kuukuu", "big": "mkubwa kubwa kikubwa kubwa",
    "small": "mdogo dogo kidogo ndogo", "red": "mwekundu jekundu chekundu nyekundu",
    "black": "mweusi jeusi cheusi nyeusi", "white": "mweupe jeupe cheupe nyeupe",
    "expensive": "ghali ghali ghali ghali",
    # professions
    "scientist": "mwanasayansi", "researcher": "mtafiti", "engineer": "mhandisi", "tourist": "mtalii",
    "pilot": "rubani", "minister": "waziri", "mayor": "meya", "athlete": "mwanariadha",
    "sportsman": "mwanamichezo", "coach": "kocha", "doctor": "daktari", "physician": "tabibu", "nurse": "muuguzi",
    "singer": "mwimbaji", "actor": "mwigizaji", "farmer": "mkulima", "guide": "mwongozaji",
    # venues
    "laboratory": "katika maabara", "factory": "katika kiwanda", "airport": "katika uwanja wa ndege",
    "station": "katika stesheni", "hotel": "katika hoteli", "parliament": "katika bunge",
    "court": "katika mahakama", "stadium": "katika uwanja wa michezo", "gym": "katika ukumbi wa mazoezi",
    "hospital": "katika hospitali", "pharmacy": "katika duka la dawa", "market": "katika soko",
    "theatre": "katika ukumbi wa maigizo", "cinema": "katika sinema", "park": "katika bustani",
    "zoo": "katika bustani ya wanyama", "village": "katika kijiji",
    # things
    "computer": "9:kompyuta", "robot": "9:roboti", "telescope": "9:darubini", "phone": "9:simu",
    "camera": "9:kamera", "ticket": "9:tiketi", "passport": "9:pasipoti", "suitcase": "5:sanduku|masanduku",
    "map": "9:ramani", "car": "5:gari|magari", "automobile": "9:motokaa", "bicycle": "9:baiskeli", "law": "9:sheria",
    "contract": "3:mkataba|mikataba", "letter": "9:barua", "plan": "3:mpango|mipango", "report": "9:ripoti",
    "ball": "3:mpira|mipira", "medal": "9:medali", "trophy": "5:kombe|makombe", "match": "9:mechi", "race": "9:mbio",
    "pill": "7:kidonge|vidonge", "tablet": "9:tembe", "apple": "5:tufaha|matufaha", "banana": "9:ndizi",
    "egg": "5:yai|mayai", "bandage": "9:bendeji", "film": "9:filamu", "song": "11:wimbo|nyimbo",
    "guitar": "5:gitaa|magitaa", "piano": "7:kinanda|vinanda", "drum": "9:ngoma", "river": "3:mto|mito",
    "mountain": "3:mlima|milima", "island": "7:kisiwa|visiwa", "lake": "5:ziwa|maziwa", "forest": "3:msitu|misitu",
    "horse": "a:farasi", "dog": "a:mbwa", "bird": "a:ndege", "elephant": "a:tembo", "device": "7:kifaa|vifaa",
    "vehicle": "7:chombo cha usafiri|vyombo vya usafiri", "document": "9:hati", "fruit": "5:tunda|matunda",
    "instrument": "9:ala", "animal": "a:mnyama|wanyama",
    # verbs
    "buy": "alinunua|hakununua", "sell": "aliuza|hakuuza", "steal": "aliiba|hakuiba", "lose": "alipoteza|hakupoteza",
    "find": "alipata|hakupata", "discover": "aligundua|hakugundua", "see": "aliona|hakuona",
    "choose": "alichagua|hakuchagua", "give": "alimpa|hakumpa", "send": "alimtumia|hakumtumia",
    "show": "alimwonyesha|hakumwonyesha", "build": "alitengeneza|hakutengeneza", "repair": "alikarabati|hakukarabati",
    "test": "alijaribu|hakujaribu", "carry": "alibeba|hakubeba", "read": "alisoma|hakusoma",
    "write": "aliandika|hakuandika", "reject": "alikataa|hakukataa", "win": "alishinda|hakushinda",
    "throw": "alirusha|hakurusha", "catch": "alikamata|hakukamata", "eat": "alikula|hakula", "cook": "alipika|hakupika",
    "swallow": "alimeza|hakumeza", "hear": "alisikia|hakusikia", "sing": "aliimba|hakuimba", "cross": "alivuka|hakuvuka",
    "draw": "alichora|hakuchora",
}  # fmt: skip

FUNCTION = {
    "katika": "ADP", "jijini": "NOUN", "wa": "ADP", "ya": "ADP", "cha": "ADP", "vya": "ADP", "la": "ADP", "na": "CCONJ",
    "pamoja": "ADV", "nani": "PRON", "nini": "PRON", "wapi": "ADV", "lini": "ADV",
}  # fmt: skip
QUESTION = {
    "agent": "nani", "thing": "nini", "recipient": "nani", "companion": "pamoja na nani",
    "place": "wapi", "time": "lini",
}  # fmt: skip

_ADJECTIVE = {"a": 0, "3": 0, "11": 0, "5": 1, "7": 2, "9": 3}
_NUMBER = {"a": 0, "3": 1, "5": 2, "7": 3, "9": 4, "11": 4}


def noun(thing: str, number: str | None = None, adjective: str | None = None) -> str:
    """Return a noun phrase: "tufaha jekundu", "mipira miwili".

    Adjectives and numbers follow and agree.
    """
    noun_class, _, forms = WORDS[thing].partition(":")
    singular, _, plural = forms.partition("|")
    if number:
        return f"{plural or singular} {WORDS[number].split()[_NUMBER[noun_class]]}/NUM"
    return f"{singular} {WORDS[adjective].split()[_ADJECTIVE[noun_class]]}/ADJ" if adjective else singular


def person(ids: str) -> str:
    """Return a name or a profession."""
    return " ".join(WORDS[i] for i in ids.split())


def place(ids: str) -> str:
    """Return a place phrase: "jijini Berlin", "katika hoteli", "katika Benki ya Delta"."""
    first, _, org = ids.partition(" ")
    if SORT[first] == "venue":
        return WORDS[first]
    return f"katika {WORDS[org]} {WORDS[first]}" if org else f"jijini {WORDS[first]}"


def phrases(f: Frame) -> dict[str, str]:
    past, negated = WORDS[f.verb].split("|")
    thing = noun(f.thing, f.number, f.adjective)
    return {
        "agent": person(f.agent),
        "verb": past,
        "verb.not": negated,
        "thing": f"{thing} na {noun(f.other)}" if f.other else thing,
        "recipient": person(f.recipient) if f.recipient else "",
        "companion": f"pamoja na {person(f.companion)}" if f.companion else "",
        "place": place(f.place) if f.place else "",
        "time": WORDS[f.time] if f.time else "",
    }


SWAHILI = Language(
    code="sw",
    mixed=0.6,
    iso3="swh",
    script="Latn",
    words=WORDS,
    function=FUNCTION,
    orders={
        "statement": "agent verb recipient thing companion place time =.",
        "fronted": "time agent verb recipient thing companion place =.",
        "negated": "agent verb.not recipient thing companion place time =.",
        "ask": "agent verb recipient thing companion place time =?",
    },
    question=QUESTION,
    phrases=phrases,
)
