"""What a format is: everything that depends on the kind of a dataset's examples, from rows to scores."""

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
    """What a format reads of a `Dataset` when it scores."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def metrics(self) -> tuple[str, ...]: ...
    @property
    def answers(self) -> str: ...


class SentenceReader(Protocol):
    """The rows of one dataset and language, and the encoder that retrieval reads them with."""

    def examples(self, split: str) -> list[Example]: ...
    def pool(self, split: str, side: Side) -> list[Text]: ...
    def vectors(self, texts: Sequence[Text]) -> np.ndarray: ...  # float32 [texts, width]


@dataclass(frozen=True)
class Targets:
    """What the loss of a padded batch compares with.

    Attributes:
        labels: [items, ...], or with `by_token` [rows, L], -100 where nothing is scored.
        count: what the summed loss of the *global* batch is divided by (items, or scored tokens).
        weights: float32 [rows, L], what each label counts; None = each counts 1.
    """

    labels: np.ndarray
    count: int
    weights: np.ndarray | None = None
    by_token: bool = False


@dataclass(frozen=True)
class ExampleScores:
    """Ids of what is scored, values of each by the names of the format's columns, and (id, prediction) pairs."""

    ids: list[str]
    values: Values
    predictions: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, examples: Iterable[Example], values: Values, predictions: Sequence[str]) -> ExampleScores:
        """One prediction for each example."""
        ids = [example.id for example in examples]
        return cls(ids, values, tuple(zip(ids, predictions, strict=True)))


class Format(Protocol):
    """One kind of input: how examples become rows, what a head predicts from them, and how predictions are scored.

    A format is a class that extends this one, with one instance in the registry (`trainables.formats`). Formats with a head
    define `encode`, `head`, `loss`, `columns` and `score`; those that retrieve define `columns` and `retrieve`. What it says
    about itself:

    kind: the name that datasets, heads and encoded rows have for it. It is in files: never rename one.
    masked: it is trained by masked LM, on the encoder's own head.
    retrieves: sentence vectors are compared, without a head and without training.
    pooled: its rows are gold pairs of ids over two pools of texts, which are tables of their own.
    parallel: each example holds a sentence and its English original.
    tagged: labels stand at the first piece of words, so that `bare_prefix` matters.
    by_token: its outputs are one for each token of the rows, else one for each item.
    labels_declared: files may declare label names for it, which must be those of the dataset.
    labels_by_name: examples hold label names, which meet the head's names when rows are encoded.
    labels_closed: every label of a target must be among those of the head that scores it.
    one_of_labels: exactly one of the dataset's labels is right, so that chance is 1 / labels.
    dev_pools: its scores need dev rows of every language, to find a threshold on.
    exchanges_words: words of its examples may be exchanged for synonyms.
    pairs_in_pretraining: its rows and their translations are sentences to pretrain an encoder on.
    scored_length: which number of a profile is the longest row in scoring.
    assumed_tokens: a rough mean of the published sets in sub-tokens of XLM-R, where no row is at hand.
    rules: metrics that are not the mean of the column of their name.
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
        """Names of the stored tables that make up a split, that of the examples first."""
        return (f"pairs_{split}", f"source_{split}", f"target_{split}") if self.pooled else (split,)

    def label_names(
        self, declared: Mapping[str, tuple[str, ...]], column: str, rows: Callable[[], list[Example]]
    ) -> tuple[str, ...]:
        """Only with `labels_by_name`: the names that a file declares by column, else those that its rows use."""
        raise self._lacks("label names in its examples")

    def encode(self, examples: Sequence[Example], framing: Framing) -> Encoded:
        """Frame examples as rows, in their order; BadInput when a row has no room, DataError for bad examples."""
        raise ValueError(f"{self.kind} is encoded one side at a time, as text")

    def targets(self, encoded: Encoded, items: np.ndarray, places: np.ndarray, mask: np.ndarray) -> Targets:
        """Collect the labels of a batch: of these items, whose rows' tokens [rows, L] are at `places` where `mask` is set."""
        return Targets(encoded.labels[items], len(items))

    def head(self, labels: Sequence[str], width: int, dropout: float) -> nn.Module:
        """Make the module from hidden states [B, L, width] to logits, of the parts in `trainables.formats.heads`."""
        raise self._lacks("a head")

    def loss(self, logits: Any, batch: Mapping[str, Tensor], rows_per_item: int) -> Tensor:
        """Sum the loss of a batch: `mask` [B, L], and `labels` and `weights` as `targets` made them."""
        raise self._lacks("a loss of its head")

    def outputs(self, logits: Any) -> Tensor:
        """Reduce the logits of a batch to what `score` needs: [items, ...], or with `by_token` [rows, L, ...]."""
        return logits.float()  # type: ignore[no-any-return]

    def rename(
        self, outputs: np.ndarray, head: tuple[str, ...], own: tuple[str, ...]
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """Only with `labels_closed`: outputs of a head with other labels than the dataset's, and what their ids stand for."""
        raise self._lacks("labels that are closed")

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        """Name what a score keeps of each example besides its id, for these metrics of a dataset."""
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
        """Score the outputs of all items or tokens of `encoded`, the rows of these examples; `names` are of the ids."""
        raise self._lacks("outputs per example to score")

    def retrieve(self, d: DatasetSpec, reader: SentenceReader, split: str, direction: Direction) -> ExampleScores:
        """Only with `retrieves`: find translations or answers by sentence vectors, and score what is found."""
        raise self._lacks("anything to retrieve")

    def _lacks(self, what: str) -> ValueError:
        return ValueError(f"{self.kind} has no {what}")


def targets_by_token(encoded: Encoded, places: np.ndarray, mask: np.ndarray) -> Targets:
    """Labels [rows, L] of rows whose labels are by token."""
    labels = np.where(mask, encoded.labels[places], NOT_SCORED)
    return Targets(labels, int((labels != NOT_SCORED).sum()), by_token=True)


def named(ids: Sequence[int], names: Sequence[str]) -> list[str]:
    """The names of label ids; the ids themselves where there are none."""
    return [names[i] for i in ids] if names else [str(i) for i in ids]
