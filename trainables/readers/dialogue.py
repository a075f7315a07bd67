"""Readers of utterances with an intent and slots.

Each reads the notation of its release. Labels stay names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from trainables.examples import Utterance
from trainables.readers.columns import (
    Reader,
    Row,
    RowLabels,
    column,
    first_of,
    label_name,
    list_value,
    row_id,
    text_list,
    text_value,
    wrong,
)

_BIO = re.compile(r"O|[BI]-\S+")
_SLOT = re.compile(r"\[([^\[\]:]+):([^\[\]]*)\]")  # MASSIVE: [slot : value]
_UNSPACED = frozenset({"ja-JP", "zh-CN", "zh-TW"})  # MASSIVE's tools split these into characters


def utterance(
    *,
    tokens: str = "tokens",
    tags: str = "slot_tags",
    id: str | None = None,
    unequal: Literal["error", "leave out"] = "error",
) -> Reader:
    """Read lists of words and tags, and `intent`.

    Args:
        unequal: whether a row with more or fewer tags than words is an error, or left out.
    """

    def read(row: Row, names: RowLabels) -> Utterance | None:
        words, values = text_list(row, tokens), list_value(row, tags)
        if len(words) != len(values):
            if unequal == "leave out":
                return None
            raise ValueError(f"has {len(words)} words and {len(values)} tags")
        return _utterance(row_id(row, id), words, [_tag(v, names.get(tags, ())) for v in values], _intent(row, names))

    return read


def mtop() -> Reader:
    """Read MTOP: tokens as JSON with character spans.

    Slots are "start:end:SL:NAME,...", the end not included. The hub's copy has every column twice, once with a space
    before its name; whichever is not empty counts.
    """

    def read(row: Row, names: RowLabels) -> Utterance | None:
        words, spans = _mtop_tokens(_filled(row, "tokens"))
        slots = _mtop_slots(_filled(row, "slot"))
        tags = ["O"] * len(words)
        for start, end, name in slots:
            inside = [n for n, (first, last) in enumerate(spans) if first < end and last > start]
            if not inside:
                raise ValueError(f"slot {start}:{end}:{name} holds no token")
            if any(tags[n] != "O" for n in inside):
                raise ValueError(f"slot {start}:{end}:{name} overlaps another")
            for n in inside:
                tags[n] = f"{'B' if n == inside[0] else 'I'}-{name}"
        intent = _filled(row, "intent").strip()
        if not intent:
            raise ValueError("has no intent")
        return _utterance("", words, tags, intent)

    return read


def massive() -> Reader:
    """Read MASSIVE: `annot_utt` is the utterance with "[slot : value]".

    Chinese and Japanese are split into characters.
    """

    def read(row: Row, names: RowLabels) -> Utterance | None:
        annotated, by_character = text_value(row, "annot_utt"), column(row, "locale") in _UNSPACED
        words: list[str] = []
        tags: list[str] = []

        def add(piece: str, slot: str | None) -> None:
            found = [c for c in piece if not c.isspace()] if by_character else piece.split()
            if slot is not None and not found:
                raise ValueError(f"slot {slot!r} has no value")
            words.extend(found)
            tags.extend("O" if slot is None else f"{'I' if n else 'B'}-{slot}" for n in range(len(found)))

        end = 0
        for match in _SLOT.finditer(annotated):
            add(_plain(annotated[end : match.start()]), None)
            add(match[2], match[1].strip())
            end = match.end()
        add(_plain(annotated[end:]), None)
        return _utterance(row_id(row, "id"), words, tags, _intent(row, names))

    return read


def _utterance(id: str, words: Sequence[str], tags: Sequence[str], intent: str) -> Utterance | None:
    """Make an utterance; None if it has no words."""
    return Utterance(id, tuple(words), tuple(tags), intent) if words else None


def _intent(row: Row, names: RowLabels) -> str:
    name = label_name(column(row, "intent"), names.get("intent", ()))
    if name is None:
        raise ValueError("has no intent")
    return name


def _tag(value: Any, known: Sequence[str]) -> str:
    name = label_name(value, known)
    if name is None or not _BIO.fullmatch(name):
        raise ValueError(f"slot tag {name!r} is not O, B-... or I-...")
    return name


def _filled(row: Row, name: str) -> str:
    """Return a column, or its twin with a space before the name.

    The twin counts where the column is empty.
    """
    found = [row[c] for c in (name, f" {name}") if row.get(c)]
    if not found:
        first_of(row, (name, f" {name}"))
        return ""
    if not isinstance(found[0], str):
        raise wrong(f"column {name!r}", found[0], "text")
    return found[0]


def _mtop_tokens(value: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Return words and their (start, end)."""
    try:
        content = json.loads(value)
        words = [str(word) for word in content["tokens"]]
        spans = [(int(s["start"]), int(s["start"]) + int(s["length"])) for s in content["tokenSpans"]]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"column 'tokens' does not hold tokens and tokenSpans as JSON ({error!r})") from None
    if len(words) != len(spans):
        raise ValueError(f"has {len(words)} words and {len(spans)} token spans")
    return words, spans


def _mtop_slots(value: str) -> list[tuple[int, int, str]]:
    """Parse (start, end, name) of "41:47:SL:DATE_TIME,48:53:SL:LOCATION"."""
    found = []
    for part in value.strip().split(",") if value.strip() else ():
        match = re.fullmatch(r"(\d+):(\d+):(\S+)", part.strip())
        if not match:
            raise ValueError(f"slot {part!r} is not start:end:name")
        found.append((int(match[1]), int(match[2]), match[3]))
    return found


def _plain(piece: str) -> str:
    if "[" in piece or "]" in piece:
        raise ValueError(f"annot_utt has a bracket that is not part of a slot: {piece!r}")
    return piece
