"""Sources of rows, one interface for (dataset, language, split).

`pocket` is the synthetic data that ships with the project, `mirror:<folder>` a folder of Parquet files in the hub's
layout, `hub` the Hugging Face hub. All three have the hub's columns and are read by `trainables.readers`. `A+B` takes
from B the datasets that A lacks.
"""

from __future__ import annotations

import re
from typing import Literal, Protocol

from trainables.catalogue import Dataset
from trainables.errors import BadInput, unknown
from trainables.examples import Bitext, Example, Text
from trainables.sources.tables import Tables, TableSource

__all__ = ["Source", "open_source", "without_folders"]

SPECS = ("hub", "mirror:<folder>", "pocket", "<source>+<source>")


class Source(Protocol):
    """Rows of the catalogue's datasets."""

    @property
    def spec(self) -> str:
        """The argument of `open_source` that opens this source again.

        Such as "pocket" or "mirror:/absolute/folder+hub".
        """

    def languages(self, d: Dataset, split: str) -> tuple[str, ...]:
        """List the languages with rows for a split.

        English comes first, then alphabetical order; () if there are none.
        """

    def num_rows(self, d: Dataset, language: str, split: str) -> int:
        """Count the stored rows of a split, before any is left out; cheap."""

    def stated_rows(self, d: Dataset, language: str, split: str) -> int | None:
        """Return `num_rows` where it is known without a download, else None."""

    def corpus_rows(self, d: Dataset, language: str, split: str) -> int:
        """Count the rows of a split with those in files that are not read.

        At least `num_rows`; more where a dataset's `max_files` leaves files out.
        """

    def fingerprint(self, d: Dataset, language: str, split: str) -> str:
        """Return the hex hash of the content.

        The same bytes give the same value on every machine and in every folder.
        """

    def labels(self, d: Dataset) -> tuple[str, ...]:
        """Return `d.labels`, or the names that the files declare.

        The files count where the catalogue leaves the names open.
        """

    def check_labels(self, d: Dataset, language: str, split: str) -> None:
        """Check the label names that the files declare; reads a few rows.

        Raises:
            DataError: the dataset has no label of a declared name.
        """

    def examples(self, d: Dataset, language: str, split: str, take: int | None = None) -> list[Example]:
        """Return validated examples, in file order.

        Of a pooled kind these are the gold pairs, each of which is in both pools.

        Args:
            take: at most this many rows, floor(i * n / take): evenly spaced, and the same rows in every language of
                equal length; None = all.

        Raises:
            DataError: a row breaks its schema.
        """

    def pool(self, d: Dataset, language: str, split: str, side: Literal["source", "target"]) -> list[Text]:
        """Return all texts of one pool of a pooled kind.

        The source side has the queries (in `language`), the target side the candidates.
        """

    def parallel(self, d: Dataset, language: str, split: str) -> list[Bitext]:
        """Pair rows of `language` with the English rows of equal `d.parallel_key`.

        [] for English itself.
        """

    def standin(self, d: Dataset) -> bool:
        """Return whether any rows of a dataset are unofficial.

        Scores on such rows are not comparable with published numbers.
        """

    def unread(self) -> tuple[str, ...]:
        """Describe the content that no dataset of the catalogue reads."""

    def comes_from(self, d: Dataset) -> tuple[str, ...]:
        """List the specs of the single sources of a dataset's rows.

        Of A+B, the one that has it; of a mix, several.
        """

    def origin(self, d: Dataset, language: str, split: str) -> str:
        """Describe the origin of the rows for users.

        Such as "facebook/xnli@1a2b...: de/test-00000-of-00001.parquet".
        """


def open_source(spec: str) -> Source:
    """Open the source of a spec.

    Raises:
        BadInput: there is no such kind, no such folder, or nothing of use in it.
    """
    layers = [_open(part) for part in _parts(spec)]
    if len(layers) == 1:
        return TableSource(layers[0])
    from trainables.sources.layered import LayeredTables

    return TableSource(LayeredTables(layers))


def without_folders(spec: str) -> list[str]:
    """List the kinds of a spec's sources, without where a mirror's folder is."""
    return [part.partition(":")[0] for part in _parts(spec)]


def _parts(spec: str) -> list[str]:
    return re.split(r"\+(?=hub$|hub\+|pocket$|pocket\+|mirror:)", spec)


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
            raise BadInput(f"source {spec!r} has no folder (write mirror:<folder>)")
        return MirrorTables(folder)
    if not colon and ("/" in spec or spec.startswith(".")):
        raise BadInput(f"unknown source {spec!r}, did you mean 'mirror:{spec}'? (allowed: {', '.join(SPECS)})")
    raise unknown("source", spec, SPECS)
