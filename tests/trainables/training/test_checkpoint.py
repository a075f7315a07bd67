"""A resumed phase ends bit-identical to an uninterrupted one."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random
from threading import Barrier
from typing import Any

import pytest
import torch
from safetensors import safe_open

from tests.small import files_of, run_stage, stages_of
from trainables.configs import StageConfig, Target
from trainables.objectives import Robust
from trainables.sources import Source
from trainables.training import checkpoint, loop
from trainables.training.checkpoint import KEPT, Checkpoints, Stopped
from trainables.training.distributed import ProcessGroup

MIXED: dict[str, Any] = {"intermediate": ("mnli", "squad"), "mixing_limit": 8192, "epochs": 1.0, "lr": 5e-4}
# One target of every format that is trained, by the set that it is trained on.
TARGETS = {"labelled": "sib200", "span": "xquad", "words": "panx", "choice": "xcopa", "intent": "mtop"}
KILLS = 5


class Killed(RuntimeError):
    """Stand-in for anything that ends a process."""


def weights(folder: Path) -> str:
    """Hash everything that a stage left into one SHA-256.

    That is weights, heads, tokenizer, and the history with its decisions.
    """
    found = hashlib.sha256()
    for name, content in files_of(folder).items():
        found.update(name.encode() + b"\0" + content)
    return found.hexdigest()


def whole(config: StageConfig, init: Path | None, out: Path, source: Source) -> tuple[str, int]:
    """Return the digest of the uninterrupted phase, and its steps."""
    steps = run_stage(config, init, out, source)["steps"]
    return weights(out), int(steps)


def interrupted(config: StageConfig, init: Path | None, out: Path, source: Source, kills: list[int]) -> str:
    """Return the digest of a phase killed at each of these steps once."""
    left = sorted(kills)
    begun = []

    def on_progress(step: int, steps: int, loss: float, tokens: int) -> None:
        if loss != loss:  # the call at the start
            begun.append(step)
        elif left and step >= left[0]:
            del left[0]
            raise Killed

    for attempt in range(len(kills) + 1):
        folder = out / str(attempt)
        checkpoints = Checkpoints(out / "checkpoints", ProcessGroup(), every=0.0)
        try:
            run_stage(config, init, folder, source, on_progress, checkpoints)
            break
        except Killed:
            pass
    assert not left and begun[0] == 0 and begun[-1] > 0, "it began anew"
    return weights(folder)


@pytest.fixture(autouse=True)
def _every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow a checkpoint after any step."""
    monkeypatch.setattr(loop, "CHECK_EVERY", 1)


def check(config: StageConfig, init: Path | None, tmp_path: Path, source: Source) -> None:
    expected, steps = whole(config, init, tmp_path / "whole", source)
    assert steps > KILLS
    kills = Random(config.kind).sample(range(2, steps + 1), KILLS)
    assert interrupted(config, init, tmp_path / "broken", source, kills) == expected


@pytest.mark.slow
def test_pretraining(source: Source, machine: Any, tmp_path: Path) -> None:
    check(stages_of(source, "pretrain:nano", scale=0.05)["pretrain"], None, tmp_path, source)


@pytest.mark.slow
def test_a_mixture_with_masked_lm(source: Source, nano: Path, tmp_path: Path) -> None:
    stages = stages_of(source, str(nano), targets=("sib200",), mlm_ratio=0.25, scale=0.1, **MIXED)
    check(stages["intermediate"], nano, tmp_path, source)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS.values(), ids=TARGETS)
def test_a_target_of_every_format(name: str, source: Source, nano: Path, tmp_path: Path) -> None:
    stages = stages_of(source, str(nano), targets=(name,), scale=0.1)
    config = next(c for c in stages.values() if isinstance(c, Target))
    check(replace(config, task=replace(config.task, epochs=5.0)), nano, tmp_path, source)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adversarial", "random"])
def test_robust_training(method: str, source: Source, nano: Path, tmp_path: Path) -> None:
    robust = Robust(method=method, eps=0.1, steps=2, step_size=0.5)  # type: ignore[arg-type]
    stages = stages_of(source, str(nano), targets=("sib200",), scale=0.1, robust=robust)
    config = next(c for c in stages.values() if isinstance(c, Target))
    assert config.fit.robust == robust
    check(replace(config, task=replace(config.task, epochs=5.0)), nano, tmp_path, source)


def parts(value: float) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Make a net of one tied weight `value`, and an optimizer with moments."""
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    net[1].weight = net[0].weight
    optimizer = torch.optim.AdamW(net.parameters(), lr=1.0)
    for parameter in net.parameters():
        parameter.data.fill_(value)
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for parameter in net.parameters():
        parameter.data.fill_(value)
    return net, optimizer


def filled(folder: Path, steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder, ProcessGroup(), every=0.0)
    for step in range(1, steps + 1):
        checkpoints.maybe_save(step, *parts(float(step)), lambda step=step: {"losses": [step]})  # type: ignore[misc]
        checkpoints.every = 0.0  # writing takes its share of the time otherwise
    return checkpoints


def restored(checkpoints: Checkpoints) -> tuple[int, float, dict[str, Any]]:
    """Restore the latest checkpoint; return step, weight and values."""
    saved = checkpoints.latest()
    assert saved is not None
    net, optimizer = parts(-1.0)
    checkpoints.restore(saved, net, optimizer)
    return saved.step, float(net[1].weight[0, 0]), saved.values  # type: ignore[index]


def test_the_last_two_are_kept_and_a_torn_one_is_passed_over(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 4)
    files = sorted(tmp_path.iterdir())
    assert len(files) == KEPT
    assert restored(checkpoints) == (4, 4.0, {"losses": [4]})
    files[-1].write_bytes(files[-1].read_bytes()[:-1])
    assert restored(checkpoints) == (3, 3.0, {"losses": [3]})
    files[0].write_bytes(b"")
    assert checkpoints.latest() is None
    checkpoints.clear()
    assert not tmp_path.exists()


def test_moments_come_back_and_tied_weights_stay_tied(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 1)
    saved = checkpoints.latest()
    assert saved is not None
    with safe_open(saved.path, framework="pt") as file:
        assert "net.1.weight" not in file.keys(), "written once"  # noqa: SIM118
    (_, before), (net, optimizer) = parts(1.0), parts(5.0)
    optimizer.state.clear()
    checkpoints.restore(saved, net, optimizer)
    found, expected = (o.state_dict()["state"] for o in (optimizer, before))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[n][key], value) for n in expected for key, value in expected[n].items())
    assert net[0].weight is net[1].weight  # type: ignore[index]


def test_best_weights_lie_beside_the_checkpoints_that_go_with_them(tmp_path: Path) -> None:
    checkpoints = filled(tmp_path, 1)
    for step in (2, 3, 4):
        checkpoints.keep_best(parts(10.0 * step)[0])
        checkpoints.save(step, *parts(float(step)), {})
    checkpoints.keep_best(parts(50.0)[0])
    kept = sorted(tmp_path.glob("best-*"))
    assert len(kept) == 3, "of the two checkpoints that are kept, and of now"
    net, _ = parts(0.0)
    checkpoints.load_best(net)
    assert float(net[0].weight[0, 0]) == 50.0  # type: ignore[index]
    after = Checkpoints(tmp_path, ProcessGroup())
    assert restored(after)[0] == 4
    after.load_best(net)
    assert float(net[0].weight[0, 0]) == 40.0  # type: ignore[index]
    assert after.best is not None
    after.best.write_bytes(b"torn")
    assert restored(Checkpoints(tmp_path, ProcessGroup()))[0] == 3, (
        "a checkpoint without its best weights is no checkpoint"
    )


def test_without_a_folder_best_weights_are_kept_for_the_process_alone() -> None:
    checkpoints = Checkpoints(None, ProcessGroup())
    net, optimizer = parts(1.0)
    checkpoints.keep_best(net)
    checkpoints.maybe_save(1, net, optimizer, dict)
    other, _ = parts(2.0)
    checkpoints.load_best(other)
    assert float(other[0].weight[0, 0]) == 1.0 and checkpoints.latest() is None  # type: ignore[index]


def test_nothing_is_written_before_its_time(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "none", ProcessGroup(), every=3600.0)
    checkpoints.maybe_save(1, *parts(1.0), dict)
    assert not (tmp_path / "none").exists() and checkpoints.latest() is None


def test_a_stop_writes_the_state_first(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", ProcessGroup(), every=3600.0, stop=lambda: True)
    with pytest.raises(Stopped, match="after step 7"):
        checkpoints.maybe_save(7, *parts(7.0), dict)
    assert restored(checkpoints)[0] == 7


def test_a_checkpoint_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    checkpoints = Checkpoints(tmp_path / "file" / "c", ProcessGroup(), every=0.0)
    with pytest.raises(OSError, match="file"):
        checkpoints.maybe_save(1, *parts(1.0), dict)


class Threads(ProcessGroup):
    """Two workers that are threads of this process."""

    def __init__(self, rank: int, barrier: Barrier, box: list[Any]) -> None:
        self.on, self.rank, self.world, self.barrier, self.box = True, rank, 2, barrier, box

    def from_first(self, value: Any) -> Any:
        if self.is_first:
            self.box.append(value)
        self.barrier.wait()
        return self.box[-1]

    def gather(self, value: Any) -> list[Any]:
        self.barrier.wait()
        return [value, value]


def test_best_weights_stay_until_the_slowest_worker_has_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier, box = Barrier(2, timeout=30), list[Any]()
    first, second = (Checkpoints(tmp_path / "phase", Threads(rank, barrier, box)) for rank in (0, 1))
    nets = [torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)]
    first.keep_best(nets[0])
    read = checkpoint.copy_into

    def late(tensors: Any, path: Path) -> None:
        if tensors["weight"].data_ptr() == nets[1].weight.data_ptr():
            time.sleep(0.5)
        read(tensors, path)

    monkeypatch.setattr(checkpoint, "copy_into", late)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(second.load_best, nets[1])
        first.load_best(nets[0])
        first.clear()  # the end of the stage
        slow.result()
    assert torch.equal(nets[0].weight, nets[1].weight)
