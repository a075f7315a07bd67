"""Safety of everything that is started, loaded, named or displayed."""

from __future__ import annotations

import ast
import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.cli_parser import run_verb
from study.execution.live_display import table as live_table
from study.execution.monitor import MonitorCallbacks, TrialMonitor
from study.execution.trial_failure import TrialFailure, explain
from study.planning.encoder_weights import Weights, resolve
from study.record.record import Record
from study.results.report import FailedRecipe, TargetResult
from study.results.writers import markdown, plain, write_files, write_report
from study.sanitize import SafeConsole, escape_control_characters, redact, safe_json, sanitize, spreadsheet_cell
from study.store.store import Store
from study.tracking.mlflow import Writer, sync
from study.tracking.mlflow_store import default_uri
from study.xtreme.scoring import score_folder
from tests import ROOT
from tests.builders import resolved, row_of
from trainables.errors import BadInput, DataError
from trainables.recipe import Recipe

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\rhidden\u202egnp.exe\u2028[bold]x[/bold]"
SECRET = "hf_s3cr3t/Value+with=signs"


def product() -> list[Path]:
    return [p for room in ("trainables", "search_spaces", "study", "dashboards") for p in (ROOT / room).rglob("*.py")]


# --- what is loaded ---


def test_the_product_never_loads_a_pickle_yaml_or_code() -> None:
    forbidden = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "subprocess"}
    found = []
    for path in product():
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if path.name == "environment.py":  # the doctor starts this Python to check torch and Ray
                names = [name for name in names if name != "subprocess"]
            found += [f"{path}: import {name}" for name in names if name.split(".")[0] in forbidden]
            if isinstance(node, ast.Call):
                called, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
                if called in ("eval", "exec", "compile", "torch.load", "os.system", "__import__"):
                    found.append(f"{path}:{node.lineno}: {called}")
                if called in ("np.load", "np.save", "numpy.load") and given.get("allow_pickle") != "False":
                    found.append(f"{path}:{node.lineno}: {called} without allow_pickle=False")
                if called.endswith(".from_pretrained") and given.get("trust_remote_code") != "False":
                    found.append(f"{path}:{node.lineno}: {called} without trust_remote_code=False")
                if "Model" in called and called.endswith(".from_pretrained") and given.get("use_safetensors") != "True":
                    found.append(f"{path}:{node.lineno}: {called} without use_safetensors=True")
    assert not found


def checkpoint(folder: Path, **files: Any) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "tokenizer.json").write_text("{}")
    for name, values in ({"config": {"model_type": "xlm-roberta"}} | files).items():
        text = values if isinstance(values, str) else json.dumps(values)
        (folder / f"{name.replace('__', '.')}.json").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"config": {"auto_map": {"AutoModel": "modeling_x.X"}}}, "config.json requires remote Python code"),
        (
            {"tokenizer_config": {"auto_map": {"AutoTokenizer": ["t.T", None]}}},
            "tokenizer_config.json requires remote Python",
        ),
        ({"config": "[" * 100_000}, "config.json is not valid JSON"),
        ({"config": "[]"}, "config.json is not a JSON object"),
        (
            {"model__safetensors__index": {"weight_map": {"w": "../../other.safetensors"}}},
            "weight file that is not in",
        ),
        (
            {"model__safetensors__index": {"weight_map": {"w": "/etc/passwd"}}},
            "weight file that is not in",
        ),
    ],
)
def test_a_checkpoint_with_code_or_weights_elsewhere_is_refused(
    tmp_path: Path, files: dict[str, Any], reason: str
) -> None:
    folder = checkpoint(tmp_path / "encoder", **files)
    with pytest.raises(BadInput, match=reason):
        resolve(str(folder))


def test_a_plain_checkpoint_is_taken(tmp_path: Path) -> None:
    index = {"weight_map": {"w": "model.safetensors"}}
    assert resolve(str(checkpoint(tmp_path / "encoder", model__safetensors__index=index))) is not None


def test_what_the_hub_sends_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    folder = checkpoint(tmp_path / "encoder", config={"auto_map": {"AutoModel": "x.X"}})
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    with pytest.raises(BadInput, match="encoder 'acme/xlm': config.json requires remote Python code"):
        Weights("0" * 64, "hub:acme/xlm@abc").folder()
    info = SimpleNamespace(config={"auto_map": {}} | {"auto_map": {"AutoModel": "x.X"}}, siblings=[], sha="abc")
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    with pytest.raises(BadInput, match="config.json requires remote Python code"):
        resolve("acme/xlm")
    info.config = None
    info.siblings = [SimpleNamespace(rfilename="pytorch_model.bin")]
    with pytest.raises(BadInput, match="pickled weights are not loaded"):
        resolve("acme/xlm")


# --- what is started ---


def test_the_mlflow_server_that_is_printed_listens_on_this_machine_alone() -> None:
    from mlflow.cli import server

    (host,) = [option for option in server.params if option.name == "host"]
    assert host.default == "127.0.0.1"


# --- text from data ---


def test_text_cannot_command_a_terminal() -> None:
    said = escape_control_characters(EVIL + "\n\tkept: ñ 漢字 क्\u200dष \ud800")
    assert not {c for c in said if ord(c) < 32} - set("\n\t")
    assert not set("\x7f\x9b\u202e\u2028\ud800") & set(said)
    assert "kept: ñ 漢字 क्\u200dष \\ud800" in said and "\\u202e" in said
    assert json.loads(safe_json({"a": EVIL})) == {"a": EVIL} and "\x9b" not in safe_json(EVIL)


def test_every_console_shows_text_as_it_is() -> None:
    from rich.markup import escape
    from rich.table import Table

    made = Table(EVIL, title=escape(EVIL))
    made.add_row(escape(EVIL))
    out = io.StringIO()
    console = SafeConsole(file=out, width=400)
    console.print(made)
    console.print(EVIL, markup=False)
    console.print(live_table([(EVIL, EVIL)]))
    assert not {c for c in out.getvalue() if ord(c) < 32} - {"\n"} and "\u202e" not in out.getvalue()


def test_a_refusal_or_a_fault_is_printed_without_commands_and_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_TOKEN", SECRET)
    for kind, status in ((BadInput, 2), (DataError, 1), (RuntimeError, 1)):

        def main(argv: Any, kind: type[Exception] = kind) -> int:
            raise kind(f"row 3: {EVIL} {SECRET}")

        with pytest.raises(SystemExit) as ended:
            run_verb(main, [])
        err = capsys.readouterr().err
        assert ended.value.code == status and "row 3" in err
        assert SECRET not in err and not {c for c in err if ord(c) < 32} - {"\n"}
        assert (err.count("\n") == 1) == (kind is not RuntimeError)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-cmd|'/c calc'!A0", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_is_never_a_formula(text: str) -> None:
    assert spreadsheet_cell(text) == f"'{text}"
    assert [spreadsheet_cell(v) for v in (-1.5, 3, "", "MNLI", None)] == [-1.5, 3, "", "MNLI", None]


def test_markdown_of_a_hostile_reason_holds_no_html_link_or_picture() -> None:
    said = plain("<script>x</script> ![p](http://e.example/p.png) [c](javascript:x) `code`\n# head")
    assert "<" not in said and "\n" not in said
    assert all(said[at - 1] == "\\" for at, c in enumerate(said) if c in "[`")


# --- secrets ---


def test_what_is_a_secret_is_decided_by_its_name() -> None:
    environment = {
        "HF_TOKEN": "abcdef1", "AWS_SECRET_ACCESS_KEY": "a/b+c==", "AWS_ACCESS_KEY_ID": "AKIA1234", "PGPASSWORD": "hunter22",
        "MLFLOW_TRACKING_PASSWORD": "quo'te\"d", "GCP_CREDENTIALS": "line one\nline two", "api_key": "lowercase",
        "TOKENIZERS_PARALLELISM": "parallel", "KEYBOARD": "german", "MY_KEY": "true", "PATH": "/usr/bin",
    }  # fmt: skip
    text = "abcdef1 a/b+c== a%2Fb%2Bc%3D%3D AKIA1234 hunter22 line two lowercase parallel german true /usr/bin"
    said = redact(text + " " + repr("quo'te\"d") + json.dumps("quo'te\"d"), environment)
    assert said.startswith("*** *** *** *** *** *** *** parallel german true /usr/bin ") and "te" not in said[-20:]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:pa55@host:5000/x", "http://***@host:5000/x"),
        ("postgresql+psycopg2://me:p:w@host/db?a=b", "postgresql+psycopg2://***@host/db?a=b"),
        ("https://ghp_0123456789abcdef0123@github.com/x", "https://***@github.com/x"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
    ],
)
def test_a_password_in_a_url_is_hidden(url: str, shown: str) -> None:
    assert redact(f"at {url} now", {}) == f"at {shown} now"


@pytest.fixture
def study(tmp_path: Path) -> tuple[Record, Store]:
    settings, _ = resolved("--space", "intermediate_tasks", "--encoder", "pretrain:nano")
    record = Record(tmp_path, "mine")
    record.open(settings)
    return record, Store(tmp_path)


def test_no_secret_of_a_failing_worker_reaches_the_home(
    study: tuple[Record, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    record, store = study
    recipe = Recipe(encoder="pretrain:nano", profile="small", targets=record.settings.targets)
    said: list[str] = []
    writer = Writer(default_uri(record.home), record, store)
    plan = SimpleNamespace(evaluations=dict, sweeps=dict)
    job_of: Any = lambda recipe: SimpleNamespace(plan=plan)  # noqa: E731
    callbacks = MonitorCallbacks(put=writer.put, say=said.append)
    monitor = TrialMonitor(record=record, store=store, job_of=job_of, budget=2, concurrent=1, callbacks=callbacks)
    try:
        raise DataError(f"mnli/en/train row 7: label {SECRET!r} {EVIL} at https://me:{SECRET}@hub.example is unknown")
    except DataError as error:
        failure = explain(error)
    for number, failed in enumerate((failure, TrialFailure("Lost", SECRET, SECRET))):
        other, result = replace(recipe, scale=0.5 + number / 4), {"failed": failed}
        monitor.start(other, {})
        monitor.ended(SimpleNamespace(config={"recipe": other.to_dict()}, last_result=result, num_failures=0), "")
    assert writer.close(120) is None
    sync(default_uri(record.home), record, store, write_report(record, store), record.folder / "report")
    files = [p for p in record.home.rglob("*") if p.is_file()]
    names = {p.name for p in files}
    assert {"record.jsonl", "mlflow.db", "report.json", "index.html", "traceback.txt"} <= names
    assert not [p for p in files if SECRET.encode() in p.read_bytes()]
    assert not [p for p in files if p.suffix in (".md", ".html", ".txt", ".jsonl") and b"\x1b" in p.read_bytes()]
    assert len(said) == 2 and "row 7" in said[0] and not [c for line in said for c in line if ord(c) < 32]
    assert "label" in (record.folder / "record.jsonl").read_text()


def test_mlflows_address_is_shown_without_its_password(
    study: tuple[Record, Store], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from study import sync as verb

    monkeypatch.setattr("study.tracking.mlflow.sync", lambda *_: {})
    monkeypatch.setattr("study.tracking.mlflow_store.check_uri", lambda uri: uri)
    home = str(study[0].home)
    for more in ((), ("--json",)):
        assert verb.main(["mine", "--home", home, "--mlflow-uri", "http://me:pa55word@host:1", *more]) == 0
        out = capsys.readouterr().out
        assert "pa55word" not in out and "http://***@host:1" in out


def test_a_worker_and_the_driver_redact_what_each_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "first line of it\nsecond line of it")
    failure = explain(ValueError("bad: first line of it\nsecond line of it"))
    assert "line of it" not in failure.reason + failure.traceback
    assert sanitize("\x1b[31mred\x1b[0m") == "red"


# --- names and paths ---


@pytest.mark.parametrize(
    "name",
    ["", "..", ".", "../x", "a/b", "/etc", "a\0b", "x" * 101, "-rf", ".hidden", "a b", "ｘ", "naïve",
     "a\n", "a\u202eb", "~root", "a\\b", "C:x"],
)  # fmt: skip
def test_a_study_name_is_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        Record(tmp_path, name)


@pytest.mark.parametrize("name", ["CON", "nul.txt", "COM1", "a..b", "x" * 100])
def test_odd_names_stay_below_the_home(tmp_path: Path, name: str) -> None:
    assert Record(tmp_path, name).folder.parent == tmp_path / "studies"


@pytest.mark.parametrize("value", ["x" * 5000, "a\0b", "acme/" + "x" * 300, "./\x1b[2J", "рocket", "../../etc", "-x"])
@pytest.mark.parametrize("option", ["--encoder", "--source", "--targets", "--recipe", "--space", "--profile"])
def test_odd_values_are_refused_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    value: str,
) -> None:
    from study.launch import main

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    argv = ["--space", "intermediate_tasks", "--encoder", "pretrain:nano", "--home", str(tmp_path / "h"), "--dry-run"]
    argv = argv[4:] if option == "--recipe" else argv
    with pytest.raises(SystemExit) as ended:
        run_verb(main, [*argv, f"{option}={value}"])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert not {c for c in err if ord(c) < 32} - {"\n"}


@pytest.mark.parametrize("value", ["x" * 5000, "a\0b", "x" * 300, "\x1b[2J"])
def test_a_home_is_a_folder_that_can_be(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    from study.status import main

    with pytest.raises(SystemExit) as ended:
        run_verb(main, [f"--home={value}"])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.count("\n") == 1 and "\x1b" not in err


def test_predictions_do_not_lead_out_of_their_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("root:x:0:0\n")
    for side in ("predictions", "labels"):
        (tmp_path / side / "xnli").mkdir(parents=True)
        (tmp_path / side / "xnli" / "test-de.tsv").write_text("neutral\n")
    assert score_folder(tmp_path / "predictions", tmp_path / "labels", "xtreme")["tasks"]
    file = tmp_path / "predictions" / "xnli" / "test-de.tsv"
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    with pytest.raises(BadInput, match="is a link to outside the folder") as error:
        score_folder(tmp_path / "predictions", tmp_path / "labels", "xtreme")
    assert "root:x" not in str(error.value)


def test_the_files_of_a_hostile_report_are_harmless(study: tuple[Record, Store], tmp_path: Path) -> None:
    record, store = study
    report = write_report(record, store)
    failed = FailedRecipe(name="=1+1", address="a", reason="<img src=x> [a](b) " + EVIL, traceback="<b>")
    cell = TargetResult(mean=1.0, gain=None, interval=None, languages={"=de": {"accuracy": -1.0}})
    recipe = Recipe(encoder="pretrain:nano", profile="small", targets=("xnli",), train_languages=("de",))
    row = row_of(recipe, {"@t": cell}, name="=cmd|' /C calc'!A0")
    report = replace(report, failures=(failed,), matrix=(*report.matrix, row))
    write_files(report, tmp_path / "out")
    lines = list(csv.reader((tmp_path / "out" / "matrix.csv").open()))
    assert lines[-1][0] == "'=cmd|' /C calc'!A0" and lines[-1][3:7] == ["'@t", "'=de", "accuracy", "-1.0"]
    assert "<img" not in markdown(report) and "\\[a](b)" in markdown(report)
    for name in ("report.md", "index.html"):
        text = (tmp_path / "out" / name).read_text()
        assert "\x1b" not in text and "<img" not in text
