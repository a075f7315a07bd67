"""The report as files and text: JSON, Markdown, CSV, SVG, HTML, and tables for a terminal."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.record.record import Record
from study.results.alignment_tables import aligned_rows
from study.results.alignment_tables import lines as aligned_lines
from study.results.layer_sweep import layer_rows, layer_tables
from study.results.learning_curves import epoch_rows, text_tables
from study.results.published import footnotes, texts
from study.results.transfer_matrix import build, signed
from study.sanitize import escape_control_characters, spreadsheet_cell
from study.store.store import Store

Report = Mapping[str, Any]
WIDE = 100  # columns of a terminal from which the matrix shows intervals
NAMES = 24  # columns that the names of recipes get at least
CONTINUED = " (continued)"


def write_report(record: Record, store: Store) -> dict[str, Any]:
    """Builds the report and writes its files into the study's folder."""
    report = build(record, store)
    write_files(report, record.folder / "report")
    return report


def write_files(report: Report, out: Path) -> None:
    """Writes report.json, report.md, matrix.csv, best.toml, matrix.svg and index.html; where they apply also layers.csv,
    pairs-TARGET.csv, aligned-TARGET.csv and curve-TARGET.csv."""
    from dashboards.matrix import to_svg
    from dashboards.page import render

    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False))
    (out / "report.md").write_text(markdown(report))
    sheets = {"matrix": csv_rows(report)} | ({"layers": layer_rows(report)} if report["layers"] else {})
    sheets |= {f"pairs-{t['name']}": pair_rows(report, t) for t in report["targets"] if t.get("pairs")}
    sheets |= {f"aligned-{one['target']}": aligned_rows(report, one["target"]) for one in report.get("alignment", ())}
    sheets |= {f"curve-{target}": epoch_rows(report, target) for target in report.get("epochs", {})}
    for name, rows in sheets.items():
        with open(out / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows([list(map(spreadsheet_cell, row)) for row in rows])
    if report["best"]:
        (out / "best.toml").write_text(report["best"]["toml"])
    (out / "matrix.svg").write_text(to_svg(report))
    (out / "index.html").write_text(render(report))


def cells(report: Report, row: Mapping[str, Any]) -> list[str]:
    """A row of the matrix as text: absolute scores for the baseline, differences with a mark for the others."""
    absolute = row["address"] == report["baseline"].get("address")
    found = []
    for cell in (*(row["targets"].get(t["name"]) for t in report["targets"]), row):
        score = None if cell is None else cell["average" if cell is row else "mean"]
        if cell is None or score is None:
            found.append("-")
        elif absolute:
            found.append(f"{score:.1f}")
        else:
            noise = cell["interval"] is not None and cell["interval"][0] <= 0 <= cell["interval"][1]
            found.append(signed(cell["gain"]) + ("~" if noise else ""))
    return found


def tables(
    title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str], str]], width: int
) -> Iterator[Table]:
    """Rows of (name, cells, style) as a table that is never wider than `width`: more columns go to further tables."""
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
    """The answer, the matrix and the best recipe, for a person at a terminal of 80 columns or more."""
    pocket = "Pocket data. " if report["pocket"] else ""
    title = f"{pocket}Differences from the baseline, mean over languages ({report['study']})"
    columns = [*(t["title"] for t in report["targets"]), "average", *(["95 %"] if console.width >= WIDE else [])]
    best = report["best"]["address"] if report["best"] else None
    lines = []
    for row in report["matrix"]:
        name = row["name"] + ("" if row["status"] == "complete" else f" [{row['status']}]")
        bounds = " to ".join(map(signed, row["interval"])) if row["interval"] else ""
        aligned = [cell if cell.endswith("~") else f"{cell} " for cell in cells(report, row)]
        lines.append((name, [*aligned, bounds], "bold" if row["address"] == best else ""))
    console.print()
    failed = list(failure_lines(report))
    # Where nothing can be compared, why comes first, and no table of dashes before it.
    fatal = report["baseline"].get("status") == "failed" or all(r["status"] != "complete" for r in report["matrix"])
    for text in failed if fatal else ():
        console.print(escape(text), style="bold red", soft_wrap=True)
    if any(row["targets"] for row in report["matrix"]) or not failed:
        for table in tables(title, columns, lines, console.width):
            console.print(table)
        console.print("First row: scores. Others: differences; ~ marks a 95 % interval that includes 0.")
    for swept in layer_tables(report):
        console.print(swept)
    for one in report.get("alignment", ()):
        for table in tables(_aligned_title(one), *aligned_lines(one, _published(report, one)), console.width):
            console.print(table)
    for found in text_tables(report, spread=False):
        for table in tables(found.title, found.columns, [(*line, "") for line in found.lines], console.width):
            console.print(table)
    for text in () if fatal else failed:
        console.print(escape(text), style="red", soft_wrap=True)
    console.print()
    console.print(escape(report["headline"]), style="bold", soft_wrap=True)
    for note in report["notes"]:
        console.print(escape(f"- {note}"), soft_wrap=True)
    if report["best"]:
        console.print(escape(f"\nbest recipe  {report['best']['name']}"), soft_wrap=True)
        console.print(escape(f"run again    {report['best']['command']}"), soft_wrap=True)


def failure_lines(report: Report) -> Iterator[str]:
    """One line per reason, with the recipe that failed for it first and how many others did."""
    alike: dict[str, list[str]] = {}
    for failure in report["failures"]:
        alike.setdefault(failure["reason"], []).append(failure["name"])
    for reason, (first, *others) in alike.items():
        yield f"failed: {first}{f' and {len(others)} more' if others else ''}: {reason}"


def _aligned_title(one: Mapping[str, Any]) -> str:
    beside = f" beside {one['base']}" if one["base"] != "no intermediate task" else ""
    return f"{one['title']}{beside}: what alignment does (translations by {one['translated_by']})"


def _published(report: Report, one: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """The published lines about a target that was aligned, if they are to be compared."""
    found: list[tuple[str, dict[str, str]]] = report.get("published", {}).get("aligned", {}).get(one["target"], [])
    return found


def comparison_lines(report: Report) -> Iterator[list[str]]:
    """The lines of the comparison: each row of the matrix, and under it what was published for it."""
    for row in report["matrix"]:
        yield [row["name"], *cells(report, row)]
        yield ["  published", *texts(report, row)]


def print_comparison(report: Report, console: Console) -> None:
    """Ours and published, line by line, and what a reader must know to compare them.

    What is published by epoch stands in the tables by epoch.
    """
    columns = [*(t["title"] for t in report["targets"]), "average"]
    lines = [
        (name, [value if value[-1] in "~!" else f"{value} " for value in values], "dim" if number % 2 else "")
        for number, (name, *values) in enumerate(comparison_lines(report))
    ]
    console.print()
    if report["published"]["rows"]:
        for table in tables(f"Beside {report['published']['name']}", columns, lines, console.width):
            console.print(table)
    for note in footnotes(report):
        console.print(escape(note), soft_wrap=True)


def language_tables(
    report: Report, target: Mapping[str, Any], wanted: Sequence[str] | None, width: int
) -> Iterator[Table]:
    """Recipes x languages of one target, in as many tables as the width needs; a pair of main metrics stands as a/b."""
    languages = [tag for tag in target["languages"] if wanted is None or tag in wanted]
    rows = [row for row in report["matrix"] if target["name"] in row["targets"]]
    lines = []
    for row in rows:
        found = row["targets"][target["name"]]["languages"]
        lines.append((row["name"], [_score(found.get(tag, {}), target) for tag in languages], ""))
    yield from tables(f"{target['title']} by language", languages, lines, width)


def _score(metrics: Mapping[str, float], target: Mapping[str, Any]) -> str:
    if not metrics:
        return "-"
    return "/".join(f"{metrics[name]:.1f}" for name in target["main"])


def plain(value: str) -> str:
    """Text of one line for Markdown: no HTML, no links, pictures or code in it."""
    escaped = escape_control_characters(value).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    return " ".join(escaped.replace("[", "\\[").replace("`", "\\`").split())


def markdown(report: Report) -> str:
    """The report as Markdown."""

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(plain(v).replace("|", "\\|") for v in values) + " |"

    titles = ["recipe", *(t["title"] for t in report["targets"]), "average", "95 %"]
    lines = [f"# {'Pocket data: ' if report['pocket'] else ''}{report['study']}", "", plain(report["headline"]), ""]
    lines += [plain(f"{report['question']} Source {report['source']}, encoder {report['encoder']}."), ""]
    lines += [line(titles), "|" + " --- |" + " ---: |" * (len(titles) - 1)]
    for row in report["matrix"]:
        bounds = " to ".join(map(signed, row["interval"])) if row["interval"] else ""
        lines.append(line([row["name"], *cells(report, row), bounds]))
    lines += ["", "The first row holds scores, the others differences; ~ marks a 95 % interval that includes 0.", ""]
    lines += [f"- {plain(note)}" for note in report["notes"]]
    lines += [f"- {plain(text)}" for text in failure_lines(report)]
    for one in report.get("alignment", ()):
        columns, rows = aligned_lines(one, _published(report, one))
        lines += ["", f"## {plain(_aligned_title(one))}", "", line(["", *columns]), "|" + " --- |" * (len(columns) + 1)]
        lines += [line([name, *found]) for name, found, _ in rows]
    for table in text_tables(report):
        lines += ["", f"## {plain(table.title)}", "", line(["epoch: recipe", *table.columns])]
        lines += ["|" + " --- |" + " ---: |" * len(table.columns)]
        lines += [line([name, *values]) for name, values in table.lines]
    if "published" in report:
        lines += ["", f"## Beside {plain(report['published']['name'])}", ""]
        if report["published"]["rows"]:
            lines += [line(titles[:-1]), "|" + " --- |" + " ---: |" * (len(titles) - 2)]
            lines += [*(line(values) for values in comparison_lines(report)), ""]
        lines += [f"- {plain(note)}" for note in footnotes(report)]
    if report["best"]:
        best = report["best"]
        lines += [
            "",
            "## Best recipe",
            "",
            plain(best["name"]),
            "",
            "```toml",
            best["toml"].strip(),
            "```",
            "",
            f"    {best['command']}",
        ]
    return "\n".join(lines) + "\n"


def csv_rows(report: Report) -> list[list[Any]]:
    """One line per recipe, target, language and metric, with the difference from the baseline."""
    rows: list[list[Any]] = [["recipe", "address", "status", "target", "language", "metric", "value", "difference"]]
    base = report["baseline"]["targets"]
    for row in report["matrix"]:
        for target, cell in row["targets"].items():
            for language, metrics in cell["languages"].items():
                for metric, value in metrics.items():
                    reference = base.get(target, {}).get("languages", {}).get(language, {}).get(metric)
                    difference = "" if reference is None else value - reference
                    rows.append(
                        [row["name"], row["address"], row["status"], target, language, metric, value, difference]
                    )
    return rows


def pair_rows(report: Report, target: Mapping[str, Any]) -> list[list[Any]]:
    """One line per recipe, pair of languages and metric: `csv_rows` of a target of pairs, with the two apart."""
    pairs = target["pairs"]["of"]
    rows: list[list[Any]] = [["recipe", "first", "second", "metric", "score", "difference"]]
    for name, _, _, of, tag, metric, score, difference in csv_rows(report)[1:]:
        if of == target["name"] and tag in pairs:
            rows.append([name, *pairs[tag], metric, score, difference])
    return rows
