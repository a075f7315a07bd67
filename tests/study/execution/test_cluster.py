"""Ray: existing clusters by address, the loopback default, cluster capacity."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from study.execution import ray_cluster
from study.execution.ray_cluster import capacity, own_token, session_folder
from tests import ROOT
from trainables.errors import BadInput

# Ask the kernel for the addresses and TCP ports that the children of a local Ray listen on.
LISTENERS = """
import json, psutil
from study.execution.ray_cluster import start_ray
with start_ray(None):
    me = psutil.Process()
    print(json.dumps(sorted({c.laddr.ip for p in [me, *me.children(recursive=True)] for c in p.net_connections("tcp")
                             if c.status == "LISTEN"})))
"""


@pytest.mark.parametrize(
    ("resources", "workers", "expected"),
    [
        ({"CPU": 3.0}, 1, (False, 2)),
        ({"CPU": 9.0}, 4, (False, 2)),
        ({"CPU": 64.0, "GPU": 8.0}, 2, (True, 4)),
        ({"CPU": 64.0, "GPU": 8.0}, 8, (True, 1)),
    ],
)
def test_trials_run_on_gpus_where_there_are_some(
    resources: dict[str, float], workers: int, expected: tuple[bool, int]
) -> None:
    assert capacity(resources, workers) == expected


def test_no_garbage_is_collected_while_ray_shuts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    class Handle:
        """As an ObjectRef: deleted while Ray shuts down, it ends the process with status 1 and no word."""

    handle = Handle()
    handle.itself = handle  # type: ignore[attr-defined]
    lives, seen = weakref.ref(handle), list[bool]()
    del handle
    monkeypatch.setattr("ray.shutdown", lambda: seen.extend([lives() is None, gc.isenabled()]))
    ray_cluster._shut_down()
    assert seen == [True, False] and gc.isenabled()


def test_rays_own_functions_are_put_back() -> None:
    from ray._private import services
    from ray._private.node import Node

    before, seen = (Node.start_monitor, Node.start_log_monitor, services.ConsolePopen), list[bool]()

    def start(**options: object) -> None:
        seen.extend(now is was for now, was in zip((Node.start_monitor, Node.start_log_monitor), before, strict=False))

    with ray_cluster._own_groups():
        ray_cluster._start_local(start)
    assert seen == [False, False]
    assert (Node.start_monitor, Node.start_log_monitor, services.ConsolePopen) == before


def test_more_workers_than_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="--workers 3 needs 3 GPUs, but the cluster has 2"):
        capacity({"CPU": 64.0, "GPU": 2.0}, 3)


def test_the_sockets_of_ray_fit_whatever_tmpdir_is(tmp_path: Path) -> None:
    assert session_folder({"TMPDIR": "/tmp"}) == session_folder({}) == Path("/tmp/ray")
    long = tmp_path / ("x" * 60)
    assert session_folder({"TMPDIR": str(long)}) == Path("/tmp/ray")
    assert session_folder({"TMPDIR": "/proc/1/nowhere"}) == Path("/tmp/ray")
    assert session_folder({"RAY_TMPDIR": "/var/tmp", "TMPDIR": str(long)}) == Path("/var/tmp/ray")


def test_a_place_for_rays_files_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_writable", lambda folder: False)
    with pytest.raises(BadInput, match=r"^TMPDIR '/scratch/job' and /tmp have no place .* set RAY_TMPDIR"):
        session_folder({"TMPDIR": "/scratch/job"})
    with pytest.raises(BadInput, match="^/tmp has no place"):
        session_folder({})


def test_ray_needs_no_home_that_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert own_token({}) == {}, "Ray keeps one in HOME"
    monkeypatch.setenv("HOME", "/proc/1/nowhere")
    assert len(own_token({})["RAY_AUTH_TOKEN"]) == 64
    assert own_token({"RAY_AUTH_TOKEN": "given"}) == {}
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # a user without a name
    with pytest.raises(BadInput, match="^HOME is not set"):
        own_token({})


def test_too_few_processes_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "usable_processes", lambda: 100)
    with pytest.raises(BadInput, match="only 100 processes .* `ulimit -u`"):
        ray_cluster.check_processes()
    monkeypatch.setattr(ray_cluster, "usable_processes", lambda: None)
    ray_cluster.check_processes()


@pytest.mark.slow
def test_a_local_ray_listens_on_the_loopback_only() -> None:
    done = subprocess.run([sys.executable, "-c", LISTENERS], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    addresses = json.loads(done.stdout.strip().splitlines()[-1])
    assert addresses
    assert {a.removeprefix("::ffff:") for a in addresses} <= {"127.0.0.1", "::1"}
