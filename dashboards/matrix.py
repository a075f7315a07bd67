"""Transfer matrix: recipes down, targets across, differences from the baseline in colour.

`matrix` computes the cells; the page draws them as a table and `to_svg` as a standalone picture.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from dashboards.scale import (
    Certainty,
    Scale,
    Side,
    certainty,
    difference_text,
    number,
    read_interval,
    scale,
    score_text,
    tidy,
)

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One number, ready to draw; `detail` is its tooltip."""

    absolute: str
    difference: str
    side: Side
    strength: float
    certainty: Certainty
    bounds: str
    detail: str


@dataclass(frozen=True, slots=True)
class MatrixLine:
    """One recipe; `selection` is its gain in the scores that choose the best recipe."""

    name: str
    status: str
    baseline: bool
    best: bool
    selection: str
    detail: str
    cells: tuple[MatrixCell, ...]
    average: MatrixCell


@dataclass(frozen=True, slots=True)
class Column:
    """One target."""

    name: str
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """All cells of the transfer matrix.

    Attributes:
        selects: a row has an English dev gain.
        unknowns: a gain has no interval.
    """

    columns: tuple[Column, ...]
    lines: tuple[MatrixLine, ...]
    scale: Scale
    selects: bool
    unknowns: bool


def matrix(report: Report) -> Matrix:
    """Compute all cells; the first line has the baseline's own scores."""
    targets = list(report.get("targets") or [])
    rows = matrix_rows(report)
    gains = [number(part.get("gain")) for row in rows[1:] for part in [row, *(row.get("targets") or {}).values()]]
    colours = scale(gains)
    base = rows[0] if rows else {}
    lines = tuple(_line(report, row, base, targets, colours) for row in rows)
    cells = [cell for line in lines if not line.baseline for cell in (*line.cells, line.average)]
    return Matrix(
        columns=tuple(_column(target) for target in targets),
        lines=lines,
        scale=colours,
        selects=any(number(row.get("selection")) is not None for row in rows[1:]),
        unknowns=any(cell.certainty == "unknown" and cell.side != "empty" for cell in cells),
    )


def matrix_rows(report: Report) -> list[Mapping[str, Any]]:
    """List the rows of a report, the baseline first.

    A study that has finished nothing else may have its baseline only in `baseline`.
    """
    rows = list(report.get("matrix") or [])
    return rows or [row for row in [report.get("baseline")] if row]


def is_best(report: Report, row: Mapping[str, Any]) -> bool:
    """Return whether a row is the report's best recipe."""
    best = report.get("best") or {}
    key = "address" if best.get("address") else "name"
    return bool(best.get(key)) and row.get(key) == best[key]


def _column(target: Mapping[str, Any]) -> Column:
    languages = len(target.get("languages") or [])
    measures = " and ".join(str(name).replace("_", " ") for name in target.get("main") or ())
    what = "pair of languages" if target.get("pairs") else "language"
    words = [title_of(target), counted(languages, what), measures]
    return Column(str(target.get("name")), title_of(target), ", ".join(word for word in words if word))


def counted(number: int, noun: str) -> str:
    """Format a number of languages or pairs of languages.

    Examples are "1 language" and "64 pairs of 8 languages".
    """
    first, space, rest = noun.partition(" ")
    return f"{number} {first}{'' if number == 1 else 's'}{space}{rest}"


def title_of(target: Mapping[str, Any]) -> str:
    """Return the display name of a target."""
    return str(target.get("title") or target.get("name") or "")


def _line(
    report: Report,
    row: Mapping[str, Any],
    base: Mapping[str, Any],
    targets: Sequence[Mapping[str, Any]],
    colours: Scale,
) -> MatrixLine:
    baseline = row is base
    name = str(row.get("name") or "unnamed")
    parts = row.get("targets") or {}
    status = str(row.get("status") or "")
    cells = tuple(
        _cell(f"{name}, {title_of(target)}", parts.get(target.get("name")) or {}, "mean", baseline, colours, status)
        for target in targets
    )
    selection = number(row.get("selection"))
    return MatrixLine(
        name=name,
        status=status,
        baseline=baseline,
        best=is_best(report, row) and not baseline,
        selection="" if baseline else difference_text(selection),
        detail=_about(row, name, status, selection),
        cells=cells,
        average=_cell(f"{name}, average over targets", row, "average", baseline, colours, status),
    )


def _about(row: Mapping[str, Any], name: str, status: str, selection: float | None) -> str:
    seeds = ", ".join(str(seed) for seed in row.get("seeds") or [])
    words = [
        status,
        f"seeds {seeds}" if seeds else "",
        f"English dev {difference_text(selection)}" if selection is not None else "",
        f"recipe {str(row['address'])[:12]}" if row.get("address") else "",
        f"MLflow run {row['run_id']}" if row.get("run_id") else "",
    ]
    return f"{name}: " + "; ".join(word for word in words if word)


def _cell(where: str, part: Mapping[str, Any], key: str, baseline: bool, colours: Scale, status: str) -> MatrixCell:
    score = number(part.get(key))
    gain = None if baseline else number(part.get("gain"))
    bounds = None if baseline else read_interval(part.get("interval"))
    sure = certainty(gain, bounds)
    ends = f"{difference_text(bounds[0])} to {difference_text(bounds[1])}" if bounds else ""
    if score is None and gain is None:
        detail = f"{where}: no score ({status or 'not run'})"
    elif baseline:
        detail = f"{where}: {score_text(score)}"
    else:
        why = f", 95 % interval {ends}" if ends else ", no interval"
        noise = " (includes 0)" if sure == "noise" else ""
        detail = f"{where}: {score_text(score)}, {difference_text(gain)} against the baseline{why}{noise}"
    return MatrixCell(
        absolute=score_text(score),
        difference=score_text(score) if baseline else difference_text(gain),
        side=colours.side(gain),
        strength=colours.strength(gain),
        certainty=sure,
        bounds=ends,
        detail=detail,
    )


# --- the standalone picture -------------------------------------------------------------------------------------------

_CELL_W, _CELL_H, _GAP = 74, 30, 2
_STYLE = """
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif;fill:#1b1d21}
.paper{fill:#fff}.quiet{fill:#5c626c}.small{font-size:11.5px}.strong{font-weight:650}
.up{fill:#4d9be6}.down{fill:#f0923a}.level{fill:#e9ebee}.rule{stroke:#c9cdd3}.weave{stroke:#fff}
@media (prefers-color-scheme:dark){text{fill:#e8e9eb}.paper{fill:#15171a}.quiet{fill:#a0a6b0}
.up{fill:#1d68b3}.down{fill:#a3530f}.level{fill:#25282d}.rule{stroke:#3a3f46}.weave{stroke:#15171a}}
"""


def to_svg(report: Report) -> str:
    """Draw the matrix as a standalone SVG file.

    It has no fonts, scripts or links, and follows light and dark mode.
    """
    view = matrix(tidy(report))
    report = tidy(report)
    left = 24 + int(8.2 * max((len(_svg_name(line)) for line in view.lines), default=8))
    wrapped = [textwrap.wrap(c.title, 11, max_lines=3, placeholder="\N{HORIZONTAL ELLIPSIS}") for c in view.columns]
    head = 50 + 15 * max((len(title) for title in wrapped), default=1)
    width = max(left + (len(view.columns) + 1) * _CELL_W + 24, 700)
    height = head + len(view.lines) * _CELL_H + 66
    body = [_caption(report), *_headings(wrapped, left, head)]
    for index, line in enumerate(view.lines):
        body += _svg_line(line, left, head + index * _CELL_H + (6 if index else 0))
    body.append(_legend(view, height))
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img">'
            "<title>{title}</title><style>{style}</style>"
            '<defs><pattern id="weave" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            '<path class="weave" d="M0 0V6" stroke-width="3" stroke-opacity=".55"/></pattern></defs>'
            '<rect class="paper" width="{w}" height="{h}"/>{body}</svg>\n'
        ).format(
            w=width, h=height, title=str(report.get("headline") or ""), style=Markup(_STYLE), body=Markup("").join(body)
        )
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> Markup:
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(x, y, kind, anchor, text)


def _caption(report: Report) -> Markup:
    pocket = " \N{MIDDLE DOT} Pocket data" if report.get("pocket") else ""
    return _text(12, 24, f"{report.get('study') or 'study'}: points above or below the baseline{pocket}", "strong")


def _headings(titles: list[list[str]], left: int, head: int) -> list[Markup]:
    out = []
    for index, lines in enumerate([*titles, ["Average"]]):
        x = left + index * _CELL_W + _CELL_W / 2 + (8 if index == len(titles) else 0)
        for up, word in enumerate(reversed(lines)):
            out.append(_text(x, head - 9 - 15 * up, word, "small quiet", "middle"))
    return out


def _svg_name(line: MatrixLine) -> str:
    name = line.name if len(line.name) <= 40 else line.name[:39] + "\N{HORIZONTAL ELLIPSIS}"
    status = "" if line.status in ("complete", "") else f" ({line.status})"
    return ("\N{BLACK STAR} " if line.best else "") + name + status


def _svg_line(line: MatrixLine, left: int, top: int) -> list[Markup]:
    middle = top + _CELL_H / 2 + 4
    out = [
        _text(left - 10, middle, _svg_name(line), "strong" if line.best else "quiet" if line.baseline else "", "end")
    ]
    for index, cell in enumerate((*line.cells, line.average)):
        x = left + index * _CELL_W + (8 if index == len(line.cells) else 0)
        box = Markup('x="{}" y="{}" width="{}" height="{}" rx="2"').format(x, top, _CELL_W - _GAP, _CELL_H - _GAP)
        drawn = []
        if not line.baseline and cell.side != "empty":
            shade = 1.0 if cell.side == "level" else cell.strength
            drawn.append(Markup('<rect {} class="{}" fill-opacity="{}"/>').format(box, cell.side, shade))
            if cell.certainty == "noise":
                drawn.append(Markup('<rect {} fill="url(#weave)"/>').format(box))
        kind = "strong" if cell.certainty == "clear" else "quiet" if cell.side == "empty" and not line.baseline else ""
        drawn.append(_text(x + (_CELL_W - _GAP) / 2, middle, cell.difference, kind, "middle"))
        out.append(Markup("<g><title>{}</title>{}</g>").format(cell.detail, Markup("").join(drawn)))
    return out


def _legend(view: Matrix, height: int) -> Markup:
    y, limit = height - 30, view.scale.limit
    swatches = [
        Markup('<rect x="{}" y="{}" width="18" height="14" class="{}" fill-opacity="{}"/>').format(
            96 + 18 * index, y, "up" if step > 0 else "down" if step < 0 else "level", abs(step) / 3 or 1
        )
        for index, step in enumerate(range(-3, 4))
    ]
    hatch = Markup(
        '<rect x="316" y="{y}" width="24" height="14" class="up" fill-opacity=".6"/>'
        '<rect x="316" y="{y}" width="24" height="14" fill="url(#weave)"/>'
    ).format(y=y)
    return Markup("").join(
        [
            _text(
                90, y + 11, difference_text(-limit) + (" or less" if view.scale.clipped else ""), "small quiet", "end"
            ),
            *swatches,
            _text(228, y + 11, difference_text(limit) + (" or more" if view.scale.clipped else ""), "small quiet"),
            hatch,
            _text(348, y + 11, "striped: the 95 % interval includes 0; bold: it does not", "small quiet"),
        ]
    )
