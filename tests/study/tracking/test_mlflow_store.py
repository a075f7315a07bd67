"""MLflow's stores: checked before a start, set aside when broken, and inside the home wherever that is."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from study.execution.driver import StudyDriver
from study.planning.encoder_weights import resolve
from study.planning.plan import Planner
from study.record.record import Record
from study.spec.study_spec import RunOptions
from study.tracking import mlflow_store
from study.tracking.mlflow_store import NoAnswer, check_uri, default_uri, fault, prepare
from tests import ROOT
from tests.builders import empty_mlflow_store, resolved
from trainables.errors import BadInput


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as store, store:
        for statement in statements:
            store.execute(statement)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    (made / "mlflow.db").write_bytes(empty_mlflow_store())
    return made


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("localhost:5000", "has no scheme, did you mean 'http://localhost:5000'"),
        ("./mlruns", "folders are not supported give http://HOST:PORT"),
        ("file:///tmp/mlruns", "folders are not supported"),
        ("http://127.0.0.1:9", "does not answer start it mlflow server --port 9"),
        ("http://[", "is not a URI"),
        ("sqlite:///no/such/folder/x.db", "there is no folder"),
        ("sqlite:///a?b.db", "without '?', '#' and '%'"),
        ("sqlite://", "must be sqlite:///"),
    ],
)
def test_a_uri_that_cannot_be_meant_is_one_line_with_a_cure(uri: str, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        check_uri(uri)
    assert re.search(".*".join(map(re.escape, words.split(" "))), str(refused.value)), refused.value
    assert "\n" not in str(refused.value)


class Login(BaseHTTPRequestHandler):
    """A page that asks for a login, or refuses without one."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"<html>please log in</html>")

    def log_message(self, *args: object) -> None:
        pass


def test_a_login_page_is_not_taken_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Login) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(BadInput, match="not as an MLflow server"):
            check_uri(uri)
        monkeypatch.setattr(Login, "status", 401)
        with pytest.raises(BadInput, match="answers 401 .*MLFLOW_TRACKING_USERNAME"):
            check_uri(uri)
        server.shutdown()


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database " * 99)
    with pytest.raises(BadInput, match="move it away, or give another file"):
        check_uri(f"sqlite:///{file}")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


BROKEN: dict[str, Any] = {
    "bytes": lambda path: path.write_bytes(b"nonsense" * 999),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "without a version": lambda path: change(path, "delete from alembic_version"),
    "half migrated": lambda path: change(path, "create table _alembic_tmp_runs (a)", "drop table alembic_version"),
    "without a table": lambda path: change(path, "drop table tags"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_store_is_set_aside_and_made_again(home: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home / "mlflow.db"
    BROKEN[how](path)
    broken = path.read_bytes()
    monkeypatch.setattr(mlflow_store, "_make", lambda path, old: path.write_bytes(empty_mlflow_store()))
    said: list[str] = []
    prepare(default_uri(home), home, "s", said.append)
    assert len(said) == 1 and "it is now mlflow.db.broken-1" in said[0] and "\n" not in said[0]
    assert (home / "mlflow.db.broken-1").read_bytes() == broken and fault(path) == ""


def test_a_store_of_a_newer_mlflow_and_a_locked_one_stay(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_store, "LOOK_S", 0.1)
    path = home / "mlflow.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(BadInput, match="locked.*close the program that holds it"):
            prepare(default_uri(home), home, "s", pytest.fail)
    change(path, "update alembic_version set version_num = 'of_2030'")
    with pytest.raises(BadInput, match="made by a newer MLflow .schema of_2030.: install that, or move"):
        prepare(default_uri(home), home, "s", pytest.fail)
    assert sorted(p.name for p in home.iterdir()) == ["mlflow.db", "mlflow.lock"]


def test_artifacts_are_where_the_home_is_after_a_move(home: Path, tmp_path: Path) -> None:
    path, old = home / "mlflow.db", (home / "mlartifacts" / "s").as_uri()
    change(
        path,
        f"insert into experiments (experiment_id, name, artifact_location, lifecycle_stage) values (7, 's', '{old}', 'active')",
        f"insert into runs (run_uuid, experiment_id, artifact_uri) values ('r', 7, '{old}/r/artifacts')",
    )
    moved = tmp_path / "new home #2"
    shutil.move(home, moved)
    prepare(default_uri(moved), moved, "s", pytest.fail)
    with closing(sqlite3.connect(moved / "mlflow.db")) as store:
        locations = dict(store.execute("select name, artifact_location from experiments").fetchall())
        (run,) = store.execute("select artifact_uri from runs").fetchone()
    new = (moved / "mlartifacts").as_uri()
    assert locations == {"s": f"{new}/s", "Default": f"{new}/Default"} and run == f"{new}/s/r/artifacts"


@pytest.mark.parametrize("name", ["q?x", "h#x", "p%20x", "q'\"x", "é模"])
def test_a_uri_of_any_home_has_plain_characters_and_leads_into_it(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    home.mkdir()
    uri = default_uri(home)
    assert re.fullmatch(r"sqlite:///[\w./-]+/mlflow\.db", uri, re.ASCII)
    Path(uri.removeprefix("sqlite:///")).write_text("here")
    assert (home / "mlflow.db").read_text() == "here"


def test_a_study_that_has_begun_goes_on_without_its_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, source = resolved(*"--space intermediate_tasks --encoder pocket --scale 0.02 --targets tatoeba".split())
    options = RunOptions(mlflow_uri="http://127.0.0.1:9", quiet=True)
    driver = StudyDriver(Record(tmp_path, "s"), settings, Planner(source, resolve(settings.encoder)), options)
    with pytest.raises(NoAnswer, match="does not answer"):
        driver.check(read=False)
    driver.record.open(settings)
    assert driver.check(read=False) == options.mlflow_uri
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.slow
def test_three_syncs_at_once_make_one_store(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    home = shutil.copytree(ROOT / "tests/homes/finished", tmp_path / "home")
    assert not (home / "mlflow.db").exists()
    command = [sys.executable, "-m", "study.sync", "finished", "--home", str(home)]
    started = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 3
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name == "finished")
    runs = client.search_runs([experiment.experiment_id])
    recipes = [run.data.tags.get("stepstone.recipe", "report") for run in runs]
    assert len(set(recipes)) == len(recipes) == 1 + len(Record(home, "finished").trials())
    assert not list(home.glob("*.broken*"))
