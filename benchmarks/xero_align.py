"""Measure the effect of alignment on zero-shot intents and retrieval, on pocket data.

python -m benchmarks.xero_align [--seeds 5] [--home .stepstone] [--out benchmarks/results/xero_align.json]

Runs two small studies; finished stages are reused. One is MASSIVE with and without alignment on all languages, and aligned
before and after the task; the other is Tatoeba after an intermediate phase on MASSIVE, with and without alignment. Differences
are paired by seed, with Student's t intervals over seeds. Exits with 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_rel

from study.record.record import Record, Trial
from study.store.store import Store

TARGET = "--space xero_align --name xero-target --targets massive --align-on all"
BETWEEN = (
    "--space intermediate_tasks --name xero-retrieval --targets tatoeba --intermediate massive "
    "--align-on all --align-phase intermediate"
)


def main() -> int:
    """Run the benchmark; return 0 if all claims hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="seeds per recipe, at least 2")
    parser.add_argument("--home", default=".stepstone", help="home of the studies")
    parser.add_argument("--out", help="output file")
    options = parser.parse_args()
    home = Path(options.home).resolve()
    target, between = (trials_of(launched(study, home, options.seeds)) for study in (TARGET, BETWEEN))
    store = Store(home)

    def scores(trial: Trial, name: str, metric: str) -> list[float]:
        return per_seed(trial, name, metric, store)

    plain, aligned = target["no intermediate task"], target["aligned on all"]
    found = {
        metric: compared(scores(plain, "massive", metric), scores(aligned, "massive", metric))
        for metric in ("intent_accuracy", "slot_f1_bio")
    }
    for order in ("first", "last"):
        failing = scores(target[f"aligned {order}, on all"], "massive", "intent_accuracy")
        found[f"aligned_{order}"] = compared(scores(plain, "massive", "intent_accuracy"), failing)
    before, after = (between[f"MASSIVE{more}"] for more in ("", " + aligned on all (intermediate)"))
    found["retrieval"] = compared(scores(before, "tatoeba", "accuracy"), scores(after, "tatoeba", "accuracy"))
    claims = {
        "alignment lifts zero-shot intent accuracy": found["intent_accuracy"]["interval"][0] > 0,
        "alignment lifts retrieval": found["retrieval"]["interval"][0] > 0,
        "aligned before or after the task lifts less than beside it": max(
            found["aligned_first"]["difference"], found["aligned_last"]["difference"]
        )
        < found["intent_accuracy"]["difference"],
    }
    result = {"seeds": options.seeds, **found, "claims": claims}
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        Path(options.out).write_text(text + "\n")
    return 0 if all(claims.values()) else 1


def launched(study: str, home: Path, seeds: int) -> Record:
    """Run a study to its end; return its record."""
    command = [sys.executable, "-m", "study.launch", *study.split(), "--seeds", str(seeds), "--home", str(home)]
    subprocess.run(command, check=True)
    return Record(home, study.split()[study.split().index("--name") + 1])


def trials_of(record: Record) -> dict[str, Trial]:
    """Return the trials by name."""
    return {trial.name: trial for trial in record.trials().values()}


def per_seed(trial: Trial, target: str, metric: str, store: Store) -> list[float]:
    """Average a metric over all languages except English, for each seed."""
    found = []
    for address in trial.evaluations[target]:
        languages = store.metrics(address).languages
        found.append(float(np.mean([metrics[metric] for tag, metrics in languages.items() if tag != "en"])))
    return found


def compared(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    """Compute both means, and the paired difference with its 95 % interval over seeds."""
    interval = ttest_rel(after, before).confidence_interval()
    return {
        "before": round(float(np.mean(before)), 1),
        "after": round(float(np.mean(after)), 1),
        "difference": round(float(np.mean(after) - np.mean(before)), 1),
        "interval": [round(float(interval.low), 1), round(float(interval.high), 1)],
    }


if __name__ == "__main__":
    sys.exit(main())
