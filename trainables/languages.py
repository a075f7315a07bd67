"""Names, scripts and families of languages, and pairs of languages ("A-B")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Language(NamedTuple):
    """A language.

    `family` is the top-level genus that typological tables group by ("IE: Germanic", "Turkic", ...).
    """

    name: str
    script: str
    family: str


_TABLE = """
af     | Afrikaans           | Latin      | IE: Germanic
am     | Amharic             | Ethiopic   | Afro-Asiatic
ar     | Arabic              | Arabic     | Afro-Asiatic
az     | Azerbaijani         | Latin      | Turkic
bg     | Bulgarian           | Cyrillic   | IE: Slavic
bn     | Bengali             | Bengali    | IE: Indo-Aryan
ca     | Catalan             | Latin      | IE: Romance
cs     | Czech               | Latin      | IE: Slavic
cy     | Welsh               | Latin      | IE: Celtic
da     | Danish              | Latin      | IE: Germanic
de     | German              | Latin      | IE: Germanic
de-ba  | Bavarian            | Latin      | IE: Germanic
de-muc | Bavarian (Munich)   | Latin      | IE: Germanic
de-st  | South Tyrolean      | Latin      | IE: Germanic
el     | Greek               | Greek      | IE: Greek
en     | English             | Latin      | IE: Germanic
es     | Spanish             | Latin      | IE: Romance
et     | Estonian            | Latin      | Uralic
eu     | Basque              | Latin      | Basque
fa     | Persian             | Arabic     | IE: Iranian
fi     | Finnish             | Latin      | Uralic
fr     | French              | Latin      | IE: Romance
gsw    | Swiss German        | Latin      | IE: Germanic
gu     | Gujarati            | Gujarati   | IE: Indo-Aryan
he     | Hebrew              | Hebrew     | Afro-Asiatic
hi     | Hindi               | Devanagari | IE: Indo-Aryan
hr     | Croatian            | Latin      | IE: Slavic
ht     | Haitian Creole      | Latin      | Creole
hu     | Hungarian           | Latin      | Uralic
hy     | Armenian            | Armenian   | IE: Armenian
id     | Indonesian          | Latin      | Austronesian
is     | Icelandic           | Latin      | IE: Germanic
it     | Italian             | Latin      | IE: Romance
ja     | Japanese            | Japanese   | Japonic
jv     | Javanese            | Latin      | Austronesian
ka     | Georgian            | Georgian   | Kartvelian
kk     | Kazakh              | Cyrillic   | Turkic
km     | Khmer               | Khmer      | Austroasiatic
kn     | Kannada             | Kannada    | Dravidian
ko     | Korean              | Hangul     | Koreanic
lt     | Lithuanian          | Latin      | IE: Baltic
lv     | Latvian             | Latin      | IE: Baltic
ml     | Malayalam           | Malayalam  | Dravidian
mn     | Mongolian           | Cyrillic   | Mongolic
mr     | Marathi             | Devanagari | IE: Indo-Aryan
ms     | Malay               | Latin      | Austronesian
my     | Burmese             | Burmese    | Sino-Tibetan
nap    | Neapolitan          | Latin      | IE: Romance
nb     | Norwegian Bokmål    | Latin      | IE: Germanic
nl     | Dutch               | Latin      | IE: Germanic
no     | Norwegian           | Latin      | IE: Germanic
pa     | Punjabi             | Gurmukhi   | IE: Indo-Aryan
pl     | Polish              | Latin      | IE: Slavic
pt     | Portuguese          | Latin      | IE: Romance
qu     | Quechua             | Latin      | Quechuan
ro     | Romanian            | Latin      | IE: Romance
ru     | Russian             | Cyrillic   | IE: Slavic
sk     | Slovak              | Latin      | IE: Slavic
sl     | Slovenian           | Latin      | IE: Slavic
sq     | Albanian            | Latin      | IE: Albanian
sr     | Serbian             | Latin      | IE: Slavic
sv     | Swedish             | Latin      | IE: Germanic
sw     | Swahili             | Latin      | Niger-Congo
ta     | Tamil               | Tamil      | Dravidian
te     | Telugu              | Telugu     | Dravidian
th     | Thai                | Thai       | Kra-Dai
tl     | Tagalog             | Latin      | Austronesian
tr     | Turkish             | Latin      | Turkic
uk     | Ukrainian           | Cyrillic   | IE: Slavic
ur     | Urdu                | Arabic     | IE: Indo-Aryan
vi     | Vietnamese          | Latin      | Austroasiatic
wo     | Wolof               | Latin      | Niger-Congo
yo     | Yoruba              | Latin      | Niger-Congo
zh     | Chinese             | Han        | Sino-Tibetan
zh-TW  | Chinese (Taiwan)    | Han        | Sino-Tibetan
"""


def _parse(table: str) -> dict[str, Language]:
    found: dict[str, Language] = {}
    for line in table.strip().splitlines():
        tag, name, script, family = (cell.strip() for cell in line.split("|"))
        if tag in found:
            raise ValueError(f"language {tag!r} is in the table twice")
        found[tag] = Language(name, script, family)
    return found


LANGUAGES = _parse(_TABLE)


def describe(tag: str) -> Language:
    """Return the language of a tag.

    An unknown region or script ("pt-BR") gives its language; a wholly unknown tag, itself. A pair of known languages
    ("de-hi") gives both: German-Hindi, Latin and Devanagari.
    """
    if tag not in LANGUAGES and (pair := _pair(tag)):
        name = "-".join(language.name for language in pair)
        script, family = (" and ".join(dict.fromkeys(both)) for both in list(zip(*pair, strict=True))[1:])
        return Language(name, script, family)
    known = LANGUAGES.get(tag) or LANGUAGES.get(tag.replace("_", "-").split("-")[0].lower())
    return known or Language(tag, "unknown", "unknown")


def cross(languages: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return all ordered pairs of languages, A = B included.

    They are tag -> (A, B): "A-B" in the order of the languages.
    """
    tags = tuple(languages)
    return {f"{first}-{second}": (first, second) for first in tags for second in tags}


def crossed(tags: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Recover the pairs of `cross` from their tags alone.

    The tags of A = B reveal the languages ("zh-TW-zh-TW").
    """
    halves = {tag: (tag[: len(tag) // 2], tag[len(tag) // 2 + 1 :]) for tag in tags}
    return cross(first for tag, (first, second) in halves.items() if first == second and tag == f"{first}-{second}")


def _pair(tag: str) -> tuple[Language, Language] | None:
    parts = tag.split("-")
    cuts = (("-".join(parts[:n]), "-".join(parts[n:])) for n in range(1, len(parts)))
    return next(((LANGUAGES[a], LANGUAGES[b]) for a, b in cuts if a in LANGUAGES and b in LANGUAGES), None)
