"""Synonym augmentation: random draws, origin of synonyms, effect on a stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from search_spaces import space
from search_spaces.space import ROBUST
from study.spec.objectives import objectives_of
from study.spec.study_spec import StudySpec
from tests.builders import resolved
from tests.small import run_stage, small_source, stages_of
from trainables.catalogue import dataset
from trainables.configs import Intermediate, Target, identity
from trainables.errors import BadInput, DataError
from trainables.examples import Labelled
from trainables.objectives import Robust
from trainables.pocket.frames import SYNONYM
from trainables.profiles import PROFILES
from trainables.recipe import canonical
from trainables.sources import Source, open_source
from trainables.training.schedule import generator
from trainables.training.synonyms import PARAPHRASES, address, copies_of, exchange, found_in, read_synonyms

WORDS = {"big": ("huge", "large", "vast"), "car": ("automobile",)}
FOUND = Robust(method="synonyms")


def file_of(tmp_path: Path, content: str | bytes, name: str = "words.txt") -> str:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


# --- draws ---


@pytest.mark.protocol
@pytest.mark.parametrize(("word", "others"), list(WORDS.items()))
def test_a_word_is_drawn_from_itself_and_its_synonyms_alike(word: str, others: tuple[str, ...]) -> None:
    text = " ".join([word] * 20_000)
    drawn = exchange(text, WORDS, np.random.default_rng(0)).split(" ")
    for choice in (word, *others):
        assert drawn.count(choice) / len(drawn) == pytest.approx(1 / (1 + len(others)), abs=0.01)


@pytest.mark.protocol
def test_every_row_is_replaced_by_its_copies() -> None:
    rows = [Labelled(str(n), "a big car", "no such word" if n % 2 else None, n % 3) for n in range(50)]
    for copies in (1, 3, 10):
        found = copies_of(rows, WORDS, copies)
        assert [row.id for row in found] == [row.id for row in rows for _ in range(copies)]
        assert [row.label for row in found] == [row.label for row in rows for _ in range(copies)]
        assert [row.second for row in found] == [row.second for row in rows for _ in range(copies)]
    assert {row.first for row in found} == {f"a {a} {b}" for a in ("big", *WORDS["big"]) for b in ("car", "automobile")}
    assert PROFILES["robust"].copies_of("pawsx") == 10 and PROFILES["robust"].copies_of("mnli") == 3


def test_draws_are_a_function_of_row_and_copy() -> None:
    rows = [Labelled(str(n), "big big big big", None, 0) for n in range(20)]
    found = copies_of(rows, WORDS, 3)
    assert copies_of(rows[7:], WORDS, 3) == found[21:]
    assert [found[n] for n in range(60) if n % 3 < 2] == copies_of(rows, WORDS, 2)
    assert len({row.first for row in found}) > 30


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Car", "Automobile"), ("CAR", "AUTOMOBILE"), ("car", "automobile"), ("(car),", "(automobile),"),
        ("cars", "cars"), ("a  car \u201cCar!\u201d", "a  automobile \u201cAutomobile!\u201d"), ("", ""), ("...", "..."),
    ],
)  # fmt: skip
def test_capitals_punctuation_and_spaces_stay(text: str, found: str) -> None:
    drawn = {exchange(text, WORDS, generator(seed)) for seed in range(64)}
    assert found in drawn
    words = {word.strip("(),!\u201c\u201d") for made in drawn for word in made.split()}
    assert words <= {"", "a", "cars", "...", *("car Car CAR automobile Automobile AUTOMOBILE".split())}


# --- files ---


def test_lines_of_a_file(tmp_path: Path) -> None:
    tabs = read_synonyms(file_of(tmp_path, "\ufeffBig\thuge\tbig\tLarge\r\n\ncar automobile\nalone\nbig vast\n"))
    assert tabs == {"big": ("Large", "huge", "vast"), "car": ("automobile",)}
    other = read_synonyms(
        file_of(tmp_path, json.dumps({"car": ["automobile"], "Big": ["huge", "Large", "vast"], "x": []}), "w.json")
    )
    assert tabs == other and address(tabs) == address(other) != address(WORDS)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("w.txt", b"car automobile\nb\xff x\n", "w.txt:2: not UTF-8"),
        ("w.txt", b"car auto\x00mobile\n", "w.txt:1: holds a NUL character"),
        ("w.txt", b"\n\ncar 0.1 -2e-3 0.5\n", "w.txt:3: numbers follow 'car'; these are word vectors"),
        ("w.json", b'{"a": ["b"],\n "c": ', "w.json:2:.* not JSON"),
        ("w.txt", "car auto\u00a0mobile\n".encode(), "w.txt:1: contains control characters"),
        ("w.json", b"[1]", "must be an object"),
        ("w.json", b'{"a": "b"}', "'a' must have a list of single words"),
        ("w.json", b'{"a": ["b c"]}', "'a' must have a list of single words"),
    ],
)
def test_broken_files_are_refused_with_the_line(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        read_synonyms(file_of(tmp_path, content, name))


def test_files_without_synonyms_are_bad_input(tmp_path: Path) -> None:
    for content in ("", "car\nbig\n", "car car\n"):
        with pytest.raises(BadInput, match="no word in it has a synonym"):
            read_synonyms(file_of(tmp_path, content))
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        read_synonyms(str(tmp_path / "none"))


# --- the source's own ---


def test_the_pocket_worlds_paraphrases_hold_its_synonyms_and_nothing_else() -> None:
    found = found_in(open_source("pocket"))
    assert {"pill": ("tablet",), "doctor": ("physician",), "cars": ("automobiles",)}.items() <= found.items()
    assert len(found) == 16 and len(SYNONYM) >= 6
    for word, others in found.items():
        assert all(word in found[other] for other in others)


def test_two_words_count_from_the_third_paraphrase_on() -> None:
    pairs = [("A dog ran.", "A hound ran.")] * 2 + [("The dog sat", "the Hound sat")] + [("one cat", "one tomcat")] * 2
    pairs += [("a b c", "x y c")] * 5 + [("in 3 days", "in three days")] * 5 + [("a bird", "a small bird")] * 5

    def change(name: str, language: str, split: str, table: pa.Table) -> pa.Table:
        if name not in PARAPHRASES or split != "train" or language != "en":
            return table
        first, second = ("question1", "question2") if name == "qqp" else ("sentence1", "sentence2")
        rows: dict[str, Any] = {column: table[column].to_pylist()[: len(pairs)] for column in table.column_names}
        rows |= {
            first: [a for a, _ in pairs],
            second: [b for _, b in pairs],
            "label": [int(name == "mrpc")] * len(pairs),
        }
        return pa.table(rows, schema=table.schema)

    assert found_in(small_source(change)) == {"dog": ("hound",), "hound": ("dog",)}


class Without:
    """A source without paraphrases, or without any that differ in one word."""

    spec = "elsewhere"

    def __init__(self, inner: Source, served: tuple[str, ...]) -> None:
        self.inner, self.served = inner, served

    def languages(self, d: Any, split: str) -> tuple[str, ...]:
        return self.inner.languages(d, split) if d.name in self.served else ()

    def examples(self, d: Any, language: str, split: str) -> list[Any]:
        return self.inner.examples(d, language, split)


def test_a_source_without_synonyms_is_bad_input(source: Source) -> None:
    without: Any = Without(source, ())
    with pytest.raises(BadInput, match="which has none of mrpc, pawsx, qqp: give a file with --synonyms"):
        found_in(without)
    without = Without(source, ("qqp",))  # whose paraphrases ask with other words
    with pytest.raises(BadInput, match="in its rows of qqp: give a file"):
        found_in(without)


# --- in a plan and a stage ---


def targets(stages: Any) -> dict[str, Target]:
    return {c.task.name: c for c in stages.values() if isinstance(c, Target)}


def test_copies_are_the_profiles_or_the_recipes(source: Source, nano: Path) -> None:
    for copies, wanted in ((0, (10, 3, 3)), (2, (2, 2, 2))):
        robust = Robust(method="synonyms", copies=copies)
        names = ("pawsx", "xnli", "sib200", "tatoeba")
        found = targets(stages_of(source, str(nano), targets=names, robust=robust))
        assert tuple(found[name].task.copies for name in ("pawsx", "mnli", "sib200")) == wanted
        assert all(c.fit.robust is None for c in found.values())
    plain = targets(stages_of(source, str(nano)))["mnli"].task
    assert (plain.copies, plain.synonyms) == (0, "")


def test_intermediate_rows_can_be_copied_too(source: Source, nano: Path) -> None:
    mixed: dict[str, Any] = {"intermediate": ("mnli",), "epochs": 1.0, "lr": 1e-3}
    robust = Robust(method="synonyms", phase="intermediate")
    stages = stages_of(source, str(nano), **mixed, robust=robust)
    found = stages["intermediate"]
    assert isinstance(found, Intermediate) and found.tasks[0].copies == 3
    assert targets(stages)["mnli"].task.copies == 0


def test_what_is_in_a_file_is_part_of_a_stage_and_its_path_is_not(source: Source, nano: Path, tmp_path: Path) -> None:
    texts = {"one.txt": "pill tablet\n", "two.txt": "pill\ttablet\n", "three.txt": "pill medicine\n"}
    found = {}
    for name, text in texts.items():
        robust = Robust(method="synonyms", synonyms=file_of(tmp_path, text, name))
        found[name] = canonical(identity(targets(stages_of(source, str(nano), robust=robust))["mnli"]))
    assert found["one.txt"] == found["two.txt"] != found["three.txt"]
    assert str(tmp_path) not in found["one.txt"]


@pytest.mark.parametrize("name", ["panx", "xquad", "xcopa", "mtop"])
def test_targets_of_other_kinds_are_refused_before_anything_runs(name: str, source: Source, nano: Path) -> None:
    with pytest.raises(BadInput, match="synonym augmentation needs labelled sentences or pairs"):
        stages_of(source, str(nano), targets=(name,), robust=FOUND)


def test_english_synonyms_are_not_for_rows_of_other_languages(source: Source, nano: Path) -> None:
    with pytest.raises(BadInput, match="are English"):
        stages_of(source, str(nano), targets=("pawsx",), train_languages=("de",), robust=FOUND)


def test_a_stage_trains_on_the_copies_and_scores_rows_as_they_are(source: Source, nano: Path, tmp_path: Path) -> None:
    robust = Robust(method="synonyms", copies=2)
    plain, copied = (
        targets(stages_of(source, str(nano), targets=("sib200",), robust=r))["sib200"] for r in (None, robust)
    )
    steps = [run_stage(c, nano, tmp_path / str(n), source)["steps"] for n, c in enumerate((plain, copied))]
    rows = len(source.examples(dataset("sib200"), "en", "train"))
    assert steps == [round(1.5 * -(-rows // 32)), round(1.5 * -(-2 * rows // 32))]
    own = [json.loads((tmp_path / str(n) / "history.json").read_text())["dev"] for n in (0, 1)]
    assert own[0] and own[1]


def test_a_file_that_changed_since_the_plan_stops_the_stage(source: Source, nano: Path, tmp_path: Path) -> None:
    config = targets(stages_of(source, str(nano), targets=("sib200",), robust=FOUND))["sib200"]
    path = file_of(tmp_path, "pill medicine\n")
    with pytest.raises(DataError, match="not those that the study was planned with"):
        run_stage(config, nano, tmp_path / "out", source, synonyms=path)


# --- on the command line ---


def settings(*argv: str) -> Any:
    return resolved("--space", "robust_training", "--targets", "xnli", *argv)[0]


def test_the_command_line_names_methods_and_a_file(tmp_path: Path) -> None:
    path = file_of(tmp_path, "pill tablet\n")
    assert [arm["method"] for arm in settings().objectives["robust"]] == [arm.method for arm in ROBUST]
    (only,) = settings("--robust", "synonyms", "--synonyms", path).objectives["robust"]
    assert only == {"method": "synonyms", "synonyms": path}
    with pytest.raises(BadInput, match="there is no file"):
        settings("--synonyms", str(tmp_path / "none"))
    with pytest.raises(BadInput, match="needs --robust synonyms"):
        settings("--robust", "random", "--synonyms", path)


def test_a_source_without_synonyms_has_the_other_rows_unless_they_were_asked_for(
    source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    without: Any = Without(source, ())
    asked = space("robust_training")
    found = objectives_of(StudySpec(), asked, ("xnli",), without)
    assert [arm["method"] for arm in found["robust"]] == ["adversarial", "random"]
    assert "skipping the synonyms row: no synonyms found" in capsys.readouterr().err
    found = objectives_of(StudySpec(robust=("synonyms",)), asked, ("xnli",), without)
    assert [arm["method"] for arm in found["robust"]] == ["synonyms"]  # the plan will refuse it
