"""Pretraining: tokenizer and weights depend only on text and seed."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.small import LANGUAGES, files_of, run_stage, stages_of
from trainables.catalogue import DATASETS
from trainables.configs import Pretrain
from trainables.errors import BadInput
from trainables.examples import Text
from trainables.modeling.model import load_lm, load_tokenizer
from trainables.sources import Source
from trainables.training.pretrain import size, train_tokenizer


@pytest.fixture(scope="module")
def lines(source: Source) -> list[str]:
    found = [e for language in LANGUAGES for e in source.examples(DATASETS["mlm"], language, "train")]
    return [e.text for e in found if isinstance(e, Text)]


def test_the_same_lines_give_the_same_tokenizer_files(lines: list[str], tmp_path: Path) -> None:
    for name in "ab":
        train_tokenizer(lines, 500, tmp_path / name)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert len(load_tokenizer(tmp_path / "a")) == 500


def test_the_tokenizer_has_the_special_ids_of_xlm_r(tokenizer: Any) -> None:
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert (tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id) == (0, 1, 2)
    assert tokenizer.mask_token == "<mask>" and tokenizer.is_fast
    one, two = tokenizer("a")["input_ids"][1:-1], tokenizer("b")["input_ids"][1:-1]
    assert tokenizer("a", "b")["input_ids"] == [0, *one, 2, 2, *two, 2]


def test_the_tokenizer_knows_all_of_its_own_text(lines: list[str], tokenizer: Any) -> None:
    for line in lines:
        pieces = tokenizer.tokenize(line)
        assert "<unk>" not in pieces
        assert pieces[0].startswith("\u2581")
        assert "".join(pieces).replace("\u2581", " ").strip() == unicodedata.normalize("NFKC", line).strip()


def test_only_the_rarest_characters_are_left_out_of_a_small_vocabulary(lines: list[str], tmp_path: Path) -> None:
    rare = [chr(code) for code in range(0x4E00, 0x4E00 + 300)]
    train_tokenizer([*lines, "".join(rare)], 300, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert "<unk>" in tokenizer.tokenize(rare[-1])
    assert "<unk>" not in tokenizer.tokenize(lines[0])


def test_pretraining_twice_gives_identical_files(nano: Path, source: Source, tmp_path: Path) -> None:
    config = stages_of(source, "pretrain:nano", scale=0.15)["pretrain"]
    assert isinstance(config, Pretrain)
    summary = run_stage(config, None, tmp_path / "again", source)
    assert files_of(tmp_path / "again") == files_of(nano.parent)

    assert summary["steps"] == 60 == round(0.15 * size("nano").steps)
    assert set(summary["steps_of_task"]) == {"mlm", "pairs"}
    losses = json.loads((tmp_path / "again" / "history.json").read_text())["losses"]
    assert len(losses) == 60
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])

    lm = load_lm(nano)
    assert (lm.config.hidden_size, lm.config.num_hidden_layers, lm.config.vocab_size) == (
        64,
        2,
        len(load_tokenizer(nano)),
    )
    assert lm.lm_head.decoder.weight is lm.get_input_embeddings().weight


def test_without_parallel_rows_every_step_is_masked_lm(source: Source, tmp_path: Path) -> None:
    config = stages_of(source, "pretrain:nano", scale=0.01)["pretrain"]
    assert isinstance(config, Pretrain) and {language for _, language in config.pairs} == {"de", "sw"}
    other = run_stage(replace(config, pairs=(), seed=1), None, tmp_path / "plain", source)
    assert other["steps_of_task"] == {"mlm": 20}


def test_an_unknown_size_is_an_error() -> None:
    with pytest.raises(BadInput, match="unknown encoder size 'nanno', did you mean 'nano'"):
        size("nanno")
