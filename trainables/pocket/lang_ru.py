"""Russian: no articles, free order, gendered past tense, case endings.

The past tense agrees with the agent's gender; names and cities take cases. Names: nominative|dative|instrumental.
Cities and venues: prepositional, venues with their preposition. Nouns: gender:accusative|form after numbers (genitive
singular; genitive plural for the animate), gender a = animate masculine, b = animate feminine, c = animate neuter.
Verbs: masculine|feminine. Adjectives: masculine feminine neuter animate.
"""

from __future__ import annotations

from trainables.pocket.frames import FEMALE, SORT, Frame
from trainables.pocket.grammar import Language

WORDS = {
    # people and places
    "anna": "Анна|Анне|Анной", "boris": "Борис|Борису|Борисом", "clara": "Клара|Кларе|Кларой",
    "david": "Давид|Давиду|Давидом", "emma": "Эмма|Эмме|Эммой", "felix": "Феликс|Феликсу|Феликсом",
    "igor": "Игорь|Игорю|Игорем", "julia": "Юлия|Юлии|Юлией", "leon": "Леон|Леону|Леоном",
    "maria": "Мария|Марии|Марией", "nina": "Нина|Нине|Ниной", "omar": "Омар|Омару|Омаром",
    "peter": "Пётр|Петру|Петром", "sara": "Сара|Саре|Сарой", "sofia": "София|Софии|Софией",
    "victoria": "Виктория|Виктории|Викторией",
    "rossi": "Росси", "lee": "Ли", "shaw": "Шоу", "kato": "Като", "mori": "Мори", "diallo": "Диалло",
    "berlin": "Берлине", "madrid": "Мадриде", "moscow": "Москве", "istanbul": "Стамбуле", "delhi": "Дели",
    "nairobi": "Найроби", "beijing": "Пекине", "london": "Лондоне", "paris": "Париже", "rome": "Риме",
    "cairo": "Каире", "lima": "Лиме", "tokyo": "Токио", "new_york": "Нью-Йорке",
    "sofia_city": "Софии", "victoria_city": "Виктории",
    "delta": "Дельта", "orion": "Орион", "atlas": "Атлас", "nova": "Нова", "sigma": "Сигма",
    "bank": "банке", "club": "клубе", "university": "университете", "company": "компании",
    # times, numbers, adjectives
    "yesterday": "вчера/ADV", "today": "сегодня/ADV", "monday": "в понедельник", "friday": "в пятницу",
    "sunday": "в воскресенье", "morning": "утром", "evening": "вечером", "night": "ночью",
    "summer": "летом", "winter": "зимой",
    "two": "два две двух", "three": "три три трёх", "four": "четыре четыре четырёх",
    "new": "новый новую новое нового", "old": "старый старую старое старого",
    "big": "большой большую большое большого", "small": "маленький маленькую маленькое маленького",
    "red": "красный красную красное красного", "black": "чёрный чёрную чёрное чёрного",
    "white": "белый белую белое белого", "expensive": "дорогой дорогую дорогое дорогого",
    # professions
    "scientist": "учёный", "researcher": "исследователь", "engineer": "инженер", "tourist": "турист",
    "pilot": "пилот", "minister": "министр", "mayor": "мэр", "athlete": "атлет", "sportsman": "спортсмен",
    "coach": "тренер", "doctor": "врач", "physician": "доктор", "nurse": "медсестра", "singer": "певец",
    "actor": "актёр", "farmer": "фермер", "guide": "экскурсовод",
    # venues
    "laboratory": "в лаборатории", "factory": "на заводе", "airport": "в аэропорту", "station": "на вокзале",
    "hotel": "в гостинице", "parliament": "в парламенте", "court": "в суде", "stadium": "на стадионе",
    "gym": "в спортзале", "hospital": "в больнице", "pharmacy": "в аптеке", "market": "на рынке",
    "theatre": "в театре", "cinema": "в кино", "park": "в парке", "zoo": "в зоопарке", "village": "в деревне",
    # things
    "computer": "m:компьютер|компьютера", "robot": "a:робота|роботов", "telescope": "m:телескоп|телескопа",
    "phone": "m:телефон|телефона", "camera": "f:камеру|камеры", "ticket": "m:билет|билета",
    "passport": "m:паспорт|паспорта", "suitcase": "m:чемодан|чемодана", "map": "f:карту|карты",
    "car": "f:машину|машины", "automobile": "m:автомобиль|автомобиля", "bicycle": "m:велосипед|велосипеда",
    "law": "m:закон|закона", "contract": "m:договор|договора", "letter": "n:письмо|письма", "plan": "m:план|плана",
    "report": "m:отчёт|отчёта", "ball": "m:мяч|мяча", "medal": "f:медаль|медали", "trophy": "m:кубок|кубка",
    "match": "m:матч|матча", "race": "f:гонку|гонки", "pill": "f:пилюлю|пилюли", "tablet": "f:таблетку|таблетки",
    "apple": "n:яблоко|яблока", "banana": "m:банан|банана", "egg": "n:яйцо|яйца", "bandage": "m:бинт|бинта",
    "film": "m:фильм|фильма", "song": "f:песню|песни", "guitar": "f:гитару|гитары", "piano": "n:пианино|пианино",
    "drum": "m:барабан|барабана", "river": "f:реку|реки", "mountain": "f:гору|горы", "island": "m:остров|острова",
    "lake": "n:озеро|озера", "forest": "m:лес|леса", "horse": "b:лошадь|лошадей", "dog": "b:собаку|собак",
    "bird": "b:птицу|птиц", "elephant": "a:слона|слонов",
    "device": "n:устройство|устройства", "document": "m:документ|документа",
    "vehicle": "n:транспортное/ADJ средство|транспортных/ADJ средства",
    "fruit": "m:фрукт|фрукта", "instrument": "m:инструмент|инструмента", "animal": "c:животное|животных",
    # verbs
    "buy": "купил|купила", "sell": "продал|продала", "steal": "украл|украла", "lose": "потерял|потеряла",
    "find": "нашёл|нашла", "discover": "обнаружил|обнаружила", "see": "увидел|увидела", "choose": "выбрал|выбрала",
    "give": "дал|дала", "send": "отправил|отправила", "show": "показал|показала", "build": "построил|построила",
    "repair": "починил|починила", "test": "испытал|испытала", "carry": "нёс|несла", "read": "прочитал|прочитала",
    "write": "написал|написала", "reject": "отклонил|отклонила", "win": "выиграл|выиграла",
    "throw": "бросил|бросила", "catch": "поймал|поймала", "eat": "съел|съела", "cook": "сварил|сварила",
    "swallow": "проглотил|проглотила", "hear": "услышал|услышала", "sing": "спел|спела",
    "cross": "пересёк|пересекла", "draw": "нарисовал|нарисовала",
}  # fmt: skip

FUNCTION = {
    "в": "ADP", "на": "ADP", "с": "ADP", "и": "CCONJ", "не": "PART", "кто": "PRON", "что": "PRON", "кому": "PRON",
    "кем": "PRON", "где": "ADV", "когда": "ADV",
}  # fmt: skip
QUESTION = {
    "agent": "кто", "thing": "что", "recipient": "кому", "companion": "с кем",
    "place": "где", "time": "когда",
}  # fmt: skip

_COLUMN = {"m": 0, "f": 1, "n": 2, "a": 3, "b": 1, "c": 2}


def noun(thing: str, number: str | None = None, adjective: str | None = None) -> str:
    """Decline in the accusative: "красную карту", "два мяча", "двух собак"."""
    gender, _, forms = WORDS[thing].partition(":")
    singular, counted = forms.split("|")
    if number:
        column = 2 if gender in "abc" else int(gender == "f")
        return f"{WORDS[number].split()[column]}/NUM {counted}"
    return f"{WORDS[adjective].split()[_COLUMN[gender]]}/ADJ {singular}" if adjective else singular


def person(ids: str, case: int = 0) -> str:
    """Return a name in a case, or a profession.

    Cases: 0 nominative, 1 dative, 2 instrumental (names only; surnames do not decline).
    """
    return " ".join(WORDS[i].split("|")[case] if SORT[i] == "name" else WORDS[i] for i in ids.split())


def place(ids: str) -> str:
    """Return a place phrase: "в Берлине", "на рынке", "в банке Дельта"."""
    first, _, org = ids.partition(" ")
    if SORT[first] == "venue":
        return WORDS[first]
    return f"в {WORDS[org]}/NOUN {WORDS[first]}" if org else f"в {WORDS[first]}"


def phrases(f: Frame) -> dict[str, str]:
    masculine, feminine = WORDS[f.verb].split("|")
    thing = noun(f.thing, f.number, f.adjective)
    return {
        "agent": person(f.agent),
        "verb": feminine if f.agent.split()[0] in FEMALE else masculine,
        "verb.who": masculine,
        "thing": f"{thing} и {noun(f.other)}" if f.other else thing,
        "recipient": person(f.recipient, 1) if f.recipient else "",
        "companion": f"с {person(f.companion, 2)}" if f.companion else "",
        "place": place(f.place) if f.place else "",
        "time": WORDS[f.time] if f.time else "",
    }


RUSSIAN = Language(
    code="ru",
    mixed=0.6,
    iso3="rus",
    script="Cyrl",
    words=WORDS,
    function=FUNCTION,
    orders={
        "statement": "agent verb recipient thing companion place time =.",
        "fronted": "time agent companion place verb recipient thing =.",
        "negated": "agent =не verb recipient thing companion place time =.",
        "ask_agent": "wh verb.who recipient thing companion place time =?",
        "ask": "wh agent verb recipient thing companion place time =?",
    },
    question=QUESTION,
    phrases=phrases,
)
