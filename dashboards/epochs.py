"""Section on scores by epoch: a table and learning curves for each target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from dashboards.curves import Curve, CurvePanel, Points, Role, draw_chart, reach
from dashboards.matrix import Report, is_best, matrix_rows
from dashboards.scale import difference_text, number, score_text

_NAMES = {"train": "English, training rows", "dev": "English, dev rows", "zero-shot": "Mean without English"}
_METRICS = {"slot_f1_bio": "slot F1"}


@dataclass(frozen=True, slots=True)
class EpochLine:
    """A recipe after some epochs.

    Attributes:
        cells: (scores, standard deviations) of each column.
        changes: (points, percent) of each metric, compared with the baseline.
    """

    name: str
    role: Role
    cells: list[tuple[str, str]]
    changes: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class TargetEpochs:
    """Table and charts of one target; changes are those of the first column.

    Attributes:
        groups: (epoch, lines) of the table.
        spread: standard deviations over seeds are known.
    """

    title: str
    metrics: list[str]
    columns: list[str]
    groups: list[tuple[str, list[EpochLine]]]
    panels: list[CurvePanel]
    spread: bool


def section(report: Report) -> Markup:
    """Render the section on scores by epoch; empty if no target has any."""
    targets = [_target(report, target) for target in (report.get("epochs") or {}).values()]
    targets = [target for target in targets if target.groups]
    best = next((str(row.get("name")) for row in matrix_rows(report)[1:] if is_best(report, row)), "")
    return Markup(_template().render(targets=targets, best=best)) if targets else Markup("")


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((files("dashboards") / "epochs.html.j2").read_text(encoding="utf-8"))


def _target(report: Report, target: Mapping[str, Any]) -> TargetEpochs:
    roles: dict[str, Role] = {
        str(row.get("address")): "baseline" if index == 0 else "best" if is_best(report, row) else "other"
        for index, row in enumerate(matrix_rows(report))
    }
    metrics, columns = [str(m) for m in target.get("metrics") or []], [str(c) for c in target.get("columns") or []]
    columns.sort(key=lambda column: column != "zero-shot")  # zero-shot first, then as in the paper
    reached = sorted({float(p["epoch"]) for row in target.get("rows") or [] for p in row["points"]})
    groups = [(f"{epoch:g}", list(_lines(target, epoch, metrics, columns, roles))) for epoch in reached]
    names = {str(tag): str(about.get("name") or tag) for tag, about in (report.get("languages") or {}).items()} | _NAMES
    panels = _panels(target, metrics, columns, roles, max(reached, default=0.0), names)
    spread = any(deviations for _, lines in groups for line in lines for _, deviations in line.cells)
    titles = [_METRICS.get(m, m.replace("_", " ")) for m in metrics]
    return TargetEpochs(str(target.get("title") or ""), titles, columns, groups, panels, spread)


def _lines(
    target: Mapping[str, Any], epoch: float, metrics: list[str], columns: list[str], roles: Mapping[str, Role]
) -> Iterator[EpochLine]:
    points = [(row, p["scores"]) for row in target["rows"] for p in row["points"] if p["epoch"] == epoch]
    base = next((scores for row, scores in points if roles.get(str(row.get("address"))) == "baseline"), None)
    for row, scores in points:
        role = roles.get(str(row.get("address")), "other")
        cells = []
        for column in columns:
            found = [scores.get(column, {}).get(metric) or {} for metric in metrics]
            deviations = [number(m.get("sd")) for m in found]
            shown = "/".join(score_text(number(m.get("mean"))) for m in found)
            known = "" if None in deviations else "±" + "/".join(score_text(d) for d in deviations)
            cells.append((shown, known))
        changes = []
        for metric in metrics if base is not None and role != "baseline" else ():
            own, old = (number((s.get("zero-shot", {}).get(metric) or {}).get("mean")) for s in (scores, base or {}))
            points_more = None if own is None or old is None else own - old
            percent = None if points_more is None or not old else 100 * points_more / old
            changes.append(
                (difference_text(points_more), f"{difference_text(percent)} %" if percent is not None else "")
            )
        yield EpochLine(str(row.get("name") or "unnamed"), role, cells, changes)


def _panels(
    target: Mapping[str, Any],
    metrics: list[str],
    columns: list[str],
    roles: Mapping[str, Role],
    last: float,
    names: Mapping[str, str],
) -> list[CurvePanel]:
    """Make a panel for each column, with one y axis per metric."""
    charts: dict[str, list[Markup]] = {column: [] for column in columns}
    for metric in metrics[:2]:
        drawn = {column: _curves(target, column, metric, roles) for column in columns}
        some = [curve for curves in drawn.values() for curve in curves if curve.points]
        if not some:
            continue
        for column, curves in drawn.items():
            title = _METRICS.get(metric, metric.replace("_", " "))
            charts[column].append(draw_chart(title, curves, last, "epochs", reach(some)))
    return [
        CurvePanel(names.get(column, column), "", made[0], made[1] if len(made) > 1 else Markup(""))
        for column, made in charts.items()
        if made
    ]


def _curves(target: Mapping[str, Any], column: str, metric: str, roles: Mapping[str, Role]) -> list[Curve]:
    curves = []
    for row in target["rows"]:
        line: Points = []
        band = []
        for point in row["points"]:
            found = point["scores"].get(column, {}).get(metric) or {}
            x, mean, spread = number(point["epoch"]), number(found.get("mean")), number(found.get("sd"))
            if x is None or mean is None:
                continue
            line.append((x, mean))
            if spread is not None:
                band.append((x, mean - spread, mean + spread))
        role = roles.get(str(row.get("address")), "other")
        curves.append(Curve(str(row.get("name") or "unnamed"), role, line, tuple(band)))
    return curves
