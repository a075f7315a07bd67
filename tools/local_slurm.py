"""Run a command with a Slurm of this machine's own: a controller and two nodes, gone when the command ends.

    python -m tools.local_slurm bash -c 'srun --nodes=2 hostname'

Needs root and Debian's packages `slurm-wlm` and `munge`. All files are in one temporary folder, `$RIG` for the command.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tools.rig import system_path, wait

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONF = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={rig}/munge.socket
CredType=cred/munge
StateSaveLocation={rig}/state
SlurmdSpoolDir={rig}/spool-%n
SlurmctldPidFile={rig}/slurmctld.pid
SlurmdPidFile={rig}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=30
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def missing() -> str:
    """Say in one line what this machine lacks, or nothing."""
    if os.geteuid() != 0:
        return "a local Slurm needs root"
    absent = [name for name in PROGRAMS if not shutil.which(name, path=system_path())]
    return f"a local Slurm needs the packages slurm-wlm and munge: no {', '.join(absent)}" if absent else ""


@contextmanager
def local_slurm() -> Iterator[dict[str, str]]:
    """Start munge, a controller and two nodes; yield the environment that finds them.

    Raises:
        RuntimeError: The nodes are not idle within a minute.
    """
    with ExitStack() as stack:
        rig = Path(tempfile.mkdtemp(prefix="slurm-"))
        stack.callback(shutil.rmtree, rig, ignore_errors=True)
        rig.chmod(0o755)  # munge wants nobody else to write there
        (rig / "state").mkdir()
        (rig / "munge.key").write_bytes(os.urandom(128))
        (rig / "munge.key").chmod(0o400)
        conf = rig / "slurm.conf"
        conf.write_text(CONF.format(rig=rig, host=socket.gethostname().split(".")[0], ports=_free_ports(3)))
        env = {**os.environ, "PATH": system_path(), "SLURM_CONF": str(conf), "RIG": str(rig)}
        files = {name: f"--{name}-file={rig}/munge.{name}" for name in ("key", "pid", "log", "seed")}
        _start(stack, env, "munged", "--foreground", "--force", f"--socket={rig}/munge.socket", *files.values())
        _start(stack, env, "slurmctld", "-D", "-i", "-f", str(conf))
        for node in ("n1", "n2"):
            (rig / f"spool-{node}").mkdir()
            _start(stack, env, "slurmd", "-D", "-N", node, "-f", str(conf))
        stack.callback(_end_jobs, env)
        wait("the nodes are idle", lambda: _say(env, "sinfo", "-h", "-t", "idle", "-o", "%D") == "2")
        yield env


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def _start(stack: ExitStack, env: dict[str, str], *command: str) -> None:
    log = stack.enter_context((Path(env["RIG"]) / f"{command[0]}.out").open("ab"))
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end() -> None:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)


def _say(env: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip()


def _end_jobs(env: dict[str, str]) -> None:
    """Cancel what still runs, and wait: a step outlives the daemon that started it."""
    for job in _say(env, "squeue", "-h", "-o", "%A").split():
        _say(env, "scancel", "--full", job)
    wait("no job is left", lambda: not _say(env, "squeue", "-h"), 90)


if __name__ == "__main__":
    if lack := missing():
        sys.exit(lack)
    with local_slurm() as environment:
        code = subprocess.run(sys.argv[1:] or ["sinfo"], env=environment).returncode
    sys.exit(code)
