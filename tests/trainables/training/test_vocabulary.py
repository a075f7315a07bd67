"""Training only the used embedding rows gives the same weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.small import run_stage, stages_of
from trainables import stages as stages_module
from trainables.configs import Intermediate, Target, TrainingConfig
from trainables.modeling.model import Head, Net, load_lm
from trainables.sources import Source
from trainables.training.schedule import rate_of
from trainables.training.vocabulary import Trimmed, decay_of, is_exact, trim

TABLE = "roberta.embeddings.word_embeddings.weight"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "encoder" / "model.safetensors") | load_file(folder / "heads.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["target", "intermediate"])
def test_the_weights_are_those_of_training_on_the_whole_table(
    kind: str, source: Source, nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed: dict[str, Any] = {"intermediate": ("mnli", "squad"), "mixing_limit": 8192, "epochs": 1.0, "lr": 5e-4}
    plan = stages_of(source, str(nano), targets=("panx",), scale=0.1, **mixed)
    wanted = Target if kind == "target" else Intermediate
    config = next(c for c in plan.values() if isinstance(c, wanted))
    config = replace(config, fit=replace(config.fit, weight_decay=0.1))
    made: list[Trimmed] = []

    def counted(net: Net, texts: Any) -> Trimmed | None:
        found = trim(net, texts)
        assert found is not None
        made.append(found)
        return found

    monkeypatch.setattr(stages_module, "trim", counted)
    trimmed = run_stage(config, nano, tmp_path / "trimmed", source)
    monkeypatch.setattr(stages_module, "trim", lambda net, texts: None)
    plain = run_stage(config, nano, tmp_path / "plain", source)
    assert trimmed == plain
    before, ours, theirs = (
        load_file(nano / "model.safetensors"),
        weights(tmp_path / "trimmed"),
        weights(tmp_path / "plain"),
    )
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=2e-5, msg=name)
    unused = np.setdiff1d(np.arange(len(theirs[TABLE])), made[0].used)
    assert 0 < len(unused) < len(theirs[TABLE])
    torch.testing.assert_close(ours[TABLE][unused], theirs[TABLE][unused], rtol=1e-6, atol=0)
    assert not torch.equal(theirs[TABLE][unused], before[TABLE][unused]), "the others decay"


def test_the_table_comes_back_tied_to_its_head(nano: Path) -> None:
    net = Net(load_lm(nano), {"a": Head("labelled", ("x", "y"))}, seed=0)
    names, whole = set(net.state_dict()), net.lm.get_input_embeddings().weight.detach().clone()
    trimmed = trim(net, [np.array([1]), np.array([7, 5, 7]), np.array([9])])
    assert trimmed is not None and trimmed.used.tolist() == [1, 5, 7, 9]
    table = net.lm.get_input_embeddings()
    assert table.weight.shape[0] == 4 and sum(p.shape == whole.shape for p in net.parameters()) == 0
    torch.testing.assert_close(table(torch.tensor([9, 1, 5])), whole[[9, 1, 5]])
    with pytest.raises(IndexError):
        table(torch.tensor([6]))
    with torch.no_grad():
        table.weight[1] = 3.0
    trimmed.restore(decay=0.5)
    assert set(net.state_dict()) == names and net.lm.get_output_embeddings().weight is table.weight
    assert table(torch.tensor([5]))[0, 0] == 3.0
    torch.testing.assert_close(table(torch.tensor([6]))[0], 0.5 * whole[6])


def test_decay_is_that_of_adamw() -> None:
    config = TrainingConfig(lr=0.1, weight_decay=0.2, warmup_frac=0.3)
    parameter = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = torch.optim.AdamW([parameter], lr=config.lr, weight_decay=config.weight_decay)
    for step in range(7):
        optimizer.param_groups[0]["lr"] = rate_of(config, step, 10)
        parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    assert float(parameter[0].detach()) == pytest.approx(decay_of(config, 7, 10), abs=1e-12)
    assert is_exact(config) and not is_exact(replace(config, optimizer="adam"))
    assert is_exact(replace(config, optimizer="adamax", weight_decay=0.0))
    assert decay_of(replace(config, optimizer="adamax", weight_decay=0.0), 7, 10) == 1.0
