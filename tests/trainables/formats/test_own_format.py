"""A custom input format: the example of docs/datasets.md passes the checks.

It trains and scores too.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stepstone.testing import check_format
from tests import ROOT
from tests.small import run_stage, stages_of
from trainables import catalogue, formats
from trainables.catalogue import DATASETS, Dataset, dataset
from trainables.configs import Target
from trainables.context import encoder_folder
from trainables.encoding.encoded import Encoded
from trainables.errors import BadInput
from trainables.formats import FORMATS, Format
from trainables.sources import Source, open_source

PAGE = ROOT / "docs" / "datasets.md"
ROWS = {"train": 32, "validation": 12, "test": 12}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataset]:
    """Register the dataset of the page's file during a test."""
    _, code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "ticket_topics.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    d: Dataset = importlib.import_module("ticket_topics").TICKET_TOPICS
    catalogue.register(d)
    yield d
    del catalogue._DATASETS[d.name], catalogue._OWN[d.name], catalogue._TITLES[d.name], formats._FORMATS[d.kind]
    del sys.modules["ticket_topics"]


@pytest.fixture
def tickets(own: Dataset, tmp_path: Path) -> Source:
    """Write a mirror with a few rows of the dataset."""
    for language in own.configs:
        for split, rows in ROWS.items():
            topics = [[label for i, label in enumerate(own.labels) if n >> i & 1] for n in range(rows)]
            texts = [f"{language} ticket {n}: {' and '.join(found) or 'hello'}" for n, found in enumerate(topics)]
            table = pa.table({"text": texts, "topics": pa.array(topics, pa.list_(pa.string()))})
            path = tmp_path / f"mirror/me/ticket-topics/{language}/{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)
    return open_source(f"mirror:{tmp_path / 'mirror'}")


def test_the_format_of_the_page_trains_two_steps_and_scores(
    own: Dataset, tickets: Source, nano: Path, tmp_path: Path
) -> None:
    folder = encoder_folder(nano)
    configs = stages_of(tickets, str(folder), targets=(own.name,))
    train, evaluate = configs[f"target {own.name}"], configs[f"evaluate {own.name}"]
    assert isinstance(train, Target)
    train = replace(train, task=replace(train.task, batch=16, epochs=1.0))
    assert run_stage(train, folder, tmp_path / "target", tickets)["steps"] == 2
    run_stage(evaluate, tmp_path / "target", tmp_path / "scores", tickets)
    found = json.loads((tmp_path / "scores/metrics.json").read_text())
    assert found["examples"] == {"en": 12, "de": 12} and found["selection"] is not None
    assert all(set(metrics) == {"f1", "precision", "recall"} for metrics in found["languages"].values())
    table = pq.read_table(tmp_path / "scores/scores.parquet")
    assert table.column_names == ["language", "id", "tp", "predicted", "gold"]
    gold = [sum(n >> i & 1 for i in range(3)) for n in range(12)]
    assert table["gold"].to_pylist() == gold * 2
    predictions = pq.read_table(tmp_path / "scores/predictions.parquet")["prediction"].to_pylist()
    assert {word for line in predictions for word in line.split()} <= set(own.labels)


def test_labels_that_are_as_many_as_tokens_are_still_by_item(own: Dataset) -> None:
    from trainables.training.batch import collate

    flags = np.array([[1, 0, 1], [0, 1, 1]], np.float32)
    encoded = Encoded(own.kind, np.arange(5, dtype=np.int32), np.array([0, 3, 5]), flags, 1, np.arange(2), 2)
    batch = collate(encoded, np.arange(2), 0)
    assert batch.labels.shape == batch.tokens.shape and batch.share(1, 2).tokens.tolist() == [[3, 4]]
    assert batch.share(1, 2).labels.tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("kind", [kind for kind, form in FORMATS.items() if not form.retrieves])
def test_formats_pass_the_checks(kind: str, source: Source, nano: Path) -> None:
    names = [d.name for d in DATASETS.values() if d.kind == kind and source.languages(d, "validation")]
    for name in names[:2] or ["mlm"]:
        d = dataset(name)
        rows = source.examples(d, "en", "train" if kind == "text" else "validation", 20)
        check_format(d, rows, source.labels(d), encoder_folder(nano))


def test_an_own_format_passes_the_checks(own: Dataset, tickets: Source, nano: Path) -> None:
    check_format(own, tickets.examples(own, "en", "test"), own.labels, encoder_folder(nano))


def test_an_averaged_loss_is_found(own: Dataset, tickets: Source, nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summed = type(own.format).loss
    monkeypatch.setattr(type(own.format), "loss", lambda *args: summed(*args) / len(args[2]["labels"]))
    with pytest.raises(AssertionError, match="multilabel: the loss must be summed"):
        check_format(own, tickets.examples(own, "en", "test"), own.labels, encoder_folder(nano))


def test_a_kind_is_that_of_one_format(own: Dataset) -> None:
    class Other(Format):
        kind = "span"

    with pytest.raises(BadInput, match="there is a format 'span' already"):
        formats.register_format(Other())
    with pytest.raises(BadInput, match="unknown kind of dataset 'multilable', did you mean 'multilabel'"):
        catalogue.register(replace(own, name="misspelt", kind="multilable", own_format=None))
    assert "misspelt" not in DATASETS
