"""`study.submission` on hand-written evaluations, and its files in `study.score`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study import submission as verb
from study.cli_parser import run_verb
from study.record.record import Record, Trial
from study.results import submission as written
from study.results.transfer_matrix import build
from study.spec.study_spec import ResolvedSpec
from study.store.store import Store
from study.xtreme import scoring
from study.xtreme.layout import TASKS, Version
from trainables.catalogue import dataset
from trainables.examples import Choice, Pair
from trainables.metrics.formulas import chunk_counts, mlqa_scores, squad_scores
from trainables.recipe import Recipe, digest
from trainables.sources import Source

TARGETS = ("tatoeba", "panx", "xquad", "sib200", "xnli", "udpos", "pawsx", "mlqa", "xcopa", "bucc2018", "mewslix")
SETTINGS = ResolvedSpec(
    space="intermediate_tasks", source="pocket", encoder="pretrain:nano", profile="small", targets=TARGETS,
    intermediate=("mnli", "squad"), mlm=False, seeds=2, scale=1.0, selection="english_dev", trials=0, grid=True,
)  # fmt: skip
BASE = Recipe(encoder="pretrain:nano", profile="small", targets=TARGETS)
MNLI = replace(BASE, intermediate=("mnli",), epochs=1.0, lr=5e-4)
SQUAD = replace(BASE, intermediate=("squad",), epochs=1.0, lr=5e-4)
STOPPED = replace(SQUAD, lr=0.01)
NAMES = {BASE.address: "none", MNLI.address: "MNLI", SQUAD.address: "SQuAD", STOPPED.address: "stopped"}
WITHOUT_DEV = ("tatoeba", "bucc2018", "mewslix")
# English dev scores: SQuAD is best over the targets, MNLI on XNLI, nothing beats the baseline on PAWS-X.
DEV = {
    BASE.address: {"xnli": 60.0, "pawsx": 70.0},
    MNLI.address: {"xnli": 65.0, "pawsx": 70.0},
    SQUAD.address: {"xnli": 61.0, "pawsx": 69.0},
    STOPPED.address: {"xnli": 99.0, "pawsx": 99.0},
}
OTHER = {BASE.address: 50.0, MNLI.address: 40.0, SQUAD.address: 55.0, STOPPED.address: 99.0}
BEST = {"xnli": MNLI, "pawsx": BASE}  # and SQuAD for the others
GOLD = {"bucc2018": 12, "mewslix": 8}  # gold pairs
MADE = {**GOLD, "xcopa": 20}  # rows of what this file makes up
Row = tuple[str, str, dict[str, float]]  # id, prediction, per-example scores


class World:
    """Reduced pocket data with made-up rows.

    Choices and gold pairs of two pools are made up, and MLQA has XQuAD's rows.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def languages(self, d: Any, split: str) -> tuple[str, ...]:
        found = ("sw", "de")[d.name in GOLD :] if d.name in MADE else self.source.languages(*self._rows(d, split))
        return tuple(tag for tag in found if (d.name, tag) != ("mlqa", "sw"))

    def num_rows(self, d: Any, language: str, split: str) -> int:
        d, split = self._rows(d, split)
        return MADE.get(d.name) or self.source.num_rows(d, language, split)

    def _rows(self, d: Any, split: str) -> tuple[Any, str]:
        return (dataset("xquad"), "validation") if d.name == "mlqa" else (d, split)

    def examples(self, d: Any, language: str, split: str, take: int | None = None) -> list[Any]:
        if d.name == "xcopa":
            return [Choice(str(n), "p", ("a", "b"), n % 2) for n in range(20)]
        if d.name not in MADE:
            d, split = self._rows(d, split)
            return self.source.examples(d, language, split, take)
        ends = [(f"{language}-{n // (1 + (d.name == 'mewslix'))}", f"en-{n}") for n in range(GOLD[d.name])]
        return [Pair(f"{a} {b}", a, b) for a, b in ends]


@pytest.fixture(scope="module")
def world(source: Source) -> Any:
    return World(source)


def split_of(target: str) -> str:
    return "validation" if dataset(target).scored == "validation" else "test"


def predicted(target: str, language: str, world: Any, shift: int) -> list[Row]:
    """Make predictions, wrong where (place + shift) is divisible by 3.

    Wrong answers of questions are cut short.
    """
    d = dataset(target)
    examples = world.examples(d, language, split_of(target))
    names, rows = world.labels(d), []
    if d.kind == "mining":
        pairs = [(p.source, p.target if (i + shift) % 3 else "en-none") for i, p in enumerate(examples)]
        return [(a, b, {}) for a, b in pairs]
    if d.kind == "ranking":
        queries = sorted({p.source for p in examples})
        ranked = [[f"en-{n}" for n in range(i + shift, i + shift + 20)] for i in range(len(queries))]
        return [(query, json.dumps(ids), {}) for query, ids in zip(queries, ranked, strict=True)]
    for i, e in enumerate(examples):
        wrong = (i + shift) % 3 == 0
        if d.kind == "words":
            tags = [names[(tag + 1) % len(names)] if wrong and n % 2 else names[tag] for n, tag in enumerate(e.tags)]
            counts = zip(("tp", "predicted", "gold"), chunk_counts([names[t] for t in e.tags], tags), strict=True)
            right = sum(names[a] == b for a, b in zip(e.tags, tags, strict=True))
            rows.append((e.id, " ".join(tags), {**dict(counts), "correct": right, "words": len(tags)}))
        elif d.kind == "span":
            text = e.answers[0][1] + (" and so on, «etc»" if wrong else "")
            golds = [answer for _, answer in e.answers]
            f1, exact = mlqa_scores(text, golds, language) if target == "mlqa" else squad_scores(text, golds)
            rows.append((e.id, text, {"f1": f1, "exact_match": exact}))
        elif d.kind == "bitext":
            rows.append((e.id, str((i + wrong) % len(examples)), {"correct": not wrong}))
        else:
            rows.append((e.id, names[(e.label + wrong) % len(names)], {"correct": not wrong}))
    return rows


def metrics(target: str, rows: list[Row], golds: list[Any]) -> dict[str, float]:
    """Compute the report's scores from the per-example ones."""
    columns = {name: [scores[name] for _, _, scores in rows] for name in (rows[0][2] if rows else {})}
    kind = dataset(target).kind
    if kind == "words":
        f1 = 200 * sum(columns["tp"]) / (sum(columns["predicted"]) + sum(columns["gold"]))
        return {"f1": f1, "accuracy": 100 * sum(columns["correct"]) / sum(columns["words"])}
    if kind == "mining":
        right = {(a, b) for a, b, _ in rows} & {(p.source, p.target) for p in golds}
        return {"f1": 200 * len(right) / (len(rows) + len(golds))}
    if kind == "ranking":
        right = {(p.source, p.target) for p in golds}
        total = 0.0
        for query, ids, _ in rows:
            ranks = [rank for rank, candidate in enumerate(json.loads(ids), 1) if (query, candidate) in right]
            total += 1 / ranks[0] if ranks else 0
        return {"mrr": 100 * total / len(rows)}
    return {("accuracy" if n == "correct" else n): 100 * sum(v) / len(v) for n, v in columns.items()}


def languages(target: str, world: Any) -> tuple[str, ...]:
    return tuple(world.languages(dataset(target), split_of(target)))


def evaluate(store: Store, world: Any, recipe: Recipe, target: str, seed: int) -> str:
    """Publish a finished evaluation; return its id."""
    shift, folder = seed + 3 * len(recipe.intermediate), store.home / "made"
    rows = {tag: predicted(target, tag, world, shift) for tag in languages(target, world)}
    golds = {tag: world.examples(dataset(target), tag, split_of(target)) for tag in rows}
    dev = None if target in WITHOUT_DEV else DEV[recipe.address].get(target, OTHER[recipe.address]) + 2 * seed
    about = {
        "languages": {tag: metrics(target, found, golds[tag]) for tag, found in rows.items()},
        "examples": {tag: len(found) for tag, found in rows.items()},
        "splits": dict.fromkeys(rows, split_of(target)),
        "selection": dev,
    }
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(about))
    lines = [(tag, key, text) for tag, found in rows.items() for key, text, _ in found]
    names = ("language", "id", "prediction")
    table = pa.table({name: [line[place] for line in lines] for place, name in enumerate(names)})
    pq.write_table(table, folder / "predictions.parquet")
    columns: dict[str, list[Any]] = {"language": [line[0] for line in lines], "id": [line[1] for line in lines]}
    for name in next(iter(rows.values()))[0][2]:
        columns[name] = [float(scores[name]) for found in rows.values() for _, _, scores in found]
    pq.write_table(pa.table(columns), folder / "scores.parquet")
    address = digest(["by hand", recipe.address, target, seed])
    store.publish(address, folder, {"kind": "evaluate", "label": f"evaluate {target}", "parent": "", "summary": {}})
    return address


def make(home: Path, world: Any, targets: tuple[str, ...] = TARGETS, settings: ResolvedSpec = SETTINGS) -> Record:
    """Make a study with three complete trials and one that was stopped."""
    record, store = Record(home, "by-hand"), Store(home)
    record.open(replace(settings, targets=targets))
    for recipe in (MNLI, BASE, SQUAD, STOPPED):
        scored = {t: [evaluate(store, world, recipe, t, seed) for seed in range(settings.seeds)] for t in targets}
        status: Any = "pruned" if recipe == STOPPED else "complete"
        record.add_trial(
            Trial(address=recipe.address, name=NAMES[recipe.address], recipe=recipe, status=status,
                  evaluations=scored, params={})
        )  # fmt: skip
    return record


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, world: Any) -> Path:
    folder = tmp_path_factory.mktemp("home")
    make(folder, world, tuple(t for t in TARGETS if t not in GOLD))
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, world: Any) -> None:
    """Make SQuAD's the study's best recipe.

    A separate test covers what the report selects.
    """
    monkeypatch.setattr(written, "_source", lambda spec: world)
    monkeypatch.setattr(
        written, "build", lambda record, store: SimpleNamespace(best=SimpleNamespace(address=SQUAD.address))
    )


def run(home: Path, out: Path, *options: str) -> int:
    return verb.main(["by-hand", "--home", str(home), "--out", str(out), *options])


def test_each_target_has_the_recipe_of_its_own_dev_scores(home: Path, tmp_path: Path) -> None:
    assert run(home, tmp_path / "out") == 0
    found = json.loads((tmp_path / "out/submission.json").read_text())
    chosen = {target: entry["recipe"] for target, entry in found["targets"].items()}
    assert chosen == {t: NAMES[BEST.get(t, SQUAD).address] for t in TARGETS if t not in GOLD and t != "sib200"}
    assert found["left_out"] == {"sib200": "not a task of XTREME or XTREME-R"}
    xnli, tatoeba = found["targets"]["xnli"], found["targets"]["tatoeba"]
    assert (xnli["chosen_by"], xnli["selection"], xnli["address"]) == ("its English dev score", 66.0, MNLI.address)
    assert tatoeba["chosen_by"] == "the study's best recipe, by English dev scores" and tatoeba["selection"] is None
    assert tatoeba["splits"] == {"de": "validation", "sw": "validation"} and xnli["splits"]["de"] == "test"
    assert (found["study"], found["seed"], found["seeds"]) == ("by-hand", 0, 2)
    assert not (tmp_path / "out-labels").exists()


def test_files_are_in_the_layout_and_of_the_first_seed(home: Path, tmp_path: Path, world: Any) -> None:
    assert run(home, tmp_path / "out") == 0
    files = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("test-*"))
    assert files == sorted(
        TASKS[t].file(tag)
        for t in TARGETS
        if t in TASKS and t not in GOLD
        for tag in languages(t, world)
        if tag in TASKS[t].languages["xtreme-r" if t == "xcopa" else "xtreme"]
    )
    rows = predicted("xnli", "de", world, shift=3)
    assert (tmp_path / "out/xnli/test-de.tsv").read_text() == "".join(f"{text}\n" for _, text, _ in rows)
    rows = predicted("panx", "sw", world, shift=3)
    blocks = (tmp_path / "out/panx/test-sw.tsv").read_text().split("\n\n")
    assert [block.split("\n") for block in blocks[:-1]] == [text.split() for _, text, _ in rows] and blocks[-1] == ""
    rows = predicted("mlqa", "de", world, shift=3)
    assert json.loads((tmp_path / "out/mlqa/test-de.json").read_text()) == {key: text for key, text, _ in rows}
    assert set((tmp_path / "out/xcopa/test-sw.jsonl").read_text().split("\n")) == {'{"label": 0}', '{"label": 1}', ""}
    for name in ("xnli/test-de.tsv", "tatoeba/test-sw.tsv"):
        assert (tmp_path / "out" / name).read_bytes().isascii()


@pytest.mark.parametrize("version", ["xtreme", "xtreme-r"])
def test_scoring_the_files_gives_the_numbers_of_the_report(
    home: Path, tmp_path: Path, version: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home, tmp_path / "out", "--labels", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["labels"] == str(tmp_path / "out-labels")
    scored = scoring.score_folder(tmp_path / "out", tmp_path / "out-labels", version)
    assert {"xnli", "panx", "udpos", "xquad", "mlqa", "tatoeba"} <= set(scored["tasks"])
    assert ("pawsx" in scored["tasks"], "xcopa" in scored["tasks"]) == (version == "xtreme", version == "xtreme-r")
    store = Store(home)
    for target, task in scored["tasks"].items():
        reported = store.metrics(printed["targets"][target]["evaluation"])
        for language, found in task["languages"].items():
            for metric, value in reported.languages[language].items():
                if metric in found:
                    assert found[metric] == pytest.approx(value, abs=1e-9), (target, language, metric)
                    assert 0 < value < 100
            assert found["examples"] == reported.examples[language] and not found.get("missing")


def test_mined_pairs_and_rankings(tmp_path: Path, world: Any) -> None:
    record = make(tmp_path / "home", world, ("bucc2018", "mewslix"))
    store, out, labels = Store(tmp_path / "home"), tmp_path / "out", tmp_path / "labels"
    found = written.write(record, store, out, labels)
    assert {t: entry.recipe for t, entry in found.targets.items()} == {"bucc2018": "SQuAD", "mewslix": "SQuAD"}
    assert (out / "bucc2018/test-de.tsv").read_text().startswith("de-0\ten-none\nde-1\ten-1\n")
    assert json.loads((labels / "mewslix/test-de.json").read_text())["de-1"] == ["en-2", "en-3"]
    cases: tuple[tuple[str, Version, str], ...] = (("bucc2018", "xtreme", "f1"), ("mewslix", "xtreme-r", "mrr"))
    for target, version, metric in cases:
        reported = store.metrics(found.targets[target].evaluation).languages["de"][metric]
        scored = scoring.score_folder(out, labels, version)["tasks"][target]["languages"]["de"]
        assert scored[metric] == pytest.approx(reported, abs=1e-9) and 0 < reported < 100
    assert found.version in ("xtreme", "xtreme-r")


def test_a_target_without_dev_rows_takes_the_best_recipe_of_the_report(
    tmp_path: Path, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "build", build)
    record = make(tmp_path / "home", world, ("tatoeba", "xnli", "pawsx"))
    store = Store(tmp_path / "home")
    best = build(record, store).best
    assert best is not None and best.address == MNLI.address  # +5 and 0 against SQuAD's +1 and -1
    found = written.write(record, store, tmp_path / "out")
    assert {t: e.recipe for t, e in found.targets.items()} == {"tatoeba": "MNLI", "xnli": "MNLI", "pawsx": "none"}


@pytest.mark.parametrize("selection", ["english_dev", "target_dev"])
def test_a_recipe_that_the_report_excludes_is_never_submitted(
    tmp_path: Path, world: Any, monkeypatch: pytest.MonkeyPatch, selection: str
) -> None:
    """One saw labels of German, one failed; both have the highest scores."""
    monkeypatch.setattr(written, "build", build)
    record = make(tmp_path / "home", world, ("tatoeba", "xnli", "pawsx"), replace(SETTINGS, selection=selection))
    store, report = Store(tmp_path / "home"), build(record, Store(tmp_path / "home"))
    high = record.trials()[STOPPED.address]
    labelled, failed = replace(SQUAD, train_languages=("de",)), replace(SQUAD, lr=0.02)
    ends: tuple[tuple[Recipe, Any], ...] = ((labelled, "complete"), (failed, "failed"))
    for recipe, status in ends:
        record.add_trial(replace(high, address=recipe.address, recipe=recipe, status=status, name=status))
    again = build(record, store)
    assert len(again.matrix) == len(report.matrix) + 2 and again.best == report.best
    found = written.write(record, store, tmp_path / "out")
    assert len(found.targets) == 3
    assert not {entry.address for entry in found.targets.values()} & {labelled.address, failed.address, high.address}
    for trial in record.trials().values():
        if trial.recipe != labelled:
            record.add_trial(replace(trial, status="failed"))
    assert written.choose(record, store)[0] == []


def test_an_oracle_says_so_and_takes_one_recipe_for_all(
    tmp_path: Path, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "build", build)
    settings = replace(SETTINGS, selection="target_dev", seeds=1)
    record = make(tmp_path / "home", world, ("tatoeba", "xnli"), settings)
    found = written.write(record, Store(tmp_path / "home"), tmp_path / "out")
    assert len({entry.recipe for entry in found.targets.values()}) == 1
    assert all("oracle" in entry.chosen_by for entry in found.targets.values())


def test_a_rehearsal_has_the_labels_of_the_rows_that_it_scored(tmp_path: Path, world: Any, monkeypatch: Any) -> None:
    """At a scale below 1 predictions and labels have fewer rows."""
    d = dataset("xnli")
    taken = [e.id for e in world.examples(d, "de", "test", 50)]
    whole = predicted("xnli", "de", world, 0)
    rows = [(key, text) for key, text, _ in whole if key in set(taken)]
    gold = written._gold(TASKS["xnli"], d, "de", "test", world, 0.5, rows)
    assert len(gold.split()) == 50 < len(whole)
    with pytest.raises(Exception, match="are not those that were scored"):
        written._gold(TASKS["xnli"], d, "de", "test", world, 1.0, rows)


def test_languages_and_variants_that_have_no_file_are_named(tmp_path: Path, world: Any) -> None:
    targets = ("tatoeba_r", "tatoeba", "xnli")
    record = make(tmp_path / "home", world, ("tatoeba", "xnli"))
    store = Store(tmp_path / "home")
    folder = store.folder(record.trials()[MNLI.address].evaluations["xnli"][0])
    about = json.loads((folder / "metrics.json").read_text())
    about["splits"]["gsw"] = "test"
    (folder / "metrics.json").write_text(json.dumps(about))
    store._verified.add(folder.name)  # its checksum is no longer right
    record.open(replace(SETTINGS, targets=targets))
    for trial in record.trials().values():
        recipe = replace(trial.recipe, targets=targets)
        evaluations = {**trial.evaluations, "tatoeba_r": trial.evaluations["tatoeba"]}
        record.add_trial(replace(trial, recipe=recipe, address=recipe.address, evaluations=evaluations))
    found = written.write(record, store, tmp_path / "out")
    assert found.targets["xnli"].languages_left_out == ("gsw",)
    assert found.left_out == {"tatoeba_r": "tatoeba has its folder"}
    assert list(found.targets) == ["tatoeba", "xnli"]
    assert not (tmp_path / "out/xnli/test-gsw.tsv").exists()


def test_people_read_which_recipe_is_where(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, tmp_path / "out", "--labels") == 0
    said = " ".join(capsys.readouterr().out.split())
    for text in (
        "Pocket data: by-hand, seed 0 of 2", "MNLI English dev 66.0",
        "a task takes the study's best recipe, by English dev scores.", "sib200 is left out",
        "python -m study.score --predictions", f"--labels {tmp_path}/out-labels",
    ):  # fmt: skip
        assert text in said, text


def bad(home: Path, out: Path, *options: str, name: str = "by-hand") -> str:
    with pytest.raises(SystemExit) as raised:
        run_verb(verb.main, [name, "--home", str(home), "--out", str(out), *options])
    assert raised.value.code == 2
    return str(out)


def test_a_folder_that_holds_something_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, options in (("out", ()), ("new-labels", ("--labels",))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes").write_text("mine")
        bad(home, tmp_path / folder.removesuffix("-labels"), *options)
        assert "is not an empty folder" in capsys.readouterr().err
        assert [p.name for p in (tmp_path / folder).iterdir()] == ["notes"]
    assert not (tmp_path / "new").exists()
    bad(home, tmp_path / "out" / "notes")
    assert "is not an empty folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(home, tmp_path / "empty") == 0


def test_what_cannot_be_submitted_is_exit_2(tmp_path: Path, world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    record = make(tmp_path, world, ("xnli",))
    out = tmp_path / "out"
    bad(tmp_path, out, name="by-hnd")
    assert "did you mean 'by-hand'" in capsys.readouterr().err
    bad(tmp_path, out, "--label")
    assert "'--label'" in capsys.readouterr().err
    folder = Store(tmp_path).folder(record.trials()[MNLI.address].evaluations["xnli"][0])
    (folder / "predictions.parquet").unlink()
    sums = json.loads((folder / "DONE").read_text())
    del sums["predictions.parquet"]
    (folder / "DONE").write_text(json.dumps(sums, indent=1))
    bad(tmp_path, out)
    assert "predictions.parquet is not there" in capsys.readouterr().err
    for trial in record.trials().values():
        record.add_trial(replace(trial, status="failed"))
    bad(tmp_path, out)
    assert "nothing to submit: xnli: no complete trial" in capsys.readouterr().err
    record.open(replace(SETTINGS, targets=("sib200",)))
    bad(tmp_path, out)
    assert "sib200: not a task of XTREME" in capsys.readouterr().err
    assert not out.exists()
