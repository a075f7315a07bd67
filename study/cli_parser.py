"""Common parts of all verbs: options, exit codes, one-line errors."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import Any, NoReturn, get_args

from study.execution.graceful_shutdown import AGAIN, STOP
from study.home import home_folder, owned
from study.sanitize import redact, safe_json, sanitize
from study.spec.study_spec import RunOptions, StudySpec
from trainables.errors import BadInput, DataError, unknown
from trainables.objectives import In, Method
from trainables.profiles import PROFILES
from trainables.recipe import CHOICES

MACHINE_ERRORS = (EACCES, EPERM, EROFS, ENOSPC, EDQUOT)  # of a disk or its permissions, not of the program


class Parser(argparse.ArgumentParser):
    """Argument parser with `--home` and `--json` that raises BadInput for errors."""

    def __init__(self, verb: str, description: str | None) -> None:
        super().__init__(prog=f"python -m study.{verb}", description=description, allow_abbrev=False)
        self.add_argument(
            "--home", help="folder of all studies and stages (default: $STEPSTONE_HOME, else ./.stepstone)"
        )
        self.add_argument("--json", action="store_true", help="print one JSON object instead of text")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does; the error for an unknown option suggests the nearest."""
        options, extra = self.parse_known_args(args, namespace)
        if extra:
            raise unknown("option", extra[0].partition("=")[0], self._option_string_actions)
        return options

    def error(self, message: str) -> NoReturn:
        """Raise BadInput instead of printing the usage."""
        raise BadInput(message)


def home_of(options: argparse.Namespace) -> Path:
    """Return the home given by `--home`, see `home_folder`."""
    return home_folder(options.home)


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add the options on how a study is run.

    They do not affect results; `running_of` reads them.
    """
    parser.add_argument("--workers", type=int, default=1, help="data-parallel workers per trial (default: 1)")
    parser.add_argument("--address", help="address of an existing Ray cluster (default: start one on this machine)")
    parser.add_argument("--mlflow-uri", help="MLflow server or store (default: a SQLite file in the home)")
    parser.add_argument(
        "--checkpoint-every", type=float, default=60.0, help="seconds between checkpoints (default: 60)"
    )
    parser.add_argument("--max-bytes", help="maximum size of the home, such as 20GB: unreferenced weights are removed")


def running_of(options: argparse.Namespace) -> RunOptions:
    """Read the options of `add_running`.

    Raises:
        BadInput: a value is not valid.
    """
    from study.execution.disk_usage import parse_size

    return RunOptions(
        workers=options.workers,
        address=options.address,
        mlflow_uri=options.mlflow_uri,
        quiet=options.json,
        checkpoint_every=options.checkpoint_every,
        max_bytes=None if options.max_bytes is None else parse_size(options.max_bytes),
    )


def add_spec(parser: argparse.ArgumentParser) -> None:
    """Add the options of a `StudySpec`; `spec_of` reads them."""
    parser.add_argument("--space", help="search space: a file of search_spaces/ (required unless --recipe is given)")
    parser.add_argument("--source", help="where rows come from: pocket, mirror:DIR or hub (default: pocket)")
    parser.add_argument("--encoder", default=None, help="pocket, pretrain:SIZE, a hub id or a folder (default: pocket)")
    parser.add_argument(
        "--targets",
        help="comma-separated target tasks, or 'all' = every one that the source has "
        "(default: the space's, else XTREME's)",
    )
    parser.add_argument(
        "--intermediate",
        help="comma-separated intermediate tasks; add 'mlm' to mix in masked LM; 'all' = the catalogue's and mlm "
        "(default: the space's, else all; on pocket a few)",
    )
    parser.add_argument(
        "--trials", type=int, metavar="N", help="search with N trials in total; the published rows come first"
    )
    parser.add_argument(
        "--grid", action="store_true", help="run exactly the published rows (the default without --trials)"
    )
    parser.add_argument("--recipe", metavar="FILE", help="run the recipe of a TOML file beside the baseline")
    parser.add_argument(
        "--profile", help=f"a named set of hyperparameters: {', '.join(PROFILES)} (default: by space and encoder)"
    )
    parser.add_argument("--seeds", type=int, help="seeds per recipe; gains are paired by seed (default: 1)")
    parser.add_argument("--scale", type=float, help="fraction of all rows and steps, for a trial run (default: 1)")
    parser.add_argument("--layer", type=int, help="encoder layer for retrieval (default: 14 of 24, 8 of 12)")
    parser.add_argument(
        "--pooling", choices=CHOICES["pooling"], help="how sentence vectors are pooled in retrieval (default: mean)"
    )
    parser.add_argument("--direction", choices=CHOICES["direction"], help="retrieval direction (default: en_to_xx)")
    parser.add_argument(
        "--bare-prefix",
        choices=CHOICES["bare_prefix"],
        help="treatment of lone word-boundary tokens in tagging (default: label)",
    )
    parser.add_argument(
        "--curve", type=int, metavar="N", help="score targets at N points of their training (default: by space; 0 = no)"
    )
    parser.add_argument(
        "--align-on",
        metavar="LANGUAGES",
        help="align on translations: comma-separated languages, groups such as de+es, or all; each is a row",
    )
    parser.add_argument(
        "--align-data", metavar="DATASET", help="dataset with the translations (default: that of the training rows)"
    )
    parser.add_argument("--align-phase", choices=get_args(In), help="phase of training that aligns (default: target)")
    parser.add_argument(
        "--robust",
        metavar="METHODS",
        help=f"comma-separated methods of robust training: {', '.join(get_args(Method))}; each is a row",
    )
    parser.add_argument(
        "--synonyms", metavar="FILE", help="synonyms for --robust synonyms (default: those of the source)"
    )
    parser.add_argument("--sweep-layers", action="store_true", help="also report retrieval scores at every layer")


def spec_of(options: argparse.Namespace) -> StudySpec:
    """Read the options of `add_spec`; names are checked in `resolve`."""
    values = {f.name: getattr(options, f.name) for f in fields(StudySpec)}
    lists = ("targets", "intermediate", "align_on", "robust")
    return StudySpec(**{**values, **{name: names_of(values[name]) for name in lists}})


def names_of(value: str | None) -> tuple[str, ...] | None:
    """Split a comma-separated option; None if it was not given.

    Raises:
        BadInput: the list is empty or has duplicates.
    """
    if value is None:
        return None
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if not names:
        raise BadInput(f"{value!r} is an empty list of names")
    if len(set(names)) != len(names):
        raise BadInput(f"{value!r} has duplicate names")
    return names


def run_verb(main: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> NoReturn:
    """Run a verb and exit: 0 done, 2 bad input, 1 anything else.

    Args:
        argv: arguments of a caller in whose process the verb runs; None = this is the verb's own process.
    """
    open_streams()
    if argv is None:
        STOP.listen(owns_process=True)
    try:
        sys.exit(main(sys.argv[1:] if argv is None else argv))
    except BadInput as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except DataError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(AGAIN, file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        if error.errno not in MACHINE_ERRORS or not error.filename:
            _print_bug()
        whose = owned(Path(error.filename)) if error.errno in (EACCES, EPERM) else repr(str(error.filename))
        print(f"error: {one_line(OSError(f'{whose}: {error.strerror}'))}", file=sys.stderr)
        sys.exit(1)
    except Exception:
        _print_bug()


def _print_bug() -> NoReturn:
    """Print the traceback of the current error, which may quote data and the environment, and exit."""
    print(sanitize(traceback.format_exc()), end="", file=sys.stderr)
    sys.exit(1)


def open_streams() -> None:
    """Connect closed standard streams to /dev/null.

    The next file to be opened would get such a stream's number, and what libraries print would end in it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # the lowest number that is free is the stream's own
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w"))


def one_line(error: Exception) -> str:
    """Format an error as one line that is safe to print."""
    return sanitize(" ".join(redact(str(error)).split()))


def print_json(value: Any) -> None:
    """Print one JSON object to standard output."""
    print(safe_json(value))
