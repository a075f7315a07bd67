"""Rows unfit for training or scoring are refused before a launch starts.

The error names dataset and language.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from search_spaces import space, space_names
from study.cli_parser import run_verb
from study.planning import rows_check
from study.planning.encoder_weights import resolve
from study.planning.plan import Plan, Planner
from study.planning.rows_check import FILE, check_rows, needed_by
from study.record.record import Record
from study.spec.initial_trials import initial_trials
from tests.builders import resolved
from tests.trainables.catalogue.test_schemas import write_parquet
from trainables import pocket
from trainables.catalogue import DATASETS, Dataset, dataset
from trainables.errors import BadInput
from trainables.metrics.formulas import MLQA_LANGUAGES, languages_compared
from trainables.sources import Source, open_source

LAUNCH = ("--space", "intermediate_tasks", "--encoder", "pretrain:nano", "--intermediate", "mnli")
# Rows of the pocket world in the hub's layout: file -> (dataset, language, split).
FILES = {
    "nyu-mll/glue/mnli/train": ("mnli", "en", "train"),
    "facebook/xnli/en/test": ("xnli", "en", "test"),
    "facebook/xnli/de/test": ("xnli", "de", "test"),
    "rajpurkar/squad/plain_text/train": ("squad", "en", "train"),
    "google/xtreme/MLQA.en.en/test": ("mlqa", "en", "test"),
    "google/xtreme/MLQA.de.de/test": ("mlqa", "de", "test"),
    "google/xtreme/udpos.English/train": ("udpos", "en", "train"),
    "google/xtreme/udpos.German/test": ("udpos", "de", "test"),
    "local/mlm/en/train": ("mlm", "en", "train"),
}
TOML = '[mlm.en]\ntrain = "local/mlm/en/train.parquet"\n'


def declaring(*labels: str) -> dict[str, Any]:
    """Make the features of NLI rows in a file that declares its labels."""
    text = {"dtype": "string", "_type": "Value"}
    return {"premise": text, "hypothesis": text, "label": {"names": list(labels), "_type": "ClassLabel"}}


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Write a mirror of a few valid pocket rows."""
    folder = tmp_path / "mirror"
    for path, key in FILES.items():
        table = pocket.table(*key)
        assert table is not None
        file = folder / f"{path}.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(table.slice(0, 80), file)
    (folder / "mirror.toml").write_text(TOML)
    return folder


@pytest.fixture
def on_mirror(home: Path, mirror: Path, refused: Callable[..., str]) -> Callable[..., str]:
    """Launch on the mirror, expect a refusal; return the one line."""

    def run(*argv: str) -> str:
        line = refused("launch", *LAUNCH, "--source", f"mirror:{mirror}", *argv)
        assert list(home.iterdir()) == [], "a refusal leaves nothing behind"
        return line

    return run


def plans_of(*argv: str) -> tuple[Source, list[Plan]]:
    settings, source = resolved(*argv)
    planner = Planner(source, resolve(settings.encoder))
    return source, [planner.plan(recipe, settings.seeds) for recipe, _ in initial_trials(settings)]


def replaced(file: Path, column: str, values: list[Any], kind: pa.DataType | None = None) -> None:
    table = pq.read_table(file)
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, pa.array(values, kind or table.schema.field(column).type)), file)


def test_sound_rows_pass(mirror: Path, home: Path) -> None:
    source, plans = plans_of(*LAUNCH, "--source", f"mirror:{mirror}", "--targets", "xnli,mlqa,udpos")
    assert {"mnli", "xnli", "squad", "mlqa", "udpos", "mlm"} == set(needed_by(plans))
    check_rows(source, plans, home, pytest.fail, read=False)
    assert not (home / FILE).exists()
    check_rows(source, plans, home, pytest.fail)
    assert sorted(json.loads((home / FILE).read_text()).values()) == ["mlm", "mlqa", "mnli", "squad", "udpos", "xnli"]


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["launch", "dry run"])
def test_a_language_without_rules_in_the_metric(
    on_mirror: Callable[..., str], mirror: Path, more: tuple[str, ...]
) -> None:
    (mirror / "mirror.toml").write_text(f'{TOML}[mlqa.ru]\ntest = "google/xtreme/MLQA.de.de/test.parquet"\n')
    line = on_mirror("--targets", "mlqa", *more)
    assert "mlqa/ru/test" in line
    assert "language 'ru' (allowed: ar, de, en, es, hi, vi, zh)" in line


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["launch", "dry run"])
def test_a_declared_label_that_the_head_does_not_know(
    on_mirror: Callable[..., str], mirror: Path, more: tuple[str, ...]
) -> None:
    rows = [{"premise": "a", "hypothesis": f"b {n}", "label": n % 3} for n in range(9)]
    declared = declaring("entailment", "neutral", "contradiction", "other")
    write_parquet(mirror / "facebook/xnli/de/test.parquet", declared, rows)
    line = on_mirror("--targets", "xnli", *more)
    assert "xnli/de/test: column 'label' declares the label 'other'" in line
    assert "is not one of entailment, neutral, contradiction" in line


def test_a_label_in_the_rows_of_a_target(on_mirror: Callable[..., str], mirror: Path) -> None:
    replaced(mirror / "facebook/xnli/de/test.parquet", "label", [*[0] * 79, 3])
    assert "xnli/de/test row 79: label 3 is not one of 0..2 (entailment, " in on_mirror("--targets", "xnli")
    tags = pq.read_table(mirror / "google/xtreme/udpos.German/test.parquet")["pos_tags"].to_pylist()
    replaced(mirror / "google/xtreme/udpos.German/test.parquet", "pos_tags", [*tags[:-1], [17] * len(tags[-1])])
    assert "udpos/de/test row 79: label 17 is not one of 0..16 (ADJ, " in on_mirror("--targets", "udpos")


def test_a_row_of_an_intermediate_task(on_mirror: Callable[..., str], mirror: Path) -> None:
    replaced(mirror / "nyu-mll/glue/mnli/train.parquet", "premise", [None, *["a"] * 79])
    assert "mnli/en/train row 0: column 'premise' is null, not text" in on_mirror("--targets", "mlqa")


def test_an_answer_that_is_not_where_it_should_be(on_mirror: Callable[..., str], mirror: Path) -> None:
    file = mirror / "google/xtreme/MLQA.de.de/test.parquet"
    replaced(file, "context", ["other text"] * 80)
    assert "mlqa/de/test row 0: answer '" in on_mirror("--targets", "mlqa")
    # A dry run reads no rows, so it shows the plan.
    source, plans = plans_of(*LAUNCH, "--source", f"mirror:{mirror}", "--targets", "mlqa")
    check_rows(source, plans, mirror, pytest.fail, read=False)


def test_a_split_without_rows(on_mirror: Callable[..., str], mirror: Path) -> None:
    file = mirror / "facebook/xnli/de/test.parquet"
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    assert "xnli/de/test: it has no rows" in on_mirror("--targets", "xnli")


def test_rows_are_checked_once_for_each_content(mirror: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    check = rows_check._check_part

    def noted(source: Source, d: Dataset, *part: Any) -> None:
        read.append(d.name)
        check(source, d, *part)

    monkeypatch.setattr(rows_check, "_check_part", noted)

    def reads() -> list[str]:
        read.clear()
        source, plans = plans_of(*LAUNCH, "--source", f"mirror:{mirror}", "--targets", "xnli,mlqa")
        check_rows(source, plans, home, pytest.fail)
        return sorted(set(read))

    assert reads() == ["mlm", "mlqa", "mnli", "squad", "xnli"]
    assert len(read) == len(set(read)) + 2  # XNLI and MLQA in two languages: once each, however many recipes
    assert reads() == []
    replaced(mirror / "facebook/xnli/de/test.parquet", "label", [1] * 80)
    assert reads() == ["xnli"]
    (home / FILE).write_text("{")
    assert reads() == ["mlm", "mlqa", "mnli", "squad", "xnli"]
    replaced(mirror / "facebook/xnli/de/test.parquet", "label", [7] * 80)
    before = (home / FILE).read_text()
    with pytest.raises(BadInput, match="xnli/de/test row 0: label 7"):
        reads()
    assert (home / FILE).read_text() == before


def test_what_must_be_downloaded_is_not_looked_at_by_a_dry_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, plans = plans_of(*LAUNCH, "--targets", "xnli,udpos")
    monkeypatch.setattr(type(source), "comes_from", lambda self, d: ("hub",))
    monkeypatch.setattr(rows_check, "_check_part", lambda *_: pytest.fail("rows were read"))
    check_rows(source, plans, home, pytest.fail, read=False)


def test_resume_refuses_too(home: Path, mirror: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.execution.driver.start_ray", lambda address: pytest.fail("Ray was started"))
    settings, _ = resolved(*LAUNCH, "--source", f"mirror:{mirror}", "--targets", "xnli")
    Record(home, "mine").open(settings)
    replaced(mirror / "facebook/xnli/de/test.parquet", "label", [7] * 80)
    with pytest.raises(SystemExit, match="2"):
        run_verb(importlib.import_module("study.resume").main, ["mine", "--home", str(home)])
    assert "xnli/de/test row 0: label 7 is not one of 0..2" in capsys.readouterr().err


def test_the_doctor_says_it_of_a_source(mirror: Path) -> None:
    from study.diagnostics.datasets import check_data

    (mirror / "mirror.toml").write_text(f'{TOML}[mlqa.ru]\ntest = "google/xtreme/MLQA.de.de/test.parquet"\n')
    (found,) = check_data(open_source(f"mirror:{mirror}"), [dataset("mlqa")], read_hub=False)
    assert found.state == "broken" and "no rules for language 'ru'" in found.problems[0]


def test_the_catalogue_and_the_metrics_agree_on_languages() -> None:
    assert set(dataset("mlqa").configs) == set(MLQA_LANGUAGES)
    for d in DATASETS.values():
        known = languages_compared(d.answers)
        assert known is None or set(d.configs) <= set(known), d.name


@pytest.mark.slow
def test_all_of_pocket_passes(home: Path) -> None:
    source, plans = plans_of("--space", "intermediate_tasks", "--targets", "all", "--intermediate", "all")
    assert len(plans) == 23  # nothing; nine tasks, the paper's mixture and all of them, each without and with masked LM
    check_rows(source, plans, home, print)
    checked = set(json.loads((home / FILE).read_text()).values())
    lacking = {"arcd", "klue_nli"}  # Arabic and Korean
    assert {d.name for d in DATASETS.values() if d.roles & {"target", "intermediate", "mlm"}} - lacking <= checked


def test_the_bare_command_on_pocket_is_a_small_study() -> None:
    settings, _ = resolved("--space", "intermediate_tasks")
    assert settings.targets == ("tatoeba", "panx", "udpos", "xquad", "xnli")
    assert (settings.intermediate, settings.mlm) == (("mnli", "squad", "ccg", "cola"), True)
    assert settings.default_name.startswith("intermediate_tasks-pocket-pocket-")
    one, _ = resolved("--space", "intermediate_tasks", "--targets", "xnli")
    assert (one.targets, one.intermediate) == (("xnli",), settings.intermediate)
    named, _ = resolved("--space", "intermediate_tasks", "--intermediate", "qqp")
    assert (named.targets, named.intermediate, named.mlm) == (settings.targets, ("qqp",), False)


@pytest.mark.parametrize("name", space_names())
def test_what_a_space_names_for_pocket_is_there(name: str) -> None:
    source = open_source("pocket")
    assert all(source.languages(dataset(t), dataset(t).scored) for t in space(name).pocket_targets)
    assert all("en" in source.languages(dataset(t), "train") for t in space(name).pocket_tasks)


def test_all_can_be_named_beside_others(mirror: Path) -> None:
    options = ["--space", "intermediate_tasks", "--intermediate", "all,cola"]
    settings, _ = resolved(*options)
    assert settings.intermediate[-1] == "cola" and settings.intermediate[:2] == ("anli_plus", "mnli") and settings.mlm
    own = ["--source", f"mirror:{mirror}", "--encoder", "pretrain:nano"]
    few, _ = resolved(*LAUNCH[:2], *own, "--targets", "all", "--intermediate", "all")
    assert set(few.targets) == {"xnli", "xnli_pairs", "mlqa", "udpos"}
    assert set(few.intermediate) == {"mnli", "squad"} and few.mlm
