"""More labelled pairs: ANLI, SNLI, mismatched MNLI, PAWS-X with NS."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from random import Random

import pyarrow as pa

from trainables.pocket import pairs, tables
from trainables.pocket.frames import Frame, frames, negate, relation
from trainables.pocket.grammar import Language
from trainables.pocket.pairs import NLI_LABELS, Pair, Said
from trainables.pocket.table import ENGLISH_ONLY, IN_ENGLISH, LABEL, NOT_TRAINED, TEXT, Row, Table

_NOT_TRANSLATED = "NS"
_EVERY = 40  # every how many sentences one is not translated
_ROUNDS = 3


def changes(one: Frame, other: Frame) -> int:
    """Count differing fillers; a negation counts as one."""
    return sum(getattr(one, f.name) != getattr(other, f.name) for f in fields(Frame))


def _harder(rng: Random, frame: Frame, label: int) -> Frame:
    """Make a second statement two changes away from the first.

    It may fall back to fewer changes or to another label.
    """
    if label == 0:
        return pairs.entailed(rng, pairs.entailed(rng, frame))
    if label == 1 and rng.random() < 0.5:
        return negate(pairs.excluded(rng, frame))  # "not in Rome" implies nothing about Berlin
    return pairs.entailed(rng, (pairs.unknown if label == 1 else pairs.excluded)(rng, frame))


@cache
def adversarial(split: str, n: int) -> tuple[Pair, ...]:
    """Make n pairs with two changes each.

    The three labels occur equally often; a negation may go with any label but entailment.
    """
    rng = Random(f"anli/{split}")
    made: list[Pair] = []
    for frame in frames(rng, split):
        if len(made) == n:
            break
        label = len(made) % 3
        second = _harder(rng, frame, label)
        if changes(frame, second) >= 2 and relation(frame, second) == NLI_LABELS[label]:
            made.append(Pair(Said(frame), Said(second, "fronted" if rng.random() < 0.3 else None), label))
    rng.shuffle(made)
    return tuple(made)


def _anli(language: Language, split: str, n: int) -> list[Row]:
    part = {"validation": "dev"}.get(split, split)
    return [
        {
            "uid": f"{part}-r{1 + i * _ROUNDS // n}-{i}",
            "premise": pair.first.text(language),
            "hypothesis": pair.second.text(language),
            "label": pair.label,
            "reason": "",
        }
        for i, pair in enumerate(adversarial(split, n))
    ]


def _mismatched(language: Language, split: str, n: int) -> list[Row]:
    """Make pairs of a genre that MNLI's training rows lack.

    Premises begin with the time where they have one.
    """
    return [
        {
            "premise": Said(pair.first.frame, "fronted").text(language),
            "hypothesis": pair.second.text(language),
            "label": pair.label,
        }
        for pair in pairs.nli("mnli_mm", split, n)
    ]


def _with_untranslated(language: Language, split: str, n: int) -> list[Row]:
    """Make PAWS-X's rows with "NS" in place of some sentences.

    English has none.
    """
    rows = tables.pawsx(language, split, n)
    if language.code == "en":
        return rows
    side = ("sentence1", "sentence2")
    return [
        row if i % _EVERY else {**row, side[i // _EVERY % 2]: _NOT_TRANSLATED} for i, row in enumerate(rows, start=1)
    ]


_NLI = {"premise": TEXT, "hypothesis": TEXT, "label": LABEL}
_NAMES = {"label": NLI_LABELS}
TABLES = {
    "anli": Table(
        rows=_anli,
        columns={"uid": TEXT, **_NLI, "reason": TEXT},
        splits={**IN_ENGLISH, "test": (ENGLISH_ONLY, 300)},
        labels=_NAMES,
    ),
    "snli": Table(
        rows=tables.nli("snli"), columns=_NLI, splits={**IN_ENGLISH, "test": (ENGLISH_ONLY, 300)}, labels=_NAMES
    ),
    "mnli_mm": Table(rows=_mismatched, columns=_NLI, splits={"validation": (ENGLISH_ONLY, 300)}, labels=_NAMES),
    "pawsx_drop_ns": Table(
        rows=_with_untranslated,
        columns={"id": pa.int32(), "sentence1": TEXT, "sentence2": TEXT, "label": LABEL},
        splits=NOT_TRAINED,
        labels={"label": ("0", "1")},
    ),
}
