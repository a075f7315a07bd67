"""Hindi: verb last, "ने" marks the agent, postpositions.

The verb agrees with the thing; question words stay in place. Nouns: gender:singular|plural where they differ. Verbs:
the stem, or masculine|feminine|masculine plural|feminine plural. Venues come with their postposition. Adjectives:
masculine|feminine where they differ.
"""

from __future__ import annotations

from trainables.pocket.frames import SORT, Frame
from trainables.pocket.grammar import Language

WORDS = {
    # people and places
    "anna": "अन्ना", "boris": "बोरिस", "clara": "क्लारा", "david": "डेविड", "emma": "एम्मा", "felix": "फ़ेलिक्स",
    "igor": "इगोर", "julia": "जूलिया", "leon": "लियोन", "maria": "मारिया", "nina": "नीना", "omar": "उमर",
    "peter": "पीटर", "sara": "सारा", "sofia": "सोफ़िया", "victoria": "विक्टोरिया",
    "rossi": "रोस्सी", "lee": "ली", "shaw": "शॉ", "kato": "काटो", "mori": "मोरी", "diallo": "डियालो",
    "berlin": "बर्लिन", "madrid": "मैड्रिड", "moscow": "मॉस्को", "istanbul": "इस्तांबुल", "delhi": "दिल्ली",
    "nairobi": "नैरोबी", "beijing": "बीजिंग", "london": "लंदन", "paris": "पेरिस", "rome": "रोम", "cairo": "काहिरा",
    "lima": "लीमा", "tokyo": "टोक्यो", "new_york": "न्यूयॉर्क", "sofia_city": "सोफ़िया", "victoria_city": "विक्टोरिया",
    "delta": "डेल्टा", "orion": "ओरायन", "atlas": "एटलस", "nova": "नोवा", "sigma": "सिग्मा",
    "bank": "बैंक", "club": "क्लब", "university": "विश्वविद्यालय", "company": "कंपनी",
    # times, numbers, adjectives
    "yesterday": "कल/ADV", "today": "आज/ADV", "monday": "सोमवार को", "friday": "शुक्रवार को", "sunday": "रविवार को",
    "morning": "सुबह", "evening": "शाम को", "night": "रात को", "summer": "गर्मियों में", "winter": "सर्दियों में",
    "two": "दो", "three": "तीन", "four": "चार",
    "new": "नया|नई", "old": "पुराना|पुरानी", "big": "बड़ा|बड़ी", "small": "छोटा|छोटी", "red": "लाल", "black": "काला|काली",
    "white": "सफ़ेद", "expensive": "महँगा|महँगी",
    # professions
    "scientist": "वैज्ञानिक", "researcher": "शोधकर्ता", "engineer": "इंजीनियर", "tourist": "पर्यटक", "pilot": "पायलट",
    "minister": "मंत्री", "mayor": "महापौर", "athlete": "एथलीट", "sportsman": "खिलाड़ी", "coach": "कोच",
    "doctor": "डॉक्टर", "physician": "चिकित्सक", "nurse": "नर्स", "singer": "गायक", "actor": "अभिनेता",
    "farmer": "किसान", "guide": "गाइड",
    # venues
    "laboratory": "प्रयोगशाला में", "factory": "कारख़ाने में", "airport": "हवाई अड्डे पर", "station": "स्टेशन पर",
    "hotel": "होटल में", "parliament": "संसद में", "court": "अदालत में", "stadium": "स्टेडियम में",
    "gym": "व्यायामशाला में", "hospital": "अस्पताल में", "pharmacy": "दवाख़ाने में", "market": "बाज़ार में",
    "theatre": "नाट्यशाला में", "cinema": "सिनेमाघर में", "park": "पार्क में", "zoo": "चिड़ियाघर में", "village": "गाँव में",
    # things
    "computer": "m:कंप्यूटर", "robot": "m:रोबोट", "telescope": "f:दूरबीन|दूरबीनें", "phone": "m:फ़ोन",
    "camera": "m:कैमरा|कैमरे", "ticket": "m:टिकट", "passport": "m:पासपोर्ट", "suitcase": "m:सूटकेस",
    "map": "m:नक्शा|नक्शे", "car": "f:गाड़ी|गाड़ियाँ", "automobile": "f:कार|कारें", "bicycle": "f:साइकिल|साइकिलें",
    "law": "m:क़ानून", "contract": "m:अनुबंध", "letter": "m:पत्र", "plan": "f:योजना|योजनाएँ", "report": "f:रिपोर्ट|रिपोर्टें",
    "ball": "f:गेंद|गेंदें", "medal": "m:पदक", "trophy": "f:ट्रॉफ़ी|ट्रॉफ़ियाँ", "match": "m:मैच", "race": "f:दौड़|दौड़ें",
    "pill": "f:गोली|गोलियाँ", "tablet": "f:टिकिया|टिकियाँ", "apple": "m:सेब", "banana": "m:केला|केले",
    "egg": "m:अंडा|अंडे", "bandage": "f:पट्टी|पट्टियाँ", "film": "f:फ़िल्म|फ़िल्में", "song": "m:गीत", "guitar": "m:गिटार",
    "piano": "m:पियानो", "drum": "m:ढोल", "river": "f:नदी|नदियाँ", "mountain": "m:पहाड़", "island": "m:द्वीप",
    "lake": "f:झील|झीलें", "forest": "m:जंगल", "horse": "m:घोड़ा|घोड़े", "dog": "m:कुत्ता|कुत्ते", "bird": "f:चिड़िया|चिड़ियाँ",
    "elephant": "m:हाथी", "device": "m:उपकरण", "vehicle": "m:वाहन", "document": "m:दस्तावेज़", "fruit": "m:फल",
    "instrument": "m:वाद्य", "animal": "m:जानवर",
    # verbs
    "buy": "ख़रीद", "sell": "बेच", "steal": "चुरा", "lose": "खो", "find": "पा", "discover": "खोज", "see": "देख",
    "choose": "चुन", "give": "दिया|दी|दिए|दीं", "send": "भेज", "show": "दिखा", "build": "बना", "repair": "सुधार",
    "test": "परख", "carry": "उठा", "read": "पढ़", "write": "लिख", "reject": "ठुकरा", "win": "जीत", "throw": "फेंक",
    "catch": "पकड़", "eat": "खा", "cook": "पका", "swallow": "निगल", "hear": "सुन", "sing": "गा",
    "cross": "पार/NOUN किया|पार/NOUN की|पार/NOUN किए|पार/NOUN कीं", "draw": "उकेर",
}  # fmt: skip

FUNCTION = {
    "ने": "ADP", "को": "ADP", "में": "ADP", "पर": "ADP", "के": "ADP", "साथ": "ADP", "और": "CCONJ", "एक": "DET",
    "नहीं": "PART", "किसने": "PRON", "क्या": "PRON", "किसको": "PRON", "किसके": "PRON", "कहाँ": "ADV", "कब": "ADV",
}  # fmt: skip
QUESTION = {
    "agent": "किसने", "thing": "क्या", "recipient": "किसको", "companion": "किसके साथ",
    "place": "कहाँ", "time": "कब",
}  # fmt: skip


def noun(thing: str, number: str | None = None, adjective: str | None = None) -> str:
    """Return a noun phrase: "एक लाल गेंद", "दो सेब"."""
    gender, _, forms = WORDS[thing].partition(":")
    singular, _, plural = forms.partition("|")
    if number:
        return f"{WORDS[number]}/NUM {plural or singular}"
    quality = WORDS[adjective].split("|")[-1 if gender == "f" else 0] + "/ADJ " if adjective else ""
    return f"एक {quality}{singular}"


def verb(concept: str, thing: str, plural: bool) -> str:
    """Return the perfective: "देखा", "देखी", "देखे", "देखीं".

    It agrees with the thing.
    """
    stem, *forms = WORDS[concept].split("|")
    column = (2 if plural else 0) + (WORDS[thing][0] == "f")
    if forms:
        return [stem, *forms][column]
    endings = ("या", "ई", "ए", "ईं") if stem[-1] in "ाो" else ("ा", "ी", "े", "ीं")
    return stem + endings[column]


def person(ids: str) -> str:
    """Return a name or a profession."""
    return " ".join(WORDS[i] for i in ids.split())


def place(ids: str) -> str:
    """Return a place phrase: "बर्लिन में", "स्टेशन पर", "डेल्टा बैंक में"."""
    words = " ".join(WORDS[i] for i in ids.split())
    return words if SORT[ids.split()[0]] == "venue" else f"{words} में"


def phrases(f: Frame) -> dict[str, str]:
    thing = noun(f.thing, f.number, f.adjective)
    last = f.other or f.thing  # of two things the verb agrees with the nearer
    return {
        "agent": f"{person(f.agent)} ने",
        "verb": verb(f.verb, last, f.number is not None and not f.other),
        "verb.what": verb(f.verb, "map", False),  # with "क्या": masculine singular
        "thing": f"{thing} और {noun(f.other)}" if f.other else thing,
        "recipient": f"{person(f.recipient)} को" if f.recipient else "",
        "companion": f"{person(f.companion)} के साथ" if f.companion else "",
        "place": place(f.place) if f.place else "",
        "time": WORDS[f.time] if f.time else "",
    }


HINDI = Language(
    code="hi",
    mixed=0.5,
    iso3="hin",
    script="Deva",
    words=WORDS,
    function=FUNCTION,
    orders={
        "statement": "agent time companion place recipient thing verb =।",
        "fronted": "time agent companion place recipient thing verb =।",
        "negated": "agent time companion place recipient thing =नहीं verb =।",
        "ask_thing": "agent time companion place recipient thing verb.what =?",
        "ask": "agent time companion place recipient thing verb =?",
    },
    question=QUESTION,
    phrases=phrases,
)
