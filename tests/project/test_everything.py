"""Every dataset of a source end to end, once.

Trained, scored in every language, reported, submitted, logged: every target after nothing, and after a mix of all tasks,
GLUE's too, with masked LM. On the pocket data also a grid of every intermediate task by itself and the mixtures, on one
trained target and on retrieval. The whole product, each task with and without masked LM on every target, would test
nothing more about a dataset and takes some twenty minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from search_spaces.intermediate_tasks import mixtures
from study.planning.plan import scored_languages
from study.record.record import Record
from study.spec.recipe_file import recipe_toml
from study.spec.study_spec import ResolvedSpec
from study.store.store import Store
from study.xtreme.layout import TASKS, known_languages
from study.xtreme.scoring import score_folder
from tests.builders import resolved
from tests.study.execution.test_study import rows, verb
from tests.trainables.sources.test_real_data import HUB
from trainables.catalogue import DATASETS, dataset
from trainables.profiles import PROFILES
from trainables.recipe import Recipe
from trainables.sources import Source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NO_MIRROR = pytest.mark.skipif(not HUB.is_dir(), reason=f"no mirror of real data at {HUB}")
SOURCES = [pytest.param("pocket", id="pocket"), pytest.param(f"mirror:{HUB}", id="mirror", marks=NO_MIRROR)]
SCALE = "0.003"
LACKING = {"pocket": {"arcd", "klue_nli"}}  # targets in languages that the pocket world does not speak


@dataclass(frozen=True)
class Ran:
    """Options and reports of the launches on a source."""

    home: Path
    source: Source
    settings: ResolvedSpec  # with all targets and all intermediate tasks
    mixed: tuple[str, ...]  # those tasks, and GLUE's
    commands: dict[str, list[str]]  # study -> its options
    reports: dict[str, Any]


@pytest.fixture(scope="module", params=SOURCES)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    home = Path(tmp_path_factory.mktemp("home"))
    own = ["--source", request.param, "--encoder", "pretrain:nano", "--scale", SCALE]
    everything = ["--space", "intermediate_tasks", "--targets", "all", "--intermediate", "all", *own]
    settings, source = resolved(*everything)
    tasks = ",".join(settings.intermediate)
    glue = [d.name for d in DATASETS.values() if "glue" in d.roles and "en" in source.languages(d, "train")]
    mixed = tuple(dict.fromkeys([*settings.intermediate, *glue]))
    grid = ["--space", "intermediate_tasks", "--targets", "tatoeba,xnli", "--intermediate", tasks, "--grid", *own]
    profile = PROFILES[settings.profile]
    recipe = Recipe(
        encoder=settings.encoder, profile=settings.profile, targets=settings.targets, intermediate=mixed,
        mixing_limit=profile.mixing_limit, mlm_ratio=0.25, epochs=1.0, lr=5e-4, scale=settings.scale,
    )  # fmt: skip
    file = home / "mixed.toml"
    file.write_text(recipe_toml(recipe, settings, "all"))
    commands = {"targets": ["--name", "targets", "--recipe", str(file)]}
    if request.param == "pocket":
        commands["tasks"] = ["--name", "tasks", *grid]
    reports = {name: verb("launch", *command, home=home) for name, command in commands.items()}
    return Ran(home, source, settings, mixed, commands, reports)


def test_all_is_every_target_and_task_that_the_source_can_train_and_score(ran: Ran) -> None:
    targets = {d.name for d in DATASETS.values() if "target" in d.roles}
    tasks = {d.name for d in DATASETS.values() if "intermediate" in d.roles}
    lacking = LACKING.get(ran.source.spec, targets)
    assert targets - lacking <= set(ran.settings.targets) <= targets
    assert set(ran.settings.intermediate) <= tasks
    assert ran.settings.mlm
    assert len(ran.settings.targets) >= 12 and len(ran.settings.intermediate) >= 7
    if ran.source.spec == "pocket":
        assert set(ran.settings.intermediate) == tasks


def test_every_trial_is_complete(ran: Ran) -> None:
    tasks, mixed = ran.settings.intermediate, mixtures(ran.settings.intermediate)
    for name, report in ran.reports.items():
        assert report["failures"] == [], name
        wanted = 1 + len(tasks) + len(mixed) if name == "tasks" else 2
        assert report["trials"] == {"complete": wanted, "pruned": 0, "failed": 0, "stopped": 0, "running": 0}
        if name == "tasks":
            found = {tuple(sorted(row["recipe"].get("intermediate", ()))) for row in report["matrix"]}
            assert found == {(), *((task,) for task in tasks), *(tuple(sorted(mix)) for mix in mixed)}
    alone, both = (row["recipe"] for row in ran.reports["targets"]["matrix"])
    assert "intermediate" not in alone
    assert set(both["intermediate"]) == set(ran.mixed) and both["mlm_ratio"] == 0.25


def test_every_cell_holds_every_language_that_the_source_has(ran: Ran) -> None:
    for name, report in ran.reports.items():
        targets = ran.settings.targets if name == "targets" else ("tatoeba", "xnli")
        for row in report["matrix"]:
            assert set(row["targets"]) == set(targets)
            for target, cell in row["targets"].items():
                d = dataset(target)
                assert set(cell["languages"]) == {tag for tag, _ in scored_languages(ran.source, d)}
                for tag, metrics in cell["languages"].items():
                    assert set(metrics) == set(d.metrics), (target, tag)
                    least = -100 if {"mcc", "pearson"} & set(d.metrics) else 0
                    assert all(least <= value <= 100 for value in metrics.values()), (target, tag)
                assert cell["mean"] is not None and cell["gain"] is not None


def test_every_score_stands_in_mlflow(ran: Ran) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{ran.home / 'mlflow.db'}")
    for name, report in ran.reports.items():
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
        runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
        assert len(runs) == len(report["matrix"]) + 1  # and the report
        for title, row in rows(report).items():
            assert runs[title].info.status == "FINISHED"
            expected = {
                f"{target}/{tag}/{metric}": value
                for target, cell in row["targets"].items()
                for tag, metrics in cell["languages"].items()
                for metric, value in metrics.items()
            }
            found = runs[title].data.metrics
            assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_what_is_submitted_holds_every_target_of_xtreme_and_scores_as_reported(ran: Ran, tmp_path: Path) -> None:
    out, labels = tmp_path / "out", tmp_path / "out-labels"
    found = verb("submission", "targets", "--out", str(out), "--labels", home=ran.home)
    tasks = set(TASKS) & set(ran.settings.targets)
    assert {target["folder"] for target in found["targets"].values()} == tasks
    store, trials = Store(ran.home), Record(ran.home, "targets").trials()
    for target, entry in found["targets"].items():
        known = set(known_languages(TASKS[entry["folder"]]))
        assert set(entry["splits"]) == {tag for tag, _ in scored_languages(ran.source, dataset(target))} & known
        for tag in entry["splits"]:
            assert (out / TASKS[entry["folder"]].file(tag)).stat().st_size
        assert entry["evaluation"] in trials[entry["address"]].evaluations[target]
    compared = 0
    for task, scored in score_folder(out, labels, found["version"])["tasks"].items():
        reported = store.metrics(found["targets"][task]["evaluation"]).languages
        for tag, values in scored["languages"].items():
            shared = values.keys() & reported[tag].keys()
            assert {n: values[n] for n in shared} == pytest.approx({n: reported[tag][n] for n in shared}, abs=1e-9)
            compared += len(shared)
    assert compared > 60


def test_a_second_launch_trains_nothing_and_says_the_same(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.execution.driver.start_ray", lambda address: pytest.fail("Ray was started"))
    for name, command in ran.commands.items():
        again = verb("launch", *command, home=ran.home)
        assert (again["stages"]["run"], again["stages"]["train_steps"]) == (0, 0)
        assert again["matrix"] == ran.reports[name]["matrix"]


def test_the_whole_product_can_be_planned(ran: Ran) -> None:
    options = [
        "--space",
        "intermediate_tasks",
        "--targets",
        "all",
        "--intermediate",
        "all",
        "--source",
        ran.source.spec,
    ]
    found = verb("launch", *options, "--encoder", "pretrain:nano", "--scale", SCALE, "--dry-run", home=ran.home)
    assert found["recipes"] == 1 + 2 * (len(ran.settings.intermediate) + len(mixtures(ran.settings.intermediate)))
