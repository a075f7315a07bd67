"""Whether heads and metrics can take what a source has, asked before anything starts rather than found in every trial."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from study.planning.plan import Plan
from trainables.catalogue import POOLED, Dataset, dataset
from trainables.configs import Evaluate, all_data
from trainables.errors import BadInput, DataError
from trainables.evaluation.metrics import languages_compared
from trainables.recipe import digest
from trainables.sources import Source

VERSION = 1  # counts up when readers or this check refuse more than before
FILE = "checked.json"
LABELLED = ("labelled", "choice", "words", "intent")  # kinds whose files may declare label names
PATIENCE_S = 3.0

Parts = Mapping[str, tuple[tuple[str, str], ...]]  # dataset -> (language, split) of the rows that are needed


def needed_by(plans: Iterable[Plan]) -> Parts:
    """The rows that the stages of some plans read, each once."""
    keys = dict.fromkeys(key for plan in plans for node in plan.nodes for key in all_data(node.config))
    found: dict[str, list[tuple[str, str]]] = {}
    for key in keys:
        name, language, split = key.split("/")
        found.setdefault(name, []).append((language, split))
    return {name: tuple(parts) for name, parts in found.items()}


def heads_of(plans: Iterable[Plan]) -> dict[str, str]:
    """Target -> the dataset whose head scores it, where one does."""
    configs = (node.config for plan in plans for node in plan.nodes)
    return {config.target: config.head for config in configs if isinstance(config, Evaluate) and config.head}


def check_rows(
    source: Source,
    plans: Iterable[Plan],
    home: Path,
    say: Callable[[str], None],
    *,
    read: bool = True,
) -> None:
    """Raises BadInput for the first language, label or row that the plans need and that cannot be trained on or scored.

    Every row is read once per home and content: `checked.json` remembers what passed. Without `read` only languages and
    declared label names are looked at, and nothing that would be downloaded.
    """
    plans = list(plans)
    needed, started = needed_by(plans), time.monotonic()
    for name, parts in needed.items():
        for language, split in parts:
            check_language(dataset(name), language, split)
    known = _remembered(home)
    passed = {}
    try:
        for name, parts in needed.items():
            d = dataset(name)
            key = _key(source, d, parts)
            if key in known or not (read or _is_here(source, d)):
                continue
            if time.monotonic() - started > PATIENCE_S:
                say(f"checking the rows of {name}")
            for language, split in parts:
                _check_part(source, d, language, split, read)
            passed[key] = name
        for target, head in heads_of(plans).items():
            if read or (_is_here(source, dataset(target)) and _is_here(source, dataset(head))):
                _check_head(source, dataset(target), dataset(head))
    except DataError as error:
        raise BadInput(f"source {source.spec!r}: {error}") from error
    if read and passed:  # a refusal leaves nothing behind
        _remember(home, passed)


def check_language(d: Dataset, language: str, split: str) -> None:
    """Raises BadInput for rows in a language that the dataset's metric has no rules for."""
    known = languages_compared(d.answers)
    if known is not None and language not in known:
        raise BadInput(
            f"{d.name}/{language}/{split}: the metric of {d.title} has no rules for language {language!r} "
            f"(allowed: {', '.join(known)})"
        )


def mark_checked(source: Source, plans: Iterable[Plan], home: Path) -> None:
    """Remembers the rows of these plans as checked, without reading them."""
    needed = needed_by(plans)
    _remember(home, {_key(source, dataset(name), parts): name for name, parts in needed.items()})


def _check_part(source: Source, d: Dataset, language: str, split: str, read: bool) -> None:
    if d.kind in LABELLED:
        source.check_labels(d, language, split)
    if not read:
        return
    if not source.examples(d, language, split):
        raise DataError(f"{d.name}/{language}/{split}: it has no rows")
    if d.kind in POOLED:
        source.pool(d, language, split, "source")
        source.pool(d, language, split, "target")


def _check_head(source: Source, target: Dataset, head: Dataset) -> None:
    """The classes or tags of a target must be among those of what trains its head; intents meet by name, known or not."""
    if target.kind not in ("labelled", "words"):
        return
    known = source.labels(head)
    strange = [label for label in source.labels(target) if label not in known]
    if strange:
        raise DataError(
            f"{target.name}: label {strange[0]!r} is unknown to the head trained on {head.name!r} "
            f"(allowed: {', '.join(known)})"
        )


def _is_here(source: Source, d: Dataset) -> bool:
    """Whether its rows are read without a download."""
    return "hub" not in source.comes_from(d)


def _key(source: Source, d: Dataset, parts: Iterable[tuple[str, str]]) -> str:
    """What was checked: the content of the rows, and what the catalogue makes of them."""
    content = {f"{language}/{split}": source.fingerprint(d, language, split) for language, split in parts}
    meaning = [d.name, d.kind, list(d.labels), d.label_column, list(d.metrics), d.answers]
    return digest({"version": VERSION, "dataset": meaning, "rows": content})


def _remembered(home: Path) -> dict[str, str]:
    """Key -> dataset of what has passed in this home; a file that cannot be read has remembered nothing."""
    try:
        found = json.loads((home / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(home: Path, passed: Mapping[str, str]) -> None:
    """Written by rename. Of two launches at once one may lose what the other wrote, which is then checked again."""
    temporary = home / f"{FILE}.{os.getpid()}"
    temporary.write_text(json.dumps(_remembered(home) | dict(passed), indent=1))
    os.replace(temporary, home / FILE)
