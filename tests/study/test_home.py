"""What a process needs before it opens a home: encoding, working directory, streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from study.home import home_folder
from tests import ROOT
from trainables.errors import BadInput


def test_text_is_utf_8_or_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "GBK")
    with pytest.raises(BadInput, match="read as GBK .* PYTHONUTF8=1"):
        home_folder(tmp_path)
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "UTF-8")
    assert home_folder(tmp_path) == tmp_path


def test_a_working_directory_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    run = (
        "import os, sys; os.rmdir(os.getcwd()); from study.cli_parser import run_verb; from study.launch import main; "
    )
    done = subprocess.run(
        [sys.executable, "-c", run + "run_verb(main)", "--space", "intermediate_tasks", "--home", str(tmp_path)],
        cwd=gone,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (2, "error: the working directory no longer exists: change to another\n")


def test_closed_streams_do_not_give_their_numbers_to_other_files() -> None:
    look = "open_streams(); print('text'); sys.exit(10 + os.open(os.devnull, os.O_RDONLY))"
    code = f"import os, sys; from study.cli_parser import open_streams; {look}"
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    assert subprocess.run(command, cwd=ROOT).returncode >= 13
