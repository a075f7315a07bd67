"""`stepstone VERB ...`, an alias of `python -m study.VERB ...`."""

from __future__ import annotations

import importlib
import sys

from study.cli_parser import run_verb
from trainables.errors import unknown

VERBS = {
    "launch": "run a study",
    "resume": "continue a study",
    "status": "show finished and running trials",
    "report": "show the transfer matrix and the best recipe",
    "sync": "bring MLflow up to date",
    "submission": "write the best predictions in XTREME's layout",
    "score": "score a folder in XTREME's layout",
    "doctor": "check this installation, or a data source",
    "gc": "show disk usage and free unreferenced weights",
}


def main() -> None:
    """Run the verb that the console script was called with."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print("usage: stepstone VERB [options]\n")
        print("\n".join(f"  {verb:<10} {does}" for verb, does in VERBS.items()))
        sys.exit(0 if len(sys.argv) > 1 else 2)
    verb = sys.argv[1]
    if verb not in VERBS:
        print(f"error: {unknown('verb', verb, VERBS)}", file=sys.stderr)
        sys.exit(2)
    del sys.argv[1]
    run_verb(importlib.import_module(f"study.{verb}").main)
