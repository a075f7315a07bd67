"""Where rows come from. A source answers for (dataset, language, split); everything after it is the same code.

`pocket` is the small world that ships with the project, `mirror:<folder>` a folder of Parquet files in the hub's
layout, `hub` the Hugging Face hub. All three hold the hub's columns and are read by `trainables.readers`. `A+B` is A
with B behind it, for datasets that A lacks.
"""

from __future__ import annotations

import re
from typing import Literal, Protocol

from trainables.catalogue import Dataset
from trainables.errors import BadInput, unknown
from trainables.examples import Bitext, Example, Text
from trainables.sources.tables import Tables, TableSource

__all__ = ["Source", "open_source"]

SPECS = ("hub", "mirror:<folder>", "pocket", "<source>+<source>")


class Source(Protocol):
    """Rows of the catalogue's datasets."""

    @property
    def spec(self) -> str:
        """What `open_source` takes to open this source again: "pocket", "mirror:/absolute/folder+hub" or the like."""

    def languages(self, d: Dataset, split: str) -> tuple[str, ...]:
        """Languages with rows for this split, English first, then alphabetical; () if none."""

    def num_rows(self, d: Dataset, language: str, split: str) -> int:
        """Rows of the split as stored, before any is left out; cheap."""

    def stated_rows(self, d: Dataset, language: str, split: str) -> int | None:
        """`num_rows` where it is known without a download, else None."""

    def fingerprint(self, d: Dataset, language: str, split: str) -> str:
        """Hex hash of the content: the same bytes give the same value on every machine and in every folder."""

    def labels(self, d: Dataset) -> tuple[str, ...]:
        """`d.labels`, or the names that the files declare where the catalogue leaves them open."""

    def check_labels(self, d: Dataset, language: str, split: str) -> None:
        """Raises DataError for a label name that the files declare and the dataset does not know. Reads a few rows."""

    def examples(self, d: Dataset, language: str, split: str, take: int | None = None) -> list[Example]:
        """Validated examples, in file order. take = at most so many rows, floor(i * n / take): evenly spaced, and the
        same rows in every language of equal length. Raises DataError for a row that breaks its schema.
        Of a pooled kind these are the gold pairs, each of which stands in both pools."""

    def pool(self, d: Dataset, language: str, split: str, side: Literal["source", "target"]) -> list[Text]:
        """All texts of one pool of a pooled kind: what is asked for (source: the language) or found (target)."""

    def parallel(self, d: Dataset, language: str, split: str) -> list[Bitext]:
        """Rows of `language` joined with the English rows of equal `d.parallel_key`; [] for English itself."""

    def standin(self, d: Dataset) -> bool:
        """True if any rows of this dataset are not the official ones: scores compare with no published number."""

    def unread(self) -> tuple[str, ...]:
        """What it holds that no dataset of the catalogue reads, for people."""

    def comes_from(self, d: Dataset) -> tuple[str, ...]:
        """Specs of the single sources that rows of a dataset come from: of A+B the one that has it, of a mix several."""

    def origin(self, d: Dataset, language: str, split: str) -> str:
        """Where the rows come from, for people: "facebook/xnli@1a2b...: de/test-00000-of-00001.parquet"."""


def open_source(spec: str) -> Source:
    """The source that a spec names; BadInput if there is no such kind, no such folder or nothing of use in it."""
    layers = [_open(part) for part in re.split(r"\+(?=hub$|hub\+|pocket$|pocket\+|mirror:)", spec)]
    if len(layers) == 1:
        return TableSource(layers[0])
    from trainables.sources.layered import LayeredTables

    return TableSource(LayeredTables(layers))


def _open(spec: str) -> Tables:
    kind, colon, folder = spec.partition(":")
    if kind == "pocket" and not colon:
        from trainables.sources.pocket import PocketTables

        return PocketTables()
    if kind == "hub" and not colon:
        from trainables.sources.hub import HubTables

        return HubTables()
    if kind == "mirror":
        from trainables.sources.mirror import MirrorTables

        if not folder:
            raise BadInput(f"source {spec!r} names no folder (write mirror:<folder>)")
        return MirrorTables(folder)
    if not colon and ("/" in spec or spec.startswith(".")):
        raise BadInput(f"unknown source {spec!r}, did you mean 'mirror:{spec}'? (allowed: {', '.join(SPECS)})")
    raise unknown("source", spec, SPECS)
