"""The Python API: examples of README and docs, custom values, no side effects."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stepstone
from study.cli_parser import spec_of
from study.launch import parser
from study.planning.plan import Plan, Planner
from study.record.record import Trial
from study.spec.initial_trials import initial_trials
from tests import ROOT
from tests.trainables.catalogue.test_schemas import build
from trainables.errors import BadInput
from trainables.recipe import Recipe

SPEC = stepstone.StudySpec(space="intermediate_tasks", targets=("xnli",), intermediate=("mnli",), scale=0.02)


def blocks(page: str) -> list[str]:
    """Find the Python examples of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the default home at an empty folder."""
    monkeypatch.setenv("STEPSTONE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import stepstone, sys; stepstone.StudySpec, stepstone.Study; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    heavy = {"torch", "ray", "mlflow", "transformers", "datasets", "sklearn", "scipy", "optuna", "pandas"}
    assert not heavy & set(loaded.split())


def test_every_name_is_there_and_no_other() -> None:
    assert {name for name in dir(stepstone) if getattr(stepstone, name) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'Studies'"):
        stepstone.Studies  # noqa: B018


def test_a_spec_has_the_options_of_launch() -> None:
    options = "--space intermediate_tasks --targets xnli --intermediate mnli --scale 0.02".split()
    assert spec_of(parser().parse_args(options)) == SPEC


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": "intermedate_tasks"}, "did you mean 'intermediate_tasks'"),
        ({"targets": ("xnly",)}, "did you mean 'xnli'"),
        ({"targets": "xnli"}, "must be a list of names, not the text 'xnli'"),
        ({"targets": ()}, "targets is an empty list"),
        ({"targets": (3,)}, "must be a list of names, not 3"),
        ({"align_on": "all"}, "must be a list of names, not the text 'all'"),
        ({"robust": "random"}, "must be a list of names, not the text 'random'"),
        ({"space": 3}, "space must be a name or a Space, not 3"),
        ({"intermediate": ("mnli", "mnli")}, "has duplicate names"),
        ({"scale": 2.0}, "--scale"),
        ({"pooling": "men"}, "did you mean 'mean'"),
        ({"align_phase": "targets"}, "did you mean 'target'"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_made(values: dict[str, Any], message: str, own_home: Path) -> None:
    with pytest.raises(stepstone.BadInput, match=re.escape(message)):
        stepstone.Study.create(stepstone.StudySpec(**{**vars(SPEC), **values}))
    assert not own_home.exists()


def test_options_of_a_run_are_checked(own_home: Path) -> None:
    study = stepstone.Study.create(SPEC)
    for wrong, message in (({"workers": 0}, "--workers"), ({"max_bytes": "20 G B"}, "20 G B")):
        with pytest.raises(stepstone.BadInput, match=message):
            study.run(**wrong)


def test_a_study_that_has_not_run_says_so(own_home: Path) -> None:
    study = stepstone.Study.create(SPEC, name="mine")
    assert repr(study) == f"<Study 'mine' in {str(own_home)!r}: not run yet>"
    for ask in (study.report, study.matrix, study.to_frame):
        with pytest.raises(stepstone.BadInput, match="study 'mine' has not run yet: call run()"):
            ask()


def test_a_spec_shows_what_is_set() -> None:
    assert repr(SPEC) == (
        "StudySpec(space='intermediate_tasks', targets=('xnli',), intermediate=('mnli',), scale=0.02)"
    )


@pytest.mark.slow
def test_the_example_of_the_readme_runs_in_a_jupyter_kernel(own_home: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    (example,) = blocks("README.md")
    shown = "print(list(study.matrix().columns), sorted(scores.columns), best.name, same.status().counts)"
    make: Any = nbformat.v4  # untyped
    notebook = make.new_notebook(cells=[make.new_code_cell(source) for source in (example, shown)])
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    text = "".join(output.get("text", "") for output in notebook.cells[1].outputs)
    assert "['Tatoeba', 'XNLI', 'average']" in text
    assert "{'complete': 2}" in text
    assert "['gain', 'interval', 'language', 'metric', 'recipe', 'seed', 'split', 'target', 'value']" in text


@pytest.mark.slow
def test_a_space_and_a_dataset_of_ones_own_in_a_thread(tmp_path: Path, nano: Path, own_home: Path) -> None:
    """As in docs/python.md, to the end.

    It runs outside the main thread, so that no signal handler can be changed.
    """
    space, data = blocks("docs/python.md")
    folder = tmp_path / "mirror"
    for language in ("en", "de", "sw"):
        for split, rows in (("train", 96), ("validation", 60), ("test", 60)):
            texts = [
                f"{language} ticket {n} {'bill' if n % 3 == 0 else 'late' if n % 3 == 1 else 'hello'}"
                for n in range(rows)
            ]
            table = pa.table({"text": texts, "label": [n % 3 for n in range(rows)]})
            path = folder / "me/support-tickets" / language / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)
    names: dict[str, Any] = {"folder": folder, "encoder": str(nano)}
    exec(space, names)
    exec(data, names)
    assert [recipe.name for recipe in names["study"].plan().recipes] == ["no intermediate task", "MNLI", "SQuAD"]
    spec = stepstone.StudySpec(**{**vars(names["spec"]), "space": names["single"], "scale": 0.5})
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    found: list[Any] = []

    def work() -> None:
        study = stepstone.Study.create(spec, name="tickets")
        study.run(quiet=True)
        found.extend((study.matrix(), study.to_frame()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    matrix, frame = found
    assert list(matrix.index) == ["no intermediate task", "Tickets"] and list(matrix.columns) == ["Tickets", "average"]
    assert matrix.notna().all().all()
    assert set(frame["language"]) == {"en", "de", "sw"} and set(frame["split"]) == {"test"}
    own = frame[frame["recipe"] == "no intermediate task"]
    assert (own["gain"] == 0).all() and own["interval"].isna().all()


def finish_baseline(study: stepstone.Study) -> tuple[Recipe, Plan]:
    """Record the baseline as complete, as if its evaluations were finished."""
    recipe = initial_trials(study.spec)[0][0]
    plan = Planner(study.source, study.weights, False).plan(recipe, study.spec.seeds)
    study.record.open(study.spec)
    done: dict[str, Any] = {"status": "complete", "evaluations": plan.evaluations(), "params": {}}
    study.record.add_trial(Trial(address=recipe.address, name="baseline", recipe=recipe, **done))
    return recipe, plan


@pytest.mark.slow
def test_a_moved_encoder_is_the_same_as_long_as_its_weights_are(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(ROOT / "trainables/pocket/encoder", first)
    home, spec = tmp_path / "home", replace(SPEC, encoder=str(first))
    study = stepstone.Study.create(spec, name="a", home=home)
    recipe, plan = finish_baseline(study)
    first.rename(second)
    lost = stepstone.Study.open("a", home=home)
    advice = f"if it was moved, `python -m study.resume a --home {home} --encoder FOLDER` goes on"
    with pytest.raises(BadInput, match=re.escape(f"the encoder's folder {str(first)!r} is gone; {advice}")):
        lost.plan()
    launched = stepstone.Study.create(replace(spec, encoder=str(second)), name="a", home=home)
    resumed = stepstone.Study.open("a", home=home, encoder=str(second))
    for again in (launched, resumed):
        assert (again.spec.encoder, again.spec.weights_from) == (str(first), str(second))
        assert initial_trials(again.spec)[0][0] == recipe, "a recipe keeps its id"
        assert Planner(again.source, again.weights, False).plan(recipe, 1).evaluations() == plan.evaluations()
    resumed.record.open(resumed.spec)  # as a launch does
    later = stepstone.Study.open("a", home=home)
    assert later.weights is not None and later.weights.location == str(second), "where it was found last"
    changed = json.loads((second / "config.json").read_text()) | {"initializer_range": 0.5}
    (second / "config.json").write_text(json.dumps(changed))
    with pytest.raises(BadInput, match="already exists with encoder"):
        stepstone.Study.open("a", home=home, encoder=str(second))
    with pytest.raises(BadInput, match="already exists with encoder"):
        stepstone.Study.create(replace(spec, encoder=str(second)), name="a", home=home)


@pytest.mark.slow
def test_a_moved_mirror_is_the_same_source_as_long_as_its_rows_are(tmp_path: Path) -> None:
    """Where a folder is found says nothing about the rows that finished evaluations read."""
    first, second = tmp_path / "first", tmp_path / "second"
    encoder = shutil.copytree(ROOT / "trainables/pocket/encoder", tmp_path / "encoder")
    build("mnli", first)
    build("xnli", first)
    home, spec = tmp_path / "home", replace(SPEC, encoder=str(encoder), scale=1.0, source=f"mirror:{first}")
    study = stepstone.Study.create(spec, name="a", home=home)
    recipe, plan = finish_baseline(study)
    first.rename(second)
    moved = replace(spec, source=f"mirror:{second}")
    assert stepstone.Study.create(moved, name="a", home=home).spec.source == f"mirror:{second.resolve()}"
    with pytest.raises(BadInput, match="already exists with source"):
        stepstone.Study.create(replace(spec, source="pocket"), name="a", home=home)
    (file,) = second.glob("**/de/test*.parquet")
    rows = file.read_bytes()
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(BadInput, match="already exists with source"):
        stepstone.Study.create(moved, name="a", home=home)
    file.write_bytes(rows)
    again = stepstone.Study.create(moved, name="a", home=home)
    again.record.open(again.spec)  # as a launch does
    resumed = stepstone.Study.open("a", home=home)
    found = Planner(resumed.source, resumed.weights, False).plan(recipe, resumed.spec.seeds)
    assert found.evaluations() == plan.evaluations(), "a resume finds the rows where the last launch did"
