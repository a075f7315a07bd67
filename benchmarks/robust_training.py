"""Measure the effect of robust training on zero-shot transfer, on pocket data.

python -m benchmarks.robust_training [--seeds 5] [--home .stepstone] [--out benchmarks/results]

See docs/robust_training.md. The target phases of the `small` profile are too short to learn these targets from English rows
alone, so they have more epochs here, the same for all methods. Synonym copies multiply the rows, and so the steps: each
method is compared with plain training of the same number of steps. Finished stages are reused.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from search_spaces.space import ROBUST
from study.execution.trial import execute_stage
from study.planning.encoder_weights import Weights, resolve
from study.planning.plan import Node, Planner
from study.results.report import signed
from study.results.statistics import gain_resamples, interval, read_scores, resampled_mean
from study.store.evaluation_result import mean_over_seeds
from study.store.store import Store
from trainables.catalogue import dataset
from trainables.configs import Evaluate, Target
from trainables.context import Context
from trainables.evaluation.scoring import main_score
from trainables.objectives import Robust, to_dict
from trainables.recipe import Recipe
from trainables.sources import open_source
from trainables.training.distributed import ProcessGroup
from trainables.training.loop import Device

PASSES = {"xnli": 3.0, "pawsx": 30.0}  # over the English rows
COPIES = 3
LONG = "plain, 3x the steps"


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Attributes:
        times: multiple of the epochs.
        beside: the row that it is compared with.
    """

    robust: Robust | None = None
    times: float = 1.0
    beside: str = "plain"
    targets: tuple[str, ...] = tuple(PASSES)


_ADVERSARIAL, _RANDOM, _SYNONYMS = ROBUST
_SYNONYMS = replace(_SYNONYMS, copies=COPIES)
ARMS = {
    "plain": Arm(),
    "adversarial": Arm(_ADVERSARIAL),
    "random": Arm(_RANDOM),
    "synonyms, as many steps": Arm(_SYNONYMS, 1 / COPIES),
    LONG: Arm(times=COPIES, targets=("xnli",)),  # PAWS-X would take another hour for five seeds
    "synonyms": Arm(_SYNONYMS, 1.0, LONG, targets=("xnli",)),
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="seeds per method")
    parser.add_argument("--targets", default=",".join(PASSES), help="comma-separated targets")
    parser.add_argument("--home", default=".stepstone", help="home of the stages")
    parser.add_argument("--out", help="folder for robust_training.json (default: it is not written)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    log: Any = transformers.logging  # untyped
    log.disable_progress_bar()
    home = Path(options.home).resolve()
    home.mkdir(parents=True, exist_ok=True)
    store, weights = Store(home), resolve("pocket")
    assert weights is not None
    context = Context(
        open_source("pocket"), home / "encoded", Device(torch.device("cpu"), ProcessGroup()), lambda *_: None
    )
    found: dict[str, Any] = {"seeds": options.seeds, "passes": PASSES, "targets": {}}
    found["methods"] = {arm.method: to_dict(arm) for arm in (_ADVERSARIAL, _RANDOM, _SYNONYMS)}
    for target in options.targets.split(","):
        runs: dict[str, list[str]] = {}
        for name, arm in ((n, a) for n, a in ARMS.items() if target in a.targets):
            planner = Planner(context.source, weights)
            runs[name] = [made(target, arm, seed, planner, weights, store, context) for seed in range(options.seeds)]
            print(f"{target}: {name}", flush=True)
        found["targets"][target] = compared(target, runs, store)
        print(table(target, found["targets"][target]), flush=True)
    if options.out:
        Path(options.out).mkdir(parents=True, exist_ok=True)
        (Path(options.out) / "robust_training.json").write_text(json.dumps(found, indent=1) + "\n")


def made(target: str, arm: Arm, seed: int, planner: Planner, weights: Weights, store: Store, context: Context) -> str:
    """Train and evaluate an arm if necessary; return its evaluation's address."""
    recipe = Recipe(encoder="pocket", profile="small", targets=(target,), robust=arm.robust)
    nodes = [node for node in planner.plan(recipe, seed + 1).nodes if node.seed == seed]
    trained = next(node for node in nodes if isinstance(node.config, Target))
    assert isinstance(trained.config, Target)
    task = replace(trained.config.task, epochs=PASSES[target] * arm.times)
    trained = Node(replace(trained.config, task=task), weights.address, weights, seed, trained.label)
    scored = next(node for node in nodes if isinstance(node.config, Evaluate))
    scored = Node(scored.config, trained.address, None, seed, scored.label)
    for node in (trained, scored):
        if not store.has(node.address):
            execute_stage(node, store, context, store.home / "robust_training.jsonl")
    return scored.address


def compared(target: str, runs: Mapping[str, list[str]], store: Store) -> dict[str, dict[str, Any]]:
    """Compare the methods on a target.

    Returns:
        Method -> mean over languages, English, English dev, and the paired difference with its 95 % interval.
    """
    d = dataset(target)
    scored = {
        name: np.stack([resampled_mean(d, read_scores(store.folder(a) / "scores.parquet")) for a in addresses])
        for name, addresses in runs.items()
    }
    found: dict[str, dict[str, Any]] = {}
    for name, addresses in runs.items():
        metrics = [store.metrics(a) for a in addresses]
        seeds = [result.mean(d) for result in metrics]
        english = [main_score(d, result.languages["en"]) for result in metrics]
        own: dict[str, Any] = {
            "mean": round(float(np.mean(seeds)), 2),
            "english": round(float(np.mean(english)), 2),
            "english dev": round(mean_over_seeds(metrics).selection or 0.0, 2),
            "by seed": [round(v, 2) for v in seeds],
        }
        if found:
            beside = ARMS[name].beside
            gain = gain_resamples(scored[name], scored[beside])
            own |= {"beside": beside, "gain": round(own["mean"] - found[beside]["mean"], 2)}
            own |= {"interval": [round(v, 2) for v in interval(gain)]}
        found[name] = own
    return found


def table(target: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Format the results of a target as Markdown."""
    title = dataset(target).title
    lines = [f"| {title} | all languages | English | English dev | difference | 95 % interval | beside |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: | --- |"]
    for name, row in rows.items():
        cells = [name, *(f"{row[key]:.1f}" for key in ("mean", "english", "english dev"))]
        bounds = row.get("interval")
        cells += [signed(row["gain"]), " to ".join(map(signed, bounds)), row["beside"]] if bounds else ["", "", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
