"""GLUE, as multilingual MT-DNN trains it before the target.

MNLI and QQP are the entries of `intermediate`.
"""

from __future__ import annotations

import hashlib

from trainables import readers
from trainables.catalogue.common import GLUE, TARGET, TRAIN_DEV, TWO, english
from trainables.catalogue.entry import Dataset
from trainables.catalogue.intermediate import MNLI
from trainables.examples import Choice, Example, Labelled

# The hub's order; MT-DNN's own files have not_entailment first.
ENTAILMENT = ("entailment", "not_entailment")
_PAIR = readers.labelled("sentence1", "sentence2", ENTAILMENT)
_QNLI = readers.labelled("question", "sentence", ENTAILMENT)


def ranked(rows: list[Example]) -> list[Example]:
    """Turn QNLI into ranking: an entailing sentence (choice 0) and another.

    Each question that has both kinds makes one example. QNLI's second release no longer stores rows in such pairs, so
    questions with one label only are lost. Which of several sentences is taken depends on their text alone, not on
    their position.
    """
    groups: dict[str, tuple[list[Labelled], list[Labelled]]] = {}
    for row in rows:
        if isinstance(row, Labelled):
            groups.setdefault(row.first, ([], []))[row.label].append(row)
    found: list[Example] = []
    for question, sides in groups.items():
        if all(sides):
            positive, negative = (min(side, key=_by_hash) for side in sides)
            found.append(Choice(positive.id, question, (positive.second or "", negative.second or ""), 0))
    return found


def _by_hash(row: Labelled) -> tuple[str, str]:
    text = f"{row.first}\t{row.second}"
    return hashlib.sha256(text.encode()).hexdigest(), text


DATASETS = (
    Dataset(
        name="cola",
        title="CoLA",
        kind="labelled",
        read=readers.labelled("sentence", None, ("unacceptable", "acceptable")),
        hub="nyu-mll/glue",
        configs={"en": "cola"},
        splits=TRAIN_DEV,
        labels=("unacceptable", "acceptable"),
        metrics=("mcc", "accuracy"),
        main=("mcc",),
        scored="validation",
        train_on="cola",
        roles=GLUE,
        rows=english(8_551, 1_043),
        licence="unstated, for research",
        cite="Warstadt et al. 2019 (CoLA)",
    ),
    Dataset(
        name="sst2",
        title="SST-2",
        kind="labelled",
        read=readers.labelled("sentence", None, ("negative", "positive")),
        hub="nyu-mll/glue",
        configs={"en": "sst2"},
        splits=TRAIN_DEV,
        labels=("negative", "positive"),
        scored="validation",
        train_on="sst2",
        roles=GLUE,
        rows=english(67_349, 872),
        licence="unstated, for research",
        cite="Socher et al. 2013 (SST)",
    ),
    Dataset(
        name="stsb",
        title="STS-B",
        kind="regression",
        read=readers.rated("sentence1", "sentence2", 0, 5),
        hub="nyu-mll/glue",
        configs={"en": "stsb"},
        splits=TRAIN_DEV,
        metrics=("pearson", "spearman"),
        main=("pearson", "spearman"),
        scored="validation",
        train_on="stsb",
        roles=GLUE,
        rows=english(5_749, 1_500),
        licence="CC BY-SA 4.0, with parts of other terms",
        cite="Cer et al. 2017 (STS-B)",
    ),
    Dataset(
        name="rte",
        title="RTE",
        kind="labelled",
        read=_PAIR,
        hub="nyu-mll/glue",
        configs={"en": "rte"},
        splits=TRAIN_DEV,
        labels=ENTAILMENT,
        scored="validation",
        train_on="rte",
        roles=GLUE,
        rows=english(2_490, 277),
        licence="unstated, for research",
        cite="Dagan et al. 2006, Bar Haim et al. 2006, Giampiccolo et al. 2007, Bentivogli et al. 2009 (RTE)",
    ),
    Dataset(
        name="mrpc",
        title="MRPC",
        kind="labelled",
        read=readers.labelled("sentence1", "sentence2", ("not_equivalent", "equivalent")),
        hub="nyu-mll/glue",
        configs={"en": "mrpc"},
        splits=TRAIN_DEV,
        labels=("not_equivalent", "equivalent"),
        metrics=("accuracy", "f1"),
        main=("accuracy", "f1"),
        scored="validation",
        train_on="mrpc",
        roles=GLUE,
        rows=english(3_668, 408),
        licence="Microsoft Research data licence, for research",
        cite="Dolan and Brockett 2005 (MRPC)",
    ),
    Dataset(
        name="qnli",
        title="QNLI",
        kind="labelled",
        read=_QNLI,
        hub="nyu-mll/glue",
        configs={"en": "qnli"},
        splits=TRAIN_DEV,
        labels=ENTAILMENT,
        scored="validation",
        train_on="qnli",
        roles=GLUE,
        rows=english(104_743, 5_463),
        licence="CC BY-SA 4.0",
        cite="Wang et al. 2019 (GLUE), from Rajpurkar et al. 2016 (SQuAD)",
    ),
    Dataset(
        name="qnli_ranking",
        title="QNLI (ranking)",
        kind="choice",
        read=_QNLI,
        regroup=ranked,
        hub="nyu-mll/glue",
        configs={"en": "qnli"},
        splits=TRAIN_DEV,
        labels=TWO,
        scored="validation",
        train_on="qnli_ranking",
        roles=frozenset(),  # replaces "qnli" only where it is named
        rows=english(104_743, 5_463),
        licence="CC BY-SA 4.0",
        cite="Wang et al. 2019 (GLUE); Liu et al. 2019 (MT-DNN)",
    ),
    Dataset(
        name="mnli_mm",
        title="MNLI (mismatched)",
        kind="labelled",
        read=MNLI.read,
        hub="nyu-mll/glue",
        configs={"en": "mnli"},
        splits={"validation": "validation_mismatched"},
        labels=MNLI.labels,
        scored="validation",
        train_on="mnli",
        roles=TARGET,
        rows=english(None, 9_832),
        licence=MNLI.licence,
        cite=MNLI.cite,
    ),
)
