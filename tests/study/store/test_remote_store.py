"""Stages at a URL: a folder, and S3 from a real local server.

A second home represents a second machine.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from study.api import Study
from study.execution.trial import TrialJob, run_stages
from study.planning.encoder_weights import Weights
from study.planning.plan import Planner
from study.record.record import Record
from study.spec.study_spec import ResolvedSpec, StudySpec
from study.store import remote as remote_module
from study.store import store as store_module
from study.store.lease import new_owner
from study.store.remote import Remote, check_url
from study.store.store import Store
from tests import ROOT
from tests.study.store.test_store import ADDRESS, left
from trainables.errors import BadInput
from trainables.recipe import Recipe
from trainables.sources import open_source

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start an in-memory S3 server on this machine; return host and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "the S3 server does not start"
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set credentials in the usual variables, and short waits."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(remote_module, "SETTLE_S", 0.3)
    monkeypatch.setattr(remote_module, "POLL_S", 0.1)
    monkeypatch.setattr(store_module, "ABSENT_S", 0.1)
    monkeypatch.setattr(store_module, "PATIENCE_S", (0.1,))


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an empty store of either kind."""
    if request.param == "file":
        return f"file://{tmp_path / 'far away'}".replace(" ", "%20")
    return s3_url(request.getfixturevalue("server"))


def s3_url(server: str) -> str:
    from pyarrow import fs

    bucket, query = f"b{secrets.token_hex(8)}", f"endpoint_override={server}&scheme=http"
    fs.FileSystem.from_uri(f"s3://{bucket}?{query}&allow_bucket_creation=true")[0].create_dir(bucket)
    return f"s3://{bucket}/team/stages?{query}"


@dataclass
class Peek:
    """Access to a store with pyarrow alone, to inspect and damage it."""

    url: str

    def __post_init__(self) -> None:
        from pyarrow import fs

        base, path = fs.FileSystem.from_uri(self.url)
        self.fs: Any = fs.SubTreeFileSystem(path, base)

    def names(self, folder: str) -> list[str]:
        from pyarrow import fs

        found = self.fs.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
        return sorted(info.path for info in found if info.is_file)

    def one(self, end: str) -> str:
        [found] = [name for name in self.names("stages") if name.endswith(f"/{end}")]
        return found

    def read(self, name: str) -> bytes:
        with self.fs.open_input_stream(name) as file:
            return bytes(file.read())

    def write(self, name: str, content: bytes) -> None:
        if self.url.startswith("file:"):
            self.fs.create_dir(name.rpartition("/")[0], recursive=True)
        with self.fs.open_output_stream(name) as file:
            file.write(content)


def make(store: Store, weights: str = "weights") -> Path:
    """Publish a small stage with weights and a file in a subfolder."""
    with store.claim(ADDRESS) as work:
        assert work is not None, "the stage was found instead of made"
        (work / "sub").mkdir()
        (work / "model.safetensors").write_text(weights)
        (work / "metrics.json").write_text('{"languages": {}, "splits": {}, "selection": 0.5}')
        (work / "sub" / "history.json").write_text("[1, 2, 3]")
        store.publish(ADDRESS, work, {"kind": "target"})
    return store.folder(ADDRESS)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_one_machine_made_another_finds_whole_and_does_not_make_again(tmp_path: Path, url: str) -> None:
    made = make(Store(tmp_path / "a", url))
    other = Store(tmp_path / "b", url)
    assert other.has(ADDRESS)
    with other.claim(ADDRESS) as work:
        assert work is None
    assert contents(other.folder(ADDRESS)) == contents(made)
    assert Store(tmp_path / "b").has(ADDRESS), "what was copied is a stage of the home like any other"
    assert Peek(url).names("leases") == [] and left(tmp_path / "b", "work", "leases", "damaged") == []


def test_weights_stay_at_the_url_until_something_starts_from_them(tmp_path: Path, url: str) -> None:
    make(Store(tmp_path / "a", url))
    other = Store(tmp_path / "b", url)
    assert other.has(ADDRESS) and other.info(ADDRESS) == {"kind": "target"}
    assert other.metrics(ADDRESS).selection == 0.5
    assert not other.folder(ADDRESS).exists()
    assert other.fetch(ADDRESS) and (other.folder(ADDRESS) / "model.safetensors").read_text() == "weights"


def test_a_stage_without_weights_is_copied_at_the_first_look(tmp_path: Path, url: str) -> None:
    first = Store(tmp_path / "a", url)
    with first.claim(ADDRESS) as work:
        assert work is not None
        (work / "scores.parquet").write_text("scores")
        first.publish(ADDRESS, work, {})
    assert Store(tmp_path / "b", url).has(ADDRESS)
    assert (Store(tmp_path / "b").folder(ADDRESS) / "scores.parquet").read_text() == "scores"


def cut(peek: Peek, name: str) -> None:
    peek.write(name, peek.read(name)[:-1])


def flip(peek: Peek, name: str) -> None:
    content = bytearray(peek.read(name))
    content[len(content) // 2] ^= 1
    peek.write(name, bytes(content))


def drop(peek: Peek, name: str) -> None:
    peek.fs.delete_file(name)


@pytest.mark.parametrize("damage", [cut, flip, drop])
@pytest.mark.parametrize("file", ["model.safetensors", "metrics.json", "sub/history.json", "stage.json", "DONE"])
def test_damage_at_the_url_is_noticed_and_made_again(
    tmp_path: Path, url: str, file: str, damage: Callable[[Peek, str], None]
) -> None:
    before = contents(make(Store(tmp_path / "a", url)))
    peek = Peek(url)
    damage(peek, peek.one(file))
    other = Store(tmp_path / "b", url)
    assert not other.fetch(ADDRESS) and not other.has(ADDRESS)
    assert len(peek.names("damaged")) == (damage is not drop or file != "DONE")
    assert contents(make(other)) == before
    third = Store(tmp_path / "c", url)
    assert third.fetch(ADDRESS) and contents(third.folder(ADDRESS)) == before


def test_a_done_that_leads_out_of_the_folder_is_refused(tmp_path: Path, url: str) -> None:
    peek = Peek(url)
    done = {"stage.json": [2, "0" * 64], "../../evil": [2, "0" * 64]}
    peek.write(f"stages/{ADDRESS[:2]}/{ADDRESS}/DONE", json.dumps(done, indent=1).encode())
    assert not Store(tmp_path / "a", url).fetch(ADDRESS)
    assert not list(tmp_path.rglob("evil")) and len(peek.names("damaged")) == 1


def test_a_copy_that_is_damaged_at_home_is_replaced_from_the_url(tmp_path: Path, url: str) -> None:
    folder = make(Store(tmp_path / "a", url))
    (folder / "model.safetensors").write_text("weightz")
    again = Store(tmp_path / "a", url)
    assert again.fetch(ADDRESS) and (folder / "model.safetensors").read_text() == "weights"
    assert len(left(tmp_path / "a", "damaged")) == 1


def test_half_a_copy_is_invisible_and_sent_in_full_at_the_next_look(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, made = Remote._create, []

    def breaks(self: Remote, path: str) -> Any:
        if path.startswith("stages/"):
            made.append(path)
            if len(made) > 2:
                raise OSError("the line went down")
        return create(self, path)

    with monkeypatch.context() as broken:
        broken.setattr(Remote, "_create", breaks)
        folder = make(Store(tmp_path / "a", url))  # the stage itself is safe
    assert len(Peek(url).names("stages")) == 2
    other = Store(tmp_path / "b", url)
    assert not other.has(ADDRESS) and not other.fetch(ADDRESS)
    assert Store(tmp_path / "a", url).has(ADDRESS)
    time.sleep(0.2)
    assert other.fetch(ADDRESS) and contents(other.folder(ADDRESS)) == contents(folder)


def test_a_home_that_gets_a_url_later_sends_what_it_has(tmp_path: Path, url: str) -> None:
    make(Store(tmp_path / "a"))
    assert Store(tmp_path / "a", url).has(ADDRESS)
    assert Store(tmp_path / "b", url).has(ADDRESS)


def test_absence_is_believed_only_shortly_and_presence_asked_for_once(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, files = [], Remote.files

    def counted(self: Remote, address: str) -> Any:
        asked.append(address)
        return files(self, address)

    other = Store(tmp_path / "b", url)
    with monkeypatch.context() as counting:
        counting.setattr(store_module, "ABSENT_S", 30.0)
        counting.setattr(Remote, "files", counted)
        assert not any(other.has(ADDRESS) for _ in range(5)) and len(asked) == 1
    make(Store(tmp_path / "a", url))
    monkeypatch.setattr(Remote, "files", counted)
    time.sleep(0.2)
    assert all(other.has(ADDRESS) for _ in range(5)) and len(asked) == 2


def test_of_several_machines_one_makes_the_stage(tmp_path: Path, url: str) -> None:
    made: list[int] = []

    def work(number: int) -> None:
        store = Store(tmp_path / str(number), url)
        with store.claim(ADDRESS) as folder:
            if folder is None:
                assert store.info(ADDRESS)["number"] == made[0]
                return
            made.append(number)
            (folder / "model.safetensors").write_text("weights")
            time.sleep(0.5)
            store.publish(ADDRESS, folder, {"number": number})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and Peek(url).names("leases") == []


def test_a_wrong_clock_does_not_take_a_lease_from_its_holder(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LEASE_S", 2.0)
    monkeypatch.setattr(store_module, "HEARTBEAT_S", 0.2)
    got: list[Path | None] = []

    def late() -> None:
        with Store(tmp_path / "b", url).claim(ADDRESS) as work:
            got.append(work)

    with Store(tmp_path / "a", url).claim(ADDRESS) as work:
        assert work is not None
        monkeypatch.setattr(time, "time_ns", lambda: 5)  # the other machine's clock is at 1970
        monkeypatch.setattr(time, "time", lambda: 5e-9)
        thread = threading.Thread(target=late)
        thread.start()
        time.sleep(3.0)
        assert got == [] and len(Peek(url).names("leases")) == 1
        Store(tmp_path / "a", url).publish(ADDRESS, work, {})
    thread.join()
    assert got == [None]


@pytest.mark.parametrize("says", [b"asks", b"holds 7", b""])
def test_the_lease_of_a_silent_machine_is_taken_over(
    tmp_path: Path, url: str, says: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LEASE_S", 1.0)
    peek = Peek(url)
    peek.write(f"leases/{ADDRESS}/{0:020d}-elsewhere:1:{'0' * 16}", says)
    started = time.monotonic()
    make(Store(tmp_path / "a", url))
    assert time.monotonic() - started > 1.0 and peek.names("leases") == []


def test_the_lease_of_a_killed_process_of_this_machine_is_taken_over_at_once(tmp_path: Path, url: str) -> None:
    script = "from study.store.lease import new_owner; print(new_owner())"
    dead = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    Peek(url).write(f"leases/{ADDRESS}/{0:020d}-{dead.strip()}", b"holds 1")
    make(Store(tmp_path / "a", url))  # LEASE_S is a minute, and so is this test's patience


def test_an_error_releases_the_lease(tmp_path: Path, url: str) -> None:
    with pytest.raises(FloatingPointError), Store(tmp_path / "a", url).claim(ADDRESS):
        raise FloatingPointError("loss is nan")
    assert Peek(url).names("") == []
    make(Store(tmp_path / "b", url))


def test_a_lease_that_was_taken_over_is_not_written_again(tmp_path: Path, url: str) -> None:
    remote, owner = Remote(url), new_owner()
    remote._write(f"leases/{ADDRESS}/{owner}", b"asks")
    beat = remote._beat(f"leases/{ADDRESS}/{owner}")
    remote._fs.delete_file(f"leases/{ADDRESS}/{owner}")
    beat()
    assert Peek(url).names("leases") == []


@pytest.mark.parametrize(
    "bad",
    [
        "s3://user:pass@bucket/prefix",
        "s3://bucket/prefix?secret_key=pass",
        "abfs://box@account/x?sas_token=pass",
    ],
)
def test_a_url_with_credentials_is_refused_without_repeating_them(bad: str) -> None:
    with pytest.raises(BadInput, match="environment") as refused:
        check_url(bad)
    assert "pass@" not in str(refused.value) and "=pass" not in str(refused.value)


@pytest.mark.parametrize(
    "bad", ["stages", "/tmp/stages", "nope://bucket/x", "s3://bucket/x?colour=red", "s3://", "s3://["]
)
def test_what_is_no_store_is_bad_input(bad: str) -> None:
    with pytest.raises(BadInput, match="store"):
        check_url(bad)


def test_a_bucket_that_is_not_there_is_bad_input_and_one_that_is_there_is_left_clean(server: str) -> None:
    with pytest.raises(BadInput, match="cannot be used"):
        check_url(f"s3://nowhere/x?endpoint_override={server}&scheme=http")
    url = s3_url(server)
    assert check_url(url) == url and Peek(url).names("") == []


def test_a_store_that_went_away_stops_no_report_but_is_named_before_work_is_repeated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    url = f"file://{tmp_path}/file/below"  # nothing can be read or made below a file
    store = Store(tmp_path / "a", url)
    assert not store.has(ADDRESS) and not store.has(ADDRESS[::-1])
    assert len(caplog.records) == 1 and url in caplog.text
    with pytest.raises(OSError, match="below"), store.claim(ADDRESS):
        raise AssertionError("unreachable")
    assert left(tmp_path / "a", "work", "leases") == []


SETTINGS: dict[str, Any] = {
    "space": "intermediate_tasks",
    "source": "pocket",
    "encoder": "pocket",
    "profile": "pocket",
    "targets": ("xnli",),
    "intermediate": (),
    "mlm": False,
    "seeds": 1,
    "scale": 1.0,
    "selection": "english_dev",
    "trials": 0,
    "grid": True,
}


def test_the_url_is_kept_with_the_study_and_credentials_are_nowhere(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def study(**given: str) -> Study:
        spec = StudySpec(space="intermediate_tasks", targets=("xnli",), intermediate=("mnli",))
        return Study.create(spec, name="first", home=tmp_path / "home", **given)

    assert study().spec.store == "" and study(store=url).spec.store == url
    monkeypatch.setenv("STEPSTONE_STORE", url)
    found = study()
    assert found.spec.store == url
    found.record.open(found.spec)
    monkeypatch.delenv("STEPSTONE_STORE")
    assert found.record.settings.store == url and study().spec.store == url
    assert replace(found.spec, store="").default_name == found.spec.default_name, (
        "where stages are is not what a study is"
    )
    make(Store(tmp_path / "home", url))
    kept = b"".join(contents(tmp_path).values())
    assert os.environ["AWS_SECRET_ACCESS_KEY"].encode() not in kept


def test_the_stages_of_a_trial_run_on_one_machine_and_are_found_on_another(
    tmp_path: Path, nano: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables import stages

    url = s3_url(server)
    reports: list[dict[str, Any]] = []
    recipe = Recipe(encoder=str(nano), profile="small", targets=("tatoeba",))
    plan = Planner(open_source("pocket"), Weights("0" * 64, str(nano))).plan(recipe, 1)
    log = tmp_path / "log"
    for home in (tmp_path / "a", tmp_path / "b"):
        job = TrialJob(plan, str(home), "pocket", str(log), "target_dev", workers=1, gpu=False, cpus=1, store=url)
        run_stages(job, reports.append)
        monkeypatch.setattr(stages, "run", lambda *_: pytest.fail("what the first machine made was made again"))
    assert reports[0] == reports[1] and len(log.read_text().splitlines()) == len(plan.nodes)


def test_a_study_from_before_there_were_urls_still_opens(tmp_path: Path) -> None:
    record = Record(tmp_path, "old")
    record.open(ResolvedSpec(**SETTINGS))
    path = record.folder / "study.json"
    values = json.loads(path.read_text())
    del values["store"]
    path.write_text(json.dumps(values))
    assert record.settings.store == ""
