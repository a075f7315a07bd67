"""Hostile mirrors: files are refused quickly, in one line and little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import ROOT
from trainables.catalogue import dataset
from trainables.errors import BadInput, DataError
from trainables.sources import Source, open_source, originals
from trainables.sources.guard import MAX_ITEMS, open_parquet, read_table
from trainables.toml_file import read_toml

SECONDS, MEGABYTES = 5.0, 500
MNLI = "nyu-mll/glue/mnli/train.parquet"
STSB = "nyu-mll/glue/stsb/train.parquet"
WORDS = "google/xtreme/udpos.English/train.parquet"
Write = Callable[[Path], object]


def rows(count: int = 3, **change: list[Any]) -> pa.Table:
    texts = [f"a dog {i}" for i in range(count)]
    return pa.table({"premise": texts, "hypothesis": texts, "label": [i % 3 for i in range(count)], **change})


def table(**options: Any) -> Callable[[pa.Table], Write]:
    def of(made: pa.Table) -> Write:
        return lambda file: pq.write_table(made, file, **options)

    return of


def huge_row(file: Path) -> None:
    pq.write_table(rows(premise=["a", "b", "x" * 100_000_000]), file)


def repeated(file: Path) -> None:
    """Write some kilobytes that unpack to 5 GB of text.

    One text of a megabyte occurs five thousand times.
    """
    packed = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"premise": packed, "hypothesis": packed, "label": [0] * 5000}), file)


def bomb(file: Path) -> None:
    """Write a small file of billions of values."""
    one = pa.table({"label": pa.nulls(2_000_000, pa.int64())})
    with pq.ParquetWriter(file, one.schema, compression="zstd") as writer:
        for _ in range(60):
            writer.write_table(one)


def grown(file: Path) -> None:
    """Write texts that each add one character to the one before."""
    texts = ["x" * n for n in range(2000)]
    made = pa.table({"premise": texts, "hypothesis": texts, "label": [0] * 2000})
    options: Any = {"use_dictionary": False, "column_encoding": {"premise": "DELTA_BYTE_ARRAY"}}
    pq.write_table(made, file, **options)


def truncated(file: Path) -> None:
    pq.write_table(rows(1000), file)
    file.write_bytes(file.read_bytes()[:-20])


def bad_footer(file: Path) -> None:
    pq.write_table(rows(1000), file)
    data = bytearray(file.read_bytes())
    data[-60:-10] = b"\xff" * 50
    file.write_bytes(bytes(data))


def long_footer(file: Path) -> None:
    file.write_bytes(b"PAR1" + bytes(64) + (2**31 - 1).to_bytes(4, "little") + b"PAR1")


def damaged_page(file: Path) -> None:
    pq.write_table(rows(1000), file)
    data = bytearray(file.read_bytes())
    data[4:200] = b"\xff" * 196
    file.write_bytes(bytes(data))


def not_utf8(file: Path) -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(_offsets([0, 1, 2, 4])), pa.py_buffer(b"ab\xff\xfe")]
    )
    pq.write_table(rows().set_column(0, "premise", bad), file)


def _offsets(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def same_names(file: Path) -> None:
    columns = [pa.array(["a"]), pa.array(["b"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["premise", "premise"]), file)


def many_columns(file: Path) -> None:
    pq.write_table(pa.table({f"c{n}": [1] for n in range(2000)}), file)


def deep(file: Path) -> None:
    kind: Any = pa.int64()
    value: Any = 1
    for _ in range(60):
        kind, value = pa.list_(kind), [value]
    pq.write_table(rows(1).append_column("deep", pa.array([value], kind)), file)


def label_bomb(file: Path) -> None:
    """Write one row with ten million labels."""
    tags = pa.ListArray.from_arrays(pa.array([0, 10_000_000], pa.int32()), pa.nulls(10_000_000, pa.int64()))
    pq.write_table(pa.table({"tokens": [["a"]], "pos_tags": tags}), file)


def named_labels(count: int) -> Write:
    """Write a file that declares a given number of label names."""

    def write(file: Path) -> None:
        feature = {"label": {"names": [f"n{n}" for n in range(count)], "_type": "ClassLabel"}}
        metadata = {"huggingface": json.dumps({"info": {"features": feature}})}
        pq.write_table(rows().replace_schema_metadata(metadata), file)

    return write


HOSTILE: dict[str, tuple[str, Write, str]] = {
    "a row of 100 MB": (MNLI, huge_row, "row 2: column 'premise' holds a text of more than"),
    "one text many times": (MNLI, repeated, "unpacked it would have"),
    "billions of values": (MNLI, bomb, "values (the limit is"),
    "truncated": (MNLI, truncated, "not a Parquet file that can be read"),
    "a wrong footer": (MNLI, bad_footer, "not a Parquet file that can be read"),
    "a footer of 2 GB": (MNLI, long_footer, "its footer would have 2,147,483,647 bytes"),
    "a damaged page": (MNLI, damaged_page, "not a Parquet file that can be read"),
    "an empty file": (MNLI, Path.touch, "not a Parquet file that can be read"),
    "not UTF-8": (MNLI, not_utf8, "row 2: column 'premise' holds values that are broken: text that is not UTF-8"),
    "two columns of a name": (MNLI, same_names, "two of its columns are named 'premise'"),
    "two thousand columns": (MNLI, many_columns, "2,000 columns"),
    "deep nesting": (MNLI, deep, "nested deeper than"),
    "lists where texts belong": (
        MNLI,
        table()(rows(premise=[["a"], ["b"], ["c"]])),
        "row 0: column 'premise' is of type list, not text",
    ),
    "nested nulls": (MNLI, table()(rows(premise=[[None], [[None]], None])), "row 0: column 'premise' is of type list"),
    "nulls alone": (MNLI, table()(rows(premise=[None] * 3)), "row 0: column 'premise' is null, not text"),
    "a label that is NaN": (MNLI, table()(rows(label=[0.0, 1.0, float("nan")])), "row 0: label is of type float"),
    "a rating that is NaN": (
        STSB,
        table()(pa.table({"sentence1": ["a"], "sentence2": ["b"], "label": [float("nan")]})),
        "row 0: its value nan is not between",
    ),
    "a label beyond any": (MNLI, table()(rows(label=[0, 1, 2**62])), "row 2: label 4611686018427387904 is not one of"),
    "no column": (MNLI, table()(pa.table({"other": [1]})), "row 0: has no column"),
    "ten million labels in a row": (WORDS, label_bomb, f"or a list of more than {MAX_ITEMS:,}"),
    "two hundred thousand label names": (MNLI, named_labels(200_000), "its label names have more than"),
    "dates beyond the calendar": (
        MNLI,
        table()(rows(1).append_column("day", pa.array([2**62], pa.timestamp("us")))),
        "row",
    ),
}


def read(folder: Path, place: str) -> None:
    """Open a mirror and read every row of it, as a study would."""
    source = open_source(f"mirror:{folder}")
    name = {MNLI: "mnli", STSB: "stsb", WORDS: "udpos"}[place]
    d = dataset(name)
    source.num_rows(d, "en", "train")
    source.labels(d)
    source.examples(d, "en", "train")


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_file_is_refused_in_time_and_memory(tmp_path: Path, fault: str) -> None:
    place, write, reason = HOSTILE[fault]
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    write(file)
    pa.default_memory_pool().release_unused()
    before, started = pa.default_memory_pool().max_memory(), time.monotonic()
    with pytest.raises(DataError) as error:
        read(tmp_path, place)
    assert time.monotonic() - started < SECONDS
    assert (pa.default_memory_pool().max_memory() - before) / 2**20 < MEGABYTES
    said = str(error.value)
    assert reason in said, said
    assert (place in said or "mnli/en/train" in said or "stsb/en/train" in said) and len(said) < 500, said


PROBE = """
import resource, sys
from tests.trainables.sources.test_hostile_source import HOSTILE, read
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read(Path(sys.argv[1]), HOSTILE[sys.argv[2]][0])
except ValueError as error:
    print(type(error).__name__, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("fault", ["a row of 100 MB", "one text many times", "billions of values"])
def test_the_whole_process_stays_small(tmp_path: Path, fault: str) -> None:
    place, write, _ = HOSTILE[fault]
    (tmp_path / place).parent.mkdir(parents=True)
    write(tmp_path / place)
    command = [sys.executable, "-c", PROBE, str(tmp_path), fault]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    kind, megabytes = ended.stdout.split()
    assert kind == "DataError" and int(megabytes) < MEGABYTES


def test_a_good_file_is_read_as_it_is(tmp_path: Path) -> None:
    made = rows(50, tokens=[["ab", f"{n}"] for n in range(50)], answers=[{"text": ["a"], "at": [n]} for n in range(50)])
    made = made.append_column("large", pa.array(["x"] * 50, pa.large_string()))
    made = made.append_column("nothing", pa.nulls(50)).append_column("raw", pa.array([b"\xff"] * 50))
    made = made.append_column("pairs", pa.array([[("a", 1)]] * 50, pa.map_(pa.string(), pa.int64())))
    pq.write_table(made, tmp_path / "good.parquet", row_group_size=7)
    assert read_table(tmp_path / "good.parquet").equals(pq.read_table(tmp_path / "good.parquet"))
    assert open_parquet(tmp_path / "good.parquet").metadata.num_rows == 50


def test_texts_that_each_add_to_the_one_before_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grown(tmp_path / "grown.parquet")
    assert read_table(tmp_path / "grown.parquet").num_rows == 2000
    monkeypatch.setattr("trainables.sources.guard.MAX_FILE_BYTES", 500_000)
    with pytest.raises(DataError, match="unpacked it may have .* write it again with the default encoding"):
        read_table(tmp_path / "grown.parquet")


def test_nested_texts_of_several_groups_are_read(tmp_path: Path) -> None:
    made = pa.table({"tokens": [[f"u{n}", "same"] for n in range(200_000)]})
    pq.write_table(made, tmp_path / "nested.parquet", row_group_size=90_000)
    assert read_table(tmp_path / "nested.parquet").equals(made)


def test_no_rows_are_no_examples(tmp_path: Path) -> None:
    (tmp_path / MNLI).parent.mkdir(parents=True)
    pq.write_table(rows().slice(0, 0), tmp_path / MNLI)
    source = open_source(f"mirror:{tmp_path}")
    assert source.num_rows(dataset("mnli"), "en", "train") == 0
    assert source.examples(dataset("mnli"), "en", "train") == []


def test_too_many_declared_labels_are_no_classifier(tmp_path: Path) -> None:
    names = [f"n{n}" for n in range(10_001)]
    (tmp_path / "ccg").mkdir()
    (tmp_path / "ccg" / "train.tsv").write_text("a b\tn0 n1\n")
    (tmp_path / "ccg" / "tags_to_id.json").write_text(json.dumps({name: n for n, name in enumerate(names)}))
    with pytest.raises(DataError, match="ccg: 10,001 labels are declared"):
        open_source(f"mirror:{tmp_path}").labels(dataset("ccg"))


# --- links, pipes and paths ---


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Write a readable mirror, with a folder beside it."""
    folder = tmp_path / "mirror"
    for place in (folder / MNLI, tmp_path / "outside" / "train.parquet"):
        place.parent.mkdir(parents=True)
        pq.write_table(rows(), place)
    return folder


def count(source: Source) -> int:
    return source.num_rows(dataset("mnli"), "en", "train")


def test_a_link_out_of_a_mirror_is_refused_and_one_inside_is_followed(good: Path) -> None:
    (good / MNLI).rename(good / "kept.parquet")
    (good / MNLI).symlink_to(good / "kept.parquet")
    assert count(open_source(f"mirror:{good}")) == 3
    (good / MNLI).unlink()
    (good / MNLI).symlink_to(good.parent / "outside" / "train.parquet")
    with pytest.raises(BadInput, match=r"mnli/train.parquet links to a file outside the mirror, .*outside"):
        open_source(f"mirror:{good}")
    (good / MNLI).unlink()
    (good / MNLI).parent.rmdir()
    (good / MNLI).parent.symlink_to(good.parent / "outside")
    with pytest.raises(BadInput, match="outside the mirror"):
        open_source(f"mirror:{good}")


def test_a_link_to_an_original_outside_is_refused(good: Path) -> None:
    (good / "xsid").mkdir()
    (good.parent / "secret").write_text("root:x:0:0\n")
    (good / "xsid" / "en.train.conll").symlink_to(good.parent / "secret")
    with pytest.raises(BadInput, match="outside the mirror"):
        open_source(f"mirror:{good}")


def test_the_named_folder_itself_may_be_a_link(good: Path) -> None:
    (good.parent / "link").symlink_to(good)
    assert count(open_source(f"mirror:{good.parent / 'link'}")) == 3


def test_links_in_circles_end(good: Path) -> None:
    for name in ("round", "and", "again"):
        (good / "nyu-mll/glue" / name).symlink_to(good / "nyu-mll/glue")
    started = time.monotonic()
    assert count(open_source(f"mirror:{good}")) == 3
    assert time.monotonic() - started < SECONDS


def test_a_pipe_is_no_file(good: Path) -> None:
    (good / MNLI).unlink()
    os.mkfifo(good / MNLI)
    with pytest.raises(BadInput, match="holds no dataset"):
        open_source(f"mirror:{good}")
    with pytest.raises(DataError, match="a pipe or device"):
        open_parquet(good / MNLI)


@pytest.mark.parametrize(
    "name", ["a\\u0000b", "x" * 300, "x/" * 3000, "../" * 40 + "etc/passwd", "/etc/passwd", "a\\nb", "nul\\u001b[2J"]
)
def test_a_mirror_toml_names_files_of_the_mirror(good: Path, name: str) -> None:
    (good / "mirror.toml").write_text(f'[qqp.en]\ntrain = "{name}"\n')
    with pytest.raises(BadInput, match=r"mirror.toml: \[qqp.en\] train"):
        open_source(f"mirror:{good}")


@pytest.mark.parametrize("name", ["mirror:" + "x" * 5000, "mirror:/tmp/\x00", "mirror:~nobody-of-this-name/x"])
def test_an_impossible_folder_is_bad_input(name: str) -> None:
    with pytest.raises(BadInput):
        open_source(name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"[" * 50 + b"]" * 50, "nested deeper than"),
        (b"a." * 5000 + b"b = 1", "nested deeper than"),
        (b"#" * 2_000_000, "more than 1,048,576 bytes"),
        (b"a = 1" + b"0" * 5000, "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
    ],
)
def test_toml_is_read_within_limits(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    started = time.monotonic()
    with pytest.raises(BadInput, match=reason):
        read_toml(tmp_path / "x.toml", "file")
    assert time.monotonic() - started < SECONDS


def test_a_pipe_and_a_folder_are_no_toml(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(BadInput, match="is not a file"):
            read_toml(path, "file")


# --- files of their owners ---


@pytest.mark.parametrize(
    ("name", "files", "reason"),
    [
        ("lareqa", {"en.json": "[" * 100_000}, "en.json: not JSON: nested too deeply"),
        ("lareqa", {"en.json": '{"data": [{"paragraphs": 3}]}'}, "not in the layout of lareqa"),
        (
            "ccg",
            {"train.tsv": "a\tb\n", "tags_to_id.json": '{"b": "x", "c": 1}'},
            "not in the layout|no object|numbers",
        ),
        ("ccg", {"train.tsv": "\ud800\tb\n", "tags_to_id.json": '{"b": 0}'}, "train.tsv:1: not UTF-8"),
        ("xsid", {"en.train.conll": "no\tcolumns\n"}, "en.train.conll:1"),
    ],
)
def test_a_broken_file_of_an_owner_names_itself(tmp_path: Path, name: str, files: dict[str, str], reason: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8", errors="surrogatepass")
    found = originals.find(tmp_path)
    key = next(k for k in found if k[1] == "en")
    with pytest.raises(DataError, match=reason):
        originals.read_original(*key, found[key])
