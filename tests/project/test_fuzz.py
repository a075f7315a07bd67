"""Short forms of `benchmarks.fuzz`, and that it finds what it is for."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from benchmarks.fuzz import COMMANDS, COMPARED, mutate, outcome, summarise
from trainables.errors import DataError


@pytest.mark.slow
def test_a_hundred_mutated_files_are_read_or_refused_in_a_line() -> None:
    found = COMMANDS["inputs"](100, 1)
    assert found["cases"] == 100 and found["findings"] == []
    kinds = {kind for counts in found["outcomes"].values() for kind in counts}
    assert kinds == {"rows", "refused"}


@pytest.mark.slow
def test_metrics_are_those_of_their_references() -> None:
    found = COMMANDS["metrics"](100, 1)
    assert found["cases"] == 100 * len(COMPARED) and found["findings"] == []


def test_mutations_are_a_function_of_the_seed_and_change_files() -> None:
    data = b"a\tb\nc\td\n"
    made = [mutate(data, Random(seed)) for seed in range(50)]
    assert made == [mutate(data, Random(seed)) for seed in range(50)] and len(set(made)) > 30


def test_tracebacks_and_unclear_refusals_are_findings(tmp_path: Path) -> None:
    def refuse(said: str) -> None:
        raise DataError(said)

    assert outcome(lambda: None, ["x.tsv"]) == ("rows", "")
    assert outcome(lambda: refuse("x.tsv:3: is odd"), ["x.tsv"])[0] == "refused"
    assert (
        outcome(lambda: refuse("is odd"), ["x.tsv"])[0]
        == outcome(lambda: refuse("x.tsv:\nodd"), ["x.tsv"])[0]
        == "unclear"
    )
    kind, detail = outcome(lambda: [][0], ["x.tsv"])
    assert kind == "traceback" and "IndexError" in detail
    assert summarise(iter([("x", kind, detail), ("x", "rows", "")]))["num_findings"] == 1


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.fuzz import main

    with pytest.raises(SystemExit, match="2"):
        main(["nothing"])
    assert "inputs" in capsys.readouterr().err
