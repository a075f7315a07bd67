"""Text for masked LM, drawn from a corpus of many languages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import regex

from trainables.catalogue import DATASETS
from trainables.configs import Mlm
from trainables.examples import Example, Text
from trainables.sources.tables import evenly
from trainables.training.data import Data
from trainables.training.schedule import language_probabilities

SAMPLED_ARTICLES = 100  # to estimate how many sentences the articles of a language have
SPARE = 1.25  # articles that are read, over the number that should have enough sentences

# As rules SB4 to SB11 of Unicode's annex 29, shortened: a sentence ends at the end of a line, after end marks, and after a full
# stop with space behind it; but not where a small letter follows. The ideographic full stop has no space behind it.
_CLOSING = r"[\p{SB=Close}--[\p{Ps}\p{Pi}]]*+"
_END = regex.compile(
    rf"(?V1)\p{{SB=STerm}}++{_CLOSING}\s*+(?!\p{{Ll}})|\p{{SB=ATerm}}{_CLOSING}\s++(?!\p{{Ll}})|[\n\r\u2028\u2029]++"
)


@dataclass(frozen=True)
class Corpus:
    """Texts that masked LM draws from.

    Attributes:
        text: language -> its texts.
        sizes: number of texts that each language has in the whole corpus.
        lines: number of texts that count in the mix.
    """

    text: dict[str, list[Example]]
    sizes: tuple[float, ...]
    lines: int


def sentences(text: str) -> list[str]:
    """Split an article into its sentences.

    Lines end sentences too; text without any mark (as in Thai) is split at its lines only.
    """
    ends = [match.end() for match in _END.finditer(text)]
    pieces = (text[start:end].strip() for start, end in pairwise([0, *ends, len(text)]))
    return [piece for piece in pieces if piece]


def split_articles(articles: Sequence[Example]) -> list[Example]:
    """Make an example of every sentence of the articles."""
    return [
        Text(f"{article.id}-{number}", sentence)
        for article in articles
        if isinstance(article, Text)
        for number, sentence in enumerate(sentences(article.text))
    ]


def read_corpus(mlm: Mlm, data: Data) -> Corpus:
    """Read the share of each language in a corpus of `mlm.sentences` texts.

    Language l with n_l texts has the share q_l ~ n_l^alpha (Phang et al. 2020, section 2.2); where n_l is smaller than its share,
    all its texts are read.
    """
    d = DATASETS["mlm"]
    if not mlm.sizes:  # the whole corpus is smaller than what the mix asks for
        text = {language: data.examples(d, language, "train") for language in mlm.languages}
        sizes = tuple(float(len(examples)) for examples in text.values())
        return Corpus(text, sizes, int(sum(sizes)))
    wanted = math.ceil(mlm.sentences * data.scale)
    per_row = [1.0] * len(mlm.languages)
    if mlm.articles:
        firsts = [data.examples(d, language, "train", SAMPLED_ARTICLES) for language in mlm.languages]
        per_row = [max(1.0, len(split_articles(first)) / len(first)) for first in firsts]
    sizes = tuple(size * each for size, each in zip(mlm.sizes, per_row, strict=True))
    shares = language_probabilities(sizes, mlm.alpha)
    text = {}
    for language, share, each in zip(mlm.languages, shares, per_row, strict=True):
        texts = math.ceil(wanted * share)
        rows = data.examples(d, language, "train", math.ceil(SPARE * texts / each) if mlm.articles else texts)
        found = split_articles(rows) if mlm.articles else rows
        text[language] = [found[i] for i in evenly(len(found), texts)]
    return Corpus(text, sizes, min(wanted, math.ceil(sum(sizes) * data.scale)))
