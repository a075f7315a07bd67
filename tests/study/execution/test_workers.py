"""Two real gloo processes train and score like one.

The number of workers belongs to the machine, not to a result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file

from tests.small import files_of, quiet, run_stage, small_source, stages_of
from trainables.configs import Intermediate, StageConfig, TaskTraining
from trainables.modeling.memory import MAX_TOKENS
from trainables.sources import Source
from trainables.training.distributed import ProcessGroup
from trainables.training.loop import Device, NonFiniteLoss

pytestmark = pytest.mark.slow  # about 20 s: two more processes import torch and transformers

STEPS = 56
BUDGET = 700  # padded tokens at once: batches and splits fall into pieces, of which each worker gets its own


@dataclass(frozen=True)
class Jobs:
    """Stages for the workers.

    The mixed stage, evaluations of a finished stage, and a stage whose loss diverges.
    """

    nano: Path
    finished: Path
    out: Path
    mixed: StageConfig
    evaluations: Mapping[str, StageConfig]
    exploding: StageConfig


def work(rank: int, world: int, jobs: Jobs) -> None:
    """Run one process of the group.

    The rendezvous uses a file, since a port that was free can be taken before it is used.
    """
    quiet()
    dist.init_process_group("gloo", init_method=f"file://{jobs.out}/rendezvous", rank=rank, world_size=world)
    MAX_TOKENS["cpu"] = BUDGET
    source = small_source()
    summary = run_stage(jobs.mixed, jobs.nano, jobs.out / "mixed", source)
    (jobs.out / f"summary{rank}.json").write_text(json.dumps(summary))
    for label, config in jobs.evaluations.items():
        run_stage(config, jobs.finished, jobs.out / label, source)
    try:
        run_stage(jobs.exploding, jobs.nano, jobs.out / "exploding", source)
    except NonFiniteLoss as error:
        (jobs.out / f"error{rank}.txt").write_text(str(error))
    dist.barrier()  # gloo aborts when a process exits while the other still communicates with it
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folders(nano: Path, source: Source, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the outputs of one worker and of two workers.

    Each has the folders `mixed`, `evaluate xnli` and `evaluate tatoeba`.
    """
    configs = stages_of(
        source,
        str(nano),
        targets=("xnli", "tatoeba"),
        intermediate=("commonsense_qa", "mnli", "squad"),
        mixing_limit=8192,
        mlm_ratio=0.25,
        epochs=1.0,
        lr=5e-4,
    )
    mixed = configs["intermediate"]
    assert isinstance(mixed, Intermediate) and mixed.mlm is not None
    # Odd batches, and a batch of one choice: the second worker then has nothing to do in that step.
    tasks = [("commonsense_qa", 1), ("mnli", 7), ("squad", 5)]
    mixed = replace(
        mixed,
        tasks=tuple(TaskTraining(name=n, batch=b, epochs=1, max_length=96, doc_stride=16) for n, b in tasks),
        mlm=replace(mixed.mlm, batch=9),
        steps=STEPS,
        fit=replace(mixed.fit, dropout=0.0, min_evals=1),
    )
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    evaluations = {f"evaluate {name}": configs[f"evaluate {name}"] for name in ("xnli", "tatoeba")}
    exploding = replace(mixed, fit=replace(mixed.fit, lr=1e30, warmup_frac=0.0, clip=1e30), steps=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MAX_TOKENS, "cpu", BUDGET)
        summary = run_stage(mixed, nano, one / "mixed", source)
        (one / "summary0.json").write_text(json.dumps(summary))
        finished = one / "target"
        run_stage(replace(configs["target mnli"], scale=0.1), nano, finished, source)
        for label, config in evaluations.items():
            run_stage(config, finished, one / label, source)
    mp.spawn(work, args=(2, Jobs(nano, finished, two, mixed, evaluations, exploding)), nprocs=2)  # type: ignore[no-untyped-call, attr-defined]
    return one, two


def history_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "mixed" / "history.json").read_text())
    return found


def test_two_workers_have_the_losses_of_one(folders: tuple[Path, Path]) -> None:
    one, two = (history_of(folder) for folder in folders)
    assert one["tasks"] == two["tasks"]
    assert set(one["tasks"]) == {"commonsense_qa", "mnli", "squad", "mlm"}
    assert len(one["losses"]) == len(two["losses"]) == STEPS
    np.testing.assert_allclose(one["losses"][:50], two["losses"][:50], rtol=0, atol=1e-4)
    assert two["dev"][0][1] == pytest.approx(one["dev"][0][1], abs=2)  # a prediction on the edge may fall the other way


def test_two_workers_end_with_the_weights_of_one(folders: tuple[Path, Path]) -> None:
    for name in ("encoder/model.safetensors", "heads.safetensors"):
        one, two = (load_file(folder / "mixed" / name) for folder in folders)
        assert one.keys() == two.keys()
        for weight, value in one.items():
            if weight == "squad.out.bias":
                continue  # it adds the same to every position: its gradient is rounding noise, which Adam scales up
            torch.testing.assert_close(two[weight], value, rtol=0, atol=1e-3)


def test_both_workers_return_one_summary(folders: tuple[Path, Path]) -> None:
    one, two = folders
    summaries = [json.loads((two / f"summary{rank}.json").read_text()) for rank in (0, 1)]
    assert summaries[0] == summaries[1] == json.loads((one / "summary0.json").read_text())


@pytest.mark.parametrize("label", ["evaluate xnli", "evaluate tatoeba"])
def test_two_workers_score_exactly_like_one(label: str, folders: tuple[Path, Path]) -> None:
    one, two = (files_of(folder / label) for folder in folders)
    assert set(one) == {"metrics.json", "scores.parquet", "predictions.parquet"}
    assert one == two


def test_both_workers_see_a_loss_that_is_not_finite(folders: tuple[Path, Path]) -> None:
    errors = [(folders[1] / f"error{rank}.txt").read_text() for rank in (0, 1)]
    assert errors[0] == errors[1]
    assert "at step" in errors[0] and "(task " in errors[0]


def test_one_process_is_a_group_of_one() -> None:
    comm = ProcessGroup()
    assert (comm.rank, comm.world, comm.is_first, comm.on) == (0, 1, True, False)
    assert comm.gather("x") == ["x"] and comm.from_first("x") == "x"
    assert float(comm.sum_number(torch.tensor(2.0))) == 2.0
    parameter = torch.nn.Parameter(torch.ones(1))
    comm.sum_gradients([parameter])
    assert parameter.grad is None
    assert Device(torch.device("cpu"), comm).autocast._enabled is False
