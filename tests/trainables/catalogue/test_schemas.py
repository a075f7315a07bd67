"""Every dataset of the catalogue, read from a small recording of its files.

The recordings are of files on the hub or in a release. `tests/schemas/<name>.json` holds the files (`features` and rows
of Parquet files, the text of others; `with` adds the files of other recordings) and the expected results: the examples
per split and language as lists of their fields, and where it applies the label names, the pools and the parallel
sentences.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import ROOT
from trainables.catalogue import DATASETS, Dataset, dataset
from trainables.catalogue.common import XTREME
from trainables.sources import Source, open_source

SCHEMAS = ROOT / "tests" / "schemas"
SPLITS = ("train", "validation", "test")


def recording(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def build(name: str, folder: Path) -> None:
    """Write the recorded files below a folder, which is then a mirror."""
    write_files(recording(name), folder)


def write_files(content: dict[str, Any], folder: Path) -> None:
    for other in content.get("with", ()):
        build(other, folder)
    for path, text in content.get("texts", {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    for path, rows in content.get("files", {}).items():
        write_parquet(folder / path, content["features"], rows)


def write_parquet(file: Path, features: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Write a Parquet file as `datasets` does.

    The metadata hold the features, and every column has their type.
    """
    from datasets import Features

    schema = Features.from_dict(features).arrow_schema
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), file)


def fields(found: Sequence[Any]) -> list[Any]:
    """Convert examples to JSON values."""
    return list(json.loads(json.dumps([dataclasses.astuple(e) for e in found])))


def mirror_of(name: str, folder: Path) -> Source:
    build(name, folder)
    return open_source(f"mirror:{folder}")


def test_every_dataset_has_a_recording_and_every_recording_a_dataset() -> None:
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_a_recording_is_read_as_it_says(name: str, tmp_path: Path) -> None:
    compare(dataset(name), mirror_of(name, tmp_path), recording(name))


def compare(d: Dataset, source: Source, expected: dict[str, Any]) -> None:
    for split in SPLITS:
        wanted = expected["expect"].get(split, {})
        empty = [lang for lang in source.languages(d, split) if not source.num_rows(d, lang, split)]
        assert set(source.languages(d, split)) - set(empty) == set(wanted), split
        for language, examples in wanted.items():
            assert fields(source.examples(d, language, split)) == examples, (split, language)
            assert source.origin(d, language, split)
            source.check_labels(d, language, split)
    assert list(source.labels(d)) == list(expected.get("labels", ())) and not source.standin(d)


@pytest.mark.parametrize("name", [name for name, d in DATASETS.items() if d.format.pooled])
def test_the_pools_of_a_recording(name: str, tmp_path: Path) -> None:
    d, source = dataset(name), mirror_of(name, tmp_path)
    for table, languages in recording(name)["pools"].items():
        side, _, split = table.partition("_")
        for language, texts in languages.items():
            pool = source.pool(d, language, split, "source" if side == "source" else "target")
            assert fields(pool) == texts


@pytest.mark.parametrize("name", [name for name, d in DATASETS.items() if d.parallel_key])
def test_the_parallel_sentences_of_a_recording(name: str, tmp_path: Path) -> None:
    d, source = dataset(name), mirror_of(name, tmp_path)
    for split, languages in recording(name)["parallel"].items():
        for language, pairs in languages.items():
            assert fields(source.parallel(d, language, split)) == pairs


@pytest.mark.parametrize("name", ["xnli", "pawsx", "udpos", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba", "panx"])
def test_the_targets_of_xtreme_are_recorded_in_every_language(name: str) -> None:
    found = {language for languages in recording(name)["expect"].values() for language in languages}
    assert found == set(dataset(name).configs) <= set(XTREME.split())


def test_all_forty_languages_of_xtreme_are_recorded() -> None:
    assert set(XTREME.split()) == set(recording("panx")["expect"]["test"]) and len(XTREME.split()) == 40


PAGE = ROOT / "docs" / "datasets.md"


def test_the_example_of_the_page_is_a_dataset_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (code, _), (recorded,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("python", "json"))
    made: dict[str, Any] = {}
    exec(code, made)
    (d,) = (value for value in made.values() if isinstance(value, Dataset))
    assert d.name not in DATASETS
    monkeypatch.setitem(cast("dict[str, Dataset]", DATASETS), d.name, d)
    write_files(json.loads(recorded), tmp_path)
    compare(d, open_source(f"mirror:{tmp_path}"), json.loads(recorded))


@pytest.mark.parametrize("d", DATASETS.values(), ids=DATASETS)
def test_the_page_lists_every_dataset(d: Dataset) -> None:
    where = d.hub or (f"a mix: {', '.join(d.of)}" if d.of else f"pairs of {d.crosses}" if d.crosses else "own files")
    line = f"| `{d.name}` | {d.kind} | {where} | {len(d.configs)} | {d.licence} |"
    assert line in PAGE.read_text(encoding="utf-8").splitlines()
