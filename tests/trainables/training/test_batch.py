"""Batches: sharding, splitting and padding change no loss or prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables.catalogue import dataset
from trainables.encoding.encoded import Encoded
from trainables.errors import BadInput
from trainables.evaluation.predict import embed, predict, retrieval_layer
from trainables.evaluation.scoring import NonFiniteOutput, named_examples
from trainables.examples import Labelled, Rated, Text, Utterance, Words
from trainables.formats import encode
from trainables.modeling.memory import MAX_TOKENS
from trainables.modeling.model import Head, Net, load_lm
from trainables.sources import Source
from trainables.training.batch import Batch, collate, item_lengths
from trainables.training.loop import Device, mask_batch, special_ids
from trainables.training.schedule import generator

# One dataset of every kind, sentences and pairs apart.
KINDS = ("mnli", "sib200", "stsb", "commonsense_qa", "squad", "ccg", "xsid", "mlm")
JOINT = ("ask", "tell", "O", "B-last", "I-last")


def rows_of(name: str, source: Source) -> list[Any]:
    """Encode twenty English rows.

    Numbers and utterances are made from those of other datasets.
    """
    if name == "stsb":
        pairs = source.examples(dataset("mnli"), "en", "train", take=20)
        return [Rated(e.id, e.first, e.second, len(e.first) % 6) for e in pairs if isinstance(e, Labelled)]
    if name == "xsid":
        sentences = source.examples(dataset("ccg"), "en", "train", take=20)
        return [
            Utterance(e.id, e.words, ("O",) * (len(e.words) - 1) + ("B-last",), JOINT[len(e.words) % 2])
            for e in sentences
            if isinstance(e, Words)
        ]
    return source.examples(dataset(name), "en", "train", take=20)


@pytest.fixture(scope="module")
def encoded(source: Source, tokenizer: Any) -> Mapping[str, Encoded]:
    made = {}
    for name in KINDS:
        # Short enough that contexts are cut into several windows.
        options: dict[str, Any] = {"max_length": 40, "doc_stride": 10, "max_query": 24, "labels": JOINT}
        made[name] = encode(dataset(name).kind, rows_of(name, source), tokenizer, **options)
    return made


@pytest.fixture(scope="module")
def net(nano: Path, source: Source) -> Net:
    labels = {name: JOINT if name == "xsid" else tuple(source.labels(dataset(name))) for name in KINDS}
    heads = {name: Head(dataset(name).kind, labels[name]) for name in KINDS}
    return Net(load_lm(nano), heads, seed=0).eval()


def batch_of(name: str, encoded: Mapping[str, Encoded], tokenizer: Any, items: np.ndarray | None = None) -> Batch:
    rows = encoded[name]
    batch = collate(rows, np.arange(rows.num_items) if items is None else items, tokenizer.pad_token_id)
    if name == "mlm":
        batch = mask_batch(batch, special_ids(tokenizer), tokenizer, generator(0, "mask", 0))
    return batch


def loss(net: Net, name: str, batch: Batch) -> float:
    with torch.no_grad():
        return float(net.loss(name, batch.tensors(torch.device("cpu")), batch.rows_per_item))


def rows_in(batches: list[Batch]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Collect (tokens, labels) of every row without padding, sorted.

    Kinds with items have one label per item.
    """
    found = []
    for b in batches:
        for row, mask in enumerate(b.mask):
            labels = b.labels[row][mask] if b.labels.shape == b.tokens.shape else b.labels[row // b.rows_per_item]
            found.append((tuple(b.tokens[row][mask].tolist()), tuple(np.ravel(labels).tolist())))
    return sorted(found)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("world", [1, 2, 3, 64])
def test_shares_partition_a_batch(name: str, world: int, encoded: Mapping[str, Encoded], tokenizer: Any) -> None:
    batch = batch_of(name, encoded, tokenizer)
    shares = [batch.share(rank, world) for rank in range(world)]
    assert rows_in(shares) == rows_in([batch])
    assert {share.count for share in shares} == {batch.count}
    sizes = [len(share.tokens) // share.rows_per_item for share in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("budget", [1, 500, 10**9])
def test_pieces_partition_a_batch(name: str, budget: int, encoded: Mapping[str, Encoded], tokenizer: Any) -> None:
    batch = batch_of(name, encoded, tokenizer)
    pieces = list(batch.pieces(budget))
    assert rows_in(pieces) == rows_in([batch])
    assert all(piece.tokens.size <= budget or len(piece.tokens) == piece.rows_per_item for piece in pieces)
    assert all(piece.mask.any(0).all() for piece in pieces)  # no column of nothing but padding is left


@pytest.mark.parametrize("name", KINDS)
def test_losses_of_the_parts_sum_to_the_loss_of_the_whole(
    name: str, net: Net, encoded: Mapping[str, Encoded], tokenizer: Any
) -> None:
    batch = batch_of(name, encoded, tokenizer)
    whole = loss(net, name, batch)
    assert whole > 0
    assert sum(loss(net, name, piece) for piece in batch.pieces(400)) == pytest.approx(whole, rel=1e-5)
    parts = [piece for rank in range(3) for piece in batch.share(rank, 3).pieces(700)]
    assert sum(loss(net, name, piece) for piece in parts) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_padding_never_leaks(name: str, net: Net, encoded: Mapping[str, Encoded], tokenizer: Any) -> None:
    batch = batch_of(name, encoded, tokenizer)
    noise = generator(0, "noise").integers(5, len(tokenizer), batch.tokens.shape)
    dirty = replace(batch, tokens=np.where(batch.mask, batch.tokens, noise))
    assert not batch.mask.all()
    assert loss(net, name, dirty) == pytest.approx(loss(net, name, batch), rel=1e-5)


def test_counts_are_items_or_scored_tokens(encoded: Mapping[str, Encoded], tokenizer: Any) -> None:
    squad, tags = encoded["squad"], encoded["ccg"]
    assert squad.num_items > 20  # windows
    assert batch_of("squad", encoded, tokenizer).count == squad.num_items
    choice = batch_of("commonsense_qa", encoded, tokenizer)
    assert (choice.count, len(choice.tokens), choice.rows_per_item) == (20, 100, 5)
    assert batch_of("ccg", encoded, tokenizer).count == (tags.labels != -100).sum()
    assert batch_of("stsb", encoded, tokenizer).count == 20
    text = batch_of("mlm", encoded, tokenizer)
    assert text.count == (text.labels != -100).sum() > 0


def test_the_loss_of_utterances_is_the_mean_over_intents_plus_the_mean_over_tags(
    net: Net, encoded: Mapping[str, Encoded], tokenizer: Any
) -> None:
    batch = batch_of("xsid", encoded, tokenizer)
    tensors = batch.tensors(torch.device("cpu"))
    labels, cross_entropy = tensors["labels"], torch.nn.functional.cross_entropy
    with torch.no_grad():
        intents, tags = net("xsid", tensors["tokens"], tensors["mask"])
        expected = cross_entropy(intents, labels[:, 0]) + cross_entropy(
            tags[:, 1:].flatten(0, 1), labels[:, 1:].flatten()
        )
    assert loss(net, "xsid", batch) / batch.count == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_of_numbers_is_their_mean_squared_error(
    net: Net, encoded: Mapping[str, Encoded], tokenizer: Any, machine: Device
) -> None:
    batch, gold = batch_of("stsb", encoded, tokenizer), encoded["stsb"].labels
    predicted = predict(net, "stsb", encoded["stsb"], tokenizer.pad_token_id, machine)
    assert predicted.shape == (20, 1)
    expected = float(np.mean((predicted[:, 0] - gold) ** 2))
    assert loss(net, "stsb", batch) / batch.count == pytest.approx(expected, rel=1e-4)


def test_a_batch_follows_the_order_of_its_items(encoded: Mapping[str, Encoded], tokenizer: Any) -> None:
    items = np.array([3, 0, 3])
    rows = encoded["commonsense_qa"]
    batch = batch_of("commonsense_qa", encoded, tokenizer, items)
    assert np.array_equal(batch.labels, rows.labels[items])
    expected = [rows.tokens[rows.starts[r] : rows.starts[r + 1]] for i in items for r in range(5 * i, 5 * i + 5)]
    assert all(np.array_equal(t[m], e) for t, m, e in zip(batch.tokens, batch.mask, expected, strict=True))
    assert batch.tokens.shape[1] == item_lengths(rows)[items].max()


def test_masked_lm_hides_only_ordinary_tokens(encoded: Mapping[str, Encoded], tokenizer: Any) -> None:
    clean = collate(encoded["mlm"], np.arange(20), tokenizer.pad_token_id)
    masked = batch_of("mlm", encoded, tokenizer)
    chosen = masked.labels != -100
    assert np.array_equal(masked.labels[chosen], clean.tokens[chosen])
    assert np.array_equal(masked.tokens[~chosen], clean.tokens[~chosen])
    assert not np.isin(clean.tokens[chosen], tokenizer.all_special_ids).any()
    assert not chosen[~clean.mask].any()


def test_masked_lm_loss_equals_the_full_computation(net: Net, encoded: Mapping[str, Encoded], tokenizer: Any) -> None:
    tensors = batch_of("mlm", encoded, tokenizer).tensors(torch.device("cpu"))
    with torch.no_grad():
        logits = net.lm(input_ids=tensors["tokens"], attention_mask=tensors["mask"]).logits
        full = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tensors["labels"].flatten(), reduction="sum")
        assert float(net.loss("mlm", tensors)) == pytest.approx(float(full), rel=1e-6)


def test_a_batch_without_a_masked_token_has_loss_0_and_gradients(net: Net, encoded: Mapping[str, Encoded]) -> None:
    batch = collate(encoded["mlm"], np.arange(3), 1)
    nothing = net.loss("mlm", batch.tensors(torch.device("cpu")))
    nothing.backward()  # type: ignore[no-untyped-call]
    assert float(nothing.detach()) == 0.0
    assert all(p.grad is not None and not p.grad.any() for p in net.parameters_of("mlm"))
    net.zero_grad()


@pytest.mark.parametrize("name", [name for name in KINDS if name != "mlm"])
def test_predictions_do_not_depend_on_the_batch_budget(
    name: str, net: Net, encoded: Mapping[str, Encoded], machine: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for budget in (1, 300, 10**9):
        monkeypatch.setitem(MAX_TOKENS, "cpu", budget)
        found.append(predict(net, name, encoded[name], 1, machine))
    by_token = dataset(name).kind in ("span", "words", "intent")
    assert len(found[0]) == (len(encoded[name].tokens) if by_token else encoded[name].num_items)
    for other in found[1:]:
        assert other.dtype == found[0].dtype
        np.testing.assert_allclose(other, found[0], rtol=1e-4, atol=1e-5)


def test_predictions_are_those_of_each_item_alone(net: Net, encoded: Mapping[str, Encoded], machine: Device) -> None:
    rows = encoded["commonsense_qa"]
    batched = predict(net, "commonsense_qa", rows, 1, machine)
    for item in (0, 7, 19):
        tensors = collate(rows, np.array([item]), 1).tensors(torch.device("cpu"))
        with torch.no_grad():
            alone = net("commonsense_qa", tensors["tokens"], tensors["mask"]).reshape(-1).numpy()
        np.testing.assert_allclose(batched[item], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_outputs_that_are_not_finite_stop_the_evaluation_of_any_format(
    value: float, net: Net, encoded: Mapping[str, Encoded], machine: Device
) -> None:
    table = net.lm.get_input_embeddings().weight.data
    for name, rows in encoded.items():
        of_token = np.repeat(rows.example, np.diff(rows.starts[:: rows.rows_per_item]))
        token, example = next(
            (token, int(of_token[rows.tokens == token][0]))
            for token in np.unique(rows.tokens)
            if len(set(of_token[rows.tokens == token])) == 1 and of_token[rows.tokens == token][0] > 2
        )
        examples = [Text(f"id {i}", "") for i in range(rows.num_examples)]
        before = table[token].clone()
        table[token] = value
        try:
            with pytest.raises(NonFiniteOutput, match=f"^xtreme/sw: example 'id {example}': the model's outputs are"):
                with named_examples("xtreme", "sw", examples):
                    predict(net, name, rows, 1, machine) if name != "mlm" else embed(net, rows, [2], 1, machine)
        finally:
            table[token] = before


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_vectors_are_the_mean_of_a_hidden_layer_specials_included(
    layer: int, net: Net, encoded: Mapping[str, Encoded], machine: Device
) -> None:
    rows = encoded["mlm"]
    vectors = embed(net, rows, [layer], 1, machine)[0]
    every_layer = embed(net, rows, [0, 1, 2], 1, machine)
    first_states = embed(net, rows, [layer], 1, machine, "cls")[0]
    tensors = collate(rows, np.arange(rows.num_items), 1).tensors(torch.device("cpu"))
    with torch.no_grad():
        every = net.encoder(
            input_ids=tensors["tokens"], attention_mask=tensors["mask"], output_hidden_states=True
        ).hidden_states
    assert len(every) == 3  # embeddings and two layers: a cut encoder is whole again afterwards
    expected = [state[mask].mean(0).numpy() for state, mask in zip(every[layer], tensors["mask"], strict=True)]
    np.testing.assert_allclose(vectors, np.stack(expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(every_layer[layer], vectors, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first_states, every[layer][:, 0].numpy(), rtol=1e-4, atol=1e-5)


def test_retrieval_reads_a_layer_two_thirds_of_the_way_up() -> None:
    assert [retrieval_layer(n) for n in (24, 12, 6, 3, 2, 1)] == [14, 8, 4, 2, 1, 1]


def test_a_layer_that_is_not_there_is_an_error(net: Net, encoded: Mapping[str, Encoded], machine: Device) -> None:
    with pytest.raises(BadInput, match=r"layer 3 is outside 0\.\.2"):
        embed(net, encoded["mlm"], [3], 1, machine)
