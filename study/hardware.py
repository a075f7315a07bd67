"""What this process may use of its machine: cores, memory and processes.

CPU affinity (`taskset`, Slurm), control groups of both versions (containers, systemd), ulimits and $PYTHON_CPU_COUNT count. Every
function takes the folders that it reads.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS, PROC, DEVICES = Path("/sys/fs/cgroup"), Path("/proc"), Path("/dev")
UNLIMITED = 1 << 60  # cgroups v1 writes a number about this large for no limit


def usable_cpus(cgroups: Path = CGROUPS, proc: Path = PROC) -> int:
    """Count the cores that CPU affinity and cgroup quotas allow."""
    return min(cpu_limits(cgroups, proc).values())


def cpu_limits(cgroups: Path = CGROUPS, proc: Path = PROC) -> dict[str, int]:
    """Count the cores of the machine, and those that each limit allows.

    A quota of less than two cores allows one. $PYTHON_CPU_COUNT is Python's own limit (3.13 and later).
    """
    found = {"machine": os.cpu_count() or 1}
    if (wanted := os.environ.get("PYTHON_CPU_COUNT", "")).isdecimal() and int(wanted):
        found["PYTHON_CPU_COUNT"] = int(wanted)
    if hasattr(os, "sched_getaffinity"):
        found["CPU affinity"] = len(os.sched_getaffinity(0))
    quotas: list[float] = []
    for folder in _groups("cpu", cgroups, proc):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            quotas.append(int(quota) / int(period))
        with suppress(OSError, ValueError):
            quota_us = int((folder / "cpu.cfs_quota_us").read_text())
            if quota_us > 0:
                quotas.append(quota_us / int((folder / "cpu.cfs_period_us").read_text()))
    if quotas:
        found["cgroup quota"] = max(1, int(min(quotas)))
    return found


def usable_memory(cgroups: Path = CGROUPS, proc: Path = PROC) -> int:
    """Return the bytes that new processes can use now.

    This is the machine's available memory, within the limits of its cgroups.
    """
    return max(0, min(memory_limits(cgroups, proc).values()))


def memory_limits(cgroups: Path = CGROUPS, proc: Path = PROC) -> dict[str, int]:
    """Return the bytes that the machine, and the limits of cgroups, leave free.

    File cache of a cgroup counts as free, since the system reclaims it. Above `memory.high` processes are slowed down until
    they barely run, so it counts as a limit.
    """
    found = {"machine": _available(proc)}
    for folder in _groups("memory", cgroups, proc):
        for limit, usage, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.high", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with suppress(OSError, ValueError):  # "max" is not a number and means no limit
                allowed = int((folder / limit).read_text())
                if allowed < UNLIMITED:
                    used = int((folder / usage).read_text())
                    cache = re.search(rf"^{cached} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
                    free = allowed - used + (int(cache.group(1)) if cache else 0)
                    found["cgroup limit"] = min(found.get("cgroup limit", free), free)
    return found


def usable_processes(cgroups: Path = CGROUPS, proc: Path = PROC) -> int | None:
    """Count the processes and threads that `ulimit -u` and the pids of cgroups allow.

    Returns:
        None without such a limit. What other processes of the user take of `ulimit -u` is not known.
    """
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    found = [] if soft == resource.RLIM_INFINITY or os.geteuid() == 0 else [soft]  # it does not bind root
    for folder in _groups("pids", cgroups, proc):
        with suppress(OSError, ValueError):
            found.append(int((folder / "pids.max").read_text()) - int((folder / "pids.current").read_text()))
    return max(0, min(found)) if found else None


def num_gpus(devices: Path = DEVICES) -> int:
    """Count the GPUs that torch can use.

    Without a GPU device torch is not imported, which takes seconds. On systems other than Linux torch is always asked.
    """
    names = [path.name for path in devices.iterdir()] if devices.is_dir() else []
    if sys.platform == "linux" and not any(re.fullmatch(r"nvidia\d+|kfd|dxg", name) for name in names):
        return 0
    import torch

    return torch.cuda.device_count()


def killed_for_memory(proc: Path = PROC) -> int:
    """Count processes killed by the kernel's out-of-memory killer since boot.

    Returns:
        0 if the kernel does not report it.
    """
    with suppress(OSError):
        found = re.search(r"^oom_kill (\d+)$", (proc / "vmstat").read_text(), re.MULTILINE)
        return int(found.group(1)) if found else 0
    return 0


def _available(proc: Path) -> int:
    with suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", (proc / "meminfo").read_text(), re.MULTILINE)
        if found:
            return 1024 * int(found.group(1))
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _groups(controller: str, cgroups: Path, proc: Path) -> Iterator[Path]:
    """Yield the visible cgroups (v1 and v2) of this process, and their parents."""
    lines = []
    with suppress(OSError):
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    for line in lines:
        _, names, path = line.split(":", 2)
        if not names or controller in names.split(","):
            root = cgroups / controller if names else cgroups
            folder = root / path.lstrip("/")
            # In a container the path may be the host's; the container's own cgroup is then mounted at the root.
            yield from (part for part in (folder, *folder.parents) if part.is_relative_to(root) and part.is_dir())
