"""What a study found: the matrix, the best recipe, and the files that hold them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.matrix import build
from study.options import Parser, home_of, names_of, print_json, run_verb
from study.record import Record
from study.store import Store
from trainables.errors import BadInput, unknown

Report = Mapping[str, Any]


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
                console.print(language_table(report, target, wanted))
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


def signed(value: float | None) -> str:
    """A difference with its sign, one decimal."""
    return "-" if value is None else f"{value:+.1f}"


def cells(report: Report, row: Mapping[str, Any]) -> list[str]:
    """A row of the matrix as text: absolute scores for the baseline, differences with a mark for the others."""
    absolute = row["address"] == report["baseline"].get("address")
    found = []
    for target in report["targets"]:
        cell = row["targets"].get(target["name"])
        if cell is None:
            found.append("-")
        elif absolute:
            found.append(f"{cell['mean']:.1f}")
        else:
            noise = cell["interval"] is not None and cell["interval"][0] <= 0 <= cell["interval"][1]
            found.append(signed(cell["gain"]) + ("~" if noise else ""))
    average = row["average"] if absolute else row["gain"]
    found.append("-" if average is None else f"{average:.1f}" if absolute else signed(average))
    if row["interval"]:
        found[-1] += f" ({signed(row['interval'][0])}..{signed(row['interval'][1])})"
    return found


def print_report(report: Report, console: Console) -> None:
    """The answer, the matrix and the best recipe, for a person at a terminal."""
    pocket = "Pocket data. " if report["pocket"] else ""
    table = Table(
        title=f"{pocket}Differences from the baseline, mean over languages ({report['study']})", title_justify="left"
    )
    table.add_column("recipe", overflow="fold", min_width=22)
    for target in report["targets"]:
        table.add_column(target["title"], justify="right", no_wrap=True)
    table.add_column("average", justify="right")
    best = report["best"]["address"] if report["best"] else None
    for row in report["matrix"]:
        name = row["name"] + ("" if row["status"] == "complete" else f" [{row['status']}]")
        table.add_row(escape(name), *cells(report, row), style="bold" if row["address"] == best else None)
    console.print()
    console.print(table)
    console.print("The first row holds scores, the others differences; ~ marks a 95 % interval that includes 0.")
    for failure in report["failures"]:
        console.print(escape(f"failed: {failure['name']}: {failure['reason']}"), style="red")
    console.print()
    console.print(escape(report["headline"]), style="bold", soft_wrap=True)
    for note in report["notes"]:
        console.print(escape(note), soft_wrap=True)
    if report["best"]:
        console.print(
            escape(f"best recipe: {report['best']['name']}\nrun it again: {report['best']['command']}"), soft_wrap=True
        )


def language_table(report: Report, target: Mapping[str, Any], wanted: Sequence[str] | None) -> Table:
    """Recipes x languages of one target; questions show F1/EM."""
    languages = [tag for tag in target["languages"] if wanted is None or tag in wanted]
    table = Table("recipe", *languages, title=f"{target['title']} by language", title_justify="left")
    for row in report["matrix"]:
        cell = row["targets"].get(target["name"])
        if cell:
            table.add_row(escape(row["name"]), *(_score(cell["languages"].get(tag, {}), target) for tag in languages))
    return table


def _score(metrics: Mapping[str, float], target: Mapping[str, Any]) -> str:
    if not metrics:
        return "-"
    if "exact_match" in metrics:
        return f"{metrics['f1']:.1f}/{metrics['exact_match']:.1f}"
    return f"{metrics[target['metric']]:.1f}"


def markdown(report: Report) -> str:
    """The report as Markdown."""

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(v.replace("|", "\\|").replace("<", "&lt;") for v in values) + " |"

    titles = ["recipe", *(t["title"] for t in report["targets"]), "average"]
    lines = [f"# {'Pocket data: ' if report['pocket'] else ''}{report['study']}", "", report["headline"], ""]
    lines += [f"{report['question']} Source {report['source']}, encoder {report['encoder']}.", ""]
    lines += [line(titles), "|" + " --- |" + " ---: |" * (len(titles) - 1)]
    lines += [line([row["name"], *cells(report, row)]) for row in report["matrix"]]
    lines += ["", "The first row holds scores, the others differences; ~ marks a 95 % interval that includes 0.", ""]
    lines += [f"- {note}" for note in report["notes"]]
    lines += [f"- failed: {f['name']}: {f['reason']}" for f in report["failures"]]
    if report["best"]:
        best = report["best"]
        lines += [
            "",
            "## Best recipe",
            "",
            best["name"],
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
