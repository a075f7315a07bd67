"""Files as their owners distribute them: errors, and XTREME's words of treebanks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

import pytest

from tests.trainables.catalogue.test_schemas import build
from trainables.catalogue import Dataset, dataset
from trainables.errors import DataError
from trainables.examples import Utterance, Words
from trainables.sources import Source, open_source
from trainables.sources.conll import fused


def conllu(*sentences: str) -> str:
    """Write sentences of "number form tag head" rows, separated by "|"."""
    blocks = []
    for sentence in sentences:
        rows = [row.split() for row in sentence.split("|")]
        blocks.append("\n".join("\t".join([r[0], r[1], "_", r[2], "_", "_", r[3], "_", "_", "_"]) for r in rows))
    return "\n\n".join(["# text = x\n" + block for block in blocks]) + "\n\n"


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("language", "sentence", "words", "tags"),
    [
        # a fused form is one word with the tag of the node nearest to the root
        ("es", "1-2 dámelo _ _|1 da VERB 0|2 melo PRON 1", "dámelo", "VERB"),
        ("de", "1 geht VERB 0|2-3 zum _ _|2 zu ADP 4|3 dem DET 4|4 Haus NOUN 1", "geht zum Haus", "VERB ADP NOUN"),
        # the head may stand anywhere in the span, and in the middle of the sentence
        ("de", "1 er PRON 3|2-3 gibts _ _|2 es PRON 3|3 gibt VERB 0", "er gibts", "PRON VERB"),
        # equal heights: the language's own list, in which Italian puts ADV before PRON and the rest does not
        ("it", "1-2 x _ _|1 a PRON 3|2 b ADV 3|3 c VERB 0", "x c", "ADV VERB"),
        ("tr", "1-2 x _ _|1 a PRON 3|2 b ADV 3|3 c VERB 0", "x c", "PRON VERB"),
        # equal tags: the first; a tag that the list lacks comes last
        ("tr", "1-2 x _ _|1 a SYM 3|2 b PUNCT 3|3 c VERB 0", "x c", "PUNCT VERB"),
        # a circle of heads does not hang
        ("tr", "1-2 x _ _|1 a NOUN 2|2 b ADJ 1", "x", "NOUN"),
        # zero-width non-joiners go, within words and fused forms alike
        ("fa", "1 می\u200cخوابد VERB 0|2-3 آن\u200cها _ _|2 آن DET 3|3 ها NOUN 1", "میخوابد آنها", "VERB NOUN"),
    ],
)
def test_fused_words_have_the_tag_of_their_highest_node(
    tmp_path: Path, language: str, sentence: str, words: str, tags: str
) -> None:
    file = tmp_path / "x.conllu"
    file.write_text(conllu(sentence), encoding="utf-8")
    assert list(fused(file, language)) == [(words.split(), tags.split())]


@pytest.mark.protocol
def test_sentences_of_blanks_are_left_out_as_xtreme_does(tmp_path: Path) -> None:
    """All "_", or all but one, is left out; all but two is kept."""
    kept, dropped = "1 _ NOUN 0|2 b NOUN 1|3 c NOUN 1", ("1 _ NOUN 0|2 _ NOUN 1", "1 _ NOUN 0|2 _ NOUN 1|3 c NOUN 1")
    file = tmp_path / "x.conllu"
    file.write_text(conllu(dropped[0], kept, dropped[1]), encoding="utf-8")
    assert [words for words, _ in fused(file, "ar")] == [["_", "b", "c"]]


def test_spaces_within_words_are_removed_and_empty_nodes_skipped(tmp_path: Path) -> None:
    file = tmp_path / "x.conllu"
    rows = [
        "1\ttrẻ em\t_\tNOUN\t_\t_\t0\t_\t_\t_",
        "1.1\tx\t_\tVERB\t_\t_\t_\t_\t_\t_",
        "2\tngủ\t_\tVERB\t_\t_\t1\t_\t_\t_",
    ]
    file.write_text("\r\n".join(rows) + "\r\n", encoding="utf-8")
    assert list(fused(file, "vi")) == [(["trẻem", "ngủ"], ["NOUN", "VERB"])]


@pytest.mark.parametrize(
    ("name", "split", "language", "path", "old", "new", "reason"),
    [
        (
            "ccg",
            "train",
            "en",
            "ccg/tags_to_id.json",
            '"NP": 1',
            '"NP": 7',
            "tags_to_id.json: is not an object that maps tags",
        ),
        ("ccg", "train", "en", "ccg/tags_to_id.json", "{", "", "tags_to_id.json:1:4: not JSON"),
        ("ccg", "train", "en", "ccg/train.tsv", "\t", " ", "train.tsv:1: has 1 columns, not 2"),
        ("ccg", "train", "en", "ccg/train.tsv", "NP/N ", "", "train.tsv:1: has 4 words and 3 tags"),
        ("ccg", "train", "en", "ccg/train.tsv", "NP/N ", "Q ", "ccg/train.tsv:1)"),
        ("multiatis", "train", "en", "multiatis/train_EN.tsv", "slot_labels", "slots", "train_EN.tsv:1: its header is"),
        (
            "multiatis",
            "train",
            "en",
            "multiatis/train_EN.tsv",
            "B-toloc",
            "toloc",
            "slot tag 'toloc.city_name' is not O",
        ),
        (
            "mtod",
            "train",
            "en",
            "mtod/en/train-en.conllu",
            "intent: alarm/set",
            "intent: x/set",
            "train-en.conllu:1: its",
        ),
        ("xsid", "test", "zh", "xsid/zh.test.conll", "\tweather", " weather", "zh.test.conll:3: has 3 columns, not 4"),
        ("xsid_parallel", "train", "it", "xsid/it.projectedTrain.conll", "rain?", "snow?", "is not a translation of"),
        (
            "xsid_parallel",
            "train",
            "it",
            "xsid/en.train.conll",
            "# text = rain?",
            "1\tx\ta/b\tO\n\n# text = rain?",
            "has 2",
        ),
        (
            "udpos_fused",
            "test",
            "fr",
            "udpos_fused/fr/fr_gsd-ud-test.conllu",
            "\n3-4",
            "\nx",
            "'x' is not a word number",
        ),
        (
            "bucc2018",
            "test",
            "de",
            "bucc2018/de-en/de-en.training.gold",
            "en-03",
            "en-9",
            "no target text has the id 'en-9'",
        ),
        ("bucc2018", "test", "de", "bucc2018/de-en/de-en.training.gold", "de-01", "de-9", "no source text has the id"),
        ("mewslix", "test", "en", "mewslix/wikinews_mentions-test.jsonl", '"text": "Bern"', '"text": "X"', "is not at"),
        ("mewslix", "test", "en", "mewslix/wikinews_mentions-test.jsonl", '"mentions"', '"m"', "not in the layout of"),
        (
            "mewslix",
            "test",
            "en",
            "mewslix/wikinews_mentions-test.jsonl",
            "{",
            "",
            "mentions-test.jsonl:1:10: not JSON",
        ),
        ("lareqa", "validation", "ar", "lareqa/zh.json", "sentence_breaks", "breaks", "is not in the layout of lareqa"),
    ],
)
def test_a_broken_file_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, name: str, split: str, language: str, path: str, old: str, new: str, reason: str
) -> None:
    build(name, tmp_path)
    text = (tmp_path / path).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / path).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError) as error:
        open_source(f"mirror:{tmp_path}").examples(dataset(name), language, split)
    assert reason in str(error.value)


NBSP, LINE_SEPARATOR, NEXT_LINE = "\u00a0", "\u2028", "\u0085"


@pytest.mark.parametrize("inside", [NBSP, LINE_SEPARATOR, NEXT_LINE, "\u3000", "\x0b", "\x0c", "\x1c", "\r"])
@pytest.mark.parametrize("name", ["ccg", "multiatis"])
def test_only_spaces_separate_words_and_only_line_feeds_lines(tmp_path: Path, name: str, inside: str) -> None:
    build(name, tmp_path)
    path, old = {"ccg": ("ccg/train.tsv", "water"), "multiatis": ("multiatis/train_EN.tsv", "york")}[name]
    text = (tmp_path / path).read_text(encoding="utf-8")
    word = old[:2] + inside + old[2:]
    (tmp_path / path).write_bytes(text.replace(old, word, 1).encode())
    d = dataset(name)
    (first, *_) = open_source(f"mirror:{tmp_path}").examples(d, "en", "train")
    assert isinstance(first, Words | Utterance) and word in first.words


def everything(source: Source, d: Dataset, language: str, split: str) -> list[object]:
    """Read examples, and the pools of a pooled kind."""
    sides: tuple[Literal["source", "target"], ...] = ("source", "target") if d.format.pooled else ()
    return [source.examples(d, language, split), *(source.pool(d, language, split, side) for side in sides)]


def test_an_extra_cell_or_a_trailing_tab_is_an_error_with_file_and_line(tmp_path: Path) -> None:
    for name, split, language, path in (
        ("bucc2018", "test", "de", "bucc2018/de-en/de-en.training.de"),
        ("bucc2018", "test", "de", "bucc2018/de-en/de-en.training.en"),
        ("bucc2018", "test", "de", "bucc2018/de-en/de-en.training.gold"),
        ("translations", "train", "de", "translations/de.tsv"),
        ("ccg", "train", "en", "ccg/train.tsv"),
        ("multiatis", "train", "en", "multiatis/train_EN.tsv"),
        ("xsid", "test", "zh", "xsid/zh.test.conll"),
        ("udpos_fused", "test", "fr", "udpos_fused/fr/fr_gsd-ud-test.conllu"),
    ):
        build(name, tmp_path)
        source, file, d = open_source(f"mirror:{tmp_path}"), tmp_path / path, dataset(name)
        lines = file.read_text(encoding="utf-8").split("\n")
        number = max(n for n, line in enumerate(lines) if line)
        for more in ("\t", "\tund Katze"):
            file.write_text("\n".join([*lines[:number], lines[number] + more]), encoding="utf-8")
            with pytest.raises(DataError, match=rf"{re.escape(path)}:{number + 1}: has \d+ columns, not \d+"):
                everything(source, d, language, split)


def test_every_kind_of_line_end_gives_the_same_rows(tmp_path: Path) -> None:
    """With and without a byte-order mark, with and without the last one."""
    for name, split, language in (("ccg", "train", "en"), ("multiatis", "train", "en"), ("xsid", "test", "zh"),
                                  ("bucc2018", "test", "de"), ("mewslix", "test", "en"), ("lareqa", "validation", "en"),
                                  ("udpos_fused", "test", "fr"), ("translations", "train", "de")):  # fmt: skip
        build(name, tmp_path)
        expected = open_source(f"mirror:{tmp_path}").examples(dataset(name), language, split)
        for file in (f for f in tmp_path.rglob("*") if f.is_file()):
            data = file.read_bytes().removesuffix(b"\n")
            file.write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
        assert open_source(f"mirror:{tmp_path}").examples(dataset(name), language, split) == expected, name


def test_files_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    build("bucc2018", tmp_path)
    (tmp_path / "bucc2018/de-en/de-en.training.de").write_bytes("de-01\tGrüße".encode("latin-1"))
    with pytest.raises(DataError, match=r"de-en\.training\.de:1: not UTF-8"):
        open_source(f"mirror:{tmp_path}").pool(dataset("bucc2018"), "de", "test", "source")


def test_the_names_of_the_buccs_own_archives_are_found_too(tmp_path: Path) -> None:
    build("bucc2018", tmp_path)
    for file in list((tmp_path / "bucc2018/de-en").iterdir()):
        file.rename(tmp_path / "bucc2018" / f"bucc2018-{file.name}")
    source = open_source(f"mirror:{tmp_path}")
    assert source.languages(dataset("bucc2018"), "test") == ("de", "fr", "ru", "zh")
    (tmp_path / "bucc2018/bucc2018-de-en.training.en").unlink()
    assert open_source(f"mirror:{tmp_path}").languages(dataset("bucc2018"), "test") == ("fr", "ru", "zh")


def test_a_row_of_multiatis_with_unequal_lengths_is_left_out_and_counted_in_the_rows(tmp_path: Path) -> None:
    build("multiatis", tmp_path)
    source, d = open_source(f"mirror:{tmp_path}"), dataset("multiatis")
    assert source.num_rows(d, "de", "test") == 2 and len(source.examples(d, "de", "test")) == 1


def test_a_question_without_a_whole_answer_sentence_has_fewer_right_ones(tmp_path: Path) -> None:
    """A language needs a sentence that contains the start of the answer.

    Without one it has no right candidate.
    """
    build("lareqa", tmp_path)
    file = tmp_path / "lareqa/zh.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    paragraph = content["data"][0]["paragraphs"][0]
    paragraph["sentence_breaks"] = paragraph["sentence_breaks"][:1]
    file.write_text(json.dumps(content), encoding="utf-8")
    found = open_source(f"mirror:{tmp_path}").examples(dataset("lareqa"), "en", "validation")
    assert [e.id for e in found] == ["q1\ten:0:1", "q1\tar:0:1"]


def test_originals_are_official_and_hashed_with_everything_they_are_read_from(tmp_path: Path) -> None:
    build("xsid", tmp_path)
    d = dataset("xsid_parallel")
    source = open_source(f"mirror:{tmp_path}")
    assert not source.standin(d) and source.origin(d, "it", "train") == "xsid/it.projectedTrain.conll and 1 more"
    before = source.fingerprint(d, "it", "train")
    english = tmp_path / "xsid/en.train.conll"
    english.write_text(english.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert open_source(f"mirror:{tmp_path}").fingerprint(d, "it", "train") != before
