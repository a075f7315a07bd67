"""Limits of affinity, control groups and ulimits on what a launch may use."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from study import hardware

GB = 10**9


class Roots:
    """Folders in place of /sys/fs/cgroup and /proc, of a machine with 64 GB free."""

    def __init__(self, folder: Path, own: str) -> None:
        self.cgroups, self.proc = folder / "cgroup", folder / "proc"
        self.write(self.proc / "meminfo", f"MemTotal: 99999999999 kB\nMemAvailable:   {64 * GB // 1024} kB\n")
        self.write(self.proc / "self" / "cgroup", own)

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def group(self, name: str, **files: str) -> None:
        for file, text in files.items():
            self.write(self.cgroups / name / file.replace("_dot_", "."), text + "\n")

    @property
    def found(self) -> tuple[int, int]:
        roots = (self.cgroups, self.proc)
        return hardware.usable_cpus(*roots), hardware.usable_memory(*roots)


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 128)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)), raising=False)


def test_limits_of_version_2_count_up_to_the_root(tmp_path: Path) -> None:
    roots = Roots(tmp_path, "0::/system.slice/job.scope\n")
    assert roots.found == (16, 64 * GB)
    roots.group("system.slice/job.scope", cpu_dot_max="max 100000", memory_dot_max="max", memory_dot_high="max")
    assert roots.found == (16, 64 * GB)
    used = {"memory_dot_current": "1000000000", "memory_dot_stat": "anon 5\ninactive_file 250000000"}
    roots.group("system.slice", cpu_dot_max="450000 100000", memory_dot_max="6000000000", **used)
    assert roots.found == (4, 5_250_000_000)
    roots.group("system.slice/job.scope", memory_dot_high="3000000000", cpu_dot_max="50000 100000", **used)
    assert roots.found == (1, 2_250_000_000), "half a core is one; above memory.high a process barely runs"


def test_limits_of_version_1_count_by_controller(tmp_path: Path) -> None:
    roots = Roots(tmp_path, "9:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n")
    roots.group("cpu/docker/abc", cpu_dot_cfs_quota_us="-1", cpu_dot_cfs_period_us="100000")
    unlimited = {"memory_dot_limit_in_bytes": "9223372036854771712", "memory_dot_usage_in_bytes": "5"}
    roots.group("memory/docker/abc", memory_dot_stat="total_inactive_file 1", **unlimited)
    assert roots.found == (16, 64 * GB)
    # In a container the path is the host's, and its own group is mounted at the root.
    roots.group("cpu", cpu_dot_cfs_quota_us="250000", cpu_dot_cfs_period_us="100000")
    stat = "inactive_file 1\ntotal_inactive_file 500000000"
    roots.group(
        "memory", memory_dot_limit_in_bytes="6000000000", memory_dot_usage_in_bytes="2000000000", memory_dot_stat=stat
    )
    assert roots.found == (2, 4_500_000_000)


def test_a_machine_without_cgroups_has_only_its_own_limits(tmp_path: Path) -> None:
    roots = (tmp_path / "none", tmp_path / "none")
    assert hardware.cpu_limits(*roots) == {"machine": 128, "CPU affinity": 16}
    assert hardware.usable_memory(*roots) > 0


def test_pythons_own_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in (("3", 3), ("0", 16), ("default", 16), ("", 16)):
        monkeypatch.setenv("PYTHON_CPU_COUNT", value)
        assert hardware.usable_cpus(tmp_path, tmp_path) == expected


def test_processes_are_limited_by_ulimit_and_by_pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = Roots(tmp_path, "0::/job\n")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (500, 500))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert hardware.usable_processes(roots.cgroups, roots.proc) is None, "ulimit -u does not bind root"
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert hardware.usable_processes(roots.cgroups, roots.proc) == 500
    roots.group("job", pids_dot_max="100", pids_dot_current="30")
    assert hardware.usable_processes(roots.cgroups, roots.proc) == 70


def test_cores_outside_the_affinity_are_not_ours() -> None:
    one = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from study.hardware import usable_cpus; "
    done = subprocess.run(
        [sys.executable, "-c", one + "print(usable_cpus())"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"


def test_torch_counts_gpus_only_where_there_is_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    for name in ("null", "nvidiactl"):
        (tmp_path / name).touch()
    assert hardware.num_gpus(tmp_path) == (0 if sys.platform == "linux" else 3)
    (tmp_path / "nvidia0").touch()
    assert hardware.num_gpus(tmp_path) == 3
