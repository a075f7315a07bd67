"""Sentences from frames: words with part of speech, role and position.

A language file gives the words and the word order; no code here depends on a particular language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from trainables.pocket.frames import SLOTS, SORT, Frame

_CLOSING = frozenset(".?。？।")
_ENTITY = {"name": "PER", "surname": "PER", "city": "LOC", "brand": "ORG", "org": "ORG"}


@dataclass(frozen=True, kw_only=True)
class Language:
    """What a language file declares.

    Attributes:
        words: concept -> forms, "|" between forms; their meaning is up to the language file.
        function: function word -> universal part of speech. These words are trimmed off both ends of a gold span.
        orders: name -> word order: slots and "=literal" words. Needed: statement, fronted, negated, ask; "ask_<slot>"
            where asking for a slot differs. The slot "wh" is the question word's; without it the question word stays in
            its slot. "verb.base" is another form of the verb.
        question: slot -> question word(s).
        phrases: frame -> slot -> words. A word is "word" or "word/POS"; without /POS it is looked up in `function`,
            else it gets the default of its slot.
    """

    code: str
    iso3: str
    script: str
    words: Mapping[str, str]
    function: Mapping[str, str]
    orders: Mapping[str, str]
    question: Mapping[str, str]
    phrases: Callable[[Frame], Mapping[str, str]]
    space: str = " "
    upper: Mapping[str, str] | None = None  # first letters whose capital is not str.upper's
    mixed: float = 0.0  # share of its raw text with some phrases in English: how near it is to English


class Token(NamedTuple):
    """A word or punctuation mark of a sentence."""

    text: str
    pos: str
    role: str
    entity: str  # "O", "B-PER", ...
    start: int  # offset of the first character in the sentence


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as text and as annotated words."""

    text: str
    tokens: tuple[Token, ...]
    spans: Mapping[str, tuple[int, int]]  # role -> first and last + 1 character of its filler, without function words

    def answer(self, role: str) -> tuple[int, str]:
        """Return character offset and text of a role's filler."""
        start, end = self.spans[role]
        return start, self.text[start:end]


def say(
    frame: Frame, language: Language, order: str | None = None, *, asked: str | None = None, wh: str | None = None
) -> Sentence:
    """Express a frame as one sentence.

    Args:
        asked: slot to ask for, as a question; without it a statement is made, in the order "negated" if the frame is
            negated, else in the order named ("fronted" needs a time to front).
        order: name of the word order; of a question, a prefix ("fronted ").
        wh: another question word.
    """
    phrases = dict(language.phrases(frame))
    if asked:
        prefix = order or ""
        template = language.orders.get(f"{prefix}ask_{asked}") or language.orders[f"{prefix}ask"]
        phrases.pop(asked, None)
        phrases["wh" if "wh" in template.split() else asked] = wh or language.question[asked]
    else:
        name = "negated" if frame.negated else "statement" if frame.time is None else order or "statement"
        template = language.orders[name]
    words: list[tuple[str, str, str]] = []  # word, part of speech, role
    for item in template.split():
        if item.startswith("="):
            words.append((*_tagged(item[1:], "PUNCT", language), "none"))
        else:
            role = item.split(".")[0]  # "verb.base" is a verb
            default = "PRON" if role == asked else _default_pos(frame, role)
            words += [(*_tagged(w, default, language), role) for w in phrases.get(item, "").split()]
    return _assemble(words, _entities(frame), language)


def mixed(language: Language, other: Language, rng: Random) -> Language:
    """Mix phrases of another language into a language.

    This is code-switching: some phrases are the other language's, the word order stays its own.
    """

    def phrases(frame: Frame) -> Mapping[str, str]:
        own, theirs = dict(language.phrases(frame)), other.phrases(frame)
        roles = [role for role in SLOTS if own.get(role) and theirs.get(role)]
        for role in rng.sample(roles, rng.randint(1, max(1, len(roles) - 1))):
            own[role] = theirs[role]
        return own

    return replace(language, phrases=phrases, function={**other.function, **language.function})


def _tagged(word: str, default: str, language: Language) -> tuple[str, str]:
    text, _, pos = word.partition("/")
    return text, pos or language.function.get(text, default)


def _default_pos(frame: Frame, role: str) -> str:
    if role in ("verb", "wh"):
        return "VERB" if role == "verb" else "PRON"
    filler = getattr(frame, role, None)
    proper = filler is not None and SORT[filler.split()[0]] in _ENTITY
    return "PROPN" if proper else "NOUN"


def _entities(frame: Frame) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for role in ("agent", "recipient", "companion", "place"):
        filler = frame.filler(role)
        kind = _ENTITY.get(SORT[filler.split()[0]]) if filler else None
        if kind:
            kinds[role] = kind
    return kinds


def _assemble(words: list[tuple[str, str, str]], entities: Mapping[str, str], language: Language) -> Sentence:
    core: dict[str, tuple[int, int]] = {}  # role -> first and last index of its content words
    for i, (text, _, role) in enumerate(words):
        if role not in ("none", "wh") and text not in language.function:
            core[role] = (core.get(role, (i, i))[0], i)
    tokens: list[Token] = []
    sentence = ""
    for i, (text, pos, role) in enumerate(words):
        opening = sentence in ("", "¿")
        if opening:
            text = capital(text, language)
        if not opening and text not in _CLOSING:
            # A script without spaces still separates its words from words in Latin letters by a space.
            sentence += language.space or (" " if text[0].isascii() or sentence[-1].isascii() else "")
        first, last = core.get(role, (-1, -1))
        kind = entities.get(role)
        entity = "O" if kind is None or not first <= i <= last else ("B-" if i == first else "I-") + kind
        tokens.append(Token(text, pos, role, entity, len(sentence)))
        sentence += text
    spans = {r: (tokens[a].start, tokens[b].start + len(tokens[b].text)) for r, (a, b) in core.items()}
    return Sentence(sentence, tuple(tokens), spans)


def capital(word: str, language: Language) -> str:
    """Capitalise the first letter, where the script has capitals."""
    first = (language.upper or {}).get(word[0], word[0].upper())
    return first + word[1:]
