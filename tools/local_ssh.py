"""Run a command with four machines of this machine's own, reached over SSH: a laptop, where it runs, a head and two workers.

    python -m tools.local_ssh bash -c 'ray up -y $CLUSTER_YAML && ray exec $CLUSTER_YAML "ray status"; ray down -y $CLUSTER_YAML'

Each machine has its own network, processes, home, /tmp and /dev/shm; the rest of the file system is shared. `$CLUSTER_YAML` is a
copy of deploy/ray-cluster.yaml with these machines in it, `$RIG` the temporary folder of all files, which every machine sees,
and `ssh -F $RIG/ssh_config head` a shell. Needs root, and Debian's packages iproute2, openssh-server and rsync.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.rig import system_path, wait

ROOT = Path(__file__).resolve().parents[1]
CLUSTER = ROOT / "deploy" / "ray-cluster.yaml"
PROGRAMS = ("ip", "sshd", "ssh", "ssh-keygen", "rsync", "unshare", "nsenter", "setpriv")
ADDRESSES = {"laptop": "10.77.0.1", "head": "10.77.0.10", "worker-1": "10.77.0.11", "worker-2": "10.77.0.12"}
# Ends with the process that started it, whatever ends that one.
UNSHARE = "setpriv --pdeathsig KILL unshare --net --mount --pid --uts --fork --kill-child --mount-proc".split()
# The first process of a machine. Its /tmp is empty but for what the machines share and may lie there.
INIT = """
set -e
name=$1 rig=$2; shift 2
hostname "$name"
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
mount --bind "$rig/hosts" /etc/hosts
mount --bind "$rig/$name/passwd" /etc/passwd
mount -t tmpfs -o mode=1777 tmpfs "$rig/$name/tmp"
for path; do
    case $path in
    /tmp/*)
        mkdir -p "$rig/$name$path"
        mount --bind "$path" "$rig/$name$path" ;;
    esac
done
mount --rbind "$rig/$name/tmp" /tmp
ip link set lo up
exec "$(command -v sshd)" -D -e -f "$rig/sshd_config"
"""
# A worker process of a trial takes one CPU: with one each, two of them are on two machines.
SSHD = """
HostKey {rig}/host_key
LogLevel ERROR
AuthorizedKeysFile {rig}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
SetEnv "RAY_OVERRIDE_RESOURCES={{\\"CPU\\": 1}}"
"""
SSH = """
Host *
    User root
    IdentityFile {rig}/key
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
"""


@dataclass(frozen=True)
class Rig:
    """The machines' folder, and how a command runs on the laptop."""

    folder: Path
    enter: tuple[str, ...]
    env: dict[str, str]

    def run(self, *command: str) -> int:
        """Run a command on the laptop, and return its exit status."""
        return subprocess.run([*self.enter, *command], env=self.env).returncode


def missing() -> str:
    """Say in one line what this machine lacks, or nothing."""
    if os.geteuid() != 0:
        return "machines of one's own need root"
    if absent := [name for name in PROGRAMS if not shutil.which(name, path=system_path())]:
        return f"machines of one's own need the packages iproute2, openssh-server and rsync: no {', '.join(absent)}"
    tried = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True, text=True)
    return f"no namespaces are permitted here: {tried.stderr.strip()}" if tried.returncode else ""


def cluster_file(key: Path) -> str:
    """Return the text of deploy/ray-cluster.yaml with these machines, this checkout and a key in it.

    Raises:
        ValueError: The file has no such line to change.
    """
    text = CLUSTER.read_text()
    changes = {
        "head_ip: 10.0.0.10 ": f"head_ip: {ADDRESSES['head']} ",
        "worker_ips: [10.0.0.11, 10.0.0.12] ": f"worker_ips: [{ADDRESSES['worker-1']}, {ADDRESSES['worker-2']}] ",
        "ssh_user: ubuntu ": "ssh_user: root ",
        "ssh_private_key: ~/.ssh/id_ed25519 ": f"ssh_private_key: {key} ",
        "/shared/stepstone-code": str(ROOT),
    }
    for old, new in changes.items():
        if old not in text:
            raise ValueError(f"{CLUSTER.name} has no {old!r}")
        text = text.replace(old, new)
    return text


@contextmanager
def local_ssh() -> Iterator[Rig]:
    """Start the machines and yield their rig.

    Raises:
        RuntimeError: A machine does not answer over SSH within a minute.
    """
    with ExitStack() as stack:
        rig = Path(tempfile.mkdtemp(prefix="ssh-"))
        stack.callback(shutil.rmtree, rig, ignore_errors=True)
        _write_files(rig)
        laptop, *others = (_start(stack, rig, name) for name in ADDRESSES)
        _connect(laptop, others)
        inside = [
            f"--{kind}=/proc/{laptop.pid}/ns/{link}"
            for kind, link in (("net", "net"), ("mount", "mnt"), ("uts", "uts"))
        ]
        enter = ("nsenter", *inside, f"--pid=/proc/{laptop.pid}/ns/pid_for_children", "env", f"--chdir={Path.cwd()}")
        env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        env |= {"PATH": f"{sys.prefix}/bin:{system_path()}", "HOME": str(rig / "laptop" / "home"), "TMPDIR": "/tmp"}
        env |= {"RIG": str(rig), "CLUSTER_YAML": str(rig / "ray-cluster.yaml")}
        made = Rig(rig, enter, env)
        for name in ADDRESSES:
            wait(f"{name} answers", partial(_answers, made, name))
        yield made


def _answers(rig: Rig, name: str) -> bool:
    return rig.run("ssh", "-F", f"{rig.folder}/ssh_config", name, "true") == 0


def _write_files(rig: Path) -> None:
    for name in ("key", "host_key"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(rig / name))
    (rig / "sshd_config").write_text(SSHD.format(rig=rig))
    (rig / "ssh_config").write_text(SSH.format(rig=rig))
    (rig / "ray-cluster.yaml").write_text(cluster_file(rig / "key"))
    (rig / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in ADDRESSES.items()))
    for name in ADDRESSES:
        home = rig / name / "home"
        home.mkdir(parents=True)
        (rig / name / "tmp").mkdir()
        (home / "stepstone-venv").symlink_to(sys.prefix)
        (home / ".bashrc").touch()
        users = Path("/etc/passwd").read_text().splitlines()
        own = [f"root:x:0:0:root:{home}:/bin/bash", *(user for user in users if not user.startswith("root:"))]
        (rig / name / "passwd").write_text("\n".join(own) + "\n")


def _start(stack: ExitStack, rig: Path, name: str) -> subprocess.Popen[bytes]:
    places = (rig, ROOT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), Path.cwd())
    command = [*UNSHARE, "sh", "-c", INIT, "sh", name, str(rig), *dict.fromkeys(map(str, places))]
    # A session of its own: Ctrl-C is of the command alone.
    process = subprocess.Popen(command, env={"PATH": system_path()}, stdin=subprocess.DEVNULL, start_new_session=True)

    def end() -> None:
        """Stop the machine's first process, and with it all others: then `unshare` ends."""
        with suppress(OSError, IndexError, subprocess.TimeoutExpired):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            os.kill(int(children.read_text().split()[0]), signal.SIGTERM)
            process.wait(10)
        process.kill()
        process.wait()

    stack.callback(end)
    ours = os.readlink("/proc/self/ns/net")
    wait(f"{name} has a network", lambda: os.readlink(f"/proc/{process.pid}/ns/net") != ours)
    return process


def _connect(laptop: subprocess.Popen[bytes], others: list[subprocess.Popen[bytes]]) -> None:
    """Join the other machines to a bridge on the laptop."""
    mine, *theirs = ADDRESSES.values()
    _ip(laptop, "link add bridge type bridge")
    _ip(laptop, f"addr add {mine}/24 dev bridge")
    _ip(laptop, "link set bridge up")
    for i, (machine, address) in enumerate(zip(others, theirs, strict=True)):
        _ip(laptop, f"link add port{i} type veth peer name eth0 netns {machine.pid}")
        _ip(laptop, f"link set port{i} master bridge up")
        _ip(machine, f"addr add {address}/24 dev eth0")
        _ip(machine, "link set eth0 up")
        _ip(machine, f"route add default via {mine}")


def _ip(machine: subprocess.Popen[bytes], words: str) -> None:
    _run("nsenter", f"--net=/proc/{machine.pid}/ns/net", "ip", *words.split())


def _run(*command: str) -> None:
    subprocess.run(command, env={**os.environ, "PATH": system_path()}, check=True)


if __name__ == "__main__":
    if lack := missing():
        sys.exit(lack)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is taken down
    with local_ssh() as rig:
        code = rig.run(*(sys.argv[1:] or ["bash"]))
    sys.exit(code)
