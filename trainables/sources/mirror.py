"""A folder of Parquet files in the hub's layout: <owner>/<dataset>/<config>/<split>.parquet, and mirror.toml.

mirror.toml lists stand-ins: [dataset.language] tables, split -> a file below the folder. A stand-in is used where there
is no official file; it may add languages, and splits that the hub does not have.
"""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa

from trainables.catalogue import DATASETS, Dataset
from trainables.errors import BadInput
from trainables.readers import RowLabels
from trainables.sources.tables import count_rows, hash_file, join_hashes, read_parquet

SPLITS = ("train", "validation", "test")
LAYOUT = "<owner>/<dataset>/<config>/<split>.parquet, for instance facebook/xnli/de/test.parquet"


class MirrorTables:
    def __init__(self, folder: str) -> None:
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise BadInput(
                f"mirror folder {folder!r} {'is not a folder' if path.exists() else 'does not exist'}{_near(path)}"
            )
        self.root = path.resolve()
        self.spec = f"mirror:{self.root}"
        standins = _standins(self.root)
        self._files: dict[tuple[str, str, str], list[Path]] = {}
        self._standins: set[str] = set()
        for d in DATASETS.values():
            for split in SPLITS:
                listed = standins.get((d.name, split), {})
                for language in {**d.configs, **listed}:
                    if official := self._official(d, language, split):
                        self._files[d.name, language, split] = official
                    elif language in listed:
                        self._files[d.name, language, split] = [listed[language]]
                        self._standins.add(d.name)
        if not self._files:
            raise BadInput(
                f"mirror folder {folder!r} holds no dataset of the catalogue (expected {LAYOUT}, or mirror.toml)"
            )

    def languages(self, d: Dataset, split: str) -> tuple[str, ...]:
        return tuple(language for name, language, s in self._files if (name, s) == (d.name, split))

    def num_rows(self, d: Dataset, language: str, split: str) -> int:
        return count_rows(self._files[d.name, language, split])

    def fingerprint(self, d: Dataset, language: str, split: str) -> str:
        return join_hashes([hash_file(file) for file in self._files[d.name, language, split]])

    def table(self, d: Dataset, language: str, split: str) -> tuple[pa.Table, RowLabels]:
        return read_parquet(self._files[d.name, language, split])

    def standin(self, d: Dataset) -> bool:
        return d.name in self._standins

    def _official(self, d: Dataset, language: str, split: str) -> list[Path]:
        """The files at the hub's own place; [] unless every part of the split is there."""
        if d.hub is None or split not in d.splits or language not in d.configs:
            return []
        place = self.root / d.hub / d.configs[language]
        files = [place / f"{part}.parquet" for part in d.splits[split].split("+")]
        return files if all(file.is_file() for file in files) else []


def _standins(root: Path) -> dict[tuple[str, str], dict[str, Path]]:
    """mirror.toml as (dataset, split) -> language -> file. Names that the catalogue lacks are left to other versions."""
    file = root / "mirror.toml"
    if not file.is_file():
        return {}
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is not valid TOML: {error}") from None
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for name, languages in content.items():
        if name not in DATASETS:
            continue
        for language, splits in languages.items() if isinstance(languages, dict) else [("", languages)]:
            if not isinstance(splits, dict):
                raise BadInput(f"{file}: {name!r} must be tables [{name}.<language>] with splits as keys")
            for split, value in splits.items():
                if split.startswith(("pairs_", "source_", "target_")):
                    continue  # bitext mining, which no dataset of the catalogue reads yet
                key = f"{file}: [{name}.{language}] {split}"
                if split not in SPLITS:
                    raise BadInput(f"{key} is not a split (allowed: {', '.join(SPLITS)})")
                found.setdefault((name, split), {})[language] = _below(root, value, key)
    return found


def _below(root: Path, value: object, key: str) -> Path:
    """The file that a stand-in names; it must lie below the mirror, also when symlinks are followed."""
    if not isinstance(value, str) or not value:
        raise BadInput(f"{key} must be the path of a file below the mirror, not {value!r}")
    path = (root / value).resolve()
    if Path(value).is_absolute() or ".." in Path(value).parts or not path.is_relative_to(root):
        raise BadInput(f"{key} leads out of the mirror: {value!r}")
    if not path.is_file():
        raise BadInput(f"{key} names a file that does not exist: {value!r}")
    return path


def _near(path: Path) -> str:
    """The nearest folder beside a misspelt one."""
    try:
        beside = [p.name for p in path.parent.iterdir() if p.is_dir()]
    except OSError:
        return ""
    near = get_close_matches(path.name, beside, n=1, cutoff=0.6)
    return f", did you mean {str(path.parent / near[0])!r}?" if near else ""
