"""Readers: one row of a Parquet file -> one example.

A reader is made from column names and takes a row with the ClassLabel names that the file itself declares. It returns
the example, or None for a row that is left out by rule (no gold label, no words, no text), and raises ValueError with a
reason for a row that breaks its schema. An example without an id column gets id "": the source then uses the row
number.

Labels are mapped by name, because their order differs from copy to copy: an integer is looked up in the file's own
names where it has some, and is the hub's id otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from trainables.examples import Bitext, Choice, Example, Labelled, Pair, Rated, Span, Text, Words
from trainables.readers import columns as c
from trainables.readers.columns import Reader, Row, RowLabels
from trainables.readers.dialogue import massive, mtop, utterance

__all__ = [
    "Reader",
    "Row",
    "RowLabels",
    "bitext",
    "commonsense_qa",
    "copa",
    "cosmos_qa",
    "gold_pair",
    "hellaswag",
    "labelled",
    "massive",
    "mtop",
    "pool_entry",
    "rated",
    "siqa",
    "span",
    "text",
    "utterance",
    "without",
    "words",
]


def labelled(
    first: str, second: str | None, labels: Sequence[str], *, label: str = "label", id: str | None = None
) -> Reader:
    """Read classification of one text column, or of a pair."""

    def read(row: Row, names: RowLabels) -> Labelled | None:
        index = c.label_index(c.column(row, label), names.get(label, ()), labels)
        if index is None:
            return None
        return Labelled(
            c.row_id(row, id), c.text_value(row, first), c.text_value(row, second) if second else None, index
        )

    return read


def rated(first: str, second: str | None, low: float, high: float, *, label: str = "label") -> Reader:
    """Read regression of a text or a pair, to `low` .. `high`.

    -1 means no gold value, where it lies outside the range.
    """

    def read(row: Row, names: RowLabels) -> Rated | None:
        value = c.column(row, label)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise c.wrong(f"column {label!r}", value, "a number")
        if value == -1 < low:
            return None
        if not math.isfinite(value) or not low <= value <= high:
            raise ValueError(f"its value {value} is not between {low} and {high}")
        return Rated("", c.text_value(row, first), c.text_value(row, second) if second else None, float(value))

    return read


def without(read: Reader, columns: Sequence[str], placeholder: str) -> Reader:
    """Leave out rows with nothing but a placeholder in some column."""

    def kept(row: Row, names: RowLabels) -> Example | None:
        return None if any(c.text_value(row, name).strip() == placeholder for name in columns) else read(row, names)

    return kept


def span(*, null: bool = False) -> Reader:
    """Read SQuAD's columns; every answer must be at its offset.

    Args:
        null: a question without any answer is unanswerable; otherwise it is an error.
    """

    def read(row: Row, names: RowLabels) -> Span:
        context = c.text_value(row, "context")
        answers = tuple(c.span_answers(c.column(row, "answers")))
        if not answers and not null:
            raise ValueError("has no answer")
        for start, text in answers:
            found = context[start : start + len(text)] if start >= 0 else ""
            if found != text or not text:
                raise ValueError(f"answer {text!r} is not at offset {start} of its context ({found!r} is there)")
        return Span(c.row_id(row, "id"), c.text_value(row, "question"), context, answers)

    return read


def words(tags: Sequence[str], labels: Sequence[str] = ()) -> Reader:
    """Read tagged tokens.

    Args:
        tags: alternative names of the tag column.
        labels: tag names; () = those that the file declares, in its order.
    """

    def read(row: Row, names: RowLabels) -> Words | None:
        tokens = c.text_list(row, "tokens")
        column = c.first_of(row, tags)
        values = c.list_value(row, column)
        if len(tokens) != len(values):
            raise ValueError(f"has {len(tokens)} words and {len(values)} tags")
        own = names.get(column, ())
        if not (labels or own):
            raise ValueError(f"column {column!r} declares no ClassLabel names, and the dataset fixes none")
        ids = [c.label_index(value, own, labels or own) for value in values]
        found = tuple(i for i in ids if i is not None)
        if len(found) != len(ids):
            raise ValueError(f"word {ids.index(None)} has no tag")
        return Words("", tokens, found) if tokens else None  # PAN-X has empty rows, from double blank lines

    return read


def text(column: str = "text") -> Reader:
    """Read raw text; blank rows are left out."""

    def read(row: Row, names: RowLabels) -> Text | None:
        value = c.text_value(row, column).strip()
        return Text("", value) if value else None

    return read


def bitext() -> Reader:
    """Read Tatoeba's columns: the non-English side is the source.

    On the hub every sentence ends with a newline.
    """

    def read(row: Row, names: RowLabels) -> Bitext:
        source = c.text_value(row, "source_sentence", "sentence1").strip()
        target = c.text_value(row, "target_sentence", "sentence2").strip()
        if not (source and target):
            raise ValueError("has an empty sentence")
        return Bitext("", source, target)

    return read


def gold_pair() -> Reader:
    """Read a gold pair of two pools.

    The hub's copy of BUCC keeps the ids in `source_lang` and `target_lang`.
    """

    def read(row: Row, names: RowLabels) -> Pair:
        source, target = c.text_value(row, "source_id", "source_lang"), c.text_value(row, "target_id", "target_lang")
        if not (source and target):
            raise ValueError("has an empty id")
        return Pair(f"{source}\t{target}", source, target)

    return read


def pool_entry(row: Row, names: RowLabels) -> Text:
    """Read a sentence, query or candidate of a pool: `id` and `text`."""
    id, value = c.text_value(row, "id"), c.text_value(row, "text").strip()
    if not (id and value):
        raise ValueError("has an empty id or text")
    return Text(id, value)


def hellaswag(labels: Sequence[str]) -> Reader:
    """Read prompt ctx_a and choices ctx_b + " " + ending.

    Copies without the two parts have both in `ctx`.
    """

    def read(row: Row, names: RowLabels) -> Choice | None:
        index = c.label_index(c.column(row, "label"), names.get("label", ()), labels)
        if index is None:
            return None
        start = f"{c.text_value(row, 'ctx_b')} " if "ctx_a" in row else ""
        prompt = c.text_value(row, "ctx_a" if "ctx_a" in row else "ctx")
        choices = c.exactly(len(labels), c.text_list(row, "endings"))
        return Choice("", prompt, tuple((start + ending).strip() for ending in choices), index)

    return read


def cosmos_qa(labels: Sequence[str]) -> Reader:
    """Read prompt context + " " + question and choices answer0 .. answer3."""

    def read(row: Row, names: RowLabels) -> Choice | None:
        index = c.label_index(c.column(row, "label"), names.get("label", ()), labels)
        if index is None:
            return None
        prompt = f"{c.text_value(row, 'context')} {c.text_value(row, 'question')}"
        return Choice(
            c.row_id(row, "id"), prompt, tuple(c.text_value(row, f"answer{n}") for n in range(len(labels))), index
        )

    return read


def commonsense_qa(labels: Sequence[str]) -> Reader:
    """Read a question and its choices.

    The answer key names one of the row's own choice letters, which may be in any order.
    """

    def read(row: Row, names: RowLabels) -> Choice | None:
        choices = c.column(row, "choices")
        if not isinstance(choices, Mapping):
            raise c.wrong("column 'choices'", choices, "lists of labels and texts")
        letters, texts = (c.exactly(len(labels), c.text_list(choices, column)) for column in ("label", "text"))
        if sorted(letters) != sorted(labels):
            raise ValueError(f"its choices are {', '.join(letters)}, not {', '.join(labels)}")
        index = c.label_index(c.column(row, "answerKey"), names.get("answerKey", ()), letters)
        return None if index is None else Choice(c.row_id(row, "id"), c.text_value(row, "question"), texts, index)

    return read


def siqa(labels: Sequence[str]) -> Reader:
    """Read prompt context + " " + question and choices answerA .. answerC."""

    def read(row: Row, names: RowLabels) -> Choice | None:
        index = c.label_index(c.column(row, "label"), names.get("label", ()), labels)
        if index is None:
            return None
        prompt = f"{c.text_value(row, 'context')} {c.text_value(row, 'question')}"
        return Choice("", prompt, tuple(c.text_value(row, f"answer{letter}") for letter in "ABC"), index)

    return read


def copa(labels: Sequence[str]) -> Reader:
    """Read COPA and XCOPA.

    The prompt is premise + " What was the cause?" or "... effect?" (XTREME-R's wording). SuperGLUE's copy names the
    labels choice1 and choice2, XCOPA's has their numbers.
    """
    known = {"choice1": labels[0], "choice2": labels[1]}

    def read(row: Row, names: RowLabels) -> Choice | None:
        label = c.column(row, "label")
        own = tuple(known.get(name, name) for name in names.get("label", ()))
        index = c.label_index(known.get(label, label) if isinstance(label, str) else label, own, labels)
        if index is None:
            return None
        question = c.text_value(row, "question")
        if question not in ("cause", "effect"):
            raise ValueError(f"question {question!r} is not one of cause, effect")
        prompt = f"{c.text_value(row, 'premise')} What was the {question}?"
        return Choice("", prompt, (c.text_value(row, "choice1"), c.text_value(row, "choice2")), index)

    return read
