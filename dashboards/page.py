"""The report as one HTML page that needs nothing else: no network, no storage, no files beside it.

It is shown inside MLflow in a sandboxed frame, so its script may only rearrange what is already on the page. Everything
that comes from data is escaped: the template with jinja2's autoescape, the pictures with `Markup.format`.
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
from dashboards.matrix import Report, matrix, rows_of
from dashboards.scale import interval, number, plain, signed, tidy

_PLAIN = ("study", "question", "headline", "pocket", "notes", "created", "version")  # used in the template as they are
_FAILURE = ("name", "address", "reason", "traceback")
_SHOWN_CURVES = 9  # panels that are open at once; the rest are folded
_SELECTION = {
    "english_dev": "English development scores; no target-language score was looked at",
    "target_dev": "target-language development scores (an oracle: it looks at what it reports)",
}


def render(report: Mapping[str, Any]) -> str:
    """The page of one study, from the report dictionary.

    Missing and empty parts (no best recipe, a pruned row without targets, a gain without an interval) leave a gap or a
    dash, never an error: a study is looked at while it runs.
    """
    report = tidy(report)
    drawn = curves.panels(report)
    return _template().render(
        report={**dict.fromkeys(_PLAIN), **report},
        failures=[{**dict.fromkeys(_FAILURE), **failure} for failure in report.get("failures") or []],
        css=Markup(_read("page.css")),
        js=Markup(_read("page.js")),
        facts=_facts(report),
        matrix=matrix(report),
        panels=languages.panels(report),
        curves=drawn[:_SHOWN_CURVES],
        more_curves=drawn[_SHOWN_CURVES:],
        layers=curves.layers(report),
        aligned=aligned.aligned(report),
        epochs=epochs.section(report),
        best=_best(report),
        runs=_runs(report),
        signed=signed,
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_read("page.html.j2"))


def _read(name: str) -> str:
    return (files("dashboards") / name).read_text(encoding="utf-8")


def _facts(report: Report) -> list[tuple[str, str]]:
    """What a reader must know to weigh the numbers, as (name, value) pairs; what is not there is left out."""
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
    bounds = interval(best.get("interval"))
    gain = number(best.get("gain"))
    seeds = number(report.get("seeds")) or 0
    points = f"{signed(gain)} points on average over the targets" if gain is not None else ""
    sure = f", 95 % interval {signed(bounds[0])} to {signed(bounds[1])}" if bounds else ", no interval"
    over = f", {seeds:.0f} seed{'' if seeds == 1 else 's'}" if seeds else ""
    return {
        "name": str(best.get("name") or ""),
        "sentence": points + sure + over if points else "",
        "address": str(best.get("address") or ""),
        "command": str(best.get("command") or ""),
        "toml": str(best.get("toml") or "").strip("\n"),
    }


def _runs(report: Report) -> list[dict[str, str]]:
    """Where each row's numbers come from."""
    return [
        {
            "name": str(row.get("name") or "unnamed"),
            "status": str(row.get("status") or ""),
            "seeds": ", ".join(str(seed) for seed in row.get("seeds") or []),
            "average": plain(number(row.get("average"))),
            "address": str(row.get("address") or ""),
            "run": str(row.get("run_id") or ""),
            "recipe": json.dumps(row.get("recipe") or {}, ensure_ascii=False, sort_keys=True),
        }
        for row in rows_of(report)
    ]
