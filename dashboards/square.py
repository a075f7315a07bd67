"""A matrix of language x language: a score in each cell, or its difference from the baseline, with the means.

What rows and columns are is the caller's to say: sentence 1 x sentence 2, aligned on x evaluated on. The page draws it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from dashboards.scale import Scale, Side, plain, signed

Values = Sequence[Sequence[float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """The numbers of one matrix, in points (0 to 100).

    rows, columns: labels, as a rule tags of languages; equal labels of row and column are the diagonal.
    values: one sequence per row; None = not measured. gains: differences from the baseline in the same shape; None for
    the baseline itself. names: label -> what it is called.
    """

    caption: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Values
    gains: Values | None = None
    row_title: str = "row"
    column_title: str = "column"
    names: Mapping[str, str] = field(default_factory=dict)
    mark: Literal["", "baseline", "best"] = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number as text. `strength` is that of the colour: of a difference as everywhere, of a score from low to high."""

    absolute: str
    difference: str
    side: Side | Literal["score"]
    strength: float
    diagonal: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    label: str
    name: str
    cells: tuple[Cell, ...]
    mean: Cell


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over many cells, in words; `note` says over which."""

    name: str
    note: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class Drawn:
    """A matrix ready to draw."""

    caption: str
    mark: str
    row_title: str
    column_title: str
    columns: tuple[tuple[str, str], ...]  # label, name
    lines: tuple[Line, ...]
    means: tuple[Cell, ...]  # of the columns
    mean: Cell
    summary: tuple[Mean, ...]
    scale: Scale | None  # of the differences; None for scores, whose colours go from `lowest` to `highest`
    lowest: str
    highest: str


def draw(square: Square, colours: Scale) -> Drawn:
    """The cells of a matrix with their colours, and the means of rows, columns, diagonal and the rest.

    A mean is over the cells that are there. `colours` is the scale of the differences, shared by all matrices of a set;
    scores (without `gains`) are coloured from the lowest to the highest of their own matrix.
    """
    places = [(r, c) for r in range(len(square.rows)) for c in range(len(square.columns))]
    scores = [score for line in square.values for score in line if score is not None]
    low, high = (min(scores), max(scores)) if scores else (0.0, 0.0)

    def cell(score: float | None, gain: float | None, *, diagonal: bool = False) -> Cell:
        if square.gains is not None:
            return Cell(plain(score), signed(gain), colours.side(gain), colours.strength(gain), diagonal)
        strength = 0.0 if score is None or high == low else round((score - low) / (high - low), 3)
        return Cell(plain(score), plain(score), "empty" if score is None else "score", strength, diagonal)

    def over(some: Iterable[tuple[int, int]]) -> Cell:
        chosen = list(some)
        return cell(_mean(square.values, chosen), _mean(square.gains, chosen))

    diagonal = {(r, c) for r, c in places if square.rows[r] == square.columns[c]}
    lines = tuple(
        Line(
            label,
            square.names.get(label, label),
            tuple(
                cell(score, square.gains[r][c] if square.gains else None, diagonal=(r, c) in diagonal)
                for c, score in enumerate(square.values[r])
            ),
            over(place for place in places if place[0] == r),
        )
        for r, label in enumerate(square.rows)
    )
    row, column = square.row_title, square.column_title
    summary = (
        Mean("Diagonal", f"{row} = {column}", over(sorted(diagonal))),
        Mean("Off the diagonal", f"{row} \N{NOT EQUAL TO} {column}", over(p for p in places if p not in diagonal)),
        Mean("All", "", over(places)),
    )
    return Drawn(
        caption=square.caption,
        mark=square.mark,
        row_title=row,
        column_title=column,
        columns=tuple((label, square.names.get(label, label)) for label in square.columns),
        lines=lines,
        means=tuple(over(place for place in places if place[1] == c) for c in range(len(square.columns))),
        mean=over(places),
        summary=summary if diagonal else summary[2:],
        scale=None if square.gains is None else colours,
        lowest=plain(low if scores else None),
        highest=plain(high if scores else None),
    )


def _mean(values: Values | None, places: Sequence[tuple[int, int]]) -> float | None:
    found = [value for r, c in places if values is not None and (value := values[r][c]) is not None]
    return fmean(found) if found else None
