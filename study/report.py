"""What a study found: the matrix, the best recipe, and the files that hold them."""

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

from study.matrix import build, signed
from study.options import Parser, home_of, names_of, print_json, run_verb
from study.record import Record
from study.store import Store
from trainables.errors import BadInput, unknown

Report = Mapping[str, Any]
WIDE = 100  # columns of a terminal from which the matrix shows intervals


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    parser = Parser("report", __doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument("--languages", nargs="?", const="", help="show every language, or only these (comma-separated)")
    parser.add_argument("--out", help="folder for Markdown, CSV, JSON, the best recipe as TOML, and the HTML page")
    options = parser.parse_args(argv)
    home = home_of(options)
    record = Record(home, options.name)
    record.settings  # noqa: B018  raises BadInput for an unknown study
    report = build(record, Store(home))
    wanted = names_of(options.languages) if options.languages else None
    for language in wanted or ():
        if language not in report["languages"]:
            raise unknown("language", language, report["languages"])
    if options.out:
        out = Path(options.out)
        if out.exists() and not out.is_dir():
            raise BadInput(f"--out {options.out!r} is a file, not a folder")
        write_files(report, out)
    if options.json:
        print_json(report)
    else:
        console = Console(highlight=False)
        print_report(report, console)
        if options.languages is not None:
            for target in report["targets"]:
                for table in language_tables(report, target, wanted, console.width):
                    console.print(table)
        if options.out:
            console.print(f"written to {options.out}")
    return 0


def write_report(record: Record, store: Store) -> dict[str, Any]:
    """Builds the report and writes its files into the study's folder."""
    report = build(record, store)
    write_files(report, record.folder / "report")
    return report


def write_files(report: Report, out: Path) -> None:
    """Writes report.json, report.md, matrix.csv, best.toml, matrix.svg and index.html."""
    from dashboards.matrix import to_svg
    from dashboards.page import render

    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False))
    (out / "report.md").write_text(markdown(report))
    with open(out / "matrix.csv", "w", newline="") as file:
        csv.writer(file).writerows(csv_rows(report))
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


def print_report(report: Report, console: Console) -> None:
    """The answer, the matrix and the best recipe, for a person at a terminal of 80 columns or more."""
    pocket = "Pocket data. " if report["pocket"] else ""
    title = f"{pocket}Differences from the baseline, mean over languages ({report['study']})"
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("recipe", overflow="fold", min_width=20)
    for target in report["targets"]:
        table.add_column(target["title"], justify="right", no_wrap=True)
    table.add_column("average", justify="right", no_wrap=True)
    wide = console.width >= WIDE
    if wide:
        table.add_column("95 %", justify="right", no_wrap=True)
    best = report["best"]["address"] if report["best"] else None
    for row in report["matrix"]:
        name = row["name"] + ("" if row["status"] == "complete" else f" [{row['status']}]")
        bounds = [" to ".join(map(signed, row["interval"])) if row["interval"] else ""] if wide else []
        aligned = [cell if cell.endswith("~") else f"{cell} " for cell in cells(report, row)]
        table.add_row(escape(name), *aligned, *bounds, style="bold" if row["address"] == best else None)
    console.print()
    console.print(table)
    console.print("First row: scores. Others: differences; ~ marks a 95 % interval that includes 0.")
    for failure in report["failures"]:
        console.print(escape(f"failed: {failure['name']}: {failure['reason']}"), style="red", soft_wrap=True)
    console.print()
    console.print(escape(report["headline"]), style="bold", soft_wrap=True)
    for note in report["notes"]:
        console.print(escape(f"- {note}"), soft_wrap=True)
    if report["best"]:
        console.print(escape(f"\nbest recipe  {report['best']['name']}"), soft_wrap=True)
        console.print(escape(f"run again    {report['best']['command']}"), soft_wrap=True)


def language_tables(
    report: Report, target: Mapping[str, Any], wanted: Sequence[str] | None, width: int
) -> Iterator[Table]:
    """Recipes x languages of one target, in as many tables as the width needs; questions show F1/EM."""
    languages = [tag for tag in target["languages"] if wanted is None or tag in wanted]
    rows = [row for row in report["matrix"] if target["name"] in row["targets"]]
    fit = max(1, (width - 24) // (11 if "exact_match" in _first_metrics(rows, target) else 6))
    for first in range(0, len(languages), fit):
        table = Table(title=f"{target['title']} by language", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("recipe", overflow="fold", min_width=20)
        some = languages[first : first + fit]
        for language in some:
            table.add_column(language, justify="right", no_wrap=True)
        for row in rows:
            found = row["targets"][target["name"]]["languages"]
            table.add_row(escape(row["name"]), *(_score(found.get(tag, {}), target) for tag in some))
        yield table


def _first_metrics(rows: Sequence[Mapping[str, Any]], target: Mapping[str, Any]) -> Mapping[str, float]:
    languages: Mapping[str, Mapping[str, float]] = rows[0]["targets"][target["name"]]["languages"] if rows else {}
    return next(iter(languages.values()), {})


def _score(metrics: Mapping[str, float], target: Mapping[str, Any]) -> str:
    if not metrics:
        return "-"
    if "exact_match" in metrics:
        return f"{metrics['f1']:.1f}/{metrics['exact_match']:.1f}"
    return f"{metrics[target['metric']]:.1f}"


def markdown(report: Report) -> str:
    """The report as Markdown."""

    def plain(value: str) -> str:
        return " ".join(value.replace("&", "&amp;").replace("<", "&lt;").split())

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
    lines += [f"- failed: {plain(f['name'])}: {plain(f['reason'])}" for f in report["failures"]]
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


if __name__ == "__main__":
    run_verb(main)
