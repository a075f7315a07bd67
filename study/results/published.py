"""Published scores as data: `published/*.toml` holds the papers' tables, and `compare` puts them beside a report.

A row's cells are written as in the paper, "F1/EM" or "accuracy/F1" where it prints two numbers and "-" where none. A cell that
is garbled or contradicts its own table holds what the rest of the table gives, and a mark says what is printed and why that
is wrong.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from study.results.alignment_tables import AVERAGE_WITH_ENGLISH
from study.results.report import Report, ReportRow, signed
from study.results.report_tables import Comparison, Mark, PublishedCell, PublishedPoint, PublishedRow, Values
from trainables.catalogue import dataset
from trainables.errors import BadInput, DataError, unknown
from trainables.recipe import Recipe

FOLDER = Path(__file__).parent / "published"
AVERAGE = "average"
_CELL = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class PaperRow:
    """A line of a table; `intermediate` is None where it is not about intermediate tasks, and () for the baseline.

    epoch: after how many of the target's training it was scored; 0 = at the end.
    robust: it is about robust training.
    """

    name: str
    cells: Mapping[str, Values]
    intermediate: frozenset[str] | None
    mlm: bool
    epoch: int = 0
    robust: bool = False


@dataclass(frozen=True)
class Table:
    """A table; `average_of` are the columns that its column "average" is about, `differences_from` the row subtracted.

    target: whose scores by epoch and language it holds; "" = its columns are targets, or something else.
    aligned: whose lines of aligned and other models by language it holds.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    average_of: tuple[str, ...]
    differences_from: str
    rows: tuple[PaperRow, ...]
    target: str = ""
    aligned: str = ""


@dataclass(frozen=True)
class Paper:
    """Tables of one paper."""

    name: str
    cite: str
    encoder: str
    notes: tuple[str, ...]
    tables: tuple[Table, ...]
    marks: tuple[Mark, ...]

    def mark(self, table: str, row: str, column: str) -> Mark | None:
        """Find the mark of a cell, if it has one."""
        return next((m for m in self.marks if (m.table, m.row, m.column) == (table, row, column)), None)

    def find(self, recipe: Recipe) -> tuple[Table, PaperRow] | None:
        """Find the first row about what a recipe does: its intermediate tasks, with or without masked LM, or robust training."""
        tasks, ratio = frozenset(recipe.intermediate), recipe.mlm_ratio
        if ratio not in (0, "by_size") or recipe.align or recipe.train_languages:
            return None
        wanted = (None, False, True) if recipe.robust else (tasks, bool(ratio), False)
        if recipe.robust and tasks:
            return None
        rows = ((t, r) for t in self.by_task for r in t.rows)
        return next(((t, r) for t, r in rows if (r.intermediate, r.mlm, r.robust) == wanted), None)

    @property
    def by_task(self) -> list[Table]:
        """Tables with a row for each set of intermediate tasks, or for robust training, and a column for each target."""
        about = [t for t in self.tables if not (t.target or t.aligned)]
        return [t for t in about if any(r.intermediate is not None or r.robust for r in t.rows)]

    def lines_of(self, target: str) -> list[PaperRow]:
        """Return the lines about models of one language, or aligned on it, scored on a target."""
        return [row for table in self.tables if table.aligned == target for row in table.rows]


def names() -> list[str]:
    """List the papers."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_paper(name: str) -> Paper:
    """Read a paper's tables; BadInput for an unknown name, DataError where its file breaks the rules above."""
    if name not in names():
        raise unknown("published study", name, names())
    return parse(name, (FOLDER / f"{name}.toml").read_text())


def parse(name: str, text: str) -> Paper:
    """Parse a paper's tables from the text of its file; DataError names the table, row and cell that is wrong."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"published {name}: not TOML: {error}") from error
    _only(name, values, ("cite", "encoder", "notes", "tables", "marks"))
    try:
        paper = Paper(
            name,
            values["cite"],
            values["encoder"],
            tuple(values["notes"]),
            tuple(_table(name, t) for t in values["tables"]),
            tuple(Mark(**m) for m in values.get("marks", ())),
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"published {name}: {error} is missing or unknown") from error
    cells = {(t.name, r.name, column) for t in paper.tables for r in t.rows for column in t.columns}
    for mark in paper.marks:
        if (mark.table, mark.row, mark.column) not in cells:
            raise DataError(f"published {name}: a mark is about no cell: {mark.table}, {mark.row}, {mark.column}")
    return paper


def _only(where: str, values: Mapping[str, object], allowed: Sequence[str]) -> None:
    for key in values:
        if key not in allowed:
            raise DataError(f"published {where}: key {key!r} is not one of {', '.join(allowed)}")


def _table(paper: str, values: Mapping[str, Any]) -> Table:
    where = f"{paper}, {values['name']}"
    _only(where, values, tuple(f.name for f in fields(Table)))
    columns = tuple(values["columns"].split())
    usual = [column for column in columns if column != AVERAGE]
    average_of = tuple(values.get("average_of", " ".join(usual)).split())
    if len(set(columns)) != len(columns) or not set(average_of) <= set(usual):
        raise DataError(f"published {where}: columns repeat, or an average is over a column that is not there")
    rows = tuple(_row(where, columns, row) for row in values["rows"])
    if len({row.name for row in rows}) != len(rows):
        raise DataError(f"published {where}: two rows have the same name")
    differences, target = values.get("differences_from", ""), values.get("target", "")
    if target:
        dataset(target)
    if aligned := values.get("aligned", ""):
        dataset(aligned)
    return Table(values["name"], values["title"], columns, average_of, differences, rows, target, aligned)


def _row(where: str, columns: Sequence[str], values: Mapping[str, Any]) -> PaperRow:
    where = f"{where}, {values['name']}"
    _only(where, values, tuple(f.name for f in fields(PaperRow)))
    texts = values["cells"].split()
    if len(texts) != len(columns):
        raise DataError(f"published {where}: {len(texts)} cells for {len(columns)} columns")
    cells = {column: _cell(where, text) for column, text in zip(columns, texts, strict=True) if text != "-"}
    tasks = values.get("intermediate")
    for task in tasks or ():
        dataset(task)
    of_tasks = None if tasks is None else frozenset(tasks)
    more = (values.get("mlm", False), values.get("epoch", 0), values.get("robust", False))
    return PaperRow(values["name"], cells, of_tasks, *more)


def _cell(where: str, text: str) -> Values:
    parts = text.split("/")
    if len(parts) > 2 or not all(part == "-" or _CELL.fullmatch(part) for part in parts):
        raise DataError(f"published {where}: {text!r} is not a number or two")
    return tuple(None if part == "-" else float(part) for part in parts)


def mean(values: Values) -> float | None:
    """Return the one number of a cell: of F1 and exact match their mean, as in XTREME; None where half is missing."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def average(table: Table, row: PaperRow) -> Values:
    """Compute the average that a row's columns give: number by number where the paper averages so, else of the cells' means."""
    printed = row.cells.get(AVERAGE, (0.0,))
    cells = [row.cells.get(column, (None,)) for column in table.average_of]
    if len(printed) == 1:
        cells = [(mean(cell),) for cell in cells]
    parts = [[cell[k] for cell in cells] for k in range(len(printed))]
    return tuple(None if None in part else sum(filter(None, part)) / len(part) for part in parts)


def compare(report: Report, name: str) -> Comparison:
    """Find the published counterpart of every row of a report: same intermediate tasks, same masked LM.

    Raises:
        BadInput: no such paper, or it has nothing about what this study asked.
    """
    paper = read_paper(name)
    epochs = at_epochs(report, paper)
    asked = dict.fromkeys(one.target for one in report.alignment)
    aligned = {
        target: tuple((row.name, _line(row)) for row in own) for target in asked if (own := paper.lines_of(target))
    }
    if not paper.by_task and not epochs and not aligned:
        raise _nothing_asked(paper)
    rows = {row.address: found for row in report.matrix if (found := _counterpart(report, row, paper))}
    covered = {column for row in rows.values() for column in row.cells}
    shown = [target.name for target in report.targets if target.name in covered]
    marks = [
        paper.mark(row.table, row.name, c) for row in rows.values() for c, cell in row.cells.items() if cell.garbled
    ]
    marks += [mark for mark in paper.marks if epochs and mark.table in _tables(paper, epochs)]
    return Comparison(
        name=name,
        cite=paper.cite,
        encoder=paper.encoder,
        rows=rows,
        epochs=epochs,
        aligned=aligned,
        marks=tuple(mark for mark in dict.fromkeys(marks) if mark),
        caveats=tuple(_caveats(report, paper, shown, epochs)),
        notes=paper.notes,
    )


def _nothing_asked(paper: Paper) -> BadInput:
    of = {"by epoch": [t.target for t in paper.tables], "by aligned language": [t.aligned for t in paper.tables]}
    has = [f"{what} of {', '.join(filter(None, targets))}" for what, targets in of.items() if any(targets)]
    allowed = ", ".join(name for name in names() if read_paper(name).by_task)
    return BadInput(
        f"published study {paper.name!r} has nothing about what this study asked; it has scores {' and '.join(has)} "
        f"(with rows by recipe: {allowed})"
    )


def _counterpart(report: Report, own: ReportRow, paper: Paper) -> PublishedRow | None:
    """Find what is published for a row: the cells of the report's targets, and their average."""
    found = paper.find(own.recipe)
    if found is None:
        return None
    table, row = found
    shown = [target.name for target in report.targets if target.name in row.cells]
    whole = set(shown) == set(table.average_of)

    def cell(column: str, values: Values) -> PublishedCell:
        marked = (column != AVERAGE or whole) and paper.mark(table.name, row.name, column) is not None
        return PublishedCell(values=values, mean=mean(values), garbled=marked)

    cells = {target: cell(target, row.cells[target]) for target in shown}
    average_values = row.cells.get(AVERAGE) if whole else None
    cells[AVERAGE] = cell(AVERAGE, average_values or _mean_of([c.mean for c in cells.values()]))
    return PublishedRow(name=row.name, table=table.name, cells=cells)


def _line(row: PaperRow) -> dict[str, str]:
    """Write a row's cells as text.

    Averages of ours leave English out. Where the paper's includes it, that has a name of its own, and the other is of its cells.
    """
    cells = {column: _text(values) for column, values in row.cells.items()}
    if "en" in row.cells and AVERAGE in row.cells:
        others = [values for column, values in row.cells.items() if column not in ("en", AVERAGE)]
        means = tuple(_mean_of(part)[0] for part in zip(*others, strict=True))
        cells |= {AVERAGE_WITH_ENGLISH: cells[AVERAGE], AVERAGE: _text(means)}
    return cells


def _text(values: Values) -> str:
    return "/".join("-" if value is None else f"{value:.1f}" for value in values)


def at_epochs(report: Report, paper: Paper) -> dict[str, tuple[PublishedPoint, ...]]:
    """Find published points of our rows with the same tasks, by target; shares meet those of a report's points."""
    found: dict[str, tuple[PublishedPoint, ...]] = {}
    for table in (t for t in paper.tables if t.target in report.epochs):
        points = tuple(point for own in report.matrix for point in _points(own, table, paper))
        if points:
            found[table.target] = found.get(table.target, ()) + points
    return found


def _points(own: ReportRow, table: Table, paper: Paper) -> Iterator[PublishedPoint]:
    """Find the rows of a table by epoch that are about the recipe of one of our rows."""
    tasks, last = frozenset(own.recipe.intermediate), max(row.epoch for row in table.rows)
    for row in table.rows:
        if row.intermediate != tasks or own.recipe.mlm_ratio:
            continue
        cells = {c: v for c, v in row.cells.items() if c != AVERAGE}
        of = [cells.get(column, (None, None)) for column in table.average_of]
        cells["zero-shot"] = tuple(_mean_of(part)[0] for part in zip(*of, strict=True))
        shown = {
            column: _text(cell) + "!" * (paper.mark(table.name, row.name, column) is not None)
            for column, cell in cells.items()
        }
        yield PublishedPoint(address=own.address, epoch=row.epoch, share=row.epoch / last, cells=shown)


def _tables(paper: Paper, targets: Mapping[str, object]) -> list[str]:
    return [table.name for table in paper.tables if table.target in targets]


def _mean_of(values: Sequence[float | None]) -> Values:
    known = [value for value in values if value is not None]
    return (sum(known) / len(known) if known and len(known) == len(values) else None,)


def _caveats(
    report: Report, paper: Paper, shown: Sequence[str], epochs: Mapping[str, Sequence[PublishedPoint]]
) -> Iterator[str]:
    """Say what keeps the two sides from meaning the same."""
    if report.pocket:
        yield "Pocket data are generated: the comparison is empty of meaning."
        return
    if report.standins:
        yield f"Stand-ins for the official data, not comparable: {', '.join(report.standins)}."
    if report.scale < 1:
        yield f"A rehearsal at scale {report.scale:g}: the comparison is empty of meaning."
    if paper.encoder.lower().replace(" ", "-").replace("xlm-r-", "xlm-roberta-") not in report.encoder.lower():
        yield f"Published with {paper.encoder}; ours is {report.encoder}."
    if report.profile != paper.name:
        yield f"Trained with the numbers of profile {report.profile}."
    for target, theirs in epochs.items():
        own = {round(p.epoch / p.share, 6) for row in report.epochs[target].rows for p in row.points}
        of = max(point.epoch for point in theirs)
        if own - {of}:
            ours = ", ".join(f"{n:g}" for n in sorted(own))
            yield f"Published by epoch of {of}, ours of {ours}: met by share of the training."
    targets = [t for t in report.targets if t.name in shown]
    if test := [t.title for t in targets if t.split == "test"]:
        yield f"Published rows are means over dev sets; ours are over test sets for {', '.join(test)}."
    fewer = {t.title: (len(t.languages), len(dataset(t.name).configs)) for t in targets}
    if short := [f"{title} {have} of {all_}" for title, (have, all_) in fewer.items() if have < all_]:
        yield f"Ours are means over fewer languages: {', '.join(short)}."
    averaged = paper.by_task[0].average_of if paper.by_task else ()
    if len(shown) < len(averaged):
        yield f"The published averages are over the {len(shown)} of its {len(averaged)} targets that are here."


def texts(report: Report, comparison: Comparison, row: ReportRow) -> list[str]:
    """Write a row's published cells as text: scores for the baseline, differences for others, ! where garbled, - for none."""
    found = comparison.rows.get(row.address)
    absolute = report.is_baseline(row.address)
    shown = []
    for column in (*(target.name for target in report.targets), AVERAGE):
        cell = found.cells.get(column) if found else None
        if cell is None or cell.mean is None:
            shown.append("-")
        else:
            shown.append((f"{cell.mean:.1f}" if absolute else signed(cell.mean)) + "!" * cell.garbled)
    return shown


def footnotes(comparison: Comparison) -> list[str]:
    """Return notes on a comparison: source, caveats, garbled cells."""
    marks = [f"! {m.table}, {m.row}, {m.column}: printed {m.printed}; {m.why}." for m in comparison.marks]
    notes = () if comparison.name == "phang2020" else comparison.notes  # its own are about single cells
    return [f"Published: {comparison.cite}.", *comparison.caveats, *marks, *notes]
