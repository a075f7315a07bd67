"""Checks of the machine and the home.

Each gives one line and, if needed, how to fix it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.filesize import decimal

from study.execution.disk_usage import LEFT_S, Disk
from study.execution.ray_cluster import check_processes, own_token, session_folder
from study.hardware import cpu_limits, memory_limits, usable_processes
from study.home import command, nearest, owned
from study.planning.encoder_weights import check_loads, resolve
from study.record.record import Record, studies
from study.sanitize import redact
from study.tracking.mlflow_store import BrokenStore, check_uri, fault
from trainables.errors import BadInput

State = Literal["ok", "warning", "broken"]
ROOT = Path(__file__).resolve().parents[2]
GB = 10**9
LOW_DISK, NO_DISK = 10 * GB, GB // 2  # a large encoder's stage has 2.2 GB
LOW_MEMORY, LOW_SHM = 4 * GB, GB // 2
SKEW_S = 5.0
LOOK_S = 5.0  # timeout of network requests
PROCESS_S = 120.0  # for torch or Ray to start on a busy machine

GPU_CODE = """
import json, torch
found = []
for n in range(torch.cuda.device_count()):
    p = torch.cuda.get_device_properties(n)
    found.append([p.name, p.total_memory, torch.cuda.is_bf16_supported(including_emulation=False)])
print(json.dumps({"cuda": torch.version.cuda, "gpus": found}))
"""
RAY_CODE = """
import json, sys
from study.execution.ray_cluster import start_ray
with start_ray(sys.argv[1] or None) as resources:
    import ray
    answer = ray.get(ray.remote(lambda: 7).options(num_cpus=0.01).remote())
print(json.dumps({"resources": dict(resources), "answer": answer}))
"""


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        said: the result in one line.
        mend: how to fix it: a command or a step; "" if nothing is wrong.
    """

    name: str
    state: State
    said: str
    mend: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return literals for --json."""
        return asdict(self)


def check_all(
    home: Path, *, encoder: str = "pocket", address: str | None = None, mlflow_uri: str | None = None, ray: bool = False
) -> list[Check]:
    """Run all checks; an unexpected error in one counts as broken."""
    asked: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("python", check_versions),
        ("ray", lambda: [check_ray(address, start=ray)]),
        ("gpu", lambda: [check_gpus()]),
        ("memory", lambda: [check_memory(), check_shm()]),
        ("home", lambda: [check_home(home), check_room(home), check_leftovers(home)]),
        ("studies", lambda: [check_studies(home), check_optuna(home)]),
        ("mlflow", lambda: [check_mlflow(home, mlflow_uri)]),
        ("encoder", lambda: [check_encoder(encoder)]),
    ]
    found: list[Check] = []
    for name, check in asked:
        try:
            found += check()
        except Exception as error:
            found.append(Check(name, "broken", f"cannot be checked: {type(error).__name__}: {error}"))
    return found


def check_versions() -> list[Check]:
    """Compare Python and libraries with the project's requirements.

    All libraries that meet them share one line.
    """
    wanted, python = _requirements()
    own = platform.python_version()
    right = SpecifierSet(python).contains(own)
    mend = "" if right else f"make a virtual environment with Python {python}"
    found = [Check("python", "ok" if right else "broken", f"Python {own}, required {python}", mend)]
    fit = []
    for wish in wanted:
        try:
            have = version(wish.name)
        except PackageNotFoundError:
            have = ""
        if wish.specifier.contains(have, prereleases=True) if have else False:
            fit.append(f"{wish.name} {have}")
            continue
        said = f"{wish.name} {have or 'is not installed'}, required {wish.specifier}"
        found.append(Check("libraries", "broken", said, f"pip install {shlex.quote(str(wish).split(';')[0])}"))
    shown = [text for text in fit if text.split()[0] in ("torch", "ray", "transformers", "optuna", "mlflow")]
    return [*found, Check("libraries", "ok", f"{len(fit)} of {len(wanted)} as required: {', '.join(shown)}")]


def _requirements() -> tuple[list[Requirement], str]:
    """Read the project's requirements, and the required Python.

    They are in pyproject.toml, or in the metadata of an installation without it.
    """
    file = ROOT / "pyproject.toml"
    if file.exists():
        project = tomllib.loads(file.read_text())["project"]
        return [Requirement(text) for text in project["dependencies"]], project["requires-python"]
    parsed = map(Requirement, requires("stepstone") or [])
    return [r for r in parsed if not r.marker or r.marker.evaluate({"extra": ""})], ">=3.11"


def check_ray(address: str | None, *, start: bool) -> Check:
    """Check that Ray can start here, or answers at its address.

    Args:
        start: start or join Ray and run a task; False checks the ports only.
    """
    if start:
        return _run_ray(address)
    if not address:
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", 0))
            except OSError as error:
                said = f"no port of 127.0.0.1 can be bound: {error.strerror}"
                return Check("ray", "broken", said, "check the firewall and the limits of the container")
        try:
            check_processes()
            said = f"ports of 127.0.0.1 can be bound, files are in {session_folder(os.environ)}"
            said += ", a token of its own, as HOME cannot keep one" if own_token(os.environ) else ""
        except BadInput as error:
            return Check("ray", "broken", str(error), "see the limits of the container or the job")
        return Check("ray", "ok", f"{said} (--ray starts Ray to check it fully)")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return Check("ray", "ok", f"{address!r} was not checked (--ray joins it)")
    try:
        socket.create_connection((host, int(port)), LOOK_S).close()
    except OSError as error:
        return Check("ray", "broken", f"nothing answers at {address!r}: {error}", "ray start --head, on that machine")
    return Check("ray", "ok", f"the port of {address!r} is open (--ray joins it)")


def _run_ray(address: str | None) -> Check:
    code, said = _python(RAY_CODE, address or "")
    if code:
        return Check(
            "ray", "broken", said, "ray stop, then try again; a busy machine may need longer" if not address else ""
        )
    resources = json.loads(said)["resources"]
    shown = ", ".join(f"{int(resources.get(kind, 0))} {kind}" for kind in ("CPU", "GPU"))
    return Check("ray", "ok", f"starts and runs a task; {shown}")


def check_gpus() -> Check:
    """Check that torch can use the machine's GPUs.

    torch is loaded in another process, and only if there are GPUs.
    """
    there = [p for p in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", p.name)]
    if not there and not shutil.which("nvidia-smi"):
        return Check("gpu", "ok", "this machine has none: trials train on CPUs")
    code, said = _python(GPU_CODE)
    if code:
        return Check("gpu", "broken", f"torch does not start: {said}", "pip install --force-reinstall torch")
    found = json.loads(said)
    gpus = found["gpus"]
    if not gpus:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        if hidden is not None:
            return Check("gpu", "warning", f"hidden: CUDA_VISIBLE_DEVICES={hidden!r}", "unset CUDA_VISIBLE_DEVICES")
        build = f"built for CUDA {found['cuda']}" if found["cuda"] else "built without CUDA"
        mend = "install the driver that this torch needs, or a torch build for your driver: pytorch.org/get-started"
        return Check("gpu", "broken", f"the machine has GPUs, but torch, {build}, finds none", mend)
    said = ", ".join(f"{name} {decimal(memory)}{'' if bf16 else ' without bf16'}" for name, memory, bf16 in gpus)
    return Check("gpu", "ok", f"{len(gpus)}: {said}; CUDA {found['cuda']}")


def check_memory() -> Check:
    """Check the usable cores and the free memory, and say what limits them."""
    cores, bytes_ = cpu_limits(), memory_limits()
    free = max(0, min(bytes_.values()))
    said = f"{_least(cores, str)} cores, {_least(bytes_, decimal)} of memory free"
    processes = usable_processes()
    said += "" if processes is None else f", {processes} processes"
    if free < LOW_MEMORY:
        return Check("memory", "warning", said, "stop other programs, or use a smaller encoder")
    return Check("memory", "ok", said)


def _least(limits: dict[str, int], show: Callable[[int], str]) -> str:
    """Show the smallest limit, with its name and the machine's own number if that is larger."""
    name = min(limits, key=lambda key: limits[key])
    least = show(max(0, limits[name]))
    return (
        least if limits[name] == limits["machine"] else f"{least} ({name}; the machine has {show(limits['machine'])})"
    )


def check_shm() -> Check:
    """Check the free space of /dev/shm.

    Ray's object store is there, or on disk if /dev/shm is too small.
    """
    folder = Path("/dev/shm")
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return Check("shared memory", "ok", "no writable /dev/shm: Ray stores its objects on disk")
    free = shutil.disk_usage(folder).free
    said = f"{decimal(free)} free in /dev/shm"
    return (
        Check("shared memory", "warning", said, "docker run --shm-size=2g")
        if free < LOW_SHM
        else Check("shared memory", "ok", said)
    )


def check_home(home: Path) -> Check:
    """Check the file operations that store and record rely on.

    These are exclusive create, rename of a folder, file locks, and the clock.
    """
    mend = "choose another --home; on NFS, version 4 with its lock service"
    step = "be written"
    if not home.exists():
        if os.access(nearest(home), os.W_OK):
            return Check("home", "ok", f"{home} does not exist yet: the first launch makes it")
        return Check("home", "broken", f"{home} cannot be made: {owned(nearest(home))} is not writable", mend)
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=".doctor-") as name:
            folder = Path(name)
            (folder / "a").mkdir()
            file = folder / "a" / "file"
            handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            step = "lock a file"
            fcntl.flock(handle, fcntl.LOCK_EX)
            os.write(handle, b"x")
            os.fsync(handle)
            os.close(handle)
            step = "refuse to create a file twice"
            try:
                os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                return Check("home", "broken", f"{home} cannot {step}", mend)
            except FileExistsError:
                pass
            step = "rename a folder"
            os.rename(folder / "a", folder / "b")
            skew = abs((folder / "b" / "file").stat().st_mtime - time.time())
    except OSError as error:
        return Check("home", "broken", f"{home} cannot {step}: {error.strerror}", mend)
    if skew > SKEW_S:
        return Check(
            "home", "warning", f"the clock of {home} is {skew:.0f} s off this machine's", "set the clocks (NTP)"
        )
    return Check("home", "ok", f"{home} can be written; exclusive create, rename and locks work")


def check_room(home: Path) -> Check:
    """Check the free disk space of the home."""
    free = shutil.disk_usage(nearest(home)).free
    state: State = "broken" if free < NO_DISK else "warning" if free < LOW_DISK else "ok"
    mend = "" if state == "ok" else f"{command('gc', home=home)}, or choose another --home"
    return Check("disk", state, f"{decimal(free)} free in the home", mend)


def check_leftovers(home: Path) -> Check:
    """Find damaged stages, stale leases and other leftovers of killed processes."""
    disk = Disk(home)
    left = disk.leftovers()
    if not left:
        return Check("leftovers", "ok", "no damaged stages, no stale leases")
    counts = {kind: sum(item.path.parent.name == kind for item in left) for kind in ("damaged", "leases")}
    stale = f"leases untouched for {LEFT_S / 60:.0f} minutes"
    said = (
        f"{counts['damaged']} damaged stages, {counts['leases']} {stale}, {len(left) - sum(counts.values())} others: "
        f"{decimal(sum(item.bytes for item in left))}"
    )
    return Check("leftovers", "warning", said, f"{command('gc', '--dry-run', home=home)}, then without --dry-run")


def check_studies(home: Path) -> Check:
    """Check that all studies' settings and records are readable."""
    names, broken = studies(home), []
    for name in names:
        try:
            record = Record(home, name)
            record.settings, record.trials()
        except (BadInput, OSError) as error:
            broken.append(f"{name!r}: {error}")
    if broken:
        said = f"{len(broken)} of {len(names)} cannot be read: {'; '.join(broken)}"
        return Check("studies", "broken", said, f"do as they say, or move them out of {home / 'studies'}")
    return Check("studies", "ok", f"{len(names)} in the home, all can be read")


def check_optuna(home: Path) -> Check:
    """Check that all Optuna journals are lines of JSON.

    Only the last line may be half-written.
    """
    journals = sorted((home / "studies").glob("*/optuna.journal"))
    for path in journals:
        lines = path.read_bytes().splitlines()
        for number, line in enumerate(lines[:-1], 1):
            try:
                json.loads(line)
            except ValueError:
                mend = f"{command('resume', path.parent.name, home=home)} sets it aside and rebuilds it from the record"
                return Check("optuna", "broken", f"line {number} of {path} is not JSON", mend)
    return Check("optuna", "ok", f"{len(journals)} journals, all can be read")


def check_mlflow(home: Path, uri: str | None = None) -> Check:
    """Check that the home's MLflow store, or another store or server, can be used."""
    try:
        if uri:
            return Check("mlflow", "ok", f"{redact(check_uri(uri))} can be used")
        path = home / "mlflow.db"
        if not path.exists():
            return Check("mlflow", "ok", f"{path} does not exist yet: the first study creates it")
        old = fault(path)
    except BadInput as error:
        sync = " && ".join(command("sync", name, home=home, mlflow_uri=uri) for name in studies(home) or ["NAME"])
        does = "sets it aside and rebuilds it" if isinstance(error, BrokenStore) else "brings it up to date after that"
        return Check("mlflow", "broken", str(error), f"{sync} {does} from the record; studies run without it")
    return Check("mlflow", "ok", f"{old}: the next study migrates it" if old else f"{path} can be used")


def check_encoder(encoder: str) -> Check:
    """Check that the encoder exists in safetensors format, and can be loaded.

    The pocket encoder's hash is compared with its CARD.md.
    """
    try:
        weights = resolve(encoder)
        warning = check_loads(weights) if weights and encoder != "pocket" else ""
    except BadInput as error:
        return Check("encoder", "broken", str(error), "set --encoder to an existing encoder")
    if weights is None:
        return Check("encoder", "ok", f"{encoder} is made by a stage of the study")
    if encoder == "pocket":
        folder = Path(weights.location)
        with open(folder / "model.safetensors", "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found not in (folder / "CARD.md").read_text():
            said = f"the weights in {folder} are not those of its CARD.md"
            return Check("encoder", "broken", said, "git checkout -- trainables/pocket/encoder, or install again")
    if warning:
        return Check("encoder", "warning", warning, "choose another --encoder if a target has these letters")
    return Check("encoder", "ok", f"{encoder}: {weights.location.removeprefix('hub:')}")


def _python(code: str, *argv: str) -> tuple[int, str]:
    """Run Python code in another process, with a timeout.

    Returns:
        (exit status, last line of output).
    """
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=PROCESS_S, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer within {PROCESS_S:.0f} s"
    said: Any = ended.stderr if ended.returncode else ended.stdout
    lines = [line for line in said.splitlines() if line.strip()]
    return ended.returncode, lines[-1] if lines else "no output"
