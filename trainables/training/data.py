"""Rows for a stage, cached for all trials.

They are encoded once per tokenizer, length and content.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from trainables.catalogue import Dataset
from trainables.configs import EncodingConfig, rows_used
from trainables.encoding.encoded import Encoded
from trainables.errors import DataError
from trainables.examples import Example, Labelled
from trainables.formats import encode
from trainables.recipe import digest
from trainables.sources import Source
from trainables.training.distributed import ProcessGroup
from trainables.training.synonyms import address, copies_of, synonyms_of

FORMAT_VERSION = 4  # counts up when encoding changes its meaning


@dataclass(frozen=True)
class Exchange:
    """Synonym augmentation of training rows, see `configs.TaskTraining`.

    Attributes:
        path: file of synonyms; "" = those of the source.
    """

    copies: int
    synonyms: str
    path: str


@dataclass(frozen=True)
class Data:
    """Rows of a source for one tokenizer, cached below `cache`."""

    source: Source
    cache: Path
    tokenizer: Any
    comm: ProcessGroup
    scale: float
    fingerprints: Mapping[str, str]  # "dataset/language/split" -> content hash, from the stage's config

    @cached_property
    def _tokenizer_hash(self) -> str:
        return digest(self.tokenizer.backend_tokenizer.to_str())

    def examples(self, d: Dataset, language: str, split: str, at_most: int | None = None) -> list[Example]:
        """Return the validated rows of a split at this scale.

        Raises:
            DataError: a row is invalid, or there are none.
        """
        take = self._take(d, language, split)
        rows = self.source.examples(d, language, split, take=take if at_most is None else min(take, at_most))
        if not rows:
            raise DataError(f"{d.name}/{language}/{split}: no rows are left after those without a label were dropped")
        return rows

    def encoded(
        self,
        d: Dataset,
        language: str,
        split: str,
        cut: EncodingConfig,
        *,
        labels: Sequence[str] = (),
        first: int | None = None,
        exchange: Exchange | None = None,
    ) -> Encoded:
        """Return a split as flat arrays, cached.

        Args:
            labels: see `Framing`.
            first: number of first examples to keep; None = all.
            exchange: replaces every row by copies with exchanged words.
        Raises:
            DataError: the words are not those of the hash in `exchange`.
        """
        key = {
            "format": FORMAT_VERSION,
            "dataset": d.name,
            "rows": [language, split, self.fingerprints[f"{d.name}/{language}/{split}"], self.scale, first],
            "tokenizer": self._tokenizer_hash,
            "cut": asdict(cut),
            "labels": list(labels) if d.format.labels_by_name else [],
        }
        examples = partial(self._rows, d, language, split, first, exchange)
        if exchange:
            key |= {"copies": exchange.copies, "synonyms": exchange.synonyms}
        path = self.cache / f"{digest(key)}.npz"
        if self.comm.is_first and not path.exists():
            write_npz(self._encode(d, examples(), cut, labels), path)
        self.comm.from_first(None)  # a barrier: no worker reads before the first one has written
        try:
            return Encoded.load(path)
        except FileNotFoundError:  # the cache was just cleared
            return self._encode(d, examples(), cut, labels)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):  # a damaged file of the cache
            made = self._encode(d, examples(), cut, labels)
            if self.comm.is_first:
                write_npz(made, path)
            return made

    def _rows(
        self, d: Dataset, language: str, split: str, first: int | None, exchange: Exchange | None
    ) -> Sequence[Example]:
        rows = self.examples(d, language, split)[:first]
        if not exchange:
            return rows
        synonyms = synonyms_of(self.source, exchange.path)
        if address(synonyms) != exchange.synonyms:
            where = exchange.path or self.source.spec
            raise DataError(f"synonyms {where!r}: they are not those that the study was planned with")
        return copies_of([row for row in rows if isinstance(row, Labelled)], synonyms, exchange.copies)

    def _encode(self, d: Dataset, examples: Sequence[Example], cut: EncodingConfig, labels: Sequence[str]) -> Encoded:
        return encode(
            d.kind,
            examples,
            self.tokenizer,
            max_length=cut.max_length,
            doc_stride=cut.doc_stride,
            bare_prefix=cut.bare_prefix,
            labels=labels,
        )

    def _take(self, d: Dataset, language: str, split: str) -> int:
        if d.format.pooled:  # fewer gold pairs over the same pools would be another task
            return self.source.num_rows(d, language, split)
        return rows_used(self.scale, self.source.num_rows(d, language, split), split)


def concat(parts: Sequence[Encoded]) -> Encoded:
    """Concatenate the rows of several splits of one kind."""
    if len(parts) == 1:
        return parts[0]
    tokens, examples = (
        np.cumsum([0, *counts]) for counts in zip(*((len(p.tokens), p.num_examples) for p in parts), strict=True)
    )
    starts = [p.starts[1:] + offset for p, offset in zip(parts, tokens, strict=False)]
    example = [p.example + offset for p, offset in zip(parts, examples, strict=False)]
    return Encoded(
        kind=parts[0].kind,
        tokens=np.concatenate([p.tokens for p in parts]),
        starts=np.concatenate([np.zeros(1, np.int64), *starts]),
        labels=np.concatenate([p.labels for p in parts]),
        rows_per_item=parts[0].rows_per_item,
        example=np.concatenate(example),
        num_examples=int(examples[-1]),
        extra={name: np.concatenate([p.extra[name] for p in parts]) for name in parts[0].extra},
        second=None if parts[0].second is None else np.concatenate([p.second for p in parts if p.second is not None]),
    )


def write_npz(encoded: Encoded, path: Path) -> None:
    """Write the file into a folder, which is made if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded.save(path)
