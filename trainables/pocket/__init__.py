"""The pocket world: synthetic multilingual rows for every dataset.

A small controlled world, generated in memory, shows what the tool does on a laptop without a network. A program makes
up its texts: scores on them are no evidence about real languages.

Languages: `languages.py`. The skills that tasks share are planted: the answers of the span questions are the roles that
the finer tags (ccg) and the slots mark, inference and paraphrase pairs turn on one filler of a frame, and the
multiple-choice tasks ask which verbs, people and venues go with which things.

It stands in for every dataset of the catalogue but `arcd` (Arabic) and `klue_nli` (Korean), whose languages it lacks,
and `anli_plus`, `xnli_pairs` and `pawsx_pairs`, which are made of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pyarrow as pa

from trainables.pocket import again, dialogue, english, glue, inference, reading, retrieval, stories, tables
from trainables.pocket.frames import TOPICS
from trainables.pocket.languages import BY_CODE, LANGUAGES, OTHERS
from trainables.pocket.pairs import NLI_LABELS
from trainables.pocket.table import (
    ANSWERS,
    ENGLISH_ONLY,
    FEW_IN_ENGLISH,
    LABEL,
    TAGS,
    TEXT,
    WORDS,
    Table,
    in_english,
)

__all__ = ["DATASETS", "LANGUAGES", "label_names", "splits", "table"]

_CHOICES = pa.struct([("label", WORDS), ("text", WORDS)])
_NLI = {"premise": TEXT, "hypothesis": TEXT, "label": LABEL}
_FIRST = {
    "mlm": Table(
        rows=tables.mlm,
        columns={"text": TEXT},
        splits={"train": (LANGUAGES, 3000), "validation": (LANGUAGES, 300)},
    ),
    "sib200": Table(
        rows=tables.sib200,
        columns={"index_id": pa.int64(), "category": LABEL, "text": TEXT},
        splits={"train": (LANGUAGES, 3000), "validation": (LANGUAGES, 240), "test": (LANGUAGES, 300)},
        labels={"category": TOPICS},
    ),
    "mnli": Table(
        rows=tables.nli("mnli"),
        columns=_NLI,
        splits={"train": (ENGLISH_ONLY, 4000), "validation": (ENGLISH_ONLY, 300)},
        labels={"label": NLI_LABELS},
    ),
    "xnli": Table(
        rows=tables.nli("xnli"),
        columns=_NLI,
        splits={"validation": (LANGUAGES, 240), "test": (LANGUAGES, 300)},
        labels={"label": NLI_LABELS},
    ),
    "qqp": Table(
        rows=tables.qqp,
        columns={"question1": TEXT, "question2": TEXT, "label": LABEL},
        splits={"train": (ENGLISH_ONLY, 4000), "validation": (ENGLISH_ONLY, 300)},
        labels={"label": ("not_duplicate", "duplicate")},
    ),
    "pawsx": Table(
        rows=tables.pawsx,
        columns={"id": pa.int32(), "sentence1": TEXT, "sentence2": TEXT, "label": LABEL},
        splits={"train": (LANGUAGES, 3000), "validation": (LANGUAGES, 240), "test": (LANGUAGES, 300)},
        labels={"label": ("0", "1")},
    ),
    "squad": Table(
        rows=tables.squad("squad", title=True),
        columns={"id": TEXT, "title": TEXT, "context": TEXT, "question": TEXT, "answers": ANSWERS},
        splits={"train": (ENGLISH_ONLY, 3000), "validation": (ENGLISH_ONLY, 300)},
    ),
    "xquad": Table(
        rows=tables.squad("xquad", title=False),
        columns={"id": TEXT, "context": TEXT, "question": TEXT, "answers": ANSWERS},
        splits={"validation": (LANGUAGES, 300)},
    ),
    "ccg": Table(
        rows=tables.ccg,
        columns={"tokens": WORDS, "tags": TAGS},
        splits={"train": (ENGLISH_ONLY, 2400), "validation": (ENGLISH_ONLY, 300)},
        labels={"tags": tables.CCG_TAGS},
    ),
    "udpos": Table(
        rows=tables.udpos,
        columns={"tokens": WORDS, "pos_tags": TAGS},
        splits=FEW_IN_ENGLISH,
        labels={"pos_tags": tables.UPOS},
    ),
    "panx": Table(
        rows=tables.panx,
        columns={"tokens": WORDS, "ner_tags": TAGS, "langs": WORDS},
        splits=FEW_IN_ENGLISH,
        labels={"ner_tags": tables.ENTITIES},
    ),
    "commonsense_qa": Table(
        rows=in_english(english.commonsense_qa),
        columns={"id": TEXT, "question": TEXT, "question_concept": TEXT, "choices": _CHOICES, "answerKey": TEXT},
        splits={"train": (ENGLISH_ONLY, 3000), "validation": (ENGLISH_ONLY, 300)},
    ),
    "hellaswag": Table(
        rows=in_english(english.hellaswag),
        columns={
            "ind": pa.int32(),
            "activity_label": TEXT,
            "ctx_a": TEXT,
            "ctx_b": TEXT,
            "ctx": TEXT,
            "endings": WORDS,
            "source_id": TEXT,
            "split": TEXT,
            "split_type": TEXT,
            "label": TEXT,
        },
        splits={"train": (ENGLISH_ONLY, 3000), "validation": (ENGLISH_ONLY, 300)},
    ),
    "cosmos_qa": Table(
        rows=in_english(english.cosmos_qa),
        columns={
            "id": TEXT,
            "context": TEXT,
            "question": TEXT,
            "answer0": TEXT,
            "answer1": TEXT,
            "answer2": TEXT,
            "answer3": TEXT,
            "label": pa.int32(),
        },
        splits={"train": (ENGLISH_ONLY, 3000), "validation": (ENGLISH_ONLY, 300)},
    ),
    "tatoeba": Table(
        rows=tables.tatoeba,
        columns={"source_sentence": TEXT, "target_sentence": TEXT, "source_lang": TEXT, "target_lang": TEXT},
        splits={"validation": (OTHERS, 300)},
    ),
    "translations": Table(
        rows=tables.tatoeba,
        columns={"source_sentence": TEXT, "target_sentence": TEXT, "source_lang": TEXT, "target_lang": TEXT},
        splits={"train": (OTHERS, 2000)},
    ),
}
_MORE = (inference.TABLES, glue.TABLES, reading.TABLES, stories.TABLES, retrieval.TABLES, dialogue.TABLES)
_MADE = _FIRST | {name: made for group in _MORE for name, made in group.items()}
_TABLES: Mapping[str, Table] = _MADE | again.same_rows(_MADE)
DATASETS: tuple[str, ...] = tuple(_TABLES)
"""Names of the datasets that the pocket world stands in for."""


@cache
def table(dataset: str, language: str, split: str) -> pa.Table | None:
    """Return the rows of a dataset, language and split.

    Columns are the hub's. The splits of a pooled dataset are its tables: "pairs_test", "source_test", "target_test".
    ClassLabel columns are int64 (lists of int64 for tags), and `label_names` has their names. The bytes are the same on
    every machine.

    Returns:
        The table, or None where the pocket world has no such rows.
    """
    made = _TABLES.get(dataset)
    if made is None or split not in made.splits:
        return None
    languages, n = made.splits[split]
    if language not in languages:
        return None
    rows = made.rows(BY_CODE[language], split, n)
    return pa.Table.from_pylist(rows, schema=made.schema(split))


def label_names(dataset: str) -> dict[str, tuple[str, ...]]:
    """Map columns with label ids to ClassLabel names, in id order."""
    made = _TABLES.get(dataset)
    return dict(made.labels or {}) if made else {}


def splits(dataset: str) -> dict[str, tuple[str, ...]]:
    """Map splits to the languages that have rows.

    Empty for a dataset that the pocket world does not have.
    """
    made = _TABLES.get(dataset)
    return {split: languages for split, (languages, _) in made.splits.items()} if made else {}
