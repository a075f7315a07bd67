"""The transfer matrix: recipes x targets x languages, as differences from the baseline, read from record and store."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from search_spaces import space
from study.record.heartbeat import reconcile_status
from study.record.record import UNFINISHED, Record, Trial, table_order
from study.results.alignment_tables import alignment
from study.results.layer_sweep import layers
from study.results.learning_curves import by_epoch
from study.results.learning_curves import notes as epoch_notes
from study.results.statistics import gain_resamples, interval, read_scores, resampled_mean
from study.spec.recipe_file import best_recipe
from study.spec.study_spec import ResolvedSpec
from study.store.store import Store
from study.xtreme.layout import tasks_of
from study.xtreme.scoring import benchmark_of
from trainables.catalogue import Dataset, dataset
from trainables.errors import BadInput
from trainables.evaluation.scoring import main_score
from trainables.hyperparameter_sources import numbers
from trainables.languages import crossed, describe
from trainables.recipe import Recipe

CURVE_POINTS = 80
CHANCE_POINTS = 2.0  # so near to 1 / labels an accuracy is one of chance
CHOSEN_BY = {"english_dev": "English dev scores", "target_dev": "the scores reported here (an oracle)"}

Report = dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """A target of one trial: metrics per language (means over seeds), and resamples of the mean over languages."""

    languages: dict[str, dict[str, float]]
    mean: float
    resamples: np.ndarray  # [seeds, RESAMPLES]
    splits: dict[str, str]
    selection: float | None  # the English dev score


def build(record: Record, store: Store) -> Report:
    """The report of a study as one dictionary of literals; `study.report --json` prints it."""
    settings = record.settings
    standins, trouble = _standins(settings)
    trials = table_order(reconcile_status(record.trials(), record.folder))
    scored = {
        t.address: {name: _read(name, t, store) for name in settings.targets if finished(t, name, store)}
        for t in trials
    }
    baseline = next((t for t in trials if t.recipe.is_baseline), None)
    base = scored[baseline.address] if baseline else {}
    rows = [_row(t, scored[t.address], base, settings, store) for t in trials]
    runs = record.mlflow_runs()
    for row in rows:
        row["run_id"] = runs.get(row["address"])
    empty: dict[str, Any] = {
        "name": "no intermediate task",
        "recipe": {},
        "status": "missing",
        "average": None,
        "gain": None,
        "targets": {},
    }
    statuses, epochs = [t.status for t in trials], by_epoch(trials, store)
    report: Report = {
        "study": record.name,
        "space": settings.space,
        "question": space(settings.space).question,
        "source": settings.source,
        "encoder": settings.encoder,
        "profile": settings.profile,
        "scale": settings.scale,
        "seeds": settings.seeds,
        "selection": settings.selection,
        "pocket": settings.source == "pocket",
        "trials": {s: statuses.count(s) for s in ("complete", "pruned", "failed", "stopped", "running")},
        "stages": record.last_launch(),
        "targets": [_target(name, scored) for name in settings.targets],
        "languages": {tag: _language(tag) for tag in _languages(scored)},
        "baseline": rows[trials.index(baseline)] if baseline else empty,
        "matrix": rows,
        "failures": [
            {"name": t.name, "address": t.address, "reason": t.reason, "traceback": t.traceback}
            for t in trials
            if t.status == "failed"
        ],
        "layers": layers(trials, store),
        "epochs": epochs,
        "standins": standins,
        "notes": [*_notes(settings, trials, scored, standins, trouble), *epoch_notes(epochs)],
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": code_version(),
    }
    report["best"] = best_recipe(rows, settings, record.folder / "report" / "best.toml")
    report["numbers"] = (
        [n._asdict() for n in numbers(Recipe.from_dict(report["best"]["recipe"]))] if report["best"] else []
    )
    report["alignment"] = alignment(rows, report["targets"])
    report["headline"] = headline(report)
    return report


def code_version() -> str:
    """The installed version of the project."""
    try:
        return version("stepstone")
    except PackageNotFoundError:
        return "uninstalled"


def finished(trial: Trial, target: str, store: Store) -> bool:
    """Whether every seed of a trial has its evaluation of a target in the store."""
    addresses = trial.evaluations.get(target, [])
    return bool(addresses) and all(store.has(a) for a in addresses)


def _read(target: str, trial: Trial, store: Store) -> Scored:
    d = dataset(target)
    per_seed = [store.metrics(a) for a in trial.evaluations[target]]
    languages = {
        language: {m: float(np.mean([s["languages"][language][m] for s in per_seed])) for m in metrics}
        for language, metrics in per_seed[0]["languages"].items()
    }
    selection = [s["selection"] for s in per_seed if s["selection"] is not None]
    return Scored(
        languages,
        float(np.mean([main_score(d, metrics) for metrics in languages.values()])),
        np.stack([_resampled(d, a, store) for a in trial.evaluations[target]]),
        per_seed[0]["splits"],
        float(np.mean(selection)) if selection else None,
    )


def _resampled(d: Dataset, address: str, store: Store) -> np.ndarray:
    """The resampled means of one evaluation, kept beside the store: a large one takes seconds and never changes."""
    path = store.home / "resampled" / f"{address}.npy"
    if not path.exists():
        found = resampled_mean(d, read_scores(store.folder(address) / "scores.parquet"))
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.part")
        with open(temporary, "wb") as file:
            np.save(file, found, allow_pickle=False)
        os.replace(temporary, path)
    return np.asarray(np.load(path, allow_pickle=False))


def _row(
    trial: Trial, scored: Mapping[str, Scored], base: Mapping[str, Scored], settings: ResolvedSpec, store: Store
) -> dict[str, Any]:
    targets, gains, selections = {}, [], []
    for name, own in scored.items():
        gain, bounds = None, None
        if name in base and own.resamples.shape == base[name].resamples.shape:
            gain = own.mean - base[name].mean
            gains.append(gain_resamples(own.resamples, base[name].resamples))
            bounds = None if trial.recipe.is_baseline else interval(gains[-1])
            pair = (
                (own.selection, base[name].selection)
                if settings.selection == "english_dev"
                else (own.mean, base[name].mean)
            )
            if pair[0] is not None and pair[1] is not None:
                selections.append(pair[0] - pair[1])
        targets[name] = {"mean": own.mean, "gain": gain, "interval": bounds, "languages": own.languages}
    whole = bool(targets) and len(targets) == len(settings.targets)
    with_gain = whole and len(gains) == len(targets)
    average = float(np.mean([t["mean"] for t in targets.values()])) if whole else None
    return {
        "name": trial.name,
        "recipe": trial.recipe.to_dict(),
        "address": trial.address,
        "status": trial.status,
        "seeds": list(range(settings.seeds)),
        "average": average,
        "gain": float(np.mean([t["gain"] for t in targets.values()])) if with_gain else None,
        "interval": interval(np.mean(gains, axis=0)) if with_gain and not trial.recipe.is_baseline else None,
        "selection": float(np.mean(selections)) if with_gain and selections else None,
        "run_id": None,
        "targets": targets,
        "curves": curves(trial, store),
    }


def curves(trial: Trial, store: Store) -> dict[str, Any]:
    """Stage label -> thinned training loss and every dev score, of the first seed."""
    found: dict[str, Any] = {}
    addresses = [a[0] for a in trial.evaluations.values() if a and store.has(a[0])]
    while addresses:
        address = addresses.pop(0)
        if not address or not (store.small(address) / "stage.json").exists():
            continue
        info = store.info(address)
        history = store.small(address) / "history.json"
        if info["kind"] in ("intermediate", "target") and info["label"] not in found and history.exists():
            found[info["label"]] = _thin(json.loads(history.read_text()))
        if info["kind"] != "intermediate":
            addresses.append(info["parent"])
    return dict(sorted(found.items()))


def _thin(history: Mapping[str, Any]) -> dict[str, Any]:
    losses = np.asarray(history["losses"])
    ends = np.unique(np.linspace(0, len(losses), min(CURVE_POINTS, len(losses)) + 1).astype(int))
    pairs = list(zip(ends[:-1], ends[1:], strict=True))
    return {
        "step": [int(end) for _, end in pairs],
        "loss": [float(losses[start:end].mean()) for start, end in pairs],
        "dev": [[int(step), float(score)] for step, score in history["dev"]],
    }


def _target(name: str, scored: Mapping[str, Mapping[str, Scored]]) -> dict[str, Any]:
    d = dataset(name)
    one = next((s[name] for s in scored.values() if name in s), None)
    splits = dict(one.splits) if one else {}
    return {
        "name": name,
        "title": d.title,
        "main": list(d.main),
        "languages": list(splits),
        "split": ", ".join(sorted(set(splits.values()))),
        "trained_on": dataset(d.train_on).title if d.train_on else None,
        "note": "" if d.train_on else "Sentence vectors straight from the encoder.",
        "pairs": _pairs(splits) if d.crosses else None,
    }


def _pairs(tags: Iterable[str]) -> dict[str, Any]:
    """What is behind the tags of pairs: their languages, and tag -> [that of sentence 1, that of sentence 2]."""
    pairs = crossed(tags)
    languages = sorted({first for first, _ in pairs.values()}, key=lambda tag: (tag != "en", tag))
    return {"languages": {tag: _language(tag) for tag in languages}, "of": {t: list(p) for t, p in pairs.items()}}


def _languages(scored: Mapping[str, Mapping[str, Scored]]) -> list[str]:
    found = {tag for targets in scored.values() for s in targets.values() for tag in s.languages}
    return sorted(found, key=lambda tag: (tag != "en", tag))


def _language(tag: str) -> dict[str, str]:
    language = describe(tag)
    return {"name": language.name, "script": language.script, "family": language.family}


def _standins(settings: ResolvedSpec) -> tuple[list[str], str]:
    """Titles of the datasets whose rows stand in for the official ones, and why that cannot be told if it cannot."""
    from trainables.sources import open_source

    if settings.source == "pocket":
        return [], ""
    trained = (dataset(t).train_on or "" for t in settings.targets)
    names = dict.fromkeys((*settings.targets, *settings.intermediate, *trained))
    try:
        source = open_source(settings.source)
        return [dataset(n).title for n in names if n and source.standin(dataset(n))], ""
    except BadInput as error:  # a report outlives its source
        return [], str(error)


def _at_chance(trials: Sequence[Trial], scored: Mapping[str, Mapping[str, Scored]]) -> list[str]:
    """Rows that learned nothing: English accuracy on a trained target as if the labels were drawn."""
    found = []
    for trial in trials:
        for name, own in scored[trial.address].items():
            d = dataset(name)
            accuracy = own.languages.get("en-en" if d.crosses else "en", {}).get("accuracy")
            if accuracy is None or not d.train_on or d.kind not in ("labelled", "choice") or not d.labels:
                continue
            if abs(accuracy - 100 / len(d.labels)) <= CHANCE_POINTS:
                found.append(f"{trial.name} ({d.title} {accuracy:.1f})")
    return found


def _benchmark(settings: ResolvedSpec, scored: Mapping[str, Mapping[str, Scored]]) -> list[str]:
    """A note where the average over the targets is XTREME's or XTREME-R's, and what it lacks to be the published one."""
    benchmark = benchmark_of(settings.targets)
    if benchmark is None:
        return []
    fewer = []
    for task in tasks_of(benchmark).values():
        published = task.languages[benchmark]
        found = {tag for own in scored.values() if (s := own.get(task.entries[benchmark])) for tag in s.languages}
        if not found.issuperset(published):
            fewer.append(f"{task.title} {len(found.intersection(published))} of {len(published)}")
    said = f"The average is {benchmark.upper()}'s, the plain mean of its {len(settings.targets)} tasks"
    if fewer:
        said += f", but over fewer languages, so that it compares with no published one: {', '.join(fewer)}"
    return [f"{said}."]


def _notes(
    settings: ResolvedSpec,
    trials: Sequence[Trial],
    scored: Mapping[str, Mapping[str, Scored]],
    standins: Sequence[str],
    trouble: str,
) -> list[str]:
    notes = []
    if settings.source == "pocket":
        notes.append(
            "The rows come from the pocket world, which is generated: they show the tool and say nothing about languages."
        )
    else:
        if standins:
            notes.append(
                f"Stand-ins for the official data, not comparable with published scores: {', '.join(standins)}."
            )
        if trouble:
            notes.append(f"Whether rows were stand-ins for the official data cannot be looked up: {trouble}.")
    notes += _benchmark(settings, scored)
    if settings.scale < 1:
        notes.append(f"A rehearsal: every stage used {settings.scale:g} of its rows and steps.")
    if settings.selection == "english_dev":
        without = [dataset(t).title for t in settings.targets if not dataset(t).train_on]
        notes.append(
            "The best recipe is chosen on English dev rows only; the scores in the matrix were not looked at to choose it."
            + (
                f" Without English dev rows, and so without a part in choosing: {', '.join(without)}."
                if without
                else ""
            )
        )
    else:
        notes.append(
            "Oracle: no target has English dev rows, so the best recipe is chosen on the scores that are reported."
        )
    if settings.selection == "english_dev" and any(trial.recipe.align for trial in trials):
        notes.append(
            "English dev rows hardly see what alignment does for other languages: its own tables answer, not the choice."
        )
    if settings.seeds == 1:
        notes.append("One seed: the intervals cover the choice of test examples, not the luck of training.")
    at_chance = _at_chance(trials, scored)
    if at_chance:
        notes.append(
            f"At chance level in English, so that training may have failed (a lower lr may help): {', '.join(at_chance)}."
        )
    waiting = [t.name for t in trials if t.status in UNFINISHED]
    if waiting:
        notes.append(f"Not finished: {', '.join(waiting)}.")
    return notes


def signed(value: float | None) -> str:
    """A difference with its sign, one decimal."""
    return "-" if value is None else f"{round(value, 1) or 0.0:+.1f}"


def headline(report: Mapping[str, Any]) -> str:
    """The answer in a sentence, with its interval and number of seeds."""
    best = report["best"]
    seeds = f"{report['seeds']} seed{'s' if report['seeds'] > 1 else ''}"
    if best is None and report["trials"]["complete"]:
        return f"The baseline is {report['baseline']['status']} and has no complete scores: nothing can be compared."
    if best is None and report["failures"]:
        first = report["failures"][0]
        failed = f"{report['trials']['failed']} of {len(report['matrix'])} recipes"
        return f"No answer: {failed} failed, {first['name']} with {first['reason']}."
    if best is None:
        return "No recipe is complete yet."
    pocket = "Pocket data: " if report["pocket"] else ""
    if best["address"] == report["baseline"].get("address"):
        chosen_by = CHOSEN_BY[report["selection"]]
        return (
            f"{pocket}Nothing here beats training on the target alone, as far as {chosen_by} tell ({seeds})."
            + _hindsight(report)
        )
    low, high = best["interval"]
    sure = "" if low > 0 or high < 0 else "; the interval includes 0, so this may be noise"
    return (
        f"{pocket}{best['name']} first, chosen on {CHOSEN_BY[report['selection']]}: {signed(best['gain'])} points on average "
        f"over {len(report['targets'])} target{'s' if len(report['targets']) > 1 else ''} "
        f"(95 % interval {signed(low)} to {signed(high)}, {seeds}){sure}.{_hindsight(report)}"
    )


def _hindsight(report: Mapping[str, Any]) -> str:
    """A second sentence where another row has the higher average, which choosing was not allowed to see."""
    rows = [row for row in report["matrix"] if row["status"] == "complete" and row["gain"] is not None]
    rows = [row for row in rows if not row["recipe"].get("train_languages")]
    top = max(rows, key=lambda row: row["gain"], default=None)
    if top is None or signed(top["gain"]) == signed(report["best"]["gain"]):
        return ""
    return f" In hindsight the highest average is that of {top['name']} ({signed(top['gain'])})."
