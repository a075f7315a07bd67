"""Parsers of files as their owners distribute them.

They serve the datasets that the hub lacks, and need no conversion. The files are in a mirror at <dataset>/..., under
the names of the release; `docs/sources.md` lists them. Every parser returns a table with the hub's kind of columns, and
names file and line of what it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from trainables.catalogue import DATASETS
from trainables.errors import DataError
from trainables.readers import RowLabels
from trainables.sources.conll import fused, spoken
from trainables.sources.tables import LINE, SPLITS
from trainables.text_file import cells_of, parse_json, read_lines, read_text, words_of

Parsed = tuple[pa.Table, RowLabels]
_RELEASED = {"train": ("train",), "validation": ("dev", "valid", "validation", "eval"), "test": ("test",)}


class _Original(NamedTuple):
    """How one dataset's files are found in its folder, and parsed."""

    files: Callable[[Path, str, str], Sequence[Path]]  # (folder, language, table) -> files; none if incomplete
    parse: Callable[[Sequence[Path], str, str], Parsed]  # (files, language, table)
    folder: str | None = None  # if other than the dataset's name
    shared: str | None = None  # tables with this prefix are the same in every language


def find(root: Path) -> dict[tuple[str, str, str], list[Path]]:
    """Map (dataset, language, table) to its files below <root>/<dataset>."""
    found = {}
    for name, original in ORIGINALS.items():
        folder = root / (original.folder or name)
        if folder.is_dir():
            d = DATASETS[name]
            for language, table in ((lang, table) for s in SPLITS for table in d.tables(s) for lang in d.configs):
                files = list(original.files(folder, language, table))
                if files and all(file.is_file() for file in files):
                    found[name, language, table] = files
    return found


def read_original(name: str, language: str, table: str, files: Sequence[Path]) -> Parsed:
    """Parse files into the hub's columns and the label names they declare.

    Raises:
        DataError: a file is not in the layout of its release.
    """
    shared = ORIGINALS[name].shared
    stamps = tuple((file, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)
    return _read(name, "" if shared and table.startswith(shared) else language, table, stamps)


@lru_cache(maxsize=2)  # a pool is read several times in succession, and may hold a million texts
def _read(name: str, language: str, table: str, stamps: tuple[tuple[Path, int, int], ...]) -> Parsed:
    files = [file for file, _, _ in stamps]
    with _in_layout(str(files[0]), name):
        return ORIGINALS[name].parse(files, language, table)


@contextmanager
def _in_layout(where: str, name: str) -> Iterator[None]:
    """Turn what fails on values of another layout into a DataError that names file, and line if known."""
    try:
        yield
    except DataError:
        raise
    except KeyError as error:
        raise DataError(f"{where} is not in the layout of {name}: it lacks {error}") from None
    except (TypeError, IndexError, AttributeError, ValueError, OverflowError) as error:
        raise DataError(f"{where} is not in the layout of {name} ({error!r})") from None


def _ccg_files(folder: Path, language: str, table: str) -> list[Path]:
    return [folder / f"{table}.tsv", folder / "tags_to_id.json"]


def _ccg(files: Sequence[Path], language: str, table: str) -> Parsed:
    """Parse "words TAB tags", both separated by single spaces.

    The JSON object maps every tag to its number.
    """
    ids = _json(files[1])
    if not isinstance(ids, dict) or sorted(ids.values()) != list(range(len(ids))):
        raise DataError(f"{files[1]}: is not an object that maps tags to numbers from 0")
    rows = [(line, words_of(text), words_of(tags)) for line, (text, tags) in _tsv(files[0], 2)]
    for line, words, tags in rows:
        if len(words) != len(tags):
            raise DataError(f"{files[0]}:{line}: has {len(words)} words and {len(tags)} tags")
    names = tuple(sorted(ids, key=lambda tag: int(ids[tag])))
    lists = _lists(tokens=[words for _, words, _ in rows], tags=[tags for *_, tags in rows])
    return _with_lines(lists, files[0], [line for line, *_ in rows]), {"tags": names}


def _atis_files(folder: Path, language: str, table: str) -> list[Path]:
    return _first(folder, [f"{part}_{language.upper()}.tsv" for part in _RELEASED[table]])


def _atis(files: Sequence[Path], language: str, table: str) -> Parsed:
    """Parse a header, then id, utterance, slot_labels, intent.

    Words and tags are separated by single spaces.
    """
    header = [name.strip(" ") for name in next(iter(read_lines(files[0])), "").split("\t")]
    wanted = ("utterance", "slot_labels", "intent")
    if not set(wanted) <= set(header):
        raise DataError(f"{files[0]}:1: its header is {' '.join(header)!r}, without {', '.join(wanted)}")
    _, *lines = _tsv(files[0], len(header))
    utterances, tags, intents = ([cells[header.index(name)] for _, cells in lines] for name in wanted)
    rows = _lists(tokens=[words_of(u) for u in utterances], slot_tags=[words_of(t) for t in tags])
    return _with_lines(
        rows.append_column("intent", pa.array(intents, pa.string())), files[0], [line for line, _ in lines]
    ), {}


def _mtod_files(folder: Path, language: str, table: str) -> list[Path]:
    tags = [language, {"th": "th_TH"}.get(language, language)]
    return _first(folder / language, [f"{part}-{tag}.conllu" for part in _RELEASED[table] for tag in tags])


def _xsid_files(folder: Path, language: str, table: str) -> list[Path]:
    return _first(folder, [f"{language}.{part}.conll" for part in _RELEASED[table]])


def _dialogue(files: Sequence[Path], language: str, table: str) -> Parsed:
    """Parse utterances; ids are the file's numbers, else positions."""
    found = list(spoken(files[0]))
    ids = [u.comments.get("id", str(number)) for number, u in enumerate(found, 1)]
    rows = _lists(tokens=[u.words for u in found], slot_tags=[u.tags for u in found])
    rows = rows.append_column("intent", pa.array([u.intent for u in found], pa.string()))
    lines = [int(u.where.rpartition(":")[2]) for u in found]
    return _with_lines(rows.append_column("id", pa.array(ids, pa.string())), files[0], lines), {}


def _projected_files(folder: Path, language: str, table: str) -> list[Path]:
    english = _xsid_files(folder, "en", table) if table != "test" else []
    if language == "en":
        return english
    return [folder / f"{language}.projectedTrain.conll", *english] if english and table == "train" else []


def _projected(files: Sequence[Path], language: str, table: str) -> Parsed:
    """Parse xSID's machine translations of its English train set, row by row.

    Row numbers alone do not prove a translation: both files must have as many rows, and each row the same intent
    and, where the file states the English text, the same text.
    """
    rows, names = _dialogue(files[:1], language, table)
    rows = rows.set_column(rows.schema.get_field_index("id"), "id", pa.array(map(str, range(1, rows.num_rows + 1))))
    if len(files) > 1:
        own, english = list(spoken(files[0])), list(spoken(files[1]))
        if len(own) != len(english):
            raise DataError(f"{files[0]} has {len(own)} utterances and {files[1]} {len(english)}")
        for u, e in zip(own, english, strict=True):
            stated, text = u.comments.get("text-en"), e.comments.get("text")
            if u.intent != e.intent or (stated and text and stated != text):
                raise DataError(f"{u.where}: is not a translation of {e.where} (its intent or English text differs)")
    return rows, names


def _ud_files(folder: Path, language: str, table: str) -> list[Path]:
    part = _RELEASED[table][0]
    return sorted((folder / language).glob(f"*-{part}*.conllu"))


def _ud(files: Sequence[Path], language: str, table: str) -> Parsed:
    """Parse all treebanks of a language, one after another."""
    found = [sentence for file in files for sentence in fused(file, language)]
    return _lists(tokens=[words for words, _ in found], pos_tags=[tags for _, tags in found]), {}


def _bucc_files(folder: Path, language: str, table: str) -> list[Path]:
    side, _, split = table.partition("_")
    part = {"validation": "sample", "test": "training"}.get(split, "none")
    end = {"pairs": "gold", "source": language, "target": "en"}[side]
    return sorted(folder.rglob(f"*{language}-en.{part}.{end}"))[:1]


def _bucc(files: Sequence[Path], language: str, table: str) -> Parsed:
    """Parse "id TAB sentence", or for the gold pairs "id TAB English id"."""
    lines = list(_tsv(files[0], 2))
    names = ("source_id", "target_id") if table.startswith("pairs_") else ("id", "text")
    return _with_lines(_table([cells for _, cells in lines], *names), files[0], [line for line, _ in lines]), {}


def _mewslix_files(folder: Path, language: str, table: str) -> list[Path]:
    side, _, split = table.partition("_")
    if split == "train":
        return []
    if side == "target":
        return [folder / "candidate_set_entities.jsonl"]
    return [folder / f"wikinews_mentions-{_RELEASED[split][0]}.jsonl"]


def _mewslix(files: Sequence[Path], language: str, table: str) -> Parsed:
    """Parse Mewsli-X.

    Queries are mentions in their sentence, in XTREME-R's markup; candidates are descriptions in any language.
    """
    found = []
    for where, value in _json_lines(files[0]):
        with _in_layout(where, "mewslix"):
            if table.startswith("target_"):
                found.append((value["entity_id"], _one_line(value["description"]) or value["title"], ""))
            elif (context := value["context"])["language"] == language:
                found += [(m["example_id"], m["entity_id"], _mention(where, context, m)) for m in value["mentions"]]
    if table.startswith("target_"):
        return _texts(found), {}
    if table.startswith("source_"):
        return _texts([(id, text) for id, _, text in found]), {}
    return _table([(id, entity) for id, entity, _ in found], "source_id", "target_id"), {}


def _mention(where: str, context: dict[str, Any], mention: dict[str, Any]) -> str:
    """Mark a mention in the sentence that contains it.

    "Bern: left { Bern } right"
    """
    start, end = _span(mention["mention_span"])
    text, spans = context["text"], [_span(s) for s in context["sentence_spans"]]
    if text[start:end] != mention["mention_span"]["text"]:
        raise DataError(f"{where}: mention {mention['example_id']} is not at {start}:{end} of its text")
    first = max((s for s, _ in spans if s <= start), default=0)
    last = min((e for _, e in spans if e >= end), default=len(text))
    name = text[start:end]
    return _one_line(f"{name}: {text[first:start]} {{ {name} }} {text[end:last]}")


def _lareqa_files(folder: Path, language: str, table: str) -> list[Path]:
    own = folder / f"{language}.json"
    if not table.endswith("_validation") or not own.is_file():
        return []
    others = [folder / f"{other}.json" for other in DATASETS["lareqa"].configs]
    return [own] if table.startswith("source_") else [own, *(f for f in others if f.is_file() and f != own)]


def _lareqa(files: Sequence[Path], language: str, table: str) -> Parsed:
    """Parse LAReQA.

    Queries are questions, candidates the sentences of all languages; right are those that contain an answer.
    """
    if table.startswith("source_"):
        return _texts([(qa["id"], qa["question"]) for p in _paragraphs(files[0]) for qa in p["qas"]]), {}
    pool: list[tuple[str, str]] = []
    right: dict[str, list[str]] = {}
    for file in files:
        for number, paragraph in enumerate(_paragraphs(file)):
            spans = [_span(b) for b in paragraph["sentence_breaks"]]
            ids = [f"{file.stem}:{number}:{n}" for n in range(len(spans))]
            pool += [(id, paragraph["context"][start:end]) for id, (start, end) in zip(ids, spans, strict=True)]
            for qa in paragraph["qas"]:
                at = int(qa["answers"][0]["answer_start"])
                right.setdefault(qa["id"], []).extend(
                    id for id, (start, end) in zip(ids, spans, strict=True) if start <= at < end
                )
    if table.startswith("target_"):
        return _texts(pool), {}
    own = [qa["id"] for paragraph in _paragraphs(files[0]) for qa in paragraph["qas"]]
    pairs = [(question, answer) for question in own for answer in right[question]]
    return _table(pairs, "source_id", "target_id"), {}


def _paragraphs(file: Path) -> list[dict[str, Any]]:
    return [paragraph for article in _json(file)["data"] for paragraph in article["paragraphs"]]


def _first(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the first existing file of some alternative names, as a list."""
    return [folder / name for name in names if (folder / name).is_file()][:1]


def _tsv(file: Path, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of lines that are not blank."""
    for number, line in enumerate(read_lines(file), 1):
        if line.strip(" "):
            yield number, cells_of(line, columns, f"{file}:{number}")


def _json(file: Path) -> Any:
    return parse_json(read_text(file), file)


def _translated_files(folder: Path, language: str, table: str) -> list[Path]:
    return [folder / f"{language}.tsv"] if table == "train" else []


def _translations(files: Sequence[Path], language: str, table: str) -> Parsed:
    """Parse "sentence TAB English original"."""
    lines = list(_tsv(files[0], 2))
    rows = _table([cells for _, cells in lines], "source_sentence", "target_sentence")
    return _with_lines(rows, files[0], [line for line, _ in lines]), {}


def _json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(read_lines(file), 1):
        yield f"{file}:{number}", parse_json(line, file, line=number)


def _span(value: Any) -> tuple[int, int]:
    """Return (start, end) of a pair or of an object with these keys."""
    return (int(value["start"]), int(value["end"])) if isinstance(value, dict) else (int(value[0]), int(value[1]))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _lists(**columns: list[list[str]]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.list_(pa.string())) for name, values in columns.items()})


def _with_lines(table: pa.Table, file: Path, lines: Sequence[int]) -> pa.Table:
    """Add the file, and the line that each row is on, for error messages."""
    return table.append_column(LINE, pa.array(lines, pa.int64())).replace_schema_metadata({"file": str(file)})


def _texts(rows: Sequence[Sequence[str]]) -> pa.Table:
    return _table(rows, "id", "text")


def _table(rows: Sequence[Sequence[str]], *columns: str) -> pa.Table:
    return pa.table({name: pa.array([row[n] for row in rows], pa.string()) for n, name in enumerate(columns)})


ORIGINALS = {
    "ccg": _Original(_ccg_files, _ccg),
    "multiatis": _Original(_atis_files, _atis),
    "mtod": _Original(_mtod_files, _dialogue),
    "xsid": _Original(_xsid_files, _dialogue),
    "xsid_parallel": _Original(_projected_files, _projected, folder="xsid"),
    "udpos_fused": _Original(_ud_files, _ud),
    "udpos_r": _Original(_ud_files, _ud),
    "bucc2018": _Original(_bucc_files, _bucc),
    "mewslix": _Original(_mewslix_files, _mewslix, shared="target_"),
    "lareqa": _Original(_lareqa_files, _lareqa),
    "translations": _Original(_translated_files, _translations),
}
