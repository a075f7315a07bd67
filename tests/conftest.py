"""Shared fixtures: pocket data as a source, and a session-wide pretrained encoder."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import search_spaces
from study.cli_parser import run_verb
from study.execution.ray_cluster import LOOPBACK_ONLY
from tests.small import quiet, run_stage, small_source, stages_of
from trainables import catalogue, formats
from trainables.sources import Source

if TYPE_CHECKING:
    from trainables.training.loop import Device

os.environ.setdefault(*LOOPBACK_ONLY)  # Ray reads it when it is imported, which some tests do early
# Ray's workers have a low priority by default: tests that run beside them would stop them for minutes.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # else a server starts seven more processes
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # workers fork and spawn beside the tokenizer's threads


def pytest_configure() -> None:
    """Let every study use one core where files of tests run side by side.

    It then runs one trial at a time, so studies side by side do not take more cores than there are, and every launch has one
    process less that imports torch.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["PYTHON_CPU_COUNT"] = "1"


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """Forget datasets, formats and spaces that a test registers."""
    kept: list[dict[str, Any]] = [
        catalogue._DATASETS, catalogue._TITLES, catalogue._OWN, formats._FORMATS, search_spaces._OWN,
    ]  # fmt: skip
    before = [dict(one) for one in kept]
    yield
    for one, content in zip(kept, before, strict=True):
        one.clear()
        one.update(content)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return an empty home.

    Test files with their own kind of home override this fixture.
    """
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def refused(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a verb that must be refused; return its one line."""

    def start_ray(address: str | None) -> None:
        raise AssertionError("Ray was started")

    def run(*argv: str) -> str:
        before = sorted(home.rglob("*"))
        monkeypatch.setattr("study.execution.driver.start_ray", start_ray)
        with pytest.raises(SystemExit) as ended:
            run_verb(importlib.import_module(f"study.{argv[0]}").main, ["--home", str(home), *argv[1:]])
        out, err = capsys.readouterr()
        assert ended.value.code == 2
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert sorted(home.rglob("*")) == before, "a refusal leaves nothing behind"
        return err

    return run


@pytest.fixture(scope="session")
def source() -> Source:
    """Provide a few rows of every pocket dataset in English, German and Swahili."""
    return small_source()


@pytest.fixture(scope="session")
def machine() -> Device:
    """Provide this process as the only worker, on one CPU thread."""
    import torch

    from trainables.training.distributed import ProcessGroup
    from trainables.training.loop import Device

    quiet()
    return Device(torch.device("cpu"), ProcessGroup())


@pytest.fixture(scope="session")
def nano(source: Source, machine: Device, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pretrain a tiny encoder and return its Hugging Face folder.

    It has two layers of width 64 and its own tokenizer, made by the pretrain stage in 60 steps.
    """
    out = tmp_path_factory.mktemp("nano") / "stage"
    config = stages_of(source, "pretrain:nano", scale=0.15)["pretrain"]
    run_stage(config, None, out, source)
    return out / "encoder"


@pytest.fixture(scope="session")
def tokenizer(nano: Path) -> Any:
    """Load the tokenizer of `nano`."""
    from trainables.modeling.model import load_tokenizer

    return load_tokenizer(nano)
