"""Values that several entries share.

Languages, label names, and short notations for tables of configs and of row counts.
"""

from __future__ import annotations

from trainables.catalogue.entry import Role

XTREME = (
    "en af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw ta te th tl tr ur vi "
    "yo zh"
)
ENGLISH = {"en": "default"}
TRAIN_DEV = {"train": "train", "validation": "validation"}
DEV_TEST = {"validation": "validation", "test": "test"}
ALL = {**TRAIN_DEV, "test": "test"}
NLI = ("entailment", "neutral", "contradiction")
# fmt: off
UPOS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART",
    "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
)
# fmt: on
ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
TOPICS = ("science/technology", "travel", "politics", "sports", "health", "entertainment", "geography")
TWO, THREE, FOUR = ("0", "1"), ("1", "2", "3"), ("0", "1", "2", "3")
LETTERS = ("A", "B", "C", "D", "E")
TASK: frozenset[Role] = frozenset({"intermediate"})
GLUE: frozenset[Role] = frozenset({"glue"})
TARGET: frozenset[Role] = frozenset({"target"})
QA = ("f1", "exact_match")
# F1 of characters is for languages without spaces, where English rules hardly fit; it is not part of the main score.
QA_CHARACTERS = (*QA, "f1_characters")


def pairs(text: str) -> dict[str, str]:
    """Parse "de=German fr=French" into a dict.

    A language that occurs twice is an error, not a silent overwrite.
    """
    found: dict[str, str] = {}
    for pair in text.split():
        language, _, config = pair.partition("=")
        if language in found:
            raise ValueError(f"language {language!r} is listed twice")
        found[language] = config
    return found


def each(languages: str, config: str) -> dict[str, str]:
    return pairs(" ".join(f"{tag}={config.format(tag)}" for tag in languages.split()))


def counts(text: str) -> dict[str, int]:
    """Parse "de=9580 fr=9086" into rows per language.

    "*" is every other language.
    """
    return {language: int(number) for language, number in pairs(text).items()}


def english(
    train: int | None = None, validation: int | None = None, test: int | None = None
) -> dict[str, dict[str, int]]:
    """Return rows per split of an English dataset."""
    known = {"train": train, "validation": validation, "test": test}
    return {split: {"en": number} for split, number in known.items() if number is not None}
