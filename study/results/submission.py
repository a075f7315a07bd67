"""Write predictions in XTREME's submission layout: per target those of its best recipe, first seed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.record.record import Record, Trial, code_version, table_order
from study.results.report import literals
from study.results.selection import CHOSEN_BY, ENGLISH_DEV, Candidate, best_of, is_scored, is_zero_shot, target_score
from study.results.transfer_matrix import build
from study.store.store import Store
from study.xtreme.layout import (
    TASKS,
    VERSIONS,
    Task,
    Version,
    json_text,
    known_languages,
    lines_text,
    squad_text,
    tags_text,
)
from trainables.atomic_file import write_atomic
from trainables.catalogue import Dataset, dataset
from trainables.errors import BadInput

if TYPE_CHECKING:
    from trainables.sources import Source

# Entries of the catalogue that are a task of XTREME or XTREME-R in other words or languages; all others share its name.
VARIANTS = {
    "udpos_fused": "udpos",
    "udpos_r": "udpos",
    "panx_r": "panx",
    "xquad_r": "xquad",
    "tatoeba_r": "tatoeba",
}
Rows = Sequence[tuple[str, str]]  # (id, prediction) of one language


@dataclass(frozen=True)
class SubmissionChoice:
    """Recipe whose predictions of a target are written, and by what it was chosen."""

    target: str
    task: Task
    trial: Trial
    selection: float | None  # its English dev score, mean over the seeds
    chosen_by: str

    @property
    def address(self) -> str:
        """Evaluation of the first seed."""
        return self.trial.evaluations[self.target][0]


@dataclass(frozen=True, kw_only=True)
class SubmittedTarget:
    """Written predictions of one target: folder, recipe, evaluation, and the split of every language."""

    folder: str
    recipe: str
    address: str
    evaluation: str
    chosen_by: str
    selection: float | None
    splits: Mapping[str, str]
    languages_left_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Content of `submission.json`; `left_out`: target that was not written -> why."""

    study: str
    source: str
    encoder: str
    scale: float
    version: Version
    seed: int
    seeds: int
    targets: Mapping[str, SubmittedTarget]
    left_out: Mapping[str, str]
    out: str
    labels: str | None
    made_by: str

    def to_dict(self) -> dict[str, Any]:
        """Return literals for JSON."""
        return {field.name: literals(getattr(self, field.name)) for field in fields(self)}


def write(record: Record, store: Store, out: Path, labels: Path | None = None) -> Submission:
    """Write the predictions below `out` with a `submission.json` beside them, and the gold labels below `labels`.

    Raises BadInput when there is nothing to write or the rows have changed.
    """
    settings = record.settings
    choices, left_out = choose(record, store)
    if not choices:
        raise BadInput(f"study {record.name!r} has nothing to submit: {_reasons(left_out)}")
    source = _source(settings.source) if labels else None
    files: dict[Path, str] = {}
    targets = {}
    for choice in choices:
        d, splits = dataset(choice.target), store.metrics(choice.address).splits
        written = {tag: split for tag, split in splits.items() if tag in known_languages(choice.task)}
        predictions = _predictions(store.folder(choice.address) / "predictions.parquet")
        for tag, split in written.items():
            rows = predictions.get(tag, [])
            files[out / choice.task.file(tag)] = PREDICTED[choice.task.shape](rows)
            if labels and source:
                gold = _gold(choice.task, d, tag, split, source, settings.scale, rows)
                files[labels / choice.task.file(tag)] = gold
        targets[choice.target] = _entry(choice, written, [tag for tag in splits if tag not in written])
    found = Submission(
        study=record.name,
        source=settings.source,
        encoder=settings.encoder,
        scale=settings.scale,
        version=_version(targets.values()),
        seed=0,
        seeds=settings.seeds,
        targets=targets,
        left_out=left_out,
        out=str(out),
        labels=str(labels) if labels else None,
        made_by=f"stepstone {code_version()}",
    )
    files[out / "submission.json"] = json_text(found.to_dict())
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
    return found


def _entry(choice: SubmissionChoice, splits: Mapping[str, str], left_out: Sequence[str]) -> SubmittedTarget:
    return SubmittedTarget(
        folder=choice.task.name,
        recipe=choice.trial.name,
        address=choice.trial.address,
        evaluation=choice.address,
        chosen_by=choice.chosen_by,
        selection=choice.selection,
        splits=splits,
        languages_left_out=tuple(left_out),
    )


def _version(targets: Collection[SubmittedTarget]) -> Version:
    """Return the version that has most of what is written; XTREME where both have as much."""

    def known(version: Version) -> int:
        return sum(len(t.splits.keys() & set(TASKS[t.folder].languages.get(version, ()))) for t in targets)

    return max(VERSIONS, key=known)


# ---- which recipe ----


def choose(record: Record, store: Store) -> tuple[list[SubmissionChoice], dict[str, str]]:
    """Choose for each target the recipe with the best English dev score, among those that may be chosen.

    A target without English dev scores takes the study's best recipe. Returns the choices in the study's order, and
    target -> why it is left out.
    """
    settings = record.settings
    complete = [t for t in table_order(record.trials()) if t.status == "complete" and is_zero_shot(t.recipe)]
    best = cache(lambda: build(record, store).best)
    choices: dict[str, SubmissionChoice] = {}  # by folder
    left_out: dict[str, str] = {}
    for target in sorted(settings.targets, key=lambda name: name in VARIANTS):
        task = TASKS.get(VARIANTS.get(target, target))
        usable = [trial for trial in complete if is_scored(trial, target, store.has)]
        if task is None:
            left_out[target] = "not a task of XTREME or XTREME-R"
        elif task.name in choices:
            left_out[target] = f"{choices[task.name].target} has its folder"
        elif not usable:
            left_out[target] = "no complete trial that may be chosen has its scores"
        elif settings.selection == ENGLISH_DEV and (own := _best_on(target, usable, store)):
            choices[task.name] = SubmissionChoice(target, task, own.trial, own.selection, "its English dev score")
        elif of_study := next((t for t in usable if (found := best()) and t.address == found.address), None):
            by = f"the study's best recipe, by {CHOSEN_BY[settings.selection]}"
            choices[task.name] = SubmissionChoice(target, task, of_study, None, by)
        else:
            left_out[target] = "it has no English dev score, and the study has no best recipe"
    order = list(settings.targets)
    return sorted(choices.values(), key=lambda choice: order.index(choice.target)), left_out


def _best_on(target: str, trials: Sequence[Trial], store: Store) -> Candidate | None:
    """Return the best trial by the English dev scores of one target; None if it has none."""
    scored = ((t, target_score(target, t.evaluations[target], store, ENGLISH_DEV)) for t in trials)
    return best_of(Candidate(trial, score) for trial, score in scored)


def _reasons(left_out: Mapping[str, str]) -> str:
    return "; ".join(f"{target}: {why}" for target, why in left_out.items())


# ---- files ----


def _predictions(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Read (id, prediction) of every example by language, in the order of the examples."""
    import pyarrow.parquet as pq

    if not path.exists():
        raise BadInput(f"{path} is not there: this evaluation is older than predictions; remove its folder and resume")
    found: dict[str, list[tuple[str, str]]] = {}
    table = pq.read_table(path, columns=["language", "id", "prediction"])
    for language, key, prediction in zip(*(column.to_pylist() for column in table.columns), strict=True):
        found.setdefault(language, []).append((key, prediction))
    return found


PREDICTED: Mapping[str, Callable[[Rows], str]] = {
    "labels": lambda rows: lines_text(text for _, text in rows),
    "choices": lambda rows: lines_text(json.dumps({"label": int(text)}) for _, text in rows),
    "indices": lambda rows: lines_text(text for _, text in rows),
    "tags": lambda rows: tags_text(text.split() for _, text in rows),
    "answers": lambda rows: json_text(dict(rows)),
    "pairs": lambda rows: lines_text(f"{source}\t{target}" for source, target in rows),
    "rankings": lambda rows: json_text({key: json.loads(text) for key, text in rows}),
}


def _source(spec: str) -> Source:
    from trainables.sources import open_source

    return open_source(spec)


def _gold(task: Task, d: Dataset, language: str, split: str, source: Source, scale: float, rows: Rows) -> str:
    """Write the label file of the rows that were scored; BadInput if the source has other rows now."""
    from trainables.training.data import Data
    from trainables.training.distributed import ProcessGroup

    examples: Any = Data(source, Path(), None, ProcessGroup(), scale, {}).examples(d, language, split)
    names = source.labels(d)
    if task.shape == "pairs":
        return lines_text(f"{pair.source}\t{pair.target}" for pair in examples)
    if task.shape == "rankings":
        gold: dict[str, list[str]] = {}
        for pair in examples:
            gold.setdefault(pair.source, []).append(pair.target)
        return json_text(gold)
    if [e.id for e in examples] != [key for key, _ in rows]:
        raise BadInput(f"{source.spec}: the rows of {d.name}/{language}/{split} are not those that were scored")
    if task.shape == "indices":
        return lines_text(str(number) for number in range(len(examples)))
    if task.shape == "answers":
        return squad_text(d.title, [(e.id, e.question, e.context, e.answers) for e in examples])
    if task.shape == "tags":
        return tags_text([names[tag] for tag in e.tags] for e in examples)
    labels = [names[e.label] for e in examples]
    return lines_text(json.dumps({"label": int(n)}) for n in labels) if task.shape == "choices" else lines_text(labels)


# ---- for people ----


def print_submission(found: Submission, console: Console) -> None:
    """Print what was written and what was not, for a terminal of 80 columns or more."""
    title = f"{'Pocket data: ' if found.source == 'pocket' else ''}{found.study}, seed 0 of {found.seeds}"
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", no_wrap=True)
    table.add_column("recipe", overflow="fold", min_width=20)
    table.add_column("chosen by", overflow="fold")
    table.add_column("languages", justify="right", no_wrap=True)
    table.add_column("split", no_wrap=True)
    for target in found.targets.values():
        by = "study's best" if target.selection is None else f"English dev {target.selection:.1f}"
        splits = ", ".join(sorted(set(target.splits.values())))
        table.add_row(target.folder, escape(target.recipe), by, str(len(target.splits)), splits)
    console.print()
    console.print(table)
    for why in dict.fromkeys(t.chosen_by for t in found.targets.values() if t.selection is None):
        console.print(escape(f"- Without English dev scores of its own a task takes {why}."), soft_wrap=True)
    for name, why in found.left_out.items():
        console.print(escape(f"- {name} is left out: {why}."), soft_wrap=True)
    for name, target in found.targets.items():
        if target.languages_left_out:
            tags = ", ".join(target.languages_left_out)
            console.print(escape(f"- {name}: languages that XTREME lacks are left out: {tags}."), soft_wrap=True)
    console.print(escape(f"\nwritten to  {found.out}"), soft_wrap=True)
    if found.labels:
        console.print(escape(f"labels      {found.labels}"), soft_wrap=True)
        version = [] if found.version == VERSIONS[0] else ["--version", found.version]
        arguments = ["--predictions", found.out, "--labels", found.labels, *version]
        command = shlex.join(["python", "-m", "study.score", *arguments])
        console.print(escape(f"score it    {command}"), soft_wrap=True)
