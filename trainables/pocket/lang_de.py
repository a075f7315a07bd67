"""German: verb second, adjuncts before the object, "kein" negates it.

Nouns: gender:singular|plural (accusative = nominative but for the article). Professions: article noun. Verbs:
preterite. Venues come with their preposition.
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
    "berlin": "Berlin", "madrid": "Madrid", "moscow": "Moskau", "istanbul": "Istanbul", "delhi": "Delhi",
    "nairobi": "Nairobi", "beijing": "Peking", "london": "London", "paris": "Paris", "rome": "Rom",
    "cairo": "Kairo", "lima": "Lima", "tokyo": "Tokio", "new_york": "New York",
    "sofia_city": "Sofia", "victoria_city": "Victoria",
    "delta": "Delta", "orion": "Orion", "atlas": "Atlas", "nova": "Nova", "sigma": "Sigma",
    "bank": "f:Bank", "club": "m:Klub", "university": "f:Universität", "company": "f:Firma",
    # times, numbers, adjectives
    "yesterday": "gestern/ADV", "today": "heute/ADV", "monday": "am Montag", "friday": "am Freitag",
    "sunday": "am Sonntag", "morning": "am Morgen", "evening": "am Abend", "night": "in der Nacht",
    "summer": "im Sommer", "winter": "im Winter",
    "two": "zwei", "three": "drei", "four": "vier",
    "new": "neu", "old": "alt", "big": "groß", "small": "klein", "red": "rot", "black": "schwarz", "white": "weiß",
    "expensive": "teur",
    # professions
    "scientist": "der Wissenschaftler", "researcher": "der Forscher", "engineer": "der Ingenieur",
    "tourist": "der Tourist", "pilot": "der Pilot", "minister": "der Minister", "mayor": "der Bürgermeister",
    "athlete": "der Athlet", "sportsman": "der Sportler", "coach": "der Trainer", "doctor": "der Arzt",
    "physician": "der Mediziner", "nurse": "die Krankenschwester", "singer": "der Sänger",
    "actor": "der Schauspieler", "farmer": "der Bauer", "guide": "der Reiseleiter",
    # venues
    "laboratory": "im Labor", "factory": "in der Fabrik", "airport": "am Flughafen", "station": "am Bahnhof",
    "hotel": "im Hotel", "parliament": "im Parlament", "court": "im Gericht", "stadium": "im Stadion",
    "gym": "in der Turnhalle", "hospital": "im Krankenhaus", "pharmacy": "in der Apotheke",
    "market": "auf dem Markt", "theatre": "im Theater", "cinema": "im Kino", "park": "im Park", "zoo": "im Zoo",
    "village": "im Dorf",
    # things
    "computer": "m:Computer|Computer", "robot": "m:Roboter|Roboter", "telescope": "n:Teleskop|Teleskope",
    "phone": "n:Telefon|Telefone", "camera": "f:Kamera|Kameras", "ticket": "f:Fahrkarte|Fahrkarten",
    "passport": "m:Pass|Pässe", "suitcase": "m:Koffer|Koffer", "map": "f:Landkarte|Landkarten",
    "car": "n:Auto|Autos", "automobile": "m:Wagen|Wagen", "bicycle": "n:Fahrrad|Fahrräder",
    "law": "n:Gesetz|Gesetze", "contract": "m:Vertrag|Verträge", "letter": "m:Brief|Briefe",
    "plan": "m:Plan|Pläne", "report": "m:Bericht|Berichte", "ball": "m:Ball|Bälle",
    "medal": "f:Medaille|Medaillen", "trophy": "m:Pokal|Pokale", "match": "n:Spiel|Spiele",
    "race": "n:Rennen|Rennen", "pill": "f:Pille|Pillen", "tablet": "f:Tablette|Tabletten",
    "apple": "m:Apfel|Äpfel", "banana": "f:Banane|Bananen", "egg": "n:Ei|Eier", "bandage": "m:Verband|Verbände",
    "film": "m:Film|Filme", "song": "n:Lied|Lieder", "guitar": "f:Gitarre|Gitarren", "piano": "n:Klavier|Klaviere",
    "drum": "f:Trommel|Trommeln", "river": "m:Fluss|Flüsse", "mountain": "m:Berg|Berge", "island": "f:Insel|Inseln",
    "lake": "m:See|Seen", "forest": "m:Wald|Wälder", "horse": "n:Pferd|Pferde", "dog": "m:Hund|Hunde",
    "bird": "m:Vogel|Vögel", "elephant": "m:Elefanten|Elefanten",
    "device": "n:Gerät|Geräte", "vehicle": "n:Fahrzeug|Fahrzeuge", "document": "n:Dokument|Dokumente",
    "fruit": "f:Frucht|Früchte", "instrument": "n:Instrument|Instrumente", "animal": "n:Tier|Tiere",
    # verbs
    "buy": "kaufte", "sell": "verkaufte", "steal": "stahl", "lose": "verlor", "find": "fand",
    "discover": "entdeckte", "see": "sah", "choose": "wählte", "give": "gab", "send": "schickte",
    "show": "zeigte", "build": "baute", "repair": "reparierte", "test": "testete", "carry": "trug",
    "read": "las", "write": "schrieb", "reject": "verwarf", "win": "gewann", "throw": "warf", "catch": "fing",
    "eat": "aß", "cook": "kochte", "swallow": "schluckte", "hear": "hörte", "sing": "sang",
    "cross": "überquerte", "draw": "zeichnete",
}  # fmt: skip

FUNCTION = {
    "der": "DET", "die": "DET", "dem": "DET", "ein": "DET", "eine": "DET", "einen": "DET", "kein": "DET",
    "keine": "DET", "keinen": "DET", "und": "CCONJ", "in": "ADP", "im": "ADP", "am": "ADP", "auf": "ADP",
    "mit": "ADP", "wer": "PRON", "was": "PRON", "wem": "PRON", "wo": "ADV", "wann": "ADV",
}  # fmt: skip
QUESTION = {
    "agent": "wer", "thing": "was", "recipient": "wem", "companion": "mit wem",
    "place": "wo", "time": "wann",
}  # fmt: skip

_ARTICLE = {"m": "einen", "f": "eine", "n": "ein"}
_ENDING = {"m": "en", "f": "e", "n": "es"}


def noun(thing: str, number: str | None = None, adjective: str | None = None, *, negated: bool = False) -> str:
    """Decline in the accusative: "einen roten Apfel", "keine Karte", "zwei Bälle"."""
    gender, _, forms = WORDS[thing].partition(":")
    singular, plural = forms.split("|")
    if number:
        return f"{'keine ' if negated else ''}{WORDS[number]}/NUM {plural}"
    article = ("k" if negated else "") + _ARTICLE[gender]
    return f"{article} {WORDS[adjective]}{_ENDING[gender]}/ADJ {singular}" if adjective else f"{article} {singular}"


def place(ids: str) -> str:
    """Return a place phrase: "in Berlin", "im Hotel", "in der Delta Bank"."""
    first, _, org = ids.partition(" ")
    if SORT[first] == "venue":
        return WORDS[first]
    if SORT[first] == "city":
        return f"in {WORDS[first]}"
    gender, _, word = WORDS[org].partition(":")
    return f"{'im' if gender == 'm' else 'in der'} {WORDS[first]} {word}"


def phrases(f: Frame) -> dict[str, str]:
    thing = noun(f.thing, f.number, f.adjective, negated=f.negated)
    return {
        "agent": person(f.agent),
        "verb": WORDS[f.verb],
        "thing": f"{thing} und {noun(f.other)}" if f.other else thing,
        "recipient": person(f.recipient) if f.recipient else "",
        "companion": f"mit {person(f.companion)}" if f.companion else "",
        "place": place(f.place) if f.place else "",
        "time": WORDS[f.time] if f.time else "",
    }


def person(ids: str) -> str:
    """Return a name, or a profession such as "der Arzt"."""
    return " ".join(WORDS[i] for i in ids.split())


GERMAN = Language(
    code="de",
    mixed=0.7,
    iso3="deu",
    script="Latn",
    words=WORDS,
    function=FUNCTION,
    orders={
        "statement": "agent verb recipient time companion place thing =.",
        "fronted": "time verb agent recipient companion place thing =.",
        "negated": "agent verb recipient time companion place thing =.",
        "ask_agent": "wh verb recipient time companion place thing =?",
        "ask": "wh verb agent recipient time companion place thing =?",
    },
    question=QUESTION,
    phrases=phrases,
)
