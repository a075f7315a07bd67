"""The pocket world: a small controlled multilingual world, made on the spot, that stands in for every dataset.

It shows what the tool does on a laptop without a network. Its texts are made up by a program: scores on them say
nothing about real languages.

Languages: `lang_<code>.py` each; add one by writing its file and a line in _ALL. What the tasks share is planted:
the answers of the span questions are the roles that the finer tags (ccg) mark, inference and paraphrase pairs turn on
one filler of a frame, and the multiple-choice tasks ask which verbs, people and venues go with which things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from trainables.pocket import english, tables
from trainables.pocket.frames import TOPICS
from trainables.pocket.grammar import Language
from trainables.pocket.lang_de import GERMAN
from trainables.pocket.lang_en import ENGLISH
from trainables.pocket.lang_es import SPANISH
from trainables.pocket.lang_hi import HINDI
from trainables.pocket.lang_ru import RUSSIAN
from trainables.pocket.lang_sw import SWAHILI
from trainables.pocket.lang_tr import TURKISH
from trainables.pocket.lang_zh import CHINESE
from trainables.pocket.pairs import NLI_LABELS

_ALL = (ENGLISH, GERMAN, SPANISH, RUSSIAN, TURKISH, HINDI, SWAHILI, CHINESE)
_LANGUAGES: Mapping[str, Language] = {language.code: language for language in _ALL}
LANGUAGES: tuple[str, ...] = tuple(_LANGUAGES)
"""Language codes, English first."""

_TEXT, _WORDS, _TAGS = pa.string(), pa.list_(pa.string()), pa.list_(pa.int64())
_ANSWERS = pa.struct([("text", _WORDS), ("answer_start", pa.list_(pa.int32()))])
_CHOICES = pa.struct([("label", _WORDS), ("text", _WORDS)])
_NLI = {"premise": _TEXT, "hypothesis": _TEXT, "label": pa.int64()}
_OTHERS = LANGUAGES[1:]
_ENGLISH = ("en",)


@dataclass(frozen=True, kw_only=True)
class _Table:
    """How one dataset is made: rows(language, split, n), its columns, per split the languages and number of rows."""

    rows: Callable[[Language, str, int], list[dict[str, Any]]]
    columns: Mapping[str, pa.DataType]
    splits: Mapping[str, tuple[tuple[str, ...], int]]
    labels: Mapping[str, tuple[str, ...]] | None = None


def _only_english(make: Callable[[str, int], tuple[dict[str, Any], ...]]) -> Callable[..., list[dict[str, Any]]]:
    return lambda language, split, n: list(make(split, n))


_TAGGED = {"train": (_ENGLISH, 2400), "validation": (LANGUAGES, 240), "test": (LANGUAGES, 300)}
_TABLES: Mapping[str, _Table] = {
    "mlm": _Table(
        rows=tables.mlm,
        columns={"text": _TEXT},
        splits={"train": (LANGUAGES, 3000), "validation": (LANGUAGES, 300)},
    ),
    "sib200": _Table(
        rows=tables.sib200,
        columns={"index_id": pa.int64(), "category": pa.int64(), "text": _TEXT},
        splits={"train": (LANGUAGES, 3000), "validation": (LANGUAGES, 240), "test": (LANGUAGES, 300)},
        labels={"category": TOPICS},
    ),
    "mnli": _Table(
        rows=tables.nli("mnli"),
        columns=_NLI,
        splits={"train": (_ENGLISH, 4000), "validation": (_ENGLISH, 300)},
        labels={"label": NLI_LABELS},
    ),
    "xnli": _Table(
        rows=tables.nli("xnli"),
        columns=_NLI,
        splits={"validation": (LANGUAGES, 240), "test": (LANGUAGES, 300)},
        labels={"label": NLI_LABELS},
    ),
    "qqp": _Table(
        rows=tables.qqp,
        columns={"question1": _TEXT, "question2": _TEXT, "label": pa.int64()},
        splits={"train": (_ENGLISH, 4000), "validation": (_ENGLISH, 300)},
        labels={"label": ("not_duplicate", "duplicate")},
    ),
    "pawsx": _Table(
        rows=tables.pawsx,
        columns={"id": pa.int32(), "sentence1": _TEXT, "sentence2": _TEXT, "label": pa.int64()},
        splits={"train": (_ENGLISH, 3000), "validation": (LANGUAGES, 240), "test": (LANGUAGES, 300)},
        labels={"label": ("0", "1")},
    ),
    "squad": _Table(
        rows=tables.squad("squad", title=True),
        columns={"id": _TEXT, "title": _TEXT, "context": _TEXT, "question": _TEXT, "answers": _ANSWERS},
        splits={"train": (_ENGLISH, 3000), "validation": (_ENGLISH, 300)},
    ),
    "xquad": _Table(
        rows=tables.squad("xquad", title=False),
        columns={"id": _TEXT, "context": _TEXT, "question": _TEXT, "answers": _ANSWERS},
        splits={"validation": (LANGUAGES, 300)},
    ),
    "ccg": _Table(
        rows=tables.ccg,
        columns={"tokens": _WORDS, "tags": _TAGS},
        splits={"train": (_ENGLISH, 2400), "validation": (_ENGLISH, 300)},
        labels={"tags": tables.CCG_TAGS},
    ),
    "udpos": _Table(
        rows=tables.udpos,
        columns={"tokens": _WORDS, "pos_tags": _TAGS},
        splits=_TAGGED,
        labels={"pos_tags": tables.UPOS},
    ),
    "panx": _Table(
        rows=tables.panx,
        columns={"tokens": _WORDS, "ner_tags": _TAGS, "langs": _WORDS},
        splits=_TAGGED,
        labels={"ner_tags": tables.ENTITIES},
    ),
    "commonsense_qa": _Table(
        rows=_only_english(english.commonsense_qa),
        columns={"id": _TEXT, "question": _TEXT, "question_concept": _TEXT, "choices": _CHOICES, "answerKey": _TEXT},
        splits={"train": (_ENGLISH, 3000), "validation": (_ENGLISH, 300)},
    ),
    "hellaswag": _Table(
        rows=_only_english(english.hellaswag),
        columns={
            "ind": pa.int32(),
            "activity_label": _TEXT,
            "ctx_a": _TEXT,
            "ctx_b": _TEXT,
            "ctx": _TEXT,
            "endings": _WORDS,
            "source_id": _TEXT,
            "split": _TEXT,
            "split_type": _TEXT,
            "label": _TEXT,
        },
        splits={"train": (_ENGLISH, 3000), "validation": (_ENGLISH, 300)},
    ),
    "cosmos_qa": _Table(
        rows=_only_english(english.cosmos_qa),
        columns={
            "id": _TEXT,
            "context": _TEXT,
            "question": _TEXT,
            "answer0": _TEXT,
            "answer1": _TEXT,
            "answer2": _TEXT,
            "answer3": _TEXT,
            "label": pa.int32(),
        },
        splits={"train": (_ENGLISH, 3000), "validation": (_ENGLISH, 300)},
    ),
    "tatoeba": _Table(
        rows=tables.tatoeba,
        columns={"source_sentence": _TEXT, "target_sentence": _TEXT, "source_lang": _TEXT, "target_lang": _TEXT},
        splits={"validation": (_OTHERS, 300)},
    ),
}
DATASETS: tuple[str, ...] = tuple(_TABLES)
"""Names of the datasets that the pocket world stands in for."""


@cache
def table(dataset: str, language: str, split: str) -> pa.Table | None:
    """The rows of one dataset, language and split in the hub's columns; None where the pocket world has none.

    ClassLabel columns are int64 (lists of int64 for tags); label_names() has their names. The same bytes everywhere.
    """
    made = _TABLES.get(dataset)
    if made is None or split not in made.splits:
        return None
    languages, n = made.splits[split]
    if language not in languages:
        return None
    rows = made.rows(_LANGUAGES[language], split, n)
    return pa.Table.from_pylist(rows, schema=pa.schema(list(made.columns.items())))


def label_names(dataset: str) -> dict[str, tuple[str, ...]]:
    """Column -> ClassLabel names in id order, for the columns that hold label ids."""
    made = _TABLES.get(dataset)
    return dict(made.labels or {}) if made else {}


def splits(dataset: str) -> dict[str, tuple[str, ...]]:
    """Split -> languages that have rows; empty for a dataset that the pocket world does not have."""
    made = _TABLES.get(dataset)
    return {split: languages for split, (languages, _) in made.splits.items()} if made else {}
