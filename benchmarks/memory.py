"""Measure the memory of a study's processes over time, and of each stage.

python -m benchmarks.memory --encoder DIR --source mirror:DIR

Runs `study.launch` in a new home, with the rest of the command line as its options, samples the resident memory of all its
processes once a second, and reads the memory recorded by each stage. With --limit-gb everything runs in a cgroup of that size
(Linux, as root). --kill N kills the largest trial N times with SIGKILL, spread over the run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

STUDY = (
    "--space intermediate_tasks --grid --intermediate mnli,squad --targets tatoeba,sib200,panx,udpos,xnli --scale 0.05"
)
EVERY_S = 1.0
CURVE_POINTS = 60
KILL_EVERY_S = 60.0
TRIAL = "ray::"  # start of the name of a Ray worker process that runs a task or actor


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return the exit status of the launch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit-gb", type=float, help="size of the cgroup that everything runs in")
    parser.add_argument("--kill", type=int, default=0, help="number of times to kill the largest trial")
    parser.add_argument("--study", default=STUDY, help=f"options of the launch (default: {STUDY})")
    parser.add_argument("--out", help="output file")
    options, rest = parser.parse_known_args(argv)
    with tempfile.TemporaryDirectory() as home:
        found = measured([*options.study.split(), *rest, "--home", home], options.limit_gb, options.kill)
        found["stages"] = stages(Path(home))
    found["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    if options.out:
        Path(options.out).write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps({key: value for key, value in found.items() if key != "curve"}, indent=1))
    return int(found["exit"])


def measured(argv: list[str], limit_gb: float | None, kills: int) -> dict[str, Any]:
    """Run a launch and sample its processes; sizes in GB."""
    enter = control_group(limit_gb) if limit_gb else None
    started = time.monotonic()
    command = [sys.executable, "-m", "study.launch", *argv]
    launch = subprocess.Popen(command, stdout=sys.stderr, preexec_fn=enter)
    samples: list[dict[str, Any]] = []
    killed: list[float] = []
    while launch.poll() is None:
        sample = look(launch.pid)
        now = sample["at"] = round(time.monotonic() - started, 1)
        samples.append(sample)
        if sample["trials"] and len(killed) < kills and now > KILL_EVERY_S * (1 + len(killed)):
            with suppress(OSError):
                os.kill(max(sample["trials"], key=sample["trials"].__getitem__), signal.SIGKILL)
                killed.append(now)
        time.sleep(EVERY_S)
    thin = max(1, len(samples) // CURVE_POINTS)
    return {
        "command": " ".join(["python -m study.launch", *(a for a in argv[:-2])]),
        "exit": launch.returncode,
        "seconds": round(time.monotonic() - started),
        "limit_gb": limit_gb,
        "killed_at_s": killed,
        "trials_at_once": max(len([v for v in s["trials"].values() if v > 0.4]) for s in samples),
        "peak_of_a_trial_gb": max(max(s["trials"].values(), default=0.0) for s in samples),
        "peak_of_all_gb": max(s["all"] for s in samples),
        "peak_of_the_launch_gb": max(s["launch"] for s in samples),
        "peak_of_ray_gb": max(s["ray"] for s in samples),
        "curve": [
            {"s": s["at"], "trials": sorted(s["trials"].values(), reverse=True), "all": s["all"]}
            for s in samples[::thin]
        ],
    }


def look(pid: int) -> dict[str, Any]:
    """Sample the memory of a launch's processes, in GB.

    Returns:
        Resident memory of each trial, of the launch and of Ray's own processes; `all` counts shared pages once (PSS).
    """
    found: dict[str, Any] = {"trials": {}, "launch": 0.0, "ray": 0.0, "all": 0.0}
    with suppress(psutil.Error):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with suppress(psutil.Error):
                size = process.memory_info().rss / 1e9
                name = " ".join(process.cmdline())
                if process.pid == pid:
                    found["launch"] = round(size, 2)
                elif name.startswith(TRIAL) and "IDLE" not in name:
                    found["trials"][process.pid] = round(size, 2)
                else:
                    found["ray"] += size
                found["all"] += process.memory_full_info().pss / 1e9
    return {**found, "ray": round(found["ray"], 2), "all": round(found["all"], 2)}


def stages(home: Path) -> list[dict[str, Any]]:
    """Read label, seconds and memory of all stages, in the order they ended.

    Memory is that of the process before the stage and at its peak, in GB.
    """
    found = []
    for path in sorted(home.glob("stages/*/*/stage.json"), key=lambda p: p.stat().st_mtime):
        info = json.loads(path.read_text())
        machine = {key: round(info["machine"][key] / 1e9, 2) for key in ("peak_bytes", "resident_bytes_before")}
        sizes = {"peak_gb": machine["peak_bytes"], "before_gb": machine["resident_bytes_before"]}
        found.append({"label": info["label"], "seconds": info["seconds"], **sizes})
    return found


def control_group(limit_gb: float) -> Callable[[], None]:
    """Create a cgroup of this size; return a function that enters it."""
    first = Path("/sys/fs/cgroup/memory")
    root, file = (first, "memory.limit_in_bytes") if first.is_dir() else (Path("/sys/fs/cgroup"), "memory.max")
    group = root / f"stepstone-{os.getpid()}"
    group.mkdir()
    (group / file).write_text(str(int(limit_gb * 1e9)))

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    return enter


if __name__ == "__main__":
    sys.exit(main())
