"""CoNLL files: one word per line, in columns, blank lines between sentences.

Universal Dependencies, xSID and MTOD are released in this format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from trainables.errors import DataError
from trainables.text_file import read_lines

# Rank of tags that decides which part of a fused word gives it its tag, among parts equally high in the tree (the order
# of XTREME's conversion for each language). A tag that a list lacks comes last.
_ANY_RANK = "VERB NOUN PROPN PRON ADJ NUM ADV INTJ AUX ADP DET PART CCONJ SCONJ X PUNCT"
_RANKS = {
    "es": "VERB AUX PRON ADP DET",
    "fr": "VERB AUX PRON NOUN ADJ ADV ADP DET PART SCONJ CONJ",
    "it": "VERB AUX ADV PRON ADP DET INTJ",
}
_NUMBER = "[0-9]{1,6}"  # of a word in its sentence


class Block(NamedTuple):
    """One sentence: its comment lines and its rows of columns.

    `where` is file and line, for error messages.
    """

    where: str
    comments: dict[str, str]
    rows: list[list[str]]


def blocks(file: Path, columns: int) -> Iterator[Block]:
    """Read the sentences of a tab-separated file.

    Args:
        columns: number of columns of a row.

    Raises:
        DataError: a row has another; names file and line.
    """
    comments: dict[str, str] = {}
    rows: list[list[str]] = []
    start = 1
    for number, line in enumerate([*read_lines(file), ""], 1):
        if not line.strip(" "):
            if rows:
                yield Block(f"{file}:{start}", comments, rows)
            comments, rows, start = {}, [], number + 1
        elif line.startswith("#") and not rows:
            if match := re.fullmatch(r"#\s*([\w-]+)\s*[:=]\s*(.*)", line):
                comments[match[1]] = match[2].strip()
        else:
            cells = line.split("\t")
            if len(cells) != columns:
                raise DataError(f"{file}:{number}: has {len(cells)} columns, not {columns}")
            rows.append(cells)


def fused(file: Path, language: str) -> Iterator[tuple[list[str], list[str]]]:
    """Read words and tags of a UD file as XTREME has them (Hu et al. 2020).

    A multi-word token stays one word with the tag of the highest of its nodes; zero-width non-joiners and spaces
    within words are removed; a sentence is left out when all of its words, or all but one, are "_".
    """
    ranks = _RANKS.get(language, _ANY_RANK).split()
    for block in blocks(file, 10):
        words, tags = _fuse(block, ranks)
        empty = words.count("_")
        if empty and empty >= len(words) - 1:
            continue
        clean = [word.replace("\u200c", "").replace(" ", "") for word in words]
        kept = [(word, tag) for word, tag in zip(clean, tags, strict=True) if word]
        yield [word for word, _ in kept], [tag for _, tag in kept]


def _fuse(block: Block, ranks: Sequence[str]) -> tuple[list[str], list[str]]:
    spans: dict[int, tuple[int, str]] = {}  # first node -> last node, fused form
    nodes: dict[int, tuple[str, str, int]] = {}  # node -> form, tag, head
    for cells in block.rows:
        id, form, tag, head = cells[0], cells[1].strip(), cells[3].strip(), cells[6]
        if match := re.fullmatch(rf"({_NUMBER})-({_NUMBER})", id):
            spans[int(match[1])] = (int(match[2]), form)
        elif re.fullmatch(_NUMBER, id):
            nodes[int(id)] = (form, tag, int(head) if re.fullmatch(_NUMBER, head) else 0)
        elif not re.fullmatch(rf"{_NUMBER}\.{_NUMBER}", id):  # the empty nodes of enhanced graphs
            raise DataError(f"{block.where}: {id!r} is not a word number")
    words, tags = [], []
    skip = 0
    for node, (form, tag, _) in sorted(nodes.items()):
        if node <= skip:
            continue
        if node in spans:
            skip, form = spans[node]
            tag = nodes[_highest([n for n in sorted(nodes) if node <= n <= skip], nodes, ranks)][1]
        words.append(form)
        tags.append(tag)
    return words, tags


def _highest(span: Sequence[int], nodes: dict[int, tuple[str, str, int]], ranks: Sequence[str]) -> int:
    """Find the node of a span that is nearest to the root.

    Among equals, the one whose tag ranks first, then the first one.
    """

    def depth(node: int) -> int:
        above: set[int] = set()
        while node in nodes and node not in above:
            above.add(node)
            node = nodes[node][2]
        return len(above)

    def rank(node: int) -> int:
        tag = nodes[node][1]
        return ranks.index(tag) if tag in ranks else len(ranks)

    return min(span, key=lambda node: (depth(node), rank(node)))


class Spoken(NamedTuple):
    """An utterance of a file with columns number, word, intent, slot tag."""

    where: str
    comments: dict[str, str]
    words: list[str]
    tags: list[str]
    intent: str


def spoken(file: Path) -> Iterator[Spoken]:
    """Read the utterances of a file of xSID or MTOD.

    NoLabel becomes O; bare slot names become B- and I-.
    """
    for block in blocks(file, 4):
        intents = {cells[2].strip() for cells in block.rows}
        intents |= {block.comments["intent"]} if "intent" in block.comments else set()
        if len(intents) != 1:
            raise DataError(f"{block.where}: its lines have different intents: {', '.join(sorted(intents))}")
        tags: list[str] = []
        before = ""
        for cells in block.rows:
            raw = cells[3].strip()
            if raw in ("NoLabel", "O"):
                tags.append("O")
            elif raw.startswith(("B-", "I-")):
                tags.append(raw)
            else:
                tags.append(f"{'I' if raw == before else 'B'}-{raw}")
            before = raw
        yield Spoken(block.where, block.comments, [cells[1].strip() for cells in block.rows], tags, intents.pop())
