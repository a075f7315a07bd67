"""XTREME's file layout, with readers and writers of its files.

There is one folder per task, with one file per language.

The layout is that of XTREME (Hu et al. 2020) and XTREME-R (Ruder et al. 2021): `<task>/test-<language>.<suffix>`, once
for predictions and once for labels. Every broken file raises BadInput with the file and, if known, the line. Lines end in
LF or CRLF; white space around them and blank lines at the end of a file are ignored.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from trainables.catalogue import DATASETS, dataset
from trainables.errors import BadInput, unknown
from trainables.text_file import line_of_key, parse_json, read_text, short

Shape = Literal["labels", "choices", "indices", "tags", "answers", "pairs", "rankings"]
Version = Literal["xtreme", "xtreme-r"]

VERSIONS: tuple[Version, ...] = ("xtreme", "xtreme-r")
SUFFIXES: Mapping[Shape, str] = {"choices": "jsonl", "answers": "json", "rankings": "json"}  # every other: tsv


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, that is one folder of the layout.

    Attributes:
        languages: languages of each version that has the task.
        entries: catalogue dataset with these languages, for each version.
        metrics: all metrics of a language.
        main: metrics whose plain mean is the score.
    """

    name: str
    title: str
    group: str
    shape: Shape
    languages: Mapping[Version, tuple[str, ...]]
    entries: Mapping[Version, str]
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    main: tuple[str, ...] = ("accuracy",)

    @property
    def suffix(self) -> str:
        """File extension without the dot."""
        return SUFFIXES.get(self.shape, "tsv")

    def file(self, language: str) -> str:
        """Return a language's file, relative to the folder of all tasks."""
        return f"{self.name}/test-{language}.{self.suffix}"


_F1 = ("f1", "precision", "recall")


def _task(name: str, group: str, shape: Shape, own: Sequence[Version] = VERSIONS, metrics: Sequence[str] = ()) -> Task:
    """Make a task from its catalogue entries.

    Title, labels and languages are the catalogue's, which has separate entries for XTREME-R's added languages.
    """
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

# Sentences in Tatoeba's pools: 1,000 except for these (Hu et al. 2020).
TATOEBA_POOL = {"jv": 205, "kk": 575, "ka": 746, "ml": 687, "sw": 390, "ta": 307, "te": 234, "th": 548}
FULL_POOL = 1000


def tasks_of(version: Version) -> dict[str, Task]:
    """Return the tasks of a version, by name."""
    return {name: task for name, task in TASKS.items() if version in task.languages}


def groups_of(version: Version) -> dict[str, list[str]]:
    """Map each group to its tasks in this version."""
    found: dict[str, list[str]] = {}
    for name, task in tasks_of(version).items():
        found.setdefault(task.group, []).append(name)
    return found


def known_languages(task: Task) -> list[str]:
    """List the languages of a task over all versions."""
    return list(dict.fromkeys(tag for languages in task.languages.values() for tag in languages))


@dataclass(frozen=True)
class Folder:
    """Contents of a folder in the layout.

    Attributes:
        files: task -> language -> file.
        left_out: tasks, and `task/language`, of the other version only.
    """

    files: dict[str, dict[str, Path]]
    left_out: list[str]


def find_files(folder: Path, version: Version) -> Folder:
    """Find the files of a version.

    Files beside the task folders and names that begin with a dot are ignored.

    Raises:
        BadInput: neither version has a folder, file or language.
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
    """Reject a link to outside the folder, since messages quote file contents.

    Raises:
        BadInput: the path is such a link.
    """
    if not path.resolve().is_relative_to(root):
        raise _at(path, "is a link to outside the folder: copy the file")


def _language(task: Task, file: Path) -> str:
    """Parse the language from a file's name.

    Raises:
        BadInput: the name is not `test-<language>.<suffix>`, or the path is no file.
    """
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
    """Read a file's text.

    Raises:
        BadInput: the file is empty, or the reader of text refuses it.
    """
    text = read_text(path, BadInput)
    if not text:
        raise _at(path, "the file is empty")
    return text


def _lines(path: Path) -> list[str]:
    """Read lines without the spaces around them, up to the last that is not blank."""
    lines = [line.strip(" ") for line in _text(path).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _items(path: Path) -> list[str]:
    """Read one or more stripped lines.

    Raises:
        BadInput: there is no line, or a blank one.
    """
    lines = _lines(path)
    if not lines:
        raise _at(path, "the file is empty")
    for number, line in enumerate(lines, 1):
        if not line:
            raise _at(f"{path}:{number}", "a blank line between others")
    return lines


def read_labels(path: Path, allowed: Sequence[str]) -> list[str]:
    """Read one label per line.

    Raises:
        BadInput: a label is not `allowed`.
    """
    lines = _items(path)
    for number, label in enumerate(lines, 1):
        if label not in allowed:
            raise _at(f"{path}:{number}", unknown("label", label, allowed))
    return lines


def read_choices(path: Path, allowed: Sequence[str]) -> list[str]:
    """Read XCOPA's labels, one per line.

    A line is a JSON object with `label`, or the bare label.
    """
    found = []
    for number, line in enumerate(_items(path), 1):
        value = parse_json(line, path, BadInput, line=number)
        label = value.get("label") if isinstance(value, dict) else value
        if isinstance(label, bool) or str(label) not in allowed:
            raise _at(f"{path}:{number}", unknown("label", str(label), allowed))
        found.append(str(label))
    return found


def read_indices(path: Path) -> list[int]:
    """Read Tatoeba's indices, one per line.

    An index is the 0-based position of the translation in the other language's pool.
    """
    lines = _items(path)
    for number, line in enumerate(lines, 1):
        if not re.fullmatch("[0-9]{1,9}", line):
            raise _at(f"{path}:{number}", f"{short(line)} is not an index (a whole number, at least 0)")
    return [int(line) for line in lines]


def read_pairs(path: Path) -> set[tuple[str, str]]:
    """Read BUCC's pairs, one `source id TAB target id` per line.

    A file of one blank line is the empty set.
    """
    found = set()
    for number, line in enumerate(_lines(path), 1):
        cells = [cell.strip(" ") for cell in line.split("\t")]
        if len(cells) != 2 or not all(cell.strip() for cell in cells):
            raise _at(f"{path}:{number}", f"{short(line)} is not `source id TAB target id`")
        found.add((cells[0], cells[1]))
    return found


@dataclass(frozen=True)
class Sentence:
    """Tags of a sentence, and the line of its first tag."""

    tags: tuple[str, ...]
    line: int


def read_tags(path: Path, allowed: Sequence[str]) -> list[Sentence]:
    """Read one tag per line, with blank lines between sentences.

    Several blank lines make no empty sentence.
    """
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
    """Read predicted answers: a JSON object, question id -> answer text."""
    found, text = _object(path, "question id -> answer text")
    for key, answer in found.items():
        if not isinstance(answer, str):
            raise _at_key(path, text, key, f"the answer of {key!r} is not text but {_short(answer)}")
    return found


def read_questions(path: Path) -> dict[str, tuple[str, ...]]:
    """Read gold answers from SQuAD v1.1's JSON, or its `data` list alone.

    Returns:
        Question id -> gold answer texts, at least one.
    """
    text = _text(path)
    value = parse_json(text, path, BadInput)
    found: dict[str, tuple[str, ...]] = {}
    try:
        for article in value["data"] if isinstance(value, dict) else value:
            for question in (q for paragraph in article["paragraphs"] for q in paragraph["qas"]):
                key, answers = str(question["id"]), tuple(answer["text"] for answer in question["answers"])
                if key in found:
                    raise _at(f"{path}:{line_of_key(text, key, last=True)}", f"question {key!r} occurs twice")
                if not answers or not all(isinstance(answer, str) for answer in answers):
                    raise _at_key(path, text, key, f"question {key!r} has no answer text")
                found[key] = answers
    except (KeyError, TypeError) as error:
        raise _at(path, f"not SQuAD's JSON: {error!r} in the path data, paragraphs, qas, answers, text") from error
    if not found:
        raise _at(path, "has no question")
    return found


def read_rankings(path: Path) -> dict[str, list[str]]:
    """Read the rankings of Mewsli-X and LAReQA.

    The file is a JSON object, example id -> candidate ids, best first; a single id may replace a list.
    """
    found: dict[str, list[str]] = {}
    values, text = _object(path, "example id -> candidate ids")
    for key, value in values.items():
        ids = value if isinstance(value, list) else [value]
        if not all(isinstance(i, str | int) and not isinstance(i, bool) for i in ids):
            raise _at_key(path, text, key, f"{key!r} has no list of candidate ids but {_short(value)}")
        found[key] = [str(i).strip(" ") for i in ids]
        twice = next((i for i, n in Counter(found[key]).items() if n > 1), None)
        if twice is not None:
            raise _at_key(path, text, key, f"{key!r} ranks candidate {twice!r} twice")
    return found


def _object(path: Path, what: str) -> tuple[dict[str, Any], str]:
    """Read one JSON object, and its text."""
    text = _text(path)
    value = parse_json(text, path, BadInput)
    if not isinstance(value, dict):
        raise _at(path, f"not one JSON object ({what}) but {_short(value)}")
    return value, text


def _at_key(path: Path, text: str, key: str, error: str) -> BadInput:
    return _at(f"{path}:{line_of_key(text, key)}", error)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}..."


# ---- writers ----


def lines_text(items: Iterable[str]) -> str:
    """Write one item per line.

    No items give one blank line, since an empty file counts as broken.
    """
    return "".join(f"{item}\n" for item in items) or "\n"


def tags_text(sentences: Iterable[Sequence[str]]) -> str:
    """Write one tag per line, and a blank line after each sentence.

    A sentence without words has no lines.
    """
    return "".join("".join(f"{tag}\n" for tag in tags) + "\n" for tags in sentences if tags)


def json_text(value: Any) -> str:
    """Write a value as JSON."""
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def squad_text(title: str, questions: Iterable[tuple[str, str, str, Sequence[tuple[int, str]]]]) -> str:
    """Write questions as SQuAD v1.1's JSON.

    Consecutive questions with the same context share a paragraph.

    Args:
        questions: (id, question, context, answers); an answer is (index of its first character, text).
    """
    paragraphs = []
    for context, group in groupby(questions, key=lambda question: question[2]):
        asked = []
        for key, text, _, answers in group:
            golds = [{"answer_start": start, "text": answer} for start, answer in answers]
            asked.append({"id": key, "question": text, "answers": golds})
        paragraphs.append({"context": context, "qas": asked})
    return json_text({"version": "1.1", "data": [{"title": title, "paragraphs": paragraphs}]})
