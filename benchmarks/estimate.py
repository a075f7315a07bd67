"""Compare the time estimate of a launch with its actual time.

python -m benchmarks.estimate [--out benchmarks/results/estimate.json] [-- OPTIONS OF LAUNCH]

Seconds are compared in total and by kind of stage, on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from study.cli_parser import spec_of
from study.hardware import usable_cpus
from study.launch import parser
from study.planning.cost import Cost, Workload, cost_of
from study.planning.encoder_weights import resolve
from study.planning.plan import Planner
from study.planning.throughput import measure_speed, tokenizer_of
from study.spec.initial_trials import initial_trials

POCKET = "--intermediate mnli,squad,ccg,cola,mlm --targets tatoeba,panx,udpos,xquad,xnli"
DEFAULT = f"--space intermediate_tasks --scale 0.2 {POCKET}".split()


def main() -> int:
    """Run the benchmark; return the exit status of the launch."""
    own = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--out", default="benchmarks/results/estimate.json", help="output file")
    own.add_argument("options", nargs="*", default=DEFAULT, help="options of the launch, after --")
    options = own.parse_args()
    cost, expected = estimated(options.options)
    print(cost.text(), flush=True)
    with tempfile.TemporaryDirectory() as home:
        started = time.monotonic()
        command = [sys.executable, "-m", "study.launch", *options.options, "--home", home, "--name", "estimate"]
        status = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
        seconds = time.monotonic() - started
        measured = seconds_of(Path(home).glob("studies/estimate/stages-*.jsonl"))
    table = {
        label: {
            "stages": len(times),
            "estimated_s": round(fmean(expected[label]), 2),
            "measured_s": round(fmean(times), 2),
        }
        for label, times in measured.items()
    }
    found: dict[str, Any] = {
        "options": " ".join(options.options),
        "exit": status,
        "says": cost.text(),
        "estimated_s": round(cost.seconds or 0),
        "measured_s": round(seconds),
        "stages": table,
        "cores": usable_cpus(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    Path(options.out).write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return status


def estimated(options: Sequence[str]) -> tuple[Cost, dict[str, list[float]]]:
    """Estimate a launch into an empty home.

    Returns:
        (cost, label -> estimated seconds of each of its stages).
    """
    settings, source = spec_of(parser().parse_args(options)).resolve()
    planner = Planner(source, resolve(settings.encoder), settings.sweep_layers)
    plans = [planner.plan(recipe, settings.seeds) for recipe, _ in initial_trials(settings)]
    nodes = {node.address: node for plan in plans for node in plan.nodes}
    speed = measure_speed(plans)
    assert speed
    counter = Workload(source, speed.layers, tokenizer_of(plans))
    found: dict[str, list[float]] = {}
    for node in nodes.values():
        found.setdefault(node.label, []).append(counter.work(node.config).seconds(speed))
    return cost_of(plans, list(nodes.values()), source, speed, usable_cpus()), found


def seconds_of(logs: Any) -> dict[str, list[float]]:
    """Read label -> seconds of each stage from a launch's logs."""
    found: dict[str, list[float]] = {}
    for line in (line for log in logs for line in log.read_text().splitlines()):
        stage = json.loads(line)
        found.setdefault(stage["label"], []).append(stage["seconds"])
    return found


if __name__ == "__main__":
    sys.exit(main())
