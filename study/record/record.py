"""Record of a study: its resolved spec and an append-only log of events.

Everything else is a view of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

from packaging.version import InvalidVersion, Version

from study.spec.study_spec import IDENTITY, ResolvedSpec
from trainables.atomic_file import parse_json, write_atomic
from trainables.errors import BadInput, check_number, unknown
from trainables.objectives import ALL
from trainables.read_dataclass import read_dataclass
from trainables.recipe import Recipe

# stopped: stopped or interrupted before its end; a resume continues it.
Status = Literal["running", "stopped", "complete", "pruned", "failed"]
UNFINISHED = ("running", "stopped")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ADDRESS = re.compile(r"[0-9a-f]{64}")
VERSION = "version"  # key of `study.json` beside the spec: of the Stepstone that wrote it


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Latest recorded state of one recipe of a study."""

    address: str
    name: str
    recipe: Recipe
    status: Status
    evaluations: dict[str, list[str]]  # target -> finished evaluation stages, one per seed
    params: dict[str, Any]
    sweeps: dict[str, list[str]] = field(default_factory=dict)  # target -> layer sweep per seed
    reason: str = ""
    traceback: str = ""
    retries: int = 0  # restarts after lost workers or nodes
    seconds: float = 0.0  # since it started
    at: float = 0.0  # when this was written, in seconds since the epoch


class Record:
    """Folder of one study: `study.json`, `record.jsonl`, and files derived from them."""

    def __init__(self, home: Path, name: str) -> None:
        if not NAME.fullmatch(name):
            raise BadInput(
                f"study name {name!r} must be 1-100 letters, digits, '.', '_' or '-', starting with a letter or digit"
            )
        self.home, self.name = home, name
        self.folder = home / "studies" / name

    @property
    def exists(self) -> bool:
        """True if the study was launched."""
        return (self.folder / "study.json").exists()

    @property
    def settings(self) -> ResolvedSpec:
        """Resolved spec of the study.

        Raises:
            BadInput: the study is unknown, or its file is damaged or of a newer version.
        """
        if not self.exists:
            raise unknown("study", self.name, studies(self.home))
        path = self.folder / "study.json"
        try:
            values = parse_json(path.read_bytes())
            made_by = values.pop(VERSION, "") if isinstance(values, dict) else ""
            return read_dataclass(ResolvedSpec, values, "spec")
        except BadInput as error:
            raise BadInput(f"{path}: {error}{_newer(made_by)}") from error
        except ValueError as error:
            what = "is empty" if not path.stat().st_size else f"is damaged ({error})"
            mend = "restore it, or remove it and launch the study again with its options: finished work is found again"
            raise BadInput(f"{path} {what}: {mend}") from error

    @contextmanager
    def named(self) -> Iterator[None]:
        """Name `study.json` in errors about the names in it."""
        try:
            yield
        except BadInput as error:
            raise BadInput(f"{self.folder / 'study.json'}: {error}") from error

    def check(self, settings: ResolvedSpec) -> None:
        """Check that the name is free or belongs to the same study.

        Raises:
            BadInput: the existing study has other settings.
        """
        if not self.exists:
            return
        old = self.settings
        for f in fields(ResolvedSpec):
            was, wanted = getattr(old, f.name), getattr(settings, f.name)
            if f.name in IDENTITY and was != wanted:
                raise BadInput(
                    f"study {self.name!r} already exists with {f.name} = {was!r}, not {wanted!r}; choose another --name"
                )

    def open(self, settings: ResolvedSpec) -> None:
        """Write the settings (a later launch may raise the number of trials)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / "study.json", json.dumps({VERSION: code_version(), **asdict(settings)}, indent=1))

    def append(self, event: str, values: Mapping[str, Any]) -> None:
        """Append one line atomically and wait until it is on disk."""
        line = json.dumps({"event": event, "time": time.time(), **values}) + "\n"
        with open(self.folder / "record.jsonl", "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0, os.SEEK_END)
            if file.tell():  # a killed writer may have left half a line: end it first
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def events(self, event: str) -> Iterator[dict[str, Any]]:
        """Yield the events of one kind, oldest first; skip half-written lines."""
        path = self.folder / "record.jsonl"
        if not path.exists():
            return
        with open(path, "rb") as file:
            for line in file:
                try:
                    values = parse_json(line)
                except ValueError:
                    continue
                if isinstance(values, dict) and values.pop("event", None) == event:
                    yield values

    def _last(self, event: str) -> dict[str, Any] | None:
        found = None
        for values in self.events(event):
            found = values
        return found

    def add_trial(self, trial: Trial) -> None:
        """Append the current state of a trial."""
        texts = {key: _encodable(getattr(trial, key)) for key in ("name", "reason", "traceback")}
        self.append("trial", {**asdict(trial), "recipe": trial.recipe.to_dict(), **texts})

    def trials(self) -> dict[str, Trial]:
        """Map recipe address to latest state, in order of first recording.

        Raises:
            BadInput: an event is damaged or of a newer version.
        """
        found: dict[str, Trial] = {}
        for number, values in enumerate(self.events("trial"), 1):
            try:
                trial = _trial(values)
            except (ValueError, TypeError, KeyError) as error:
                what = f"{self.folder / 'record.jsonl'}: event {number} of a trial is not valid ({error})"
                raise BadInput(what + (_newer(self._made_by()) or ": restore the file, or remove that line")) from error
            found[trial.address] = trial
        return found

    def note_standins(self, titles: Sequence[str]) -> None:
        """Record datasets with stand-ins for official rows, unless already recorded."""
        if self.standins() != tuple(titles):
            self.append("standins", {"titles": list(titles)})

    def standins(self) -> tuple[str, ...] | None:
        """Read the titles of datasets with stand-ins for official rows.

        Returns:
            None if no launch recorded them.
        """
        found = self._last("standins")
        return tuple(found["titles"]) if found else None

    def note_unread(self, text: str) -> None:
        """Record which letters the encoder's tokenizer cannot read, unless already recorded."""
        if self.unread() != text:
            self.append("unread", {"text": text})

    def unread(self) -> str:
        """Return what the last `note_unread` recorded, or ""."""
        return str((self._last("unread") or {}).get("text", ""))

    def mlflow_runs(self) -> dict[str, str]:
        """Map recipe address to MLflow run id, as far as written; {} if the file is damaged: the next sync writes it."""
        with suppress(OSError, ValueError):
            found = parse_json((self.folder / "mlflow.json").read_bytes())
            if isinstance(found, dict) and all(isinstance(run, str) for run in found.values()):
                return found
        return {}

    def keep_mlflow_runs(self, runs: Mapping[str, str]) -> None:
        """Store the run ids that `mlflow_runs` returns."""
        write_atomic(self.folder / "mlflow.json", json.dumps(runs, indent=1))

    def last_launch(self) -> dict[str, int]:
        """Count the work of the last finished launch or resume.

        Returns:
            Stages run and reused, and optimiser steps trained.
        """
        counts = {"run": 0, "reused": 0, "train_steps": 0}
        for values in self.events("launch"):
            with suppress(KeyError, TypeError, ValueError):  # a damaged line: these counts only inform
                counts = {key: int(values[key]) for key in counts}
        return counts

    def _made_by(self) -> str:
        """Return the version that wrote `study.json`, or ""."""
        with suppress(OSError, ValueError, AttributeError):
            return str(parse_json((self.folder / "study.json").read_bytes()).get(VERSION, ""))
        return ""


def _trial(values: Mapping[str, Any]) -> Trial:
    """Read an event of a trial.

    Raises:
        ValueError, TypeError, KeyError: it is not what `add_trial` writes.
    """
    recipe = Recipe.from_dict(values["recipe"])
    trial = Trial(**{key: value for key, value in values.items() if key not in ("time", "recipe")}, recipe=recipe)
    if trial.address != recipe.address:
        raise ValueError("its address is not that of its recipe")
    if trial.status not in get_args(Status):
        raise unknown("status", str(trial.status), get_args(Status))
    for key in ("seconds", "at", "retries"):
        check_number(key, getattr(trial, key))
    for key in ("name", "reason", "traceback"):
        if not isinstance(getattr(trial, key), str):
            raise TypeError(f"{key} is not a text")
    for found in (trial.evaluations, trial.sweeps):
        lists = isinstance(found, dict) and found.keys() <= set(recipe.targets) and all(map(_is_list, found.values()))
        if not lists or not isinstance(trial.params, dict):
            raise ValueError("evaluations, sweeps or params have another form")
    return trial


def _is_list(addresses: Any) -> bool:
    return isinstance(addresses, list) and all(isinstance(a, str) and ADDRESS.fullmatch(a) for a in addresses)


def code_version() -> str:
    """Return the installed version of the project."""
    try:
        return version("stepstone")
    except PackageNotFoundError:
        return "uninstalled"


def _newer(made_by: Any) -> str:
    """Say that a newer version wrote a file, if it did; else return ""."""
    own = code_version()
    with suppress(InvalidVersion, TypeError):
        if Version(made_by) > Version(own):
            return f"; made by a newer Stepstone ({made_by}); this is {own}"
    return ""


def _encodable(text: str) -> str:
    """Escape what UTF-8 cannot encode.

    A traceback may contain half a surrogate, as from a file name that is not UTF-8.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def studies(home: Path) -> list[str]:
    """List the names of the studies in a home."""
    return sorted(p.parent.name for p in (home / "studies").glob("*/study.json"))


def table_order(trials: Mapping[str, Trial]) -> list[Trial]:
    """Sort trials as in Phang et al. 2020, Table 2.

    The baseline comes first, then single tasks, mixtures, and the same with masked LM; then recipes with an alignment or
    robust objective, and last those trained on labels of other languages.
    """

    def place(trial: Trial) -> tuple[Any, ...]:
        recipe, align, robust = trial.recipe, trial.recipe.align, trial.recipe.robust
        objective = (robust.method if robust else "", bool(align), align.order != "joint" if align else False)
        groups = (align.languages == ALL, len(align.languages), align.languages) if align else ()
        labels = (len(recipe.train_languages), recipe.train_languages)
        return (
            not recipe.is_baseline,
            *labels,
            *objective,
            *groups,
            bool(recipe.mlm_ratio),
            len(recipe.intermediate) > 1,
        )

    return sorted(trials.values(), key=place)
