"""Write a study's predictions in XTREME's submission layout.

Per target, they are those of its best recipe and the first seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from study.api import Study
from study.cli_parser import Parser, print_json, run_verb
from study.results.submission import print_submission, write
from study.sanitize import SafeConsole
from trainables.errors import BadInput


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status."""
    parser = Parser("submission", __doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument("--out", required=True, help="folder to write; it must be empty or not exist")
    parser.add_argument(
        "--labels", action="store_true", help="also write the gold labels of the same rows, to <out>-labels"
    )
    options = parser.parse_args(argv)
    study = Study.open(options.name, home=options.home)
    out = Path(options.out).expanduser().resolve()
    folders = (out, out.with_name(f"{out.name}-labels")) if options.labels else (out,)
    for folder in folders:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInput(f"{str(folder)!r} exists and is not an empty folder")
    found = write(study.record, study.store, *folders)
    if options.json:
        print_json(found.to_dict())
    else:
        print_submission(found, SafeConsole(highlight=False))
    return 0


if __name__ == "__main__":
    run_verb(main)
