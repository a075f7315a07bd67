"""Loading of checkpoints: nothing is left at random, and nothing wrong is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from study.planning.encoder_weights import Weights, check_loads, resolve
from tests.families import family_model
from tests.tiny import tiny_tokenizer
from trainables.errors import BadInput
from trainables.modeling.model import load_lm, load_tokenizer

Tensors = dict[str, Tensor]
QUERY = "roberta.encoder.layer.1.attention.self.query.weight"
WORDS = "roberta.embeddings.word_embeddings.weight"
TABLE = (WORDS, "lm_head.bias")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, tokenizer = tmp_path_factory.mktemp("family") / "original", tiny_tokenizer(["Hello", "world", "Привет"])
    tokenizer.save_pretrained(folder)
    family_model("xlm-roberta", len(tokenizer)).save_pretrained(folder)
    return folder


def changed(original: Path, folder: Path, change: Callable[[Tensors], Mapping[str, Tensor]]) -> Path:
    """Copy a checkpoint with other weights."""
    shutil.copytree(original, folder)
    made = {name: weight.clone() for name, weight in change(load_file(original / "model.safetensors")).items()}
    save_file(made, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: f"0.auto_model.{name.removeprefix('roberta.')}",
        lambda name: name.removeprefix("roberta."),
    ],
    ids=["DDP", "torch.compile", "both", "sentence-transformers", "bare"],
)
def test_weights_of_known_wrappers_are_those_of_the_plain_checkpoint(
    wrapped: Callable[[str], str], original: Path, tmp_path: Path
) -> None:
    folder = changed(original, tmp_path / "w", lambda w: {wrapped(name): weight for name, weight in w.items()})
    plain, found = load_lm(original).base_model.state_dict(), load_lm(folder).base_model.state_dict()
    assert found.keys() == plain.keys() and all(torch.equal(found[name], plain[name]) for name in plain)


def without(*names: str) -> Callable[[Tensors], Tensors]:
    return lambda w: {name: weight for name, weight in w.items() if not name.startswith(names)}


def filled(name: str, value: float) -> Callable[[Tensors], Tensors]:
    def change(w: Tensors) -> Tensors:
        w[name].view(-1)[3] = value
        return w

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without(QUERY), f"lacks weights, which would be random: {QUERY}$"),
        (without("roberta.encoder"), "lacks weights, .* and 45 more$"),
        (without(WORDS, "lm_head.decoder"), f"lacks weights, .*{WORDS}"),
        (lambda w: {f"student.{name}": weight for name, weight in w.items()}, "lacks weights"),
        (lambda w: w | {WORDS: w[WORDS][:-1]}, rf"another shape than its config.json: {WORDS} is \[\d+, 16\], not"),
        (lambda w: w | {QUERY: w[QUERY][:8]}, rf"another shape .*{QUERY} is \[8, 16\], not \[16, 16\]"),
        (filled(QUERY, float("nan")), f"not finite: {QUERY}"),
        (filled(WORDS, float("-inf")), f"not finite: .*{WORDS}"),
        (lambda w: w | {QUERY.replace("1", "7"): w[QUERY]}, "no place for: roberta.encoder.layer.7"),
        (lambda w: w | {QUERY.replace("weight", "lora_A.weight"): w[QUERY]}, "no place for: .*lora_A"),
    ],
    ids=["one", "all", "words", "wrapper", "rows", "shape", "nan", "inf", "deeper", "adapter"],
)
def test_encoder_weights_that_are_not_the_checkpoints_are_refused_by_name(
    change: Callable[[Tensors], Tensors], said: str, original: Path, tmp_path: Path
) -> None:
    folder = changed(original, tmp_path / "w", change)
    with pytest.raises(BadInput, match=said) as error:
        load_lm(folder)
    assert "\n" not in str(error.value)


def test_pooler_and_lm_head_may_be_absent(original: Path, tmp_path: Path) -> None:
    pooler = {"roberta.pooler.dense.weight": torch.zeros(16, 16)}
    assert load_lm(changed(original, tmp_path / "headless", without("lm_head"))) is not None
    assert load_lm(changed(original, tmp_path / "pooler", lambda w: w | pooler)) is not None


@pytest.mark.parametrize("size", [0, 4, 3000, -1])
def test_a_truncated_file_is_refused_in_a_line(size: int, original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "w")
    file = tmp_path / "w" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    weights = resolve(str(tmp_path / "w"))
    assert weights
    with pytest.raises(BadInput, match="cannot be loaded") as error:
        check_loads(weights)
    assert "\n" not in str(error.value)


def test_a_config_value_of_another_type_is_refused_in_a_line(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "w")
    config = tmp_path / "w" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_size": "wide"}))
    with pytest.raises(BadInput, match="cannot be loaded: .*hidden_size") as error:
        load_lm(tmp_path / "w")
    assert "\n" not in str(error.value)


def test_a_tokenizer_with_more_pieces_than_embeddings_is_refused(original: Path, tmp_path: Path) -> None:
    folder = changed(original, tmp_path / "w", lambda w: w | {name: w[name][:20] for name in TABLE})
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"vocab_size": 20}))
    load_lm(folder)
    with pytest.raises(BadInput, match="has 20 embeddings, but its tokenizer's '.+' has the id \\d+$"):
        load_tokenizer(folder)


def test_an_adapter_is_refused_with_the_command_that_merges_it(original: Path, tmp_path: Path) -> None:
    folder = tmp_path / "an adapter"
    shutil.copytree(original, folder)
    (folder / "adapter_config.json").write_text("{}")
    for refuse in (resolve, load_lm):
        with pytest.raises(BadInput, match=r"is a PEFT adapter.*merge_and_unload\(\).* '.*/an adapter' merged$"):
            refuse(str(folder))
    (folder / "config.json").unlink()  # as PEFT writes it
    with pytest.raises(BadInput, match="is a PEFT adapter"):
        resolve(str(folder))


def test_a_tokenizer_without_the_letters_of_a_script_is_warned_of(original: Path) -> None:
    assert "cannot read all letters of: 你好, " in check_loads(Weights("", str(original)))
