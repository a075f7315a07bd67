"""Dot plot of the gains of all recipes by language, grouped by language family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboards.scale import difference_text, ticks

SOURCE = "en"  # the language that everything is trained in
_LEFT, _WIDTH, _RIGHT, _ROW, _HEAD = 152, 376, 20, 19, 25

Gains = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class LanguageLabel:
    """Name, script and family of a language.

    For an unknown language the name is the tag and the rest is empty.
    """

    tag: str
    name: str
    script: str
    family: str

    @property
    def detail(self) -> str:
        """All parts in one line."""
        return ", ".join(part for part in (self.name, self.script and f"{self.script} script", self.family) if part)


def strip(languages: Sequence[LanguageLabel], gains: Sequence[Gains], best: Gains, name: str) -> Markup:
    """Draw a dot for each recipe and language as SVG.

    x is the gain in points, y the language. The small dots are one path of zero-length strokes, so that forty languages
    and twenty recipes take a few kilobytes.

    Args:
        best: gains of the best recipe, which is drawn with large dots.
        name: name of the best recipe.

    Returns:
        Empty markup if only the baseline has scores.
    """
    values = sorted(gain for row in gains for gain in row.values() if gain is not None)
    if not values:
        return Markup("")
    low, high = _range(values, [gain for gain in best.values() if gain is not None])

    def across(gain: float) -> float:
        return round(_LEFT + 8 + (min(high, max(low, gain)) - low) / (high - low) * (_WIDTH - 16), 1)

    heads, places, bottom = _places(_ordered(languages, best))
    body = [*_axis(low, high, across, bottom), *(_label(0, y, text, "family") for text, y in heads)]
    script = next((one.script for one in languages if one.tag == SOURCE), "")
    small, large = [], []
    for one, y in places:
        body.append(_label(_LEFT - 10, y + 4, one.name, "", "end", one.detail))
        body.append(Markup('<path class="hair" d="M{} {}h{}"/>').format(_LEFT, y, _WIDTH))
        small += [f"M{across(gain)} {y}h0" for row in gains if (gain := row.get(one.tag)) is not None]
        if (gain := best.get(one.tag)) is not None:
            kind = "best" if not script or one.script == script else "best hollow"
            words = f"{name}, {one.detail}: {difference_text(gain)}"
            large.append(
                Markup('<circle class="{}" cx="{}" cy="{}" r="5"><title>{}</title></circle>').format(
                    kind, across(gain), y, words
                )
            )
    return Markup('<svg class="dots" viewBox="0 0 {w} {h}" role="img" aria-label="{words}">{body}</svg>').format(
        w=_LEFT + _WIDTH + _RIGHT,
        h=bottom + 42,
        words="Gain in each language",
        body=Markup("").join([*body, Markup('<path class="others" d="{}"/>').format("".join(small)), *large]),
    )


def _range(values: Sequence[float], best: Sequence[float]) -> tuple[float, float]:
    """Choose the range of the x axis.

    It includes zero, the best recipe and all but the outermost gains, so that one collapsed recipe does not squeeze the
    rest.
    """
    edge = len(values) // 50
    inner = values[edge : len(values) - edge]
    low, high = min(0.0, inner[0], *best), max(0.0, inner[-1], *best)
    pad = 0.04 * (high - low) or 0.5
    return low - pad, high + pad


def _ordered(languages: Sequence[LanguageLabel], best: Gains) -> list[LanguageLabel]:
    """Sort languages by family.

    The source language comes first, then families from large to small; within each, by the best recipe's gain.
    """
    sizes: dict[str, int] = {}
    for language in languages:
        sizes[language.family] = sizes.get(language.family, 0) + 1

    def key(one: LanguageLabel) -> tuple[bool, bool, int, str, float, str]:
        return one.tag != SOURCE, not one.family, -sizes[one.family], one.family, -(best.get(one.tag) or 0.0), one.name

    return sorted(languages, key=key)


def _places(
    languages: Sequence[LanguageLabel],
) -> tuple[list[tuple[str, float]], list[tuple[LanguageLabel, float]], float]:
    """Place family headings and language lines on the y axis.

    Returns:
        (heading, y), (language, y), and the end of the last line.
    """
    heads: list[tuple[str, float]] = []
    places: list[tuple[LanguageLabel, float]] = []
    top, family, named = 4.0, "", any(one.family for one in languages)
    for one in languages:
        group = "Source language" if one.tag == SOURCE else one.family or "Other"
        if named and group != family:
            heads.append((group, top + 17))
            top, family = top + _HEAD, group
        places.append((one, top + _ROW / 2))
        top += _ROW
    return heads, places, top


def _axis(low: float, high: float, across: Callable[[float], float], bottom: float) -> list[Markup]:
    out = []
    for tick in ticks(low, high, 7):
        kind = "zero" if tick == 0 else "grid"
        out.append(Markup('<path class="{}" d="M{} 0V{}"/>').format(kind, across(tick), bottom + 4))
        digits = 0 if tick == round(tick) else 1
        out.append(_label(across(tick), bottom + 19, difference_text(tick, digits), "quiet", "middle"))
    out.append(_label(_LEFT + _WIDTH / 2, bottom + 37, "points above or below the baseline", "quiet", "middle"))
    return out


def _label(x: float, y: float, text: str, kind: str, anchor: str = "start", detail: str = "") -> Markup:
    shown = text if len(text) <= 18 or anchor != "end" else text[:17] + "\N{HORIZONTAL ELLIPSIS}"
    title = Markup("<title>{}</title>").format(detail) if detail else ""
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}{}</text>').format(
        x, y, kind, anchor, shown, title
    )
