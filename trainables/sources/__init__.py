"""Where rows come from. A source answers for (dataset, language, split); everything after it is the same code.

`pocket` is the small world that ships with the project, `mirror:<folder>` a folder of Parquet files in the hub's
layout, `hub` the Hugging Face hub. All three hold the hub's columns and are read by `trainables.readers`.
"""

from __future__ import annotations

from typing import Protocol

from trainables.catalogue import Dataset
from trainables.errors import BadInput, unknown
from trainables.examples import Bitext, Example
from trainables.sources.tables import TableSource

__all__ = ["Source", "open_source"]

SPECS = ("hub", "mirror:<folder>", "pocket")


class Source(Protocol):
    """Rows of the catalogue's datasets."""

    @property
    def spec(self) -> str:
        """What `open_source` takes to open this source again: "pocket", "mirror:/absolute/folder" or "hub"."""

    def languages(self, d: Dataset, split: str) -> tuple[str, ...]:
        """Languages with rows for this split, English first, then alphabetical; () if none."""

    def num_rows(self, d: Dataset, language: str, split: str) -> int:
        """Rows of the split as stored, before any is left out; cheap."""

    def fingerprint(self, d: Dataset, language: str, split: str) -> str:
        """Hex hash of the content: the same bytes give the same value on every machine and in every folder."""

    def labels(self, d: Dataset) -> tuple[str, ...]:
        """`d.labels`, or the names that the files declare where the catalogue leaves them open."""

    def examples(self, d: Dataset, language: str, split: str, take: int | None = None) -> list[Example]:
        """Validated examples, in file order. take = at most so many rows, floor(i * n / take): evenly spaced, and the
        same rows in every language of equal length. Raises DataError for a row that breaks its schema."""

    def parallel(self, d: Dataset, language: str, split: str) -> list[Bitext]:
        """Rows of `language` joined with the English rows of equal `d.parallel_key`; [] for English itself."""

    def standin(self, d: Dataset) -> bool:
        """True if any rows of this dataset are not the official ones: scores compare with no published number."""


def open_source(spec: str) -> Source:
    """The source that a spec names; BadInput if there is no such kind, no such folder or nothing of use in it."""
    kind, colon, folder = spec.partition(":")
    if kind == "pocket" and not colon:
        from trainables.sources.pocket import PocketTables

        return TableSource(PocketTables())
    if kind == "hub" and not colon:
        from trainables.sources.hub import HubTables

        return TableSource(HubTables())
    if kind == "mirror":
        from trainables.sources.mirror import MirrorTables

        if not folder:
            raise BadInput(f"source {spec!r} names no folder (write mirror:<folder>)")
        return TableSource(MirrorTables(folder))
    if not colon and ("/" in spec or spec.startswith(".")):
        raise BadInput(f"unknown source {spec!r}, did you mean 'mirror:{spec}'? (allowed: {', '.join(SPECS)})")
    raise unknown("source", spec, SPECS)
