"""Alignment with translations: loss, pairs, training, schedule, and reports."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from search_spaces import space
from search_spaces.space import FixedSuggest, SpaceContext
from study.launch import main as launch
from study.planning.encoder_weights import resolve
from study.planning.plan import Planner
from study.results.alignment_tables import aligned_rows, alignment, alignment_lines
from study.results.report import ReportRow, TargetResult
from study.resume import main as resume
from tests.builders import resolved, row_of, target_of
from tests.small import assert_same_weights, files_of, run_stage, small_source, stages_of
from tests.trainables.training.test_checkpoint import interrupted, whole
from trainables.catalogue import dataset
from trainables.configs import AlignmentConfig, Intermediate, Target
from trainables.errors import BadInput, DataError
from trainables.examples import Utterance
from trainables.modeling.model import Head, Net, load_lm
from trainables.objectives import Align
from trainables.profiles import PROFILES
from trainables.recipe import Recipe, title
from trainables.sources import Source
from trainables.training import loop
from trainables.training.alignment import pairs_of
from trainables.training.batch import collate
from trainables.training.data import Data
from trainables.training.distributed import ProcessGroup
from trainables.training.schedule import one_cycle

ON_ALL = Align(languages=("all",))
FIT = AlignmentConfig(data="massive", languages=("de", "sw"), weight=1.0, batch=8, max_length=48)


def data_of(source: Source, tokenizer: Any, folder: Path) -> Data:
    keys = {
        f"{name}/{tag}/train": source.fingerprint(dataset(name), tag, "train")
        for name in ("massive", "pawsx", "translations")
        for tag in source.languages(dataset(name), "train")
    }
    return Data(source, folder, tokenizer, ProcessGroup(), 1.0, keys)


@pytest.mark.protocol
def test_the_loss_is_the_mean_over_dimensions() -> None:
    """Two sentences with the vectors (1, 2) and (0, 4): ((1 - 0)^2 + (2 - 4)^2) / 2."""
    states = torch.tensor([[[1.0, 2.0]], [[0.0, 4.0]]])
    net = SimpleNamespace(hidden=lambda *_: states, pooler_of=lambda _: None)
    batch = {"tokens": torch.zeros(2, 1), "mask": torch.ones(2, 1)}
    assert Net.alignment(cast(Any, net), "any", batch).item() == 2.5


@pytest.mark.protocol
def test_one_cycle_is_pytorchs() -> None:
    rates = [one_cycle(step, 100, 2e-5) for step in range(100)]
    assert rates[0] == pytest.approx(8e-7) and max(rates) == pytest.approx(2e-5) and rates.index(max(rates)) == 29
    assert rates[-1] == pytest.approx(2e-5 / 250_000)
    for steps in (5, 10, 733):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-5, total_steps=steps)
        for step in range(steps):
            assert one_cycle(step, steps, 2e-5) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
            optimizer.step()
            if step < steps - 1:
                reference.step()


@pytest.mark.protocol
def test_the_published_numbers() -> None:
    profile = PROFILES["xeroalign"]
    wanted = {"multiatis": (2e-5, 10, 10, 100), "mtop": (2e-5, 10, 10, 70), "mtod": (5e-6, 10, 10, 50)}
    wanted["pawsx"] = (6e-6, 4, 10, 200)
    for name, (lr, batch, epochs, length) in wanted.items():
        fit, phase = profile.fit(name, target=True), profile.target_phase_of(name)
        assert (phase.lr, fit.batch, fit.epochs, fit.max_length) == (lr, batch, epochs, length)
        assert (phase.optimizer, phase.rates, phase.weight_decay, phase.clip, phase.keep) == (
            "adam", "one_cycle", 0.0, 1.0, "last",
        )  # fmt: skip


def test_gradients_reach_both_sides(source: Source, nano: Path, tokenizer: Any, tmp_path: Path) -> None:
    pairs = pairs_of(FIT, data_of(source, tokenizer, tmp_path))
    batch = collate(pairs, np.arange(4), tokenizer.pad_token_id)
    one, other = (set(batch.tokens[side::2].ravel().tolist()) for side in (0, 1))
    net = Net(load_lm(nano, 0.0), {"massive": Head("intent", ("a", "b", "O", "B-x"))}, seed=0)
    net.alignment("massive", batch.tensors(torch.device("cpu"))).backward()  # type: ignore[no-untyped-call]
    grad = net.encoder.get_input_embeddings().weight.grad.abs().sum(1)  # type: ignore[operator, union-attr]
    for side in (one - other, other - one):
        assert side and all(grad[token] > 0 for token in side)
    pooler = net.pooler_of("massive")
    assert pooler is not None and pooler.dense.weight.grad is not None and pooler.out.weight.grad is None


def test_two_workers_shares_add_up(source: Source, nano: Path, tokenizer: Any, tmp_path: Path) -> None:
    pairs = pairs_of(FIT, data_of(source, tokenizer, tmp_path))
    batch = collate(pairs, np.arange(7), tokenizer.pad_token_id)
    net = Net(load_lm(nano, 0.0), {"massive": Head("intent", ("a", "b", "O", "B-x"))}, seed=0).eval()
    cpu = torch.device("cpu")
    parts = [net.alignment("massive", batch.share(rank, 2).tensors(cpu)).item() for rank in (0, 1)]
    pieces = [net.alignment("massive", piece.tensors(cpu)).item() for piece in batch.pieces(64)]
    whole = net.alignment("massive", batch.tensors(cpu)).item()
    assert (
        len(pieces) > 2
        and sum(parts) == pytest.approx(whole, rel=1e-5)
        and sum(pieces) == pytest.approx(whole, rel=1e-5)
    )


def test_rows_meet_by_id_and_not_by_place(source: Source, tokenizer: Any, tmp_path: Path) -> None:
    def backwards(name: str, language: str, split: str, table: pa.Table) -> pa.Table:
        turned = (name, language, split) == ("massive", "de", "train")
        return table.take(pa.array(range(table.num_rows - 1, -1, -1))) if turned else table

    german = replace(FIT, languages=("de",))
    right = pairs_of(german, data_of(source, tokenizer, tmp_path / "right"))
    turned = pairs_of(german, data_of(small_source(backwards), tokenizer, tmp_path / "turned"))

    def rows(encoded: Any) -> list[bytes]:
        cuts = encoded.starts
        return [encoded.tokens[cuts[2 * i] : cuts[2 * i + 2]].tobytes() for i in range(encoded.num_items)]

    assert right.num_items == 200 and rows(right) == rows(turned)[::-1]
    english = tokenizer.decode(right.tokens[right.starts[1] : right.starts[2]], skip_special_tokens=True)
    first = source.examples(dataset("massive"), "en", "train")[0]
    assert isinstance(first, Utterance)
    assert english.replace("▁", "").replace(" ", "") == "".join(first.words)


def test_without_a_shared_id_nothing_can_be_aligned(tokenizer: Any, tmp_path: Path) -> None:
    def renamed(name: str, language: str, split: str, table: pa.Table) -> pa.Table:
        if (name, language) != ("massive", "de"):
            return table
        return table.set_column(0, "id", pa.array([f"x{i}" for i in range(table.num_rows)]))

    with pytest.raises(DataError, match="massive/de/train: none of its 200 ids occurs in the English rows"):
        pairs_of(replace(FIT, languages=("de",)), data_of(small_source(renamed), tokenizer, tmp_path))


def test_pairs_of_sentences_and_translations_of_ones_own(source: Source, tokenizer: Any, tmp_path: Path) -> None:
    data = data_of(source, tokenizer, tmp_path)
    paws = pairs_of(replace(FIT, data="pawsx", max_length=64), data)
    ends = np.add.reduceat(paws.tokens == tokenizer.sep_token_id, paws.starts[:-1])
    assert paws.num_items == 400 and set(ends.tolist()) == {3}  # a pair is one row
    own = pairs_of(replace(FIT, data="translations"), data)
    assert own.num_items == 400


@pytest.fixture(scope="module")
def stages(source: Source, nano: Path) -> dict[str, Target]:
    found = stages_of(source, str(nano), targets=("massive",), align=ON_ALL, scale=0.3)
    return {label: config for label, config in found.items() if isinstance(config, Target)}


def trained(config: Target, init: Path, out: Path, source: Source) -> dict[str, bytes]:
    run_stage(config, init, out, source)
    return {name: content for name, content in files_of(out).items() if name.endswith(".safetensors")}


def test_weight_nothing_is_no_alignment(stages: dict[str, Target], nano: Path, source: Source, tmp_path: Path) -> None:
    target = stages["target massive"]
    assert target.fit.align == AlignmentConfig(
        data="massive", languages=("de", "sw"), weight=1.0, batch=32, max_length=128
    )
    none = replace(target, fit=replace(target.fit, align=None))
    zero = replace(target, fit=replace(target.fit, align=replace(target.fit.align, weight=0.0)))
    without = trained(none, nano, tmp_path / "none", source)
    trained(zero, nano, tmp_path / "zero", source)
    assert_same_weights(tmp_path / "zero", tmp_path / "none")
    assert trained(target, nano, tmp_path / "one", source) != without
    recipe = Recipe(encoder="pocket", profile="small", targets=("massive",))
    assert replace(recipe, align=replace(ON_ALL, weight=0.0)) == recipe


def test_an_aligned_phase_goes_on_from_its_checkpoint(
    stages: dict[str, Target], nano: Path, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECK_EVERY", 1)
    expected, steps = whole(stages["target massive"], nano, tmp_path / "whole", source)
    assert interrupted(stages["target massive"], nano, tmp_path / "broken", source, [2, steps // 2]) == expected


def test_the_two_orders_that_fail_are_stages_of_their_own(nano: Path, source: Source, tmp_path: Path) -> None:
    recipe = Recipe(encoder=str(nano), profile="small", targets=("massive",), scale=0.2, align=ON_ALL)
    planner = Planner(source, resolve(str(nano)))
    labels = {}
    for order in ("joint", "before", "after"):
        align = replace(ON_ALL, order=cast(Any, order))
        labels[order] = [node.label for node in planner.plan(replace(recipe, align=align), 1).nodes]
    assert labels["joint"] == ["target massive", "evaluate massive"]
    assert labels["before"] == ["align massive", "target massive", "evaluate massive"]
    assert labels["after"] == ["target massive", "align massive", "evaluate massive"]
    first, then, _ = planner.plan(replace(recipe, align=replace(ON_ALL, order="before")), 1).nodes
    assert isinstance(first.config, Target) and isinstance(then.config, Target)
    assert first.config.fit.align and first.config.fit.align.alone and then.config.fit.align is None
    assert then.config.head_of == "massive" and then.parent == first.address
    run_stage(first.config, nano, tmp_path / "align", source)
    heads = load_file(tmp_path / "align" / "heads.safetensors")
    fresh = Net(load_lm(nano), {"massive": Head("intent", tuple(source.labels(dataset("massive"))))}, seed=0)
    before = dict(fresh.heads.state_dict())
    changed = {name for name, value in heads.items() if not torch.equal(value, before[name])}
    assert changed == {"massive.intent.dense.weight", "massive.intent.dense.bias"}  # nothing is classified


def test_alignment_in_the_intermediate_phase(nano: Path, source: Source, tmp_path: Path) -> None:
    mixed: dict[str, Any] = {"intermediate": ("massive", "mnli"), "mixing_limit": 8192, "epochs": 1.0, "lr": 5e-4}
    align = Align(languages=("de",), phase="intermediate")
    found = stages_of(source, str(nano), targets=("massive",), align=align, scale=0.3, mlm_ratio=0.25, **mixed)
    mix, target = found["intermediate"], found["target massive"]
    assert isinstance(mix, Intermediate) and mix.fit.align and mix.fit.align.data == "massive"
    assert isinstance(target, Target) and target.fit.align is None
    assert run_stage(found["intermediate"], nano, tmp_path / "mixed", source)["steps"] > 2
    with pytest.raises(BadInput, match="align.phase is 'intermediate', but the recipe has no intermediate tasks"):
        Recipe(encoder="pocket", profile="small", targets=("massive",), align=align)


def test_labels_of_other_languages_are_read_from_the_set_or_its_translation(nano: Path, source: Source) -> None:
    planner = Planner(source, resolve(str(nano)))
    recipe = Recipe(encoder=str(nano), profile="small", targets=("massive", "xsid"), train_languages=("de", "en"))
    assert title(recipe, {}) == "labels in en+de"
    found = {node.label: node.config for node in planner.plan(recipe, 1).nodes}
    massive, xsid = found["target massive"], found["target xsid"]
    assert isinstance(massive, Target) and massive.task.rows == (("massive", "en"), ("massive", "de"))
    assert isinstance(xsid, Target) and xsid.task.rows == (("xsid", "en"), ("xsid_parallel", "de"))
    assert {"massive/en/validation", "massive/de/validation"} <= massive.data.keys()
    with pytest.raises(BadInput, match="unknown training language of 'massive' in source .*: 'fr'"):
        planner.plan(replace(recipe, train_languages=("fr",)), 1)


@pytest.mark.parametrize(
    ("align", "said"),
    [
        ({"languages": ["fr"]}, "unknown language to align 'massive' on 'fr'"),
        (
            {"languages": ["all"], "data": "mnli"},
            "'mnli' holds no translations for alignment: set align.data to one of",
        ),
        ({"languages": ["all"], "data": "masive"}, "did you mean 'massive'"),
        ({"languages": ["de", "de"]}, "align.languages repeat"),
        ({"languages": ["all", "de"]}, "are mixed with 'all'"),
        ({"languages": []}, "align.languages is empty"),
        ({"languages": ["de"], "order": "first"}, "unknown align.order 'first'"),
        ({"languages": ["de"], "weight": -1}, "align.weight must be a number >= 0"),
        ({"languages": "de"}, "align.languages must be a list of names"),
        ({"language": ["de"]}, "unknown key of align 'language', did you mean 'languages'"),
        ({"weight": 1}, "align has no 'languages'"),
        ("all", "recipe key 'align' must be a table"),
    ],
)
def test_what_cannot_be_aligned_is_refused(align: Any, said: str, source: Source) -> None:
    values = {"encoder": "pocket", "profile": "small", "targets": ["massive"], "align": align}
    with pytest.raises(BadInput, match=said):
        Planner(source, resolve("pocket")).plan(Recipe.from_dict(values), 1)


def test_a_combined_recipe_round_trips_and_is_named() -> None:
    values = {
        "encoder": "pocket", "profile": "small", "targets": ["massive"], "scale": 1.0, "intermediate": ["squad"],
        "mixing_limit": 2048, "mlm_ratio": "by_size", "epochs": 1.0, "lr": 2e-4, "align": {"languages": ["all"]},
    }  # fmt: skip
    recipe = Recipe.from_dict(values)
    assert recipe.to_dict() == values and Recipe.from_dict(recipe.to_dict()).address == recipe.address
    assert title(recipe, {"squad": "SQuAD"}) == "SQuAD + MLM + aligned on all" and not recipe.is_baseline


def test_the_space_asks_for_each_language_and_all_and_has_rows_to_compare_with() -> None:
    settings, _ = resolved("--space", "xero_align")
    others = ["de", "es", "hi", "ru", "sw", "tr", "zh"]
    assert settings.targets == ("massive",) and list(settings.labelled) == others
    assert [arm["languages"] for arm in settings.objectives["align"]] == [*([tag] for tag in others), ["all"]]
    setting = SpaceContext(
        encoder="pocket", profile="small", targets=("massive",), tasks=(), mlm=False, scale=1.0,
        labelled=("de",), align=(Align(languages=("de",)), ON_ALL),
    )  # fmt: skip
    found = space("xero_align")
    rows = [found.recipe(FixedSuggest(params), setting) for params in found.published(setting)] + found.comparison_rows(
        setting
    )
    assert [title(row, {}) for row in rows] == [
        "no intermediate task", "aligned on de", "aligned on all", "labels in de", "labels in en+de",
        "aligned first, on all", "aligned last, on all",
    ]  # fmt: skip
    assert PROFILES["xeroalign"].name == found.profile


def row(recipe: Recipe, en: float, de: float, sw: float) -> ReportRow:
    cells = {tag: {"accuracy": value} for tag, value in (("en", en), ("de", de), ("sw", sw))}
    return row_of(recipe, {"sib200": TargetResult(mean=0.0, gain=None, interval=None, languages=cells)})


def test_the_published_tables_are_the_diagonal_of_models_of_one_language() -> None:
    base = Recipe(encoder="pocket", profile="small", targets=("sib200",))
    on = {tag: replace(base, align=Align(languages=(tag,))) for tag in ("de", "sw", "all")}
    labels = {tag: replace(base, train_languages=(tag,)) for tag in ("de", "sw")}
    rows = [
        row(base, 90, 60, 40), row(on["de"], 91, 80, 45), row(on["sw"], 89, 61, 70), row(on["all"], 92, 79, 69),
        row(labels["de"], 50, 85, 30), row(labels["sw"], 40, 20, 75),
        row(replace(base, align=replace(ON_ALL, order="before")), 9, 8, 7),
    ]  # fmt: skip
    target = target_of("sib200", ["en", "de", "sw"], trained_on="x")
    (found,) = alignment(rows, [target])
    columns, table = alignment_lines(found)
    assert columns == ["en", "de", "sw", "average"] and found.translated_by == "people"
    assert {name: cells for name, cells, _ in table} == {
        "target": ["45.0", "85.0", "75.0", "80.0"],
        "0-shot": ["90.0", "60.0", "40.0", "50.0"],
        "aligned": ["90.0", "80.0", "70.0", "75.0"],
        "aligned on all": ["92.0", "79.0", "69.0", "74.0"],
        "aligned first, on all": ["9.0", "8.0", "7.0", "7.5"],
    }
    assert [name for name, _, _ in table][:3] == ["target", "0-shot", "aligned"]
    csv = aligned_rows([found])
    assert ["aligned on de", "de", "de", "accuracy", 80, 20] in csv and len(csv) == 1 + 4 * 3
    assert alignment(rows[:1], [target]) == ()


@pytest.mark.slow
def test_a_study_of_alignment_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = "--space xero_align --name a --encoder pocket --scale 0.05 --align-on de".split()
    assert launch([*study, "--home", str(tmp_path)]) == 0
    out = tmp_path / "studies" / "a" / "report"
    page = (out / "index.html").read_text()
    assert "Alignment" in page and "aligned-massive.csv" in page and "translate-train" in capsys.readouterr().out
    assert (
        (out / "aligned-massive.csv").read_text().startswith("recipe,aligned_on,evaluated_on,metric,score,difference")
    )
    assert "| target |" in (out / "report.md").read_text()


COMBINED = """
[recipe]
encoder = "pocket"
profile = "small"
targets = ["massive"]
scale = 0.05
intermediate = ["squad"]
mixing_limit = 2048
mlm_ratio = "by_size"
epochs = 0.5
lr = 2e-4
align = { languages = ["all"] }
robust = { method = "random", eps = 0.1, weight = 0.5 }
"""


@pytest.mark.slow
def test_a_combined_recipe_runs_and_resumes_and_reports_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "combined.toml").write_text(COMBINED)
    home, name = ["--home", str(tmp_path), "--json"], "c"
    assert launch(["--recipe", str(tmp_path / "combined.toml"), "--name", name, *home]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["trials"]["complete"] == 2 and first["stages"]["run"] == 5
    assert first["matrix"][1]["name"] == "SQuAD + MLM (0.5x epochs) + aligned on all + random l2 0.1 x0.5"
    for done in tmp_path.glob("stages/*/*"):  # as after a crash: what was trained last, and its scores, are gone
        if (done / "curve.json").exists() or '"evaluate massive"' in (done / "stage.json").read_text():
            shutil.rmtree(done)
    assert resume([name, *home]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["stages"]["run"] == 2 and again["stages"]["train_steps"] == 0
    scores = [[row["targets"] for row in report["matrix"]] for report in (first, again)]
    assert scores[0] == scores[1]
