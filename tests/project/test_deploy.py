"""Shipped cluster files: valid syntax, existing commands, documented behaviour.

The Slurm script behaves as its page describes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests import ROOT
from tools import local_ssh

DEPLOY = ROOT / "deploy"
SCRIPT = DEPLOY / "slurm.sh"

# Each fake command writes one line of JSON: its name and arguments. The first word of a step's command decides the rest.
FAKE = """#!{python}
import json, os, signal, sys, time
from pathlib import Path
me, argv = Path(sys.argv[0]).name, sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([me, *argv]) + "\\n")
def told(number, frame):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(json.dumps(["told to stop", me, *argv]) + "\\n")
    sys.exit(143)
signal.signal(signal.SIGTERM, told)
if me == "scontrol" and argv[:2] == ["show", "job"]:
    print("   JobState={{STATE}} Reason=None\\n   StartTime=Unknown EndTime={{END}} Deadline=N/A".format(**os.environ))
elif me == "scontrol" and argv[0] == "show":
    print("n1\\nn2\\nn3")
elif me == "srun" and "hostname" in argv:
    print("10.1.2.3 fe80::1")
elif me == "srun" or os.environ.get("LONG") and "-m" in argv:
    time.sleep(60)
elif argv[0] == "-":
    compile(sys.stdin.read(), "slurm.sh", "exec")
    end = time.monotonic() + 30  # as the real one: until the nodes are there
    while Path(os.environ["CALLS"]).read_text().count('"--block"') < int(argv[2]) and time.monotonic() < end:
        time.sleep(0.05)
sys.exit(int(os.environ.get("EXIT", "0")) if "-m" in argv else 0)
"""


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def test_rays_own_schema_takes_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    (config,) = documents("ray-cluster.yaml")
    assert config["provider"]["type"] == "local" and {"cluster_name", "auth"} <= config.keys()
    prepared = prepare_config(config)
    validate_config(prepared)
    (node,) = prepared["available_node_types"].values()
    assert node["min_workers"] == node["max_workers"] == len(config["provider"]["worker_ips"])
    started = {side: " ".join(config[f"{side}_start_ray_commands"]) for side in ("head", "worker")}
    assert "--head" in started["head"] and "--dashboard-host=127.0.0.1" in started["head"]
    assert "--address=$RAY_HEAD_IP:6379" in started["worker"]
    assert all(
        "RAY_AUTH_MODE=disabled" in line for line in started.values()
    )  # or a head finds a token that others do not show
    # Ray 2.60's second autoscaler takes the head for one of the local provider's workers, and never starts the last of them.
    assert "RAY_enable_autoscaler_v2=0" in started["head"]


def test_the_setup_puts_ray_on_the_path_once(tmp_path: Path) -> None:
    (config,) = documents("ray-cluster.yaml")
    (command,) = (line for line in config["setup_commands"] if ".bashrc" in line)
    env = {**os.environ, "HOME": str(tmp_path)}
    for _ in range(2):
        subprocess.run(["bash", "-c", command], env=env, check=True)
    assert (tmp_path / ".bashrc").read_text().count("stepstone-venv") == 1
    (tmp_path / "stepstone-venv" / "bin").mkdir(parents=True)
    (tmp_path / "stepstone-venv" / "bin" / "ray").write_text("#!/bin/sh\necho found\n")
    (tmp_path / "stepstone-venv" / "bin" / "ray").chmod(0o755)
    # As Ray's launcher runs the commands of `ray down`.
    run = ["bash", "--login", "-c", "source ~/.bashrc; ray stop"]
    assert subprocess.run(run, env=env, capture_output=True, text=True).stdout == "found\n"


def test_the_local_machines_cluster_file_differs_in_the_marked_lines_only() -> None:
    shipped = (DEPLOY / "ray-cluster.yaml").read_text().splitlines()
    written = local_ssh.cluster_file(Path("/rig/key")).splitlines()
    changed = [(old, new) for old, new in zip(shipped, written, strict=True) if old != new]
    marked = [old for old in shipped if "# CHANGE" in old]
    # The path of the checkout, which is marked once, is in a second line.
    assert [old for old, _ in changed if "pip install" not in old] == marked and len(changed) == len(marked) + 1
    config = yaml.safe_load("\n".join(written))
    head, *workers = list(local_ssh.ADDRESSES.values())[1:]
    assert (config["provider"]["head_ip"], config["provider"]["worker_ips"]) == (head, workers)
    assert config["auth"] == {"ssh_user": "root", "ssh_private_key": "/rig/key"}
    assert f"test -d {ROOT}" in config["setup_commands"]


@pytest.mark.slow
def test_local_machines_have_processes_and_files_of_their_own_and_are_taken_down() -> None:
    if lack := local_ssh.missing():
        pytest.skip(lack)
    # `ray up` itself, and a study on these machines, take minutes: docs/cluster.md has the commands.
    look = "hostname; echo $HOME; cat /proc/1/comm; ls /tmp; touch /tmp/mine; ~/stepstone-venv/bin/python -c 'print(6 * 7)'"
    with local_ssh.local_ssh() as rig:
        for name in ("head", "worker-1", "worker-2"):
            said = rig.folder / "said"
            assert rig.run("sh", "-c", f"ssh -F {rig.folder}/ssh_config {name} {shlex.quote(look)} > {said}") == 0
            hostname, home, first, *files, answer = said.read_text().split()
            assert (hostname, home, first) == (name, f"{rig.folder}/{name}/home", "sshd")
            assert "mine" not in files and answer == "42"
    assert not rig.folder.exists()
    left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(rig.folder) in _text(p)]
    assert left == []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended meanwhile
        return ""


def test_the_cloud_section_is_a_valid_cluster_file_once_its_comments_are_lifted() -> None:
    from ray.autoscaler._private.util import fill_node_type_min_max_workers, fillout_defaults, validate_config

    text = (DEPLOY / "ray-cluster.yaml").read_text()
    section = text[text.index("# provider:") : text.index("\nauth:")]
    cloud = yaml.safe_load(re.sub("^# ", "", section, flags=re.MULTILINE))
    (local,) = documents("ray-cluster.yaml")
    config = fillout_defaults({**{k: v for k, v in local.items() if k != "provider"}, **cloud})
    fill_node_type_min_max_workers(config)  # type: ignore[no-untyped-call]
    validate_config(config)
    assert config["head_node_type"] in config["available_node_types"]


def test_the_kubernetes_manifest_has_a_shared_home_a_cluster_and_a_study() -> None:
    claim, cluster, job = documents("kuberay.yaml")
    assert [d["kind"] for d in (claim, cluster, job)] == ["PersistentVolumeClaim", "RayCluster", "Job"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    head = cluster["spec"]["headGroupSpec"]
    pods = [head, *cluster["spec"]["workerGroupSpecs"], job["spec"]]
    for pod in (p["template"]["spec"] for p in pods):
        home = {v["name"]: v for v in pod["volumes"]}["home"]
        assert home["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        (container,) = pod["containers"]
        assert {"name": "home", "mountPath": "/shared"} in container["volumeMounts"]
        assert container["image"] == head["template"]["spec"]["containers"][0]["image"]
    (launch,) = job["spec"]["template"]["spec"]["containers"]
    env = {e["name"]: e["value"] for e in launch["env"]}
    assert env["RAY_HEAD"].startswith(f"{cluster['metadata']['name']}-head-svc:")
    assert env["STEPSTONE_HOME"].startswith("/shared/")
    assert '--address "$RAY_HEAD"' in launch["args"][0]


def test_the_manifests_versions_of_ray_are_ours() -> None:
    wanted = re.search(r'"ray\[.*\]>=([\d.]+),', (ROOT / "pyproject.toml").read_text())
    assert wanted and documents("kuberay.yaml")[1]["spec"]["rayVersion"].startswith(wanted[1])


@pytest.mark.parametrize("name", sorted(p.name for p in DEPLOY.iterdir()))
def test_commands_in_the_files_exist_with_their_options(name: str) -> None:
    from study.cli import VERBS

    text = (DEPLOY / name).read_text()
    found = re.findall(r"python -m study\.([a-z]\w*)((?:[^\n`]|\\\n)*)", text)
    assert found or name == "ray-cluster.yaml"
    for verb, rest in found:
        assert verb in VERBS, verb
        source = "".join((ROOT / "study" / f"{file}.py").read_text() for file in (verb, "cli_parser"))
        common = re.findall(r"common=\((.*)\)", text)  # what the Slurm script gives to both verbs
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join([rest, *common])):
            assert f'"{option}"' in source, f"study.{verb} {option}"


@pytest.mark.parametrize("name", sorted(p.name for p in DEPLOY.iterdir()))
def test_the_page_has_a_section_for_each_file(name: str) -> None:
    page = (ROOT / "docs" / "cluster.md").read_text()
    assert re.search(rf"^## .*\]\(\.\./deploy/{re.escape(name)}\)", page, re.MULTILINE)


class Slurm:
    """The Slurm script with fake commands."""

    def __init__(self, folder: Path) -> None:
        self.home, self.calls_file, bin_ = folder / "home", folder / "calls", folder / "bin"
        self.home.mkdir()
        bin_.mkdir()
        for name in ("srun", "ray", "scontrol", "python"):
            (bin_ / name).write_text(FAKE.format(python=sys.executable))
            (bin_ / name).chmod(0o755)
        slurm = {"SLURM_JOB_ID": "4242", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_CPUS_PER_TASK": "8"}
        own = {"NAME": "s", "STEPSTONE_HOME": str(self.home), "CALLS": str(self.calls_file), "STOP_S": "5"}
        self.env = {**os.environ, **slurm, **own, "PATH": f"{bin_}:{os.environ['PATH']}"}

    def start(self, *argv: str, **env: str) -> subprocess.Popen[str]:
        command = ["bash", str(SCRIPT), *argv]
        return subprocess.Popen(command, env={**self.env, **env}, stdout=subprocess.PIPE, text=True)

    def run(self, *argv: str, **env: str) -> int:
        process = self.start(*argv, **env)
        process.communicate(timeout=60)
        return process.returncode

    def calls(self, name: str) -> list[list[str]]:
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [call[1:] for call in map(json.loads, lines) if call[0] == name]

    def verbs(self) -> list[list[str]]:
        return [call[1:] for call in self.calls("python") if call[0] == "-m"]


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(tmp_path)


def test_the_script_is_bash() -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPT)]).returncode == 0
    assert os.access(SCRIPT, os.X_OK)


def test_a_first_run_starts_ray_on_every_node_and_launches(slurm: Slurm) -> None:
    assert slurm.run("--space", "intermediate_tasks", "--grid", WORKERS="2", SLURM_GPUS_ON_NODE="4") == 0
    steps = [" ".join(call) for call in slurm.calls("srun") if "ray" in call]
    assert len(steps) == 3 and all("--block" in s and "--num-gpus=4" in s and "--num-cpus=8" in s for s in steps)
    (head,) = (s for s in steps if "--nodelist=n1 " in s)
    assert "--head" in head and "--port=24242" in head and "--node-ip-address=10.1.2.3" in head
    for node in ("n2", "n3"):
        (step,) = (s for s in steps if f"--nodelist={node} " in s)
        assert "--address=10.1.2.3:24242" in step and "--head" not in step
    common = ["--home", str(slurm.home), "--address", "10.1.2.3:24242", "--workers", "2"]
    assert slurm.verbs() == [["study.launch", "--space", "intermediate_tasks", "--grid", "--name", "s", *common]]
    assert ["-", "10.1.2.3:24242", "3", "300"] in slurm.calls("python")
    assert len([call for call in slurm.calls("told to stop") if call[0] == "srun"]) == 3  # no step is left behind
    assert slurm.calls("ray") == []  # `ray stop` would reach other jobs on the node


def test_a_later_run_resumes(slurm: Slurm) -> None:
    study = slurm.home / "studies" / "s" / "study.json"
    study.parent.mkdir(parents=True)
    study.write_text("{}")
    assert slurm.run("--space", "intermediate_tasks", MLFLOW_URI="http://m:5000") == 0
    common = ["--home", str(slurm.home), "--address", "10.1.2.3:24242", "--workers", "1"]
    assert slurm.verbs() == [["study.resume", "s", *common, "--mlflow-uri", "http://m:5000"]]


def test_the_studys_exit_code_is_the_jobs(slurm: Slurm) -> None:
    assert slurm.run(EXIT="2") == 2
    assert slurm.calls("scontrol") == [["show", "hostnames", "n[1-3]"]]


@pytest.mark.parametrize(("state", "left_s"), [("RUNNING", 120), ("RUNNING", 9000), ("COMPLETING", 0)])
def test_a_signal_stops_the_study_then_ray_and_asks_for_more_time(slurm: Slurm, state: str, left_s: int) -> None:
    end = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + left_s))
    process = slurm.start(LONG="1", STATE=state, END=end)
    deadline = time.monotonic() + 30
    while not slurm.verbs() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=40)
    assert process.returncode == 143
    told = [call[0] for call in slurm.calls("told to stop")]
    assert told[0] == "python" and sorted(told[1:]) == ["srun"] * 3
    # A job that is cancelled or preempted gets the same signal: Slurm itself decides what follows.
    assert (["requeue", "4242"] in slurm.calls("scontrol")) == (left_s == 120)


@pytest.mark.parametrize("missing", ["NAME", "STEPSTONE_HOME"])
def test_what_the_script_needs_is_asked_for_before_anything_starts(slurm: Slurm, missing: str) -> None:
    del slurm.env[missing]
    done = subprocess.run(["bash", str(SCRIPT)], env=slurm.env, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and missing in done.stderr
    assert slurm.calls("srun") == []
