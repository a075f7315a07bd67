"""Per-trial progress file, refreshed by the rank-0 worker.

The launch and `status` read it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from study.home import age_s
from study.planning.plan import Node
from study.record.record import Trial
from trainables.atomic_file import parse_json
from trainables.errors import BadInput
from trainables.read_dataclass import read_dataclass

EVERY_S = 1.0
# A file that was not updated for this long belongs to a killed process: a live one writes even while it loads or encodes.
STALE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class State:
    """Progress of a trial.

    Attributes:
        label, seed: the stage that runs, or waits for another trial to finish it.
        stage, stages: its number from 1, among the stages that were missing when the trial started.
        step, steps: optimiser steps, or scored languages; 0 of 0 before the first.
        tokens_per_s: throughput of all the trial's workers, without padding; None if the stage trains nothing.
        left_s: remaining seconds of the trial; None unless all stages to come were timed in this launch.
        started, updated: seconds since the epoch.
    """

    label: str
    seed: int
    stage: int
    stages: int
    step: int
    steps: int
    tokens_per_s: float | None
    left_s: float | None
    started: float
    updated: float


class _Look(NamedTuple):
    """Last progress callback of a stage, and times of first and last."""

    step: int
    steps: int
    tokens: int
    first: float
    last: float


class Heartbeat:
    """Writer of one trial's progress file.

    It is a context manager that removes the file in the end. The file only informs users, so errors on writing it are
    ignored.

    Args:
        path: the file, see `file_of`.
        nodes: the trial's missing stages, in the order they run.
        log: the launch's file of finished stages, one JSON line each with `label` and `seconds`.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path, nodes: Sequence[Node], log: Path, clock: Callable[[], float] = time.time) -> None:
        self.path, self.nodes, self.log, self.clock = path, nodes, log, clock
        self.started = self.entered = clock()
        self.number = 0
        self.look: _Look | None = None
        self.known: dict[str, float] = {}  # label -> mean seconds of such a stage in this launch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Heartbeat:
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def enter(self, node: Node) -> None:
        """Start the next node; call this before each of them."""
        self.known = mean_seconds(self.log)
        self.look, self.entered, self.number = None, self.clock(), self.nodes.index(node)

    def on_progress(self, step: int, steps: int, loss: float, tokens: int) -> None:
        """Note a stage's progress."""
        now = self.clock()
        first = self.look.first if self.look and step else now
        self.look = _Look(step, steps, tokens, first, now)

    def state(self) -> State:
        """Return the trial's current progress."""
        now, look, node = self.clock(), self.look, self.nodes[self.number]
        spent = look.last - look.first if look else 0.0
        here: float | None = None
        if look and look.step:
            here = spent / look.step * (look.steps - look.step) - (now - look.last)
        elif node.label in self.known:
            here = self.known[node.label] - (now - self.entered)
        ahead = [self.known.get(n.label) for n in self.nodes[self.number + 1 :]]
        left = [max(0.0, here) if here is not None else None, *ahead]
        return State(
            label=node.label,
            seed=node.seed,
            stage=self.number + 1,
            stages=len(self.nodes),
            step=look.step if look else 0,
            steps=look.steps if look else 0,
            tokens_per_s=look.tokens / spent if look and look.tokens and spent else None,
            left_s=None if None in left else sum(s for s in left if s is not None),
            started=self.started,
            updated=now,
        )

    def _write(self) -> None:
        """Write the state about once a second, by an atomic rename."""
        temporary = self.path.with_suffix(f".{os.getpid()}")
        while True:
            with suppress(OSError):
                temporary.write_text(json.dumps(asdict(self.state())))
                os.replace(temporary, self.path)
            if self._stop.wait(EVERY_S):
                return


def file_of(study: Path, address: str) -> Path:
    """Return the path of a trial's progress file.

    Args:
        study: folder of the study.
        address: address of the recipe.
    """
    return study / "progress" / f"{address}.json"


def states(study: Path) -> dict[str, State]:
    """Read the progress of all running trials, oldest first.

    Whether a process still writes is told from the file's time, since its own clock may be wrong.

    Returns:
        Recipe address -> state.
    """
    found: dict[str, State] = {}
    for path in (study / "progress").glob("*.json"):
        with suppress(OSError, BadInput, ValueError):  # removed meanwhile, or of another version
            touched, state = path.stat().st_mtime, read_dataclass(State, parse_json(path.read_bytes()), "progress")
            if age_s(study, touched) < STALE_S:
                found[path.stem] = state
    return dict(sorted(found.items(), key=lambda item: item[1].started))


def reconcile_status(trials: Mapping[str, Trial], study: Path) -> dict[str, Trial]:
    """Mark trials as stopped whose process no longer exists.

    These are recorded as running, not just now, but have no fresh progress file.
    """
    silent = {a for a, trial in trials.items() if trial.status == "running"} - states(study).keys()
    if not silent:
        return dict(trials)
    # The trial's line was written before the newest one, by the clock of one machine, and that one before now, by the file's.
    newest = max(trial.at for trial in trials.values())
    written = age_s(study, (study / "record.jsonl").stat().st_mtime)
    killed = {a for a in silent if written + newest - trials[a].at > STALE_S}
    return {
        address: replace(trial, status="stopped", reason="its launch was killed") if address in killed else trial
        for address, trial in trials.items()
    }


def remove_state(study: Path, address: str) -> None:
    """Remove the progress file of an ended trial, left by a killed worker."""
    with suppress(OSError):
        file_of(study, address).unlink(missing_ok=True)


def remove_stale(study: Path) -> None:
    """Remove progress files of earlier, killed launches."""
    for path in (study / "progress").glob("*"):
        with suppress(OSError):
            if age_s(study, path.stat().st_mtime) > STALE_S:
                path.unlink()


def mean_seconds(log: Path) -> dict[str, float]:
    """Average the seconds per stage label in a launch's log.

    Half-written lines are skipped.
    """
    found: dict[str, list[float]] = {}
    lines: list[Any] = []
    with suppress(OSError):
        lines = log.read_text().splitlines()
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            values = json.loads(line)
            found.setdefault(values["label"], []).append(float(values["seconds"]))
    return {label: sum(seconds) / len(seconds) for label, seconds in found.items()}
