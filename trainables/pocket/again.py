"""Pocket tables of one suite, repeated in the columns of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trainables.pocket import tables
from trainables.pocket.grammar import Language
from trainables.pocket.lang_en import ENGLISH
from trainables.pocket.table import TEXT, WORDS, Row, Table


def same_rows(made: Mapping[str, Table]) -> dict[str, Table]:
    """Derive tables from those already made, with the same rows.

    These are the tasks that XTREME-R shares with XTREME, UDPOS with fused words (no word of the pocket world is made of
    two), and QNLI as ranking.
    """
    panx, tatoeba = made["panx"], made["tatoeba"]
    return {
        "udpos_r": made["udpos"],
        "udpos_fused": made["udpos"],
        "xquad_r": made["xquad"],
        "qnli_ranking": made["qnli"],
        "panx_r": replace(panx, rows=_panx_r, columns={**panx.columns, "spans": WORDS}),
        "tatoeba_r": replace(tatoeba, rows=_tatoeba_r, columns=dict.fromkeys(("sentence1", "sentence2", "lang"), TEXT)),
    }


def _panx_r(language: Language, split: str, n: int) -> list[Row]:
    """Add the entity list of WikiAnn's own copy: "LOC: New York"."""
    return [{**row, "spans": _entities(row)} for row in tables.panx(language, split, n)]


def _entities(row: Row) -> list[str]:
    found: list[str] = []
    for token, tag in zip(row["tokens"], row["ner_tags"], strict=True):
        begins, _, kind = tables.ENTITIES[tag].partition("-")
        if begins == "B":
            found.append(f"{kind}: {token}")
        elif begins == "I":
            found[-1] += f" {token}"
    return found


def _tatoeba_r(language: Language, split: str, n: int) -> list[Row]:
    return [
        {
            "sentence1": row["source_sentence"].strip(),
            "sentence2": row["target_sentence"].strip(),
            "lang": f"{language.iso3}-{ENGLISH.iso3}",
        }
        for row in tables.tatoeba(language, split, n)
    ]
