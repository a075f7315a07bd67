"""Encoders other than XLM-R: special tokens, pooling, training, saving."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.planning.encoder_weights import resolve
from tests.families import LAYERS, checkpoint, family_model, family_tokenizer
from tests.small import run_stage, stages_of
from trainables.catalogue import dataset
from trainables.configs import Evaluate, Intermediate, Target
from trainables.encoding.encoded import Encoded
from trainables.encoding.special_tokens import Layout
from trainables.errors import BadInput
from trainables.evaluation.predict import embed, predict
from trainables.examples import Choice, Example, Labelled, Rated, Span, Text, Utterance, Words
from trainables.formats import encode
from trainables.modeling.model import Head, Net, load_lm, load_net, load_tokenizer, save
from trainables.sources import Source
from trainables.training.batch import collate
from trainables.training.loop import Device

NEW = ("bert", "deberta-v2", "mt5")
T5S = ("mt5", "t5", "umt5")
ALL = ("xlm-roberta", "xlm-roberta-xl", "roberta", "bert", "deberta-v2", *T5S)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the checkpoint of a family, made on first use."""
    made: dict[str, Path] = {}

    def of(family: str) -> Path:
        if family not in made:
            made[family] = checkpoint(family, tmp_path_factory.mktemp(family) / "checkpoint")
        return made[family]

    return of


# --- framing, worked out by hand ---


def letters(family: str) -> Any:
    """Make a tokenizer of the family with the words a, b, c and d."""
    import transformers as hf

    names = ("a", "b", "c", "d")
    words = [(f"\u2581{name}", -1.0) for name in names]
    if family == "bert":
        specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
        return hf.BertTokenizer(vocab={name: i for i, name in enumerate((*specials, *names))})
    if family == "deberta-v2":
        specials = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
        return hf.DebertaV2Tokenizer(vocab=[*((name, 0.0) for name in specials), *words], unk_id=3)
    first = [(name, 0.0) for name in ("<pad>", "</s>", "<unk>")]
    return hf.T5Tokenizer(vocab=[*first, *words, ("\u2581<extra_id_0>", 0.0)], extra_ids=0)


# ^ is the first special token, | those between and at the end: [CLS] and [SEP], or the sentinel and </s>.
IDS = {
    "bert": {"^": 2, "|": 3, "a": 5, "b": 6, "c": 7, "d": 8},
    "deberta-v2": {"^": 1, "|": 2, "a": 5, "b": 6, "c": 7, "d": 8},
    "mt5": {"^": 7, "|": 1, "a": 3, "b": 4, "c": 5, "d": 6},
}
FRAMED: list[tuple[Any, Example, list[str], list[str]]] = [
    ("labelled", Labelled("0", "a b", None, 0), ["^ a b |"], ["0000"]),
    ("labelled", Labelled("0", "a", "b c", 0), ["^ a | b c |"], ["000111"]),
    ("regression", Rated("0", "a b", "", 1.0), ["^ a b | |"], ["00001"]),
    ("choice", Choice("0", "a b", ("c", "d a"), 1), ["^ a b | c |", "^ a b | d a |"], ["000011", "0000111"]),
    ("span", Span("0", "a b", "c d", ((2, "d"),)), ["^ a b | c d |"], ["0000111"]),
    ("words", Words("0", ("a", "c"), (1, 2)), ["^ a c |"], ["0000"]),
    ("intent", Utterance("0", ("d", "c"), ("O", "B-x"), "buy"), ["^ d c |"], ["0000"]),
    ("text", Text("0", "a b c d"), ["^ a b c d |"], ["000000"]),
]


@pytest.mark.parametrize("family", NEW)
@pytest.mark.parametrize(("kind", "example", "rows", "segments"), FRAMED)
def test_every_format_is_framed_as_the_family_does_it(
    kind: Any, example: Example, rows: list[str], segments: list[str], family: str, tmp_path: Path
) -> None:
    encoded = encode(kind, [example], letters(family), max_length=64, labels=("buy", "O", "B-x"), max_query=4)
    encoded.save(tmp_path / "rows.npz")
    for found in (encoded, Encoded.load(tmp_path / "rows.npz")):
        split = [found.tokens[a:b].tolist() for a, b in zip(found.starts, found.starts[1:], strict=False)]
        assert split == [[IDS[family][name] for name in row.split()] for row in rows]
        batch = collate(found, np.arange(found.num_items), 0)
        if family == "mt5":
            assert batch.segments is None
        else:
            assert batch.segments is not None
            shown = ["".join(map(str, s[m].tolist())) for s, m in zip(batch.segments, batch.mask, strict=True)]
            assert shown == segments and not batch.segments[~batch.mask].any()
    if kind == "span":
        assert encoded.labels.tolist() == [[5, 5]]
        space = 1 if family == "deberta-v2" else 0  # whose pieces take the space before a word with them
        assert encoded.extra["char_start"].tolist() == [-1, -1, -1, -1, 0, 2 - space, -1]
    if kind == "intent":
        assert encoded.labels.tolist() == [0, 0, 1, -100]


def test_a_batch_keeps_the_segments_of_its_rows_when_it_is_parted() -> None:
    examples = [Choice(str(i), "a b " * (1 + i % 3), ("c " * (1 + i % 4), "d"), 0) for i in range(11)]
    batch = collate(encode("choice", examples, letters("bert"), max_length=64), np.arange(11), 0)
    for part in (*(batch.share(rank, 3) for rank in range(3)), *batch.pieces(60)):
        assert part.segments is not None and part.segments.shape == part.tokens.shape
        ends = (part.tokens == IDS["bert"]["|"]).cumsum(1)
        after = (ends - (part.tokens == IDS["bert"]["|"])) >= 1
        assert np.array_equal(part.segments == 1, after & part.mask)


def test_a_tokenizer_with_nothing_to_put_in_front_is_refused() -> None:
    import transformers as hf

    plain = [(name, 0.0) for name in ("<pad>", "</s>", "<unk>", "\u2581a")]
    with pytest.raises(BadInput, match="no special token before a text.*<extra_id_0>"):
        Layout.of(hf.T5Tokenizer(vocab=plain, extra_ids=0))


# --- the same numbers as transformers by itself ---

PAIRS = [("the cat sleeps", "a dog"), ("where is the house of my friend ?", "the river flows into the sea today")]


def own_framing(family: str, tokenizer: Any) -> dict[str, torch.Tensor]:
    """Encode `PAIRS` with the tokenizer itself.

    T5's encodings get the sentinel prepended.
    """
    framed = dict(tokenizer([a for a, _ in PAIRS], [b for _, b in PAIRS], padding=True, return_tensors="pt"))
    if family not in T5S:
        return framed
    names = tokenizer.get_vocab()
    sentinel = names["<extra_id_0>" if family == "t5" else "\u2581<extra_id_0>"]
    ids, mask = framed["input_ids"], framed["attention_mask"]
    first = torch.full((len(PAIRS), 1), sentinel)
    return {"input_ids": torch.cat([first, ids], 1), "attention_mask": torch.cat([torch.ones_like(first), mask], 1)}


def own_model(family: str, folder: Path) -> Any:
    """Load the family's encoder with its usual transformers class."""
    import transformers as hf

    name = {"mt5": "MT5EncoderModel", "t5": "T5EncoderModel", "umt5": "UMT5EncoderModel"}.get(family, "AutoModel")
    return getattr(hf, name).from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("family", ALL)
def test_logits_are_those_of_the_model_on_its_own_tokenizers_rows(
    family: str, folder: Callable[[str], Path], machine: Device
) -> None:
    where = folder(family)
    tokenizer = load_tokenizer(where)
    net = Net(load_lm(where), {"nli": Head("labelled", ("a", "b", "c"))}, seed=1).eval()
    for parameter in net.heads.parameters():
        torch.nn.init.normal_(parameter, 0.0, 1.0, generator=torch.Generator().manual_seed(2))
    encoded = encode("labelled", [Labelled("", a, b, 0) for a, b in PAIRS], tokenizer, max_length=128)
    framed = own_framing(family, tokenizer)
    assert collate(encoded, np.arange(2), tokenizer.pad_token_id).tokens.tolist() == framed["input_ids"].tolist()
    if family == "bert":
        assert framed["token_type_ids"].sum() > 2  # otherwise the comparison would not cover segments
    with torch.no_grad():
        hidden = own_model(family, where)(**framed).last_hidden_state
        expected = net.heads["nli"](hidden).numpy()
        found = predict(net, "nli", encoded, tokenizer.pad_token_id, machine)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        without = predict(net, "nli", replace(encoded, second=None), tokenizer.pad_token_id, machine)
    assert np.allclose(found, without, atol=1e-3) == (family != "bert")  # no other family distinguishes segments


@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_masked_lm_is_that_of_the_models_own_class(family: str, folder: Callable[[str], Path]) -> None:
    tokenizer, lm = load_tokenizer(folder(family)), load_lm(folder(family), with_head=True).eval()
    framed = own_framing(family, tokenizer)
    net = Net(lm, {"mlm": Head("text", ())}, seed=0).eval()
    labels = torch.where(framed["attention_mask"].bool(), framed["input_ids"], -100)
    batch = {"tokens": framed["input_ids"], "mask": framed["attention_mask"].bool(), "labels": labels}
    with torch.no_grad():
        ours = net.loss("mlm", batch | {"segments": framed["token_type_ids"]}) / (labels != -100).sum()
        theirs = lm(**framed, labels=labels).loss
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("family", [*ALL, "deberta-conv"])
def test_vectors_are_those_of_every_hidden_state(family: str, folder: Callable[[str], Path], machine: Device) -> None:
    where = folder(family)
    tokenizer, net = load_tokenizer(where), Net(load_lm(where), {}, seed=0)
    encoded = encode("text", [Text("", a) for a, _ in PAIRS], tokenizer, max_length=64)
    layers = range(net.lm.config.num_hidden_layers + 1)
    vectors = embed(net, encoded, layers, tokenizer.pad_token_id, machine)
    alone = [embed(net, encoded, [layer], tokenizer.pad_token_id, machine)[0] for layer in layers]
    batch = collate(encoded, np.arange(2), tokenizer.pad_token_id).tensors(CPU)
    with torch.no_grad():
        framed = {"input_ids": batch["tokens"], "attention_mask": batch["mask"].long()}
        out = own_model(family, where)(**framed, output_hidden_states=True)
    assert len(vectors) == len(out.hidden_states) == LAYERS + 1  # the embeddings first
    assert torch.equal(out.hidden_states[-1], out.last_hidden_state)
    for layer, state in enumerate(out.hidden_states):
        expected = np.stack([s[m].mean(0).numpy() for s, m in zip(state, batch["mask"], strict=True)])
        np.testing.assert_allclose(vectors[layer], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(alone[layer], expected, rtol=1e-4, atol=1e-5)


# --- training ---

KINDS = {"labelled": "pawsx", "choice": "commonsense_qa", "span": "squad", "words": "panx", "intent": "massive"}
KINDS |= {"regression": "stsb"}


def ten_steps(source: Source, where: Path, name: str) -> Target:
    """Return the target stage of a dataset, cut to ten steps."""
    as_target = {"squad": "xquad"}.get(name, name)
    if "target" in dataset(as_target).roles:
        config: Any = stages_of(source, str(where), targets=(as_target,), scale=0.2)[f"target {name}"]
        task, fit, data = config.task, config.fit, config.data
    else:  # what only trains as an intermediate task is fitted in the same way
        mixed: Any = stages_of(source, str(where), intermediate=(name,), epochs=1.0, lr=1e-3, scale=0.2)["intermediate"]
        (task,), fit = mixed.tasks, mixed.fit
        data = {key: value for key, value in mixed.data.items() if key.startswith(f"{name}/")}
    return Target(task=replace(task, batch=8, epochs=10 / math.ceil(40 / 8)), fit=fit, scale=0.2, data=data)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("family", NEW)
def test_every_format_trains_and_its_weights_are_saved_and_loaded_the_same(
    family: str, name: str, folder: Callable[[str], Path], source: Source, machine: Device, tmp_path: Path
) -> None:
    config = ten_steps(source, folder(family), name)
    summary = run_stage(config, folder(family), tmp_path / "stage", source)
    assert summary["steps"] >= 10
    history = json.loads((tmp_path / "stage" / "history.json").read_text())
    assert all(math.isfinite(loss) for loss in history["losses"])
    files = {p.name for p in (tmp_path / "stage").rglob("*") if p.is_file()}
    assert {"model.safetensors", "heads.safetensors"} <= files and not {n for n in files if n.endswith((".bin", ".pt"))}

    net, tokenizer = load_net(tmp_path / "stage"), load_tokenizer(tmp_path / "stage" / "encoder")
    assert Layout.of(tokenizer) == Layout.of(load_tokenizer(folder(family)))
    before, after = load_lm(folder(family)).state_dict(), net.lm.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before if "layer" in key or "block" in key)
    d = dataset(name)
    rows = source.examples(d, "en", "train", take=12)
    encoded = encode(d.kind, rows, tokenizer, max_length=96, max_query=24, labels=source.labels(d))
    save(net, tokenizer, tmp_path / "again")
    scored = [predict(n, name, encoded, tokenizer.pad_token_id, machine) for n in (net, load_net(tmp_path / "again"))]
    assert np.isfinite(scored[0]).all() and np.array_equal(scored[0], scored[1])


@pytest.mark.slow
@pytest.mark.parametrize("family", NEW)
def test_the_scores_of_loaded_weights_are_those_that_training_saw(
    family: str, folder: Callable[[str], Path], source: Source, tmp_path: Path
) -> None:
    stages = stages_of(source, str(folder(family)), targets=("panx", "tatoeba"), scale=0.2)
    run_stage(stages["target panx"], folder(family), tmp_path / "stage", source)
    history = json.loads((tmp_path / "stage" / "history.json").read_text())
    panx, tatoeba = stages["evaluate panx"], stages["evaluate tatoeba"]
    assert isinstance(panx, Evaluate) and panx.selection == ("panx", "validation")
    run_stage(panx, tmp_path / "stage", tmp_path / "panx", source)
    found = json.loads((tmp_path / "panx" / "metrics.json").read_text())
    assert found["selection"] == pytest.approx(max(score for _, score in history["dev"]))
    run_stage(tatoeba, folder(family), tmp_path / "tatoeba", source)
    found = json.loads((tmp_path / "tatoeba" / "metrics.json").read_text())
    assert found["retrieval"]["layer"] == 2 and set(found["languages"]) >= {"de", "sw"}


@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_masked_lm_trains_the_families_that_have_a_head(
    family: str, folder: Callable[[str], Path], source: Source, tmp_path: Path
) -> None:
    recipe: dict[str, Any] = {"intermediate": ("pawsx",), "mlm_ratio": 0.5, "epochs": 1.0, "lr": 1e-3, "scale": 0.1}
    config = stages_of(source, str(folder(family)), **recipe)["intermediate"]
    assert isinstance(config, Intermediate)
    summary = run_stage(replace(config, steps=10), folder(family), tmp_path / "stage", source)
    assert summary["steps_of_task"]["mlm"] > 0
    before, after = (load_lm(f).cls.state_dict() for f in (folder(family), tmp_path / "stage" / "encoder"))
    assert not torch.equal(before["predictions.transform.dense.weight"], after["predictions.transform.dense.weight"])


@pytest.mark.parametrize("family", [*ALL])
def test_dropout_is_set_under_the_name_that_the_family_has_for_it(family: str, folder: Callable[[str], Path]) -> None:
    tokens, mask = torch.arange(20, 60).reshape(2, 20), torch.ones(2, 20, dtype=torch.bool)
    differs = []
    for dropout in (0.0, 0.5):
        net = Net(load_lm(folder(family), dropout), {}, seed=0).train()
        torch.manual_seed(1)
        with torch.no_grad():
            differs.append(not torch.equal(net.hidden(tokens, mask), net.hidden(tokens, mask)))
    assert differs == [False, True]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_whole_study_of_an_encoder_without_masked_lm(
    folder: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from study.launch import main

    options = "--space intermediate_tasks --scale 0.02 --targets tatoeba,panx,xquad --intermediate mnli --profile small"
    study = [*options.split(), "--encoder", str(folder("mt5")), "--name", "mt5", "--home", str(tmp_path)]
    assert main([*study, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["trials"]["complete"] == 2 and report["failures"] == []
    for row in report["matrix"]:
        assert set(row["targets"]) == {"tatoeba", "panx", "xquad"} and row["average"] is not None


# --- what is refused, before anything trains ---


@pytest.mark.parametrize("family", T5S)
def test_masked_lm_is_refused_where_there_is_no_head(
    family: str, folder: Callable[[str], Path], source: Source
) -> None:
    where = folder(family)
    with pytest.raises(BadInput, match=f"'{family}' model, which has no masked-LM head"):
        load_lm(where, with_head=True)
    recipe: dict[str, Any] = {"intermediate": ("mnli",), "epochs": 1.0, "lr": 1e-3}
    with pytest.raises(BadInput, match="no masked-LM head: train it without masked LM"):
        stages_of(source, str(where), mlm_ratio=0.25, **recipe)
    assert "intermediate" in stages_of(source, str(where), **recipe)


def test_masked_lm_is_refused_without_a_pretrained_head(folder: Callable[[str], Path], tmp_path: Path) -> None:
    load_lm(folder("deberta-v2")).base_model.save_pretrained(tmp_path / "bare")
    load_lm(tmp_path / "bare")
    with pytest.raises(BadInput, match="no pretrained LM head"):
        load_lm(tmp_path / "bare", with_head=True)
    values = json.loads((folder("deberta-v2") / "config.json").read_text())
    (tmp_path / "bare" / "config.json").write_text(json.dumps(values | {"legacy": False}))
    with pytest.raises(BadInput, match="head of a kind that is not supported"):
        load_lm(tmp_path / "bare", with_head=True)


def test_other_architectures_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import transformers as hf

    shape: dict[str, Any] = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 40}
    hf.GPT2LMHeadModel(hf.GPT2Config(**shape)).save_pretrained(tmp_path)
    said = "is a 'gpt2' model, which is not supported \\(supported: xlm-roberta, .*mt5"
    for refuse in (resolve, load_lm):
        with pytest.raises(BadInput, match=said):
            refuse(str(tmp_path))


def test_a_tokenizer_that_cannot_be_read_is_refused(
    folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family_model("mt5", 50).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="has no tokenizer"):
        load_tokenizer(tmp_path)
    with pytest.raises(BadInput, match="has no tokenizer"):
        resolve(str(tmp_path))
    (tmp_path / "spiece.model").write_bytes(b"pieces")
    monkeypatch.setattr("trainables.modeling.encoders.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="no tokenizer.json but spiece.model, which needs `pip install sentencepiece"):
        resolve(str(tmp_path))
    family_tokenizer("mt5").save_pretrained(tmp_path)
    assert resolve(str(tmp_path)) is not None
