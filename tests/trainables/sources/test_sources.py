"""Sources: equal rows, labels and hashes from mirror, pocket data and hub."""

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

from tests import ROOT
from trainables.catalogue import DATASETS, dataset
from trainables.errors import BadInput, DataError
from trainables.examples import Bitext, Choice, Labelled, Pair, Text, Utterance, Words, split_joint
from trainables.sources import Source, open_source
from trainables.sources.hub import CONVERTED, HubTables, Missing, Repo, Unreachable
from trainables.sources.pocket import PocketTables
from trainables.sources.tables import TableSource, evenly

REAL = ROOT.parent / "shared" / "hub"
NLI = ("entailment", "neutral", "contradiction")
XNLI = dataset("xnli")
QUESTION = {"id": "q", "context": "Bern", "question": "?", "answers": {"text": ["Bern"], "answer_start": [0]}}


def write(file: Path, rows: list[dict[str, Any]], **names: tuple[str, ...]) -> Path:
    """Write a Parquet file with ClassLabel columns in its metadata.

    They are declared as the `datasets` library does.
    """
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
    """Write a mirror with official files and stand-ins.

    Official are XNLI, sib200 and ANLI; stand-ins are MNLI, NER in Croatian and CCG.
    """
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
        '[of_a_later_version.de]\ntest = "not/here.parquet"\n'
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
        ('[mnli.en]\ntrain = "../outside.parquet"', "is outside the mirror: '../outside.parquet'"),
        ('[mnli.en]\ntrain = "link/outside.parquet"', "is outside the mirror"),
        ('[mnli.en]\ntrain = "local/missing.parquet"', "names a file that does not exist"),
        ('[mnli.en]\ntrain = "local"', "names a file that does not exist"),
        ("[mnli.en]\ntrain = 3", "must be the path of a file"),
        ('[mnli.en]\ndev = "local/mnli.parquet"', "dev is not a split (allowed: train, validation, test)"),
        ('[mnli.en]\npairs_test = "local/mnli.parquet"', "pairs_test is not a split (allowed: train"),
        ('[bucc2018.de]\ntest = "local/mnli.parquet"', "test is not a split (allowed: pairs_train, source_train"),
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
    with pytest.raises(BadInput, match="is outside the mirror"):
        mirror(small)


def test_open_source_refuses_what_is_no_source(tmp_path: Path) -> None:
    for spec, reason in (
        ("pockt", r"unknown source 'pockt', did you mean 'pocket'\?"),
        ("mirror:", "has no folder"),
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
    """Stand-in for `trainables.pocket`: sib200 in two languages."""

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


@pytest.mark.skipif(not (ROOT / "trainables/pocket/__init__.py").is_file(), reason="the pocket world is not built yet")
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
    with pytest.raises(BadInput, match=r"config 'fr', split 'test'; facebook/xnli at refs/convert/parquet: not"):
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
    """First with a local server that answers as the hub does, then without it."""
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
        done = subprocess.run(command, check=False, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
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
    assert "not found" in online[3]
    assert "cannot be reached" in gone[3] and "it is not in the hub's cache" in gone[3]
    assert "HF_HUB_OFFLINE" in offline[3]


def read_everything(source: Source) -> int:
    """Read every dataset, language and split of a source; count the examples."""
    total = 0
    for d in DATASETS.values():
        for split in ("train", "validation", "test"):
            for language in source.languages(d, split):
                found = source.examples(d, language, split)
                assert 0 < len(found) <= source.num_rows(d, language, split)
                total += len(found)
    return total


def test_a_mirror_may_hold_what_was_downloaded_from_the_hub_as_it_is(tmp_path: Path) -> None:
    for part in (0, 1):
        write(tmp_path / f"facebook/xnli/de/test-0000{part}-of-00002.parquet", nli(3, f"de{part}"), label=NLI)
    write(tmp_path / "rajpurkar/squad/data/train/0000.parquet", [QUESTION])
    source = mirror(tmp_path)
    assert source.num_rows(XNLI, "de", "test") == 6 and source.languages(dataset("squad"), "train") == ("en",)
    assert source.origin(XNLI, "de", "test") == "facebook/xnli/de/test-00000-of-00002.parquet and 1 more"
    (tmp_path / "facebook/xnli/de/test-00001-of-00002.parquet").unlink()
    assert mirror(tmp_path).languages(XNLI, "test") == ()


def test_a_dataset_is_looked_for_at_all_its_places_in_order(tmp_path: Path) -> None:
    xquad = dataset("xquad")
    for place, text in (("google/xquad/xquad.de", "second"), ("google/xquad/xquad.en", "second")):
        write(tmp_path / f"mirror/{place}/validation.parquet", [QUESTION | {"question": text}])
        write(tmp_path / f"hub/{place.replace('xquad/', 'xquad/main/', 1)}/validation.parquet", [QUESTION])
    write(tmp_path / "mirror/google/xtreme/XQuAD.de/validation.parquet", [QUESTION | {"question": "first"}])
    source = mirror(tmp_path / "mirror")
    asked = {tag: getattr(source.examples(xquad, tag, "validation")[0], "question", "") for tag in ("de", "en")}
    assert asked == {"de": "first", "en": "second"}
    hub = FakeHub(tmp_path / "hub")
    assert hub.source().origin(xquad, "de", "validation") == "google/xquad@commit-of-ma: xquad.de/validation.parquet"
    with pytest.raises(BadInput, match=r"google/xtreme at its default branch: not there.*google/xquad at refs/convert"):
        hub.source().examples(xquad, "zh", "validation")


def test_a_hub_that_does_not_answer_is_not_replaced_by_another_place(tmp_path: Path) -> None:
    """The rows must not depend on whether the first place happened to answer."""
    write(tmp_path / "google/xquad/main/xquad.de/validation.parquet", [QUESTION])
    hub = FakeHub(tmp_path)

    def look(id: str, revision: str | None) -> Repo:
        if id == "google/xtreme":
            raise Unreachable("the hub cannot be reached")
        return hub.look(id, revision)

    with pytest.raises(BadInput, match="cannot be reached"):
        TableSource(HubTables(look, hub.fetch)).examples(dataset("xquad"), "de", "validation")


def test_rows_of_one_language_are_taken_from_a_table_of_several(tmp_path: Path) -> None:
    tydiqa = dataset("tydiqa")
    ids = ("korean-1", "english-2", "korean-3", "finnish-4", "english-5", "english-6")
    for folder in ("mirror/google/xtreme/tydiqa", "hub/google/xtreme/main/tydiqa"):
        write(tmp_path / folder / "train.parquet", [QUESTION | {"id": id} for id in ids])
    for source in (mirror(tmp_path / "mirror"), FakeHub(tmp_path / "hub").source()):
        assert [e.id for e in source.examples(tydiqa, "en", "train")] == ["english-2", "english-5", "english-6"]
        assert [e.id for e in source.examples(tydiqa, "en", "train", take=2)] == ["english-2", "english-5"]
        assert source.num_rows(tydiqa, "ko", "train") == 2 and source.num_rows(tydiqa, "te", "train") == 0


def anli_plus_mirror(folder: Path) -> Source:
    for part in (1, 2, 3):
        rows = [row | {"uid": f"r{part}-{i}"} for i, row in enumerate(nli(2, f"a{part}"))]
        write(folder / f"facebook/anli/plain_text/train_r{part}.parquet", rows, label=NLI)
    write(folder / "nyu-mll/glue/mnli/train.parquet", nli(4, "m"), label=("contradiction", "entailment", "neutral"))
    write(folder / "stanfordnlp/snli/plain_text/train.parquet", nli(2, "s") + nli(3, "none", -1), label=NLI)
    return mirror(folder)


def test_a_mix_is_its_parts_end_to_end_with_labels_by_name(tmp_path: Path) -> None:
    plus, source = dataset("anli_plus"), anli_plus_mirror(tmp_path)
    assert source.languages(plus, "train") == ("en",) and source.languages(plus, "validation") == ()
    assert source.num_rows(plus, "en", "train") == source.stated_rows(plus, "en", "train") == 15
    found = source.examples(plus, "en", "train")
    assert [e.id for e in found][5:8] == ["anli/r3-1", "mnli/0", "mnli/1"] and len(found) == 12
    labels = [e.label for e in found if isinstance(e, Labelled)]
    assert labels[6:10] == [2, 0, 1, 2], "MNLI's copy here has another order of the same names"
    assert [e.id for e in source.examples(plus, "en", "train", take=5)] == [
        "anli/r1-0",
        "anli/r2-1",
        "mnli/0",
        "mnli/3",
    ]
    assert "facebook/anli" in source.origin(plus, "en", "train") and "snli" in source.origin(plus, "en", "train")


def test_the_hash_of_a_mix_follows_every_part(tmp_path: Path) -> None:
    plus = dataset("anli_plus")
    before = anli_plus_mirror(tmp_path).fingerprint(plus, "en", "train")
    write(tmp_path / "stanfordnlp/snli/plain_text/train.parquet", nli(2, "other"), label=NLI)
    assert mirror(tmp_path).fingerprint(plus, "en", "train") != before
    (tmp_path / "stanfordnlp/snli/plain_text/train.parquet").unlink()
    assert mirror(tmp_path).languages(plus, "train") == (), "a mix that lacks a part is not there"


def test_qnli_as_ranking_takes_one_sentence_of_each_label_by_content(tmp_path: Path) -> None:
    d, file = dataset("qnli_ranking"), tmp_path / "nyu-mll/glue/qnli/train.parquet"
    rows = [{"question": q, "sentence": f"{q} {i}", "label": i % 2} for q in "abc" for i in range(6)]
    rows += [{"question": "only yes", "sentence": "x", "label": 0}]
    write(file, rows, label=("entailment", "not_entailment"))
    found = mirror(tmp_path).examples(d, "en", "train")
    assert [(e.prompt, e.label) for e in found if isinstance(e, Choice)] == [("a", 0), ("b", 0), ("c", 0)]
    for e in (e for e in found if isinstance(e, Choice)):
        assert [int(c[-1]) % 2 for c in e.choices] == [0, 1], "the entailing sentence first"
    write(file, rows[::-1], label=("entailment", "not_entailment"))
    again = mirror(tmp_path).examples(d, "en", "train")
    chosen = [{(e.prompt, e.choices) for e in side if isinstance(e, Choice)} for side in (found, again)]
    assert chosen[0] == chosen[1], "the order of the file must not matter"
    assert len(mirror(tmp_path).examples(d, "en", "train", take=2)) == 2
    assert mirror(tmp_path).num_rows(d, "en", "train") == 19


def bucc_mirror(folder: Path) -> Source:
    ids = [f"de-{i}" for i in range(5)]
    write(folder / "gold.parquet", [{"source_lang": f"de-{i}", "target_lang": f"en-{i}"} for i in (3, 0, 2, 1)])
    write(folder / "source.parquet", [{"id": id, "text": f"Satz {id}"} for id in ids])
    write(folder / "target.parquet", [{"id": f"en-{i}", "text": f"Sentence {i} "} for i in range(6)])
    (folder / "mirror.toml").write_text(
        '[bucc2018.de]\npairs_test = "gold.parquet"\nsource_test = "source.parquet"\ntarget_test = "target.parquet"\n'
        '[bucc2018.fr]\npairs_test = "gold.parquet"\n'
    )
    return mirror(folder)


def test_a_pooled_dataset_has_gold_pairs_and_whole_pools(tmp_path: Path) -> None:
    bucc, source = dataset("bucc2018"), bucc_mirror(tmp_path)
    assert source.languages(bucc, "test") == ("de",), "French has no pools"
    assert source.num_rows(bucc, "de", "test") == 4 and source.standin(bucc)
    assert source.examples(bucc, "de", "test", take=2) == [
        Pair("de-3\ten-3", "de-3", "en-3"),
        Pair("de-2\ten-2", "de-2", "en-2"),
    ]
    assert [t.id for t in source.pool(bucc, "de", "test", "source")] == [f"de-{i}" for i in range(5)]
    assert source.pool(bucc, "de", "test", "target")[5] == Text("en-5", "Sentence 5")
    write(tmp_path / "facebook/xnli/en/test.parquet", nli(1), label=NLI)
    with pytest.raises(BadInput, match="xnli has no pools"):
        mirror(tmp_path).pool(XNLI, "en", "test", "source")


def test_the_hash_of_a_pooled_dataset_follows_all_three_tables(tmp_path: Path) -> None:
    bucc = dataset("bucc2018")
    seen = {bucc_mirror(tmp_path).fingerprint(bucc, "de", "test")}
    for file, rows in (
        ("gold", [{"source_lang": "de-1", "target_lang": "en-1"}]),
        ("source", [{"id": "de-1", "text": "x"}]),
        ("target", [{"id": "en-1", "text": "x"}]),
    ):
        write(tmp_path / f"{file}.parquet", rows)
        seen.add(mirror(tmp_path).fingerprint(bucc, "de", "test"))
    assert len(seen) == 4


def test_gold_pairs_must_stand_in_the_pools(tmp_path: Path) -> None:
    bucc_mirror(tmp_path)
    write(tmp_path / "target.parquet", [{"id": f"en-{i}", "text": "x"} for i in (0, 1, 2)])
    with pytest.raises(DataError, match="bucc2018/de/test: no target text has the id 'en-3' of a gold pair"):
        mirror(tmp_path).examples(dataset("bucc2018"), "de", "test")
    write(tmp_path / "source.parquet", [{"id": "de-0", "text": "x"}, {"id": "de-0", "text": "y"}])
    with pytest.raises(DataError, match="source_test row 1: id 'de-0' is that of an earlier row"):
        mirror(tmp_path).pool(dataset("bucc2018"), "de", "test", "source")


UTTERANCES = [
    {"id": "1", "tokens": ["wake", "me", "at", "7"], "slot_tags": [0, 0, 0, 2], "intent": 1},
    {"id": "2", "tokens": ["rain"], "slot_tags": [0], "intent": 0},
]


def test_intents_and_tags_are_those_that_the_english_train_file_declares(tmp_path: Path) -> None:
    tags, intents = ("O", "I-time", "B-time", "B-place"), ("weather", "alarm")
    write(tmp_path / "en.parquet", UTTERANCES, slot_tags=tags, intent=intents)
    named = [{"id": "1", "tokens": ["Regen"], "slot_tags": ["B-thing"], "intent": "alarm"}]
    write(tmp_path / "de.parquet", named)
    (tmp_path / "mirror.toml").write_text('[xsid.en]\ntrain = "en.parquet"\n[xsid.de]\ntest = "de.parquet"\n')
    source, xsid = mirror(tmp_path), dataset("xsid")
    assert source.labels(xsid) == ("weather", "alarm", *tags)
    assert split_joint(source.labels(xsid)) == (intents, tags)
    assert source.examples(xsid, "en", "train")[0] == Utterance(
        "1", ("wake", "me", "at", "7"), ("O", "O", "O", "B-time"), "alarm"
    )
    assert source.examples(xsid, "de", "test") == [Utterance("1", ("Regen",), ("B-thing",), "alarm")]
    write(
        tmp_path / "en.parquet",
        [row | {"intent": "b" if row["id"] == "1" else "a"} for row in UTTERANCES],
        slot_tags=tags,
    )
    assert mirror(tmp_path).labels(xsid) == ("a", "b", *tags), "names that the rows use, where none are declared"


def test_layers_give_each_dataset_from_the_first_that_has_it(small: Path, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other") / "a+b"
    for tag in ("de", "fr"):
        write(other / f"facebook/xnli/{tag}/test.parquet", nli(5, f"other {tag}"), label=NLI)
    write(other / "nyu-mll/glue/qqp/train.parquet", [{"question1": "a", "question2": "b", "label": 1}])
    source = open_source(f"mirror:{small}+mirror:{other}+pocket")
    assert source.spec == f"mirror:{small.resolve()}+mirror:{other.resolve()}+pocket"
    assert open_source(source.spec).spec == source.spec
    assert source.languages(XNLI, "test") == ("en", "de", "sw"), "never French from the second beside these"
    assert source.num_rows(dataset("qqp"), "en", "train") == 1 and not source.standin(dataset("qqp"))
    assert source.origin(dataset("qqp"), "en", "train") == "nyu-mll/glue/qqp/train.parquet"
    assert source.origin(dataset("tatoeba"), "de", "validation") == "pocket" and source.standin(dataset("tatoeba"))
    alone = mirror(small)
    assert source.fingerprint(XNLI, "de", "test") == alone.fingerprint(XNLI, "de", "test")
    assert source.languages(dataset("klue_nli"), "train") == ()
    with pytest.raises(BadInput, match=r"unknown source 'pocket\+hubb'"):
        open_source("pocket+hubb")
    with pytest.raises(BadInput, match="does not exist"):
        open_source(f"mirror:{small}+mirror:/nowhere/at/all")


def test_every_source_says_where_rows_come_from(small: Path, hub: FakeHub) -> None:
    source = mirror(small)
    assert source.origin(XNLI, "de", "test") == "facebook/xnli/de/test.parquet"
    assert source.origin(dataset("mnli"), "en", "train") == "local/mnli.parquet (stand-in)"
    assert hub.source().origin(XNLI, "de", "test").startswith("facebook/xnli@commit-of-ma: de/test-00000-of-00002.pa")
    with pytest.raises(BadInput, match="has no xnli/fr/test"):
        source.origin(XNLI, "fr", "test")


def test_names_of_a_later_version_in_mirror_toml_are_left_alone(small: Path) -> None:
    source = mirror(small)
    assert source.unread()[0] == "[of_a_later_version] of mirror.toml"


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

    def test_the_sets_that_the_hub_lacks_are_there_with_pools_labels_and_parallel_rows(self) -> None:
        source, bucc, xsid = mirror(REAL), dataset("bucc2018"), dataset("xsid_parallel")
        assert [len(source.pool(bucc, "de", "test", side)) for side in ("source", "target")] == [211, 212]
        assert len(source.examples(bucc, "de", "test")) == 120
        assert {p.id for p in source.parallel(xsid, "tr", "train")} == {str(i) for i in range(1, 241)}
        intents, tags = split_joint(source.labels(dataset("xsid")))
        assert (len(intents), tags[0]) == (16, "O")
        assert len(source.examples(dataset("anli_plus"), "en", "train")) == 21_518
