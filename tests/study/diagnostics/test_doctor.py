"""The doctor reports contents of a source, faults of the installation, and fixes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from study import doctor
from study.diagnostics import environment as checks
from study.planning.encoder_weights import Weights
from study.record.record import Record
from study.store.store import Store
from tests.builders import empty_mlflow_store
from tests.small import files_of
from tests.study.results.test_report import SETTINGS
from tests.trainables.catalogue.test_schemas import SCHEMAS, build, recording, write_parquet
from tests.trainables.sources.test_sources import REAL, FakeHub
from trainables import pocket
from trainables.catalogue import DATASETS
from trainables.errors import BadInput
from trainables.sources.hub import HubTables
from trainables.sources.layered import LayeredTables
from trainables.sources.mirror import MirrorTables
from trainables.sources.tables import TableSource


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a mirror with the recordings of every dataset."""
    folder = tmp_path_factory.mktemp("mirror")
    for path in SCHEMAS.glob("*.json"):
        build(path.stem, folder)
    return folder


def check(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    """Return exit status and findings by name from the JSON form."""
    status = doctor.main([*argv, "--json"])
    content = json.loads(capsys.readouterr().out)
    return status, {f["name"]: f for f in content["datasets"]}


def test_every_dataset_of_the_catalogue_is_found_and_read(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = check(capsys, "--data", f"mirror:{whole}")
    assert status == 0 and list(found) == list(DATASETS)
    assert {f["state"] for f in found.values()} <= {"ok", "partial", "differs"}
    assert found["mnli"]["rows"] == {"train": {"en": 2}, "validation": {"en": 1}}
    assert found["mlm"]["state"] == "partial" and found["mlm"]["problems"] == []
    assert found["mnli"]["state"] == "differs" and "en/train has 2 rows, not 392,702" in found["mnli"]["problems"]
    assert "en/train gives 1 examples, not 549,367" in found["snli"]["problems"]
    assert found["mlqa"]["missing"] == []
    assert found["xquad_r"]["missing"] == [
        lang for lang in DATASETS["xquad_r"].configs if lang not in ("en", "ar", "ro")
    ]
    assert found["bucc2018"]["examples"] == 8 and found["ccg"]["origin"] == "ccg/train.tsv and 1 more"


def test_rows_that_are_left_out_by_rule_are_counted(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = "multiatis,snli,pawsx_drop_ns,qnli_ranking,panx,qqp"
    found = check(capsys, "--data", f"mirror:{whole}", "--datasets", names)[1]
    left_out = {name: f["left_out"] for name, f in found.items()}
    assert left_out == {"multiatis": 1, "snli": 2, "pawsx_drop_ns": 2, "qnli_ranking": 4, "panx": 44, "qqp": 0}
    assert found["qnli_ranking"]["examples"] == 2


def test_what_cannot_be_read_is_named_with_its_row_and_ends_in_one(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("xnli", "ccg", "bucc2018"):
        build(name, tmp_path)
    features = recording("xnli")["features"]
    rows: list[dict[str, Any]] = [
        {"premise": "a", "hypothesis": "b", "label": 0},
        {"premise": "a", "hypothesis": None, "label": 0},
    ]
    write_parquet(tmp_path / "facebook/xnli/sw/test-00000-of-00001.parquet", features, rows)
    (tmp_path / "ccg/tags_to_id.json").write_text("[]")
    (tmp_path / "bucc2018/ru-en/ru-en.training.en").write_text("one column only\n")
    status, found = check(capsys, "--data", f"mirror:{tmp_path}", "--datasets", "xnli,ccg,bucc2018")
    assert status == 1 and {f["state"] for f in found.values()} == {"broken"}
    assert found["xnli"]["problems"][-1] == "xnli/sw/test row 1: column 'hypothesis' is null, not text"
    assert "tags_to_id.json" in found["ccg"]["problems"][0]
    assert "ru-en.training.en:1: has 1 columns, not 2" in found["bucc2018"]["problems"][-1]


def test_what_is_absent_says_what_brings_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build("mnli", tmp_path)
    status, found = check(capsys, "--data", f"mirror:{tmp_path}")
    assert status == 0
    assert found["xnli"]["advice"] == "on the hub: facebook/xnli"
    assert "LDC2021T04" in found["multiatis"]["advice"] and "train_EN.tsv" in found["multiatis"]["advice"]
    assert found["anli_plus"]["advice"] == "made of anli, mnli, snli; add anli, snli"
    assert all(f["advice"] for f in found.values() if f["state"] == "absent")


def test_a_set_without_english_training_rows_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build("multiatis", tmp_path)
    (tmp_path / "multiatis/train_EN.tsv").unlink()
    found = check(capsys, "--data", f"mirror:{tmp_path}", "--datasets", "multiatis")[1]["multiatis"]
    assert (found["state"], found["problems"]) == ("partial", ["it has no English training rows"])


def test_counts_of_stand_ins_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build("mnli", tmp_path)
    (tmp_path / "nyu-mll").rename(tmp_path / "local")
    text = '[mnli.en]\ntrain = "local/glue/mnli/train-00000-of-00001.parquet"\n[of_tomorrow.en]\ntrain = "x"\n'
    (tmp_path / "mirror.toml").write_text(text)
    status, found = check(capsys, "--data", f"mirror:{tmp_path}", "--datasets", "mnli")
    assert (status, found["mnli"]["state"], found["mnli"]["problems"]) == (0, "stand-in", [])
    doctor.main(["--data", f"mirror:{tmp_path}"])
    said = " ".join(capsys.readouterr().out.split())
    assert "not part of any dataset in the catalogue: [of_tomorrow] of mirror.toml, local/glue (3 files)" in said


def test_of_the_hub_only_lists_are_read_unless_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "validation"):
        file = tmp_path / f"nyu-mll/glue/main/rte/{split}-00000-of-00001.parquet"
        write_parquet(file, recording("rte")["features"], [])
    hub = FakeHub(tmp_path)
    hub.rows = {("rte", "train"): 2490, ("rte", "validation"): 276}
    monkeypatch.setattr(doctor, "open_source", lambda spec: hub.source())
    status, found = check(capsys, "--data", "hub", "--datasets", "rte,ccg,cola")
    assert hub.fetched == [] and not found["rte"]["read"]
    assert found["rte"]["rows"] == {"train": {"en": 2490}, "validation": {"en": 276}}
    assert found["rte"]["problems"] == ["en/validation has 276 rows, not 277"] and found["rte"]["state"] == "differs"
    assert found["ccg"]["state"] == "absent"
    assert status == 1 and "no complete Parquet files of config 'cola'" in found["cola"]["problems"][0]


def test_under_layers_only_what_comes_from_the_hub_is_left_unread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build("cola", tmp_path / "mirror")
    for split in ("train", "validation"):
        write_parquet(
            tmp_path / f"nyu-mll/glue/main/rte/{split}-00000-of-00001.parquet", recording("rte")["features"], []
        )
    layers = LayeredTables([MirrorTables(str(tmp_path / "mirror")), HubTables(FakeHub(tmp_path).look)])
    monkeypatch.setattr(doctor, "open_source", lambda spec: TableSource(layers))
    found = check(capsys, "--data", "mirror:x+hub", "--datasets", "cola,rte")[1]
    assert {name: (f["read"], f["state"]) for name, f in found.items()} == {
        "cola": (True, "differs"),
        "rte": (False, "ok"),
    }


def test_the_table_fits_a_terminal_of_eighty_columns(
    whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    doctor.main(["--data", f"mirror:{whole}"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:1] == ["bucc_gold_pairs"] for line in lines)


def test_unknown_names_are_bad_input() -> None:
    with pytest.raises(BadInput, match=r"unknown dataset 'xnil', did you mean 'xnli'\?"):
        doctor.main(["--datasets", "xnil"])
    with pytest.raises(BadInput, match="unknown source 'hubb'"):
        doctor.main(["--data", "hubb"])


# --- the installation ---


def installation(capsys: pytest.CaptureFixture[str], home: Path, *argv: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Return exit status and checks by name from the JSON form.

    Of several checks with one name, the worst counts.
    """
    status = doctor.main(["--home", str(home), *argv, "--json"])
    found: dict[str, dict[str, str]] = {}
    for check in json.loads(capsys.readouterr().out)["checks"]:
        if found.get(check["name"], {}).get("state") != "broken":
            found[check["name"]] = check
    assert all(check["mend"] for check in found.values() if check["state"] != "ok")
    return status, found


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """Make a home with a study, its journal, an MLflow store and a stage."""
    folder = tmp_path / "studies" / "s"
    folder.mkdir(parents=True)
    Record(tmp_path, "s").open(SETTINGS)
    (folder / "optuna.journal").write_text('{"op_code": 0}\n{"op_code": 4}\n{"op_c')
    (tmp_path / "mlflow.db").write_bytes(empty_mlflow_store())
    with Store(tmp_path).claim("ab" * 32) as work:
        assert work is not None
        Store(tmp_path).publish("ab" * 32, work, {"kind": "evaluate", "parent": ""})
    return tmp_path


def test_of_a_sound_home_nothing_is_broken_and_nothing_changes(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(used)
    status, found = installation(capsys, used)
    assert status == 0
    names = ["python", "libraries", "ray", "gpu", "memory", "shared memory", "home", "disk", "leftovers", "studies"]
    assert list(found) == [*names, "optuna", "mlflow", "encoder"]
    assert found["mlflow"]["said"].endswith("mlflow.db can be used") and "torch" in found["libraries"]["said"]
    assert {found[name]["state"] for name in ("studies", "optuna", "mlflow", "encoder", "home", "leftovers")} == {"ok"}
    assert files_of(used) == before


def test_what_is_damaged_or_left_behind_is_named_with_what_mends_it(
    used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (used / "studies/s/optuna.journal").write_text('{"op_code": 0}\nnonsense\n{"op_code": 4}\n')
    (used / "studies/s/study.json").write_text("{")
    (used / "mlflow.db").write_bytes(b"nonsense" * 100)
    (used / "damaged/x-1").mkdir(parents=True)
    lease = used / "leases" / ("cd" * 32)
    lease.write_text("dead")
    os.utime(lease, (1e9, 1e9))
    status, found = installation(capsys, used)
    assert status == 1
    assert {name: c["state"] for name, c in found.items() if name in ("optuna", "studies", "mlflow", "leftovers")} == {
        "optuna": "broken",
        "studies": "broken",
        "mlflow": "broken",
        "leftovers": "warning",
    }
    assert found["optuna"]["said"].startswith("line 2 of ") and "study.resume s" in found["optuna"]["mend"]
    assert found["leftovers"]["said"].startswith("1 damaged stages, 1 leases")
    assert f"study.gc --dry-run --home {used}" in found["leftovers"]["mend"] and "study.sync" in found["mlflow"]["mend"]


def test_versions_outside_the_wanted_ranges_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [Requirement("rich>=999"), Requirement("numpy>=2"), Requirement("no-such-library>=1")]
    monkeypatch.setattr(checks, "_requirements", lambda: (wanted, ">=3.99"))
    status, _ = installation(capsys, tmp_path)
    python, rich, none, fit = checks.check_versions()
    assert status == 1 and [c.state for c in (python, rich, none, fit)] == ["broken"] * 3 + ["ok"]
    assert rich.mend == "pip install 'rich>=999'" and "not installed" in none.said and "1 of 3" in fit.said


def test_the_ranges_are_those_of_the_project() -> None:
    wanted, python = checks._requirements()
    assert python == ">=3.11" and {"ray", "torch", "optuna", "mlflow"} <= {w.name for w in wanted}


class Health(BaseHTTPRequestHandler):
    """Minimal MLflow server with the endpoint that the doctor uses."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path.startswith("/api/2.0/mlflow/experiments/search?") else 404)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        pass


def test_an_mlflow_server_is_asked_and_one_that_is_down_or_hangs_does_not_hold_the_doctor_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert checks.check_mlflow(tmp_path, url).state == "ok"
        server.shutdown()
    down = checks.check_mlflow(tmp_path, url.replace("//", "//me:secret@"))
    assert down.state == "broken" and "study.sync" in down.mend and "secret" not in down.said
    monkeypatch.setattr("study.tracking.mlflow_store.LOOK_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert checks.check_mlflow(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}").state == "broken"


def test_a_ray_address_where_nothing_listens_is_broken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert checks.check_ray(address, start=False).state == "ok"
    found = checks.check_ray(address, start=False)
    assert found.state == "broken" and found.mend


def test_encoders_that_cannot_be_had_are_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text("{}")
    (tmp_path / "bert" / "pytorch_model.bin").write_bytes(b"")
    status, found = installation(capsys, tmp_path / "home", "--encoder", str(tmp_path / "bert"))
    assert status == 1 and "is a pickle" in found["encoder"]["said"]
    assert checks.check_encoder("pretrain:nano").state == checks.check_encoder("pocket").state == "ok"
    other = tmp_path / "other"
    shutil.copytree(Path(pocket.__file__).parent / "encoder", other)
    (other / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(checks, "resolve", lambda name: Weights("", str(other)))
    assert checks.check_encoder("pocket").state == "broken"


@pytest.mark.parametrize(
    ("answer", "hidden", "state", "said"),
    [
        ((0, '{"cuda": "12.8", "gpus": [["H100", 80000000000, true]]}'), None, "ok", "1: H100 80.0 GB; CUDA 12.8"),
        ((0, '{"cuda": "12.8", "gpus": [["T4", 16000000000, false]]}'), None, "ok", "T4 16.0 GB without bf16"),
        ((0, '{"cuda": null, "gpus": []}'), None, "broken", "built without CUDA, finds none"),
        ((0, '{"cuda": "12.8", "gpus": []}'), "", "warning", "hidden: CUDA_VISIBLE_DEVICES=''"),
        ((1, "ImportError: libcuda"), None, "broken", "torch does not start: ImportError: libcuda"),
    ],
)
def test_gpus_that_torch_cannot_use_are_told(
    answer: tuple[int, str], hidden: str | None, state: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(checks, "_python", lambda code: answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found = checks.check_gpus()
    assert found.state == state and said in found.said


def test_little_room_names_what_frees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((10**8, "broken"), (10**9, "warning"), (10**12, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        assert checks.check_room(tmp_path).state == state
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    assert "study.gc" in checks.check_room(tmp_path).mend
    assert (checks.check_shm().state, checks.check_shm().mend) == ("warning", "docker run --shm-size=2g")


def test_a_home_that_cannot_be_used_is_broken_and_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    status, found = installation(capsys, tmp_path / "file" / "home")
    assert status == 1 and "cannot be used" in found["home"]["said"]

    def no_locks(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    locked = checks.check_home(tmp_path)
    assert locked.state == "broken" and locked.said.endswith("cannot lock a file: No locks available")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_check_that_fails_in_its_own_way_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "check_memory", lambda: 1 // 0)
    found = {check.name: check for check in checks.check_all(tmp_path)}
    assert found["memory"].state == "broken" and "ZeroDivisionError" in found["memory"].said
    assert found["encoder"].state == "ok"


def test_the_installation_and_a_source_are_not_checked_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--encoder checks the installation"):
        doctor.main(["--data", "pocket", "--encoder", "pocket"])


def test_what_a_check_says_is_printed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--home", str(tmp_path), "--encoder", "[red]x"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "unknown encoder '[red]x'" in said and "fix: set --encoder" in said


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the folder of real data beside the repository (../shared/hub)")
def test_nothing_of_the_real_data_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    """About four seconds. Official sets have the published numbers of rows."""
    status, found = check(capsys, "--data", f"mirror:{REAL}")
    states = {name: f["state"] for name, f in found.items() if f["state"] != "absent"}
    assert status == 0 and "broken" not in states.values() and "differs" not in states.values()
    assert states["xnli"] == states["tatoeba"] == "partial" and states["mtod"] == "stand-in"
