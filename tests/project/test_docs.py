"""Documents are correct: cited tests exist, links resolve, options exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests import ROOT

DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def test_every_known_trap_says_how_it_is_met() -> None:
    rows = re.findall(r"^\| (T\d+) \| (.+?) \| (.+?) \|$", (ROOT / "docs" / "traps.md").read_text(), re.MULTILINE)
    assert [name for name, _, _ in rows] == [f"T{n}" for n in range(1, 31)]
    assert all(len(trap) > 20 and len(met) > 10 for _, trap, met in rows)


def test_named_tests_exist() -> None:
    named = {pair for path in DOCUMENTS for pair in re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", path.read_text())}
    assert len(named) > 10
    for file, function in named:
        (path,) = (ROOT / "tests").rglob(file)
        text = path.read_text()
        assert not function or f"def {function}(" in text, f"{file}::{function}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert "://" in target or (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_name_verbs_and_options_that_exist(path: Path) -> None:
    from study.cli import VERBS

    for verb, rest in re.findall(r"python -m study\.([a-z]\w*)((?:[^\n`]|\\\n)*)", path.read_text()):
        assert verb in VERBS, verb
        source = "".join((ROOT / "study" / f"{name}.py").read_text() for name in (verb, "cli_parser"))
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest):
            assert f'"{option}"' in source, f"study.{verb} {option}"


def test_the_pocket_figures_in_the_readme_are_those_of_the_benchmark() -> None:
    results = (ROOT / "benchmarks" / "results" / "pocket_matrix.md").read_text()
    shown = re.findall(r"^\| [^|]+ \|(?: [-+~.\d]+ \|){6}$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(shown) > 5 and all(line in results.splitlines() for line in shown)
    assert "| NO |" not in results


def test_the_kills_in_the_docs_are_those_of_the_benchmark() -> None:
    found = json.loads((ROOT / "benchmarks/results/survive.json").read_text())
    said = " ".join((ROOT / "docs/survival.md").read_text().split())
    lost, interrupted = found["seconds_lost_per_kill"], found["stages_interrupted"]
    figures = f"{found['kills']} kills, {lost} s lost per kill, {interrupted} stages interrupted and gone on with"
    assert figures in said and found["wrong"] == []


def test_the_figures_of_alignment_in_the_docs_are_those_of_the_benchmark() -> None:
    found = json.loads((ROOT / "benchmarks/results/xero_align.json").read_text())
    page = (ROOT / "docs/xero_align.md").read_text()
    for name in ("intent_accuracy", "slot_f1_bio", "aligned_first", "aligned_last", "retrieval"):
        low, high = found[name]["interval"]
        one = found[name]
        assert f"| {one['before']} | {one['after']} | {one['difference']:+} | {low:+} to {high:+} |" in page
    assert all(found["claims"].values())


def test_the_figures_of_pre_finetuning_in_the_docs_are_those_of_the_benchmark() -> None:
    found = json.loads((ROOT / "benchmarks/results/glue_prefinetuning.json").read_text())["points"]
    page = (ROOT / "docs/glue_prefinetuning.md").read_text()
    for line in (line for line in found if line["target"] == "mean" and "gain" in line):
        low, high = line["interval"]
        assert f"{line['mean']:.1f} ({line['gain']:+.1f}, {low:+.1f} to {high:+.1f})" in page
    first = next(line for line in found if line["share"] == 0.25 and "ranking" in line["recipe"])
    assert first["metric"] == "intent_accuracy" and first["interval"][0] > 0


def test_the_memory_in_the_docs_is_that_of_the_benchmark() -> None:
    found = json.loads((ROOT / "benchmarks/results/memory_6gb.json").read_text())
    said = " ".join((ROOT / "docs/memory.md").read_text().split())
    assert f"at most {found['peak_of_a_trial_gb']} GB of it and {found['peak_of_all_gb']} GB of all processes" in said
    assert found["exit"] == 0 and found["trials_at_once"] == 1 and len(found["killed_at_s"]) == 1
