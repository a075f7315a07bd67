"""Ray cluster, local or existing, and its capacity for trials."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from study.hardware import num_gpus, usable_cpus, usable_memory, usable_processes
from trainables.errors import BadInput

# Ray Train polls its workers every 2 s by default, which is most of the run time of a small trial.
RAY_ENV = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the launch handles Ctrl-C itself (graceful_shutdown.py)
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # nobody reads them, and that of TensorBoard fails without a writable /dev/shm
    "RAY_prestart_worker_first_driver": "0",  # a trial starts the processes that it needs
    "RAY_AIR_NEW_OUTPUT": "0",  # the other output prints boxes at any verbosity
    # Ray warns of a node on which four times as many processes were started; a trial alone has four.
    "RAY_worker_maximum_startup_concurrency": str(2 * usable_cpus()),
}
# Read when ray is imported: a Ray that may not form a cluster uses the address 127.0.0.1 and listens only there.
LOOPBACK_ONLY = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
# One logical CPU more than there are: the trials' drivers only wait, and must not take a core from the workers.
LOGICAL_CPUS = usable_cpus() + 1
# Memory reserved for Ray's own processes, the launch and MLflow (`benchmarks.memory`), and for Ray's object store, whose
# objects are small here.
RESERVED_BYTES, OBJECT_STORE_BYTES = 1_500_000_000, 150_000_000

# Resources of a trial's own process, which only waits. It runs on Ray's head node, whose loss no trial survives anyway.
DRIVER_SHARE = {"node:__internal_head__": 0.001}
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("stepstone", "study", "trainables", "search_spaces", "dashboards")


# Ray's sockets lie in its session's folder, and the path of a socket has at most 107 bytes (`man 7 unix`).
SOCKET_BYTES, LONGEST_SOCKET = 107, "session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
VITAL, LOOK_EVERY_S = ("raylet", "gcs_server"), 1.0  # Ray's processes without which no trial can run
MIN_PROCESSES = 300  # threads of Ray's processes, the launch and one trial


@contextmanager
def start_ray(address: str | None, on_loss: Callable[[], None] = lambda: None) -> Iterator[dict[str, float]]:
    """Join the cluster at `address`, or start a local one.

    It yields the cluster's resources. A local one listens on 127.0.0.1 only. If Ray already runs in this process, it is used
    and left running.

    Args:
        on_loss: called in a thread when the local Ray has lost one of its `VITAL` processes.
    Raises:
        BadInput: no cluster answers, or this machine has no place for Ray's files or not enough processes.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in RAY_ENV.items()})
    if not address:
        os.environ.setdefault(*LOOPBACK_ONLY)
    import ray
    from ray._private import worker

    # Ray's nodes print a page of text for each lost process; `TrialMonitor.restart` prints one line instead.
    worker.print_to_stdstream = lambda *data, **how: None  # type: ignore[assignment]
    if ray.is_initialized():
        yield ray.cluster_resources()  # type: ignore[no-untyped-call]
        return
    init = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
    with _own_groups():
        if address:
            _join(partial(init, runtime_env=_runtime_env()), address)
        else:
            _start_local(init)
        over = threading.Event()
        watcher = threading.Thread(target=_watch, args=(worker._global_node, over, on_loss), daemon=True)
        watcher.start()
        try:
            yield ray.cluster_resources()  # type: ignore[no-untyped-call]
        finally:
            over.set()
            watcher.join()  # it would take the shutdown for a loss
            _shut_down()


@contextmanager
def _own_groups() -> Iterator[None]:
    """Let Ray start each process in a group of its own; end what is left of the groups.

    A terminal that is closed, Ctrl-C and `timeout` signal the whole group of the launch: Ray's processes would be gone before the
    trials have written their state. The agents of a node that is ended as it starts notice it only after a minute.
    """
    from ray._private import services

    original, groups = services.ConsolePopen, []

    def start(*command: Any, **options: Any) -> Any:
        process = original(*command, process_group=0, **options)
        groups.append(process.pid)
        return process

    services.ConsolePopen = start  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        services.ConsolePopen = original  # type: ignore[misc]
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def _start_local(init: Callable[..., Any]) -> None:
    from ray._private.node import Node

    # "local": without it Ray joins whatever cluster runs on this machine already.
    local = partial(
        init,
        address="local",
        include_dashboard=False,
        num_cpus=LOGICAL_CPUS,
        object_store_memory=OBJECT_STORE_BYTES,
        _memory=trial_memory(),
        _temp_dir=str(session_folder(os.environ)),
    )
    check_processes()
    os.environ.update(own_token(os.environ))
    # A local Ray has no nodes to add, and nobody reads its logs on the screen: two processes less to start.
    monitors = Node.start_monitor, Node.start_log_monitor
    Node.start_monitor = Node.start_log_monitor = lambda self: None  # type: ignore[method-assign,misc,assignment]
    try:
        local()
    except SystemExit:  # Ray raises it on SIGTERM while its processes start
        raise KeyboardInterrupt from None
    except Exception:  # on a busy machine Ray's processes may miss their start-up deadline
        _shut_down()
        local()
    finally:  # whoever starts a Ray of their own in this process has them
        Node.start_monitor, Node.start_log_monitor = monitors  # type: ignore[method-assign]


def _shut_down() -> None:
    """Shut Ray down while no other thread collects garbage.

    Ray's core ends the process at once, with status 1, when one of its handles is deleted between the end of the core and that of
    `ray.shutdown`. Such handles lie in cycles of Tune's objects.
    """
    import ray

    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        if enabled:
            gc.enable()


def _join(init: Callable[..., Any], address: str) -> None:
    from ray.exceptions import AuthenticationError

    try:
        init(address=address)
    except AuthenticationError as error:
        raise BadInput(
            f"the Ray cluster at {address!r} wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN as on its head"
        ) from error
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BadInput(f"no Ray cluster answers at {address!r}: {str(error).splitlines()[0]}") from error


def _watch(node: Any, over: threading.Event, on_loss: Callable[[], None]) -> None:
    """Call `on_loss` once a vital process of this launch's own Ray has ended."""
    while not over.wait(LOOK_EVERY_S):
        if any(kind in VITAL for kind, _ in node.dead_processes()):
            on_loss()
            return


def session_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of Ray's sockets and logs.

    It is in $RAY_TMPDIR or $TMPDIR, as by Ray's default, or in /tmp if the paths of sockets would be too long there, or
    nothing can be written.

    Raises:
        BadInput: neither has a place.
    """
    given = next((name for name in ("RAY_TMPDIR", "TMPDIR") if environment.get(name)), "")
    for place in dict.fromkeys((environment.get(given) or "/tmp", "/tmp")):
        folder = Path(place).absolute() / "ray"
        if len(os.fsencode(folder / LONGEST_SOCKET)) <= SOCKET_BYTES and _writable(folder):
            return folder
    named = f"{given} {environment[given]!r} and /tmp have" if given else "/tmp has"
    room = SOCKET_BYTES - len(f"/ray/{LONGEST_SOCKET}")
    raise BadInput(
        f"{named} no place for Ray's files: set RAY_TMPDIR to a folder that can be written, with a path of at most {room} bytes"
    )


def own_token(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a token for a local Ray if none can be kept in HOME, where Ray keeps it (`~/.ray/auth_token`).

    So a home that is read-only, or is / as with `docker run --user`, is no obstacle. The token is good for this launch.

    Raises:
        BadInput: there is no HOME at all, which Ray's libraries look for when they are imported.
    """
    try:
        folder = Path.home() / ".ray"
    except RuntimeError as error:
        raise BadInput("HOME is not set, and this user has no entry in /etc/passwd: set HOME to any folder") from error
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & environment.keys():
        return {}
    kept = _writable(folder) or os.access(folder / "auth_token", os.R_OK)
    return {} if kept else {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


def check_processes() -> None:
    """Raise BadInput if Ray could not start its processes and threads, which it would wait for."""
    most = usable_processes()
    if most is not None and most < MIN_PROCESSES:
        raise BadInput(
            f"only {most} processes and threads can be started here, and Ray needs {MIN_PROCESSES}: raise `ulimit -u`, or the "
            "pids limit of the container"
        )


def _writable(folder: Path) -> bool:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK | os.X_OK)
    return False


def _runtime_env() -> dict[str, Any]:
    """Configure a cluster's workers with this process's packages and `RAY_ENV`."""
    packages = [str(ROOT / name) for name in PACKAGES]
    return {
        "env_vars": {name: os.environ[name] for name in RAY_ENV},
        "py_modules": packages,
        "excludes": ["__pycache__"],
    }


def capacity(resources: Mapping[str, float], workers: int, need: int = 0) -> tuple[bool, int]:
    """Return whether trials use GPUs, and how many fit.

    One CPU of the cluster is left to the drivers of the trials, which wait and request none.

    Args:
        need: bytes of memory of one worker; 0 if not known.
    Raises:
        BadInput: not even one trial fits.
    """
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    have, kind = (gpus, "GPUs") if gpus else (cpus - 1, "CPUs")
    if workers > have:
        raise BadInput(f"--workers {workers} needs {workers} {kind}, but the cluster has {have}")
    at_once, memory = have // workers, resources.get("memory")
    if need and memory is not None:
        if memory < workers * need:
            raise BadInput(
                f"a trial needs about {workers * need / 1e9:.1f} GB of memory, but {memory / 1e9:.1f} GB are available for "
                "trials: free memory, or choose a smaller --encoder"
            )
        at_once = min(at_once, int(memory // (workers * need)))
    return bool(gpus), at_once


def this_machine() -> dict[str, float]:
    """Return the resources of a cluster started on this machine."""
    return {"CPU": LOGICAL_CPUS, "GPU": num_gpus(), "memory": trial_memory()}


def trial_memory() -> int:
    """Return the bytes of memory available for trials."""
    return max(1, usable_memory() - RESERVED_BYTES)


def restart_trials_killed_for_memory() -> None:
    """Make Tune restart actors that Ray's memory monitor killed.

    Tune restarts trials whose actor died, but `OutOfMemoryError` is no `RayActorError`, and ends the run
    (ray 2.60, ray/air/execution/_internal/actor_manager.py, `_actor_task_failed`).
    """
    from ray.air.execution._internal import actor_manager
    from ray.exceptions import OutOfMemoryError, RayActorError
    from ray.tune.execution import tune_controller

    for module in (actor_manager, tune_controller):
        module.RayActorError = (RayActorError, OutOfMemoryError)  # type: ignore[attr-defined]
