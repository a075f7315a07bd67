"""Measure the effect of GLUE pre-finetuning on zero-shot intents and slots, on pocket data.

python -m benchmarks.glue_prefinetuning [--seeds 5] [--home .stepstone] [--out benchmarks/results/glue_prefinetuning.json]

Runs the grid of the space `glue_prefinetuning`; finished stages are reused. Prints, for each quarter of the target's
training, the mean intent accuracy and slot F1 over all languages except English, and the differences from the baseline with
95 % intervals. These are paired by seed and resampled over seeds, so they cover the variance of training, not of rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from study.record.record import Record
from study.results.learning_curves import ZERO_SHOT
from study.results.report import Report
from study.results.statistics import paired
from study.results.transfer_matrix import build
from study.store.store import Store

NAME = "glue-prefinetuning-seeds"


def main() -> int:
    """Run the benchmark; return 0 if the study is complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="seeds per recipe")
    parser.add_argument("--home", default=".stepstone", help="home of the study")
    parser.add_argument("--out", default="benchmarks/results/glue_prefinetuning.json", help="output file")
    options = parser.parse_args()
    home = Path(options.home).resolve()
    asked = f"--space glue_prefinetuning --encoder pocket --grid --seeds {options.seeds} --name {NAME} --home {home}"
    subprocess.run([sys.executable, "-m", "study.launch", *asked.split()], check=True)
    report = build(Record(home, NAME), Store(home))
    found = figures(report)
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))
    return 0


def figures(report: Report) -> dict[str, Any]:
    """Return the results as literals.

    `points` has one entry for each target (and their mean), epoch, recipe and metric.
    """
    return {"seeds": report.seeds, "points": list(_points(report))}


def _points(report: Report) -> Iterator[dict[str, Any]]:
    base = report.baseline.address if report.baseline else ""
    values: dict[tuple[str, float, str, str], list[float]] = {}
    names = {row.address: row.name for row in report.matrix}
    for target, found in report.epochs.items():
        for row in found.rows:
            for point in row.points:
                for metric, own in point.scores[ZERO_SHOT].items():
                    values[target, point.share, row.address, metric] = list(own.values)
    of_mean: dict[tuple[str, float, str, str], list[list[float]]] = {}
    for (_, share, address, metric), seeds in values.items():
        of_mean.setdefault(("mean", share, address, metric), []).append(seeds)
    whole = {k: np.mean(v, axis=0).tolist() for k, v in of_mean.items() if len(v) == len(report.epochs)}
    for (target, share, address, metric), seeds in {**values, **whole}.items():
        line: dict[str, Any] = {"target": target, "share": share, "recipe": names[address], "metric": metric}
        line["mean"] = round(float(np.mean(seeds)), 2)
        if address != base:
            gain, bounds = paired(seeds, {**values, **whole}[target, share, base, metric])
            line |= {"gain": round(gain, 2), "interval": bounds and [round(b, 2) for b in bounds]}
        yield line


def table(found: dict[str, Any]) -> str:
    """Format the mean over targets as Markdown."""
    lines = ["| trained | recipe | intent accuracy | slot F1 |", "| --- | --- | ---: | ---: |"]
    cells: dict[tuple[float, str], list[str]] = {}
    for line in found["points"]:
        if line["target"] == "mean":
            shown = f"{line['mean']:.1f}"
            if "gain" in line:
                bounds = line["interval"]
                shown += f" ({line['gain']:+.1f}" + (f", {bounds[0]:+.1f} to {bounds[1]:+.1f})" if bounds else ")")
            cells.setdefault((line["share"], line["recipe"]), []).append(shown)
    order = sorted(cells.items(), key=lambda cell: cell[0][0])  # stable: recipes stay in the order of the report
    lines += [f"| {share:.0%} | {name} | {' | '.join(shown)} |" for (share, name), shown in order]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
