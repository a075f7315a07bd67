"""Interface of formats: all that depends on the kind of examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from trainables.encoding.encoded import NOT_SCORED, Encoded
from trainables.encoding.rows import Framing
from trainables.examples import Example, Text
from trainables.metrics.samples import Rule, Values
from trainables.recipe import Direction

if TYPE_CHECKING:  # importing the registry must stay light
    from torch import Tensor, nn

Side = Literal["source", "target"]


class DatasetSpec(Protocol):
    """Fields of a `Dataset` that formats need for scoring."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def metrics(self) -> tuple[str, ...]: ...
    @property
    def answers(self) -> str: ...


class SentenceReader(Protocol):
    """Rows of one dataset and language, and sentence vectors of its texts."""

    def examples(self, split: str) -> list[Example]: ...
    def pool(self, split: str, side: Side) -> list[Text]: ...
    def vectors(self, texts: Sequence[Text]) -> np.ndarray: ...  # float32 [texts, width]


@dataclass(frozen=True)
class Targets:
    """Labels for the loss of a padded batch.

    Attributes:
        labels: [items, ...], or with `by_token` [rows, L], -100 where nothing is scored.
        count: divisor of the summed loss of the *global* batch (items, or scored tokens).
        weights: float32 [rows, L], weight of each label; None = 1 each.
    """

    labels: np.ndarray
    count: int
    weights: np.ndarray | None = None
    by_token: bool = False


@dataclass(frozen=True)
class ExampleScores:
    """Scores of examples.

    Attributes:
        ids: of the examples.
        values: arrays by column of the format.
        predictions: (id, prediction) pairs.
    """

    ids: list[str]
    values: Values
    predictions: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, examples: Iterable[Example], values: Values, predictions: Sequence[str]) -> ExampleScores:
        """Make the scores of examples with one prediction each."""
        ids = [example.id for example in examples]
        return cls(ids, values, tuple(zip(ids, predictions, strict=True)))


class Format(Protocol):
    """Kind of input, with its rows, head, loss and scores.

    A format is a class that extends this one, with one instance in the registry (`trainables.formats`). Formats with a head
    define `encode`, `head`, `loss`, `columns` and `score`; retrieval formats define `columns` and `retrieve`.

    Attributes:
        kind: its name in datasets, heads and encoded rows. Files contain it: never rename one.
        masked: trained by masked LM, on the encoder's own head.
        retrieves: compares sentence vectors, without a head and without training.
        pooled: rows are gold pairs of ids over two pools of texts, which are tables of their own.
        parallel: each example has a sentence and its English original.
        tagged: labels are at the first piece of a word, so that `bare_prefix` matters.
        by_token: one output for each token of the rows, else one for each item.
        labels_declared: files may declare label names, which must be those of the dataset.
        labels_by_name: examples have label names, which become ids when rows are encoded.
        labels_closed: the head that scores a target must have all of the target's labels.
        one_of_labels: exactly one of the dataset's labels is right, so that chance is 1 / labels.
        dev_pools: scores need dev rows of every language, for a threshold.
        exchanges_words: synonym augmentation applies to its examples.
        pairs_in_pretraining: pretraining may use its rows and their translations as sentence pairs.
        scored_length: the number of a profile that limits rows in scoring.
        assumed_tokens: rough mean length of the published sets in XLM-R subword tokens, for rows that are not local.
        rules: metric -> how to compute it; any other metric is the mean of the column of its name.
    """

    kind: str
    masked: bool = False
    retrieves: bool = False
    pooled: bool = False
    parallel: bool = False
    tagged: bool = False
    by_token: bool = False
    labels_declared: bool = False
    labels_by_name: bool = False
    labels_closed: bool = False
    one_of_labels: bool = False
    dev_pools: bool = False
    exchanges_words: bool = False
    pairs_in_pretraining: bool = False
    scored_length: Literal["eval_max_length", "span_max_length", "retrieval_max_length"] = "eval_max_length"
    assumed_tokens: int = 35
    rules: Mapping[str, Rule] = {}

    @property
    def has_head(self) -> bool:
        """Whether a task head is trained on its rows."""
        return not (self.masked or self.retrieves)

    def tables(self, split: str) -> tuple[str, ...]:
        """List a split's stored tables, the one with examples first."""
        return (f"pairs_{split}", f"source_{split}", f"target_{split}") if self.pooled else (split,)

    def label_names(
        self, declared: Mapping[str, tuple[str, ...]], column: str, rows: Callable[[], list[Example]]
    ) -> tuple[str, ...]:
        """List the label names of a file (with `labels_by_name`).

        They are those that it declares by column, else those of its rows.
        """
        raise self._lacks("label names in its examples")

    def encode(self, examples: Sequence[Example], framing: Framing) -> Encoded:
        """Encode examples in their order.

        Raises:
            BadInput: no text fits in a row.
            DataError: an example is invalid.
        """
        raise ValueError(f"{self.kind} is encoded one side at a time, as text")

    def targets(self, encoded: Encoded, items: np.ndarray, places: np.ndarray, mask: np.ndarray) -> Targets:
        """Collect the labels of some items.

        Their tokens [rows, L] are at `places` where `mask` is set.
        """
        return Targets(encoded.labels[items], len(items))

    def head(self, labels: Sequence[str], width: int, dropout: float) -> nn.Module:
        """Make the head, from hidden states [B, L, width] to logits.

        `trainables.formats.heads` has parts.
        """
        raise self._lacks("a head")

    def loss(self, logits: Any, batch: Mapping[str, Tensor], rows_per_item: int) -> Tensor:
        """Sum the loss of a batch.

        It has `mask` [B, L], and `labels` and `weights` as `targets` made them.
        """
        raise self._lacks("a loss of its head")

    def outputs(self, logits: Any) -> Tensor:
        """Reduce the logits of a batch to outputs for `score`.

        They are [items, ...], or with `by_token` [rows, L, ...].
        """
        return logits.float()  # type: ignore[no-any-return]

    def rename(
        self, outputs: np.ndarray, head: tuple[str, ...], own: tuple[str, ...]
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """Convert outputs to a dataset's labels (with `labels_closed`).

        Args:
            head, own: label names of the head, and of the dataset.
        Returns:
            outputs, and their label names.
        """
        raise self._lacks("closed set of labels")

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        """Name the columns of per-example values that metrics need."""
        raise self._lacks("scores")

    def score(
        self,
        d: DatasetSpec,
        language: str,
        examples: Sequence[Example],
        encoded: Encoded,
        outputs: np.ndarray,
        names: Sequence[str],
    ) -> ExampleScores:
        """Score the outputs for all rows of these examples.

        Args:
            names: label names by id.
        """
        raise self._lacks("outputs per example to score")

    def retrieve(self, d: DatasetSpec, reader: SentenceReader, split: str, direction: Direction) -> ExampleScores:
        """Retrieve by sentence vectors, and score (with `retrieves`)."""
        raise self._lacks("anything to retrieve")

    def _lacks(self, what: str) -> ValueError:
        return ValueError(f"{self.kind} has no {what}")


def targets_by_token(encoded: Encoded, places: np.ndarray, mask: np.ndarray) -> Targets:
    """Collect the labels [rows, L] of rows with labels by token."""
    labels = np.where(mask, encoded.labels[places], NOT_SCORED)
    return Targets(labels, int((labels != NOT_SCORED).sum()), by_token=True)


def named(ids: Sequence[int], names: Sequence[str]) -> list[str]:
    """Return the names of label ids, by default the ids."""
    return [names[i] for i in ids] if names else [str(i) for i in ids]
