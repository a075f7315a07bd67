"""One trial: a Tune function with a Ray Train trainer.

The trainer's workers run the missing stages in order.
"""

from __future__ import annotations

import json
import os
import platform
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from study.execution.ray_cluster import DRIVER_SHARE
from study.execution.trial_failure import explain
from study.execution.worker_failures import (
    GROUP_WAIT_S,
    is_short_of_memory,
    retry_on_worker_loss,
    wait_and_broadcast,
)
from study.planning.plan import Node, Plan, missing
from study.record.heartbeat import Heartbeat, file_of
from study.results.selection import scores_of
from study.sanitize import redact
from study.store.store import Store
from trainables.catalogue import Dataset, dataset, register
from trainables.configs import all_data

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer
    from ray.tune import PlacementGroupFactory

    from trainables.context import Context
    from trainables.sources import Source

Progress = dict[str, Any]  # a trial's report to Tune
Report = Callable[[Progress], None]


@dataclass(frozen=True)
class TrialJob:
    """Arguments of a trial's workers: literals and frozen values only."""

    plan: Plan
    home: str
    source: str
    log: str  # file that collects one line per stage run
    selection: str
    workers: int
    gpu: bool
    cpus: int
    checkpoint_every: float = 60.0  # seconds
    store: str = ""  # URL of finished stages, beside the home
    memory: int = 0  # estimated bytes of one worker
    tokens_frac: float = 1.0  # share of the usual tokens that go through the model at once
    datasets: tuple[Dataset, ...] = ()  # datasets that are registered at run time


MIN_TOKENS_FRAC = 1 / 8  # below it weights and optimizer are nearly all of a trial's memory, and steps only get slower


def with_less_memory(job: TrialJob, most: float) -> TrialJob:
    """Return the job after a trial was killed for lack of memory.

    It has half the tokens at once and requests twice the memory from Ray, so that fewer trials run beside it. After a second
    time it requests all the memory of a node (`most`, bytes; 0 if not known).
    """
    asked = most if job.tokens_frac < 1 else 2 * job.memory
    frac = max(job.tokens_frac / 2, MIN_TOKENS_FRAC)
    return replace(job, tokens_frac=frac, memory=max(job.memory, int(min(asked, most) if most else asked)))


def stop_file(log: Path) -> Path:
    """Return the path of the stop file.

    While it exists, the launch's workers save their state and stop.
    """
    return log.with_suffix(".stop")


def runs_in_process(workers: int, gpu: bool) -> bool:
    """Return whether a trial's own process is the worker.

    This is so for one worker on a CPU: it starts sooner and takes less memory than a group of one.
    """
    return workers == 1 and not gpu


def train_worker(config: dict[str, Any]) -> None:
    """Run a trial's stages in a Ray Train worker."""
    import ray.train
    from ray.train.torch import get_device

    try:
        report = partial(_report_with, ray.train.report, config["retries"])
        run_stages(config["job"], report, str(get_device()))
    except Exception as error:
        error.add_note(redact(traceback.format_exc()))  # Train passes the exception on, but not its traceback
        raise


def _report_with(report: Report, retries: int, values: Progress) -> None:
    report({**values, "retries": retries})


def run_stages(job: TrialJob, report: Report, device_name: str = "cpu") -> None:
    """Run the plan's missing stages, and report after every target.

    All workers call this with the same job.
    """
    import torch

    from trainables.context import Context
    from trainables.modeling import memory
    from trainables.sources import open_source
    from trainables.training.checkpoint import Checkpoints, Stopped
    from trainables.training.distributed import ProcessGroup
    from trainables.training.loop import Device

    for own in job.datasets:
        register(own)
    device = torch.device(device_name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(job.cpus)
    _quiet()
    stop = partial(os.path.exists, stop_file(Path(job.log)))
    machine = Device(device, ProcessGroup(), stop, job.tokens_frac)
    home = Path(job.home)
    store = Store(home, job.store)
    # Only the first worker checks the store, and copies the parents of stages from a URL: a network file system caches on
    # each machine for a while that a file was not found.
    lacking = machine.comm.from_first(missing(job.plan, store.fetch) if machine.comm.is_first else None)
    needed, log = {node.address for node in lacking}, Path(job.log)
    shows = machine.comm.is_first and bool(lacking)
    heartbeat = Heartbeat(file_of(log.parent, job.plan.recipe.address), lacking, log) if shows else None
    on_progress = heartbeat.on_progress if heartbeat else lambda *_: None
    robust = job.plan.recipe.robust
    synonyms = robust.synonyms if robust else ""
    context = Context(open_source(job.source), home / "encoded", machine, on_progress, synonyms=synonyms)
    done = 0
    ends = {addresses[-1] for addresses in job.plan.evaluations().values()}
    with heartbeat or nullcontext():
        for node in job.plan.nodes:
            if node.address in needed:
                if heartbeat:
                    heartbeat.enter(node)
                if machine.comm.from_first(stop()):
                    raise Stopped(f"stopped cleanly before {node.label}")
                checkpoints = Checkpoints(home / "checkpoints" / node.address, machine.comm, job.checkpoint_every, stop)
                execute_stage(node, store, replace(context, checkpoints=checkpoints), log)
                memory.release()
            if node.address in ends:  # the last evaluation of a target
                done += 1
                report(_progress(job.plan, done, store, job.selection))


def execute_stage(node: Node, store: Store, context: Context, log: Path) -> None:
    """Compute one stage, unless another trial finishes it first.

    The first worker claims and publishes it.
    """
    from trainables.modeling import memory
    from trainables.stages import run

    comm = context.machine.comm
    started = time.time()
    memory.reset_peak()
    before = memory.resident()
    with ExitStack() as stack:
        folder = wait_and_broadcast(comm, lambda: str(stack.enter_context(store.claim(node.address)) or ""))
        if folder:
            summary = run(node.config, _start_of(node, store, comm.is_first), Path(folder), context)
            if comm.is_first:
                info = {
                    "kind": node.config.kind,
                    "label": node.label,
                    "seed": node.seed,
                    "config": asdict(node.config),
                    "parent": node.parent,
                    "rows": _origins(node, context.source),
                    "summary": summary,
                    "seconds": round(time.time() - started, 3),
                    "machine": {**_machine(context), "peak_bytes": memory.peak(), "resident_bytes_before": before},
                }
                store.publish(node.address, Path(folder), info)
                if context.checkpoints:
                    context.checkpoints.clear()
                shared = {"label": node.label, "seconds": info["seconds"]}
                _log(log, {"address": node.address, "kind": node.config.kind, "steps": summary["steps"], **shared})
        comm.from_first(None)  # a barrier: the other workers wait until the stage is visible


def _origins(node: Node, source: Source) -> dict[str, str]:
    """Return the origin of each part of a stage's rows.

    It is repository, commit and files, or the mirror's file.
    """
    parts = [key.split("/") for key in all_data(node.config)]
    return {"/".join((d, language, split)): source.origin(dataset(d), language, split) for d, language, split in parts}


def _start_of(node: Node, store: Store, check: bool) -> Path | None:
    """Return the folder of a stage's initial weights.

    Returns:
        None for pretraining.
    """
    if node.weights:
        return node.weights.folder()
    if not node.parent:
        return None
    if check and not store.fetch(node.parent):
        raise FileNotFoundError(f"the stage {node.parent} that {node.label!r} starts from is gone or damaged")
    return store.folder(node.parent)


def _progress(plan: Plan, targets_done: int, store: Store, selection: str) -> Progress:
    """Make a trial's report to Tune.

    `score` is the mean over the targets used for selection, and `rung` their number.
    """
    scores = scores_of(dict(list(plan.evaluations().items())[:targets_done]), store, selection)
    return {"targets_done": targets_done, "rung": len(scores), "score": float(np.mean(scores)) if scores else 0.0}


def tune_trial(config: dict[str, Any], *, storage: str) -> None:
    """Run a trial as a Tune trainable.

    The stages run on a group of Ray Train workers, or in this process if it is one worker without a GPU. A failure is
    reported as data, so that its reason and traceback reach the record, and Tune continues with the next trial. Lost workers
    and nodes are no failure within the limits of `worker_failures`: finished stages stay, and the rest is retried.
    """
    from ray import tune

    job: TrialJob = config["job"]
    has, retries = Store(Path(job.home), job.store).has, 0

    def fit(lost: int) -> None:
        nonlocal retries, job
        retries = lost
        try:
            _trainer(job, storage, lost).fit()
        except Exception as error:
            if is_short_of_memory(str(error)):
                job = with_less_memory(job, largest_memory() / job.workers)
            raise

    try:
        if runs_in_process(job.workers, job.gpu) or not missing(job.plan, has):
            run_stages(job, tune.report)
        else:
            retry_on_worker_loss(fit, lambda: len(missing(job.plan, has)), lambda: _has_room(job))
    except Exception as error:  # any error becomes the trial's recorded reason; nothing is decided here
        failed = {"failed": explain(error), "retries": retries}
        tune.report({**failed, "targets_done": 0, "rung": 0, "score": float("nan")})


def largest_memory() -> float:
    """Return the largest memory of a node.

    Returns:
        0 if not known.
    """
    return max((float(node.get("memory", 0)) for node in _nodes()), default=0.0)


def _nodes() -> list[dict[str, float]]:
    """Return the resources of every live node."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _trainer(job: TrialJob, storage: str, lost: int) -> TorchTrainer:
    """Make the trainer of one attempt.

    Its name is new each time, because Train resumes a run of the same name.
    """
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    # Train's own retries are off: they do not distinguish a lost worker from a bad row, and wait for a node without end.
    once = ray.train.FailureConfig(
        max_failures=0,
        controller_failure_limit=0,  # type: ignore[call-arg]  # the types are of Train's first version
        max_preemption_failures=0,
    )
    return TorchTrainer(
        train_worker,
        train_loop_config={"job": job, "retries": lost},
        torch_config=TorchConfig(timeout_s=GROUP_WAIT_S),
        scaling_config=ray.train.ScalingConfig(
            num_workers=job.workers, use_gpu=job.gpu, resources_per_worker=resources_of(job)
        ),
        run_config=ray.train.RunConfig(
            name=f"{job.plan.recipe.address[:16]}-{lost}",
            storage_path=storage,
            callbacks=[TuneReportCallback()],  # type: ignore[list-item, no-untyped-call]
            failure_config=once,
        ),
    )


def resources_of(job: TrialJob) -> dict[str, float]:
    """Return the resources that one worker requests from Ray."""
    asked: dict[str, float] = {"CPU": job.cpus, "GPU": 1} if job.gpu else {"CPU": job.cpus}
    return asked | ({"memory": job.memory} if job.memory else {})


def own_share(job: TrialJob) -> PlacementGroupFactory:
    """Return the resources of the trial's own process.

    It only waits if there is a group of workers.
    """
    from ray import tune

    return tune.PlacementGroupFactory([resources_of(job) if runs_in_process(job.workers, job.gpu) else DRIVER_SHARE])


def _has_room(job: TrialJob) -> bool:
    """Return whether idle nodes could hold the trial's workers."""
    places = (min(int(node.get(name, 0) // share) for name, share in resources_of(job).items()) for node in _nodes())
    return sum(places) >= job.workers


def _machine(context: Context) -> dict[str, str | int]:
    import torch

    return {
        "host": platform.node(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": str(context.machine.device),
        "workers": context.machine.comm.world,
    }


def _log(path: Path, values: dict[str, object]) -> None:
    """Append one line to the log of stages.

    It is short enough to be atomic with concurrent writers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        file.write(json.dumps(values) + "\n")


def _quiet() -> None:
    """Silence transformers.

    Progress bars of many workers would flood the driver's terminal.
    """
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
