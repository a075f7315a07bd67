"""Registry of formats by kind (docs/datasets.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainables.encoding.encoded import Encoded
from trainables.encoding.rows import Framing
from trainables.encoding.special_tokens import Tokenizer
from trainables.errors import BadInput, unknown
from trainables.examples import Example
from trainables.formats.bitext import SentenceRetrieval
from trainables.formats.choice import MultipleChoice
from trainables.formats.format import Format
from trainables.formats.intent import IntentsAndSlots
from trainables.formats.labelled import Classification
from trainables.formats.mining import BitextMining
from trainables.formats.ranking import Ranking
from trainables.formats.regression import Regression
from trainables.formats.span import ExtractiveAnswers
from trainables.formats.text import RawText
from trainables.formats.words import Tagging
from trainables.recipe import BarePrefix

__all__ = ["FORMATS", "Format", "encode", "format_of", "register_format"]

_BUILT_IN: tuple[Format, ...] = (
    Classification(),
    Regression(),
    MultipleChoice(),
    ExtractiveAnswers(),
    Tagging(),
    IntentsAndSlots(),
    RawText(),
    SentenceRetrieval(),
    BitextMining(),
    Ranking(),
)
_FORMATS = {f.kind: f for f in _BUILT_IN}
FORMATS: Mapping[str, Format] = _FORMATS


def format_of(kind: str) -> Format:
    """Find the format of a kind.

    Raises:
        BadInput: there is none; the message has the nearest match.
    """
    if kind not in _FORMATS:
        raise unknown("kind of dataset", kind, _FORMATS)
    return _FORMATS[kind]


def register_format(own: Format) -> str:
    """Register a format in this process; return its kind.

    Raises:
        BadInput: it has the kind of a built-in format.
    """
    if own.kind in {f.kind for f in _BUILT_IN}:
        raise BadInput(f"there is a format {own.kind!r} already: give yours another kind")
    _FORMATS[own.kind] = own
    return own.kind


def encode(
    kind: str,
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    doc_stride: int = 128,
    max_query: int = 64,
    labels: Sequence[str] = (),
    bare_prefix: BarePrefix = "label",
) -> Encoded:
    """Encode examples in their order, as rows of at most `max_length` tokens.

    The options are those of `Framing`. Sentences for retrieval are encoded one side at a time: encode("text", side, ...).

    Raises:
        BadInput: `max_length` leaves no room for text.
        DataError: examples contradict each other.
    """
    framing = Framing(
        tokenizer=tokenizer,
        max_length=max_length,
        doc_stride=doc_stride,
        max_query=max_query,
        labels=labels,
        bare_prefix=bare_prefix,
    )
    return format_of(kind).encode(examples, framing)
