"""Section by language: a table and a plot for each target.

The plot shows gains by language family. A target whose "languages" are pairs has a matrix for every recipe instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from dashboards import pairs
from dashboards.dots import SOURCE, LanguageLabel, strip
from dashboards.matrix import Report, counted, is_best, matrix_rows, title_of
from dashboards.scale import Scale, Side, difference_text, number, read_interval, scale, score_text
from dashboards.square import Drawn


@dataclass(frozen=True, slots=True)
class Score:
    """Score of one recipe in one language.

    There are two numbers (F1, exact match) for question answering, otherwise one.
    """

    absolute: tuple[str, ...]
    difference: tuple[str, ...]
    side: Side
    strength: float


@dataclass(frozen=True, slots=True)
class LanguageLine:
    """One recipe's row of the table."""

    name: str
    status: str
    baseline: bool
    best: bool
    scores: tuple[Score, ...]
    mean: Score
    bounds: str


@dataclass(frozen=True, slots=True)
class LanguagePanel:
    """Table, plot or matrices of one target.

    Attributes:
        measures: names of the numbers in each cell, first to last.
        reading: summary of the plot in one sentence.
        squares: matrices of language pairs, instead of table and plot.
    """

    name: str
    title: str
    facts: str
    note: str
    languages: tuple[LanguageLabel, ...]
    lines: tuple[LanguageLine, ...]
    measures: tuple[str, ...]
    scale: Scale
    plot: Markup
    reading: str
    squares: tuple[Drawn, ...] = ()


def language_panels(report: Report) -> list[LanguagePanel]:
    """Make a panel for each target, in the report's order."""
    return [_panel(report, target) for target in report.get("targets") or []]


def measures_of(target: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Choose the metrics to show: the main ones, whose mean is the score."""
    main = tuple(str(name) for name in target.get("main") or ())
    if main and set(main) <= values.keys():
        return main
    return main[:1] if not values else tuple(values)[:1]


def _panel(report: Report, target: Mapping[str, Any]) -> LanguagePanel:
    name = str(target.get("name"))
    rows = matrix_rows(report)
    table = [_languages_of(row, name) for row in rows]
    languages = _languages(report, target, table)
    example = next((values for row in table for values in row.values() if values), {})
    measures = measures_of(target, example)
    main = [{tag: _main(values, measures) for tag, values in row.items()} for row in table]
    base = main[0] if main else {}
    gains = [{tag: _minus(score, base.get(tag)) for tag, score in row.items()} for row in main]
    colours = scale(gain for row in gains[1:] for gain in row.values())
    if target.get("pairs"):
        return _pairs_panel(report, target, main, gains, measures, colours)
    lines = tuple(
        _line(
            report, row, name, table[index], table[0], gains[index], languages, measures, colours, baseline=index == 0
        )
        for index, row in enumerate(rows)
    )
    chosen = next((i for i, row in enumerate(rows) if i and is_best(report, row)), None)
    best = gains[chosen] if chosen is not None else {}
    return LanguagePanel(
        name=name,
        title=title_of(target),
        facts=_facts(target, len(languages), "language"),
        note=str(target.get("note") or ""),
        languages=languages,
        lines=lines,
        measures=_labels(measures),
        scale=colours,
        plot=strip(languages, gains[1:], best, str(rows[chosen].get("name") or "") if chosen is not None else ""),
        reading=_reading(languages, best),
    )


def _pairs_panel(
    report: Report,
    target: Mapping[str, Any],
    main: Sequence[pairs.Scores],
    gains: Sequence[pairs.Scores],
    measures: Sequence[str],
    colours: Scale,
) -> LanguagePanel:
    known = target["pairs"].get("languages") or {}
    languages = _ordered(known, known)
    rows = [
        (str(row.get("name") or "unnamed"), is_best(report, row), main[index], gains[index])
        for index, row in enumerate(matrix_rows(report))
    ]
    return LanguagePanel(
        name=str(target.get("name")),
        title=title_of(target),
        facts=_facts(target, len(target.get("languages") or ()), f"pair of {len(languages)} languages"),
        note=str(target.get("note") or ""),
        languages=languages,
        lines=(),
        measures=_labels(measures),
        scale=colours,
        plot=Markup(""),
        reading="",
        squares=pairs.squares(target["pairs"], languages, rows, colours),
    )


_LABELS = {"f1": "F1", "exact_match": "exact match", "slot_f1_bio": "slot F1"}


def _languages_of(row: Mapping[str, Any], target: str) -> dict[str, Mapping[str, Any]]:
    part = (row.get("targets") or {}).get(target) or {}
    return dict(part.get("languages") or {})


def _languages(
    report: Report, target: Mapping[str, Any], table: Sequence[Mapping[str, Any]]
) -> tuple[LanguageLabel, ...]:
    """List the languages of a target, the source language first.

    The others are sorted by family and name. Languages that only a row has are included.
    """
    known = report.get("languages") or {}
    return _ordered(dict.fromkeys([*(target.get("languages") or []), *(tag for row in table for tag in row)]), known)


def _ordered(tags: Iterable[str], known: Mapping[str, Any]) -> tuple[LanguageLabel, ...]:
    found = []
    for tag in tags:
        about = known.get(tag) or {}
        words = [str(about.get(key) or "") for key in ("name", "script", "family")]
        found.append(LanguageLabel(str(tag), words[0] or str(tag), words[1], words[2]))
    return tuple(sorted(found, key=lambda one: (one.tag != SOURCE, not one.family, one.family, one.name)))


def _labels(measures: Sequence[str]) -> tuple[str, ...]:
    return tuple(_LABELS.get(measure, measure.replace("_", " ")) for measure in measures)


def _facts(target: Mapping[str, Any], count: int, noun: str) -> str:
    trained = target.get("trained_on")
    words = [
        counted(count, noun),
        f"{target['split']} split" if target.get("split") else "",
        f"trained on {trained} in English" if trained else "no training of its own",
    ]
    return ", ".join(word for word in words if word)


def _main(values: Mapping[str, Any], measures: Sequence[str]) -> float | None:
    scores = [score for score in (number(values.get(measure)) for measure in measures) if score is not None]
    return sum(scores) / len(scores) if scores and len(scores) == len(measures) else None


def _minus(score: float | None, base: float | None) -> float | None:
    return None if score is None or base is None else score - base


def _line(
    report: Report,
    row: Mapping[str, Any],
    target: str,
    values: Mapping[str, Mapping[str, Any]],
    base: Mapping[str, Mapping[str, Any]],
    gains: Mapping[str, float | None],
    languages: Sequence[LanguageLabel],
    measures: Sequence[str],
    colours: Scale,
    *,
    baseline: bool,
) -> LanguageLine:
    scores = []
    for language in languages:
        own, other = values.get(language.tag) or {}, base.get(language.tag) or {}
        absolute = tuple(score_text(number(own.get(measure))) for measure in measures)
        apart = tuple(difference_text(_minus(number(own.get(m)), number(other.get(m)))) for m in measures)
        gain = None if baseline else gains.get(language.tag)
        if all(one is None for one in (number(own.get(measure)) for measure in measures)):
            absolute = apart = (score_text(None),)
        difference = absolute if baseline else apart
        scores.append(Score(absolute, difference, colours.side(gain), colours.strength(gain)))
    part = (row.get("targets") or {}).get(target) or {}
    mean, gain = number(part.get("mean")), None if baseline else number(part.get("gain"))
    bounds = read_interval(part.get("interval"))
    shown = score_text(mean) if baseline else difference_text(gain)
    return LanguageLine(
        name=str(row.get("name") or "unnamed"),
        status=str(row.get("status") or ""),
        baseline=baseline,
        best=is_best(report, row) and not baseline,
        scores=tuple(scores),
        mean=Score((score_text(mean),), (shown,), colours.side(gain), colours.strength(gain)),
        bounds="" if baseline or not bounds else f"{difference_text(bounds[0])} to {difference_text(bounds[1])}",
    )


def _reading(languages: Sequence[LanguageLabel], best: Mapping[str, float | None]) -> str:
    names = {language.tag: language.name for language in languages}
    ranked = sorted(((gain, names[tag]) for tag, gain in best.items() if gain is not None), reverse=True)
    up = [f"{name} {difference_text(gain)}" for gain, name in ranked if gain >= 0.05][:3]
    down = [f"{name} {difference_text(gain)}" for gain, name in reversed(ranked) if gain <= -0.05][:3]
    if not ranked:
        return ""
    parts = [f"Largest gains: {', '.join(up)}." if up else "No language gains."]
    parts.append(f"Largest losses: {', '.join(down)}." if down else "No language loses.")
    return " ".join(parts)
