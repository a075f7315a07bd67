"""Limits on data files, checked before their content is read.

A broken or hostile file causes a DataError instead of exhausting memory. The limits are far above every dataset of the
catalogue; `docs/safety.md` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainables.errors import DataError
from trainables.text_file import MAX_FILE_BYTES, check_file

MAX_FOOTER_BYTES = 16 * 2**20  # of a Parquet file's footer, which is read whole
MAX_VALUES = 50_000_000  # over all columns of a Parquet file
MAX_COLUMNS, MAX_DEPTH = 500, 16
MAX_CELL_BYTES = 10 * 2**20  # of one text
MAX_ITEMS = 100_000  # of one list: the words, labels or answers of a row
MAX_NAMES_BYTES = 2**20  # of the label names that a file declares
MAX_LABELS = 10_000  # of one dataset: each is a row of a classifier

_FAILURES = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError)


def open_parquet(file: Path) -> pq.ParquetFile:
    """Open a Parquet file and check the sizes that its footer states.

    No row is read.

    Raises:
        DataError: the file is broken or over a limit.
    """
    check_file(file)
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 8))
            size = int.from_bytes(stream.read(4), "little")
        if size <= MAX_FOOTER_BYTES:
            opened = pq.ParquetFile(file)
            opened.schema_arrow  # noqa: B018  parsed on access, and may be broken
    except _FAILURES as error:
        raise DataError(f"{file} is not a Parquet file that can be read: {one_line(error)}") from None
    if size > MAX_FOOTER_BYTES:
        raise DataError(f"{file} is not a Parquet file that can be read: its footer would have {size:,} bytes")
    if reason := _too_much(opened.metadata):
        raise DataError(f"{file} is not read: {reason}")
    names = opened.schema_arrow.names
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{file} is not read: two of its columns are named {twice!r}")
    if len((opened.schema_arrow.metadata or {}).get(b"huggingface", b"")) > MAX_NAMES_BYTES:
        raise DataError(f"{file} is not read: its label names have more than {MAX_NAMES_BYTES:,} bytes")
    return opened


def read_table(file: Path) -> pa.Table:
    """Read all rows of a Parquet file, every text valid UTF-8.

    Raises:
        DataError: the file is broken or over a limit; names file, column and row.
    """
    opened = open_parquet(file)
    schema = opened.schema_arrow
    try:
        packed = _packed(file, opened)
    except _FAILURES as error:
        raise DataError(f"{file} is not a Parquet file that can be read: {one_line(error)}") from None
    if (size := sum(_bytes(column) for column in packed.columns)) > MAX_FILE_BYTES:
        raise DataError(f"{file} is not read: unpacked it would have {size:,} bytes (the limit is {MAX_FILE_BYTES:,})")
    _each(file, packed, _long, f"a text of more than {MAX_CELL_BYTES:,} bytes, or a list of more than {MAX_ITEMS:,}")
    try:
        table = packed.cast(schema)
    except pa.ArrowException:  # a type without such a cast; its size is checked by now
        table = opened.read()
    _each(file, table, _invalid, "values that are broken: text that is not UTF-8")
    return table


def one_line(error: Exception) -> str:
    """Return what an error says without line feeds, which some of arrow's have."""
    return " ".join(str(error).split())


def _packed(file: Path, opened: pq.ParquetFile) -> pa.Table:
    """Read the rows with dictionary-encoded texts left encoded.

    Some kilobytes may hold one long text a million times. Read by row group, since arrow does not concatenate nested
    dictionary-encoded texts of several groups.
    """
    groups, columns = range(opened.num_row_groups), range(opened.metadata.num_columns)
    chunks = [opened.metadata.row_group(g).column(n) for g in groups for n in columns]
    packs = {c.path_in_schema for c in chunks if c.physical_type == "BYTE_ARRAY" and c.has_dictionary_page}
    reader = pq.ParquetFile(file, read_dictionary=sorted(packs))
    return pa.concat_tables([reader.read_row_group(g) for g in groups]) if opened.num_row_groups else reader.read()


def _too_much(meta: pq.FileMetaData) -> str:
    """Describe a size in a footer that is over a limit; "" if none is."""
    columns = meta.num_columns
    if columns > MAX_COLUMNS:
        return f"it has {columns:,} columns (the limit is {MAX_COLUMNS})"
    if any(meta.schema.column(n).path.count(".") > MAX_DEPTH for n in range(columns)):
        return f"its columns are nested deeper than {MAX_DEPTH}"
    chunks = [meta.row_group(g).column(n) for g in range(meta.num_row_groups) for n in range(columns)]
    values = max(sum(c.num_values for c in chunks), meta.num_rows * columns)
    if values > MAX_VALUES:
        return f"it has {values:,} values (the limit is {MAX_VALUES:,})"
    # This encoding stores what a text adds to the one before it: sizes grow with the square.
    grown = [c.num_values if "DELTA_BYTE_ARRAY" in c.encodings else 1 for c in chunks]
    size = sum(c.total_uncompressed_size * times for c, times in zip(chunks, grown, strict=True))
    if size > MAX_FILE_BYTES:
        more = "; write it again with the default encoding" if max(grown) > 1 else ""
        return f"unpacked it may have {size:,} bytes (the limit is {MAX_FILE_BYTES:,}){more}"
    return ""


def _leaves(array: pa.Array) -> list[pa.Array]:
    """List an array and its nested arrays, restricted to used elements."""
    if pa.types.is_struct(array.type):
        return [array, *(leaf for child in array.flatten() for leaf in _leaves(child))]
    if pa.types.is_map(array.type):
        return [leaf for child in (array.keys, array.items) for leaf in _leaves(child)]
    if pa.types.is_nested(array.type):
        return [array, *_leaves(array.flatten())]
    return [array]


def _lengths(array: pa.Array) -> pa.Array | None:
    """Return the length in bytes of every text of an array.

    Texts may be dictionary-encoded. None for an array of anything else.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        own = _lengths(array.dictionary)
        return None if own is None else own.take(array.indices)
    if any(
        is_one(kind)
        for is_one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    ):
        return pc.binary_length(array).cast(pa.int64())
    return None


def _bytes(column: pa.ChunkedArray) -> int:
    total = 0
    for leaf in (leaf for chunk in column.chunks for leaf in _leaves(chunk)):
        lengths = _lengths(leaf)
        total += leaf.nbytes if lengths is None else pc.sum(lengths).as_py() or 0
    return total


def _long(column: pa.ChunkedArray) -> bool:
    for leaf in (leaf for chunk in column.chunks for leaf in _leaves(chunk)):
        lengths, limit = _lengths(leaf), MAX_CELL_BYTES
        if lengths is None and (pa.types.is_list(leaf.type) or pa.types.is_large_list(leaf.type)):
            lengths, limit = pc.list_value_length(leaf), MAX_ITEMS
        if lengths is not None and (pc.max(lengths).as_py() or 0) > limit:
            return True
    return False


def _invalid(column: pa.ChunkedArray) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowException:
        return True
    return False


def _each(file: Path, table: pa.Table, bad: Callable[[pa.ChunkedArray], bool], what: str) -> None:
    """Raise DataError for the first bad row of the first bad column."""
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if bad(column):
            low, high = 0, len(column)  # the first bad row lies between them
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if bad(column.slice(low, middle - low)) else (middle, high)
            raise DataError(f"{file} row {low}: column {name!r} holds {what}")
