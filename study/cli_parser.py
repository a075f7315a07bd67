"""What the verbs share: `--home`, `--json`, exit codes, and one clear line for bad input."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, get_args

from study.home import home_folder
from study.sanitize import json_text, redact, sanitize
from study.spec.study_spec import RunOptions, StudySpec
from trainables.errors import BadInput, DataError, unknown
from trainables.objectives import In, Method
from trainables.profiles import PROFILES
from trainables.recipe import CHOICES


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
    """Find the home that `--home` names, see `home_folder`."""
    return home_folder(options.home)


def add_running(parser: argparse.ArgumentParser) -> None:
    """The options on how a study is run, which no result depends on; see `running_of`."""
    parser.add_argument("--workers", type=int, default=1, help="data-parallel workers per trial (default: 1)")
    parser.add_argument("--address", help="an existing Ray cluster (default: start one on this machine)")
    parser.add_argument("--mlflow-uri", help="MLflow server or store (default: a SQLite file in the home)")
    parser.add_argument(
        "--checkpoint-every", type=float, default=60.0, help="seconds between checkpoints (default: 60)"
    )
    parser.add_argument("--max-bytes", help="size of the home, such as 20GB: weights that no trial needs make room")


def running_of(options: argparse.Namespace) -> RunOptions:
    """Read what `add_running` asks for; raises BadInput."""
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
    """Add the options on what a study is asked to do; see `spec_of`."""
    parser.add_argument("--space", help="which question: a file of search_spaces/ (needed unless --recipe is given)")
    parser.add_argument("--source", help="where rows come from: pocket, mirror:DIR or hub (default: pocket)")
    parser.add_argument("--encoder", default=None, help="pocket, pretrain:SIZE, a hub id or a folder (default: pocket)")
    parser.add_argument(
        "--targets",
        help="comma-separated target tasks, or 'all' that the source has (default: the space's or XTREME's)",
    )
    parser.add_argument(
        "--intermediate",
        help="comma-separated intermediate tasks, with 'mlm' to mix masked LM; 'all' = the catalogue's, with it "
        "(default: the space's or all; on pocket a few)",
    )
    parser.add_argument("--trials", type=int, help="search, with so many trials in all; the published rows come first")
    parser.add_argument("--grid", action="store_true", help="exactly the published rows (the default without --trials)")
    parser.add_argument("--recipe", help="run the recipe of a TOML file, beside the baseline")
    parser.add_argument("--profile", help=f"training numbers: {', '.join(PROFILES)} (default: by encoder)")
    parser.add_argument("--seeds", type=int, help="seeds per recipe; gains are paired by seed (default: 1)")
    parser.add_argument("--scale", type=float, help="fraction of all rows and steps, for a rehearsal (default: 1)")
    parser.add_argument("--layer", type=int, help="hidden state that retrieval reads (default: 14 of 24, 8 of 12)")
    parser.add_argument("--pooling", choices=CHOICES["pooling"], help="sentence vectors for retrieval (default: mean)")
    parser.add_argument("--direction", choices=CHOICES["direction"], help="who looks for whom (default: en_to_xx)")
    parser.add_argument("--bare-prefix", choices=CHOICES["bare_prefix"], help="lone word-boundary pieces in tagging")
    parser.add_argument(
        "--curve", type=int, metavar="N", help="score targets at N points of their training (default: by space; 0 = no)"
    )
    parser.add_argument(
        "--align-on",
        metavar="LANGUAGES",
        help="align on translations: languages, groups such as de+es, or all; each a row",
    )
    parser.add_argument("--align-data", metavar="DATASET", help="whose translations (default: of what is trained)")
    parser.add_argument("--align-phase", choices=get_args(In), help="whose training is aligned (default: target)")
    parser.add_argument(
        "--robust", metavar="METHODS", help=f"robust training: {', '.join(get_args(Method))}; each a row"
    )
    parser.add_argument("--synonyms", metavar="FILE", help="for --robust synonyms (default: found in the source)")
    parser.add_argument("--sweep-layers", action="store_true", help="score retrieval at every layer too, as a report")


def spec_of(options: argparse.Namespace) -> StudySpec:
    """Read what `add_spec` asks for; names are checked when the spec is resolved."""
    values = {f.name: getattr(options, f.name) for f in fields(StudySpec)}
    lists = ("targets", "intermediate", "align_on", "robust")
    return StudySpec(**{**values, **{name: names_of(values[name]) for name in lists}})


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
