"""Several sources in order: each dataset comes from the first that has it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from trainables.catalogue import Dataset
from trainables.readers import RowLabels
from trainables.sources.tables import SPLITS, Tables


class LayeredTables:
    """Layers of tables, the first ones first.

    Rows of one dataset are never mixed from two layers: their label names and splits might differ.
    """

    def __init__(self, layers: Sequence[Tables]) -> None:
        self._layers = tuple(layers)
        self._chosen: dict[str, Tables] = {}

    @property
    def spec(self) -> str:
        return "+".join(layer.spec for layer in self._layers)

    def layer(self, d: Dataset) -> Tables:
        """Return the layer of a dataset; the last one where none has it."""
        if d.name not in self._chosen:
            tables = [table for split in SPLITS for table in d.tables(split)]
            having = (layer for layer in self._layers if any(layer.languages(d, table) for table in tables))
            self._chosen[d.name] = next(having, self._layers[-1])
        return self._chosen[d.name]

    def languages(self, d: Dataset, table: str) -> tuple[str, ...]:
        return self.layer(d).languages(d, table)

    def num_rows(self, d: Dataset, language: str, table: str) -> int:
        return self.layer(d).num_rows(d, language, table)

    def stated_rows(self, d: Dataset, language: str, table: str) -> int | None:
        return self.layer(d).stated_rows(d, language, table)

    def corpus_rows(self, d: Dataset, language: str, table: str) -> int:
        return self.layer(d).corpus_rows(d, language, table)

    def fingerprint(self, d: Dataset, language: str, table: str) -> str:
        return self.layer(d).fingerprint(d, language, table)

    def table(self, d: Dataset, language: str, table: str) -> tuple[pa.Table, RowLabels]:
        return self.layer(d).table(d, language, table)

    def standin(self, d: Dataset) -> bool:
        return self.layer(d).standin(d)

    def unread(self) -> tuple[str, ...]:
        return tuple(line for layer in self._layers for line in layer.unread())

    def comes_from(self, d: Dataset) -> str:
        return self.layer(d).spec

    def origin(self, d: Dataset, language: str, table: str) -> str:
        return self.layer(d).origin(d, language, table)
