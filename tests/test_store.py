"""The store from outside: a stage is there whole or not at all, damage is noticed, and one worker makes a stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from study import store as store_module
from study.store import Store

ADDRESS = "ab" + "0" * 62
ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.timeout(60)  # a lease that nobody may take is waited for without end


def make(store: Store, address: str = ADDRESS, text: str = "weights") -> Path:
    """Publishes a small stage with a file in a subfolder."""
    with store.claim(address) as work:
        assert work is not None
        (work / "sub").mkdir()
        (work / "model.bin").write_text(text)
        (work / "sub" / "history.json").write_text("[1, 2, 3]")
        store.publish(address, work, {"kind": "target", "summary": {"steps": 3}})
    return store.folder(address)


def left(home: Path, *kinds: str) -> list[str]:
    """What lies in the home's folders for unfinished or damaged work."""
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


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a file cut short": lambda f: os.truncate(f / "model.bin", 3),
    "a byte changed": lambda f: (f / "model.bin").write_text("weightz"),
    "a file gone": lambda f: (f / "sub" / "history.json").unlink(),
    "its description changed": lambda f: (f / "stage.json").write_text("{}"),
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
from study.store import Store
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


def test_a_stale_lease_is_taken_over_by_one_of_several(tmp_path: Path) -> None:
    lease = tmp_path / "leases" / ADDRESS
    lease.parent.mkdir()
    lease.write_text("elsewhere:1:dead")
    long_ago = time.time() - 2 * store_module.LEASE_S
    os.utime(lease, (long_ago, long_ago))
    test_of_two_threads_one_makes_the_stage_and_the_other_finds_it(tmp_path)
    assert left(tmp_path, "leases") == []


def test_a_stage_that_was_finished_just_before_the_lease_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = store_module._take

    def slowly(lease: Path, owner: str) -> bool:
        monkeypatch.setattr(store_module, "_take", take)
        make(Store(tmp_path))  # another worker is done between our look and our lease
        return take(lease, owner)

    monkeypatch.setattr(store_module, "_take", slowly)
    with Store(tmp_path).claim(ADDRESS) as work:
        assert work is None
    assert left(tmp_path, "work", "leases", "damaged") == []


def test_a_live_lease_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder works for twice the lease; its heartbeat keeps the other out, who then need not work."""
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
    """Otherwise the heartbeat of a claim that never began would hold up every other worker for ever."""
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
