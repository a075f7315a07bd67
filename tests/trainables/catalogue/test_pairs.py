"""Pairs of languages: rows joined from translations, scores, pictures."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dashboards.languages import language_panels
from dashboards.page import render
from dashboards.scale import Scale, scale
from dashboards.square import Square, draw_square
from study.diagnostics.datasets import check_data
from study.planning.plan import selection_rows
from study.results.report import LanguagePairs, TargetResult
from study.results.writers import pair_rows, write_files
from tests.builders import report_of, row_of, target_of
from tests.dashboards.test_dashboards import Page, report
from tests.small import run_stage, stages_of
from tests.trainables.sources.test_sources import NLI, mirror, nli, write
from tests.trainables.sources.test_sources import small as small  # the fixture
from trainables.catalogue import dataset
from trainables.errors import BadInput, DataError
from trainables.examples import Labelled
from trainables.languages import cross, describe
from trainables.recipe import Recipe
from trainables.sources import Source, open_source

XNLI, XNLI_PAIRS, PAWSX_PAIRS = dataset("xnli"), dataset("xnli_pairs"), dataset("pawsx_pairs")


# ---- rows ----


def paws(folder: Path, language: str, rows: dict[int, tuple[str, str, int]]) -> None:
    """Return PAWS-X's test rows of a language: id -> sentences and label."""
    table = [{"id": id, "sentence1": a, "sentence2": b, "label": label} for id, (a, b, label) in rows.items()]
    write(folder / f"google-research-datasets/paws-x/{language}/test.parquet", table, label=("0", "1"))


def test_rows_without_ids_are_joined_by_their_numbers(small: Path) -> None:
    source = mirror(small)
    tags = ("en-en", "en-de", "en-sw", "de-en", "de-de", "de-sw", "sw-en", "sw-de", "sw-sw")
    assert source.languages(XNLI_PAIRS, "test") == tags and source.languages(XNLI_PAIRS, "train") == ()
    assert source.languages(XNLI_PAIRS, "validation") == (), "there are dev rows in German, and none are reported"
    found = source.examples(XNLI_PAIRS, "de-sw", "test")
    assert len(found) == source.num_rows(XNLI_PAIRS, "de-sw", "test") == 30
    assert found[4] == Labelled("4", "de p4", "sw h4", 1)
    assert source.labels(XNLI_PAIRS) == NLI
    assert "xnli/de/test" in source.origin(XNLI_PAIRS, "de-sw", "test")
    assert "xnli/sw/test" in source.origin(XNLI_PAIRS, "de-sw", "test")
    with pytest.raises(BadInput, match="has no xnli_pairs/de-fr/test"):
        source.examples(XNLI_PAIRS, "de-fr", "test")


def test_rows_with_ids_are_joined_by_them_and_what_lacks_a_translation_is_left_out(tmp_path: Path) -> None:
    paws(tmp_path, "en", {5: ("a", "b", 1), 7: ("c", "d", 0), 9: ("e", "f", 1)})
    paws(tmp_path, "de", {9: ("E", "F", 1), 5: ("A", "NS", 1)})
    source = mirror(tmp_path)
    assert source.examples(PAWSX_PAIRS, "en-de", "test") == [Labelled("5", "a", "NS", 1), Labelled("9", "e", "F", 1)]
    assert source.examples(PAWSX_PAIRS, "de-en", "test") == [Labelled("9", "E", "f", 1), Labelled("5", "A", "b", 1)]
    assert (source.num_rows(PAWSX_PAIRS, "en-de", "test"), source.num_rows(PAWSX_PAIRS, "de-en", "test")) == (3, 2)
    (found,) = check_data(source, [PAWSX_PAIRS], read_hub=False)
    assert (found.examples, found.left_out, found.origin.count("paws-x")) == (3 + 2 + 2 + 2, 1, 1)


def test_rows_whose_labels_differ_are_refused_with_both(tmp_path: Path) -> None:
    paws(tmp_path, "en", {5: ("a", "b", 1), 7: ("c", "d", 0)})
    paws(tmp_path, "de", {5: ("A", "B", 1), 7: ("C", "D", 1)})
    source = mirror(tmp_path)
    assert len(source.examples(PAWSX_PAIRS, "de-de", "test")) == 2
    with pytest.raises(DataError, match=r"pawsx_pairs/de-en/test: row '7' is '1' in 'de' and '0' in 'en'"):
        source.examples(PAWSX_PAIRS, "de-en", "test")
    (found,) = check_data(source, [PAWSX_PAIRS], read_hub=False)
    assert found.state == "broken" and "row '7'" in found.problems[-1]


def test_languages_that_share_no_row_are_refused(tmp_path: Path) -> None:
    paws(tmp_path, "en", {1: ("a", "b", 1)})
    paws(tmp_path, "de", {2: ("A", "B", 1)})
    with pytest.raises(DataError, match="no row of 'de' has the id of a row of 'en'"):
        mirror(tmp_path).examples(PAWSX_PAIRS, "de-en", "test")


@pytest.mark.parametrize("take", [None, 1, 7, 29, 300])
def test_a_language_with_itself_is_the_set_in_that_language(source: Source, take: int | None) -> None:
    for language in source.languages(XNLI, "test"):
        alone = source.examples(XNLI, language, "test", take)
        assert source.examples(XNLI_PAIRS, f"{language}-{language}", "test", take) == alone
    mixed = source.examples(XNLI_PAIRS, "de-sw", "test", take)
    assert [e.id for e in mixed] == [e.id for e in source.examples(XNLI, "sw", "test", take)]


def test_the_hash_follows_both_languages_and_their_order(small: Path, tmp_path_factory: Any) -> None:
    def hashes(folder: Path) -> dict[str, str]:
        source = mirror(folder)
        return {tag: source.fingerprint(XNLI_PAIRS, tag, "test") for tag in source.languages(XNLI_PAIRS, "test")}

    before = hashes(small)
    assert len(set(before.values())) == 9
    copy = shutil.copytree(small, tmp_path_factory.mktemp("other") / "folder")
    assert hashes(copy) == before
    write(copy / "facebook/xnli/sw/test.parquet", nli(30, "changed"), label=NLI)
    assert {tag for tag, value in hashes(copy).items() if value != before[tag]} == {t for t in before if "sw" in t}


def test_rows_that_change_while_a_source_is_open_are_read_again(small: Path) -> None:
    source = mirror(small)
    source.examples(XNLI_PAIRS, "de-sw", "test")
    write(small / "facebook/xnli/sw/test.parquet", nli(30, "changed"), label=NLI)
    assert source.examples(XNLI_PAIRS, "de-sw", "test")[0] == Labelled("0", "de p0", "changed h0", 0)


def test_they_come_from_the_layer_that_has_the_set(small: Path) -> None:
    layered = open_source(f"mirror:{small}+pocket")
    assert layered.comes_from(XNLI_PAIRS) == layered.comes_from(XNLI) == (f"mirror:{small.resolve()}",)
    assert layered.comes_from(PAWSX_PAIRS) == ("pocket",) and layered.standin(PAWSX_PAIRS)
    assert layered.languages(XNLI_PAIRS, "test")[:3] == ("en-en", "en-de", "en-sw")
    assert selection_rows(open_source("pocket"), XNLI_PAIRS) == ("xnli", "validation")
    assert selection_rows(open_source("pocket"), PAWSX_PAIRS) == ("pawsx", "validation")


def test_a_mirror_cannot_stand_in_for_pairs(small: Path) -> None:
    with open(small / "mirror.toml", "a") as file:
        file.write('[xnli_pairs.de-en]\ntest = "local/xnli.parquet"\n')
    with pytest.raises(BadInput, match="'xnli_pairs' has no files: its rows are those of 'xnli'"):
        mirror(small)


def test_the_doctor_says_what_is_there_and_what_to_bring(small: Path, tmp_path_factory: Any) -> None:
    (found,) = check_data(mirror(small), [XNLI_PAIRS], read_hub=False)
    assert (found.state, found.examples) == ("stand-in", 9 * 30) and "en-fr" in found.missing
    write(tmp_path_factory.getbasetemp() / "lone/facebook/xnli/en/validation.parquet", nli(3), label=NLI)
    (found,) = check_data(mirror(tmp_path_factory.getbasetemp() / "lone"), [XNLI_PAIRS], read_hub=False)
    assert (found.state, found.advice) == ("absent", "pairs the test rows of xnli: add those")


# ---- scores ----


def test_the_diagonal_has_the_scores_of_the_set_itself(nano: Path, source: Source, tmp_path: Path) -> None:
    stages = stages_of(source, str(nano), targets=("xnli", "xnli_pairs"))
    assert [label for label in stages if label.startswith("target")] == ["target mnli"], "one training serves both"
    run_stage(stages["target mnli"], nano, tmp_path / "target", source)
    found = {}
    for name in ("xnli", "xnli_pairs"):
        run_stage(stages[f"evaluate {name}"], tmp_path / "target", tmp_path / name, source)
        table = pq.read_table(tmp_path / name / "scores.parquet").to_pylist()
        found[name] = {
            tag: [(r["id"], r["correct"]) for r in table if r["language"] == tag] for tag in languages_of(table)
        }
    assert set(found["xnli_pairs"]) == set(cross(("en", "de", "sw")))
    for language in ("en", "de", "sw"):
        assert found["xnli_pairs"][f"{language}-{language}"] == found["xnli"][language]
    assert all(len(scores) == len(found["xnli"]["en"]) for scores in found["xnli_pairs"].values())


def languages_of(table: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["language"] for row in table))


# ---- pictures ----

THREE = ("en", "de", "hi")
VALUES = ((80.0, 70.0, None), (72.0, 78.0, 60.0), (64.0, 62.0, 66.0))
GAINS = ((1.0, 2.0, None), (-3.0, 0.0, 4.0), (0.0, 0.0, 5.0))


def square(**changes: Any) -> Square:
    return replace(Square(caption="r", rows=THREE, columns=THREE, values=VALUES, names={"hi": "Hindi"}), **changes)


def test_means_of_rows_columns_diagonal_and_the_rest_are_over_what_is_there() -> None:
    drawn = draw_square(square(), Scale(1.0, False))
    assert [line.mean.absolute for line in drawn.lines] == ["75.0", "70.0", "64.0"]
    assert [cell.absolute for cell in drawn.means] == ["72.0", "70.0", "63.0"]
    assert [(mean.name, mean.cell.absolute) for mean in drawn.summary] == [
        ("Diagonal", "74.7"),  # 80, 78, 66
        ("Off the diagonal", "65.6"),  # 70, 72, 60, 64, 62
        ("All", "69.0"),
    ]
    assert drawn.mean.absolute == "69.0" and (drawn.lowest, drawn.highest) == ("60.0", "80.0")
    assert drawn.lines[0].cells[2].absolute == "\N{EN DASH}" and drawn.lines[0].cells[2].side == "empty"
    assert drawn.lines[0].cells[1].strength == 0.5 and drawn.lines[1].cells[2].strength == 0.0
    assert [[cell.diagonal for cell in line.cells] for line in drawn.lines] == [
        [row == column for column in THREE] for row in THREE
    ]
    assert drawn.lines[2].name == "Hindi" and drawn.scale is None


def test_differences_have_the_colours_of_every_other_table() -> None:
    colours = scale(gain for line in GAINS for gain in line)
    drawn = draw_square(square(gains=GAINS), colours)
    assert [cell.difference for cell in drawn.lines[1].cells] == ["\N{MINUS SIGN}3.0", "0.0", "+4.0"]
    assert [cell.side for cell in drawn.lines[1].cells] == ["down", "level", "up"]
    assert drawn.lines[1].cells[2].strength == colours.strength(4.0) and drawn.lines[1].cells[2].absolute == "60.0"
    assert [mean.cell.difference for mean in drawn.summary] == ["+2.0", "+0.6", "+1.1"]
    assert drawn.scale == colours


def test_rows_and_columns_may_be_other_languages() -> None:
    drawn = draw_square(square(rows=("fr",), columns=("de", "hi"), values=((1.0, 2.0),)), Scale(1.0, False))
    assert [mean.name for mean in drawn.summary] == ["All"], "without a diagonal nothing is said of one"
    empty = draw_square(square(rows=(), columns=(), values=()), Scale(1.0, False))
    assert empty.lines == () and empty.mean.absolute == empty.lowest == "\N{EN DASH}"


def with_pairs(languages: tuple[str, ...] = THREE, name: str = "Hindi") -> dict[str, Any]:
    """Add a target of language pairs to the realistic report.

    The score of A-B is 10 times the position of A plus that of B.
    """
    data = report()
    of = cross(languages)
    about = {tag: {"name": name if tag == "hi" else tag.upper(), "script": "", "family": ""} for tag in languages}
    data["targets"].append(
        {"name": "xnli_pairs", "title": "XNLI A x B", "main": ["accuracy"], "languages": list(of), "split": "test",
         "trained_on": "MNLI", "note": "", "pairs": {"languages": about, "of": {t: list(p) for t, p in of.items()}}}
    )  # fmt: skip
    for number, row in enumerate(data["matrix"]):
        if row["targets"]:
            scores = {
                t: {"accuracy": 10.0 * languages.index(a) + languages.index(b) + number} for t, (a, b) in of.items()
            }
            row["targets"]["xnli_pairs"] = {"languages": scores, "mean": 50.0, "gain": number, "interval": None}
    return data


def test_the_page_has_a_matrix_for_every_recipe_with_baseline_and_best_open() -> None:
    data = with_pairs()
    panel = language_panels(data)[-1]
    assert panel.facts == "9 pairs of 3 languages, test split, trained on MNLI in English"
    scored = [row["name"] for row in data["matrix"] if "xnli_pairs" in row["targets"]]
    assert [d.caption for d in panel.squares][:2] == [scored[0], data["best"]["name"]]
    assert sorted(d.caption for d in panel.squares) == sorted(scored)
    first = panel.squares[0]
    assert [[c.absolute for c in line.cells] for line in first.lines][0] == ["0.0", "1.0", "2.0"], "rows: sentence 1"
    number = [row["name"] for row in data["matrix"]].index(data["best"]["name"])
    assert panel.squares[1].lines[0].cells[0].difference == f"+{number}.0"
    text = render(data)
    opened = re.findall(r'<details class="square"( open)?>', text)
    assert opened == [" open", " open", *[""] * (len(scored) - 2)]
    assert re.search(r'<a href="pairs-xnli_pairs.csv"[^>]*>', text) and text.count("<a ") == 1
    assert "9 pairs of languages" in text


def test_the_page_of_225_pairs_stays_small_and_hostile_names_stay_text() -> None:
    many = tuple("en ar bg de el es fr hi ru sw th tr ur vi zh".split())
    data = with_pairs(many, name="<script>alert(1)</script>")
    data["matrix"][1]["name"] = '"><img src=x>'
    text = render(data)
    assert len(text) < 1_500_000
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag == "img"] and sum(tag == "script" for tag, _ in page.tags) == 1
    assert "<script>alert(1)</script>" in page.text


def test_the_csv_has_first_and_second_language_apart(tmp_path: Path) -> None:
    of = cross(THREE)
    base = Recipe(encoder="pocket", profile="small", targets=("xnli_pairs", "xnli"))
    rows = []
    for number, recipe in enumerate((base, replace(base, intermediate=("mnli",), epochs=1.0, lr=1e-4))):
        scores = {t: {"accuracy": 10.0 * THREE.index(a) + THREE.index(b) + number} for t, (a, b) in of.items()}
        cell = TargetResult(mean=50.0, gain=float(number), interval=None, languages=scores)
        rows.append(row_of(recipe, {"xnli_pairs": cell, "xnli": replace(cell, languages={"hi": {"accuracy": 1.0}})}))
    languages = {tag: describe(tag) for tag in THREE}
    pairs = target_of("xnli_pairs", list(of), pairs=LanguagePairs(languages=languages, of=of))
    found = report_of(rows, [pairs, target_of("xnli", ["hi"])])
    write_files(found, tmp_path)
    with open(tmp_path / "pairs-xnli_pairs.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 9 * len(rows) == len(pair_rows(found, pairs)) - 1
    line = next(x for x in lines if (x["recipe"], x["first"], x["second"]) == (rows[1].name, "hi", "de"))
    assert (line["metric"], float(line["score"]), float(line["difference"])) == ("accuracy", 22.0, 1.0)
    assert not (tmp_path / "pairs-xnli.csv").exists()
