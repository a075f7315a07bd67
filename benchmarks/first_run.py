"""Measure time and memory of the README's first command, without a network.

python -m benchmarks.first_run [--out benchmarks/results/first_run.json]

The command runs after its installation in a separate namespace (unshare): the only network interface is the loopback, and
/proc shows only the command's processes, whatever their parent. Memory is the sum of their proportional set sizes (PSS),
sampled every half second: a page that several processes share counts once. Linux only.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = ["make", "study"]
EVERY = 0.5  # seconds between two samples
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def main() -> int:
    """Run the benchmark; return the exit status of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="benchmarks/results/first_run.json", help="output file")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        subprocess.run(["make", ".venv/ready"], check=True)
        alone = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc"]
        again = [sys.executable, "-m", "benchmarks.first_run", "--inside", "--out", options.out]
        return subprocess.run([*alone, *again]).returncode
    loopback_up()
    with tempfile.TemporaryDirectory() as home:
        started = time.monotonic()
        study = subprocess.Popen(COMMAND, env={**os.environ, "STEPSTONE_HOME": home})
        samples: list[tuple[float, int]] = []
        while study.poll() is None:
            samples.append(memory())
            time.sleep(EVERY)
        seconds = time.monotonic() - started
        time.sleep(2)
        left = [name for pid in processes() if pid != os.getpid() and (name := command_of(pid))]
    found = {
        "command": " ".join(COMMAND),
        "exit": study.returncode,
        "seconds": round(seconds),
        "peak_gb": round(max(pss for pss, _ in samples) / 1e6, 2),
        "processes_at_most": max(count for _, count in samples),
        "processes_left": left,
        "interfaces": [name for _, name in socket.if_nameindex()],
        "cores": len(os.sched_getaffinity(0)),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    Path(options.out).write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return study.returncode


def loopback_up() -> None:
    """Start the loopback interface, which is down in a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def processes() -> list[int]:
    """List all processes of the namespace."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_of(pid: int) -> str:
    """Read the command line of a process; "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def memory() -> tuple[int, int]:
    """Measure the namespace's processes, except this one.

    Returns:
        (sum of proportional set sizes in kB, number of processes).
    """
    total = count = 0
    for pid in processes():
        if pid == os.getpid():
            continue
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        count += 1
    return total, count


if __name__ == "__main__":
    sys.exit(main())
