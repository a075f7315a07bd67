"""Tables of a report beside its matrix: scores by layer, by epoch, by aligned language, and published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from study.store.evaluation_result import Scores

# --- retrieval by layer ---


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """Retrieval scores of one recipe by layer, 0 being the embeddings: the mean over languages, and each of them."""

    name: str
    address: str
    mean: tuple[float, ...]
    languages: Mapping[str, tuple[float, ...]]

    @property
    def best(self) -> int:
        """Layer with the highest mean; the first among equals."""
        return max(range(len(self.mean)), key=self.mean.__getitem__)


@dataclass(frozen=True, kw_only=True)
class LayerTable:
    """Swept recipes of one target, and the layer that the matrix reads; None where no evaluation says it."""

    title: str
    reads: int | None
    rows: tuple[LayerRow, ...]


# --- scores by epoch ---


@dataclass(frozen=True, kw_only=True)
class SeedScores:
    """One score per seed in percent, their mean, and their standard deviation; None of one seed."""

    mean: float
    sd: float | None
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class EpochPoint:
    """Scores at one point of a target's training: column -> metric -> scores; `share` is the part of it that is over."""

    epoch: float
    step: int
    share: float
    scores: Mapping[str, Mapping[str, SeedScores]]


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """Points of one recipe."""

    name: str
    address: str
    points: tuple[EpochPoint, ...]


@dataclass(frozen=True, kw_only=True)
class EpochTable:
    """Points of one target: its main metrics, its columns (train, dev, languages, zero-shot), a row for each recipe."""

    title: str
    metrics: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[EpochRow, ...]


# --- alignment ---


@dataclass(frozen=True, kw_only=True)
class AlignedRow:
    """Scores of a recipe that was aligned on some languages; on none is the recipe without alignment."""

    on: tuple[str, ...]
    name: str
    scores: Scores

    @property
    def aligned_on(self) -> str:
        """Languages as text: "de", "de+es", "all", or "nothing"."""
        return "+".join(self.on) or "nothing"


@dataclass(frozen=True, kw_only=True)
class AlignedLine:
    """A line of the published table; `average` is over the languages but English that every line has."""

    name: str
    cells: Scores
    average: Mapping[str, float] | None


@dataclass(frozen=True, kw_only=True)
class AlignmentTable:
    """Alignment results of one target, beside one set of intermediate tasks (`base`).

    Attributes:
        matrix: aligned on (rows) by evaluated on.
        table: the published table's lines.
    """

    target: str
    title: str
    main: tuple[str, ...]
    base: str
    translated_by: str
    languages: tuple[str, ...]
    matrix: tuple[AlignedRow, ...]
    table: tuple[AlignedLine, ...]


# --- published scores ---

Values = tuple[float | None, ...]


@dataclass(frozen=True)
class Mark:
    """A cell that the paper prints otherwise than our data have it."""

    table: str
    row: str
    column: str
    printed: str
    why: str


@dataclass(frozen=True, kw_only=True)
class PublishedCell:
    """Numbers as printed, the one number that they amount to, and whether the print is garbled."""

    values: Values
    mean: float | None
    garbled: bool


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """A published row: target, or "average", -> cell."""

    name: str
    table: str
    cells: Mapping[str, PublishedCell]


@dataclass(frozen=True, kw_only=True)
class PublishedPoint:
    """Published scores after some epochs, as text by column, beside our row with the same tasks."""

    address: str
    epoch: int
    share: float
    cells: Mapping[str, str]


PublishedLine = tuple[str, Mapping[str, str]]  # name, cells as text by language


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Scores of a paper for the rows of a report.

    Attributes:
        rows: address of our row -> the published one.
        epochs: target -> published points.
        aligned: target -> published lines about models of one language.
        caveats: what keeps the two sides from meaning the same.
    """

    name: str
    cite: str
    encoder: str
    rows: Mapping[str, PublishedRow]
    epochs: Mapping[str, tuple[PublishedPoint, ...]]
    aligned: Mapping[str, tuple[PublishedLine, ...]]
    marks: tuple[Mark, ...]
    caveats: tuple[str, ...]
    notes: tuple[str, ...]
