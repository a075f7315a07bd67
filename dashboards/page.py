"""Report as one self-contained HTML page: no network, storage or other files.

MLflow shows it in a sandboxed frame, so its script may only rearrange what is already on the page. All data is escaped: in
the template by jinja2's autoescape, in pictures by `Markup.format`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from dashboards import aligned, curves, epochs, languages
from dashboards.matrix import Report, matrix, matrix_rows
from dashboards.scale import difference_text, number, read_interval, score_text, tidy

_PLAIN = ("study", "question", "headline", "pocket", "notes", "created", "version")  # used unchanged in the template
_FAILURE = ("name", "address", "reason", "traceback")
_SHOWN_CURVES = 9  # panels that are open at once; the rest are folded
_SELECTION = {
    "english_dev": "English development scores; no target-language score was used",
    "target_dev": "target-language development scores (an oracle: it uses the scores that it reports)",
}


def render(report: Mapping[str, Any]) -> str:
    """Render the page of one study from the report dictionary.

    Missing and empty parts (no best recipe, a pruned row without targets, a gain without an interval) leave a gap or a
    dash and raise no error, since a page can be made while a study runs.
    """
    report = tidy(report)
    drawn = curves.curve_panels(report)
    return _template().render(
        report={**dict.fromkeys(_PLAIN), **report},
        failures=[{**dict.fromkeys(_FAILURE), **failure} for failure in report.get("failures") or []],
        css=Markup(_read("page.css")),
        js=Markup(_read("page.js")),
        facts=_facts(report),
        matrix=matrix(report),
        panels=languages.language_panels(report),
        curves=drawn[:_SHOWN_CURVES],
        more_curves=drawn[_SHOWN_CURVES:],
        layers=curves.layer_panels(report),
        aligned=aligned.aligned(report),
        epochs=epochs.section(report),
        best=_best(report),
        runs=_runs(report),
        signed=difference_text,
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_read("page.html.j2"))


def _read(name: str) -> str:
    return (files("dashboards") / name).read_text(encoding="utf-8")


def _facts(report: Report) -> list[tuple[str, str]]:
    """List the study's settings as (name, value), without empty ones."""
    trials, stages = report.get("trials") or {}, report.get("stages") or {}
    scale = number(report.get("scale"))
    profile = str(report.get("profile") or "")
    sized = f"{profile}, scale {scale:g}" if profile and scale is not None and scale != 1 else profile
    selection = str(report.get("selection") or "")
    pairs = [
        ("Study", str(report.get("study") or "")),
        ("Space", str(report.get("space") or "")),
        ("Source", str(report.get("source") or "")),
        ("Encoder", str(report.get("encoder") or "")),
        ("Profile", sized),
        ("Seeds", str(report.get("seeds") or "")),
        ("Best chosen by", _SELECTION.get(selection, selection)),
        ("Trials", _counts(trials)),
        ("Stages", _counts({"run": stages.get("run"), "reused": stages.get("reused")})),
        ("Training steps", _count(stages.get("train_steps"))),
    ]
    return [(name, value) for name, value in pairs if value]


def _count(value: object) -> str:
    amount = number(value)
    return "" if amount is None else f"{amount:,.0f}"


def _counts(amounts: Mapping[str, Any]) -> str:
    return ", ".join(f"{_count(amount)} {word}" for word, amount in amounts.items() if _count(amount))


def _best(report: Report) -> dict[str, str] | None:
    best = report.get("best")
    if not best:
        return None
    bounds = read_interval(best.get("interval"))
    gain = number(best.get("gain"))
    seeds = number(report.get("seeds")) or 0
    points = f"{difference_text(gain)} points on average over the targets" if gain is not None else ""
    sure = ", no interval"
    if bounds:
        sure = f", 95 % interval {difference_text(bounds[0])} to {difference_text(bounds[1])}"
    over = f", {seeds:.0f} seed{'' if seeds == 1 else 's'}" if seeds else ""
    return {
        "name": str(best.get("name") or ""),
        "sentence": points + sure + over if points else "",
        "address": str(best.get("address") or ""),
        "command": str(best.get("command") or ""),
        "toml": str(best.get("toml") or "").strip("\n"),
    }


def _runs(report: Report) -> list[dict[str, str]]:
    """List the recipe, seeds and MLflow run of each row."""
    return [
        {
            "name": str(row.get("name") or "unnamed"),
            "status": str(row.get("status") or ""),
            "seeds": ", ".join(str(seed) for seed in row.get("seeds") or []),
            "average": score_text(number(row.get("average"))),
            "address": str(row.get("address") or ""),
            "run": str(row.get("run_id") or ""),
            "recipe": json.dumps(row.get("recipe") or {}, ensure_ascii=False, sort_keys=True),
        }
        for row in matrix_rows(report)
    ]
