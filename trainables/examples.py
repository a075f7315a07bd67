"""What every dataset row becomes. All later code sees these shapes and no column names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One example of a dataset; each format reads a class of its own, which extends this one."""

    id: str


@dataclass(frozen=True, slots=True)
class Labelled(Example):
    """Sentence (second is None) or sentence-pair classification; label is an index into `Dataset.labels`."""

    first: str
    second: str | None
    label: int


@dataclass(frozen=True, slots=True)
class Rated(Example):
    """Regression of one text, or of a pair (second is not None)."""

    first: str
    second: str | None
    value: float


@dataclass(frozen=True, slots=True)
class Choice(Example):
    """Multiple choice: one prompt, its continuations, and the index of the right one."""

    prompt: str
    choices: tuple[str, ...]
    label: int


@dataclass(frozen=True, slots=True)
class Span(Example):
    """Extractive question answering. Answers are (character start in context, text); () = unanswerable."""

    question: str
    context: str
    answers: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Words(Example):
    """Tagging of pre-split words; tags are indices into `Dataset.labels` (or `Source.labels` if those are open)."""

    words: tuple[str, ...]
    tags: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Utterance(Example):
    """Joint intent and slots of pre-split words, as names: label sets differ between files, and names are what meets."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    intent: str


@dataclass(frozen=True, slots=True)
class Text(Example):
    """Raw text: for the masked language model, or one entry of a retrieval pool."""

    text: str


@dataclass(frozen=True, slots=True)
class Bitext(Example):
    """A translation pair: source is the non-English sentence, target is English."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Pair(Example):
    """A gold pair of ids from two retrieval pools: translations of each other, or a query and a right candidate."""

    source: str
    target: str


def split_joint(labels: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(intents, tags) of an intent dataset's label names: the tags begin with "O". ValueError if there is no "O"."""
    first = list(labels).index("O")
    return tuple(labels[:first]), tuple(labels[first:])
