"""Score predictions in XTREME's submission layout, from any tool.

Scores are given per task and language, per group of tasks, and overall.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from study.cli_parser import Parser, print_json, run_verb
from study.sanitize import SafeConsole
from study.xtreme.layout import Version
from study.xtreme.scoring import print_scores, score_folder
from trainables.errors import unknown


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status."""
    parser = Parser("score", __doc__)
    parser.add_argument("--predictions", required=True, help="folder of predictions: TASK/test-LANGUAGE.SUFFIX")
    parser.add_argument("--labels", required=True, help="folder of gold labels in the same layout")
    parser.add_argument("--version", default="xtreme", help="benchmark version: xtreme (default) or xtreme-r")
    options = parser.parse_args(argv)
    if options.version not in get_args(Version):
        raise unknown("version", options.version, get_args(Version))
    found = score_folder(Path(options.predictions), Path(options.labels), options.version)
    if options.json:
        print_json(found)
    else:
        print_scores(found, SafeConsole(highlight=False))
    return 0


if __name__ == "__main__":
    run_verb(main)
