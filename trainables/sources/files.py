"""Parquet files in the hub's layout: paths, content, hashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from trainables.catalogue import Dataset
from trainables.errors import DataError
from trainables.sources.guard import one_line, open_parquet, read_table


def paths_of(paths: Iterable[str], config: str, split: str, *, alone: bool) -> list[str]:
    """Find the paths of one split in one config.

    They are <config>/<split>-00000-of-00002.parquet on a default branch, <config>/<split>/0000.parquet on the converted
    one, <config>/<split>.parquet in a mirror made by hand.

    Args:
        alone: the dataset has only one config. Only then are the places without a config's name tried ("data",
            "default", the root): with several configs they would silently give every language the same rows.

    Returns:
        The paths in order; [] if there are none, or if a numbered file is missing.
    """
    names = list(paths)
    for place in (f"{config}/", f"data/{config}/", *(("data/", "default/", "") if alone else ())):
        for pattern in (f"{split}-*-of-*.parquet", f"{split}/*.parquet", f"{split}.parquet"):
            found = sorted(path for path in names if fnmatchcase(path, place + pattern))
            found = [path for path in found if path.count("/") == (place + pattern).count("/")]
            if found:
                total = re.search(r"-of-(\d+)(?:-[0-9a-f]+)?\.parquet$", found[0])
                return found if total is None or len(found) == int(total[1]) else []
    return []


def _class_labels(schema: pa.Schema, where: str) -> dict[str, tuple[str, ...]]:
    """Read ClassLabel names per column from a schema.

    The label is that of the column or of its elements, as `datasets` reads it.
    """
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
    """Concatenate files; return their rows and the label names they declare.

    Raises:
        DataError: the files differ in columns or label names.
    """
    tables, names = [], []
    for file in files:
        tables.append(read_table(file))
        names.append(_class_labels(tables[-1].schema, str(file)))
        if names[-1] != names[0] or tables[-1].schema.names != tables[0].schema.names:
            raise DataError(f"{file} has other columns or label names than {files[0]}")
    try:
        return pa.concat_tables(tables, promote_options="permissive") if len(tables) > 1 else tables[0], names[0]
    except pa.ArrowException as error:
        raise DataError(f"{files[0]} and its other parts have columns of different types: {one_line(error)}") from None


def only(d: Dataset, language: str, table: pa.Table) -> pa.Table:
    """Filter the rows of one language from a table with several (`Dataset.only`)."""
    if d.only is None:
        return table
    column, prefixes = d.only
    if column not in table.column_names or language not in prefixes:
        raise DataError(f"{d.name}/{language}: no column {column!r} to choose the rows of the language by")
    try:
        return table.filter(pc.starts_with(table[column].cast(pa.string()), prefixes[language]))
    except pa.ArrowException as error:
        raise DataError(
            f"{d.name}/{language}: column {column!r} cannot be compared with text: {one_line(error)}"
        ) from None


def count_rows(files: Sequence[Path]) -> int:
    """Count the rows of files from their footers alone.

    Raises:
        DataError: a file cannot be read.
    """
    return sum(open_parquet(file).metadata.num_rows for file in files)


_hashes: dict[tuple[str, int, int], str] = {}


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    It is cached in this process while size and modification time of the file stay the same.
    """
    stat = file.stat()
    key = (str(file), stat.st_size, stat.st_mtime_ns)
    if key not in _hashes:
        with file.open("rb") as stream:
            _hashes[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _hashes[key]


def join_hashes(hashes: Sequence[str]) -> str:
    """Combine hashes of files into one.

    One file keeps its own hash, so that a mirror and the hub agree; several get the hash of the list.
    """
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()
