"""What a source has of each dataset, and whether it is what the catalogue expects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from study.planning.rows_check import check_language
from trainables.catalogue import POOLED, RETRIEVAL, Dataset, dataset
from trainables.errors import BadInput, DataError
from trainables.sources import Source

SPLITS = ("train", "validation", "test")


@dataclass
class Finding:
    """One dataset: `state` is ok, partial (languages are missing), stand-in, differs, broken or absent."""

    name: str
    title: str
    state: str = "ok"
    read: bool = True  # every row was read, not only lists and cards of the hub
    rows: dict[str, dict[str, int | None]] = field(default_factory=dict)  # split -> language -> rows as stored
    missing: list[str] = field(default_factory=list)  # languages of the published set without any rows
    left_out: int = 0  # rows that the rules of the dataset leave out: no gold label, no words, unequal lengths
    examples: int | None = None  # what the rows that were read became; None: nothing was read
    problems: list[str] = field(default_factory=list)
    origin: str = ""
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_data(source: Source, datasets: Iterable[Dataset], *, read_hub: bool) -> list[Finding]:
    """A finding for each dataset. Every row is read, but of the hub only lists and cards unless `read_hub`."""
    return [_check(source, d, read=read_hub or "hub" not in source.comes_from(d)) for d in datasets]


def _check(source: Source, d: Dataset, *, read: bool) -> Finding:
    found = Finding(d.name, d.title, read=read)
    present = {split: source.languages(d, split) for split in SPLITS}
    if not any(present.values()):
        found.state, found.advice = "absent", _advice(source, d)
        return found
    standin = source.standin(d)
    for split in SPLITS:
        for language in present[split]:
            try:
                _check_split(source, d, language, split, found, official=not standin, read=read)
            except (DataError, BadInput) as error:
                found.state = "broken"
                found.problems.append(str(error))
                return found
    there = {language for languages in present.values() for language in languages}
    found.missing = [language for language in d.configs if language not in there]
    untrained = d.train_on == d.name and "en" not in present["train"]
    if standin:
        found.state = "stand-in"
    elif found.problems:
        found.state = "differs"
    elif found.missing or untrained:
        found.state = "partial"
    if untrained:
        found.problems.append("it has no English training rows")
    return found


def _check_split(
    source: Source, d: Dataset, language: str, split: str, found: Finding, *, official: bool, read: bool
) -> None:
    where = f"{language}/{split}"
    found.origin = found.origin or source.origin(d, language, split)
    rows = source.num_rows(d, language, split) if read else source.stated_rows(d, language, split)
    found.rows.setdefault(split, {})[language] = rows
    expected = d.expected_rows(language, split)
    if official and None not in (rows, expected) and rows != expected:
        found.problems.append(f"{where} has {rows:,} rows, not {expected:,}")
    check_language(d, language, split)
    if not read:
        source.origin(d, language, split)  # raises where the files are not all there
        return
    source.check_labels(d, language, split)
    examples = len(source.examples(d, language, split)) if rows else 0
    found.examples = (found.examples or 0) + examples
    found.left_out += (rows or 0) - examples
    wanted = d.expected_examples(language, split)
    if official and wanted is not None and examples != wanted:
        found.problems.append(f"{where} gives {examples:,} examples, not {wanted:,}")
    if d.kind in POOLED:
        source.pool(d, language, split, "source")
        source.pool(d, language, split, "target")
    if split == "train" and language == "en" and d.kind not in (*RETRIEVAL, "text"):
        source.labels(d)


def _advice(source: Source, d: Dataset) -> str:
    """What brings rows of a dataset that a source lacks."""
    if source.spec == "pocket":
        return "the pocket world has none: use another source"
    if d.crosses:
        return f"pairs the {d.scored} rows of {d.crosses}: bring those"
    if d.of:
        lacking = [part for part in d.of if not source.languages(dataset(part), "train")]
        return f"is made of {', '.join(d.of)}; bring {', '.join(lacking) or 'their splits'}"
    if d.bring:
        return f"put into a mirror: {d.bring}"
    return f"on the hub: {d.hub}"
