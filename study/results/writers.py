"""Report as files and text: JSON, Markdown, CSV, SVG, HTML, and tables for a terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.record.record import Record
from study.results.alignment_tables import aligned_rows, alignment_lines
from study.results.layer_sweep import layer_rows, layer_tables
from study.results.learning_curves import epoch_rows, text_tables
from study.results.published import footnotes, texts
from study.results.report import Interval, Report, ReportRow, ReportTarget, signed
from study.results.report_tables import AlignmentTable, Comparison, PublishedLine
from study.results.transfer_matrix import build
from study.sanitize import escape_control_characters, spreadsheet_cell
from study.store.store import Store
from trainables.atomic_file import write_atomic

WIDE = 100  # columns of a terminal from which the matrix shows intervals
NAMES = 24  # columns that the names of recipes get at least
CONTINUED = " (continued)"


def write_report(record: Record, store: Store) -> Report:
    """Build the report and write its files into the study's folder."""
    report = build(record, store)
    write_files(report, record.folder / "report")
    return report


def write_files(report: Report, out: Path) -> None:
    """Write report.json, report.md, matrix.csv, best.toml, matrix.svg and index.html.

    Where they apply also layers.csv, pairs-TARGET.csv, aligned-TARGET.csv and curve-TARGET.csv.
    """
    from dashboards.matrix import to_svg
    from dashboards.page import render

    values = report.to_dict()
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "report.json", json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False))
    write_atomic(out / "report.md", markdown(report))
    for name, rows in _sheets(report).items():
        sheet = io.StringIO(newline="")
        csv.writer(sheet).writerows([list(map(spreadsheet_cell, row)) for row in rows])
        write_atomic(out / f"{name}.csv", sheet.getvalue())
    if report.best:
        write_atomic(out / "best.toml", report.best.toml)
    write_atomic(out / "matrix.svg", to_svg(values))
    write_atomic(out / "index.html", render(values))


def _sheets(report: Report) -> dict[str, list[list[object]]]:
    """Make the rows of every CSV file that applies, by its name."""
    aligned: dict[str, list[AlignmentTable]] = {}
    for one in report.alignment:
        aligned.setdefault(one.target, []).append(one)
    sheets = {"matrix": csv_rows(report)} | ({"layers": layer_rows(report.layers)} if report.layers else {})
    sheets |= {f"pairs-{target.name}": pair_rows(report, target) for target in report.targets if target.pairs}
    sheets |= {f"aligned-{target}": aligned_rows(found) for target, found in aligned.items()}
    return sheets | {f"curve-{target}": epoch_rows(report, target) for target in report.epochs}


def cells(report: Report, row: ReportRow) -> list[str]:
    """Write a row of the matrix as text: absolute scores for the baseline, differences with a mark for the others."""
    absolute = report.is_baseline(row.address)
    own = [row.targets.get(target.name) for target in report.targets]
    found = [_cell(c.mean, c.gain, c.interval, absolute) if c else "-" for c in own]
    return [*found, _cell(row.average, row.gain, row.interval, absolute)]


def _cell(score: float | None, gain: float | None, bounds: Interval | None, absolute: bool) -> str:
    if score is None:
        return "-"
    if absolute:
        return f"{score:.1f}"
    return signed(gain) + ("~" if bounds and bounds[0] <= 0 <= bounds[1] else "")


def tables(
    title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str], str]], width: int
) -> Iterator[Table]:
    """Make tables of (name, cells, style) that are never wider than `width`; more columns go to further tables."""
    places = range(len(columns))
    needed = [2 + max(len(columns[i]), *(len(cells[i]) for _, cells, _ in rows)) for i in places] if rows else []
    while places:
        fit = max(1, sum(sum(needed[places[0] : i + 1]) <= width - NAMES for i in places))
        table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("recipe", overflow="fold", min_width=NAMES - 4)
        for i in places[:fit]:
            table.add_column(escape(columns[i]), justify="right", no_wrap=True)
        for name, cells, style in rows:
            table.add_row(escape(name), *(cells[i] for i in places[:fit]), style=style or None)
        yield table
        places, title = places[fit:], f"{title.removesuffix(CONTINUED)}{CONTINUED}"


def print_report(report: Report, console: Console) -> None:
    """Print the answer, the matrix and the best recipe, for a terminal of 80 columns or more."""
    console.print()
    failed = list(failure_lines(report))
    # Where nothing can be compared, why comes first, and no table of dashes before it.
    fatal = report.baseline_status == "failed" or all(row.status != "complete" for row in report.matrix)
    for text in failed if fatal else ():
        console.print(escape(text), style="bold red", soft_wrap=True)
    if any(row.targets for row in report.matrix) or not failed:
        _print_matrix(report, console)
    for swept in layer_tables(report.layers):
        console.print(swept)
    for one in report.alignment:
        for table in tables(_aligned_title(one), *alignment_lines(one, _published(report, one)), console.width):
            console.print(table)
    for found in text_tables(report, spread=False):
        for table in tables(found.title, found.columns, [(*line, "") for line in found.lines], console.width):
            console.print(table)
    for text in () if fatal else failed:
        console.print(escape(text), style="red", soft_wrap=True)
    console.print()
    console.print(escape(report.headline), style="bold", soft_wrap=True)
    for note in report.notes:
        console.print(escape(f"- {note}"), soft_wrap=True)
    if report.best:
        console.print(escape(f"\nbest recipe  {report.best.name}"), soft_wrap=True)
        console.print(escape(f"run again    {report.best.command}"), soft_wrap=True)


def _print_matrix(report: Report, console: Console) -> None:
    pocket = "Pocket data. " if report.pocket else ""
    title = f"{pocket}Differences from the baseline, mean over languages ({report.study})"
    columns = [*(target.title for target in report.targets), "average", *(["95 %"] if console.width >= WIDE else [])]
    best = report.best.address if report.best else None
    lines = []
    for row in report.matrix:
        name = row.name + ("" if row.status == "complete" else f" [{row.status}]")
        aligned = [cell if cell.endswith("~") else f"{cell} " for cell in cells(report, row)]
        lines.append((name, [*aligned, _bounds(row)], "bold" if row.address == best else ""))
    for table in tables(title, columns, lines, console.width):
        console.print(table)
    console.print("First row: scores. Others: differences; ~ marks a 95 % interval that includes 0.")


def _bounds(row: ReportRow) -> str:
    return " to ".join(map(signed, row.interval)) if row.interval else ""


def failure_lines(report: Report) -> Iterator[str]:
    """Write one line per reason, with the recipe that failed for it first and how many others did."""
    alike: dict[str, list[str]] = {}
    for failure in report.failures:
        alike.setdefault(failure.reason, []).append(failure.name)
    for reason, (first, *others) in alike.items():
        yield f"failed: {first}{f' and {len(others)} more' if others else ''}: {reason}"


def _aligned_title(one: AlignmentTable) -> str:
    beside = f" beside {one.base}" if one.base != "no intermediate task" else ""
    return f"{one.title}{beside}: what alignment does (translations by {one.translated_by})"


def _published(report: Report, one: AlignmentTable) -> tuple[PublishedLine, ...]:
    """Return the published lines about a target that was aligned, if they are to be compared."""
    return report.published.aligned.get(one.target, ()) if report.published else ()


def comparison_lines(report: Report, comparison: Comparison) -> Iterator[list[str]]:
    """Yield the lines of a comparison: each row of the matrix, and under it what was published for it."""
    for row in report.matrix:
        yield [row.name, *cells(report, row)]
        yield ["  published", *texts(report, comparison, row)]


def print_comparison(report: Report, comparison: Comparison, console: Console) -> None:
    """Print our and published scores line by line, and notes on how they compare.

    What is published by epoch stands in the tables by epoch.
    """
    columns = [*(target.title for target in report.targets), "average"]
    lines = [
        (name, [value if value[-1] in "~!" else f"{value} " for value in values], "dim" if number % 2 else "")
        for number, (name, *values) in enumerate(comparison_lines(report, comparison))
    ]
    console.print()
    if comparison.rows:
        for table in tables(f"Beside {comparison.name}", columns, lines, console.width):
            console.print(table)
    for note in footnotes(comparison):
        console.print(escape(note), soft_wrap=True)


def language_tables(report: Report, target: ReportTarget, wanted: Sequence[str] | None, width: int) -> Iterator[Table]:
    """Make tables of recipes x languages of one target, as many as the width needs; two main metrics stand as a/b."""
    languages = [tag for tag in target.languages if wanted is None or tag in wanted]
    lines = []
    for row in report.matrix:
        if found := row.targets.get(target.name):
            lines.append((row.name, [_score(found.languages.get(tag, {}), target) for tag in languages], ""))
    yield from tables(f"{target.title} by language", languages, lines, width)


def _score(metrics: Mapping[str, float], target: ReportTarget) -> str:
    if not metrics:
        return "-"
    return "/".join(f"{metrics[name]:.1f}" for name in target.main)


def plain(value: str) -> str:
    """Escape text to one line of Markdown without HTML, links, pictures or code."""
    escaped = escape_control_characters(value).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    return " ".join(escaped.replace("[", "\\[").replace("`", "\\`").split())


def markdown(report: Report) -> str:
    """Write the report as Markdown."""
    titles = ["recipe", *(target.title for target in report.targets), "average", "95 %"]
    lines = [f"# {'Pocket data: ' if report.pocket else ''}{report.study}", "", plain(report.headline), ""]
    lines += [plain(f"{report.question} Source {report.source}, encoder {report.encoder}."), ""]
    lines += _markdown_table(
        titles, ([row.name, *cells(report, row), _bounds(row)] for row in report.matrix), " ---: |"
    )
    lines += ["", "The first row holds scores, the others differences; ~ marks a 95 % interval that includes 0.", ""]
    lines += [f"- {plain(note)}" for note in report.notes]
    lines += [f"- {plain(text)}" for text in failure_lines(report)]
    for one in report.alignment:
        columns, rows = alignment_lines(one, _published(report, one))
        lines += ["", f"## {plain(_aligned_title(one))}", ""]
        lines += _markdown_table(["", *columns], ([name, *found] for name, found, _ in rows), " --- |")
    for table in text_tables(report):
        lines += ["", f"## {plain(table.title)}", ""]
        epochs = ([name, *values] for name, values in table.lines)
        lines += _markdown_table(["epoch: recipe", *table.columns], epochs, " ---: |")
    if report.published:
        lines += ["", f"## Beside {plain(report.published.name)}", ""]
        if report.published.rows:
            lines += [*_markdown_table(titles[:-1], comparison_lines(report, report.published), " ---: |"), ""]
        lines += [f"- {plain(note)}" for note in footnotes(report.published)]
    if report.best:
        recipe = ["```toml", report.best.toml.strip(), "```", "", f"    {report.best.command}"]
        lines += ["", "## Best recipe", "", plain(report.best.name), "", *recipe]
    return "\n".join(lines) + "\n"


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], ruler: str) -> list[str]:
    """Write a table whose columns but the first are ruled alike."""

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(plain(v).replace("|", "\\|") for v in values) + " |"

    return [line(columns), "|" + " --- |" + ruler * (len(columns) - 1), *map(line, rows)]


@dataclass(frozen=True)
class ScoreLine:
    """One score of a recipe, with its difference from the baseline's; "" where the baseline lacks it."""

    recipe: str
    address: str
    status: str
    target: str
    language: str
    metric: str
    value: float
    difference: float | str


def score_lines(report: Report) -> Iterator[ScoreLine]:
    """Yield one line per recipe, target, language and metric."""
    base = report.baseline.targets if report.baseline else {}
    for row in report.matrix:
        for target, cell in row.targets.items():
            references = base[target].languages if target in base else {}
            for language, metrics in cell.languages.items():
                for metric, value in metrics.items():
                    reference = references.get(language, {}).get(metric)
                    difference = "" if reference is None else value - reference
                    yield ScoreLine(row.name, row.address, row.status, target, language, metric, value, difference)


def csv_rows(report: Report) -> list[list[object]]:
    """Write CSV lines: the score lines below their names."""
    return [[field.name for field in fields(ScoreLine)], *(list(astuple(line)) for line in score_lines(report))]


def pair_rows(report: Report, target: ReportTarget) -> list[list[object]]:
    """Write CSV lines: one per recipe, pair of languages and metric of a target of pairs, with the two languages apart."""
    pairs = target.pairs.of if target.pairs else {}
    rows: list[list[object]] = [["recipe", "first", "second", "metric", "score", "difference"]]
    for line in score_lines(report):
        if line.target == target.name and line.language in pairs:
            rows.append([line.recipe, *pairs[line.language], line.metric, line.value, line.difference])
    return rows
