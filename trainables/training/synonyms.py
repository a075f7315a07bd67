"""Synonym augmentation of training rows (Huang et al. 2021).

Copies of rows have words replaced by synonyms. Synonyms are English words, from a file or from the source's own paraphrases.
Words are separated by single spaces, without the punctuation around them; they are matched regardless of case.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trainables.catalogue import dataset
from trainables.errors import BadInput, DataError, check_path
from trainables.examples import Labelled
from trainables.recipe import digest
from trainables.sources import Source
from trainables.text_file import line_of_key, parse_json, read_lines, read_text, words_of
from trainables.training.schedule import generator

Synonyms = Mapping[str, tuple[str, ...]]  # a word in lower case -> its synonyms as written, sorted

# English sets of paraphrases, and their label for sentences of the same meaning.
PARAPHRASES = {"mrpc": "equivalent", "pawsx": "1", "qqp": "duplicate"}
MIN_SEEN = 3  # minimum number of paraphrases that exchange two words, for these to count as synonyms
MAX_BYTES = 256 * 2**20
_AROUND = string.punctuation + "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00ab\u00bb"


def synonyms_of(source: Source, path: str = "") -> Synonyms:
    """Return the synonyms of a file, or of the source.

    Args:
        path: "" = those of the source.
    Raises:
        BadInput: there are none.
        DataError: as in `read_synonyms`.
    """
    return read_synonyms(path) if path else found_in(source)


def found_in(source: Source) -> Synonyms:
    """Find synonyms in the paraphrases of a source.

    They are exchanged in at least `MIN_SEEN` English paraphrases that are otherwise equal. It reads the training rows of QQP,
    MRPC and PAWS-X that are labelled as paraphrases, of those sets that the source has. Two sentences count if they have the
    same number of words and differ in exactly one, which must be letters on both sides.
    """
    served = [name for name in PARAPHRASES if "en" in source.languages(dataset(name), "train")]
    seen: Counter[tuple[str, str]] = Counter()
    for name in served:
        d = dataset(name)
        label = d.labels.index(PARAPHRASES[name])
        rows = source.examples(d, "en", "train")
        seen.update(_exchanged(row for row in rows if isinstance(row, Labelled) and row.label == label))
    pairs = [pair for pair, count in seen.items() if count >= MIN_SEEN]
    if not pairs:
        where = f"in its rows of {', '.join(served)}" if served else f"which has none of {', '.join(PARAPHRASES)}"
        raise BadInput(f"no synonyms found in source {source.spec!r}, {where}: give a file with --synonyms")
    return _sorted((word, other) for one, two in pairs for word, other in ((one, two), (two, one)))


def _exchanged(rows: Iterable[Labelled]) -> Iterator[tuple[str, str]]:
    """Yield the two words of rows that differ in one.

    They are sorted and in lower case.
    """
    for row in rows:
        one, two = row.first.split(" "), (row.second or "").split(" ")
        if len(one) != len(two):
            continue
        apart = [(a.strip(_AROUND), b.strip(_AROUND)) for a, b in zip(one, two, strict=True) if a.lower() != b.lower()]
        if len(apart) == 1 and all(word.isalpha() for word in apart[0]):
            a, b = sorted(word.lower() for word in apart[0])
            if a != b:
                yield a, b


def read_synonyms(path: str) -> Synonyms:
    """Read the synonyms of a file in UTF-8.

    A line has a word and its synonyms, separated by tabs or spaces; a file `*.json` has one object of word -> list of
    synonyms, the usual form of neighbours of counter-fitted vectors.

    Raises:
        BadInput: there is no such file, or no word in it has a synonym.
        DataError: it is no text, or a line has another form; the message has the line number.
    """
    check_path("synonyms", path)
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise BadInput(f"synonyms {path!r}: more than {MAX_BYTES:,} bytes")
    except OSError as error:
        raise BadInput(f"synonyms {path!r} cannot be read: {error.strerror}") from None
    lists = _of_json(path) if path.endswith(".json") else _of_lines(path)
    found = _sorted((word.lower(), other) for word, others in lists for other in others)
    if not found:
        raise BadInput(f"synonyms {path!r}: no word in it has a synonym")
    return found


def _refused(text: str) -> DataError:
    return DataError(f"synonyms {text}")


def _of_lines(path: str) -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(read_lines(Path(path), _refused), 1):
        words = words_of(line.replace("\t", " "))
        if not words:
            continue
        if any(not word.isprintable() for word in words):
            raise _refused(f"{path}:{number}: contains control characters")
        if len(words) > 2 and all(_is_number(word) for word in words[1:]):
            raise _refused(f"{path}:{number}: numbers follow {words[0]!r}; these are word vectors")
        yield words[0], words[1:]


def _of_json(path: str) -> Iterator[tuple[str, list[str]]]:
    text = read_text(Path(path), _refused)
    values = parse_json(text, Path(path), _refused)
    if not isinstance(values, dict):
        raise _refused(f"{path}: must be an object of word -> list of synonyms")
    for word, others in values.items():
        good = isinstance(others, list) and all(isinstance(w, str) and w.isprintable() and w for w in [word, *others])
        if not good or any(w.split() != [w] for w in [word, *others]):
            raise _refused(f"{path}:{line_of_key(text, word)}: {word!r} must have a list of single words")
        yield word, others


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sorted(pairs: Iterable[tuple[str, str]]) -> Synonyms:
    found: dict[str, set[str]] = {}
    for word, other in pairs:
        if other.lower() != word:
            found.setdefault(word, set()).add(other)
    return {word: tuple(sorted(others)) for word, others in sorted(found.items())}


def address(synonyms: Synonyms) -> str:
    """Compute the hash of synonyms.

    Files with the same content have the same hash.
    """
    return digest({word: list(others) for word, others in synonyms.items()})


def copies_of(rows: Sequence[Labelled], synonyms: Synonyms, copies: int) -> list[Labelled]:
    """Replace every row by `copies` augmented copies in sequence.

    Copies have the row's id and label. In each copy, every word that has synonyms is drawn from itself and them with equal
    probability. The draws are a function of row and copy alone, the same for all seeds of a study: as published, an augmented
    set is made once, and it is encoded once.
    """
    return [_changed(row, synonyms, generator(0, "synonyms", row.id, copy)) for row in rows for copy in range(copies)]


def _changed(row: Labelled, synonyms: Synonyms, rng: np.random.Generator) -> Labelled:
    first = exchange(row.first, synonyms, rng)
    return replace(row, first=first, second=None if row.second is None else exchange(row.second, synonyms, rng))


def exchange(text: str, synonyms: Synonyms, rng: np.random.Generator) -> str:
    """Draw each word that has synonyms anew.

    Spaces, punctuation and capitals do not change.
    """
    words = text.split(" ")
    for place, word in enumerate(words):
        core = word.strip(_AROUND)
        others = synonyms.get(core.lower())
        if others and (drawn := int(rng.integers(len(others) + 1))):
            words[place] = word.replace(core, _as(others[drawn - 1], core), 1)
    return " ".join(words)


def _as(word: str, model: str) -> str:
    """Capitalise a word like another one."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
