"""Turkish: verb last, case endings instead of prepositions.

Question words stay where the answer would stand. Names: nominative; the dative follows vowel harmony. Cities, venues
and organisations: locative. Verbs: past|negated past.
"""

from __future__ import annotations

from trainables.pocket.frames import Frame
from trainables.pocket.grammar import Language

WORDS = {
    # people and places
    "anna": "Anna", "boris": "Boris", "clara": "Klara", "david": "David", "emma": "Emma", "felix": "Feliks",
    "igor": "İgor", "julia": "Julia", "leon": "Leon", "maria": "Maria", "nina": "Nina", "omar": "Ömer",
    "peter": "Peter", "sara": "Sara", "sofia": "Sofya", "victoria": "Viktorya",
    "rossi": "Rossi", "lee": "Lee", "shaw": "Shaw", "kato": "Kato", "mori": "Mori", "diallo": "Diallo",
    "berlin": "Berlin'de", "madrid": "Madrid'de", "moscow": "Moskova'da", "istanbul": "İstanbul'da",
    "delhi": "Delhi'de", "nairobi": "Nairobi'de", "beijing": "Pekin'de", "london": "Londra'da", "paris": "Paris'te",
    "rome": "Roma'da", "cairo": "Kahire'de", "lima": "Lima'da", "tokyo": "Tokyo'da", "new_york": "New York'ta",
    "sofia_city": "Sofya'da", "victoria_city": "Viktorya'da",
    "delta": "Delta", "orion": "Orion", "atlas": "Atlas", "nova": "Nova", "sigma": "Sigma",
    "bank": "Bankası'nda", "club": "Kulübü'nde", "university": "Üniversitesi'nde", "company": "Şirketi'nde",
    # times, numbers, adjectives
    "yesterday": "dün/ADV", "today": "bugün/ADV", "monday": "pazartesi günü", "friday": "cuma günü",
    "sunday": "pazar günü", "morning": "sabahleyin/ADV", "evening": "akşamleyin/ADV", "night": "geceleyin/ADV",
    "summer": "yazın/ADV", "winter": "kışın/ADV",
    "two": "iki", "three": "üç", "four": "dört",
    "new": "yeni", "old": "eski", "big": "büyük", "small": "küçük", "red": "kırmızı", "black": "siyah",
    "white": "beyaz", "expensive": "pahalı",
    # professions
    "scientist": "bilim insanı", "researcher": "araştırmacı", "engineer": "mühendis", "tourist": "turist",
    "pilot": "pilot", "minister": "bakan", "mayor": "belediye başkanı", "athlete": "atlet", "sportsman": "sporcu",
    "coach": "antrenör", "doctor": "doktor", "physician": "hekim", "nurse": "hemşire", "singer": "şarkıcı",
    "actor": "oyuncu", "farmer": "çiftçi", "guide": "rehber",
    # venues
    "laboratory": "laboratuvarda", "factory": "fabrikada", "airport": "havaalanında", "station": "istasyonda",
    "hotel": "otelde", "parliament": "mecliste", "court": "mahkemede", "stadium": "stadyumda",
    "gym": "spor salonunda", "hospital": "hastanede", "pharmacy": "eczanede", "market": "pazarda",
    "theatre": "tiyatroda", "cinema": "sinemada", "park": "parkta", "zoo": "hayvanat bahçesinde", "village": "köyde",
    # things
    "computer": "bilgisayar", "robot": "robot", "telescope": "teleskop", "phone": "telefon", "camera": "kamera",
    "ticket": "bilet", "passport": "pasaport", "suitcase": "bavul", "map": "harita", "car": "araba",
    "automobile": "otomobil", "bicycle": "bisiklet", "law": "yasa", "contract": "sözleşme", "letter": "mektup",
    "plan": "plan", "report": "rapor", "ball": "top", "medal": "madalya", "trophy": "kupa", "match": "maç",
    "race": "yarış", "pill": "hap", "tablet": "tablet", "apple": "elma", "banana": "muz", "egg": "yumurta",
    "bandage": "bandaj", "film": "film", "song": "şarkı", "guitar": "gitar", "piano": "piyano", "drum": "davul",
    "river": "nehir", "mountain": "dağ", "island": "ada", "lake": "göl", "forest": "orman", "horse": "at",
    "dog": "köpek", "bird": "kuş", "elephant": "fil", "device": "cihaz", "vehicle": "araç", "document": "belge",
    "fruit": "meyve", "instrument": "çalgı", "animal": "hayvan",
    # verbs
    "buy": "aldı|almadı", "sell": "sattı|satmadı", "steal": "çaldı|çalmadı", "lose": "kaybetti|kaybetmedi",
    "find": "buldu|bulmadı", "discover": "keşfetti|keşfetmedi", "see": "gördü|görmedi", "choose": "seçti|seçmedi",
    "give": "verdi|vermedi", "send": "gönderdi|göndermedi", "show": "gösterdi|göstermedi", "build": "yaptı|yapmadı",
    "repair": "onardı|onarmadı", "test": "denedi|denemedi", "carry": "taşıdı|taşımadı", "read": "okudu|okumadı",
    "write": "yazdı|yazmadı", "reject": "reddetti|reddetmedi", "win": "kazandı|kazanmadı", "throw": "attı|atmadı",
    "catch": "yakaladı|yakalamadı", "eat": "yedi|yemedi", "cook": "pişirdi|pişirmedi", "swallow": "yuttu|yutmadı",
    "hear": "duydu|duymadı", "sing": "söyledi|söylemedi", "cross": "geçti|geçmedi", "draw": "çizdi|çizmedi",
}  # fmt: skip

FUNCTION = {
    "bir": "DET", "ve": "CCONJ", "ile": "ADP", "kim": "PRON", "ne": "PRON", "kime": "PRON", "kiminle": "PRON",
    "nerede": "ADV", "zaman": "ADV",
}  # fmt: skip
QUESTION = {
    "agent": "kim", "thing": "ne", "recipient": "kime", "companion": "kiminle",
    "place": "nerede", "time": "ne zaman",
}  # fmt: skip


def noun(thing: str, number: str | None = None, adjective: str | None = None) -> str:
    """Return a noun phrase: "kırmızı bir elma", "iki top"."""
    if number:
        return f"{WORDS[number]}/NUM {WORDS[thing]}"
    return f"{WORDS[adjective]}/ADJ bir {WORDS[thing]}" if adjective else f"bir {WORDS[thing]}"


def person(ids: str) -> str:
    """Return a name or a profession."""
    return " ".join(WORDS[i] for i in ids.split())


def dative(name: str) -> str:
    """Put a name into the dative: "Anna'ya", "Peter'e".

    The vowel follows the last vowel of the name.
    """
    last = [letter for letter in name.lower() if letter in "aıoueiöü"][-1]
    buffer = "y" if name[-1] in "aıoueiöü" else ""
    return f"{name}'{buffer}{'a' if last in 'aıou' else 'e'}"


def phrases(f: Frame) -> dict[str, str]:
    past, negated = WORDS[f.verb].split("|")
    thing = noun(f.thing, f.number, f.adjective)
    return {
        "agent": person(f.agent),
        "verb": past,
        "verb.not": negated,
        "thing": f"{thing} ve {noun(f.other)}" if f.other else thing,
        "recipient": dative(person(f.recipient)) if f.recipient else "",
        "companion": f"{person(f.companion)} ile" if f.companion else "",
        "place": " ".join(WORDS[i] for i in f.place.split()) if f.place else "",
        "time": WORDS[f.time] if f.time else "",
    }


TURKISH = Language(
    code="tr",
    mixed=0.5,
    iso3="tur",
    script="Latn",
    words=WORDS,
    function=FUNCTION,
    orders={
        "statement": "agent time companion place recipient thing verb =.",
        "fronted": "time agent companion place recipient thing verb =.",
        "negated": "agent time companion place recipient thing verb.not =.",
        "ask": "agent time companion place recipient thing verb =?",
    },
    question=QUESTION,
    phrases=phrases,
    upper={"i": "İ"},
)
