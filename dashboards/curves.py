"""Learning curves as small multiples.

There is one panel for each stage, with one line for each recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from dashboards.matrix import Report, is_best, matrix_rows
from dashboards.scale import number, ticks

_LEFT, _WIDTH, _RIGHT, _TOP, _HEIGHT, _BOTTOM = 38, 270, 12, 18, 92, 18
_POINTS = 90  # maximum points of a line; more are averaged in equal bins

Role = Literal["other", "baseline", "best"]
Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart, with an optional band around it."""

    name: str
    role: Role
    points: Points
    band: tuple[tuple[float, float, float], ...] = ()  # x, low, high: the spread around the line


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """Charts of one stage: loss and, if measured, English dev score by step."""

    label: str
    caption: str
    loss: Markup
    dev: Markup


def curve_panels(report: Report) -> list[CurvePanel]:
    """Make a panel for each stage label, those of most recipes first."""
    found: dict[str, list[tuple[str, Role, Mapping[str, Any]]]] = {}
    for index, row in enumerate(matrix_rows(report)):
        role: Role = "baseline" if index == 0 else "best" if is_best(report, row) else "other"
        for label, curve in (row.get("curves") or {}).items():
            if curve:
                found.setdefault(str(label), []).append((str(row.get("name") or "unnamed"), role, curve))
    drawn = [_panel(label, found[label]) for label in sorted(found, key=lambda label: -len(found[label]))]
    return [panel for panel in drawn if panel.loss or panel.dev]


def layer_panels(report: Report) -> list[CurvePanel]:
    """Make a panel for each target of a layer sweep.

    It shows the mean over languages by layer.
    """
    roles: dict[str, Role] = {
        str(row.get("address")): "baseline" if index == 0 else "best" if is_best(report, row) else "other"
        for index, row in enumerate(matrix_rows(report))
    }
    drawn = []
    for target in (report.get("layers") or {}).values():
        rows = target.get("rows") or []
        curves = [
            Curve(str(row.get("name")), roles.get(str(row.get("address")), "other"), _by_layer(row.get("mean")))
            for row in rows
        ]
        last = max((x for curve in curves for x, _ in curve.points), default=0.0)
        read = number(target.get("reads"))
        caption = f"{len(rows)} recipes" + (f"; the matrix reads layer {read:.0f}" if read is not None else "")
        chart = draw_chart("score by layer, mean over languages", curves, last, "layers")
        drawn.append(CurvePanel(str(target.get("title")), caption, chart, Markup("")))
    return [panel for panel in drawn if panel.loss]


def _by_layer(values: object) -> Points:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return []
    return _points([[layer, value] for layer, value in enumerate(values)])


def _panel(label: str, curves: list[tuple[str, Role, Mapping[str, Any]]]) -> CurvePanel:
    losses = [Curve(name, role, _pairs(curve.get("step"), curve.get("loss"))) for name, role, curve in curves]
    scores = [Curve(name, role, _points(curve.get("dev"))) for name, role, curve in curves]
    last = max((x for curve in [*losses, *scores] for x, _ in curve.points), default=0.0)
    losses = [Curve(curve.name, curve.role, _thin(curve.points)) for curve in losses]
    caption = curves[0][0] if len(curves) == 1 else f"{len(curves)} recipes"
    return CurvePanel(label, caption, draw_chart("loss", losses, last), draw_chart("English dev score", scores, last))


def _pairs(steps: object, values: object) -> Points:
    """Make points from two columns, without non-finite values."""
    if not isinstance(steps, Sequence) or not isinstance(values, Sequence):
        return []
    return _points([list(pair) for pair in zip(steps, values, strict=False)])


def _thin(points: Points) -> Points:
    """Average a long curve in equal bins."""
    if len(points) <= _POINTS:
        return points
    width = len(points) / _POINTS
    bins = [points[int(index * width) : int((index + 1) * width)] for index in range(_POINTS)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in bins]


def _points(values: object) -> Points:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return []
    points = []
    for pair in values:
        if isinstance(pair, Sequence) and len(pair) == 2:
            x, y = number(pair[0]), number(pair[1])
            if x is not None and y is not None:
                points.append((x, y))
    return sorted(points)


def draw_chart(
    title: str, curves: list[Curve], last: float, unit: str = "steps", ends: tuple[float, float] | None = None
) -> Markup:
    """Draw one small chart as SVG; empty if no curve has a point.

    The baseline and the best recipe are drawn over the others.

    Args:
        last: end of the x axis.
        unit: unit of the x axis.
        ends: lowest and highest value of the y axis, if several charts share it; None = those of the curves and bands.
    """
    curves = sorted(
        (curve for curve in curves if curve.points), key=lambda curve: ("other", "baseline", "best").index(curve.role)
    )
    if not curves:
        return Markup("")
    low, high = ends or reach(curves)
    margin = 0.06 * (high - low) or max(0.5, 0.05 * abs(high))
    low, high = low - margin, high + margin

    def place(x: float, y: float) -> str:
        across = _LEFT + (x / last if last else 0.5) * _WIDTH
        return f"{across:.1f} {_TOP + (high - y) / (high - low) * _HEIGHT:.1f}"

    body = [Markup('<text class="quiet" x="0" y="11">{}</text>').format(title)]
    for tick in ticks(low, high, 3):
        y = place(0, tick).split()[1]
        body.append(Markup('<path class="grid" d="M{} {}h{}"/>').format(_LEFT, y, _WIDTH))
        body.append(
            Markup('<text class="quiet" x="{}" y="{}" text-anchor="end">{}</text>').format(
                _LEFT - 6, float(y) + 4, f"{tick:g}"
            )
        )
    floor = _TOP + _HEIGHT
    for text, x, anchor in (("0", _LEFT, "middle"), (f"{last:,.0f} {unit}", _LEFT + _WIDTH, "end")):
        body.append(
            Markup('<text class="quiet" x="{}" y="{}" text-anchor="{}">{}</text>').format(x, floor + 15, anchor, text)
        )
    for curve in (curve for curve in curves if curve.band):
        edge = [place(x, y) for x, _, y in curve.band] + [place(x, y) for x, y, _ in reversed(curve.band)]
        body.append(Markup('<path class="spread {}" d="M{}Z"/>').format(curve.role, "L".join(edge)))
    body += [_curve(curve, [place(x, y) for x, y in curve.points]) for curve in curves]
    size = Markup('viewBox="0 0 {} {}"').format(_LEFT + _WIDTH + _RIGHT, floor + _BOTTOM)
    return Markup('<svg class="curve" {} role="img" aria-label="{}">{}</svg>').format(
        size, title, Markup("").join(body)
    )


def reach(curves: Iterable[Curve]) -> tuple[float, float]:
    """Find the lowest and the highest value of curves and their bands."""
    values = [y for curve in curves for _, y in curve.points]
    values += [y for curve in curves for _, *ends in curve.band for y in ends]
    return min(values), max(values)


def _curve(curve: Curve, places: list[str]) -> Markup:
    path = f"M{places[0]}h0" if len(places) == 1 else "M" + "L".join(places)
    return Markup('<path class="line {}{}" d="{}"><title>{}</title></path>').format(
        curve.role, " point" if len(places) == 1 else "", path, curve.name
    )
