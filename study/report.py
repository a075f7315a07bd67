"""Print a study's transfer matrix and best recipe, and write report files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.markup import escape

from study.api import Study
from study.cli_parser import Parser, names_of, print_json, run_verb
from study.results.published import compare, names
from study.results.writers import language_tables, print_comparison, print_report, write_files
from study.sanitize import SafeConsole
from trainables.errors import BadInput, check_path, unknown


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status."""
    parser = Parser("report", __doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument("--languages", nargs="?", const="", help="show every language, or only these (comma-separated)")
    parser.add_argument(
        "--compare", metavar="PAPER", help=f"show a paper's published scores beside these: {', '.join(names())}"
    )
    parser.add_argument("--out", help="folder to write: Markdown, CSV, JSON, HTML, and the best recipe as TOML")
    options = parser.parse_args(argv)
    report = Study.open(options.name, home=options.home).report()
    if options.compare is not None:
        report = replace(report, published=compare(report, options.compare))
    wanted = names_of(options.languages) if options.languages else None
    for language in wanted or ():
        if language not in report.languages:
            raise unknown("language", language, report.languages)
    if options.out:
        check_path("--out", options.out)
        out = Path(options.out)
        if out.exists() and not out.is_dir():
            raise BadInput(f"--out {options.out!r} is a file, not a folder")
        write_files(report, out)
    if options.json:
        print_json(report.to_dict())
        return 0
    console = SafeConsole(highlight=False)
    print_report(report, console)
    if report.published:
        print_comparison(report, report.published, console)
    if options.languages is not None:
        for target in report.targets:
            for table in language_tables(report, target, wanted, console.width):
                console.print(table)
    if options.out:
        console.print(escape(f"written to {options.out}"))
    return 0


if __name__ == "__main__":
    run_verb(main)
