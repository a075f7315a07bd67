"""Usable cores and memory of this machine, within CPU affinity and cgroups."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # cgroups v1 writes a number about this large for no limit


def usable_cpus() -> int:
    """Count the cores that CPU affinity and cgroup quotas allow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _groups("cpu"):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            cores = min(cores, int(quota) // int(period))
        with suppress(OSError, ValueError):
            quota_us = int((folder / "cpu.cfs_quota_us").read_text())
            if quota_us > 0:
                cores = min(cores, quota_us // int((folder / "cpu.cfs_period_us").read_text()))
    return max(1, cores)


def usable_memory() -> int:
    """Return the bytes that new processes can use now.

    This is the machine's available memory, within the limits of its cgroups. File cache of a cgroup counts as free, since
    the system reclaims it.
    """
    free = _available()
    for folder in _groups("memory"):
        for limit, usage, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with suppress(OSError, ValueError):  # "max" is not a number and means no limit
                allowed = int((folder / limit).read_text())
                if allowed < UNLIMITED:
                    used = int((folder / usage).read_text())
                    found = re.search(rf"^{cached} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
                    free = min(free, allowed - used + (int(found.group(1)) if found else 0))
    return max(0, free)


def killed_for_memory() -> int:
    """Count processes killed by the kernel's out-of-memory killer since boot.

    Returns:
        0 if the kernel does not report it.
    """
    with suppress(OSError):
        found = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
        return int(found.group(1)) if found else 0
    return 0


def _available() -> int:
    with suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
        if found:
            return 1024 * int(found.group(1))
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _groups(controller: str) -> Iterator[Path]:
    """Yield the visible cgroups (v1 and v2) of this process, and their parents."""
    lines = []
    with suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, names, path = line.split(":", 2)
        if not names or controller in names.split(","):
            root = CGROUPS / controller if names else CGROUPS
            folder = root / path.lstrip("/")
            # In a container the path may be the host's; the container's own cgroup is then mounted at the root.
            yield from (part for part in (folder, *folder.parents) if part.is_relative_to(root) and part.is_dir())
