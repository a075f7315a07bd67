"""Check of a source's datasets against the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from study.planning.rows_check import check_language
from trainables.catalogue import Dataset, dataset
from trainables.errors import BadInput, DataError
from trainables.sources import Source

SPLITS = ("train", "validation", "test")


@dataclass
class Finding:
    """Result for one dataset.

    Attributes:
        state: ok, partial (languages are missing), stand-in, differs, broken or absent.
        read: all rows were read, not only the file lists and dataset cards of the hub.
        rows: split -> language -> rows as stored.
        missing: languages of the published set without any rows.
        left_out: rows excluded by the rules of the dataset: no gold label, no words, unequal lengths.
        examples: examples made from the rows that were read; None = nothing was read.
    """

    name: str
    title: str
    state: str = "ok"
    read: bool = True
    rows: dict[str, dict[str, int | None]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    left_out: int = 0
    examples: int | None = None
    problems: list[str] = field(default_factory=list)
    origin: str = ""
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return literals for --json."""
        return asdict(self)


def check_data(source: Source, datasets: Iterable[Dataset], *, read_hub: bool) -> list[Finding]:
    """Check each dataset of a source.

    All rows are read. Of the hub, only file lists and dataset cards are read, unless `read_hub`.
    """
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
        source.origin(d, language, split)  # raises if a file is missing
        return
    source.check_labels(d, language, split)
    examples = len(source.examples(d, language, split)) if rows else 0
    found.examples = (found.examples or 0) + examples
    found.left_out += (rows or 0) - examples
    wanted = d.expected_examples(language, split)
    if official and wanted is not None and examples != wanted:
        found.problems.append(f"{where} gives {examples:,} examples, not {wanted:,}")
    if d.format.pooled:
        source.pool(d, language, split, "source")
        source.pool(d, language, split, "target")
    if split == "train" and language == "en" and d.format.has_head:
        source.labels(d)


def _advice(source: Source, d: Dataset) -> str:
    """Explain how to add rows of a dataset that a source lacks."""
    if source.spec == "pocket":
        return "not in the pocket data: use another source"
    if d.crosses:
        return f"pairs the {d.scored} rows of {d.crosses}: add those"
    if d.of:
        lacking = [part for part in d.of if not source.languages(dataset(part), "train")]
        return f"made of {', '.join(d.of)}; add {', '.join(lacking) or 'their splits'}"
    if d.bring:
        return f"put into a mirror: {d.bring}"
    return f"on the hub: {d.hub}"
