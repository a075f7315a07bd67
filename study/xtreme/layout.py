"""XTREME's file layout: one folder per task, one file per language, and the readers and writers of those files.

The layout is that of XTREME (Hu et al. 2020) and XTREME-R (Ruder et al. 2021): `<task>/test-<language>.<suffix>`, once
for predictions and once for labels. Every broken file raises BadInput that names the file and, where there is one, the
line. Lines end in LF or CRLF, white space around them does not count, nor do blank lines at the end of a file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from trainables.catalogue import DATASETS, dataset
from trainables.errors import BadInput, unknown

Shape = Literal["labels", "choices", "indices", "tags", "answers", "pairs", "rankings"]
Version = Literal["xtreme", "xtreme-r"]

VERSIONS: tuple[Version, ...] = ("xtreme", "xtreme-r")
SUFFIXES: Mapping[Shape, str] = {"choices": "jsonl", "answers": "json", "rankings": "json"}  # every other: tsv


@dataclass(frozen=True, kw_only=True)
class Task:
    """One folder of the layout. `metrics` are all numbers of a language; the plain mean of `main` is its score."""

    name: str
    title: str
    group: str
    shape: Shape
    languages: Mapping[Version, tuple[str, ...]]  # of the versions that have the task
    entries: Mapping[Version, str]  # the catalogue's datasets with these languages
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    main: tuple[str, ...] = ("accuracy",)

    @property
    def suffix(self) -> str:
        """The file extension, without its dot."""
        return SUFFIXES.get(self.shape, "tsv")

    def file(self, language: str) -> str:
        """The file of a language below the folder of all tasks."""
        return f"{self.name}/test-{language}.{self.suffix}"


_F1 = ("f1", "precision", "recall")


def _task(name: str, group: str, shape: Shape, own: Sequence[Version] = VERSIONS, metrics: Sequence[str] = ()) -> Task:
    """Title, labels and languages are the catalogue's, which has entries of their own for XTREME-R's added languages."""
    d = dataset(name)
    entries = {"xtreme": d, "xtreme-r": DATASETS.get(f"{name}_r", d)}
    return Task(
        name=name,
        title=d.title,
        group=group,
        shape=shape,
        labels=d.labels,
        metrics=tuple(metrics) or d.main,
        main=d.main,
        languages={version: tuple(entries[version].configs) for version in own},
        entries={version: entries[version].name for version in own},
    )


# In the order of the published tables.
TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        _task("xnli", "classification", "labels"),
        _task("pawsx", "classification", "labels", ["xtreme"]),
        _task("xcopa", "classification", "choices", ["xtreme-r"]),
        _task("udpos", "tagging", "tags", metrics=(*_F1, "accuracy")),
        _task("panx", "tagging", "tags", metrics=_F1),
        _task("xquad", "qa", "answers"),
        _task("mlqa", "qa", "answers"),
        _task("tydiqa", "qa", "answers"),
        _task("bucc2018", "retrieval", "pairs", ["xtreme"], _F1),
        _task("tatoeba", "retrieval", "indices"),
        _task("mewslix", "retrieval", "rankings", ["xtreme-r"]),
        _task("lareqa", "retrieval", "rankings", ["xtreme-r"]),
    )
}

# Sentences in Tatoeba's pools: 1,000 but for these (Hu et al. 2020).
TATOEBA_POOL = {"jv": 205, "kk": 575, "ka": 746, "ml": 687, "sw": 390, "ta": 307, "te": 234, "th": 548}
FULL_POOL = 1000


def tasks_of(version: Version) -> dict[str, Task]:
    """The tasks of a version, by name."""
    return {name: task for name, task in TASKS.items() if version in task.languages}


def groups_of(version: Version) -> dict[str, list[str]]:
    """group -> its tasks in this version."""
    found: dict[str, list[str]] = {}
    for name, task in tasks_of(version).items():
        found.setdefault(task.group, []).append(name)
    return found


def known_languages(task: Task) -> list[str]:
    """The languages that some version of the task has."""
    return list(dict.fromkeys(tag for languages in task.languages.values() for tag in languages))


@dataclass(frozen=True)
class Folder:
    """What a folder in the layout holds: task -> language -> file, and what only the other version has."""

    files: dict[str, dict[str, Path]]
    left_out: list[str]


def look(folder: Path, version: Version) -> Folder:
    """Finds the files of a version; files beside the task folders and names that begin with a dot do not count.

    Raises BadInput for a folder, file or language that neither version has.
    """
    if not folder.is_dir():
        raise BadInput(f"{str(folder)!r} is not a folder")
    found = Folder({}, [])
    root = folder.resolve()
    for path in _visible(folder):
        _inside(path, root)
        if not path.is_dir():
            continue
        if path.name not in TASKS:
            raise _at(folder, unknown("task folder", path.name, TASKS))
        task = TASKS[path.name]
        if version not in task.languages:
            found.left_out.append(task.name)
            continue
        found.files[task.name] = {}
        for file in _visible(path):
            _inside(file, root)
            language = _language(task, file)
            if language in task.languages[version]:
                found.files[task.name][language] = file
            else:
                found.left_out.append(f"{task.name}/{language}")
    return found


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _inside(path: Path, root: Path) -> None:
    """BadInput for a link that leads out of the folder: messages quote what files hold."""
    if not path.resolve().is_relative_to(root):
        raise _at(path, "leads out of the folder: copy the file")


def _language(task: Task, file: Path) -> str:
    """The language in a file's name; BadInput where that is not `test-<language>.<suffix>` of a file."""
    names = known_languages(task)
    prefix, end = "test-", f".{task.suffix}"
    if not (file.name.startswith(prefix) and file.name.endswith(end) and file.is_file()):
        raise _at(file.parent, unknown("file", file.name, [f"{prefix}{tag}{end}" for tag in names]))
    tag = file.name[len(prefix) : -len(end)]
    if tag not in names:
        raise _at(file, unknown(f"{task.title} language", tag, names))
    return tag


def _at(path: Path | str, error: object) -> BadInput:
    return BadInput(f"{path}: {error}")


# ---- readers ----


def _text(path: Path) -> str:
    """The file's text; BadInput when it cannot be read, is not UTF-8 (with its line) or holds no byte."""
    try:
        data = path.read_bytes()
        text = data.decode()
    except OSError as error:
        raise _at(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _at(f"{path}:{line}", f"not UTF-8 (byte 0x{data[error.start]:02x})") from error
    if not text:
        raise _at(path, "the file is empty")
    return text


def _lines(path: Path) -> list[str]:
    """The lines without the white space around them, up to the last one that is not blank."""
    lines = [line.strip() for line in _text(path).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _items(path: Path) -> list[str]:
    """Lines, at least one, none of them blank."""
    lines = _lines(path)
    if not lines:
        raise _at(path, "the file is empty")
    for number, line in enumerate(lines, 1):
        if not line:
            raise _at(f"{path}:{number}", "a blank line between others")
    return lines


def read_labels(path: Path, allowed: Sequence[str]) -> list[str]:
    """One of the `allowed` labels a line."""
    lines = _items(path)
    for number, label in enumerate(lines, 1):
        if label not in allowed:
            raise _at(f"{path}:{number}", unknown("label", label, allowed))
    return lines


def read_choices(path: Path, allowed: Sequence[str]) -> list[str]:
    """XCOPA: a line is a JSON object with a `label`, or the bare label."""
    found = []
    for number, line in enumerate(_items(path), 1):
        value = _parse(line, path, number)
        label = value.get("label") if isinstance(value, dict) else value
        if isinstance(label, bool) or str(label) not in allowed:
            raise _at(f"{path}:{number}", unknown("label", str(label), allowed))
        found.append(str(label))
    return found


def read_indices(path: Path) -> list[int]:
    """Tatoeba: one index a line, of the right sentence in the other language's pool, from 0 on."""
    lines = _items(path)
    for number, line in enumerate(lines, 1):
        if not (line.isascii() and line.isdigit()):
            raise _at(f"{path}:{number}", f"{line!r} is not an index (a whole number from 0 on)")
    return [int(line) for line in lines]


def read_pairs(path: Path) -> set[tuple[str, str]]:
    """BUCC: `source id TAB target id` a line, as a set; a file of one blank line is the empty set."""
    found = set()
    for number, line in enumerate(_lines(path), 1):
        source, tab, target = (part.strip() for part in line.partition("\t"))
        if not source or not target or "\t" in target:
            raise _at(f"{path}:{number}", f"{line!r} is not `source id TAB target id`")
        found.add((source, target))
    return found


@dataclass(frozen=True)
class Sentence:
    """The tags of a sentence, and the line of the first one."""

    tags: tuple[str, ...]
    line: int


def read_tags(path: Path, allowed: Sequence[str]) -> list[Sentence]:
    """One tag a line, sentences parted by blank lines; two blank lines do not make an empty sentence."""
    known = frozenset(allowed)
    found: list[Sentence] = []
    tags: list[str] = []
    lines = _lines(path)
    for number, tag in enumerate([*lines, ""], 1):
        if tag:
            if tag not in known:
                raise _at(f"{path}:{number}", unknown("tag", tag, allowed))
            tags.append(tag)
        elif tags:
            found.append(Sentence(tuple(tags), number - len(tags)))
            tags = []
    if not found:
        raise _at(path, "the file is empty")
    return found


def read_answers(path: Path) -> dict[str, str]:
    """Questions: one JSON object, question id -> answer text."""
    found = _object(path, "question id -> answer text")
    for key, answer in found.items():
        if not isinstance(answer, str):
            raise _at(path, f"the answer of {key!r} is no text but {_short(answer)}")
    return found


def read_questions(path: Path) -> dict[str, tuple[str, ...]]:
    """SQuAD v1.1's JSON, its `data` or that list alone: question id -> gold answer texts, at least one."""
    value = _parse(_text(path), path)
    found: dict[str, tuple[str, ...]] = {}
    try:
        for article in value["data"] if isinstance(value, dict) else value:
            for question in (q for paragraph in article["paragraphs"] for q in paragraph["qas"]):
                key, answers = str(question["id"]), tuple(answer["text"] for answer in question["answers"])
                if key in found:
                    raise _at(path, f"question {key!r} stands there twice")
                if not answers or not all(isinstance(answer, str) for answer in answers):
                    raise _at(path, f"question {key!r} has no answer text")
                found[key] = answers
    except (KeyError, TypeError) as error:
        raise _at(path, f"not SQuAD's JSON: {error!r} on the way data, paragraphs, qas, answers, text") from error
    if not found:
        raise _at(path, "holds no question")
    return found


def read_rankings(path: Path) -> dict[str, list[str]]:
    """Mewsli-X and LAReQA: one JSON object, example id -> candidate ids, the best first; one id may stand for a list."""
    found: dict[str, list[str]] = {}
    for key, value in _object(path, "example id -> candidate ids").items():
        ids = value if isinstance(value, list) else [value]
        if not all(isinstance(i, str | int) and not isinstance(i, bool) for i in ids):
            raise _at(path, f"{key!r} has no list of candidate ids but {_short(value)}")
        found[key] = [str(i).strip() for i in ids]
        twice = next((i for i, n in Counter(found[key]).items() if n > 1), None)
        if twice is not None:
            raise _at(path, f"{key!r} ranks candidate {twice!r} twice")
    return found


def _object(path: Path, what: str) -> dict[str, Any]:
    value = _parse(_text(path), path)
    if not isinstance(value, dict):
        raise _at(path, f"not one JSON object ({what}) but {_short(value)}")
    return value


def _parse(text: str, path: Path, line: int = 1) -> Any:
    """JSON whose first line is line `line` of the file; objects that repeat a key are errors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            key = next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1)
            raise _at(_second(text, key, path, line), f"key {key!r} stands twice in one object")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise _at(f"{path}:{line + error.lineno - 1}:{error.colno}", f"not JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # ValueError: BadInput as it is, or a number of too many digits
        raise error if isinstance(error, BadInput) else _at(path, f"not JSON that can be read: {error}") from error


def _second(text: str, key: str, path: Path, line: int) -> str:
    """File and line of a key that stands twice, or the file alone where the same text stands elsewhere too."""
    quoted = json.dumps(key, ensure_ascii=False)
    if text.count(quoted) != 2:
        return str(path)
    return f"{path}:{line + text.count(chr(10), 0, text.rindex(quoted))}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}..."


# ---- writers ----


def lines_text(items: Iterable[str]) -> str:
    """One item a line; nothing at all is one blank line, since an empty file is taken for a broken one."""
    return "".join(f"{item}\n" for item in items) or "\n"


def tags_text(sentences: Iterable[Sequence[str]]) -> str:
    """One tag a line, a blank line after every sentence; a sentence without words has no lines."""
    return "".join("".join(f"{tag}\n" for tag in tags) + "\n" for tags in sentences if tags)


def json_text(value: Any) -> str:
    """One JSON value."""
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def squad_text(title: str, questions: Iterable[tuple[str, str, str, Sequence[tuple[int, str]]]]) -> str:
    """SQuAD v1.1's JSON of (id, question, context, answers), an answer being (first character, text).

    Questions that follow each other on one context share a paragraph.
    """
    paragraphs = []
    for context, group in groupby(questions, key=lambda question: question[2]):
        asked = []
        for key, text, _, answers in group:
            golds = [{"answer_start": start, "text": answer} for start, answer in answers]
            asked.append({"id": key, "question": text, "answers": golds})
        paragraphs.append({"context": context, "qas": asked})
    return json_text({"version": "1.1", "data": [{"title": title, "paragraphs": paragraphs}]})
