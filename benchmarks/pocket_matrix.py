"""Check that the pocket study finds the planted effects.

python -m benchmarks.pocket_matrix [--seeds 5] [--home .stepstone] [--out benchmarks/results]

The effects are described in docs/pocket.md. Runs `make study` with more seeds; finished stages are reused. Writes
pocket_matrix.json and pocket_matrix.md: the matrix with its intervals, the best task for each seed, and each claim with its
result. Exits with 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from study.record.record import Record, Trial
from study.results.report import Interval, Report, signed
from study.results.transfer_matrix import build
from study.store.store import Store
from trainables.catalogue import dataset
from trainables.evaluation.scoring import main_score

NAME = "pocket-seeds"
NONE = "no intermediate task"
# Family of targets -> the targets, and the single task that was planted as the best intermediate task for them.
PLANTED = {
    "retrieval": (("tatoeba",), ()),
    "tags": (("panx", "udpos"), ("ccg",)),
    "questions": (("xquad",), ("squad",)),
    "inference": (("xnli",), ("mnli",)),
}
HARM = "cola"  # planted to help no target: it teaches English word order
# Scores of guessing: at most the share of the most frequent tag (UDPOS); one label of three; nothing for spans.
CHANCE = {"panx": 0.0, "udpos": 29.0, "xquad": 0.0, "xnli": 100 / 3}
NEAR, FAR = (
    ("de", "es", "ru", "sw"),
    ("hi", "tr", "zh"),
)  # by word order and by the share of English in their raw text


@dataclass(frozen=True)
class Claim:
    """A claim on the pocket study, with its result."""

    text: str
    found: str
    holds: bool


def main() -> int:
    """Run the benchmark; return 0 if all claims hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="seeds per recipe")
    parser.add_argument("--home", default=".stepstone", help="home of the study")
    parser.add_argument("--out", default="benchmarks/results", help="output folder")
    options = parser.parse_args()
    home = Path(options.home).resolve()
    more = f"--name {NAME} --seeds {options.seeds}"
    subprocess.run(["make", "study", f"MORE={more}"], env={**os.environ, "STEPSTONE_HOME": str(home)}, check=True)
    record, store = Record(home, NAME), Store(home)
    report, trials = build(record, store), list(record.trials().values())
    single = [t for t in trials if not t.recipe.mlm_ratio and len(t.recipe.intermediate) < 2]
    scores = {t.recipe.intermediate: {name: per_seed(t, name, store) for name in t.evaluations} for t in single}
    ranks = {family: first(scores, targets) for family, (targets, _) in PLANTED.items()}
    claims = [*gains_and_losses(report), *planted(ranks, options.seeds), *harmful(report), *softened(report)]
    claims += [*graded(report), *zero_shot(report)]
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "pocket_matrix.json").write_text(json.dumps(figures(report, ranks, claims), indent=1) + "\n")
    (out / "pocket_matrix.md").write_text(markdown(report, ranks, claims))
    print(markdown(report, ranks, claims))
    return 0 if all(claim.holds for claim in claims) else 1


def per_seed(trial: Trial, target: str, store: Store) -> list[float]:
    """Compute a target's mean over languages, for each seed."""
    return [store.metrics(address).mean(dataset(target)) for address in trial.evaluations[target]]


def first(scores: dict[tuple[str, ...], dict[str, list[float]]], targets: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Find the best single task (or none) for each seed.

    Tasks are ranked by the mean over a family's targets.
    """
    means = {tasks: np.mean([found[target] for target in targets], axis=0) for tasks, found in scores.items()}
    seeds = len(next(iter(means.values())))
    return [max(means, key=lambda tasks: float(means[tasks][seed])) for seed in range(seeds)]


def title(tasks: tuple[str, ...]) -> str:
    """Name a row by its tasks."""
    return " + ".join(dataset(task).title for task in tasks) or NONE


def cells(report: Report) -> Iterator[tuple[str, str, float, Interval]]:
    """Yield (row, target, difference, interval) of all cells except the baseline's."""
    for row in report.matrix:
        for name, cell in row.targets.items():
            if cell.interval and cell.gain is not None:
                yield row.name, name, cell.gain, cell.interval


def gains_and_losses(report: Report) -> list[Claim]:
    """Check that at least three cells gain and at least two lose significantly."""
    all_cells = list(cells(report))
    up = [c for c in all_cells if c[3][0] > 0]
    down = [c for c in all_cells if c[3][1] < 0]
    noise = len(all_cells) - len(up) - len(down)
    return [
        Claim("at least three cells gain, the 95 % interval above 0", f"{len(up)} of {len(all_cells)}", len(up) >= 3),
        Claim("at least two cells lose, the interval below 0", f"{len(down)}, and {noise} are noise", len(down) >= 2),
    ]


def planted(ranks: dict[str, list[tuple[str, ...]]], seeds: int) -> list[Claim]:
    """Check that each family's planted task ranks first.

    It must do so for at least four of five seeds.
    """
    found = []
    for family, (targets, best) in PLANTED.items():
        hits = ranks[family].count(best)
        names = ", ".join(dataset(target).title for target in targets)
        text = f"{family} ({names}): {title(best)} is first for at least 4 of 5 seeds"
        found.append(Claim(text, f"{hits} of {seeds}", hits >= 0.8 * seeds))
    return found


def mean_cells(report: Report, row_name: str) -> dict[str, tuple[float, Interval]]:
    """Return target -> (difference, interval) of one row."""
    return {name: (gain, bounds) for row, name, gain, bounds in cells(report) if row == row_name}


def harmful(report: Report) -> list[Claim]:
    """Check the task that was planted to harm.

    At least two targets lose significantly, none gains, and the average loses.
    """
    row = next(row for row in report.matrix if row.name == dataset(HARM).title)
    found = mean_cells(report, row.name)
    shown = ", ".join(
        f"{dataset(t).title} {signed(g)}{'~' if b[0] <= 0 <= b[1] else ''}" for t, (g, b) in found.items()
    )
    lost = sum(bounds[1] < 0 for _, bounds in found.values())
    gained = sum(bounds[0] > 0 for _, bounds in found.values())
    text = f"{row.name} harms: at least two targets lose, none gains, and so does the average"
    on_average = row.interval is not None and row.interval[1] < 0
    return [Claim(text, f"{shown}, average {signed(row.gain)}", lost >= 2 and not gained and on_average)]


def softened(report: Report) -> list[Claim]:
    """Check that masked LM beside the tasks reduces forgetting."""
    gains = {(name, target): gain for name, target, gain, _ in cells(report)}
    names = [row.name for row in report.matrix]
    tasks = [name for name in names if f"{name} + MLM" in names]
    pairs = [(gains[task, "tatoeba"], gains[f"{task} + MLM", "tatoeba"]) for task in tasks]
    found = ", ".join(f"{task} {signed(a)} -> {signed(b)}" for task, (a, b) in zip(tasks, pairs, strict=True))
    means = np.mean(pairs, axis=0)
    text = "Tatoeba: every task makes the encoder forget, and on average masked LM softens it"
    holds = bool(means[1] > means[0]) and all(without < 0 for without, _ in pairs)
    return [Claim(text, f"{found}; mean {signed(means[0])} -> {signed(means[1])}", holds)]


def graded(report: Report) -> list[Claim]:
    """Check that transfer to near languages is better, on each trained target."""
    found = []
    for d in (d for target in report.targets if (d := dataset(target.name)).train_on):
        rows = [row.targets[d.name].languages for row in report.matrix]
        near, far = (float(np.mean([main_score(d, row[tag]) for row in rows for tag in tags])) for tags in (NEAR, FAR))
        found.append((f"{d.title} {near:.1f} and {far:.1f}", near > far))
    text = f"mean over all rows, on every trained target: {', '.join(NEAR)} are above {', '.join(FAR)}"
    return [Claim(text, ", ".join(shown for shown, _ in found), all(holds for _, holds in found))]


def zero_shot(report: Report) -> list[Claim]:
    """Check the level of zero-shot transfer of each target.

    In at least one row English is 25 points above chance, and the other languages are 10 above chance and 5 below English.
    """
    found = []
    for name in (target.name for target in report.targets):
        d, rows = dataset(name), []
        for row in report.matrix:
            languages = row.targets[name].languages
            others = float(np.mean([main_score(d, m) for tag, m in languages.items() if tag != "en"]))
            rows.append((main_score(d, languages["en"]) if "en" in languages else 0.0, others, row.name))
        if not d.train_on:
            base = rows[0][1]
            found.append(Claim(f"{d.title}: the baseline is between 15 and 85 %", f"{base:.1f}", 15 <= base <= 85))
            continue
        fits = [r for r in rows if r[0] >= CHANCE[name] + 25 and CHANCE[name] + 10 <= r[1] <= r[0] - 5]
        english, others, row_name = max(fits or rows, key=lambda r: r[1])
        text = f"{d.title}: English 25 points above chance, the others 10 above chance and 5 below English"
        shown = f"{len(fits)} rows, the best {row_name}: English {english:.1f}, others {others:.1f}"
        found.append(Claim(text, shown, bool(fits)))
    return found


def figures(report: Report, ranks: dict[str, list[tuple[str, ...]]], claims: list[Claim]) -> dict[str, Any]:
    """Return the results as literals."""
    base = report.baseline.targets if report.baseline else {}
    return {
        "seeds": report.seeds,
        "baseline": {name: round(cell.mean, 2) for name, cell in base.items()},
        "differences": [
            {"row": row, "target": name, "gain": round(gain, 2), "interval": [round(v, 2) for v in bounds]}
            for row, name, gain, bounds in cells(report)
        ],
        "first": {family: [title(tasks) for tasks in found] for family, found in ranks.items()},
        "claims": [{"claim": c.text, "found": c.found, "holds": c.holds} for c in claims],
        "headline": report.headline,
    }


def markdown(report: Report, ranks: dict[str, list[tuple[str, ...]]], claims: list[Claim]) -> str:
    """Format the results as Markdown."""
    from study.results.writers import cells as texts

    titles = [target.title for target in report.targets]
    lines = [f"# Pocket data: the default study over {report.seeds} seeds", "", report.headline, ""]
    lines += [f"| recipe | {' | '.join([*titles, 'average'])} |", "| --- |" + " ---: |" * (len(titles) + 1)]
    lines += [f"| {row.name} | {' | '.join(texts(report, row))} |" for row in report.matrix]
    lines += ["", "The first row has scores, the others differences; ~ marks a 95 % interval that includes 0.", ""]
    lines += ["| claim | found | holds |", "| --- | --- | --- |"]
    lines += [f"| {c.text} | {c.found} | {'yes' if c.holds else 'NO'} |" for c in claims]
    lines += ["", "Best among the single tasks and none, for each seed:", ""]
    lines += [f"- {family}: {', '.join(map(title, found))}" for family, found in ranks.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
