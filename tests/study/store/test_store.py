"""The store: publishing is atomic, damage is detected, one worker makes a stage."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.execution.trial_failure import DISK_FULL, explain
from study.store import store as store_module
from study.store.disk_full import DiskFull, no_room
from study.store.lease import Watch
from study.store.store import Store
from tests import ROOT

ADDRESS = "ab" + "0" * 62
pytestmark = pytest.mark.timeout(60)  # a lease that nobody may take is waited for without end


def make(store: Store, address: str = ADDRESS, text: str = "weights") -> Path:
    """Publish a small stage with a file in a subfolder."""
    with store.claim(address) as work:
        assert work is not None
        (work / "sub").mkdir()
        (work / "model.bin").write_text(text)
        (work / "sub" / "history.json").write_text("[1, 2, 3]")
        store.publish(address, work, {"kind": "target", "summary": {"steps": 3}})
    return store.folder(address)


def left(home: Path, *kinds: str) -> list[str]:
    """List the home's folders for unfinished or damaged work."""
    return [p.name for kind in kinds for p in (home / kind).glob("*")]


def test_a_stage_is_invisible_before_it_is_published_and_whole_after(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.claim(ADDRESS) as work:
        assert work is not None
        (work / "model.bin").write_text("weights")
        assert not store.has(ADDRESS) and not store.folder(ADDRESS).exists()
        store.publish(ADDRESS, work, {"kind": "target"})
        assert store.has(ADDRESS) and Store(tmp_path).has(ADDRESS)
    assert store.info(ADDRESS) == {"kind": "target"}
    assert (store.folder(ADDRESS) / "model.bin").read_text() == "weights"
    assert left(tmp_path, "work", "leases", "damaged") == []


def test_a_finished_stage_is_not_claimed_again(tmp_path: Path) -> None:
    make(Store(tmp_path))
    with Store(tmp_path).claim(ADDRESS) as work:
        assert work is None


def edit_done(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the file list in DONE, and nothing else in it."""
    files = json.loads((folder / "DONE").read_text())
    edit(files)
    (folder / "DONE").write_text(json.dumps(files, indent=1))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a file cut short": lambda f: os.truncate(f / "model.bin", 3),
    "a byte changed": lambda f: (f / "model.bin").write_text("weightz"),
    "a file gone": lambda f: (f / "sub" / "history.json").unlink(),
    "its description changed": lambda f: (f / "stage.json").write_text("{}"),
    "a file too many": lambda f: (f / "sub" / "more.bin").write_text("more"),
    "DONE has a file too few": lambda f: edit_done(f, lambda files: files.pop("model.bin")),
    "DONE has a file too many": lambda f: edit_done(f, lambda files: files.update(more=[1, "0" * 64])),
    "DONE lists no description": lambda f: edit_done(f, lambda files: files.pop("stage.json")),
    "DONE leads out of the folder": lambda f: edit_done(f, lambda files: files.update({"../x": [1, "0" * 64]})),
    "DONE is written otherwise": lambda f: (f / "DONE").write_text(json.dumps(json.loads((f / "DONE").read_text()))),
    "DONE is empty": lambda f: (f / "DONE").write_text(""),
    "DONE lists nothing": lambda f: (f / "DONE").write_text("{}"),
    "DONE is something else": lambda f: (f / "DONE").write_text("[1, 2]"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_stage_is_absent_set_aside_and_made_again(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    damage(make(Store(tmp_path)))
    store = Store(tmp_path)
    assert not store.has(ADDRESS)
    assert not store.folder(ADDRESS).exists() and len(left(tmp_path, "damaged")) == 1
    make(store)
    assert Store(tmp_path).has(ADDRESS)


def flip(path: Path, where: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["model.bin", "sub/history.json", "stage.json", "DONE"])
@pytest.mark.parametrize(
    "damage",
    [
        *(pytest.param(lambda p, w=w: flip(p, w), id=f"flipped at {w}") for w in (0.0, 0.1, 0.33, 0.5, 0.9, 1.0)),
        *(
            pytest.param(lambda p, n=n: os.truncate(p, int(n * p.stat().st_size)), id=f"cut to {n}")
            for n in (0, 0.5, 0.99)
        ),
        pytest.param(lambda p: os.truncate(p, p.stat().st_size + 1), id="longer"),
        pytest.param(lambda p: p.unlink(), id="gone"),
    ],
)
def test_damage_to_any_file_is_noticed_at_the_next_use_and_made_again_to_the_same(
    tmp_path: Path, file: str, damage: Callable[[Path], None]
) -> None:
    folder = make(Store(tmp_path))
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    damage(folder / file)
    store = Store(tmp_path)
    assert not store.has(ADDRESS)
    assert make(store) == folder and Store(tmp_path).has(ADDRESS)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert len(left(tmp_path, "damaged")) == 1, "what was damaged is kept aside"


def test_every_changed_byte_of_done_is_noticed(tmp_path: Path) -> None:
    done = make(Store(tmp_path)) / "DONE"
    content, damaged = done.read_bytes(), tmp_path / "damaged"
    for at in range(len(content)):
        done.write_bytes(content[:at] + bytes([content[at] ^ (3 if content[at] == 10 else 32)]) + content[at + 1 :])
        assert not Store(tmp_path).has(ADDRESS), at
        os.rename(next(damaged.iterdir()), done.parent)
    done.write_bytes(content)
    assert Store(tmp_path).has(ADDRESS)


def test_a_whole_stage_stays_where_a_second_one_is_published(tmp_path: Path) -> None:
    """Two workers may both have made it after a lost lease.

    The first one's files may be in use.
    """
    store = Store(tmp_path)
    with store.claim(ADDRESS) as work:
        assert work is not None
        shutil.copytree(make(Store(tmp_path / "other")), store.folder(ADDRESS))
        inode = store.folder(ADDRESS).stat().st_ino
        store.publish(ADDRESS, work, {})
    assert store.has(ADDRESS) and store.folder(ADDRESS).stat().st_ino == inode
    assert left(tmp_path, "damaged", "work") == []


def test_a_folder_without_done_is_absent_and_gives_way(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.folder(ADDRESS).mkdir(parents=True)
    (store.folder(ADDRESS) / "model.bin").write_text("half")
    assert not store.has(ADDRESS)
    assert (make(store) / "model.bin").read_text() == "weights"
    assert len(left(tmp_path, "damaged")) == 1


def test_of_two_threads_one_makes_the_stage_and_the_other_finds_it(tmp_path: Path) -> None:
    made: list[int] = []

    def work(number: int) -> None:
        store = Store(tmp_path)
        with store.claim(ADDRESS) as folder:
            if folder is None:
                assert store.has(ADDRESS)
                return
            made.append(number)
            time.sleep(0.3)
            store.publish(ADDRESS, folder, {"number": number})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and Store(tmp_path).info(ADDRESS) == {"number": made[0]}


WORKER = """
import sys, time
from pathlib import Path
from study.store.store import Store
store = Store(Path(sys.argv[1]))
with store.claim(sys.argv[2]) as work:
    if work is None:
        print("found")
    else:
        time.sleep(0.5)
        store.publish(sys.argv[2], work, {})
        print("made")
"""


def test_of_several_processes_one_makes_the_stage(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path), ADDRESS]
    workers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(worker.communicate(timeout=60)[0].strip() for worker in workers)
    assert said == ["found", "found", "made"]
    assert left(tmp_path, "work", "leases", "damaged") == []


def test_a_killed_worker_leaves_nothing_visible_and_its_lease_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = WORKER.replace("time.sleep(0.5)", "print('in', flush=True); time.sleep(60)")
    command = [sys.executable, "-c", script, str(tmp_path), ADDRESS]
    worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None and worker.stdout.readline().strip() == "in"
    worker.kill()
    worker.communicate()
    assert not Store(tmp_path).has(ADDRESS)
    monkeypatch.setattr(store_module, "LEASE_S", 0.5)
    make(Store(tmp_path))
    assert Store(tmp_path).has(ADDRESS)


def test_a_stale_lease_is_taken_over_by_one_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = tmp_path / "leases" / ADDRESS
    lease.parent.mkdir()
    lease.write_text("elsewhere:1:dead")
    monkeypatch.setattr(store_module, "LEASE_S", 1.0)
    monkeypatch.setattr(store_module, "HEARTBEAT_S", 0.1)
    test_of_two_threads_one_makes_the_stage_and_the_other_finds_it(tmp_path)
    assert left(tmp_path, "leases") == []


def test_a_stage_that_was_finished_just_before_the_lease_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.store.lease import take

    def slowly(lease: Path, owner: str, watch: Watch, lease_s: float) -> bool:
        monkeypatch.setattr(store_module, "take", take)
        make(Store(tmp_path))  # another worker finishes between our check and our lease
        return take(lease, owner, watch, lease_s)

    monkeypatch.setattr(store_module, "take", slowly)
    with Store(tmp_path).claim(ADDRESS) as work:
        assert work is None
    assert left(tmp_path, "work", "leases", "damaged") == []


def test_a_live_lease_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder works for twice the lease, renewed by its heartbeat.

    The other worker waits, and then need not work.
    """
    monkeypatch.setattr(store_module, "LEASE_S", 1.5)
    monkeypatch.setattr(store_module, "HEARTBEAT_S", 0.1)
    entered, got = threading.Event(), []

    def other() -> None:
        entered.wait()
        with Store(tmp_path).claim(ADDRESS) as work:
            got.append(work)

    thread = threading.Thread(target=other)
    thread.start()
    store = Store(tmp_path)
    with store.claim(ADDRESS) as work:
        assert work is not None
        entered.set()
        time.sleep(3.0)
        assert got == []
        store.publish(ADDRESS, work, {})
    thread.join()
    assert got == [None]


def test_an_error_leaves_nothing_behind_and_the_next_one_may_try(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail() -> None:
        with store.claim(ADDRESS) as work:
            assert work is not None
            (work / "model.bin").write_text("half")
            raise FloatingPointError("loss is nan")

    with pytest.raises(FloatingPointError, match="loss is nan"):
        fail()
    assert not store.has(ADDRESS)
    assert left(tmp_path, "work", "leases", "stages", "damaged") == []
    make(store)


def test_ending_without_publishing_is_no_stage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.claim(ADDRESS) as work:
        assert work is not None
    assert not store.has(ADDRESS) and left(tmp_path, "work", "leases", "stages") == []


def test_a_home_that_cannot_be_written_does_not_keep_the_lease(tmp_path: Path) -> None:
    """Otherwise the heartbeat of a failed claim would block every other worker."""
    (tmp_path / "work").write_text("a file where the folder of unfinished stages should be")
    before = threading.active_count()
    with pytest.raises(NotADirectoryError), Store(tmp_path).claim(ADDRESS):
        raise AssertionError("unreachable")
    assert left(tmp_path, "leases") == [] and threading.active_count() == before


def test_a_lease_that_was_taken_over_is_not_released_by_its_first_owner(tmp_path: Path) -> None:
    with Store(tmp_path).claim(ADDRESS):
        (tmp_path / "leases" / ADDRESS).write_text("elsewhere:2:alive")
    assert (tmp_path / "leases" / ADDRESS).read_text() == "elsewhere:2:alive"


def test_what_is_published_can_be_checked_with_other_tools(tmp_path: Path) -> None:
    folder = make(Store(tmp_path))
    listed = json.loads((folder / "DONE").read_text())
    assert set(listed) == {"model.bin", "stage.json", "sub/history.json"}
    assert listed["model.bin"][0] == len("weights")


def test_a_worker_that_was_killed_on_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    script = "from study.store.lease import new_owner; print(new_owner())"
    dead = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lease = tmp_path / "leases" / ADDRESS
    lease.parent.mkdir()
    lease.write_text(dead.strip())
    started = time.monotonic()
    make(Store(tmp_path))
    assert time.monotonic() - started < 10 < store_module.LEASE_S


@pytest.mark.parametrize("years", [-10, 10])
def test_a_clock_that_jumps_does_not_end_a_live_lease(
    tmp_path: Path, years: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiting machine's clock is years off.

    The file server's times are unchanged.
    """
    monkeypatch.setattr(store_module, "LEASE_S", 1.0)
    monkeypatch.setattr(store_module, "HEARTBEAT_S", 0.1)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + years * 365 * 86400)
    got: list[Path | None] = []

    def other() -> None:
        with Store(tmp_path).claim(ADDRESS) as work:
            got.append(work)

    store, thread = Store(tmp_path), threading.Thread(target=other)
    with store.claim(ADDRESS) as work:
        assert work is not None
        thread.start()
        time.sleep(1.5)
        assert got == []
        store.publish(ADDRESS, work, {})
    thread.join()
    assert got == [None]


def test_a_lease_that_another_taker_renewed_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers find the same dead lease.

    The slower one must not remove what the faster one took.
    """
    from study.store import lease as lease_module

    lease, rename = tmp_path / ADDRESS, os.rename
    lease.write_text("elsewhere:1:dead")

    def late(source: Path, to: Path) -> None:
        lease.write_text("elsewhere:2:alive")
        rename(source, to)

    monkeypatch.setattr(os, "rename", late)
    assert not lease_module.take(lease, "us", Watch(), lease_s=-1.0)
    assert lease.read_text() == "elsewhere:2:alive" and list(tmp_path.iterdir()) == [lease]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_and_says_what_it_needs(
    tmp_path: Path, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(Store(tmp_path), "ef" + "0" * 62, "w" * 3_000_000)
    store = Store(tmp_path)

    def full(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as broken:
        broken.setattr(store_module, "write_done", full)
        with pytest.raises(DiskFull, match=r"needs 30\d{5} bytes \(3.0 MB\) free in .* which has \d+") as caught:
            make(store)
    assert not store.has(ADDRESS) and left(tmp_path, "work", "leases", "damaged") == []
    failure = explain(pickle.loads(pickle.dumps(caught.value)))
    assert failure.kind == DISK_FULL and failure.traceback
    assert failure.message.startswith(f"stage {ADDRESS[:12]} needs") and str(tmp_path) in failure.message
    make(store)


def test_a_disk_with_bytes_left_is_full_of_files_or_has_a_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, real = OSError(errno.EDQUOT, "Disk quota exceeded"), os.statvfs(tmp_path)
    assert "but a quota may be used up; free space" in no_room(error, tmp_path)
    no_inodes = SimpleNamespace(f_files=1000, f_favail=0, f_bavail=real.f_bavail, f_frsize=real.f_frsize)
    monkeypatch.setattr("study.store.disk_full.os.statvfs", lambda path: no_inodes)
    monkeypatch.setattr("study.store.disk_full.shutil.disk_usage", lambda path: SimpleNamespace(free=10**12))
    assert "but no inode for another file; free space" in no_room(error, tmp_path)


def test_disk_full_is_told_by_what_libraries_say_and_from_other_errors(tmp_path: Path) -> None:
    said = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert "needs" in no_room(said, tmp_path) and explain(said).kind == DISK_FULL
    assert no_room(ValueError("no room in the model for 9 labels"), tmp_path) == ""


ON_TMPFS = """
import os, subprocess, sys
from pathlib import Path
from study.store.disk_full import DiskFull
from study.store.store import Store
home = Path(sys.argv[1])
def make(address, size):
    store = Store(home)
    with store.claim(address) as work:
        (work / "model.bin").write_bytes(b"w" * size)
        store.publish(address, work, {})
make("aa" * 32, 1_500_000)
try:
    make("bb" * 32, 3_000_000)
except DiskFull as error:
    print(error)
print([p.name for kind in ("work", "leases") for p in (home / kind).iterdir()], Store(home).has("bb" * 32))
subprocess.run(["mount", "-o", "remount,size=9m", str(home)], check=True)
make("bb" * 32, 3_000_000)
print(Store(home).has("aa" * 32), Store(home).has("bb" * 32))
subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
try:
    make("cc" * 32, 10)
except OSError as error:
    print(error)
print(Store(home).has("aa" * 32))
"""


@pytest.mark.skipif(
    subprocess.run(["sh", "-c", "unshare -rm true"], capture_output=True).returncode != 0,
    reason="no file system may be mounted here",
)
def test_on_a_file_system_that_is_full_and_then_read_only(tmp_path: Path) -> None:
    """A real file system of 4 MB in memory.

    The stage is refused, made when there is room, and read when nothing can be written.
    """
    script = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, ON_TMPFS]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert said.returncode == 0, said.stderr
    full, leftovers, mended, denied, readable = said.stdout.splitlines()
    assert full.startswith("stage bbbbbbbbbbbb needs ") and f"free in {tmp_path}, which has " in full
    assert (leftovers, mended, readable) == ("[] False", "True True", "True")
    assert "Read-only file system" in denied and str(tmp_path) in denied
