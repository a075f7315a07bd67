"""A folder of Parquet files in the hub's layout, with mirror.toml.

Files are at <owner>/<dataset>/<config>/<split>.parquet. mirror.toml lists stand-ins: [dataset.language] tables, split
-> a file below the folder. A stand-in is used where there is no official file; it may add languages, and splits that
the hub does not have. Datasets that the hub lacks are read from the files of their owners, at <dataset>/...
(`originals`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import pyarrow as pa

from trainables.catalogue import DATASETS, Dataset, Place
from trainables.errors import BadInput, check_path
from trainables.readers import RowLabels
from trainables.sources import originals
from trainables.sources.files import count_rows, hash_file, join_hashes, only, paths_of, read_parquet
from trainables.sources.tables import SPLITS
from trainables.toml_file import read_toml

LAYOUT = "<owner>/<dataset>/<config>/<split>.parquet, for instance facebook/xnli/de/test.parquet"


@dataclass(frozen=True)
class _Held:
    """The files of one table, of which some may not be read (`Dataset.max_files`)."""

    files: list[Path]
    kind: Literal["hub", "original", "stand-in"]
    unread: list[Path] = field(default_factory=list)


class MirrorTables:
    def __init__(self, folder: str) -> None:
        path = Path(os.path.expanduser(folder))
        check_path("mirror folder", folder)
        if not path.is_dir():
            raise BadInput(
                f"mirror folder {folder!r} {'is not a folder' if path.exists() else 'does not exist'}{_near(path)}"
            )
        self.root = path.resolve()
        self.spec = f"mirror:{self.root}"
        listed, self._ignored = _standins(self.root)
        self._listings: dict[str, list[str]] = {}
        self._held: dict[tuple[str, str, str], _Held] = {}
        for key, files in listed.items():
            self._held[key] = _Held([files], "stand-in")
        for key, found in originals.find(self.root).items():
            self._held[key] = _Held(found, "original")
        for d in DATASETS.values():
            for language, table in (
                (language, table) for s in SPLITS for table in d.tables(s) for language in d.configs
            ):
                if parts := self._official(d, language, table):
                    read = [file for part in parts for file in part[: d.max_files]]
                    rest = [file for part in parts if d.max_files for file in part[d.max_files :]]
                    self._held[d.name, language, table] = _Held(read, "hub", rest)
        for held in self._held.values():
            for leads in held.files:
                if not leads.resolve().is_relative_to(self.root):
                    raise BadInput(
                        f"{leads} links to a file outside the mirror, {leads.resolve()}: copy it, or use that folder"
                    )
        if not self._held:
            raise BadInput(
                f"mirror folder {folder!r} holds no dataset of the catalogue (expected {LAYOUT}, or mirror.toml)"
            )

    def languages(self, d: Dataset, table: str) -> tuple[str, ...]:
        return tuple(language for name, language, t in self._held if (name, t) == (d.name, table))

    def num_rows(self, d: Dataset, language: str, table: str) -> int:
        held = self._held[d.name, language, table]
        if held.kind == "original" or (held.kind == "hub" and d.only):
            return int(self.table(d, language, table)[0].num_rows)
        return count_rows(held.files)

    def stated_rows(self, d: Dataset, language: str, table: str) -> int | None:
        return self.num_rows(d, language, table)

    def corpus_rows(self, d: Dataset, language: str, table: str) -> int:
        return self.num_rows(d, language, table) + count_rows(self._held[d.name, language, table].unread)

    def fingerprint(self, d: Dataset, language: str, table: str) -> str:
        return join_hashes([hash_file(file) for file in self._held[d.name, language, table].files])

    def table(self, d: Dataset, language: str, table: str) -> tuple[pa.Table, RowLabels]:
        held = self._held[d.name, language, table]
        if held.kind == "original":
            return originals.read_original(d.name, language, table, held.files)
        rows, names = read_parquet(held.files)
        return only(d, language, rows) if held.kind == "hub" else rows, names

    def standin(self, d: Dataset) -> bool:
        return any(name == d.name and held.kind == "stand-in" for (name, _, _), held in self._held.items())

    def comes_from(self, d: Dataset) -> str:
        return self.spec

    def origin(self, d: Dataset, language: str, table: str) -> str:
        held = self._held[d.name, language, table]
        names = [file.relative_to(self.root).as_posix() for file in held.files]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return f"{names[0]}{more}{' (stand-in)' if held.kind == 'stand-in' else ''}"

    def unread(self) -> tuple[str, ...]:
        """Describe tables of mirror.toml and folders that no dataset reads.

        The tables are those that the catalogue lacks; folders are named by their first two parts.
        """
        read = {file.resolve() for held in self._held.values() for file in held.files}
        folders = Counter(
            "/".join(file.relative_to(self.root).parts[:2])
            for file in self.root.rglob("*.parquet")
            if file.resolve() not in read
        )
        tables = [f"[{name}] of mirror.toml" for name in self._ignored]
        return (
            *tables,
            *(f"{folder} ({count} file{'s' if count > 1 else ''})" for folder, count in sorted(folders.items())),
        )

    def _official(self, d: Dataset, language: str, table: str) -> list[list[Path]]:
        """List the files of a split's parts from the first complete place on the hub.

        [] if no place has every part of the split.
        """
        for place in d.places:
            parts = place.parts(language, table)
            alone = len(set(place.configs.values())) == 1
            found = [paths_of(self._listing(place), place.configs[language], part, alone=alone) for part in parts]
            if found and all(found):
                return [[self.root / place.hub / path for path in part] for part in found]
        return []

    def _listing(self, place: Place) -> list[str]:
        if place.hub not in self._listings:
            top = self.root / place.hub
            self._listings[place.hub] = [path.relative_to(top).as_posix() for path in _parquet_below(top)]
        return self._listings[place.hub]


def _parquet_below(top: Path) -> Iterator[Path]:
    """Find Parquet files below a folder, following links.

    No folder is visited twice: links may be circular.
    """
    seen: set[Path] = set()
    for folder, folders, names in os.walk(top, followlinks=True):
        folders[:] = [name for name in folders if _first_visit(Path(folder) / name, seen)]
        yield from (p for name in names if (p := Path(folder) / name).suffix == ".parquet" and p.is_file())


def _first_visit(folder: Path, seen: set[Path]) -> bool:
    real = folder.resolve()
    new = real not in seen
    seen.add(real)
    return new


def _standins(root: Path) -> tuple[dict[tuple[str, str, str], Path], tuple[str, ...]]:
    """Read mirror.toml.

    Returns:
        (dataset, language, table) -> file, and the names that the catalogue lacks (those of other versions).
    """
    file = root / "mirror.toml"
    if not file.is_file():
        return {}, ()
    content = read_toml(file, str(file))
    found: dict[tuple[str, str, str], Path] = {}
    for name, languages in content.items():
        if name not in DATASETS:
            continue
        if base := DATASETS[name].crosses:
            raise BadInput(f"{file}: {name!r} has no files: its rows are those of {base!r}")
        allowed = [table for split in SPLITS for table in DATASETS[name].tables(split)]
        for language, tables in languages.items() if isinstance(languages, dict) else [("", languages)]:
            if not isinstance(tables, dict):
                raise BadInput(f"{file}: {name!r} must be tables [{name}.<language>] with splits as keys")
            for table, value in tables.items():
                key = f"{file}: [{name}.{language}] {table}"
                if table not in allowed:
                    raise BadInput(f"{key} is not a split (allowed: {', '.join(allowed)})")
                found[name, language, table] = _below(root, value, key)
    return found, tuple(sorted(set(content) - set(DATASETS)))


def _below(root: Path, value: object, key: str) -> Path:
    """Return the file of a stand-in.

    Raises:
        BadInput: it does not exist, or is outside the mirror, also when symlinks are followed.
    """
    if not isinstance(value, str) or not value:
        raise BadInput(f"{key} must be the path of a file below the mirror, not {value!r}")
    check_path(key, value)
    path = (root / value).resolve()
    if Path(value).is_absolute() or ".." in Path(value).parts or not path.is_relative_to(root):
        raise BadInput(f"{key} is outside the mirror: {value!r}")
    if not path.is_file():
        raise BadInput(f"{key} names a file that does not exist: {value!r}")
    return path


def _near(path: Path) -> str:
    """Suggest the folder whose name is nearest to a misspelt one."""
    try:
        beside = [p.name for p in path.parent.iterdir() if p.is_dir()]
    except OSError:
        return ""
    near = get_close_matches(path.name, beside, n=1, cutoff=0.6)
    return f", did you mean {str(path.parent / near[0])!r}?" if near else ""
