"""From stored tables to validated examples: the part that every kind of source shares."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.catalogue import Dataset
from trainables.errors import BadInput, DataError
from trainables.examples import Bitext, Example, Labelled
from trainables.readers import RowLabels


class Tables(Protocol):
    """What one kind of source has to answer; `TableSource` does the rest."""

    @property
    def spec(self) -> str: ...
    def languages(self, d: Dataset, split: str) -> tuple[str, ...]: ...
    def num_rows(self, d: Dataset, language: str, split: str) -> int: ...
    def fingerprint(self, d: Dataset, language: str, split: str) -> str: ...
    def table(self, d: Dataset, language: str, split: str) -> tuple[pa.Table, RowLabels]: ...
    def standin(self, d: Dataset) -> bool: ...


class TableSource:
    """A `Source` over stored tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._labels: dict[str, tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"<source {self.spec}>"

    @property
    def spec(self) -> str:
        return self._tables.spec

    def languages(self, d: Dataset, split: str) -> tuple[str, ...]:
        return english_first(self._tables.languages(d, split))

    def num_rows(self, d: Dataset, language: str, split: str) -> int:
        self._require(d, language, split)
        return self._tables.num_rows(d, language, split)

    def fingerprint(self, d: Dataset, language: str, split: str) -> str:
        self._require(d, language, split)
        return self._tables.fingerprint(d, language, split)

    def standin(self, d: Dataset) -> bool:
        return self._tables.standin(d)

    def labels(self, d: Dataset) -> tuple[str, ...]:
        if d.labels or d.label_column is None:
            return d.labels
        if d.name not in self._labels:
            self._labels[d.name] = self._open_labels(d, d.label_column)
        return self._labels[d.name]

    def examples(self, d: Dataset, language: str, split: str, take: int | None = None) -> list[Example]:
        self._require(d, language, split)
        table, names = self._tables.table(d, language, split)
        where = f"{d.name}/{language}/{split}"
        if d.label_column and not d.labels and names.get(d.label_column) != self.labels(d):
            raise DataError(
                f"{where}: the label names of column {d.label_column!r} differ from those of the train split"
            )
        rows = evenly(table.num_rows, take)
        if len(rows) < table.num_rows:
            table = table.take(pa.array(rows, pa.int64()))
        return _read(d, table, rows, names, where)

    def parallel(self, d: Dataset, language: str, split: str) -> list[Bitext]:
        if d.parallel_key is None:
            raise BadInput(f"{d.name} has no parallel rows")
        if language == "en":
            return []
        english = {e.id: e.first for e in self.examples(d, "en", split) if isinstance(e, Labelled)}
        own = (e for e in self.examples(d, language, split) if isinstance(e, Labelled))
        return [Bitext(e.id, e.first, english[e.id]) for e in own if e.id in english]

    def _require(self, d: Dataset, language: str, split: str) -> None:
        known = self.languages(d, split)
        if language not in known:
            has = f"it has {', '.join(known)}" if known else "it has no such split"
            raise BadInput(f"{self.spec} has no {d.name}/{language}/{split} ({has})")

    def _open_labels(self, d: Dataset, column: str) -> tuple[str, ...]:
        for split in ("train", "validation", "test"):
            for language in self.languages(d, split)[:1]:
                names = self._tables.table(d, language, split)[1].get(column, ())
                if not names:
                    raise DataError(f"{d.name}/{language}/{split}: column {column!r} declares no ClassLabel names")
                return tuple(names)
        raise BadInput(f"{self.spec} has no {d.name}")


def evenly(num_rows: int, take: int | None) -> list[int]:
    """Row numbers of at most `take` rows, evenly spaced: floor(i * num_rows / take)."""
    if take is not None and take < 1:
        raise BadInput(f"take must be at least 1, not {take}")
    if take is None or take >= num_rows:
        return list(range(num_rows))
    return [i * num_rows // take for i in range(take)]


def english_first(languages: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(languages), key=lambda tag: (tag != "en", tag)))


def class_labels(schema: pa.Schema, where: str) -> dict[str, tuple[str, ...]]:
    """ClassLabel names per column, of the column or of its elements, as `datasets` reads them from the schema."""
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    from datasets import ClassLabel, Features

    try:
        features = Features.from_arrow_schema(schema)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: its 'huggingface' metadata cannot be read ({error!r})") from None
    found = {}
    for column, feature in features.items():
        while hasattr(feature, "feature"):
            feature = feature.feature
        if isinstance(feature, ClassLabel) and feature.names:
            found[column] = tuple(feature.names)
    return found


def read_parquet(files: Sequence[Path]) -> tuple[pa.Table, dict[str, tuple[str, ...]]]:
    """The files one after another, with the label names that all of them declare. Raises DataError if they disagree."""
    tables, names = [], []
    for file in files:
        try:
            tables.append(pq.read_table(file, partitioning=None))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file} is not a Parquet file that can be read: {error}") from error
        names.append(class_labels(tables[-1].schema, str(file)))
        if names[-1] != names[0] or tables[-1].schema.names != tables[0].schema.names:
            raise DataError(f"{file} has other columns or label names than {files[0]}")
    return pa.concat_tables(tables, promote_options="permissive") if len(tables) > 1 else tables[0], names[0]


def count_rows(files: Sequence[Path]) -> int:
    try:
        return sum(pq.read_metadata(file).num_rows for file in files)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{error} (in {', '.join(map(str, files))})") from error


_hashes: dict[tuple[str, int, int], str] = {}


def hash_file(file: Path) -> str:
    """sha256 of the bytes; remembered in this process while size and time of the file stay the same."""
    stat = file.stat()
    key = (str(file), stat.st_size, stat.st_mtime_ns)
    if key not in _hashes:
        with file.open("rb") as stream:
            _hashes[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _hashes[key]


def join_hashes(hashes: Sequence[str]) -> str:
    """One file: its own hash, so that a mirror and the hub agree. Several: the hash of the list."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _read(d: Dataset, table: pa.Table, rows: Sequence[int], names: RowLabels, where: str) -> list[Example]:
    found: list[Example] = []
    ids: set[str] = set()
    for number, row in zip(rows, _dicts(table), strict=True):
        try:
            example = d.read(row, names)
        except ValueError as error:
            raise DataError(f"{where} row {number}: {error}") from error
        if example is None:
            continue
        if not example.id:
            example = dataclasses.replace(example, id=str(number))
        if example.id in ids:
            raise DataError(f"{where} row {number}: id {example.id!r} is that of an earlier row")
        ids.add(example.id)
        found.append(example)
    if rows and not found:
        raise DataError(f"{where}: none of its {len(rows)} rows can be used (no gold labels, or all are empty)")
    return found


def _dicts(table: pa.Table) -> Iterable[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=4096):
        yield from batch.to_pylist()
