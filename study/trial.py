"""One trial: a Tune function that fits one Ray Train trainer, whose workers run the missing stages in order."""

from __future__ import annotations

import json
import os
import platform
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from study.beat import Beat, file_of
from study.plan import Node, Plan, missing
from study.store import Store
from trainables.catalogue import dataset
from trainables.scoring import main_score

Report = Callable[[dict[str, Any]], None]
PEER_LOST = ("Connection closed by peer", "Connection reset", "gloo", "NCCL")
NO_MEMORY = ("out of memory", "can't allocate memory")  # what torch says on a GPU and on a CPU


@dataclass(frozen=True)
class Job:
    """All that a trial's workers need; everything in it is a literal or a frozen value."""

    plan: Plan
    home: str
    source: str
    log: str  # file that collects one line per stage run
    selection: str
    workers: int
    gpu: bool
    cpus: int


def alone(workers: int, gpu: bool) -> bool:
    """One worker on a CPU needs no group: it is the trial's own process, which starts sooner and takes less memory."""
    return workers == 1 and not gpu


def train_worker(config: dict[str, Any]) -> None:
    """The function that every Ray Train worker of a trial runs."""
    import ray.train
    from ray.train.torch import get_device

    try:
        run_stages(config["job"], ray.train.report, str(get_device()))
    except Exception as error:
        error.add_note(traceback.format_exc())  # Train hands the exception over, but not its traceback
        raise


def run_stages(job: Job, report: Report, device_name: str = "cpu") -> None:
    """Runs what the plan lacks and reports after every target; all workers call this with the same job."""
    import torch

    from trainables.comm import Comm
    from trainables.context import Context
    from trainables.loop import Machine
    from trainables.sources import open_source

    device = torch.device(device_name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(job.cpus)
    _quiet()
    machine = Machine(device, Comm())
    home = Path(job.home)
    store = Store(home)
    lacking = machine.comm.from_first(missing(job.plan, store.has))
    needed, log = {node.address for node in lacking}, Path(job.log)
    shows = machine.comm.is_first and bool(lacking)
    beat = Beat(file_of(log.parent, job.plan.recipe.address), lacking, log) if shows else None
    watch = beat.watch if beat else lambda *_: None
    context = Context(open_source(job.source), home / "encoded", machine, watch)
    done = 0
    ends = {addresses[-1] for addresses in job.plan.evaluations().values()}
    with beat or nullcontext():
        for node in job.plan.nodes:
            if node.address in needed:
                if beat:
                    beat.enter(node)
                run_node(node, store, context, log)
            if node.address in ends:  # the last evaluation of a target
                done += 1
                report(_progress(job.plan, done, store, job.selection))


def run_node(node: Node, store: Store, context: Any, log: Path) -> None:
    """Makes one stage, unless another trial finishes it first; the first worker claims and publishes."""
    from trainables.stages import run

    comm = context.machine.comm
    started = time.time()
    with ExitStack() as stack:
        work = stack.enter_context(store.claim(node.address)) if comm.is_first else None
        folder = comm.from_first(str(work) if work else "")
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
                    "machine": _machine(context),
                }
                store.publish(node.address, Path(folder), info)
                shared = {"label": node.label, "seconds": info["seconds"]}
                _log(log, {"address": node.address, "kind": node.config.kind, "steps": summary["steps"], **shared})
        comm.from_first(None)  # the others wait until the stage is visible


def _origins(node: Node, source: Any) -> dict[str, str]:
    """Where each part of the stage's rows came from: repository, commit and files, or the mirror's file."""
    parts = [key.split("/") for key in node.config.data]
    return {"/".join((d, language, split)): source.origin(dataset(d), language, split) for d, language, split in parts}


def _start_of(node: Node, store: Store, check: bool) -> Path | None:
    """The folder whose weights a stage starts from; None for pretraining."""
    if node.weights:
        return node.weights.folder()
    if not node.parent:
        return None
    if check and not store.has(node.parent):
        raise FileNotFoundError(f"the stage {node.parent} that {node.label!r} starts from is gone or damaged")
    return store.folder(node.parent)


def selection_scores(plan: Plan, targets_done: int, store: Store, selection: str) -> list[float]:
    """For each of the first targets, the mean over seeds of the score that choosing looks at, in percent.

    `english_dev` reads the English dev score, and leaves out targets without one; `target_dev` (an oracle) reads the mean
    over languages.
    """
    scores = []
    for target, addresses in list(plan.evaluations().items())[:targets_done]:
        metrics = [store.metrics(address) for address in addresses]
        if selection == "english_dev":
            found = [m["selection"] for m in metrics if m["selection"] is not None]
        else:
            d = dataset(target)
            found = [float(np.mean([main_score(d, own) for own in m["languages"].values()])) for m in metrics]
        if found:
            scores.append(float(np.mean(found)))
    return scores


def _progress(plan: Plan, targets_done: int, store: Store, selection: str) -> dict[str, Any]:
    """What a trial reports: `score`, the mean over the targets that count, and `rung`, how many of those there are."""
    scores = selection_scores(plan, targets_done, store, selection)
    return {"targets_done": targets_done, "rung": len(scores), "score": float(np.mean(scores)) if scores else 0.0}


def tune_trial(config: dict[str, Any], *, storage: str) -> None:
    """The Tune trainable: fits a Ray Train trainer, or runs the stages itself where there is one worker without a GPU.

    A failure is reported as data, so that its reason and traceback reach the record; Tune goes on with the next trial.
    """
    from ray import tune

    job: Job = config["job"]
    if alone(job.workers, job.gpu) or not missing(job.plan, Store(Path(job.home)).has):
        try:
            run_stages(job, tune.report)
        except Exception as error:
            tune.report(failure(error))
        return
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    resources = {"CPU": job.cpus, "GPU": 1} if job.gpu else {"CPU": job.cpus}
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        scaling_config=ray.train.ScalingConfig(
            num_workers=job.workers, use_gpu=job.gpu, resources_per_worker=resources
        ),
        run_config=ray.train.RunConfig(
            name=job.plan.recipe.address[:16],
            storage_path=storage,
            callbacks=[TuneReportCallback()],  # type: ignore[list-item, no-untyped-call]
        ),
    )
    try:
        trainer.fit()
    except Exception as error:
        tune.report(failure(error))


def failure(error: BaseException) -> dict[str, Any]:
    """What a trial reports when it failed: whatever it was becomes the recorded reason; nothing is decided here."""
    reason, trace = explain(error)
    return {"failed": reason, "traceback": trace, "targets_done": 0, "rung": 0, "score": float("nan")}


def explain(error: BaseException) -> tuple[str, str]:
    """One line and the traceback of a failure; a worker's own exception when Train wraps one."""
    inner: BaseException = error
    failures = getattr(error, "worker_failures", None)
    if failures:
        # The workers that waited for the broken one fail too, of a lost connection.
        inner = min(failures.values(), key=lambda failure: any(words in str(failure) for words in PEER_LOST))
    while isinstance(getattr(inner, "cause", None), BaseException):
        inner = inner.cause  # type: ignore[attr-defined]
    notes = [note for note in getattr(inner, "__notes__", []) if note.startswith("Traceback")]
    trace = notes[-1] if notes else "".join(traceback.format_exception(inner))
    lines = [line for line in str(inner).strip().splitlines() if line.strip()]
    kind = type(inner).__name__
    if isinstance(inner, MemoryError) or any(words in str(inner).lower() for words in NO_MEMORY):
        kind = "OutOfMemory"
    return f"{kind}: {lines[-1] if lines else 'no message'}", trace


def _machine(context: Any) -> dict[str, Any]:
    import torch

    return {
        "host": platform.node(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": str(context.machine.device),
        "workers": context.machine.comm.world,
    }


def _log(path: Path, values: dict[str, Any]) -> None:
    """One line per stage run; a line is short enough to be appended whole by concurrent writers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        file.write(json.dumps(values) + "\n")


def _quiet() -> None:
    """Workers print nothing of their own: progress bars in many workers flood the driver's terminal."""
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
