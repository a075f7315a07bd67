"""The pocket data as a source.

It generates rows; nothing is read from disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa

from trainables.catalogue import Dataset
from trainables.readers import RowLabels


class World(Protocol):
    """The part of `trainables.pocket` that is used here."""

    def table(self, dataset: str, language: str, split: str, /) -> pa.Table | None: ...
    def label_names(self, dataset: str, /) -> Mapping[str, tuple[str, ...]]: ...
    def splits(self, dataset: str, /) -> Mapping[str, tuple[str, ...]]: ...


class PocketTables:
    spec = "pocket"

    def __init__(self, world: World | None = None) -> None:
        if world is None:
            from trainables import pocket

            world = pocket
        self._world = world
        self._tables: dict[tuple[str, str, str], pa.Table] = {}
        self._hashes: dict[tuple[str, str, str], str] = {}

    def languages(self, d: Dataset, split: str) -> tuple[str, ...]:
        return tuple(self._world.splits(d.name).get(split, ()))

    def num_rows(self, d: Dataset, language: str, split: str) -> int:
        return int(self._table(d, language, split).num_rows)

    def stated_rows(self, d: Dataset, language: str, split: str) -> int | None:
        return self.num_rows(d, language, split)

    def corpus_rows(self, d: Dataset, language: str, split: str) -> int:
        return self.num_rows(d, language, split)

    def fingerprint(self, d: Dataset, language: str, split: str) -> str:
        """Hash the values rather than the bytes of a file.

        A new version of pyarrow then changes nothing.
        """
        key = (d.name, language, split)
        if key not in self._hashes:
            table, names = self.table(d, language, split)
            content = {"columns": table.to_pydict(), "labels": {c: list(n) for c, n in names.items()}}
            canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            self._hashes[key] = hashlib.sha256(canonical.encode()).hexdigest()
        return self._hashes[key]

    def table(self, d: Dataset, language: str, split: str) -> tuple[pa.Table, RowLabels]:
        return self._table(d, language, split), {c: tuple(n) for c, n in self._world.label_names(d.name).items()}

    def standin(self, d: Dataset) -> bool:
        return True

    def unread(self) -> tuple[str, ...]:
        return ()

    def comes_from(self, d: Dataset) -> str:
        return self.spec

    def origin(self, d: Dataset, language: str, split: str) -> str:
        return "pocket"

    def _table(self, d: Dataset, language: str, split: str) -> pa.Table:
        key = (d.name, language, split)
        if key not in self._tables:
            table = self._world.table(*key)
            if table is None:
                raise LookupError(f"the pocket world lists {'/'.join(key)} and makes no table for it")
            self._tables[key] = table
        return self._tables[key]
