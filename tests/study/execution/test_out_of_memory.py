"""A trial killed by Ray's memory monitor restarts with less; others continue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests import ROOT

FREE = 4_500_000_000  # bytes from which on the monitor kills: more than other tests take meanwhile

# Two trials: one takes more memory than there is until it is asked to take less, the other goes on beside it.
SCRIPT = """
import json, logging, sys, time
from pathlib import Path
from study.execution.ray_cluster import restart_trials_killed_for_memory, start_ray

def trial(config):
    from ray import tune
    held = bytearray(0)
    for _ in range(config["blocks"]):
        held += bytes([1]) * (100 << 20)
        time.sleep(0.1)
    time.sleep(1 if config["blocks"] else 25)
    tune.report({"score": config["blocks"]})

said = []

def restart(trial):
    from study.execution.worker_failures import is_short_of_memory
    said.append(is_short_of_memory(Path(trial.error_file).read_text()))
    trial.config["blocks"] = 1
    trial.update_resources(tune.PlacementGroupFactory([{"CPU": 1, "memory": 2e6}]))

with start_ray(None):
    restart_trials_killed_for_memory()
    from ray import tune
    from study.search.searcher import EveryTrial
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    tuner = tune.Tuner(
        tune.with_resources(trial, {"CPU": 1, "memory": 1e6}),
        param_space={"blocks": tune.grid_search([0, 80])},
        tune_config=tune.TuneConfig(scheduler=EveryTrial(restart), metric="score", mode="max"),
        run_config=tune.RunConfig(storage_path=sys.argv[1], verbose=0, failure_config=tune.FailureConfig(max_failures=5)),
    )
    results = tuner.fit()
    print(json.dumps({"said": said, "scores": sorted(r.metrics["score"] for r in results), "errors": len(results.errors)}))
"""


@pytest.mark.slow
def test_a_trial_that_the_memory_monitor_kills_starts_again_with_less(tmp_path: Path) -> None:
    memory = psutil.virtual_memory()
    if memory.available < 12e9:
        pytest.skip("it takes 12 GB of free memory to see who is killed")
    threshold = (memory.total - memory.available + FREE) / memory.total
    environment = {**os.environ, "RAY_memory_usage_threshold": f"{threshold:.3f}"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found == {"said": [True], "scores": [0, 1], "errors": 0}
    assert "Traceback" not in done.stdout + done.stderr and "(raylet)" not in done.stdout + done.stderr
