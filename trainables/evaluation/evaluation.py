"""Evaluation of an encoder by language, and of retrieval by layer."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainables.catalogue import Dataset, dataset
from trainables.configs import EncodingConfig, Evaluate, LayerSweep
from trainables.context import Context, encoder_folder
from trainables.encoding.encoded import Encoded
from trainables.errors import DataError
from trainables.evaluation.predict import embed, predict, retrieval_layer
from trainables.evaluation.scoring import LanguageScores, main_score, named_examples, score, with_metrics
from trainables.examples import Bitext, Example, Text
from trainables.formats import encode
from trainables.formats.bitext import score_retrieval, sides
from trainables.formats.format import Side
from trainables.modeling.model import Net, load_lm, load_net, load_tokenizer
from trainables.recipe import Pooling
from trainables.training.data import Data

# Explicit, since mining may extract no pair in a language, which leaves nothing to infer types from.
PREDICTIONS = pa.schema({name: pa.string() for name in ("language", "id", "prediction")})


def evaluate(config: Evaluate, init: Path, out: Path, context: Context) -> dict[str, Any]:
    """Score every language of a target.

    It writes `metrics.json`, and for each example `scores.parquet` and `predictions.parquet`.
    """
    d, data = dataset(config.target), _data(config, init, context)
    found: dict[str, LanguageScores] = {}
    about: dict[str, Any] = {}
    if d.format.retrieves:
        reader = _Reader.of(init, data, context, config.pooling, config.max_length, config.layer)
        about = {"layer": reader.layer, "pooling": config.pooling, "direction": config.direction}
    else:
        net = load_net(init)
        net.to(context.machine.device)
    context.on_progress(0, len(config.languages), math.nan, 0)
    for number, (language, split) in enumerate(config.languages):
        if d.format.retrieves:
            rows = _Rows(reader, d, language)
            found[language] = with_metrics(d, d.format.retrieve(d, rows, split, config.direction))
        else:
            rows_of_language = SplitRows(d, language, split, config.cut)
            found[language] = score_rows(net, config.head, rows_of_language, data=data, context=context)
        context.on_progress(number + 1, len(config.languages), math.nan, 0)
    selection = None
    name, split = config.selection
    if name:
        english = SplitRows(dataset(name), "en", split, config.cut)
        chosen = score_rows(net, config.head, english, data=data, context=context)
        selection = main_score(dataset(name), chosen.metrics)
    if context.machine.comm.is_first:
        metrics = {
            "languages": {language: s.metrics for language, s in found.items()},
            "examples": {language: len(s.table["id"]) for language, s in found.items()},
            "splits": dict(config.languages),
            "selection": selection,
            "retrieval": about,
        }
        (out / "metrics.json").write_text(json.dumps(metrics, indent=1))
        _write(
            out / "scores.parquet", [{"language": [lang] * len(s.table["id"]), **s.table} for lang, s in found.items()]
        )
        _write(out / "predictions.parquet", [_predictions(lang, s) for lang, s in found.items()], PREDICTIONS)
    return {"steps": 0}


def sweep(config: LayerSweep, init: Path, out: Path, context: Context) -> dict[str, Any]:
    """Score sentence retrieval at every layer; 0 = embeddings.

    It writes `layers.json`: language -> accuracy of each layer.
    """
    d, data = dataset(config.target), _data(config, init, context)
    reader = _Reader.of(init, data, context, config.pooling, config.max_length)
    layers = range(reader.net.lm.config.num_hidden_layers + 1)
    found: dict[str, list[float]] = {}
    context.on_progress(0, len(config.languages), math.nan, 0)
    for number, (language, split) in enumerate(config.languages):
        pairs = cast("list[Bitext]", data.examples(d, language, split))
        with_name = partial(reader.vectors, where=(d.name, language), layers=layers)
        source, target = map(with_name, sides(pairs))
        each = (with_metrics(d, score_retrieval(d, pairs, source[i], target[i], config.direction)) for i in layers)
        found[language] = [main_score(d, s.metrics) for s in each]
        context.on_progress(number + 1, len(config.languages), math.nan, 0)
    if context.machine.comm.is_first:
        (out / "layers.json").write_text(json.dumps(found, indent=1))
    return {"steps": 0}


@dataclass(frozen=True)
class SplitRows:
    """Rows of one split and language, with their encoding.

    Attributes:
        first: number of first examples; None = all.
    """

    dataset: Dataset
    language: str
    split: str
    cut: EncodingConfig
    first: int | None = None

    def examples(self, data: Data) -> list[Example]:
        """Return the rows' examples."""
        return data.examples(self.dataset, self.language, self.split)[: self.first]

    def encoded(self, data: Data) -> Encoded:
        """Return the encoded rows."""
        return data.encoded(self.dataset, self.language, self.split, self.cut, first=self.first)


def score_rows(net: Net, head: str, rows: SplitRows, *, data: Data, context: Context) -> LanguageScores:
    """Score rows with the head that was trained on `head`.

    Labels of head and dataset are matched by name, never by number.
    """
    d, names = rows.dataset, net.specs[head].labels
    own = tuple(data.source.labels(d)) if d.format.labels_closed else names
    if set(own) - set(names):
        raise DataError(f"{d.name}: labels {sorted(set(own) - set(names))} are unknown to the head trained on {head}")
    encoded, examples = rows.encoded(data), rows.examples(data)
    with named_examples(d.name, rows.language, examples):
        outputs = predict(net, head, encoded, data.tokenizer.pad_token_id, context.machine)
    if own != names:
        outputs, names = d.format.rename(outputs, names, own)
    return score(d, rows.language, examples, encoded, outputs, names)


@dataclass(frozen=True)
class _Reader:
    """Encoder that computes sentence vectors from one layer."""

    net: Net
    layer: int
    pooling: Pooling
    max_length: int
    data: Data
    context: Context

    @classmethod
    def of(cls, init: Path, data: Data, context: Context, pooling: Pooling, max_length: int, layer: int = 0) -> _Reader:
        """Load the encoder of a stage or folder, without heads.

        Args:
            layer: 0 = the published rule for its depth.
        """
        net = Net(load_lm(encoder_folder(init)), {}, seed=0)
        net.to(context.machine.device)
        layer = layer or retrieval_layer(net.lm.config.num_hidden_layers)
        return cls(net, layer, pooling, max_length, data, context)

    def vectors(
        self, texts: Sequence[Text], *, where: tuple[str, str], layers: Sequence[int] | None = None
    ) -> np.ndarray:
        """Compute sentence vectors, float32 [layers, texts, width].

        Args:
            where: dataset and language, for errors.
            layers: by default the reader's own layer.
        """
        encoded = encode("text", texts, self.data.tokenizer, max_length=self.max_length)
        pad = self.data.tokenizer.pad_token_id
        with named_examples(*where, texts):
            return embed(self.net, encoded, layers or (self.layer,), pad, self.context.machine, self.pooling)


@dataclass(frozen=True)
class _Rows:
    """Rows of one dataset and language (a `SentenceReader`)."""

    reader: _Reader
    d: Dataset
    language: str

    def examples(self, split: str) -> list[Example]:
        return self.reader.data.examples(self.d, self.language, split)

    def pool(self, split: str, side: Side) -> list[Text]:
        return self.reader.data.source.pool(self.d, self.language, split, side)

    def vectors(self, texts: Sequence[Text]) -> np.ndarray:
        vectors: np.ndarray = self.reader.vectors(texts, where=(self.d.name, self.language))[0]
        return vectors


def _data(config: Evaluate | LayerSweep, init: Path, context: Context) -> Data:
    tokenizer = load_tokenizer(encoder_folder(init))
    return Data(context.source, context.cache, tokenizer, context.machine.comm, config.scale, config.data)


def _predictions(language: str, scored: LanguageScores) -> dict[str, list[str]]:
    ids, texts = [id for id, _ in scored.predictions], [text for _, text in scored.predictions]
    return {"language": [language] * len(ids), "id": ids, "prediction": texts}


def _write(path: Path, tables: list[dict[str, Any]], schema: pa.Schema | None = None) -> None:
    pq.write_table(pa.concat_tables([pa.table(t, schema=schema) for t in tables]), path, compression="zstd")
