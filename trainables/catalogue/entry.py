"""The type of a catalogue entry: files, columns, scores of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from trainables.examples import Example
from trainables.formats import Format, format_of
from trainables.readers import Reader

Role = Literal["intermediate", "glue", "target", "mlm", "parallel"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A repository of the hub that holds a dataset.

    `revision` None = its default branch, then its Parquet branch.
    """

    hub: str
    configs: Mapping[str, str]  # language -> config, in published order
    splits: Mapping[str, str]  # our split -> the hub's; "a+b" reads a, then b; "{}" is replaced by the language
    revision: str | None = None

    def parts(self, language: str, split: str) -> tuple[str, ...]:
        """List the hub's splits that make up a split of a language, in order.

        () where this place does not have it.
        """
        if language not in self.configs or split not in self.splits:
            return ()
        return tuple(part.replace("{}", language) for part in self.splits[split].split("+"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """One dataset.

    Compared by identity: there is one entry per name; send the name between processes.

    A dataset of a pooled kind has three tables for each split: "pairs_<split>", "source_<split>", "target_<split>".
    """

    name: str  # the catalogue name: command line, recipes, reports, mirror.toml
    title: str  # short name for tables
    kind: str  # that of its format, see `trainables.formats`
    read: Reader
    hub: str | None  # "owner/name"; None: not on the hub, only in a mirror or the pocket data
    configs: Mapping[str, str]  # as `Place.configs`
    splits: Mapping[str, str]  # as `Place.splits`
    revision: str | None = None
    also: tuple[Place, ...] = ()  # other repositories, in the order to try
    # canonical names in the hub's id order; () where the files declare them or there are none
    labels: tuple[str, ...] = ()
    # column whose ClassLabel names are the (tag) labels, where `labels` cannot fix them
    label_column: str | None = None
    metrics: tuple[str, ...] = ("accuracy",)  # all metrics of a score
    main: tuple[str, ...] = ("accuracy",)  # metrics whose unweighted mean is the main score
    scored: str  # split whose scores are reported
    train_on: str | None  # dataset whose English train split trains it; None = no training (retrieval)
    train_first: str | None = None  # dataset trained before `train_on` with the same head, where the source has it
    roles: frozenset[Role]
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # split -> language ("*": any other) -> rows
    # the same for usable rows, where some have no gold label
    kept: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    licence: str
    cite: str
    bring: str = ""  # what the hub lacks: which files to put where in a mirror
    parallel_key: str | None = None  # column that joins a row across languages
    translated_by: Literal["people", "machine"] | None = None  # origin of the rows that are parallel to English ones
    translated: str | None = None  # dataset with translations of its training rows; None = itself, if any
    absent: Mapping[str, frozenset[str]] = field(default_factory=dict)  # split -> languages that have no such split
    max_files: int | None = None  # of a split in many files on the hub, the number of first files that are read
    only: tuple[str, Mapping[str, str]] | None = None  # (column, language -> prefix): rows of a table of many languages
    of: tuple[str, ...] = ()  # datasets whose concatenated rows are this one's
    # dataset of labelled pairs with parallel rows: "A-B" has the first text of its rows in A and the second in B
    crosses: str = ""
    regroup: Callable[[list[Example]], list[Example]] | None = None  # makes examples from the examples of the rows
    answers: Literal["squad", "mlqa"] = "squad"  # evaluation script whose rules compare answers
    own_format: Format | None = None  # of its kind, where that is none of the built-in ones

    @property
    def format(self) -> Format:
        """What its kind means: how its examples become rows, what a head predicts, how predictions are scored."""
        return format_of(self.kind)

    @property
    def holds_translations(self) -> bool:
        """Whether training rows can be paired with their English originals."""
        return self.parallel_key is not None or (self.format.parallel and "train" in self.splits)

    @property
    def in_translation(self) -> str:
        """Name of the dataset with translations of its training rows.

        Its twin, or itself; there may be no such rows.
        """
        return self.translated or self.name

    @property
    def places(self) -> tuple[Place, ...]:
        """Every repository that may hold it, in the order to try."""
        if self.hub is None:
            return self.also
        return (Place(hub=self.hub, configs=self.configs, splits=self.splits, revision=self.revision), *self.also)

    def tables(self, split: str) -> tuple[str, ...]:
        """Name the tables that make up a split."""
        return self.format.tables(split)

    def expected_rows(self, language: str, split: str) -> int | None:
        """Return the number of rows of the official split, None if unknown."""
        known = self.rows.get(split, {})
        return known.get(language, known.get("*"))

    def expected_examples(self, language: str, split: str) -> int | None:
        """Return the number of usable rows of the official split.

        Usable rows become examples. None where that number is not published separately.
        """
        known = self.kept.get(split, {})
        return known.get(language, known.get("*"))
