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
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from study.spec.study_spec import IDENTITY, ResolvedSpec
from trainables.errors import BadInput, unknown
from trainables.objectives import ALL
from trainables.recipe import Recipe

# stopped: stopped or interrupted before its end; a resume continues it.
Status = Literal["running", "stopped", "complete", "pruned", "failed"]
UNFINISHED = ("running", "stopped")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


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
        """Resolved spec of the study; raises BadInput for an unknown study."""
        if not self.exists:
            raise unknown("study", self.name, studies(self.home))
        values = json.loads((self.folder / "study.json").read_text())
        for key in ("targets", "intermediate", "labelled"):
            values[key] = tuple(values.get(key, ()))
        return ResolvedSpec(**values)

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
        temporary = self.folder / f"study.json.{os.getpid()}"
        temporary.write_text(json.dumps(asdict(settings), indent=1))
        os.replace(temporary, self.folder / "study.json")

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
                    values = json.loads(line)
                except ValueError:
                    continue
                if isinstance(values, dict) and values.pop("event", None) == event:
                    yield values

    def add_trial(self, trial: Trial) -> None:
        """Append the current state of a trial."""
        texts = {key: _encodable(getattr(trial, key)) for key in ("name", "reason", "traceback")}
        self.append("trial", {**asdict(trial), "recipe": trial.recipe.to_dict(), **texts})

    def trials(self) -> dict[str, Trial]:
        """Map recipe address to latest state, in order of first recording."""
        found: dict[str, Trial] = {}
        for values in self.events("trial"):
            values.pop("time")
            found[values["address"]] = Trial(**{**values, "recipe": Recipe.from_dict(values["recipe"])})
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
        found: tuple[str, ...] | None = None
        for values in self.events("standins"):
            found = tuple(values["titles"])
        return found

    def mlflow_runs(self) -> dict[str, str]:
        """Map recipe address to MLflow run id, as far as written."""
        path = self.folder / "mlflow.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def keep_mlflow_runs(self, runs: Mapping[str, str]) -> None:
        """Store the run ids that `mlflow_runs` returns."""
        (self.folder / "mlflow.json").write_text(json.dumps(runs, indent=1))

    def last_launch(self) -> dict[str, int]:
        """Count the work of the last finished launch or resume.

        Returns:
            Stages run and reused, and optimiser steps trained.
        """
        counts = {"run": 0, "reused": 0, "train_steps": 0}
        for values in self.events("launch"):
            counts = {key: int(values[key]) for key in counts}
        return counts


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
