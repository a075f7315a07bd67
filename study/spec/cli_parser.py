"""What the verbs share: `--home`, `--json`, exit codes, and one clear line for bad input."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from study.sanitize import json_text, redact, sanitize
from trainables.errors import BadInput, DataError, check_number, check_path, unknown


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
    name = options.home or os.environ.get("STEPSTONE_HOME") or ".stepstone"
    check_path("--home", name)
    home = Path(os.path.expanduser(name)).resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"home {str(home)!r} cannot be made: {error.strerror}") from error
    if not os.access(home, os.W_OK):
        raise BadInput(f"home {str(home)!r} cannot be written")
    return home


def add_running(parser: argparse.ArgumentParser) -> None:
    """The options on how a study is run, which no result depends on; see `running_of`."""
    parser.add_argument("--workers", type=int, default=1, help="data-parallel workers per trial (default: 1)")
    parser.add_argument("--address", help="an existing Ray cluster (default: start one on this machine)")
    parser.add_argument("--mlflow-uri", help="MLflow server or store (default: a SQLite file in the home)")
    parser.add_argument(
        "--checkpoint-every", type=float, default=60.0, help="seconds between checkpoints (default: 60)"
    )
    parser.add_argument("--max-bytes", help="size of the home, such as 20GB: weights that no trial needs make room")


def running_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a `Launch` that `add_running` asks for; raises BadInput."""
    from study.store.disk_usage import parse_size

    check_number("--workers", options.workers, at_least=1)
    check_number("--checkpoint-every", options.checkpoint_every, at_least=0)
    return {
        "workers": options.workers,
        "address": options.address,
        "mlflow_uri": options.mlflow_uri,
        "quiet": options.json,
        "checkpoint_every": options.checkpoint_every,
        "max_bytes": None if options.max_bytes is None else parse_size(options.max_bytes),
    }


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
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except DataError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    except Exception:  # a fault of ours: its traceback may quote data and the environment
        print(sanitize(traceback.format_exc()), end="", file=sys.stderr)
        sys.exit(1)


def one_line(error: Exception) -> str:
    """What an error says, in one line that is safe to print."""
    return sanitize(" ".join(redact(str(error)).split()))


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    print(json_text(value))
