"""Spanish: subject verb object, inverted questions, adjectives after the noun.

Questions put the verb before the subject. Nouns: gender:singular|plural where not just -s. Professions and venues come
with article and preposition. Verbs: preterite.
"""

from __future__ import annotations

from trainables.pocket.frames import SORT, Frame
from trainables.pocket.grammar import Language

WORDS = {
    # people and places
    "anna": "Ana", "boris": "Boris", "clara": "Clara", "david": "David", "emma": "Emma", "felix": "Félix",
    "igor": "Ígor", "julia": "Julia", "leon": "León", "maria": "María", "nina": "Nina", "omar": "Omar",
    "peter": "Pedro", "sara": "Sara", "sofia": "Sofía", "victoria": "Victoria",
    "rossi": "Rossi", "lee": "Lee", "shaw": "Shaw", "kato": "Kato", "mori": "Mori", "diallo": "Diallo",
    "berlin": "Berlín", "madrid": "Madrid", "moscow": "Moscú", "istanbul": "Estambul", "delhi": "Delhi",
    "nairobi": "Nairobi", "beijing": "Pekín", "london": "Londres", "paris": "París", "rome": "Roma",
    "cairo": "El Cairo", "lima": "Lima", "tokyo": "Tokio", "new_york": "Nueva York",
    "sofia_city": "Sofía", "victoria_city": "Victoria",
    "delta": "Delta", "orion": "Orión", "atlas": "Atlas", "nova": "Nova", "sigma": "Sigma",
    "bank": "el Banco", "club": "el Club", "university": "la Universidad", "company": "la Empresa",
    # times, numbers, adjectives
    "yesterday": "ayer/ADV", "today": "hoy/ADV", "monday": "el lunes", "friday": "el viernes",
    "sunday": "el domingo", "morning": "por la mañana", "evening": "por la tarde", "night": "por la noche",
    "summer": "en verano", "winter": "en invierno",
    "two": "dos", "three": "tres", "four": "cuatro",
    "new": "nuevo", "old": "viejo", "big": "grande", "small": "pequeño", "red": "rojo", "black": "negro",
    "white": "blanco", "expensive": "caro",
    # professions
    "scientist": "el científico", "researcher": "el investigador", "engineer": "el ingeniero",
    "tourist": "el turista", "pilot": "el piloto", "minister": "el ministro", "mayor": "el alcalde",
    "athlete": "el atleta", "sportsman": "el deportista", "coach": "el entrenador", "doctor": "el doctor",
    "physician": "el médico", "nurse": "la enfermera", "singer": "el cantante", "actor": "el actor",
    "farmer": "el agricultor", "guide": "el guía",
    # venues
    "laboratory": "en el laboratorio", "factory": "en la fábrica", "airport": "en el aeropuerto",
    "station": "en la estación", "hotel": "en el hotel", "parliament": "en el parlamento",
    "court": "en el tribunal", "stadium": "en el estadio", "gym": "en el gimnasio", "hospital": "en el hospital",
    "pharmacy": "en la farmacia", "market": "en el mercado", "theatre": "en el teatro", "cinema": "en el cine",
    "park": "en el parque", "zoo": "en el zoológico", "village": "en el pueblo",
    # things
    "computer": "m:ordenador|ordenadores", "robot": "m:robot", "telescope": "m:telescopio", "phone": "m:teléfono",
    "camera": "f:cámara", "ticket": "m:billete", "passport": "m:pasaporte", "suitcase": "f:maleta", "map": "m:mapa",
    "car": "m:coche", "automobile": "m:automóvil|automóviles", "bicycle": "f:bicicleta", "law": "f:ley|leyes",
    "contract": "m:contrato", "letter": "f:carta", "plan": "m:plan|planes", "report": "m:informe",
    "ball": "f:pelota", "medal": "f:medalla", "trophy": "m:trofeo", "match": "m:partido", "race": "f:carrera",
    "pill": "f:píldora", "tablet": "f:pastilla", "apple": "f:manzana", "banana": "f:banana", "egg": "m:huevo",
    "bandage": "f:venda", "film": "f:película", "song": "f:canción|canciones", "guitar": "f:guitarra",
    "piano": "m:piano", "drum": "m:tambor|tambores", "river": "m:río", "mountain": "f:montaña", "island": "f:isla",
    "lake": "m:lago", "forest": "m:bosque", "horse": "m:caballo", "dog": "m:perro", "bird": "m:pájaro",
    "elephant": "m:elefante", "device": "m:dispositivo", "vehicle": "m:vehículo", "document": "m:documento",
    "fruit": "f:fruta", "instrument": "m:instrumento", "animal": "m:animal|animales",
    # verbs
    "buy": "compró", "sell": "vendió", "steal": "robó", "lose": "perdió", "find": "encontró",
    "discover": "descubrió", "see": "vio", "choose": "eligió", "give": "dio", "send": "envió", "show": "mostró",
    "build": "construyó", "repair": "reparó", "test": "probó", "carry": "llevó", "read": "leyó",
    "write": "escribió", "reject": "rechazó", "win": "ganó", "throw": "lanzó", "catch": "atrapó", "eat": "comió",
    "cook": "cocinó", "swallow": "tragó", "hear": "oyó", "sing": "cantó", "cross": "cruzó", "draw": "dibujó",
}  # fmt: skip

FUNCTION = {
    "el": "DET", "la": "DET", "un": "DET", "una": "DET", "y": "CCONJ", "en": "ADP", "a": "ADP", "con": "ADP",
    "por": "ADP", "no": "ADV", "quién": "PRON", "qué": "PRON", "dónde": "ADV", "cuándo": "ADV",
}  # fmt: skip
QUESTION = {
    "agent": "quién", "thing": "qué", "recipient": "a quién", "companion": "con quién",
    "place": "dónde", "time": "cuándo",
}  # fmt: skip


def noun(thing: str, number: str | None = None, adjective: str | None = None) -> str:
    """Return a noun phrase: "una manzana roja", "dos pelotas"."""
    gender, _, forms = WORDS[thing].partition(":")
    singular, _, plural = forms.partition("|")
    if number:
        return f"{WORDS[number]}/NUM {plural or singular + 's'}"
    article = "una" if gender == "f" else "un"
    if not adjective:
        return f"{article} {singular}"
    quality = WORDS[adjective]
    return f"{article} {singular} {quality[:-1] + 'a' if gender == 'f' and quality[-1] == 'o' else quality}/ADJ"


def person(ids: str) -> str:
    """Return a name, or a profession such as "el doctor"."""
    return " ".join(WORDS[i] for i in ids.split())


def place(ids: str) -> str:
    """Return a place phrase: "en Berlín", "en el Banco Delta"."""
    first, _, org = ids.partition(" ")
    if SORT[first] == "venue":
        return WORDS[first]
    return f"en {WORDS[org]} {WORDS[first]}" if org else f"en {WORDS[first]}"


def phrases(f: Frame) -> dict[str, str]:
    thing = noun(f.thing, f.number, f.adjective)
    return {
        "agent": person(f.agent),
        "verb": WORDS[f.verb],
        "thing": f"{thing} y {noun(f.other)}" if f.other else thing,
        "recipient": f"a {person(f.recipient)}" if f.recipient else "",
        "companion": f"con {person(f.companion)}" if f.companion else "",
        "place": place(f.place) if f.place else "",
        "time": WORDS[f.time] if f.time else "",
    }


SPANISH = Language(
    code="es",
    mixed=0.7,
    iso3="spa",
    script="Latn",
    words=WORDS,
    function=FUNCTION,
    orders={
        "statement": "agent verb thing recipient companion place time =.",
        "fronted": "time agent verb thing recipient companion place =.",
        "negated": "agent =no verb thing recipient companion place time =.",
        "ask_agent": "=¿ wh verb thing recipient companion place time =?",
        "ask": "=¿ wh verb agent thing recipient companion place time =?",
    },
    question=QUESTION,
    phrases=phrases,
)
