"""What the verbs share: `--home`, `--json`, exit codes, and one clear line for bad input."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from trainables.errors import BadInput, unknown


class Parser(argparse.ArgumentParser):
    """Argument errors are bad input like any other: one line on standard error, exit 2."""

    def __init__(self, verb: str, description: str | None) -> None:
        super().__init__(prog=f"python -m study.{verb}", description=description, allow_abbrev=False)
        self.add_argument(
            "--home", help="folder of all studies and stages (default: $STEPSTONE_HOME, else ./.stepstone)"
        )
        self.add_argument("--json", action="store_true", help="print one JSON object instead of text for people")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but an unknown option is named with the nearest one."""
        options, extra = self.parse_known_args(args, namespace)
        if extra:
            raise unknown("option", extra[0].partition("=")[0], self._option_string_actions)
        return options

    def error(self, message: str) -> NoReturn:
        """Raises BadInput instead of printing the usage."""
        raise BadInput(message)


def home_of(options: argparse.Namespace) -> Path:
    """The absolute home; BadInput when it is not a folder that can be written."""
    home = Path(options.home or os.environ.get("STEPSTONE_HOME") or ".stepstone").expanduser().resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"home {str(home)!r} cannot be made: {error.strerror}") from error
    if not os.access(home, os.W_OK):
        raise BadInput(f"home {str(home)!r} cannot be written")
    return home


def names_of(value: str | None) -> tuple[str, ...] | None:
    """The names of a comma-separated option; None where it was not given."""
    if value is None:
        return None
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if not names:
        raise BadInput(f"{value!r} is an empty list of names")
    if len(set(names)) != len(names):
        raise BadInput(f"{value!r} names something twice")
    return names


def run_verb(main: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a verb and exits: 0 done, 2 bad input, 1 anything else."""
    try:
        sys.exit(main(sys.argv[1:] if argv is None else argv))
    except BadInput as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; `python -m study.resume NAME` goes on from here", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))
