"""Sources: the same rows, labels and hashes from a folder, from the pocket world and from the hub."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.catalogue import DATASETS, dataset
from trainables.errors import BadInput, DataError
from trainables.examples import Bitext, Labelled, Words
from trainables.sources import Source, open_source
from trainables.sources.hub import CONVERTED, HubTables, Missing, Repo, Unreachable
from trainables.sources.pocket import PocketTables
from trainables.sources.tables import TableSource, evenly

REPO = Path(__file__).resolve().parents[1]
REAL = REPO.parent / "shared" / "hub"
NLI = ("entailment", "neutral", "contradiction")
XNLI = dataset("xnli")


def write(file: Path, rows: list[dict[str, Any]], **names: tuple[str, ...]) -> Path:
    """A Parquet file whose metadata declares ClassLabel columns as the `datasets` library writes them."""
    table = pa.Table.from_pylist(rows)
    features: dict[str, Any] = {column: {"dtype": "string", "_type": "Value"} for column in table.column_names}
    for column, labels in names.items():
        feature = {"names": list(labels), "_type": "ClassLabel"}
        nested = pa.types.is_list(table.schema.field(column).type)
        features[column] = {"feature": feature, "_type": "List"} if nested else feature
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names else None
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), file)
    return file


def nli(count: int, tag: str = "en", label: Any = None) -> list[dict[str, Any]]:
    return [
        {"premise": f"{tag} p{i}", "hypothesis": f"{tag} h{i}", "label": i % 3 if label is None else label}
        for i in range(count)
    ]


def mirror(folder: Path) -> Source:
    return open_source(f"mirror:{folder}")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A mirror with official XNLI, sib200 and ANLI, and stand-ins for MNLI, NER in Croatian and CCG."""
    for tag in ("sw", "de", "en"):
        write(tmp_path / f"facebook/xnli/{tag}/test.parquet", nli(30, tag), label=NLI)
    for part in (1, 2, 3):
        rows = [row | {"uid": f"r{part}-{i}"} for i, row in enumerate(nli(4))]
        write(tmp_path / f"facebook/anli/plain_text/dev_r{part}.parquet", rows, label=NLI)
    topics = DATASETS["sib200"].labels
    for config, keys in (("eng_Latn", (4, 7, 9)), ("deu_Latn", (9, 4, 5))):
        rows = [{"index_id": k, "category": k % 7, "text": f"{config} {k}"} for k in keys]
        write(tmp_path / f"Davlan/sib200/{config}/train.parquet", rows, category=topics)
    write(tmp_path / "local/mnli.parquet", nli(6), label=NLI)
    write(tmp_path / "local/xnli.parquet", nli(2, "standin"), label=NLI)
    write(tmp_path / "local/hr.parquet", [{"tokens": ["Split"], "ner_tags": [5]}, {"tokens": [], "ner_tags": []}])
    for split in ("train", "validation"):
        write(tmp_path / f"local/ccg-{split}.parquet", [{"tokens": ["Go", "on"], "tags": [1, 0]}], tags=("N", "S/NP"))
    (tmp_path / "mirror.toml").write_text(
        '[mnli.en]\ntrain = "local/mnli.parquet"\n'
        '[xnli.de]\ntest = "local/xnli.parquet"\nvalidation = "local/xnli.parquet"\n'
        '[panx.hr]\ntest = "local/hr.parquet"\n'
        '[ccg.en]\ntrain = "local/ccg-train.parquet"\nvalidation = "local/ccg-validation.parquet"\n'
        '[bucc2018.de]\npairs_test = "not/here.parquet"\n'
    )
    return tmp_path


def test_a_mirror_gives_official_rows_and_stand_ins_where_there_are_none(small: Path) -> None:
    source = mirror(small)
    assert source.spec == f"mirror:{small.resolve()}"
    assert source.languages(XNLI, "test") == ("en", "de", "sw")
    assert source.languages(XNLI, "train") == ()
    assert source.examples(XNLI, "de", "test")[1] == Labelled("1", "de p1", "de h1", 1)
    assert source.num_rows(XNLI, "de", "test") == 30
    assert source.languages(XNLI, "validation") == ("de",) and source.standin(XNLI)
    assert source.languages(dataset("mnli"), "train") == ("en",) and source.standin(dataset("mnli"))
    assert not source.standin(dataset("sib200")) and not source.standin(dataset("qqp"))


def test_a_mirror_may_add_languages_and_leaves_out_empty_rows(small: Path) -> None:
    panx = dataset("panx")
    source = mirror(small)
    assert source.languages(panx, "test") == ("hr",)
    assert source.num_rows(panx, "hr", "test") == 2
    assert source.examples(panx, "hr", "test") == [Words("0", ("Split",), (5,))]


def test_a_split_of_several_files_reads_them_in_order(small: Path) -> None:
    anli = dataset("anli")
    source = mirror(small)
    assert [e.id for e in source.examples(anli, "en", "validation")][3:5] == ["r1-3", "r2-0"]
    assert source.num_rows(anli, "en", "validation") == 12
    (small / "facebook/anli/plain_text/dev_r2.parquet").unlink()
    assert mirror(small).languages(anli, "validation") == ()


def test_what_is_not_there_is_bad_input_that_says_what_is(small: Path) -> None:
    for ask in (
        lambda: mirror(small).examples(XNLI, "fr", "test"),
        lambda: mirror(small).num_rows(XNLI, "fr", "test"),
        lambda: mirror(small).fingerprint(XNLI, "fr", "test"),
    ):
        with pytest.raises(BadInput, match=r"has no xnli/fr/test \(it has en, de, sw\)"):
            ask()


def test_the_fingerprint_follows_the_bytes_and_nothing_else(small: Path, tmp_path_factory: Any) -> None:
    copy = shutil.copytree(small, tmp_path_factory.mktemp("other") / "folder")
    before = mirror(small).fingerprint(XNLI, "en", "test")
    assert before == mirror(copy).fingerprint(XNLI, "en", "test") != mirror(small).fingerprint(XNLI, "de", "test")
    write(copy / "facebook/xnli/en/test.parquet", nli(30, "changed"), label=NLI)
    assert mirror(copy).fingerprint(XNLI, "en", "test") != before
    assert mirror(small).fingerprint(dataset("anli"), "en", "validation") != before


def test_take_is_even_and_equal_in_every_language(small: Path) -> None:
    assert evenly(10, 4) == [0, 2, 5, 7] and evenly(3, 9) == [0, 1, 2] and evenly(7, 7) == list(range(7))
    source = mirror(small)
    taken = {tag: [e.id for e in source.examples(XNLI, tag, "test", take=7)] for tag in ("en", "de", "sw")}
    assert taken["en"] == taken["de"] == taken["sw"] == ["0", "4", "8", "12", "17", "21", "25"]
    assert source.examples(XNLI, "en", "test", take=7)[2] == source.examples(XNLI, "en", "test")[8]
    with pytest.raises(BadInput, match="take must be at least 1"):
        source.examples(XNLI, "en", "test", take=0)


def test_parallel_rows_are_joined_by_key(small: Path) -> None:
    sib = dataset("sib200")
    source = mirror(small)
    assert source.parallel(sib, "de", "train") == [
        Bitext("9", "deu_Latn 9", "eng_Latn 9"),
        Bitext("4", "deu_Latn 4", "eng_Latn 4"),
    ]
    assert source.parallel(sib, "en", "train") == []
    with pytest.raises(BadInput, match="xnli has no parallel rows"):
        source.parallel(XNLI, "de", "test")


def test_an_open_label_set_comes_from_the_files(small: Path) -> None:
    ccg = dataset("ccg")
    source = mirror(small)
    assert source.labels(ccg) == ("N", "S/NP") and source.labels(XNLI) == NLI and source.labels(dataset("squad")) == ()
    assert source.examples(ccg, "en", "train") == [Words("0", ("Go", "on"), (1, 0))]
    write(small / "local/ccg-validation.parquet", [{"tokens": ["Go"], "tags": [0]}], tags=("S/NP", "N"))
    with pytest.raises(DataError, match="ccg/en/validation: the label names of column 'tags' differ"):
        mirror(small).examples(ccg, "en", "validation")


def test_integer_labels_follow_the_files_own_names(small: Path) -> None:
    other = ("contradiction", "entailment", "neutral")
    write(small / "facebook/xnli/en/test.parquet", nli(3), label=other)
    assert [e.label for e in mirror(small).examples(XNLI, "en", "test") if isinstance(e, Labelled)] == [2, 0, 1]


def test_a_broken_row_names_itself(small: Path) -> None:
    file = small / "facebook/xnli/de/test.parquet"
    write(file, [*nli(17), *nli(1, label=5)], label=NLI)
    with pytest.raises(DataError) as error:
        mirror(small).examples(XNLI, "de", "test")
    reason = "label 5 is not one of 0..2 (entailment, neutral, contradiction)"
    assert str(error.value) == f"xnli/de/test row 17: {reason}"
    write(file, nli(3, label=-1), label=NLI)
    with pytest.raises(DataError, match="none of its 3 rows can be used"):
        mirror(small).examples(XNLI, "de", "test")
    file.write_bytes(b"not parquet at all")
    with pytest.raises(DataError, match="is not a Parquet file"):
        mirror(small).examples(XNLI, "de", "test")
    with pytest.raises(DataError):
        mirror(small).num_rows(XNLI, "de", "test")


def test_an_id_that_stands_twice_is_refused(small: Path) -> None:
    rows = [{"index_id": 4, "category": 0, "text": t} for t in "ab"]
    write(small / "Davlan/sib200/deu_Latn/train.parquet", rows)
    with pytest.raises(DataError, match="sib200/de/train row 1: id '4' is that of an earlier row"):
        mirror(small).examples(dataset("sib200"), "de", "train")


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ('[mnli.en]\ntrain = "../outside.parquet"', "leads out of the mirror: '../outside.parquet'"),
        ('[mnli.en]\ntrain = "link/outside.parquet"', "leads out of the mirror"),
        ('[mnli.en]\ntrain = "local/missing.parquet"', "names a file that does not exist"),
        ('[mnli.en]\ntrain = "local"', "names a file that does not exist"),
        ("[mnli.en]\ntrain = 3", "must be the path of a file"),
        ('[mnli.en]\ndev = "local/mnli.parquet"', "dev is not a split (allowed: train, validation, test)"),
        ('[mnli]\ntrain = "local/mnli.parquet"', "must be tables [mnli.<language>]"),
        ('mnli = "local/mnli.parquet"', "must be tables [mnli.<language>]"),
        ("[mnli.en", "is not valid TOML"),
    ],
)
def test_a_wrong_mirror_toml_is_refused_when_the_folder_is_opened(small: Path, toml: str, reason: str) -> None:
    outside = write(small.parent / f"{small.name}-outside" / "outside.parquet", nli(1))
    (small / "link").symlink_to(outside.parent)
    (small / "mirror.toml").write_text(toml)
    with pytest.raises(BadInput) as error:
        mirror(small)
    assert reason in str(error.value)
    absolute = str(outside).replace("\\", "/")
    (small / "mirror.toml").write_text(f'[mnli.en]\ntrain = "{absolute}"')
    with pytest.raises(BadInput, match="leads out of the mirror"):
        mirror(small)


def test_open_source_refuses_what_is_no_source(tmp_path: Path) -> None:
    for spec, reason in (
        ("pockt", r"unknown source 'pockt', did you mean 'pocket'\?"),
        ("mirror:", "names no folder"),
        (str(tmp_path), f"did you mean 'mirror:{tmp_path}'"),
        (f"mirror:{tmp_path}/nowhere", "does not exist"),
        (f"mirror:{tmp_path}", "holds no dataset of the catalogue"),
        ("hub:main", "unknown source"),
        ("", "unknown source ''"),
    ):
        with pytest.raises(BadInput, match=reason):
            open_source(spec)
    (tmp_path / "corpora").mkdir()
    with pytest.raises(BadInput, match=r"did you mean '.*corpora'"):
        open_source(f"mirror:{tmp_path}/corpra")


class World:
    """Stands in for `trainables.pocket`: sib200 in two languages."""

    def table(self, dataset: str, language: str, split: str, /) -> pa.Table | None:
        rows = [{"index_id": i, "category": i % 7, "text": f"{language} {i}"} for i in range(5)]
        return pa.Table.from_pylist(rows)

    def label_names(self, dataset: str, /) -> Mapping[str, tuple[str, ...]]:
        return {"category": DATASETS["sib200"].labels}

    def splits(self, dataset: str, /) -> Mapping[str, tuple[str, ...]]:
        return {"train": ("de", "en")} if dataset == "sib200" else {}


def test_the_pocket_world_is_read_like_any_other_source() -> None:
    source, sib = TableSource(PocketTables(World())), dataset("sib200")
    assert source.spec == "pocket" and source.standin(sib)
    assert source.languages(sib, "train") == ("en", "de") and source.languages(XNLI, "test") == ()
    assert source.examples(sib, "de", "train", take=2) == [Labelled(str(i), f"de {i}", None, i) for i in (0, 2)]
    assert source.parallel(sib, "de", "train")[0] == Bitext("0", "de 0", "en 0")
    assert source.num_rows(sib, "de", "train") == 5
    again = TableSource(PocketTables(World()))
    assert again.fingerprint(sib, "de", "train") == source.fingerprint(sib, "de", "train")
    assert source.fingerprint(sib, "de", "train") != source.fingerprint(sib, "en", "train")
    with pytest.raises(BadInput, match="pocket has no xnli/en/test"):
        source.examples(XNLI, "en", "test")


@pytest.mark.skipif(not (REPO / "trainables/pocket/__init__.py").is_file(), reason="the pocket world is not built yet")
def test_every_table_of_the_pocket_world_reads_cleanly() -> None:
    assert read_everything(open_source("pocket")) > 0


class FakeHub:
    """Repositories as folders: <folder>/<owner>/<name>/<revision or "main">/<path>."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fetched = folder, list[str]()
        self.deaf: set[str | None] = set()
        self.rows: dict[tuple[str, str], int] = {}

    def look(self, id: str, revision: str | None) -> Repo:
        if revision in self.deaf:
            raise Unreachable("the hub cannot be reached")
        root = self.folder / id / (revision or "main")
        if not root.is_dir():
            raise Missing("not there")
        files = {p.relative_to(root).as_posix(): None for p in root.rglob("*") if p.is_file()}
        return Repo(id, revision, f"commit-of-{revision or 'main'}", files, self.rows)

    def fetch(self, repo: Repo, path: str) -> Path:
        self.fetched.append(path)
        return self.folder / repo.id / (repo.revision or "main") / path

    def source(self) -> TableSource:
        return TableSource(HubTables(self.look, self.fetch))


@pytest.fixture
def hub(tmp_path: Path) -> FakeHub:
    xnli, glue, anli = (tmp_path / name for name in ("facebook/xnli/main", "nyu-mll/glue/main", "facebook/anli/main"))
    for part in (0, 1):
        write(xnli / f"de/test-0000{part}-of-00002.parquet", nli(3, f"de{part}"), label=NLI)
    write(glue / "mnli/validation_matched-00000-of-00001.parquet", nli(4), label=NLI)
    write(glue / "mnli/validation_mismatched-00000-of-00001.parquet", nli(5), label=NLI)
    for part in (1, 2, 3):
        rows = [row | {"uid": f"r{part}-{i}"} for i, row in enumerate(nli(2))]
        write(anli / f"plain_text/dev_r{part}-00000-of-00001.parquet", rows, label=NLI)
    write(tmp_path / "Davlan/sib200/main/data/deu_Latn/train.tsv.parquet", [{"a": 1}])
    rows = [{"index_id": 3, "category": "sports", "text": "Tor"}]
    write(tmp_path / "Davlan/sib200" / CONVERTED / "deu_Latn/train/0000.parquet", rows)
    rows = [{"id": "q", "context": "Bern", "question": "?", "answers": {"text": ["Bern"], "answer_start": [0]}}]
    write(tmp_path / "rajpurkar/squad/main/data/train-00000-of-00001-abcdef0123.parquet", rows)
    return FakeHub(tmp_path)


def test_the_hub_declares_languages_without_asking(hub: FakeHub) -> None:
    hub.deaf = {None, CONVERTED}
    source = hub.source()
    assert source.languages(XNLI, "test")[:3] == ("en", "ar", "bg")
    assert source.languages(XNLI, "train") == source.languages(dataset("ccg"), "train") == ()
    assert "th" not in source.languages(dataset("udpos"), "validation")
    assert "th" in source.languages(dataset("udpos"), "test")


def test_the_hub_reads_the_files_of_a_config_and_split_in_order(hub: FakeHub) -> None:
    source = hub.source()
    found = [e for e in source.examples(XNLI, "de", "test") if isinstance(e, Labelled)]
    assert [e.first for e in found] == [f"de{part} p{i}" for part in (0, 1) for i in range(3)]
    assert source.num_rows(XNLI, "de", "test") == 6
    assert source.num_rows(dataset("mnli"), "en", "validation") == 4
    assert [e.id for e in source.examples(dataset("anli"), "en", "validation")][1:3] == ["r1-1", "r2-0"]
    assert len(source.examples(dataset("squad"), "en", "train")) == 1


def test_the_hub_falls_back_to_the_converted_branch(hub: FakeHub) -> None:
    sib = dataset("sib200")
    assert hub.source().examples(sib, "de", "train") == [Labelled("3", "Tor", None, 3)]
    hub.deaf = {None}  # the default branch may hold the rows now: do not quietly take others
    with pytest.raises(BadInput, match="cannot be reached"):
        hub.source().examples(sib, "de", "train")


def test_the_hub_says_why_rows_cannot_be_had(hub: FakeHub) -> None:
    with pytest.raises(BadInput, match=r"config 'fr', split 'test'; at refs/convert/parquet: not there"):
        hub.source().examples(XNLI, "fr", "test")
    (hub.folder / "facebook/xnli/main/de/test-00001-of-00002.parquet").unlink()
    with pytest.raises(BadInput, match="no complete Parquet files"):
        hub.source().examples(XNLI, "de", "test")
    write(hub.folder / "facebook/xnli/main/data/test-00000-of-00001.parquet", nli(1), label=NLI)
    with pytest.raises(BadInput, match="config 'fr'"):  # never one nameless file for every language
        hub.source().examples(XNLI, "fr", "test")


def test_rows_and_hashes_that_the_hub_states_need_no_download(hub: FakeHub) -> None:
    hub.rows = {("mnli", "validation_matched"): 9815}
    source = hub.source()
    assert source.num_rows(dataset("mnli"), "en", "validation") == 9815 and hub.fetched == []
    stated = Repo("nyu-mll/glue", None, "c", {"mnli/validation_matched-00000-of-00001.parquet": "ab" * 32})
    silent = TableSource(HubTables(lambda id, revision: stated, hub.fetch))
    assert silent.fingerprint(dataset("mnli"), "en", "validation") == "ab" * 32 and hub.fetched == []


def test_hub_and_mirror_agree_on_the_hash_of_the_same_file(hub: FakeHub, small: Path) -> None:
    file = small / "nyu-mll/glue/mnli/validation_matched.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(hub.folder / "nyu-mll/glue/main/mnli/validation_matched-00000-of-00001.parquet", file)
    mnli = dataset("mnli")
    assert mirror(small).fingerprint(mnli, "en", "validation") == hub.source().fingerprint(mnli, "en", "validation")


CLIENT = """
import sys
from trainables.catalogue import dataset
from trainables.sources import open_source
source, xnli = open_source("hub"), dataset("xnli")
print(source.num_rows(xnli, "de", "test"), source.fingerprint(xnli, "de", "test"))
print(len(source.examples(xnli, "de", "test")))
for name, language in (("xnli", "fr"), ("pawsx", "de")):
    try:
        source.examples(dataset(name), language, "test")
    except ValueError as error:
        print(type(error).__name__, error)
print(sorted({"torch", "ray", "transformers"} & set(sys.modules)))
"""


def test_the_real_client_downloads_once_and_then_works_offline(tmp_path: Path) -> None:
    """Against a server on this machine that answers as the hub does; then with the server gone."""
    content = write(tmp_path / "file.parquet", nli(5), label=NLI).read_bytes()
    sha, commit, name = (
        hashlib.sha256(content).hexdigest(),
        "0123456789abcdef" * 2 + "01234567",
        "de/test-00000-of-00001.parquet",
    )
    api = {
        "id": "facebook/xnli",
        "sha": commit,
        "siblings": [{"rfilename": name, "lfs": {"sha256": sha, "size": 1, "pointerSize": 1}}],
    }

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.endswith(f"/facebook/xnli/resolve/main/{name}")
            body = content if found else json.dumps(api).encode()
            found = found or self.path.startswith("/api/datasets/facebook/xnli?")
            self.send_response(200 if found else 404)
            headers = {"ETag": f'"{sha}"', "X-Repo-Commit": commit} if found else {"X-Error-Code": "RepoNotFound"}
            for key, value in (headers | {"Content-Length": str(len(body) if found else 0)}).items():
                self.send_header(key, value)
            self.end_headers()
            if found and self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    def run(**more: str) -> list[str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
        env |= {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"} | more
        command = [sys.executable, "-c", CLIENT]
        done = subprocess.run(command, check=False, cwd=REPO, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        online = run()
        server.shutdown()
    gone, offline = run(), run(HF_HUB_OFFLINE="1")
    for lines in (online, gone, offline):
        assert lines[:2] == [f"5 {sha}", "5"] and lines[-1] == "[]", "the start must not load torch"
        assert lines[2].startswith("BadInput hub: cannot read xnli/fr/test") and "config 'fr'" in lines[2]
        assert lines[3].startswith("BadInput hub: cannot read pawsx/de/test from google-research-datasets/paws-x")
    assert "not there" in online[3]
    assert "cannot be reached" in gone[3] and "nothing of it is in the hub's cache" in gone[3]
    assert "HF_HUB_OFFLINE" in offline[3]


def read_everything(source: Source) -> int:
    """Every dataset, language and split of a source; the number of examples."""
    total = 0
    for d in DATASETS.values():
        for split in ("train", "validation", "test"):
            for language in source.languages(d, split):
                found = source.examples(d, language, split)
                assert 0 < len(found) <= source.num_rows(d, language, split)
                total += len(found)
    return total


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the folder of real data beside the repository (../shared/hub)")
class TestRealData:
    """About five seconds."""

    def test_every_row_reads_cleanly(self) -> None:
        assert read_everything(mirror(REAL)) > 250_000

    def test_its_datasets_are_complete_and_say_which_are_stand_ins(self) -> None:
        source = mirror(REAL)
        assert source.languages(XNLI, "test") == ("en", "es", "sw", "ur")
        assert source.num_rows(XNLI, "sw", "test") == 5010
        assert source.num_rows(dataset("xquad"), "th", "validation") == 1190
        assert source.num_rows(dataset("tatoeba"), "jv", "validation") == 205
        standins = {name for name, d in DATASETS.items() if source.standin(d)}
        assert {"mnli", "squad", "udpos", "panx", "mlm"} <= standins
        assert standins.isdisjoint({"xnli", "xquad", "tatoeba", "sib200", "xcopa"})

    def test_parallel_rows_are_translations_in_the_same_split(self) -> None:
        source, sib = mirror(REAL), dataset("sib200")
        pairs = source.parallel(sib, "yo", "train")
        assert len(pairs) == 701 and all(p.source != p.target for p in pairs)
        english = source.examples(sib, "en", "train", take=16)
        yoruba = source.examples(sib, "yo", "train", take=16)
        assert [e.id for e in english] == [e.id for e in yoruba]
