"""Clusters of several raylets: workers on two nodes, a killed node.

About three minutes: every launch starts its own processes, and a dead worker's lease lives for a minute.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.record.heartbeat import states
from study.record.record import Record, Trial
from study.store.store import Store
from tests import ROOT
from tests.small import as_checked
from trainables import pocket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAME = "s"
STUDY = ["--space", "intermediate_tasks", "--name", NAME, "--workers", "2", "--targets", "tatoeba"]
STUDY += ["--intermediate", "mnli"]
NANO = [*STUDY, "--encoder", "pretrain:nano", "--scale", "0.3", "--trials", "1"]
LIMIT_S = 400.0


@contextmanager
def cluster(cpus: int, **nodes: int) -> Iterator[Any]:
    """Start a head with some CPUs, and nodes named by a custom resource."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus})
    try:
        for name, own in nodes.items():
            made.add_node(num_cpus=own, resources={name: 1})
        yield made
    finally:
        made.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def launch(cluster: Any, home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start a launch on the cluster; `report` waits for its end."""
    command = [sys.executable, "-m", "study.launch", *options, "--home", str(home), "--json", "--address"]
    process = subprocess.Popen(
        [*command, cluster.address], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def report(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    return json.loads(out)


def workers(node: Any) -> list[int]:
    """List the training processes on a node."""
    (raylet,) = node.all_processes["raylet"]
    return [p.pid for p in psutil.Process(raylet.process.pid).children() if "TrainWorker" in " ".join(_command(p))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # it ended meanwhile
        return []


def wait_for(found: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Return what `found` returns as soon as it is true.

    Fails when the launch ends first.
    """
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if value := found():
            return value
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    raise TimeoutError("the launch did not get there")


def trains(home: Path) -> bool:
    """Return whether a trial has trained some steps and is still training."""
    return any(0 < state.step < state.steps for state in states(home / "studies" / NAME).values())


def scores(found: Any) -> dict[str, dict[str, float]]:
    """Map rows to languages to scores."""
    return {
        row["name"]: {language: m["accuracy"] for language, m in row["targets"]["tatoeba"]["languages"].items()}
        for row in found["matrix"]
    }


def trial_of(home: Path) -> Trial:
    (trial,) = Record(home, NAME).trials().values()
    return trial


def nothing_runs(home: Path) -> None:
    """Assert that no view of the study has a running trial."""
    from mlflow import MlflowClient

    from study.search.searcher import open_optuna

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    assert {run.info.status for run in client.search_runs([experiment.experiment_id])} == {"FINISHED"}
    # Opening it marks trials that a dead driver left RUNNING as FAIL, which would show here.
    recipe = next(iter(Record(home, NAME).trials().values())).recipe
    study = open_optuna(home / "studies" / NAME, NAME, lambda suggest: recipe)
    assert {t.state.name for t in study.trials} == {"COMPLETE"}
    assert states(home / "studies" / NAME) == {}
    assert list((home / "leases").iterdir()) == []


@pytest.fixture(scope="module")
def one() -> Iterator[Any]:
    """Start a cluster of one node."""
    with cluster(3) as made:
        yield made


@pytest.fixture(scope="module")
def one_node(one: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return a home and the report of its undisturbed study."""
    home = tmp_path_factory.mktemp("one")
    with launch(one, home, *NANO) as process:
        return home, report(process)


@pytest.fixture(scope="module")
def broken(
    one: Any, one_node: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, dict[str, Trial]]:
    """Return report and trials of a study in which a row breaks.

    It has two workers, and the row of MNLI breaks after the check.
    """
    home, _ = one_node
    folder = tmp_path_factory.mktemp("mirror")
    places = {"tatoeba/de/validation": "google/xtreme/tatoeba.deu", "mnli/en/train": "nyu-mll/glue/mnli"}
    for key, place in places.items():
        table = pocket.table(*key.split("/"))
        assert table is not None
        table = table.slice(0, 100)
        if key.startswith("mnli"):
            table = table.set_column(2, "label", pa.array([7 if i == 70 else i % 3 for i in range(100)]))
        (folder / place).mkdir(parents=True)
        pq.write_table(table, folder / place / f"{key.split('/')[2]}.parquet")
    (encoder,) = (p for p in home.glob("stages/*/*/encoder") if '"pretrain"' in (p.parent / "stage.json").read_text())
    own = tmp_path_factory.mktemp("broken")
    options = [*STUDY, "--profile", "small", "--source", f"mirror:{folder}", "--encoder", str(encoder), "--trials", "2"]
    as_checked(own, *options)
    with launch(one, own, *options) as process:
        return report(process), {t.name: t for t in Record(own, NAME).trials().values()}


def test_a_row_that_breaks_on_the_first_worker_ends_the_others_at_once(broken: tuple[Any, dict[str, Trial]]) -> None:
    found, trials = broken
    assert found["trials"] == {"complete": 1, "pruned": 0, "failed": 1, "stopped": 0, "running": 0}
    failed = trials["MNLI"]
    assert failed.reason.startswith("DataError: mnli/en/train row 70: label 7 is not one of 0..2 (entailment, ")
    assert failed.retries == 0
    assert failed.seconds < 120  # the second worker waited for encoded rows that never came


@pytest.mark.parametrize("later", [False, True], ids=["a free node takes over", "a node that comes later takes over"])
def test_a_node_that_is_killed_in_a_trial_costs_a_retry_and_nothing_else(
    later: bool, one_node: tuple[Path, Any], tmp_path: Path
) -> None:
    with cluster(0, a=1, b=1, c=1) as made, launch(made, tmp_path, *NANO) as process:
        busy = wait_for(lambda: trains(tmp_path) and [n for n in made.worker_nodes if workers(n)], process)
        assert [len(workers(node)) for node in busy] == [1, 1]
        (lease,) = (tmp_path / "leases").iterdir()
        writer = int(lease.read_text().split(":")[1])
        (first,) = (node for node in busy if writer in workers(node))
        (second,) = (node for node in busy if node is not first)
        if later:
            (free,) = set(made.worker_nodes) - {first, second}
            made.remove_node(free, allow_graceful=False)
        made.remove_node(second if later else first, allow_graceful=False)
        if later:
            time.sleep(5)
            assert process.poll() is None
            made.add_node(num_cpus=1, resources={"d": 1})
        found = report(process)
    assert found["trials"] == {"complete": 1, "pruned": 0, "failed": 0, "stopped": 0, "running": 0}
    assert trial_of(tmp_path).retries >= 1
    for name, expected in scores(one_node[1]).items():
        assert scores(found)[name] == pytest.approx(expected, abs=1e-6)
    assert found["stages"]["run"] == one_node[1]["stages"]["run"]  # each stage once to its end
    store = Store(tmp_path)
    assert {store.info(p.name)["machine"]["workers"] for p in tmp_path.glob("stages/*/*")} == {2}
    nothing_runs(tmp_path)
