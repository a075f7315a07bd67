"""What tests share: the small world as a source, and an encoder that was pretrained on it once per session."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from study.cli_parser import run_verb
from study.execution.ray_cluster import LOOPBACK_ONLY
from tests.small import quiet, run_stage, small_source, stages_of
from trainables.sources import Source

if TYPE_CHECKING:
    from trainables.training.loop import Device

os.environ.setdefault(*LOOPBACK_ONLY)  # Ray reads it when it is imported, which some tests do early
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # workers fork and spawn beside the tokenizer's threads


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home; files of tests with a home of their own have a fixture of this name."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def refused(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a verb that must be refused; returns its one line."""

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
    """A few rows of every dataset of the pocket world, in English, German and Swahili."""
    return small_source()


@pytest.fixture(scope="session")
def machine() -> Device:
    """This process as the only worker, on one CPU thread."""
    import torch

    from trainables.training.distributed import ProcessGroup
    from trainables.training.loop import Device

    quiet()
    return Device(torch.device("cpu"), ProcessGroup())


@pytest.fixture(scope="session")
def nano(source: Source, machine: Device, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: two layers of width 64 with their own tokenizer, made by the pretrain stage in 60 steps."""
    out = tmp_path_factory.mktemp("nano") / "stage"
    config = stages_of(source, "pretrain:nano", scale=0.15)["pretrain"]
    run_stage(config, None, out, source)
    return out / "encoder"


@pytest.fixture(scope="session")
def tokenizer(nano: Path) -> Any:
    """The tokenizer of `nano`."""
    from trainables.modeling.model import load_tokenizer

    return load_tokenizer(nano)
