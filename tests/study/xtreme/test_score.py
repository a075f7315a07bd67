"""`study.score` on hand-made folders in XTREME's layout: figures and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from study import score as verb
from study.cli_parser import run_verb
from study.xtreme.layout import TASKS, VERSIONS, Version, groups_of, json_text, squad_text, tasks_of
from study.xtreme.scoring import TOP, averages, benchmark_of, score_folder, task_score
from trainables.errors import BadInput
from trainables.metrics.formulas import average_precision, reciprocal_rank

Files = dict[str, str | bytes | None]  # path below a folder -> content; None takes the file away


def answers(**golds: str | list[str]) -> str:
    """Write gold answers of questions in SQuAD's JSON."""
    texts = {key: [value] if isinstance(value, str) else value for key, value in golds.items()}
    return squad_text("t", [(key, "?", " ".join(each), [(0, text) for text in each]) for key, each in texts.items()])


# Two languages of every task; the expected scores of each file are in EXPECTED.
LABELS: Files = {
    "xnli/test-en.tsv": "entailment\nneutral\ncontradiction\nneutral\n",
    "xnli/test-de.tsv": "entailment\nneutral\ncontradiction\nneutral",
    "pawsx/test-en.tsv": "1\n0\n",
    "pawsx/test-ja.tsv": "1\n0\n1\n1\n1\n",
    "xcopa/test-et.jsonl": '{"label": 0, "premise": "a"}\n{"label": 1}\n',
    "xcopa/test-zh.jsonl": "0\n1\n1\n",
    "udpos/test-en.tsv": "DET\nNOUN\nNOUN\nVERB\n\nNOUN\nPUNCT\n",
    "udpos/test-kk.tsv": "PRON\nVERB\nSCONJ\nPRON\nVERB\n\n",
    "panx/test-en.tsv": "B-PER\nI-PER\nO\nB-LOC\n\n\nO\n",
    "panx/test-yo.tsv": "B-PER\nI-PER\nI-PER\nO\n",
    "xquad/test-en.json": answers(a="Paris", b="Eiffel Tower", c="x"),
    "xquad/test-zh.json": answers(a="天气很好。"),
    "mlqa/test-zh.json": answers(a="天气", b="iPhone手机"),
    "mlqa/test-de.json": json_text(json.loads(answers(a="großen Berges", b="im Wald"))["data"]),  # the bare list
    "tydiqa/test-en.json": answers(a=["Denver Broncos", "The Broncos"]),
    "tydiqa/test-te.json": answers(a="2000", b="reopen"),
    "bucc2018/test-de.tsv": "de-1\ten-1\nde-2\ten-2\nde-3\ten-3\n",
    "bucc2018/test-zh.tsv": "zh-1\ten-1\nzh-2\ten-2\n",
    "tatoeba/test-jv.tsv": "0\n1\n2\n",
    "tatoeba/test-af.tsv": "957\n12\n",  # cut short: it points into the full pool
    "mewslix/test-de.json": '{"m1": "Q1", "m2": ["Q2"], "m3": ["Q3"]}',
    "mewslix/test-uk.json": '{"m1": ["Q1"]}',
    "lareqa/test-en.json": '{"q1": [0, 3], "q2": ["0", "3"]}',
    "lareqa/test-th.json": '{"q1": ["s1"]}',
}
PREDICTIONS: Files = {
    "xnli/test-en.tsv": "entailment\nneutral\nneutral\nneutral\n\n",
    "xnli/test-de.tsv": "entailment\r\nentailment\r\ncontradiction\r\nentailment\r\n",
    "pawsx/test-en.tsv": "1\n0\n",
    "pawsx/test-ja.tsv": "0\n0\n0\n0\n0\n",
    "xcopa/test-et.jsonl": '{"label": 0}\n{"label": "0"}\n',
    "xcopa/test-zh.jsonl": '{"label": 0}\n1\n1\n',
    "udpos/test-en.tsv": "DET\nNOUN\nPROPN\nVERB\n\nNOUN\nPUNCT\n\n\n",
    "udpos/test-kk.tsv": "PRON\r\nVERB\r\nCCONJ\r\nPRON\r\nVERB",
    "panx/test-en.tsv": "I-PER\nI-PER\nO\nB-ORG\n\nO\n",
    "panx/test-yo.tsv": "B-PER\nI-PER\nO\nO\n\n",
    "xquad/test-en.json": '{"a": "in Paris", "b": "the Eiffel tower", "zzz": "nobody asked", "yyy": ""}',
    "xquad/test-zh.json": '{"a": "天气很好"}',
    "mlqa/test-zh.json": '{"a": "天气很好", "b": "iPhone 手机"}',
    "mlqa/test-de.json": '{"a": "des großen Berges", "b": "der Berg"}',
    "tydiqa/test-en.json": '{"a": "Denver Broncos defeated"}',
    "tydiqa/test-te.json": '{"a": "2,000", "b": "re-open"}',
    "bucc2018/test-de.tsv": "de-1\ten-1\nde-2\ten-9\nde-1\ten-1\n",  # a set
    "bucc2018/test-zh.tsv": "\n",  # nothing was found
    "tatoeba/test-jv.tsv": "0\n2\n2\n",
    "tatoeba/test-af.tsv": "957\n999\n",
    "mewslix/test-de.json": '{"m1": ["Q1", "Q9"], "m2": ["Q9", "Q2"], "m7": ["Q3"]}',
    "mewslix/test-uk.json": json_text({"m1": [f"Q{n}" for n in range(21, 0, -1)]}),  # Q1 is the 21st
    "lareqa/test-en.json": '{"q1": [3, 1, 0, 2], "q2": [1, 2, 0, 3]}',
    "lareqa/test-th.json": '{"q1": ["s1", "s2"]}',
    "submission.json": "{}",
    ".hidden/x": "",
}
# task -> language -> metrics and counts
EXPECTED: dict[str, dict[str, dict[str, float]]] = {
    "xnli": {"en": {"accuracy": 75, "examples": 4}, "de": {"accuracy": 50, "examples": 4}},
    "pawsx": {"en": {"accuracy": 100, "examples": 2}, "ja": {"accuracy": 20, "examples": 5}},
    "xcopa": {"et": {"accuracy": 50, "examples": 2}, "zh": {"accuracy": 100, "examples": 3}},
    # chunks: 4 right of 6 predicted and 5 gold; 5 of 6 words. CCONJ is not SCONJ.
    "udpos": {
        "en": {
            "f1": 800 / 11, "precision": 400 / 6, "recall": 80, "accuracy": 500 / 6, "examples": 2, "words": 6
        },
        "kk": {"f1": 80, "precision": 80, "recall": 80, "accuracy": 80, "examples": 1, "words": 5},
    },
    "panx": {
        "en": {"f1": 50, "precision": 50, "recall": 50, "examples": 2, "words": 5},
        "yo": {"f1": 0, "precision": 0, "recall": 0, "examples": 1, "words": 4},
    },
    "xquad": {
        "en": {"f1": 100 * (2 / 3 + 1) / 3, "exact_match": 100 / 3, "examples": 3, "missing": 1, "extra": 2},
        "zh": {"f1": 0, "exact_match": 0, "examples": 1, "missing": 0, "extra": 0},
    },
    "mlqa": {
        "zh": {"f1": 100 * (2 / 3 + 1) / 2, "exact_match": 50, "examples": 2, "missing": 0, "extra": 0},
        "de": {"f1": 50, "exact_match": 50, "examples": 2, "missing": 0, "extra": 0},
    },
    "tydiqa": {
        "en": {"f1": 80, "exact_match": 0, "examples": 1, "missing": 0, "extra": 0},
        "te": {"f1": 100, "exact_match": 100, "examples": 2, "missing": 0, "extra": 0},
    },
    "bucc2018": {
        "de": {"f1": 40, "precision": 50, "recall": 100 / 3, "examples": 3, "predicted": 2},
        "zh": {"f1": 0, "precision": 0, "recall": 0, "examples": 2, "predicted": 0},
    },
    "tatoeba": {"jv": {"accuracy": 200 / 3, "examples": 3}, "af": {"accuracy": 50, "examples": 2}},
    "mewslix": {
        "de": {"mrr": 50, "examples": 3, "missing": 1, "extra": 1},
        "uk": {"mrr": 0, "examples": 1, "missing": 0, "extra": 0},
    },
    "lareqa": {
        "en": {"map_at_20": 100 * (5 / 6 + 5 / 12) / 2, "examples": 2, "missing": 0, "extra": 0},
        "th": {"map_at_20": 100, "examples": 1, "missing": 0, "extra": 0},
    },
}  # fmt: skip
SCORES = {
    "xnli": 62.5, "pawsx": 60, "xcopa": 75, "udpos": (800 / 11 + 80) / 2, "panx": 25,
    "xquad": (250 / 9 + 50 / 3) / 2, "mlqa": (200 / 3 + 50) / 2, "tydiqa": 70, "bucc2018": 20, "tatoeba": 350 / 6,
    "mewslix": 25, "lareqa": (62.5 + 100) / 2,
}  # fmt: skip


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def only(files: Files, *tasks: str) -> Files:
    return {name: content for name, content in files.items() if name.split("/")[0] in tasks}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "p", PREDICTIONS), write(tmp_path / "l", LABELS)


@pytest.mark.parametrize("version", ["xtreme", "xtreme-r"])
def test_every_task_language_and_mean_is_as_worked_out_by_hand(folders: tuple[Path, Path], version: Version) -> None:
    found = score_folder(*folders, version)
    names = list(tasks_of(version))
    assert found["version"] == version and list(found["tasks"]) == names and found["absent"] == {}
    for name in names:
        task = found["tasks"][name]
        assert task["languages"].keys() == EXPECTED[name].keys()
        for language, expected in EXPECTED[name].items():
            assert task["languages"][language] == pytest.approx(expected, abs=1e-12), (name, language)
        for metric, mean in task["metrics"].items():
            assert mean == pytest.approx(sum(e[metric] for e in EXPECTED[name].values()) / 2), (name, metric)
        assert task["score"] == pytest.approx(SCORES[name]), name
        assert {*task["absent"], *EXPECTED[name]} == {*TASKS[name].languages[version]}
    assert found["groups"].keys() == groups_of(version).keys()
    for group, tasks in groups_of(version).items():
        assert found["groups"][group] == pytest.approx(sum(SCORES[name] for name in tasks) / len(tasks))
    assert found["overall"] == pytest.approx(sum(SCORES[name] for name in names) / len(names))
    assert found["left_out"] == sorted(set(TASKS) - set(names))


def test_the_versions_have_the_published_tasks_and_languages() -> None:
    count = {v: {name: len(t.languages[v]) for name, t in tasks_of(v).items()} for v in VERSIONS}
    assert count["xtreme"] == {
        "xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11, "mlqa": 7, "tydiqa": 9, "bucc2018": 4,
        "tatoeba": 36,
    }  # fmt: skip
    assert count["xtreme-r"] == {
        "xnli": 15, "xcopa": 11, "udpos": 38, "panx": 48, "xquad": 12, "mlqa": 7, "tydiqa": 9, "tatoeba": 41,
        "mewslix": 11, "lareqa": 11,
    }  # fmt: skip


COLUMNS = ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba")
ROWS = [  # F1/EM for questions; published averages of Phang et al. 2020, Hu et al. 2020
    ("80.1 86.5 75.7 62.8 76.1/60.0 70.1/51.5 75.7/61.0 71.5 31.0", 67.2, 0.05),
    ("79.2 86.4 72.6 65.4 76.6/60.8 71.6/53.2 65.1/45.0 66.0 57.3", 68.12, 0.005),
    ("79.5 86.2 74.0 62.6 76.1/60.0 70.2/51.2 75.5/61.0 64.5 31.0", 66.09, 0.005),
    ("80.4 87.7 74.4 63.4 77.2/61.3 72.3/53.5 81.2/68.4 71.9 82.7", 74.16, 0.005),
]


@pytest.mark.protocol
@pytest.mark.parametrize(("row", "average", "within"), ROWS)
def test_published_rows_have_their_published_average(row: str, average: float, within: float) -> None:
    scores = {}
    for name, cell in zip(COLUMNS, row.split(), strict=True):
        metrics = dict(zip(TASKS[name].main, map(float, cell.split("/")), strict=True))
        scores[name] = task_score(TASKS[name], metrics)
    groups, overall = averages(scores)
    assert overall == pytest.approx(average, abs=within)
    assert groups["qa"] == pytest.approx(sum(scores[n] for n in ("xquad", "mlqa", "tydiqa")) / 3)
    del scores["mlqa"]
    groups, overall = averages(scores)
    assert overall is None and set(groups) == {"classification", "tagging", "retrieval"}


@pytest.mark.protocol
def test_the_average_of_xtreme_r_is_the_plain_mean_of_ten_tasks() -> None:
    """Question answering counts once per task, as the mean of F1 and exact match.

    (80+60+74+64+68+65+60+70+50+40) / 10.
    """
    names = "xnli xcopa udpos panx xquad mlqa tydiqa tatoeba mewslix lareqa".split()
    cells = "80 60 74 64 76/60 72/58 70/50 70 50 40".split()
    scores = {}
    for name, cell in zip(names, cells, strict=True):
        metrics = dict(zip(TASKS[name].main, map(float, cell.split("/")), strict=True))
        scores[name] = task_score(TASKS[name], metrics)
    groups, overall = averages(scores, "xtreme-r")
    assert overall == pytest.approx(63.1)
    assert groups == pytest.approx({"classification": 70, "tagging": 69, "qa": 193 / 3, "retrieval": 160 / 3})
    del scores["lareqa"]
    assert averages(scores, "xtreme-r")[1] is None


def test_a_studys_average_is_a_benchmarks_where_its_targets_are_the_benchmarks() -> None:
    shared = ["xnli", "mlqa", "tydiqa"]
    nine = [*shared, "pawsx", "udpos", "panx", "xquad", "bucc2018", "tatoeba"]
    ten = [*shared, "xcopa", "udpos_r", "panx_r", "xquad_r", "tatoeba_r", "mewslix", "lareqa"]
    assert (benchmark_of(nine), benchmark_of(ten)) == ("xtreme", "xtreme-r")
    assert benchmark_of(nine[:-1]) is benchmark_of([*ten, "pawsx"]) is None
    assert benchmark_of([{"tatoeba_r": "tatoeba"}.get(name, name) for name in ten]) is None  # of fewer languages


@pytest.mark.protocol
def test_rankings_score_as_published() -> None:
    assert average_precision(["3", "1", "0", "2"], {"0", "3"}, TOP) == pytest.approx(0.8333, abs=5e-5)
    assert average_precision(["1", "2", "0", "3"], {"0", "3"}, TOP) == pytest.approx(0.4167, abs=5e-5)
    assert (reciprocal_rank(["a", "b"], {"a"}, TOP) + reciprocal_rank(["b", "a"], {"a"}, TOP) + 0) / 3 == pytest.approx(
        0.5
    )
    long = [str(n) for n in range(40)]
    assert reciprocal_rank(long, {"20"}, TOP) == 0 == average_precision(long, {"20"}, TOP)
    assert average_precision(long, set(long), TOP) == 1  # forty are right and twenty can be shown


@pytest.mark.protocol
def test_three_questions_score_as_published(tmp_path: Path) -> None:
    """EM 33.33, F1 55.56: the third question has no prediction and stays in the denominator."""
    labels = {"xquad/test-en.json": LABELS["xquad/test-en.json"]}
    given: Files = {"xquad/test-en.json": '{"a": "in Paris", "b": "the Eiffel tower"}'}
    found = score_folder(write(tmp_path / "p", given), write(tmp_path / "l", labels), "xtreme")
    assert found["tasks"]["xquad"]["metrics"] == pytest.approx({"f1": 55.56, "exact_match": 33.33}, abs=0.005)


def run(folders: tuple[Path, Path], *options: str) -> int:
    return verb.main(["--predictions", str(folders[0]), "--labels", str(folders[1]), *options])


def test_the_verb_prints_the_same_object(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folders, "--json", "--version", "xtreme-r") == 0
    assert json.loads(capsys.readouterr().out) == score_folder(*folders, "xtreme-r")


def test_people_see_every_score_and_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    tasks = ("xnli", "pawsx", "xquad", "xcopa")
    folders = write(tmp_path / "p", only(PREDICTIONS, *tasks)), write(tmp_path / "l", only(LABELS, *tasks, "mlqa"))
    assert run(folders) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80 or all(
        line.startswith("- ") for line in said.splitlines() if len(line) > 80
    )
    for text in (
        "62.5", "2 of 15", "classification", "61.2", "XNLI: 2 of 15 languages; absent ar, bg, el",
        "MLQA: no score, there are labels, but no predictions.", "UDPOS: no score, there are neither",
        "XQuAD: 1 examples without a prediction, scored 0.", "XQuAD: 2 examples predicted that have no label.",
        "No overall score", "Not part of xtreme, left out: xcopa.", "examples",
    ):  # fmt: skip
        assert text in said, text
    found = score_folder(*folders, "xtreme")
    assert found["overall"] is None and set(found["groups"]) == {"classification"}
    assert found["absent"]["mlqa"] == "labels, but no predictions" and "udpos" in found["absent"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_byte_order_mark_line_ends_and_the_last_one_change_no_score(
    folders: tuple[Path, Path], version: Version
) -> None:
    """In predictions and labels of every task."""
    expected = score_folder(*folders, version)
    for folder in folders:
        for file in (f for f in folder.glob("*/*") if not f.parent.name.startswith(".")):
            data = file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            file.write_bytes(b"\xef\xbb\xbf" + (data.removesuffix(b"\r\n") or data))
    assert score_folder(*folders, version) == expected


def test_languages_of_the_other_version_are_named_and_left_out(tmp_path: Path) -> None:
    files: Files = {"udpos/test-en.tsv": "NOUN\n", "udpos/test-pl.tsv": "VERB\n"}
    folders = write(tmp_path / "p", files), write(tmp_path / "l", files)
    assert score_folder(*folders, "xtreme")["left_out"] == ["udpos/pl"]
    assert set(score_folder(*folders, "xtreme-r")["tasks"]["udpos"]["languages"]) == {"en", "pl"}


# What is changed in the predictions, in the labels, and what the one line of the error has to hold.
REFUSED: list[tuple[Files, Files, list[str]]] = [
    ({"xnli/test-de.tsv": None}, {}, ["p/xnli/test-de.tsv is missing", "l/xnli/test-de.tsv is there"]),
    ({}, {"xnli/test-de.tsv": None}, ["l/xnli/test-de.tsv is missing", "p/xnli/test-de.tsv is there"]),
    ({"panx/test-en.tsv": None, "panx/test-yo.tsv": None}, {}, ["p/panx/test-en.tsv is missing", "missing: yo"]),
    ({"xnlj/test-de.tsv": "neutral"}, {}, ["unknown task folder 'xnlj'", "did you mean 'xnli'"]),
    ({}, {"xnlj/test-de.tsv": "neutral"}, ["l: unknown task folder 'xnlj'"]),
    ({"xnli/test-xx.tsv": "neutral"}, {}, ["unknown XNLI language 'xx'", "ar, bg, de"]),
    ({"xnli/test-ja.tsv": "neutral"}, {}, ["unknown XNLI language 'ja'"]),
    ({"xnli/test_de.tsv": "neutral"}, {}, ["unknown file 'test_de.tsv'", "did you mean 'test-de.tsv'"]),
    ({"xnli/test-de.json": "neutral"}, {}, ["unknown file 'test-de.json'"]),
    ({"xnli/test-fr.tsv/x": "a folder"}, {}, ["unknown file 'test-fr.tsv'"]),
    ({"xnli/test-en.tsv": "entailment\nneutral\nneutral\n"}, {}, ["3 lines", "has 4", "ends at line 3"]),
    ({"xnli/test-en.tsv": "neutral\n" * 6}, {}, ["6 lines", "has 4", "ends at line 4"]),
    ({"xnli/test-en.tsv": "neutral\n\nneutral\nneutral\n"}, {}, ["test-en.tsv:2: a blank line"]),
    (
        {"xnli/test-en.tsv": "neutral\nneutrl\nneutral\nneutral\n"},
        {},
        ["p/xnli/test-en.tsv:2: unknown label 'neutrl'", "'neutral'", "contradiction, entailment, neutral"],
    ),
    ({}, {"pawsx/test-en.tsv": "1\n2\n"}, ["l/pawsx/test-en.tsv:2: unknown label '2'", "0, 1"]),
    ({"xcopa/test-et.jsonl": '{"label": 0}\n{"label": 2}\n'}, {}, ["test-et.jsonl:2: unknown label '2'"]),
    ({"xcopa/test-et.jsonl": '{"label": 0}\n{"lable": 1}\n'}, {}, ["test-et.jsonl:2: unknown label 'None'"]),
    ({"xcopa/test-et.jsonl": '{"label": 0}\n{"label": 1]\n'}, {}, ["test-et.jsonl:2:12: not JSON"]),
    ({"xcopa/test-et.jsonl": '{"label": 0}\n{"label": 1, "label": 0}\n'}, {}, ["jsonl:2: key 'label' occurs twice"]),
    ({"udpos/test-en.tsv": "DET\nNOUNN\n"}, {}, ["udpos/test-en.tsv:2: unknown tag 'NOUNN'", "'NOUN'", "ADJ, ADP"]),
    ({"panx/test-en.tsv": "O\nB-MISC\n"}, {}, ["unknown tag 'B-MISC'", "B-LOC"]),
    (
        {"udpos/test-en.tsv": "DET\nNOUN\nPROPN\n\nNOUN\nPUNCT\n"},
        {},
        ["test-en.tsv:1: 5 tags in 2 sentences", "has 6 in 2", "ends at line 6", "sentence 1", "has 3 tags", "labels 4"],
    ),
    (
        {"udpos/test-en.tsv": "DET\nNOUN\nPROPN\n\nVERB\nNOUN\nPUNCT\n"},
        {},
        ["6 tags in 2 sentences", "sentence 1 (line 1, in the labels line 1) has 3 tags"],
    ),
    ({"udpos/test-en.tsv": "DET\nNOUN\nPROPN\nVERB\n"}, {}, ["4 tags in 1 sentences", "has 6 in 2", "at line 4"]),
    ({"udpos/test-en.tsv": "\n\n\n"}, {}, ["test-en.tsv: the file is empty"]),
    ({"xquad/test-en.json": '{"a": "x",\n "b": }'}, {}, ["xquad/test-en.json:2:7: not JSON"]),
    ({"xquad/test-en.json": '{"a": "x",\n"b": "y",\n"a": "z"}'}, {}, ["xquad/test-en.json:3: key 'a' occurs twice"]),
    ({"xquad/test-en.json": '["a"]'}, {}, ["not one JSON object"]),
    ({"xquad/test-en.json": '{"a": 3}'}, {}, ["the answer of 'a' is not text but 3"]),
    ({"xquad/test-en.json": "[" * 100_000}, {}, ["not JSON"]),
    ({}, {"xquad/test-en.json": '{"data": [{"paragraphs": [{"qas": [{"id": "a"}]}]}]}'}, ["not SQuAD's JSON", "answers"]),
    ({}, {"xquad/test-en.json": '{"a": "Paris"}'}, ["not SQuAD's JSON", "data"]),
    ({}, {"xquad/test-en.json": '{"data": []}'}, ["has no question"]),
    ({}, {"xquad/test-en.json": answers(a=[])}, ["question 'a' has no answer text"]),
    (
        {},
        {"mlqa/test-de.json": json_text(2 * json.loads(answers(a="x"))["data"])},
        ["mlqa/test-de.json:", "question 'a' occurs twice"],
    ),
    ({"bucc2018/test-de.tsv": "de-1\ten-1\nde-2 en-2\n"}, {}, ["test-de.tsv:2: 'de-2 en-2' is not `source id TAB"]),
    ({"bucc2018/test-de.tsv": "de-1\ten-1\n\nde-2\ten-2\n"}, {}, ["test-de.tsv:2: '' is not `source id TAB"]),
    ({"bucc2018/test-de.tsv": "de-1\ten-1\t0.9\n"}, {}, ["test-de.tsv:1"]),
    ({}, {"bucc2018/test-de.tsv": "\n"}, ["l/bucc2018/test-de.tsv: has no gold pair"]),
    ({"tatoeba/test-jv.tsv": "0\none\n2\n"}, {}, ["test-jv.tsv:2: 'one' is not an index"]),
    ({"tatoeba/test-jv.tsv": "0\n-1\n2\n"}, {}, ["test-jv.tsv:2: '-1' is not an index"]),
    ({"tatoeba/test-jv.tsv": "0\n1.0\n2\n"}, {}, ["test-jv.tsv:2: '1.0' is not an index"]),
    ({"tatoeba/test-jv.tsv": "0\n1\n3\n"}, {}, ["test-jv.tsv:3: index 3 is out of range", "0 to 2"]),
    ({"tatoeba/test-af.tsv": "1000\n1\n"}, {}, ["test-af.tsv:1: index 1000 is out of range", "0 to 999"]),
    ({"tatoeba/test-de.tsv": "9" * 5000 + "\n"}, {"tatoeba/test-de.tsv": "0\n"}, ["test-de.tsv:1: '9999", "not an index"]),
    ({"bucc2018/test-de.tsv": "de-1\ten-1\nde-2\ten-2\t\n"}, {}, ["p/bucc2018/test-de.tsv:2: 'de-2"]),
    ({}, {"bucc2018/test-de.tsv": "de-1\ten-1\t\n"}, ["l/bucc2018/test-de.tsv:1: 'de-1"]),
    ({"xnli/test-en.tsv": "neutral\nneu\0tral\n"}, {}, ["test-en.tsv:2: holds a NUL character"]),
    ({"xnli/test-en.tsv": "neutral\n\ufeffneutral\n"}, {}, ["test-en.tsv:2: holds a byte-order mark"]),
    ({"xnli/test-en.tsv": b"neutral\n\xed\xa0\x80\n"}, {}, ["test-en.tsv:2: not UTF-8"]),
    ({"xnli/test-en.tsv": "neutral\n".encode("utf-16")}, {}, ["test-en.tsv:1: not UTF-8"]),
    ({"xquad/test-en.json": '{"a":\n "\\ud800"}'}, {}, ["test-en.json:2: a text has half a surrogate pair"]),
    ({"xquad/test-en.json": '{"a":\n NaN}'}, {}, ["test-en.json:2: not JSON: NaN"]),
    ({"xquad/test-en.json": '{"b": "x",\n"a": 3}'}, {}, ["test-en.json:2: the answer of 'a'"]),
    ({"lareqa/test-en.json": '{"q1": ' + "9" * 5000 + "}"}, {}, ["test-en.json: not JSON"]),
    ({"mewslix/test-de.json": '{"m1": {"Q1": 1}}'}, {}, ["'m1' has no list of candidate ids"]),
    ({"mewslix/test-de.json": '{"m1": ["Q1", "Q1"]}'}, {}, ["'m1' ranks candidate 'Q1' twice"]),
    ({}, {"lareqa/test-en.json": '{"q1": []}'}, ["'q1' has no gold id"]),
    ({"xnli/test-en.tsv": b"entailment\nneu\xfftral\n"}, {}, ["test-en.tsv:2: not UTF-8", "0xff"]),
    ({"mlqa/test-zh.json": b'{\n"a": "\xe5\xa4"}'}, {}, ["test-zh.json:2: not UTF-8"]),
]  # fmt: skip
REFUSED += [
    ({name: ""}, {}, [f"p/{name}: the file is empty"]) for name in PREDICTIONS if "test-en" in name or "bucc" in name
]


@pytest.mark.parametrize(("ours", "golds", "said"), REFUSED)
def test_what_cannot_be_scored_is_one_line_and_exit_2(
    folders: tuple[Path, Path], ours: Files, golds: Files, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(folders[0], ours)
    write(folders[1], golds)
    touched = {name.split("/")[0] for name in (*ours, *golds)}
    version = "xtreme-r" if touched & {"xcopa", "mewslix", "lareqa"} else "xtreme"
    options = ["--predictions", str(folders[0]), "--labels", str(folders[1]), "--version", version]
    with pytest.raises(SystemExit) as raised:
        run_verb(verb.main, options)
    printed = capsys.readouterr()
    assert raised.value.code == 2 and printed.out == "" and len(printed.err.splitlines()) == 1
    for text in said:
        assert text in printed.err


def test_a_task_without_labels_or_without_anything_is_refused(tmp_path: Path) -> None:
    predictions, labels = write(tmp_path / "p", only(PREDICTIONS, "xnli")), write(tmp_path / "l", only(LABELS, "pawsx"))
    with pytest.raises(BadInput, match="predictions without labels"):
        score_folder(predictions, labels, "xtreme")
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInput, match="no task of xtreme to score"):
        score_folder(tmp_path / "none", labels, "xtreme")
    with pytest.raises(BadInput, match="is not a folder"):
        score_folder(tmp_path / "nowhere", labels, "xtreme")


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--version", "xtreme-2"], "did you mean 'xtreme"), (["--label", "x"], "'--label'"), ([], "--predictions")],
)
def test_bad_options_are_exit_2(
    options: list[str], message: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Any] = ["--predictions", str(folders[0]), "--labels", str(folders[1])] if options else []
    with pytest.raises(SystemExit) as raised:
        run_verb(verb.main, [*given, *options])
    assert raised.value.code == 2 and message in capsys.readouterr().err
