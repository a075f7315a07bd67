"""Show the disk usage of a home, and free unreferenced weights, leftovers and the cache.

Metrics, per-example scores, predictions, histories and the record always stay. So do the weights of the best recipes of each
study, and those that its unfinished trials start from.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from study.cli_parser import Parser, home_of, names_of, print_json, run_verb
from study.execution.disk_usage import parse_size
from study.execution.retention import GcResult, RetentionPolicy, collect, over
from study.record.record import studies
from study.sanitize import SafeConsole
from trainables.errors import BadInput, check_number, unknown

KINDS = {"leftover": "leftovers", "encoded": "encoded rows", "weights": "weights of stages"}


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status: 1 if `--max-bytes` cannot be met."""
    parser = Parser("gc", __doc__)
    parser.add_argument("--dry-run", action="store_true", help="show what would be freed, and free nothing")
    parser.add_argument(
        "--keep-best", type=int, default=1, help="best recipes per study that keep their weights (default: 1)"
    )
    parser.add_argument("--studies", help="free only weights of these studies, comma-separated (default: all)")
    parser.add_argument("--max-bytes", help="free only until the home is within this size, such as 500MB or 20GB")
    options = parser.parse_args(argv)
    check_number("--keep-best", options.keep_best, at_least=0)
    max_bytes = parse_size(options.max_bytes) if options.max_bytes is not None else None
    home, names = home_of(options), names_of(options.studies)
    if not home.exists():
        raise BadInput(f"there is no home {str(home)!r}")
    for name in names or ():
        if name not in studies(home):
            raise unknown("study", name, studies(home))
    done = collect(
        home, RetentionPolicy(home, options.keep_best), names=names, max_bytes=max_bytes, dry_run=options.dry_run
    )
    if options.json:
        print_json({"home": str(home), "dry_run": options.dry_run, **done.to_dict()})
    else:
        _print(done, options.dry_run, SafeConsole(highlight=False))
    return 0 if done.is_met else 1


def _print(done: GcResult, dry_run: bool, console: Console) -> None:
    table = Table("what", title="disk usage", show_footer=True)
    table.columns[0].footer = "total"
    table.add_column("count", justify="right")
    table.add_column("size", justify="right", footer=decimal(done.before))
    for use in done.uses:
        table.add_row(use.what, f"{use.count:,}", decimal(use.bytes))
    console.print(table)
    verb = "would be freed" if dry_run else "freed"
    for kind, words in KINDS.items():
        items = [item for item in done.items if item.kind == kind]
        if items:
            console.print(f"{verb}: {words}, {len(items):,} with {decimal(sum(item.bytes for item in items))}")
    if not done.items:
        console.print("nothing to free")
    for use in done.kept:
        console.print(f"[dim]kept: weights {use.what}, {use.count:,} with {decimal(use.bytes)}[/]")
    for note in done.notes:
        console.print(f"[yellow]{escape(note)}: weights that it may need are kept[/]")
    if not done.is_met:
        console.print(f"[yellow]{over(done)}[/]", soft_wrap=True)


if __name__ == "__main__":
    run_verb(main)
