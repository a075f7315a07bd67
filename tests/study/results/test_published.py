"""Published tables are consistent except for marked cells, and join reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from study import report as verb
from study.cli_parser import run_verb
from study.record.record import Record
from study.results.alignment_tables import alignment, alignment_lines
from study.results.published import FOLDER, average, compare, footnotes, mean, names, parse, read_paper, texts
from study.results.report import Report, ReportRow, TargetResult
from study.results.writers import markdown
from study.spec.study_spec import ResolvedSpec
from tests.builders import report_of, row_of, target_of
from trainables.errors import BadInput, DataError
from trainables.objectives import Align, Robust
from trainables.recipe import Recipe

NINE = ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba")
BASE = Recipe(encoder="x", profile="phang2020", targets=("xnli",))
TASKS = ("anli_plus", "qqp", "hellaswag", "ccg", "cosmos_qa", "commonsense_qa")


def first(tasks: tuple[str, ...], *, mlm: bool = False) -> Recipe:
    """Return the recipe with these intermediate tasks, mixed as published."""
    ratio: Any = "by_size" if mlm else 0.0
    return replace(BASE, intermediate=tasks, mlm_ratio=ratio, mixing_limit=2**17, epochs=1.0, lr=1e-5)


def test_the_four_papers_are_there() -> None:
    assert names() == ["mtdnn", "phang2020", "robust", "xeroalign"]
    with pytest.raises(BadInput, match="did you mean 'phang2020'"):
        read_paper("phang2021")


@pytest.mark.protocol
@pytest.mark.parametrize("name", names())
def test_every_average_follows_from_its_columns_but_for_what_is_marked(name: str) -> None:
    paper, wrong = read_paper(name), set()
    for table in paper.tables:
        for row in table.rows:
            if "average" not in row.cells:
                continue
            columns = average(table, row)
            # rounded cells: their average may be a tenth off, and one row's is by more than half of that
            off = 0.0651 if (name, table.name, row.name) == ("xeroalign", "Table 5", "0-shot") else 0.0501
            assert columns == pytest.approx(row.cells["average"], abs=off), (table.name, row.name)
            mark = paper.mark(table.name, row.name, "average")
            printed = [float(x) for x in mark.printed.split("/")] if mark else row.cells["average"]
            if columns != pytest.approx(printed, abs=off):
                wrong.add((table.name, row.name))
    assert wrong == {(m.table, m.row) for m in paper.marks if m.column == "average"}


@pytest.mark.protocol
def test_a_garbled_cell_does_not_fit_its_average() -> None:
    paper = read_paper("phang2020")
    found = paper.find(first(("squad",), mlm=True))
    assert found is not None
    table, row = found
    printed = replace(row, cells={**row.cells, "mlqa": (0.9, 11.1)})
    assert average(table, printed) != pytest.approx(row.cells["average"], abs=0.5)
    assert {(m.row, m.column) for m in paper.marks} == {("QQP", "average"), ("SQuAD", "mlqa"), ("CCG", "average")}


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("table", "row", "expected"),
    [
        ("Table 2", "XLM-R", 67.2),
        ("Table 2, XTREME test", "XLM-R (Hu et al. 2020)", 68.12),
        ("Table 2, XTREME test", "XLM-R (Phang et al. 2020)", 66.09),
        ("Table 2, XTREME test", "best models", 74.16),
        ("Table 2, with MLM", "QQP", 7.1),
        ("Table 2, without MLM", "CCG", 3.76),
        ("BUCC dev by language", "XLM-R", 71.5),
        ("Tatoeba by language", "XLM-R", 31.0),
    ],
)
def test_averages_of_phang2020(table: str, row: str, expected: float) -> None:
    (found,) = [(t, r) for t in read_paper("phang2020").tables for r in t.rows if (t.name, r.name) == (table, row)]
    assert average(*found)[0] == pytest.approx(expected, abs=0.0501 if round(expected, 1) == expected else 0.0051)


@pytest.mark.protocol
def test_both_halves_of_the_table_have_every_intermediate_task() -> None:
    paper = read_paper("phang2020")
    for mlm in (False, True):
        for tasks in (*((t,) for t in (*TASKS, "squad")), TASKS):
            found = paper.find(first(tasks, mlm=mlm))
            assert found is not None and found[0].differences_from == "XLM-R"
            assert {c for c in found[1].cells if c != "average"} == set(NINE)
    assert paper.find(BASE) is not None and paper.find(first(("mnli",))) is None
    others: list[dict[str, Any]] = [
        {"mlm_ratio": 0.25}, {"align": Align(languages=("de",))}, {"robust": Robust(method="random", eps=0.1)},
        {"train_languages": ("de",)},
    ]  # fmt: skip
    for more in others:
        assert paper.find(replace(first(("squad",)), **more)) is None  # the paper has no such row


def test_robust_training_is_compared_with_what_is_known_of_it() -> None:
    paper = read_paper("robust")
    method = Robust(method="adversarial", eps=0.01, steps=1, step_size=1.0)
    found = paper.find(replace(BASE, robust=method))
    assert found is not None and found[1].cells == {"pawsx": (2.1,), "xnli": (1.6,)}
    assert paper.find(BASE) is None and paper.find(replace(first(("squad",)), robust=method)) is None


def test_published_lines_stand_under_those_of_alignment() -> None:
    base = Recipe(encoder="x", profile="xeroalign", targets=("mtop",))
    aligned = replace(base, align=Align(languages=("de",), data="translations"))
    cells = {tag: {"intent_accuracy": 50.0, "slot_f1_bio": 40.0} for tag in ("en", "de", "fr")}
    own = {"mtop": TargetResult(mean=45.0, gain=None, interval=None, languages=cells)}
    rows = [row_of(base, own, name="a"), row_of(aligned, own, name="b")]
    targets = [target_of("mtop", ["en", "de", "fr"])]
    tables = alignment(rows, targets)
    report = report_of(rows, targets, alignment=tables, encoder="xlm-roberta-large", profile="xeroalign")
    columns, lines = alignment_lines(tables[0], compare(report, "xeroalign").aligned["mtop"])
    found = {name: dict(zip(columns, own, strict=True)) for name, own, _ in lines}
    assert found["published: XLM-RA"] == {"en": "-", "de": "95.7/84.5", "fr": "96.5/83.3", "average": "95.6/80.3"}
    assert found["0-shot"]["de"] == "50.0/40.0" and found["published: target"]["average"] == "95.6/89.2"


@pytest.mark.protocol
def test_the_gains_of_the_text_follow_from_the_printed_averages_of_the_base_model() -> None:
    """XeroAlign's +19.8 % on intents and +14.2 % on slots over MTOP, MultiATIS++ and MTOD."""
    (table,) = [t for t in read_paper("xeroalign").tables if t.name == "Table 7"]
    rows = {row.name: row.cells for row in table.rows}
    gains = []
    for part in (0, 1):
        before, after = (
            sum(rows[name][c][part] or 0 for c in ("mtop", "multiatis", "mtod")) for name in ("0-shot", "XLM-RA")
        )
        gains.append(100 * (after / before - 1))
    assert gains == pytest.approx([19.8, 14.2], abs=0.0501)


@pytest.mark.protocol
def test_averages_with_and_without_english_stand_in_columns_of_their_own() -> None:
    base = Recipe(encoder="x", profile="xeroalign", targets=("pawsx",))
    aligned = replace(base, align=Align(languages=("de",), data="translations"))
    cells = {tag: {"accuracy": value} for tag, value in (("en", 90.0), ("de", 60.0), ("fr", 30.0))}
    own = {"pawsx": TargetResult(mean=60.0, gain=None, interval=None, languages=cells)}
    rows, targets = (
        [row_of(base, own, name="a"), row_of(aligned, own, name="b")],
        [target_of("pawsx", ["en", "de", "fr"])],
    )
    tables = alignment(rows, targets)
    report = report_of(rows, targets, alignment=tables, encoder="xlm-roberta-large", profile="xeroalign")
    columns, lines = alignment_lines(tables[0], compare(report, "xeroalign").aligned["pawsx"])
    found = {name: tuple(dict(zip(columns, one, strict=True))[c] for c in columns[-2:]) for name, one, _ in lines}
    assert columns[-2:] == ["average", "average with en"] and found["0-shot"] == ("60.0", "75.0")
    assert found["published: 0-shot"] == ("87.1", "88.3") and found["published: XLM-RA"] == ("90.5", "91.2")
    assert "average with en" not in alignment_lines(tables[0])[0]


@pytest.mark.protocol
def test_pre_finetuning_gains_in_points() -> None:
    (table,) = [t for t in read_paper("mtdnn").tables if t.name == "Tables 2 to 4"]
    rows = {row.name: average(table, row) for row in table.rows if "average" in row.cells}
    assert rows["10 base"] == pytest.approx((72.595, 52.0)) and rows["10 pre-finetuned"] == pytest.approx(
        (76.5125, 46.75)
    )
    late = {
        row.name: sum(row.cells[c][0] or 0 for c in table.average_of) / 8 for row in table.rows if row.name[:2] == "40"
    }
    assert late["40 pre-finetuned"] - late["40 base"] == pytest.approx(0.978, abs=5e-4)


def test_a_cell_of_two_numbers_counts_as_their_mean_and_half_a_cell_as_nothing() -> None:
    assert mean((76.1, 60.0)) == pytest.approx(68.05)
    assert mean((31.0,)) == 31.0 and mean((90.1, None)) is None


GOOD = (FOLDER / "robust.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('cite = "', "cite = ", "not TOML"),
        ("notes = [", "nots = [", "'nots'"),
        ('encoder = "multilingual BERT"\n', "", "'encoder'"),
        ('"pawsx xnli"', '"pawsx xnli udpos"', "2 cells for 3 columns"),
        ('"pawsx xnli"', '"pawsx pawsx"', "columns repeat"),
        ("+2.1", "+2,1", "'\\+2,1' is not a number"),
        ("+2.1", "1/2/3", "is not a number or two"),
        ("cells =", "shells =", "'shells'"),
        ("+1.6", "+1.6\"}, { name = \"robust training\", cells = \"1 2", "same name"),
        ("rows =", "average_of = \"panx\"\nrows =", "not there"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named(old: str, new: str, message: str) -> None:
    assert parse("robust", GOOD).tables[0].rows[0].cells == {"pawsx": (2.1,), "xnli": (1.6,)}
    assert old in GOOD
    with pytest.raises(DataError, match=message):
        parse("robust", GOOD.replace(old, new, 1))


def test_a_mark_must_be_about_a_cell() -> None:
    mark = '\n[[marks]]\ntable = "claims"\nrow = "robust training"\ncolumn = "COLUMN"\nprinted = "2"\nwhy = "x"\n'
    assert parse("robust", GOOD + mark.replace("COLUMN", "xnli")).marks[0].printed == "2"
    with pytest.raises(DataError, match="no cell"):
        parse("robust", GOOD + mark.replace("COLUMN", "udpos"))
    with pytest.raises(DataError):
        parse("robust", GOOD + mark.replace("COLUMN", "xnli").replace("why", "because"))


# --- beside a report ---


def line(recipe: Recipe, targets: tuple[str, ...], gain: float) -> ReportRow:
    over = {"gain": gain, "interval": (gain - 1, gain + 1)}
    cell = TargetResult(mean=70 + gain, languages={}, **over)  # type: ignore[arg-type]
    name = "+".join(recipe.intermediate) or "no intermediate task"
    return row_of(recipe, dict.fromkeys(targets, cell), name=name, average=70 + gain, **over)


def report_on(targets: tuple[str, ...], **more: Any) -> Report:
    base = Recipe(encoder="FacebookAI/xlm-roberta-large", profile="phang2020", targets=targets)
    squad = replace(base, intermediate=("squad",), epochs=1.0, lr=1e-5)
    recipes = [
        base,
        squad,
        replace(squad, intermediate=("qqp",), mlm_ratio="by_size", mixing_limit=2**17),
        replace(squad, mlm_ratio="by_size", mixing_limit=2**17),
        replace(squad, mlm_ratio=0.25),
        replace(squad, intermediate=("mnli",)),
    ]
    rows = [line(r, targets, 0.0 if r.is_baseline else 1.5) for r in recipes]
    columns = [target_of(t, ["en"] * 99, title=t.upper(), split="validation") for t in targets]
    return report_of(rows, columns, **{"encoder": base.encoder, "profile": base.profile, **more})


def test_published_rows_meet_ours_by_tasks_and_masked_lm() -> None:
    report = report_on(NINE)
    found = compare(report, "phang2020")
    base, squad, qqp_mlm, squad_mlm, quarter, mnli = (texts(report, found, row) for row in report.matrix)
    assert base == ["80.1", "86.5", "75.7", "62.8", "68.0", "60.8", "68.3", "71.5", "31.0", "67.2"]
    assert squad[:3] == ["-1.4", "+0.7", "-1.6"] and squad[-1] == "+8.3"
    assert qqp_mlm[-1] == "+7.1!" and squad_mlm[5] == "+1.0!"
    assert quarter == mnli == ["-"] * 10
    cell = found.rows[report.matrix[1].address].cells["xquad"]
    assert cell.values == (1.1, 1.3) and cell.mean == pytest.approx(1.2) and not cell.garbled
    assert found.caveats == ()
    notes = " ".join(footnotes(found))
    assert "printed +5.1" in notes and "printed +0.9/11.1" in notes and "printed +3.7" not in notes
    json.dumps(replace(report, published=found).to_dict(), allow_nan=False)


def test_with_fewer_targets_the_average_is_over_those_and_the_mark_of_the_whole_is_dropped() -> None:
    report = report_on(("xnli", "tatoeba", "sib200"))
    found = compare(report, "phang2020")
    qqp = texts(report, found, report.matrix[2])
    assert qqp == ["-0.5", "+42.3", "-", "+20.9"]
    assert any("2 of its 9 targets" in caveat for caveat in found.caveats)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"pocket": True}, "empty of meaning"),
        ({"scale": 0.05}, "rehearsal at scale 0.05"),
        ({"standins": ("UDPOS",)}, "Stand-ins for the official data, not comparable: UDPOS"),
        ({"encoder": "pretrain:tiny"}, "XLM-R large; ours is pretrain:tiny"),
        ({"profile": "xtreme"}, "profile xtreme"),
        ({"targets": (target_of("xnli", ["en", "de"]),)}, "XNLI 2 of 15"),
        ({"targets": (target_of("xnli", ["en"]),)}, "test sets for XNLI"),
    ],
)
def test_what_makes_the_comparison_hollow_is_said(more: dict[str, Any], said: str) -> None:
    assert any(said in caveat for caveat in compare(replace(report_on(NINE), **more), "phang2020").caveats)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    settings = ResolvedSpec(
        space="intermediate_tasks", source="pocket", encoder="pocket", profile="small", targets=("xnli",), intermediate=(),
        mlm=False, seeds=1, scale=1.0, selection="english_dev", trials=0, grid=True,
    )  # fmt: skip
    Record(tmp_path, "by-hand").open(settings)
    monkeypatch.setattr(
        "study.results.transfer_matrix.build",
        lambda *_: report_on(("xnli", "pawsx", "udpos", "panx", "xquad", "tatoeba")),
    )
    return ["by-hand", "--home", str(tmp_path)]


def test_the_verb_shows_both_in_text_markdown_and_json(
    study: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert verb.main([*study, "--compare", "phang2020"]) == 0
    shown = capsys.readouterr().out
    assert "Beside phang2020" in shown and shown.count("  published") == 6 and "of its 9 targets" in shown
    assert max(map(len, shown.split("Beside")[1].split("Published:")[0].splitlines())) <= 80
    assert verb.main([*study, "--compare", "phang2020", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["published"]["name"] == "phang2020" and len(printed["published"]["rows"]) == 4
    report = report_on(("xnli", "pawsx", "udpos", "panx", "xquad", "tatoeba"))
    text = markdown(replace(report, published=compare(report, "phang2020")))
    assert "## Beside phang2020" in text and "| published | -1.4 | +0.7 |" in text
    assert verb.main(study) == 0
    assert "published" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("phang", "did you mean 'phang2020'"),
        ("mtdnn", "has nothing about what this study asked; it has scores by epoch of multiatis"),
    ],
)
def test_a_paper_that_cannot_be_compared_is_refused(
    study: list[str], name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run_verb(verb.main, [*study, "--compare", name])
    assert raised.value.code == 2 and message in capsys.readouterr().err
