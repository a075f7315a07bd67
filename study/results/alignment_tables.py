"""Alignment results: languages aligned on x languages evaluated on, and the lines of XeroAlign's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from study.results.report import ReportRow, ReportTarget
from study.results.report_tables import AlignedLine, AlignedRow, AlignmentTable, PublishedLine
from study.store.evaluation_result import Scores
from trainables.catalogue import dataset
from trainables.recipe import Recipe

ZERO_SHOT, TARGET, TRANSLATED, ALIGNED = "0-shot", "target", "translate-train", "aligned"
AVERAGE, AVERAGE_WITH_ENGLISH = "average", "average with en"
SAME = (TARGET, TRANSLATED, ALIGNED)  # one model for each language, tested on it


@dataclass(frozen=True)
class _Model:
    """A recipe with its scores of one target."""

    name: str
    recipe: Recipe
    scores: Scores

    @property
    def line(self) -> tuple[str, str]:
        """Line of the table, and language of the model; "" where one model is scored on all."""
        align, labels = self.recipe.align, self.recipe.train_languages
        if labels:
            own = "+".join(tag for tag in labels if tag != "en")
            return (TRANSLATED if "en" in labels else TARGET), own
        if align is None:
            return ZERO_SHOT, ""
        if align.order == "joint" and len(align.languages) == 1 and align.languages != ("all",):
            return ALIGNED, align.languages[0]
        return self.name, ""


def alignment(rows: Iterable[ReportRow], targets: Sequence[ReportTarget]) -> tuple[AlignmentTable, ...]:
    """Build the alignment tables of each trained target and intermediate phase (Gritta and Iacobacci 2021, Tables 2 to 6).

    A line `target` (labels of the language), `translate-train` (English labels and translated ones) or `aligned` is made
    of one model per language, each scored on its own language; its English cell is the mean over these models. Averages
    are over the languages but English that every line has. Empty for a study that aligned nothing.
    """
    groups: dict[str, list[ReportRow]] = {}
    for row in rows:
        base = replace(row.recipe, train_languages=(), align=None)
        groups.setdefault(base.address, []).append(row)
    found = []
    for several in groups.values():
        if any(row.recipe.align for row in several):
            found += [_one(several, target) for target in targets if target.trained_on]
    return tuple(one for one in found if len(one.matrix) > 1)


def _one(rows: Sequence[ReportRow], target: ReportTarget) -> AlignmentTable:
    models = [
        _Model(row.name, row.recipe, row.targets[target.name].languages) for row in rows if target.name in row.targets
    ]
    by = {dataset(_data(m.recipe, target.name)).translated_by or "unknown" for m in models if m.recipe.align}
    return AlignmentTable(
        target=target.name,
        title=target.title,
        main=target.main,
        base=next((m.name for m in models if not (m.recipe.align or m.recipe.train_languages)), ""),
        translated_by=" and ".join(sorted(by)),
        languages=target.languages,
        matrix=tuple(_matrix(models)),
        table=tuple(_table(models, target)),
    )


def _matrix(models: Iterable[_Model]) -> Iterator[AlignedRow]:
    for model in models:
        align = model.recipe.align
        if not model.recipe.train_languages and (align is None or align.order == "joint"):
            yield AlignedRow(on=tuple(align.languages) if align else (), name=model.name, scores=model.scores)


def _data(recipe: Recipe, target: str) -> str:
    """Return the dataset whose translations were aligned."""
    assert recipe.align is not None
    return recipe.align.data or dataset(dataset(target).train_on or target).in_translation


def _table(models: Iterable[_Model], target: ReportTarget) -> Iterator[AlignedLine]:
    by_line: dict[str, dict[str, Scores]] = {}
    for model in models:
        line, language = model.line
        by_line.setdefault(line, {})[language] = model.scores
    order = [TARGET, TRANSLATED, ZERO_SHOT, ALIGNED, *(line for line in by_line if line not in (*SAME, ZERO_SHOT))]
    found = {
        line: _diagonal(by_line[line], target) if line in SAME else by_line[line][""]
        for line in order
        if line in by_line
    }
    shared = [tag for tag in target.languages if tag != "en" and all(tag in cells for cells in found.values())]
    for line, cells in found.items():
        means = {metric: fmean(cells[tag][metric] for tag in shared) for metric in target.main} if shared else None
        yield AlignedLine(name=line, cells=cells, average=means)


def _diagonal(models: Mapping[str, Scores], target: ReportTarget) -> Scores:
    """Score each language with the model that was made for it."""
    found = {tag: models[tag][tag] for tag in target.languages if tag in models and tag in models[tag]}
    english = [cells["en"] for cells in models.values() if "en" in cells]
    if english:
        found["en"] = {metric: fmean(one[metric] for one in english) for metric in english[0]}
    return found


def aligned_rows(tables: Iterable[AlignmentTable]) -> list[list[object]]:
    """Write CSV lines: one per row of a target's matrices, evaluated language and metric.

    The difference is from the recipe without alignment.
    """
    found: list[list[object]] = [["recipe", "aligned_on", "evaluated_on", "metric", "score", "difference"]]
    for one in tables:
        base: Scores = next((row.scores for row in one.matrix if not row.on), {})
        for row in one.matrix:
            for tag, metrics in row.scores.items():
                for metric, score in metrics.items():
                    reference = base.get(tag, {}).get(metric)
                    difference = "" if reference is None else score - reference
                    found.append([row.name, row.aligned_on, tag, metric, score, difference])
    return found


def alignment_lines(
    one: AlignmentTable, published: Iterable[PublishedLine] = ()
) -> tuple[list[str], list[tuple[str, list[str], str]]]:
    """Return columns, and (name, cells, style) of each line of a published table; main metrics stand as a/b.

    The average leaves English out; where a published one includes it, there is a second column for both sides.

    Args:
        published: lines of a paper, which follow ours.
    """

    def text(metrics: Mapping[str, float] | None) -> str:
        return "/".join(f"{metrics[name]:.1f}" for name in one.main) if metrics else "-"

    published = list(published)
    shared = [tag for tag in one.languages if all(tag in row.cells for row in one.table)]
    both = "en" in shared and any(AVERAGE_WITH_ENGLISH in cells for _, cells in published)

    def averages(row: AlignedLine) -> list[str]:
        if not both:
            return [text(row.average)]
        return [text(row.average), text({m: fmean(row.cells[tag][m] for tag in shared) for m in one.main})]

    rows = [(r.name, [*(text(r.cells.get(tag)) for tag in one.languages), *averages(r)], "") for r in one.table]
    columns = [*one.languages, AVERAGE, *([AVERAGE_WITH_ENGLISH] if both else [])]
    rows += [(f"published: {name}", [cells.get(c, "-") for c in columns], "dim") for name, cells in published]
    return columns, rows
