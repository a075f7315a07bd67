"""One row of a Parquet file -> one example.

A reader is made from column names and gets a row with the ClassLabel names that the file itself declares. It returns
the example, or None for a row that is left out by rule (no gold label, no words, no text), and raises ValueError with a
reason for a row that breaks its schema. An example without an id column gets id "": the source then uses the row number.

Labels are mapped by name, because their order differs from copy to copy: an integer is looked up in the file's own
names where it has some, and is the hub's id otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainables.examples import Bitext, Choice, Example, Labelled, Span, Text, Words

Row = Mapping[str, Any]
RowLabels = Mapping[str, tuple[str, ...]]
Reader = Callable[[Row, RowLabels], Example | None]


def labelled(
    first: str, second: str | None, labels: Sequence[str], *, label: str = "label", id: str | None = None
) -> Reader:
    """Classification of one text column, or of a pair."""

    def read(row: Row, names: RowLabels) -> Labelled | None:
        index = _label(_column(row, label), names.get(label, ()), labels)
        if index is None:
            return None
        return Labelled(_id(row, id), _text(row, first), _text(row, second) if second else None, index)

    return read


def span() -> Reader:
    """SQuAD's columns; `answers` is a dict of lists (hub) or a list of dicts. Every answer must lie at its offset."""

    def read(row: Row, names: RowLabels) -> Span:
        context = _text(row, "context")
        answers = tuple(_answers(_column(row, "answers")))
        if not answers:
            raise ValueError("has no answer")
        for start, text in answers:
            found = context[start : start + len(text)] if start >= 0 else ""
            if found != text or not text:
                raise ValueError(f"answer {text!r} is not at offset {start} of its context ({found!r} is there)")
        return Span(_id(row, "id"), _text(row, "question"), context, answers)

    return read


def words(tags: Sequence[str], labels: Sequence[str] = ()) -> Reader:
    """Tagged tokens; `tags` lists the alternatives for the tag column. labels () = the file's own names, in its order."""

    def read(row: Row, names: RowLabels) -> Words | None:
        tokens = _texts(row, "tokens")
        column = _first(row, tags)
        values = _list(row, column)
        if len(tokens) != len(values):
            raise ValueError(f"has {len(tokens)} words and {len(values)} tags")
        own = names.get(column, ())
        if not (labels or own):
            raise ValueError(f"column {column!r} declares no ClassLabel names, and the dataset fixes none")
        ids = [_label(value, own, labels or own) for value in values]
        found = tuple(i for i in ids if i is not None)
        if len(found) != len(ids):
            raise ValueError(f"word {ids.index(None)} has no tag")
        return Words("", tokens, found) if tokens else None  # PAN-X: double blank lines became empty rows

    return read


def text(column: str = "text") -> Reader:
    """Raw text; blank rows are left out."""

    def read(row: Row, names: RowLabels) -> Text | None:
        value = _text(row, column).strip()
        return Text("", value) if value else None

    return read


def bitext() -> Reader:
    """Tatoeba's columns: the non-English side is the source. On the hub every sentence ends with a newline."""

    def read(row: Row, names: RowLabels) -> Bitext:
        source, target = (_text(row, column).strip() for column in ("source_sentence", "target_sentence"))
        if not (source and target):
            raise ValueError("has an empty sentence")
        return Bitext("", source, target)

    return read


def hellaswag(labels: Sequence[str]) -> Reader:
    """Prompt ctx_a, choice ctx_b + " " + ending; copies without the two parts have both in `ctx`."""

    def read(row: Row, names: RowLabels) -> Choice | None:
        index = _label(_column(row, "label"), names.get("label", ()), labels)
        if index is None:
            return None
        start = f"{_text(row, 'ctx_b')} " if "ctx_a" in row else ""
        prompt = _text(row, "ctx_a" if "ctx_a" in row else "ctx")
        choices = _exactly(len(labels), _texts(row, "endings"))
        return Choice("", prompt, tuple((start + ending).strip() for ending in choices), index)

    return read


def cosmos_qa(labels: Sequence[str]) -> Reader:
    """Prompt context + " " + question, choices answer0 .. answer3."""

    def read(row: Row, names: RowLabels) -> Choice | None:
        index = _label(_column(row, "label"), names.get("label", ()), labels)
        if index is None:
            return None
        prompt = f"{_text(row, 'context')} {_text(row, 'question')}"
        return Choice(_id(row, "id"), prompt, tuple(_text(row, f"answer{n}") for n in range(len(labels))), index)

    return read


def commonsense_qa(labels: Sequence[str]) -> Reader:
    """Prompt question; the answer key names one of the row's own choice letters, in whatever order they stand."""

    def read(row: Row, names: RowLabels) -> Choice | None:
        choices = _column(row, "choices")
        if not isinstance(choices, Mapping):
            raise _wrong("column 'choices'", choices, "lists of labels and texts")
        letters, texts = (_exactly(len(labels), _texts(choices, column)) for column in ("label", "text"))
        if sorted(letters) != sorted(labels):
            raise ValueError(f"its choices are {', '.join(letters)}, not {', '.join(labels)}")
        index = _label(_column(row, "answerKey"), names.get("answerKey", ()), letters)
        return None if index is None else Choice(_id(row, "id"), _text(row, "question"), texts, index)

    return read


def copa(labels: Sequence[str]) -> Reader:
    """COPA and XCOPA: prompt premise + " What was the cause?" or "... effect?" (XTREME-R's wording)."""

    def read(row: Row, names: RowLabels) -> Choice | None:
        index = _label(_column(row, "label"), names.get("label", ()), labels)
        if index is None:
            return None
        question = _text(row, "question")
        if question not in ("cause", "effect"):
            raise ValueError(f"question {question!r} is not one of cause, effect")
        prompt = f"{_text(row, 'premise')} What was the {question}?"
        return Choice("", prompt, (_text(row, "choice1"), _text(row, "choice2")), index)

    return read


def _label(value: Any, own: Sequence[str], labels: Sequence[str]) -> int | None:
    """The index of a label in `labels`; None where a split marks "no gold" by -1 or ""."""
    if isinstance(value, str):
        if value == "":
            return None
        name = value
    elif isinstance(value, int) and not isinstance(value, bool):
        if value == -1:
            return None
        known = own or labels
        if not 0 <= value < len(known):
            raise ValueError(f"label {value} is not one of 0..{len(known) - 1} ({_few(known)})")
        name = known[value]
    else:
        raise _wrong("label", value, "a name or a number")
    try:
        return labels.index(name)
    except ValueError:
        raise ValueError(f"label {name!r} is not one of {_few(labels)}") from None


def _answers(value: Any) -> list[tuple[int, str]]:
    if isinstance(value, Mapping):
        texts, starts = _texts(value, "text"), _list(value, "answer_start")
        if len(texts) != len(starts):
            raise ValueError(f"has {len(texts)} answer texts and {len(starts)} offsets")
        value = [{"text": t, "answer_start": s} for t, s in zip(texts, starts, strict=True)]
    if not isinstance(value, list):
        raise _wrong("column 'answers'", value, "answers")
    found = []
    for answer in value:
        if not isinstance(answer, Mapping):
            raise _wrong("an entry of 'answers'", answer, "an answer")
        start = _column(answer, "answer_start")
        if not isinstance(start, int) or isinstance(start, bool):
            raise _wrong("answer_start", start, "a whole number")
        found.append((start, _text(answer, "text")))
    return found


def _first(row: Row, columns: Sequence[str]) -> str:
    """The first of some alternative columns that the row has."""
    for column in columns:
        if column in row:
            return column
    raise ValueError(f"has no column {' or '.join(repr(c) for c in columns)} (it has {', '.join(row)})")


def _column(row: Row, column: str) -> Any:
    return row[_first(row, (column,))]


def _text(row: Row, column: str) -> str:
    value = _column(row, column)
    if not isinstance(value, str):
        raise _wrong(f"column {column!r}", value, "text")
    return value


def _list(row: Row, column: str) -> list[Any]:
    value = _column(row, column)
    if not isinstance(value, list):
        raise _wrong(f"column {column!r}", value, "a list")
    return value


def _texts(row: Row, column: str) -> tuple[str, ...]:
    values = _list(row, column)
    for value in values:
        if not isinstance(value, str):
            raise _wrong(f"an entry of {column!r}", value, "text")
    return tuple(values)


def _exactly(count: int, choices: tuple[str, ...]) -> tuple[str, ...]:
    if len(choices) != count:
        raise ValueError(f"has {len(choices)} choices, not {count}")
    return choices


def _id(row: Row, column: str | None) -> str:
    value = row.get(column) if column else None
    return "" if value is None else str(value)


def _wrong(what: str, value: Any, wanted: str) -> ValueError:
    """A broken row is a ValueError whatever is wrong with it, so that a source has one thing to catch."""
    return ValueError(f"{what} is {'null' if value is None else 'of type ' + type(value).__name__}, not {wanted}")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])}, ... ({len(names)} names)"
