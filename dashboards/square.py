"""Matrix of language x language: scores or differences from the baseline, with means.

The caller defines rows and columns, such as sentence 1 x sentence 2, or aligned on x evaluated on. The page draws it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from dashboards.scale import Scale, Side, difference_text, score_text

Values = Sequence[Sequence[float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """Numbers of one matrix, in points (0 to 100).

    Attributes:
        rows, columns: labels, usually language tags; equal labels of row and column are the diagonal.
        values: scores [rows x columns]; None = not measured.
        gains: differences from the baseline in the same shape; None for the baseline itself.
        names: label -> display name.
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
class SquareCell:
    """One number as text with its colour.

    Attributes:
        strength: share of the full colour, 0 to 1: of a difference by its size, of a score from lowest to highest.
    """

    absolute: str
    difference: str
    side: Side | Literal["score"]
    strength: float
    diagonal: bool = False


@dataclass(frozen=True, slots=True)
class SquareLine:
    """One row with its mean."""

    label: str
    name: str
    cells: tuple[SquareCell, ...]
    mean: SquareCell


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over many cells; `note` describes which."""

    name: str
    note: str
    cell: SquareCell


@dataclass(frozen=True, slots=True)
class Drawn:
    """A matrix, ready to draw.

    Attributes:
        columns: (label, name) of each column.
        means: means of the columns.
        scale: colour scale of differences; None for scores, whose colours go from `lowest` to `highest`.
    """

    caption: str
    mark: str
    row_title: str
    column_title: str
    columns: tuple[tuple[str, str], ...]
    lines: tuple[SquareLine, ...]
    means: tuple[SquareCell, ...]
    mean: SquareCell
    summary: tuple[Mean, ...]
    scale: Scale | None
    lowest: str
    highest: str


def draw_square(square: Square, colours: Scale) -> Drawn:
    """Compute the cells, colours and means of a matrix.

    There are means of rows, columns, diagonal and the rest, over measured cells.

    Args:
        colours: scale of the differences, shared by all matrices of a set; scores (without `gains`) are coloured from the
            lowest to the highest of their own matrix.
    """
    places = [(r, c) for r in range(len(square.rows)) for c in range(len(square.columns))]
    scores = [score for line in square.values for score in line if score is not None]
    low, high = (min(scores), max(scores)) if scores else (0.0, 0.0)

    def cell(score: float | None, gain: float | None, *, diagonal: bool = False) -> SquareCell:
        if square.gains is not None:
            return SquareCell(
                score_text(score), difference_text(gain), colours.side(gain), colours.strength(gain), diagonal
            )
        strength = 0.0 if score is None or high == low else round((score - low) / (high - low), 3)
        side: Literal["empty", "score"] = "empty" if score is None else "score"
        return SquareCell(score_text(score), score_text(score), side, strength, diagonal)

    def over(some: Iterable[tuple[int, int]]) -> SquareCell:
        chosen = list(some)
        return cell(_mean(square.values, chosen), _mean(square.gains, chosen))

    diagonal = {(r, c) for r, c in places if square.rows[r] == square.columns[c]}
    lines = tuple(
        SquareLine(
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
        lowest=score_text(low if scores else None),
        highest=score_text(high if scores else None),
    )


def _mean(values: Values | None, places: Sequence[tuple[int, int]]) -> float | None:
    found = [value for r, c in places if values is not None and (value := values[r][c]) is not None]
    return fmean(found) if found else None
