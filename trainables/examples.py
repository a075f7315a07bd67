"""What every dataset row becomes. All later code sees these six shapes and no column names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labelled:
    """Sentence (second is None) or sentence-pair classification; label is an index into `Dataset.labels`."""

    id: str
    first: str
    second: str | None
    label: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Multiple choice: one prompt, its continuations, and the index of the right one."""

    id: str
    prompt: str
    choices: tuple[str, ...]
    label: int


@dataclass(frozen=True, slots=True)
class Span:
    """Extractive question answering. Answers are (character start in context, text); () = unanswerable."""

    id: str
    question: str
    context: str
    answers: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Words:
    """Tagging of pre-split words; tags are indices into `Dataset.labels` (or `Source.labels` if those are open)."""

    id: str
    words: tuple[str, ...]
    tags: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """Raw text for the masked language model."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Bitext:
    """A translation pair: source is the non-English sentence, target is English."""

    id: str
    source: str
    target: str


Example = Labelled | Choice | Span | Words | Text | Bitext
