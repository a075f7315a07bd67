"""Alignment section of the page: aligned on (down) x evaluated on (across)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from dashboards.matrix import Report
from dashboards.scale import scale
from dashboards.square import Drawn, Square, draw_square

NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Aligned:
    """One target with its matrix and its published table's lines.

    Attributes:
        columns: (tag, name) of each language.
        lines: (name, cells) of each line.
    """

    target: str
    title: str
    facts: str
    square: Drawn
    columns: tuple[tuple[str, str], ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]


def aligned(report: Report) -> list[Aligned]:
    """Make a matrix and a table for every aligned target."""
    return [_aligned(one, report.get("languages") or {}) for one in report.get("alignment") or []]


def _aligned(one: Mapping[str, Any], languages: Mapping[str, Any]) -> Aligned:
    tags, main = list(one["languages"]), list(one["main"])
    names = {tag: str((languages.get(tag) or {}).get("name") or tag) for tag in tags}
    scores = [
        [fmean(row["scores"][tag][m] for m in main) if row["scores"].get(tag) else None for tag in tags]
        for row in one["matrix"]
    ]
    base = next((line for row, line in zip(one["matrix"], scores, strict=True) if not row["on"]), None)
    gains = None
    if base is not None:
        gains = [
            [None if a is None or b is None else a - b for a, b in zip(line, base, strict=True)] for line in scores
        ]
    colours = scale(gain for line in gains or () for gain in line if gain is not None)
    labels = ["+".join(row["on"]) or NOTHING for row in one["matrix"]]
    square = Square(
        caption=str(one["title"]),
        rows=labels,
        columns=tags,
        values=scores,
        gains=gains,
        row_title="aligned on",
        column_title="evaluated on",
        names={NOTHING: "0-shot", "all": "all languages", **names},
    )
    measures = " and ".join(name.replace("_", " ") for name in main)
    beside = f", beside {one['base']}" if one["base"] not in ("", "no intermediate task") else ""
    return Aligned(
        target=str(one["target"]),
        title=str(one["title"]),
        facts=f"{measures}{beside}; translations by {one['translated_by']}",
        square=draw_square(square, colours),
        columns=tuple((tag, names[tag]) for tag in tags),
        lines=tuple((str(line["name"]), _cells(line, tags, main)) for line in one["table"]),
    )


def _cells(line: Mapping[str, Any], tags: list[str], main: list[str]) -> tuple[str, ...]:
    found = [*(line["cells"].get(tag) for tag in tags), line["average"]]
    return tuple(" / ".join(f"{metrics[m]:.1f}" for m in main) if metrics else "\N{EN DASH}" for metrics in found)
