"""Memory: estimates, budgets, sparse gradients of embeddings, cgroup limits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from study.execution.ray_cluster import capacity
from study.planning.encoder_weights import resolve, shape_of
from tests import ROOT
from tests.families import checkpoint
from trainables.errors import BadInput
from trainables.modeling import memory
from trainables.modeling.memory import MAX_TOKENS, MIN_TOKENS, Shape
from trainables.modeling.model import Head, LeanEmbedding, Net, load_lm

BASE = Shape(layers=12, width=768, inner=3072, heads=12, attended=768, vocabulary=250_002, positions=514)
LARGE = Shape(layers=24, width=1024, inner=4096, heads=16, attended=1024, vocabulary=250_002, positions=514)


def test_the_weights_of_published_shapes_are_counted() -> None:
    """XLM-R base has 278 million parameters, large 560 million (Conneau et al. 2020)."""
    assert BASE.parameter_bytes / 4 == pytest.approx(278e6, rel=0.01)
    assert LARGE.parameter_bytes / 4 == pytest.approx(560e6, rel=0.01)


@pytest.mark.parametrize("family", ["xlm-roberta", "roberta", "bert", "deberta-v2", "mt5", "t5", "xlm-roberta-xl"])
def test_sizes_are_read_from_the_config_of_every_family(family: str, tmp_path: Path) -> None:
    folder = checkpoint(family, tmp_path)
    shape, lm = shape_of(str(folder), resolve(str(folder))), load_lm(folder)
    assert shape is not None and shape == Shape.of(lm.config.to_dict())
    table = lm.get_input_embeddings()
    assert (shape.vocabulary, shape.width) == (table.num_embeddings, table.embedding_dim)
    matrices = {p.data_ptr(): p.numel() for p in lm.parameters() if p.dim() > 1}
    assert shape.parameter_bytes / 4 == pytest.approx(sum(matrices.values()), rel=0.35)


def test_a_larger_encoder_takes_fewer_tokens_at_once_and_more_memory() -> None:
    small = Shape(layers=3, width=128, inner=512, heads=4, attended=128, vocabulary=4000)
    assert small.tokens_at_once("cpu", 32) == MAX_TOKENS["cpu"] > BASE.tokens_at_once("cpu", 32) > MIN_TOKENS
    assert BASE.tokens_at_once("cpu", 32, text=True) < BASE.tokens_at_once("cpu", 32), (
        "logits over the vocabulary count"
    )
    assert BASE.tokens_at_once("cpu", 512) < BASE.tokens_at_once("cpu", 32), "attention grows with the square"
    assert BASE.tokens_at_once("cpu", 32, 0.5) == BASE.tokens_at_once("cpu", 32) // 2
    assert BASE.tokens_at_once("cpu", 32, 1e-9) == MIN_TOKENS
    assert BASE.trial_bytes(text=True) > BASE.trial_bytes() > small.trial_bytes()
    assert BASE.trial_bytes(text=True) > 4 * BASE.parameter_bytes


def test_the_table_in_the_docs_is_what_is_estimated() -> None:
    shapes = {
        "pocket": Shape(layers=3, width=128, inner=512, heads=4, attended=128, vocabulary=4000, positions=514),
        "12 x 384, 250,037 rows": Shape(
            layers=12, width=384, inner=1536, heads=12, attended=384, vocabulary=250_037, positions=512
        ),
        "XLM-R base": BASE,
        "XLM-R large": LARGE,
    }
    text = (ROOT / "docs" / "memory.md").read_text()
    for name, shape in shapes.items():
        sizes = (shape.parameter_bytes, shape.trial_bytes(), shape.trial_bytes(text=True))
        cells = [name, *(f"{size / 1e9:.1f} GB" for size in sizes), f"{shape.tokens_at_once('cpu', 128):,}"]
        assert f"| {' | '.join(cells)} |" in text


def test_memory_bounds_how_many_trials_run_at_once() -> None:
    resources = {"CPU": 9.0, "memory": 10e9}
    assert capacity(resources, 1) == (False, 8)
    assert capacity(resources, 1, int(3e9)) == (False, 3)
    assert capacity(resources, 2, int(3e9)) == (False, 1)
    assert capacity({"CPU": 9.0}, 1, int(3e9)) == (False, 8), "a cluster that does not say"
    with pytest.raises(BadInput, match=r"needs about 12.0 GB of memory, but 10.0 GB are available for trials"):
        capacity(resources, 1, int(12e9))


def test_the_gradient_of_an_embedding_is_pytorchs_own(nano: Path) -> None:
    def gradients(lean: bool) -> dict[str, torch.Tensor]:
        net = Net(load_lm(nano, dropout=0.0), {"a": Head("labelled", ("x", "y")), "mlm": Head("text", ())}, seed=0)
        table = net.lm.get_input_embeddings()
        assert isinstance(table, LeanEmbedding) and table.weight is net.lm.get_output_embeddings().weight
        if not lean:
            plain = nn.Embedding(1, 1, device="meta")
            plain.__dict__.update(table.__dict__)
            net.lm.set_input_embeddings(plain)
        rng = torch.Generator().manual_seed(1)
        for _ in range(2):  # two pieces of a batch
            tokens = torch.randint(5, 50, (4, 7), generator=rng)
            mask = torch.ones_like(tokens).bool()
            mask[:, 5:] = False
            tokens[~mask] = 1
            labels = torch.where(torch.arange(7) == 2, tokens, -100)
            batch = {"tokens": tokens, "mask": mask}
            net.loss("a", {**batch, "labels": torch.tensor([0, 1, 0, 1])}).backward()  # type: ignore[no-untyped-call]
            net.loss("mlm", {**batch, "labels": labels}).backward()  # type: ignore[no-untyped-call]
        return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}

    ours, theirs = gradients(True), gradients(False)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-5, atol=1e-6)


def test_a_peak_is_measured_anew_for_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SMALL_BYTES", 0)
    memory.reset_peak()
    block = bytearray(300 << 20)
    with_block = memory.peak()
    del block
    memory.release()
    memory.reset_peak()
    assert memory.peak() < with_block - (200 << 20)
    assert 0 < memory.resident() <= memory.peak()
