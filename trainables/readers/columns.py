"""Checked access to the values of a row.

Every function raises ValueError with what is wrong, so that a source has one exception to catch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainables.examples import Example

Row = Mapping[str, Any]
RowLabels = Mapping[str, tuple[str, ...]]
Reader = Callable[[Row, RowLabels], Example | None]


def label_index(value: Any, own: Sequence[str], labels: Sequence[str]) -> int | None:
    """Return the index of a label in `labels`.

    None where a split marks "no gold" by -1 or "".
    """
    name = label_name(value, own or labels)
    if name is None:
        return None
    try:
        return labels.index(name)
    except ValueError:
        raise ValueError(f"label {name!r} is not one of {few(labels)}") from None


def label_name(value: Any, known: Sequence[str]) -> str | None:
    """Return the name of a label stored as a name or a number of `known`.

    None for -1 and "".
    """
    if isinstance(value, str):
        return value or None
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong("label", value, "a name or a number")
    if value == -1:
        return None
    if not known:
        raise ValueError(f"label {value} is a number, and the file declares no ClassLabel names")
    if not 0 <= value < len(known):
        raise ValueError(f"label {value} is not one of 0..{len(known) - 1} ({few(known)})")
    return known[value]


def span_answers(value: Any) -> list[tuple[int, str]]:
    """Return (offset, text) of SQuAD's `answers`.

    They are a dict of lists, as on the hub, or a list of dicts.
    """
    if isinstance(value, Mapping):
        found, starts = text_list(value, "text"), list_value(value, "answer_start")
        if len(found) != len(starts):
            raise ValueError(f"has {len(found)} answer texts and {len(starts)} offsets")
        value = [{"text": t, "answer_start": s} for t, s in zip(found, starts, strict=True)]
    if not isinstance(value, list):
        raise wrong("column 'answers'", value, "answers")
    pairs = []
    for answer in value:
        if not isinstance(answer, Mapping):
            raise wrong("an entry of 'answers'", answer, "an answer")
        start = column(answer, "answer_start")
        if not isinstance(start, int) or isinstance(start, bool):
            raise wrong("answer_start", start, "a whole number")
        pairs.append((start, text_value(answer, "text")))
    return pairs


def first_of(row: Row, columns: Sequence[str]) -> str:
    """Return the first of some alternative columns that a row has."""
    for name in columns:
        if name in row:
            return name
    raise ValueError(f"has no column {' or '.join(repr(c) for c in columns)} (it has {', '.join(row)})")


def column(row: Row, name: str) -> Any:
    """Return a value of any type."""
    return row[first_of(row, (name,))]


def text_value(row: Row, *names: str) -> str:
    """Return the text of the first alternative column that a row has."""
    name = first_of(row, names)
    if not isinstance(row[name], str):
        raise wrong(f"column {name!r}", row[name], "text")
    return str(row[name])


def list_value(row: Row, name: str) -> list[Any]:
    """Return a list of any values."""
    value = column(row, name)
    if not isinstance(value, list):
        raise wrong(f"column {name!r}", value, "a list")
    return value


def text_list(row: Row, name: str) -> tuple[str, ...]:
    """Return a list of texts."""
    values = list_value(row, name)
    for value in values:
        if not isinstance(value, str):
            raise wrong(f"an entry of {name!r}", value, "text")
    return tuple(values)


def exactly(count: int, choices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the choices; raise unless there are exactly `count`."""
    if len(choices) != count:
        raise ValueError(f"has {len(choices)} choices, not {count}")
    return choices


def row_id(row: Row, name: str | None) -> str:
    """Return the row's own id; "" where there is none.

    A source then uses the row number.
    """
    value = row.get(name) if name else None
    return "" if value is None else str(value)


def wrong(what: str, value: Any, wanted: str) -> ValueError:
    """Make the error for a value of a wrong type.

    It is a ValueError, as for every other fault of a row.
    """
    return ValueError(f"{what} is {'null' if value is None else 'of type ' + type(value).__name__}, not {wanted}")


def few(names: Sequence[str]) -> str:
    """Join names, of a long list only the first ones."""
    return ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])}, ... ({len(names)} names)"
