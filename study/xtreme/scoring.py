"""Scores of predictions in XTREME's submission layout."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.xtreme import layout as xtreme
from study.xtreme.layout import FULL_POOL, TASKS, TATOEBA_POOL, VERSIONS, Sentence, Task, Version, groups_of, tasks_of
from trainables.errors import BadInput
from trainables.metrics.formulas import (
    average_precision,
    chunk_counts,
    mlqa_scores,
    reciprocal_rank,
    squad_scores,
)
from trainables.metrics.mining import count_scores, pair_scores

Scores = dict[str, Any]
TOP = 20  # ranked candidates that are scored
METRICS = {"f1": "F1", "exact_match": "exact match", "mrr": "MRR", "map_at_20": "mAP@20"}  # others by their own name
COUNTS = ("examples", "words", "predicted", "missing", "extra")


def score_folder(predictions: Path, labels: Path, version: Version) -> Scores:
    """Score a folder of predictions against one of labels, in percent.

    Returns:
        `version`; `tasks`: task -> `score`, `metrics` (means over languages), `languages` (metrics and `examples`, and if
        applicable `missing`, `extra`, `words`, `predicted`), `absent` (published languages that neither folder has);
        `absent`: task -> why it has no score; `left_out`: tasks and languages of the other version only; `groups`;
        `overall`.

    Raises:
        BadInput: a file is broken, or only one folder has it.
    """
    ours, gold = xtreme.find_files(predictions, version), xtreme.find_files(labels, version)
    tasks, absent = {}, {}
    for name, task in tasks_of(version).items():
        mine, theirs = ours.files.get(name), gold.files.get(name)
        if mine is None and theirs is None:
            absent[name] = "neither predictions nor labels"
        elif mine is None:
            absent[name] = "labels, but no predictions"
        elif theirs is None:
            raise BadInput(f"{predictions / name}: predictions without labels ({labels / name} is missing)")
        else:
            _same_languages(task, mine, theirs, predictions, labels)
            if mine:
                tasks[name] = _task(task, mine, theirs, version)
            else:
                absent[name] = "no files in its folders"
    if not tasks:
        raise BadInput(f"{predictions}: no task of {version} to score (tasks: {', '.join(tasks_of(version))})")
    groups, overall = averages({name: found["score"] for name, found in tasks.items()}, version)
    left_out = sorted({*ours.left_out, *gold.left_out})
    return {
        "version": version,
        "tasks": tasks,
        "absent": absent,
        "left_out": left_out,
        "groups": groups,
        "overall": overall,
    }


def averages(scores: Mapping[str, float], version: Version = "xtreme") -> tuple[dict[str, float], float | None]:
    """Average task scores over groups and over all tasks (Hu et al. 2020).

    Returns:
        (group -> mean of its tasks, mean of all tasks). A group with an unscored task is left out; the overall mean is
        None if any task has no score.
    """

    def mean(names: Sequence[str]) -> float:
        return sum(scores[name] for name in names) / len(names)

    groups = {group: mean(names) for group, names in groups_of(version).items() if scores.keys() >= set(names)}
    every = list(tasks_of(version))
    return groups, mean(every) if scores.keys() >= set(every) else None


def benchmark_of(targets: Collection[str]) -> Version | None:
    """Find the benchmark version whose tasks are exactly these targets.

    XTREME has nine tasks (Hu et al. 2020), XTREME-R ten (Ruder et al. 2021), with a catalogue entry for each set of
    languages. The plain mean over such targets, where question answering counts as the mean of F1 and exact match, is the
    benchmark's average.

    Returns:
        None if the targets are no complete benchmark.
    """
    own = {version: {task.entries[version] for task in tasks_of(version).values()} for version in VERSIONS}
    return next((version for version, names in own.items() if names == set(targets)), None)


def task_score(task: Task, metrics: Mapping[str, float]) -> float:
    """Compute a task's score from its metrics, averaged over languages.

    For question answering it is the mean of F1 and exact match.
    """
    return sum(metrics[name] for name in task.main) / len(task.main)


def _same_languages(
    task: Task, mine: Mapping[str, Path], theirs: Mapping[str, Path], predictions: Path, labels: Path
) -> None:
    """Check that both sides have the same languages.

    Raises:
        BadInput: one side lacks a language.
    """
    for has, lacks, folder in ((theirs, mine, predictions), (mine, theirs, labels)):
        missing = [tag for tag in has if tag not in lacks]
        if missing:
            more = f" (also missing: {', '.join(missing[1:])})" if missing[1:] else ""
            raise BadInput(f"{folder / task.file(missing[0])} is missing, but {has[missing[0]]} is there{more}")


def _task(task: Task, mine: Mapping[str, Path], theirs: Mapping[str, Path], version: Version) -> Scores:
    published = task.languages[version]
    languages = {tag: SCORERS[task.shape](task, tag, mine[tag], theirs[tag]) for tag in published if tag in mine}
    metrics = {name: sum(found[name] for found in languages.values()) / len(languages) for name in task.metrics}
    return {
        "score": task_score(task, metrics),
        "metrics": metrics,
        "languages": languages,
        "absent": [tag for tag in published if tag not in mine],
    }


# ---- one language ----


def _accuracy(ours: Sequence[object], golds: Sequence[object], mine: Path, theirs: Path) -> Scores:
    if len(ours) != len(golds):
        where = f"the shorter file ends at line {min(len(ours), len(golds))}"
        raise BadInput(f"{mine}: {len(ours)} lines, but {theirs} has {len(golds)}; {where}")
    right = sum(a == b for a, b in zip(ours, golds, strict=True))
    return {"accuracy": 100 * right / len(golds), "examples": len(golds)}


def _labels(task: Task, tag: str, mine: Path, theirs: Path) -> Scores:
    return _accuracy(xtreme.read_labels(mine, task.labels), xtreme.read_labels(theirs, task.labels), mine, theirs)


def _choices(task: Task, tag: str, mine: Path, theirs: Path) -> Scores:
    return _accuracy(xtreme.read_choices(mine, task.labels), xtreme.read_choices(theirs, task.labels), mine, theirs)


def _indices(task: Task, tag: str, mine: Path, theirs: Path) -> Scores:
    ours, golds = xtreme.read_indices(mine), xtreme.read_indices(theirs)
    scored = _accuracy(ours, golds, mine, theirs)
    # A complete file has one line per sentence of its pool; the indices of a shortened one refer to the full pool.
    whole = max(golds) < len(golds)
    pool = len(golds) if whole else max(len(golds), TATOEBA_POOL.get(tag, FULL_POOL))
    for path, values in ((theirs, golds), (mine, ours)):
        for number, value in enumerate(values, 1):
            if value >= pool:
                raise BadInput(f"{path}:{number}: index {value} is out of range (the pool has {pool}: 0 to {pool - 1})")
    return scored


def _tags(task: Task, tag: str, mine: Path, theirs: Path) -> Scores:
    ours, golds = xtreme.read_tags(mine, task.labels), xtreme.read_tags(theirs, task.labels)
    _same_sentences(ours, golds, mine, theirs)
    counts = [chunk_counts(gold.tags, own.tags) for own, gold in zip(ours, golds, strict=True)]
    right = sum(a == b for own, gold in zip(ours, golds, strict=True) for a, b in zip(own.tags, gold.tags, strict=True))
    words = sum(len(gold.tags) for gold in golds)
    scored: Scores = count_scores(*(sum(column) for column in zip(*counts, strict=True)))
    if "accuracy" in task.metrics:
        scored["accuracy"] = 100 * right / words
    return {**scored, "examples": len(golds), "words": words}


def _same_sentences(ours: Sequence[Sentence], golds: Sequence[Sentence], mine: Path, theirs: Path) -> None:
    """Check that two files have the same numbers of tags in each sentence.

    Raises:
        BadInput: they differ.
    """
    pairs = enumerate(zip(ours, golds, strict=False), 1)
    odd = next(((n, own, gold) for n, (own, gold) in pairs if len(own.tags) != len(gold.tags)), None)
    if odd is None and len(ours) == len(golds):
        return
    counts = [(sum(len(s.tags) for s in sentences), len(sentences)) for sentences in (ours, golds)]
    shorter = min((ours, golds), key=lambda sentences: (sum(len(s.tags) for s in sentences), len(sentences)))
    end = shorter[-1].line + len(shorter[-1].tags) - 1
    said = f"{counts[0][0]} tags in {counts[0][1]} sentences, but {theirs} has {counts[1][0]} in {counts[1][1]}"
    if counts[0] != counts[1]:
        said += f"; the shorter file ends at line {end}"
    if odd is not None:
        number, own, gold = odd
        said += (
            f"; sentence {number} (line {own.line}, in the labels line {gold.line}) has {len(own.tags)} tags, "
            f"in the labels {len(gold.tags)}"
        )
        raise BadInput(f"{mine}:{own.line}: {said}")
    raise BadInput(f"{mine}: {said}")


def _pairs(task: Task, tag: str, mine: Path, theirs: Path) -> Scores:
    ours, golds = xtreme.read_pairs(mine), xtreme.read_pairs(theirs)
    if not golds:
        raise BadInput(f"{theirs}: has no gold pair")
    return {**pair_scores(ours, golds), "examples": len(golds), "predicted": len(ours)}


def _answers(task: Task, tag: str, mine: Path, theirs: Path) -> Scores:
    ours, golds = xtreme.read_answers(mine), xtreme.read_questions(theirs)
    total = {"f1": 0.0, "exact_match": 0.0}
    for key, texts in golds.items():
        if key in ours:
            f1, exact = mlqa_scores(ours[key], texts, tag) if task.name == "mlqa" else squad_scores(ours[key], texts)
            total["f1"] += f1
            total["exact_match"] += exact
    return {**{name: 100 * value / len(golds) for name, value in total.items()}, **_ids(ours, golds)}


def _rankings(task: Task, tag: str, mine: Path, theirs: Path) -> Scores:
    ours, golds = xtreme.read_rankings(mine), xtreme.read_rankings(theirs)
    metric = task.main[0]
    rule = reciprocal_rank if metric == "mrr" else average_precision
    for key, ids in golds.items():
        if not ids:
            raise BadInput(f"{theirs}: {key!r} has no gold id")
    total = sum(rule(ours[key], set(ids), TOP) for key, ids in golds.items() if key in ours)
    return {metric: 100 * total / len(golds), **_ids(ours, golds)}


def _ids(ours: Mapping[str, object], golds: Mapping[str, object]) -> dict[str, int]:
    """Count scored examples, those without prediction, and unmatched predictions."""
    return {
        "examples": len(golds),
        "missing": len(golds.keys() - ours.keys()),
        "extra": len(ours.keys() - golds.keys()),
    }


SCORERS: Mapping[xtreme.Shape, Callable[[Task, str, Path, Path], Scores]] = {
    "labels": _labels,
    "choices": _choices,
    "indices": _indices,
    "tags": _tags,
    "pairs": _pairs,
    "answers": _answers,
    "rankings": _rankings,
}


# ---- text output ----


def print_scores(found: Scores, console: Console) -> None:
    """Print scores by language, then of tasks, groups and overall, then notes.

    The tables need at least 80 columns.
    """
    console.print()
    for name, task in found["tasks"].items():
        for table in _by_language(TASKS[name], task, console.width):
            console.print(table)
    console.print(_summary(found))
    for note in score_notes(found):
        console.print(escape(f"- {note}"), soft_wrap=True)


def _summary(found: Scores) -> Table:
    version: Version = found["version"]
    title = f"{version.upper()}, mean over languages"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("of which", overflow="fold")
    table.add_column("languages", justify="right", no_wrap=True)
    table.add_column("examples", justify="right", no_wrap=True)
    for name, task in found["tasks"].items():
        metrics = ", ".join(f"{METRICS.get(m, m)} {value:.1f}" for m, value in task["metrics"].items())
        languages = task["languages"]
        number = f"{len(languages)} of {len(languages) + len(task['absent'])}"
        examples = sum(scored["examples"] for scored in languages.values())
        table.add_row(TASKS[name].title, f"{task['score']:.1f}", metrics, number, f"{examples:,}")
    if found["groups"]:
        table.add_section()
    for group, value in found["groups"].items():
        table.add_row(group, f"{value:.1f}", _titles(groups_of(version)[group]))
    if found["overall"] is not None:
        table.add_row("overall", f"{found['overall']:.1f}", "mean of the tasks", style="bold")
    return table


def _titles(names: Sequence[str]) -> str:
    return ", ".join(TASKS[name].title for name in names)


def _by_language(task: Task, found: Scores, width: int) -> list[Table]:
    """Make tables of metrics and counts x languages, split by width."""
    languages: Mapping[str, Scores] = found["languages"]
    counts = [count for count in COUNTS if any(scored.get(count) for scored in languages.values())]
    cell = 2 + max(5, *(len(f"{scored[count]:,}") for scored in languages.values() for count in counts))
    fit = max(1, (width - 14) // cell)
    tags, tables = list(languages), []
    for first in range(0, len(tags), fit):
        some = tags[first : first + fit]
        title = f"{task.title} by language" if first == 0 else None
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("", no_wrap=True)
        for tag in some:
            table.add_column(tag, justify="right", no_wrap=True)
        for metric in task.metrics:
            table.add_row(METRICS.get(metric, metric), *(f"{languages[tag][metric]:.1f}" for tag in some))
        for count in counts:
            table.add_row(count, *(f"{languages[tag][count]:,}" for tag in some), style="dim")
        tables.append(table)
    return tables


def score_notes(found: Scores) -> list[str]:
    """List missing scores, and limits of the others."""
    said = [f"{TASKS[name].title}: no score, there are {why}." for name, why in found["absent"].items()]
    for name, task in found["tasks"].items():
        title, absent, languages = TASKS[name].title, task["absent"], task["languages"]
        if absent:
            published = len(languages) + len(absent)
            said.append(f"{title}: {len(languages)} of {published} languages; absent {', '.join(absent)}.")
        for count, what in (("missing", "without a prediction, scored 0"), ("extra", "predicted that have no label")):
            if total := sum(scored.get(count, 0) for scored in languages.values()):
                said.append(f"{title}: {total:,} examples {what}.")
    if any(task["absent"] for task in found["tasks"].values()):
        said.append("A mean over fewer languages is not comparable with published ones.")
    if found["left_out"]:
        said.append(f"Not part of {found['version']}, left out: {', '.join(found['left_out'])}.")
    if found["overall"] is None:
        said.append("No overall score: it needs every task.")
    return said
