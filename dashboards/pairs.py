"""Matrices of sentence 1 x sentence 2, for targets whose "languages" are pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboards.dots import LanguageLabel
from dashboards.scale import Scale
from dashboards.square import Drawn, Square, draw_square

Scores = Mapping[str, float | None]  # tag of a pair -> score


def squares(
    pairs: Mapping[str, Any],
    languages: Sequence[LanguageLabel],
    rows: Sequence[tuple[str, bool, Scores, Scores]],
    colours: Scale,
) -> tuple[Drawn, ...]:
    """Draw a matrix for every recipe that has scores.

    The baseline comes first, then the best recipe, then the others in their order.

    Args:
        pairs: the report's entry on the target's pairs; `of`: tag -> [language of sentence 1, of sentence 2].
        languages: languages of both sides, in display order.
        rows: (recipe, whether it is the best, scores, differences from the baseline), the baseline first.
    """
    tags = {tuple(sides): tag for tag, sides in (pairs.get("of") or {}).items()}
    labels = tuple(language.tag for language in languages)
    names = {language.tag: language.name for language in languages}

    def spread(scores: Scores) -> list[list[float | None]]:
        return [[scores.get(tags.get((first, second), "")) for second in labels] for first in labels]

    drawn = [
        draw_square(
            Square(
                caption=name,
                rows=labels,
                columns=labels,
                values=spread(scores),
                gains=None if index == 0 else spread(gains),
                row_title="sentence 1",
                column_title="sentence 2",
                names=names,
                mark="baseline" if index == 0 else "best" if best else "",
            ),
            colours,
        )
        for index, (name, best, scores, gains) in enumerate(rows)
        if any(score is not None for score in scores.values())
    ]
    return tuple(sorted(drawn, key=lambda one: ("baseline", "best", "").index(one.mark)))
