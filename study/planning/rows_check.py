"""Check of all rows, labels and languages before a study starts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from study.planning.plan import Plan
from trainables.atomic_file import parse_json, write_atomic
from trainables.catalogue import Dataset, dataset
from trainables.configs import Evaluate, all_data
from trainables.errors import BadInput, DataError
from trainables.metrics.formulas import languages_compared
from trainables.recipe import digest
from trainables.sources import Source

VERSION = 1  # incremented when readers or this check become stricter
FILE = "checked.json"
PATIENCE_S = 3.0

Parts = Mapping[str, tuple[tuple[str, str], ...]]  # dataset -> (language, split) of the rows that are needed


def needed_by(plans: Iterable[Plan]) -> Parts:
    """List the rows that the stages of these plans read, without duplicates."""
    keys = dict.fromkeys(key for plan in plans for node in plan.nodes for key in all_data(node.config))
    found: dict[str, list[tuple[str, str]]] = {}
    for key in keys:
        name, language, split = key.split("/")
        found.setdefault(name, []).append((language, split))
    return {name: tuple(parts) for name, parts in found.items()}


def heads_of(plans: Iterable[Plan]) -> dict[str, str]:
    """Map each target to the dataset whose head scores it, if any."""
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
    """Check that all rows of the plans can be trained on or scored.

    Each row is read once per home and content: `checked.json` lists what has passed.

    Args:
        say: prints one line of progress.
        read: read the rows; False checks only languages and declared label names, and downloads nothing.

    Raises:
        BadInput: for the first language, label or row that is not valid.
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
    if read and passed:  # nothing is noted after an error
        _remember(home, passed)


def check_language(d: Dataset, language: str, split: str) -> None:
    """Check that the dataset's metric supports the language.

    Raises:
        BadInput: it does not.
    """
    known = languages_compared(d.answers)
    if known is not None and language not in known:
        raise BadInput(
            f"{d.name}/{language}/{split}: the metric of {d.title} has no rules for language {language!r} "
            f"(allowed: {', '.join(known)})"
        )


def mark_checked(source: Source, plans: Iterable[Plan], home: Path) -> None:
    """Mark the rows of these plans as checked, without reading them."""
    needed = needed_by(plans)
    _remember(home, {_key(source, dataset(name), parts): name for name, parts in needed.items()})


def _check_part(source: Source, d: Dataset, language: str, split: str, read: bool) -> None:
    if d.format.labels_declared:
        source.check_labels(d, language, split)
    if not read:
        return
    if not source.examples(d, language, split):
        raise DataError(f"{d.name}/{language}/{split}: it has no rows")
    if d.format.pooled:
        source.pool(d, language, split, "source")
        source.pool(d, language, split, "target")


def _check_head(source: Source, target: Dataset, head: Dataset) -> None:
    """Check that the head has all classes or tags of the target.

    These are those of the head's training set. Intents are matched by name, and may be unknown to the head.

    Raises:
        DataError: a label is unknown.
    """
    if not target.format.labels_closed:
        return
    known = source.labels(head)
    strange = [label for label in source.labels(target) if label not in known]
    if strange:
        raise DataError(
            f"{target.name}: label {strange[0]!r} is unknown to the head trained on {head.name!r} "
            f"(allowed: {', '.join(known)})"
        )


def _is_here(source: Source, d: Dataset) -> bool:
    """Return whether the rows can be read without a download."""
    return "hub" not in source.comes_from(d)


def _key(source: Source, d: Dataset, parts: Iterable[tuple[str, str]]) -> str:
    """Hash the content of the rows and the catalogue fields that interpret them."""
    content = {f"{language}/{split}": source.fingerprint(d, language, split) for language, split in parts}
    meaning = [d.name, d.kind, list(d.labels), d.label_column, list(d.metrics), d.answers]
    return digest({"version": VERSION, "dataset": meaning, "rows": content})


def _remembered(home: Path) -> dict[str, str]:
    """Read key -> dataset of what has passed; {} if the file is unreadable."""
    try:
        found = parse_json((home / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(home: Path, passed: Mapping[str, str]) -> None:
    """Add keys to the file of passed checks.

    Of two launches at once one may overwrite the other's entries, which are then checked again.
    """
    home.mkdir(parents=True, exist_ok=True)
    write_atomic(home / FILE, json.dumps(_remembered(home) | dict(passed), indent=1))
