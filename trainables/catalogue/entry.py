"""What a dataset is, as a value: where it is, what its columns become, how it is scored."""

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
    """One repository of the hub that holds a dataset; `revision` None = its default branch, then its Parquet branch."""

    hub: str
    configs: Mapping[str, str]  # language -> config, in published order
    splits: Mapping[str, str]  # our split -> the hub's; "a+b" reads a, then b; "{}" in it stands for the language
    revision: str | None = None

    def parts(self, language: str, split: str) -> tuple[str, ...]:
        """The hub's splits that make up a split of a language, in order; () where this place does not have it."""
        if language not in self.configs or split not in self.splits:
            return ()
        return tuple(part.replace("{}", language) for part in self.splits[split].split("+"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """One dataset. Compared by identity: there is one entry per name; between processes send the name.

    A dataset of a pooled kind has three tables for each split: "pairs_<split>", "source_<split>", "target_<split>".
    """

    name: str  # the catalogue name: command line, recipes, reports, mirror.toml
    title: str  # short name for tables
    kind: str  # that of its format, see `trainables.formats`
    read: Reader
    hub: str | None  # "owner/name"; None: not on the hub, a mirror or the pocket world has it or nobody
    configs: Mapping[str, str]  # as `Place.configs`
    splits: Mapping[str, str]  # as `Place.splits`
    revision: str | None = None
    also: tuple[Place, ...] = ()  # where else it may be found, in order
    # canonical names in the hub's id order; () where the files name them or there are none
    labels: tuple[str, ...] = ()
    # column whose ClassLabel names are the (tag) labels, where `labels` cannot fix them
    label_column: str | None = None
    metrics: tuple[str, ...] = ("accuracy",)  # every number that a score holds
    main: tuple[str, ...] = ("accuracy",)  # those whose plain mean stands for the dataset
    scored: str  # the split whose scores are reported
    train_on: str | None  # whose English train split trains this dataset; None = nothing is trained (retrieval)
    train_first: str | None = None  # trained before `train_on` with the same head, where the source has it
    roles: frozenset[Role]
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # split -> language ("*": any other) -> rows
    # the same for the rows that can be used, where some have no gold label
    kept: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    licence: str
    cite: str
    bring: str = ""  # for what the hub does not have: which files to put where in a mirror
    parallel_key: str | None = None  # column that joins the same row over languages
    translated_by: Literal["people", "machine"] | None = None  # who made the rows that are parallel to English ones
    translated: str | None = None  # the dataset that holds translations of its training rows; None = itself, if any
    absent: Mapping[str, frozenset[str]] = field(default_factory=dict)  # split -> languages that have no such split
    max_files: int | None = None  # of a split that the hub holds in many files, read only the first so many
    only: tuple[str, Mapping[str, str]] | None = None  # (column, language -> prefix): rows of a table of many languages
    of: tuple[str, ...] = ()  # names of the datasets whose rows, one after another, are this one's
    # labelled pairs with parallel rows: "A-B" has the first text of its rows in A and the second text in B
    crosses: str = ""
    regroup: Callable[[list[Example]], list[Example]] | None = None  # makes its examples from those of the rows
    answers: Literal["squad", "mlqa"] = "squad"  # whose rules compare answers
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
        """Name of the dataset that holds its training rows in other languages, if any does: its twin, or itself."""
        return self.translated or self.name

    @property
    def places(self) -> tuple[Place, ...]:
        """Every repository that may hold it, in the order to try them."""
        if self.hub is None:
            return self.also
        return (Place(hub=self.hub, configs=self.configs, splits=self.splits, revision=self.revision), *self.also)

    def tables(self, split: str) -> tuple[str, ...]:
        """Names of the tables that make up a split."""
        return self.format.tables(split)

    def expected_rows(self, language: str, split: str) -> int | None:
        """Rows that the official split has; None where that is not known."""
        known = self.rows.get(split, {})
        return known.get(language, known.get("*"))

    def expected_examples(self, language: str, split: str) -> int | None:
        """Rows of the official split that become examples, where that number is published on its own."""
        known = self.kept.get(split, {})
        return known.get(language, known.get("*"))
