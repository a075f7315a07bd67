"""Validated examples from stored tables, shared by every kind of source."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, Protocol

import pyarrow as pa

from trainables.catalogue import Dataset, dataset
from trainables.errors import BadInput, DataError
from trainables.examples import Bitext, Example, Labelled, Pair, Text, Utterance
from trainables.languages import cross
from trainables.readers import Reader, RowLabels, pool_entry
from trainables.sources.files import join_hashes
from trainables.sources.guard import MAX_LABELS, one_line

SPLITS = ("train", "validation", "test")
FEW = 100  # rows that are searched for one that is not left out
LINE = "line"  # a column of tables from text files, whose metadata hold "file"
HELD = 64  # languages whose rows are cached while their pairs are joined


class Tables(Protocol):
    """What one kind of source implements; `TableSource` does the rest.

    `table` is one of `Dataset.tables`: a split, or for a pooled kind pairs_<split>, source_<split>, target_<split>.
    """

    @property
    def spec(self) -> str: ...
    def languages(self, d: Dataset, table: str) -> tuple[str, ...]: ...
    def num_rows(self, d: Dataset, language: str, table: str) -> int: ...
    def fingerprint(self, d: Dataset, language: str, table: str) -> str: ...
    def table(self, d: Dataset, language: str, table: str) -> tuple[pa.Table, RowLabels]: ...
    def standin(self, d: Dataset) -> bool: ...
    def comes_from(self, d: Dataset) -> str: ...
    def origin(self, d: Dataset, language: str, table: str) -> str: ...
    def stated_rows(self, d: Dataset, language: str, table: str) -> int | None: ...
    def corpus_rows(self, d: Dataset, language: str, table: str) -> int: ...
    def unread(self) -> tuple[str, ...]: ...


class TableSource:
    """A `Source` over stored tables."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._labels: dict[str, tuple[str, ...]] = {}
        self._held: dict[tuple[Any, ...], list[Example]] = {}

    def __repr__(self) -> str:
        return f"<source {self.spec}>"

    @property
    def spec(self) -> str:
        return self.tables.spec

    def languages(self, d: Dataset, split: str) -> tuple[str, ...]:
        if d.crosses:
            return tuple(self._pairs(d, split))
        parts = self._parts(d)
        if parts:
            sets = [self.languages(part, split) for part in parts]
        else:
            sets = [self.tables.languages(d, table) for table in d.tables(split)]
        return english_first(set(sets[0]).intersection(*sets[1:]))

    def num_rows(self, d: Dataset, language: str, split: str) -> int:
        self._require(d, language, split)
        if made := self._made_of(d, language, split):
            return sum(self.num_rows(*part, split) for part in made[: 1 if d.crosses else None])
        return self.tables.num_rows(d, language, d.tables(split)[0])

    def stated_rows(self, d: Dataset, language: str, split: str) -> int | None:
        self._require(d, language, split)
        if made := self._made_of(d, language, split):
            stated = [self.stated_rows(*part, split) for part in made[: 1 if d.crosses else None]]
            return None if None in stated else sum(n for n in stated if n is not None)
        return self.tables.stated_rows(d, language, d.tables(split)[0])

    def corpus_rows(self, d: Dataset, language: str, split: str) -> int:
        self._require(d, language, split)
        if made := self._made_of(d, language, split):
            return sum(self.corpus_rows(*part, split) for part in made[: 1 if d.crosses else None])
        return self.tables.corpus_rows(d, language, d.tables(split)[0])

    def fingerprint(self, d: Dataset, language: str, split: str) -> str:
        self._require(d, language, split)
        if made := self._made_of(d, language, split):
            return join_hashes([self.fingerprint(*part, split) for part in made])
        return join_hashes([self.tables.fingerprint(d, language, table) for table in d.tables(split)])

    def origin(self, d: Dataset, language: str, split: str) -> str:
        self._require(d, language, split)
        if made := self._made_of(d, language, split):
            return "; ".join(dict.fromkeys(self.origin(*part, split) for part in made))
        return self.tables.origin(d, language, d.tables(split)[0])

    def standin(self, d: Dataset) -> bool:
        parts = self._parts(d)
        return any(self.standin(part) for part in parts) if parts else self.tables.standin(d)

    def unread(self) -> tuple[str, ...]:
        return self.tables.unread()

    def comes_from(self, d: Dataset) -> tuple[str, ...]:
        if parts := self._parts(d):
            return tuple(dict.fromkeys(spec for part in parts for spec in self.comes_from(part)))
        return (self.tables.comes_from(d),)

    def labels(self, d: Dataset) -> tuple[str, ...]:
        if d.labels or (d.label_column is None and not d.format.labels_by_name):
            return d.labels
        if d.name not in self._labels:
            found = self._labels_by_name(d) if d.format.labels_by_name else self._open_labels(d)
            if len(found) > MAX_LABELS:
                raise DataError(f"{d.name}: {len(found):,} labels are declared (the limit is {MAX_LABELS:,})")
            self._labels[d.name] = found
        return self._labels[d.name]

    def check_labels(self, d: Dataset, language: str, split: str) -> None:
        self._require(d, language, split)
        if made := self._made_of(d, language, split):
            for part in made:
                self.check_labels(*part, split)
            return
        table, names = self._table(d, language, split)
        where = f"{d.name}/{language}/{split}"
        row = _first_row(d.read, table, names, where)
        for column, declared in names.items():
            for number, name in enumerate(declared if row and column in row else ()):
                # By the reader, since some accept several names of a label; columns that it does not read cannot fail.
                stored = row[column]
                labelled = {**row, column: [number] * len(stored) if isinstance(stored, list) else number}
                try:
                    d.read(labelled, names)
                except ValueError as error:
                    raise DataError(f"{where}: column {column!r} declares the label {name!r}: {error}") from error

    def examples(self, d: Dataset, language: str, split: str, take: int | None = None) -> list[Example]:
        self._require(d, language, split)
        if d.crosses:
            return self._joined(d, language, split, take)
        if parts := self._parts(d):
            total = self.num_rows(d, language, split)
            found = self._concatenated(parts, language, split, evenly(total, take))
        else:
            table, names = self._table(d, language, split)
            total = table.num_rows
            rows = evenly(total, None if d.regroup else take)
            found = _examples(d.read, table, rows, names, f"{d.name}/{language}/{split}")
            if d.regroup:
                found = d.regroup(found)
                found = [found[number] for number in evenly(len(found), take)]
        if total and not found:
            raise DataError(
                f"{d.name}/{language}/{split}: none of its {total} rows can be used (no gold labels, or all are empty)"
            )
        if d.format.pooled:
            self._check_gold(d, language, split, found)
        return found

    def pool(self, d: Dataset, language: str, split: str, side: Literal["source", "target"]) -> list[Text]:
        self._require(d, language, split)
        if not d.format.pooled:
            raise BadInput(f"{d.name} has no pools (it is of kind {d.kind})")
        table, names = self.tables.table(d, language, f"{side}_{split}")
        where = f"{d.name}/{language}/{side}_{split}"
        return [e for e in _examples(pool_entry, table, range(table.num_rows), names, where) if isinstance(e, Text)]

    def parallel(self, d: Dataset, language: str, split: str) -> list[Bitext]:
        if d.parallel_key is None:
            raise BadInput(f"{d.name} has no parallel rows")
        if language == "en":
            return []
        english = {e.id: _sentence(e) for e in self.examples(d, "en", split)}
        own = self.examples(d, language, split)
        return [Bitext(e.id, _sentence(e), english[e.id]) for e in own if e.id in english]

    def _parts(self, d: Dataset) -> tuple[Dataset, ...]:
        """List the datasets that a mix, or all pairs of languages, are made of.

        () for a dataset with tables of its own.
        """
        if d.crosses:
            return (dataset(d.crosses),)
        if not d.of or any(self.tables.languages(d, split) for split in SPLITS):
            return ()
        return tuple(dataset(name) for name in d.of)

    def _pairs(self, d: Dataset, split: str) -> dict[str, tuple[str, str]]:
        """Map tags of a dataset that crosses another to its two languages.

        The first is the language of the first text, the second that of the second.
        """
        return cross(self.languages(dataset(d.crosses), split)) if split in d.splits else {}

    def _made_of(self, d: Dataset, language: str, split: str) -> list[tuple[Dataset, str]]:
        """List the (dataset, language) that a dataset takes its rows from.

        They are in order; [] for a dataset with tables of its own.
        """
        if d.crosses:
            return [(dataset(d.crosses), side) for side in self._pairs(d, split)[language]]
        return [(part, language) for part in self._parts(d)]

    def _joined(self, d: Dataset, tag: str, split: str, take: int | None) -> list[Example]:
        """Join first texts of one language with second texts of another, by id.

        Rows of the first language are chosen by `take` as for any dataset. Rows without ids have their numbers as ids.
        Rows that the second language lacks are left out.
        """
        (base, first), (_, second) = self._made_of(d, tag, split)
        others = {e.id: e for e in self._hold(base, second, split, None)}
        found: list[Example] = []
        for example in self._hold(base, first, split, take):
            other = others.get(example.id)
            if not isinstance(example, Labelled) or not isinstance(other, Labelled):
                continue
            if example.label != other.label:
                raise DataError(
                    f"{d.name}/{tag}/{split}: row {example.id!r} is {base.labels[example.label]!r} in {first!r} and "
                    f"{base.labels[other.label]!r} in {second!r}, so the rows are not translations of each other"
                )
            found.append(dataclasses.replace(example, second=other.second))
        if not found and self.num_rows(base, first, split):
            raise DataError(f"{d.name}/{tag}/{split}: no row of {first!r} has the id of a row of {second!r}")
        return found

    def _hold(self, d: Dataset, language: str, split: str, take: int | None) -> list[Example]:
        """Return `examples`, cached in memory while the files stay the same.

        Every language is in many pairs.
        """
        if take is not None and take >= self.num_rows(d, language, split):
            take = None
        key = (d.name, language, split, take, self.fingerprint(d, language, split))
        if key not in self._held:
            if len(self._held) >= HELD:
                self._held.clear()
            self._held[key] = self.examples(d, language, split, take)
        return self._held[key]

    def _require(self, d: Dataset, language: str, split: str) -> None:
        known = self.languages(d, split)
        if language not in known:
            has = f"it has {', '.join(known)}" if known else "it has no such split"
            raise BadInput(f"{self.spec} has no {d.name}/{language}/{split} ({has})")

    def _table(self, d: Dataset, language: str, split: str) -> tuple[pa.Table, RowLabels]:
        """Return the table of the examples.

        Raises:
            DataError: its open label set differs from that of the train split.
        """
        table, names = self.tables.table(d, language, d.tables(split)[0])
        is_open = d.label_column and not d.labels and not d.format.labels_by_name
        if is_open and names.get(d.label_column or "") != self.labels(d):
            raise DataError(
                f"{d.name}/{language}/{split}: "
                f"the label names of column {d.label_column!r} differ from those of the train split"
            )
        return table, names

    def _concatenated(self, parts: Sequence[Dataset], language: str, split: str, rows: Sequence[int]) -> list[Example]:
        """Concatenate rows of the parts; ids begin with the name of the part."""
        found: list[Example] = []
        start = 0
        for part in parts:
            table, names = self._table(part, language, split)
            end = start + table.num_rows
            own = [row - start for row in rows if start <= row < end]
            read = _examples(part.read, table, own, names, f"{part.name}/{language}/{split}")
            found += [dataclasses.replace(e, id=f"{part.name}/{e.id}") for e in read]
            start = end
        return found

    def _check_gold(self, d: Dataset, language: str, split: str, found: Sequence[Example]) -> None:
        """Check that both ids of every gold pair are in their pools."""
        for side in ("source", "target"):
            table = self.tables.table(d, language, f"{side}_{split}")[0]
            known = set(map(str, table["id"].to_pylist())) if "id" in table.column_names else set()
            for pair in found:
                id = getattr(pair, side) if isinstance(pair, Pair) else ""
                if id not in known:
                    raise DataError(f"{d.name}/{language}/{split}: no {side} text has the id {id!r} of a gold pair")

    def _open_labels(self, d: Dataset) -> tuple[str, ...]:
        column = d.label_column or ""
        for split in SPLITS:
            for language in self.languages(d, split)[:1]:
                names = self.tables.table(d, language, split)[1].get(column, ())
                if not names:
                    raise DataError(f"{d.name}/{language}/{split}: column {column!r} declares no ClassLabel names")
                return tuple(names)
        raise BadInput(f"{self.spec} has no {d.name}")

    def _labels_by_name(self, d: Dataset) -> tuple[str, ...]:
        """Return the names that the English train file declares, else those that its examples use."""
        for split in SPLITS:
            for language in self.languages(d, split)[:1]:
                names = self.tables.table(d, language, split)[1]
                return d.format.label_names(names, d.label_column or "", partial(self.examples, d, language, split))
        raise BadInput(f"{self.spec} has no {d.name}")


def evenly(num_rows: int, take: int | None) -> list[int]:
    """Return numbers of at most `take` rows, floor(i * num_rows / take)."""
    if take is not None and take < 1:
        raise BadInput(f"take must be at least 1, not {take}")
    if take is None or take >= num_rows:
        return list(range(num_rows))
    return [i * num_rows // take for i in range(take)]


def english_first(languages: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(languages), key=lambda tag: (tag != "en", tag)))


def _sentence(example: Example) -> str:
    """Return the text of a row that is translated into other languages.

    Words are joined as their script requires.
    """
    if isinstance(example, Labelled):
        return example.first
    if not isinstance(example, Utterance):
        raise TypeError(f"no parallel text in {type(example).__name__}")
    text = example.words[0]
    for word in example.words[1:]:
        text += word if _unspaced(text[-1]) and _unspaced(word[0]) else f" {word}"
    return text


def _unspaced(character: str) -> bool:
    """Return whether a character is written without spaces around it.

    These are Chinese and Japanese characters and their full-width punctuation.
    """
    return "\u3000" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff" or "\uff00" <= character <= "\uffef"


def _examples(read: Reader, table: pa.Table, rows: Sequence[int], names: RowLabels, where: str) -> list[Example]:
    """Read some rows of a table in order, without those left out by rule."""
    if len(rows) < table.num_rows:
        table = table.take(pa.array(rows, pa.int64()))
    found: list[Example] = []
    ids: set[str] = set()
    for number, row in zip(rows, _dicts(table, rows, where), strict=True):
        try:
            example = read(row, names)
        except ValueError as error:
            raise DataError(f"{where} row {number}: {error}{_place(table, row)}") from error
        if example is None:
            continue
        if not example.id:
            example = dataclasses.replace(example, id=str(number))
        if example.id in ids:
            raise DataError(f"{where} row {number}: id {example.id!r} is that of an earlier row{_place(table, row)}")
        ids.add(example.id)
        found.append(example)
    return found


def _first_row(read: Reader, table: pa.Table, names: RowLabels, where: str) -> dict[str, Any]:
    """Find the first usable row among the first few; {} if there is none."""
    few = table.slice(0, FEW)
    for number, row in enumerate(_dicts(few, range(few.num_rows), where)):
        try:
            if read(row, names) is not None:
                return row
        except ValueError as error:
            raise DataError(f"{where} row {number}: {error}{_place(table, row)}") from error
    return {}


def _place(table: pa.Table, row: dict[str, Any]) -> str:
    """Return " (file:line)" of a row of a text file, "" of any other."""
    file = (table.schema.metadata or {}).get(b"file", b"").decode()
    return f" ({file}:{row[LINE]})" if file and LINE in row else ""


def _dicts(table: pa.Table, rows: Sequence[int], where: str) -> Iterator[dict[str, Any]]:
    """Convert rows to Python values.

    Raises:
        DataError: a value has no Python equivalent, such as a date beyond the calendar.
    """
    start = 0
    for batch in table.to_batches(max_chunksize=4096):
        try:
            found = batch.to_pylist()
        except (ValueError, OverflowError, TypeError, pa.ArrowException) as error:
            last = rows[start + batch.num_rows - 1]
            raise DataError(
                f"{where} rows {rows[start]} to {last}: a value cannot be read ({one_line(error)})"
            ) from None
        yield from found
        start += batch.num_rows
