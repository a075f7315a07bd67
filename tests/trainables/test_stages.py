"""Stages run whole in this process: outputs, rows used, early stopping."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from study.planning.plan import scored_languages, selection_rows
from tests.small import Change, SmallWorld, files_of, run_stage, small_source, stages_of
from trainables.catalogue import dataset
from trainables.configs import Evaluate, Intermediate, StageConfig, Target
from trainables.errors import DataError
from trainables.evaluation.predict import embed, retrieval_layer
from trainables.formats import encode
from trainables.formats.bitext import sides
from trainables.metrics.formulas import nearest
from trainables.modeling.model import Head, Net, load_lm, load_net, save
from trainables.sources import Source
from trainables.sources.pocket import PocketTables
from trainables.sources.tables import TableSource

TARGETS = ("sib200", "pawsx", "xnli", "panx", "udpos", "xquad", "tatoeba")
MIXED: dict[str, Any] = {"intermediate": ("mnli", "squad"), "mixing_limit": 8192, "epochs": 1.0, "lr": 5e-4}


@pytest.fixture(scope="module")
def configs(source: Source, nano: Path) -> Mapping[str, StageConfig]:
    """Return the stages of one recipe.

    MNLI and SQuAD with a quarter masked LM, then every target.
    """
    return stages_of(source, str(nano), targets=TARGETS, mlm_ratio=0.25, scale=0.1, **MIXED)


@pytest.fixture(scope="module")
def mixed(configs: Mapping[str, StageConfig], nano: Path, source: Source, tmp_path_factory: Any) -> Path:
    """Run the intermediate stage; return its folder."""
    out = Path(tmp_path_factory.mktemp("mixed")) / "stage"
    run_stage(configs["intermediate"], nano, out, source)
    return out


@pytest.fixture(scope="module")
def trained(
    configs: Mapping[str, StageConfig], mixed: Path, source: Source, tmp_path_factory: Any
) -> Mapping[str, Path]:
    """Run target training; return folders by dataset, MNLI and PAN-X."""
    made = {}
    for name in ("mnli", "panx"):
        made[name] = Path(tmp_path_factory.mktemp("target")) / name
        run_stage(configs[f"target {name}"], mixed, made[name], source)
    return made


def history_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "history.json").read_text())
    return found


def target_of(configs: Mapping[str, StageConfig], name: str, **fit: Any) -> Target:
    config = configs[f"target {name}"]
    assert isinstance(config, Target)
    longer = replace(config.task, epochs=1.5)  # six steps and more, enough for dev evaluations
    return replace(config, task=longer, fit=replace(config.fit, **fit))


def evaluation_of(configs: Mapping[str, StageConfig], name: str) -> Evaluate:
    config = configs[f"evaluate {name}"]
    assert isinstance(config, Evaluate)
    return config


# --- training ---


def test_a_mixed_stage_trains_every_task_in_its_share(
    configs: Mapping[str, StageConfig], mixed: Path, nano: Path, source: Source, tmp_path: Path
) -> None:
    config = configs["intermediate"]
    assert isinstance(config, Intermediate)
    summary = run_stage(replace(config, steps=40), nano, tmp_path / "s", source)
    assert summary["probabilities"] == pytest.approx({"mnli": 0.375, "squad": 0.375, "mlm": 0.25})
    assert summary["steps"] == sum(summary["steps_of_task"].values()) <= 40
    assert set(summary["steps_of_task"]) == {"mnli", "squad", "mlm"}
    # 64 rows of each at this scale: a mixture has 2 epochs, of 2 batches each, stretched by masked LM.
    assert history_of(mixed)["tasks"].count("mnli") > 0
    assert len(history_of(mixed)["losses"]) == round(2 * (2 + 2) / 0.75)


def test_by_size_counts_masked_lm_as_one_more_task(nano: Path, source: Source, tmp_path: Path) -> None:
    values = {**MIXED, "intermediate": ("mnli",), "mlm_ratio": "by_size", "mixing_limit": 1000}
    config = stages_of(source, str(nano), scale=0.1, **values)["intermediate"]
    assert isinstance(config, Intermediate) and config.mlm is not None
    summary = run_stage(replace(config, steps=3), nano, tmp_path / "a", source)
    lines = 3 * 64  # three languages, then capped to K = 1000 at this scale
    assert lines > 100
    assert summary["probabilities"] == pytest.approx({"mnli": 64 / 164, "mlm": 100 / 164})
    smaller = replace(config, steps=3, mlm=replace(config.mlm, sentences=160))
    summary = run_stage(smaller, nano, tmp_path / "b", source)
    assert summary["probabilities"] == pytest.approx({"mnli": 64 / 80, "mlm": 16 / 80})


def test_the_same_stage_twice_gives_identical_files(
    configs: Mapping[str, StageConfig], mixed: Path, nano: Path, source: Source, tmp_path: Path
) -> None:
    torch.rand(7)  # the random state of the process has no effect
    run_stage(configs["intermediate"], nano, tmp_path / "again", source)
    assert files_of(tmp_path / "again") == files_of(mixed)


def test_no_stage_leaves_a_pickle(mixed: Path, trained: Mapping[str, Path]) -> None:
    suffixes = {Path(name).suffix for folder in (mixed, *trained.values()) for name in files_of(folder)}
    assert suffixes == {".json", ".safetensors"}


@pytest.mark.parametrize("task", ["mnli", "squad", "panx"])
def test_heads_are_fresh_at_every_phase(
    task: str, configs: Mapping[str, StageConfig], mixed: Path, source: Source, tmp_path: Path
) -> None:
    # A step this small changes nothing: the weights written are those that training started from.
    run_stage(target_of(configs, task, lr=1e-30, weight_decay=0.0, seed=5), mixed, tmp_path / "t", source)
    started, before = load_net(tmp_path / "t"), load_net(mixed)
    assert list(started.heads) == [task]
    fresh = Net(load_lm(mixed / "encoder"), {task: started.specs[task]}, seed=5)
    for name, value in fresh.heads.state_dict().items():
        assert torch.allclose(started.heads.state_dict()[name], value, rtol=0, atol=1e-20)
    for name, value in before.lm.state_dict().items():
        assert torch.allclose(started.lm.state_dict()[name], value, rtol=0, atol=1e-20)
    if task in before.heads:
        weight = f"heads.{task}.out.weight"
        assert not torch.allclose(before.get_parameter(weight), fresh.get_parameter(weight))


def test_heads_and_their_label_names_survive_saving(
    mixed: Path, source: Source, tokenizer: Any, tmp_path: Path
) -> None:
    net = load_net(mixed)
    assert net.specs["mnli"] == Head("labelled", ("entailment", "neutral", "contradiction"))
    assert net.specs["squad"] == Head("span", ())
    assert net.specs["mlm"] == Head("text", ())
    save(net, tokenizer, tmp_path)
    again = load_net(tmp_path)
    assert again.specs == net.specs
    states = net.state_dict(), again.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_an_encoder_without_lm_head_loads_the_same_everywhere(nano: Path, tokenizer: Any, tmp_path: Path) -> None:
    load_lm(nano).base_model.save_pretrained(tmp_path)
    states = []
    for _ in range(2):  # two workers, each with its own random state
        states.append({name: value.clone() for name, value in load_lm(tmp_path).state_dict().items()})
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


# --- early stopping ---


def one_label_from(row: int) -> Change:
    """Give MNLI's dev rows one label from `row` on."""

    def change(name: str, language: str, split: str, table: pa.Table) -> pa.Table:
        if (name, split) != ("mnli", "validation"):
            return table
        labels = table["label"].to_pylist()
        labels = labels[:row] + [0] * (len(labels) - row)
        return table.set_column(table.schema.get_field_index("label"), "label", pa.array(labels, pa.int64()))

    return change


def test_early_stopping_looks_at_the_first_dev_rows_only(
    configs: Mapping[str, StageConfig], mixed: Path, source: Source, tmp_path: Path
) -> None:
    config = replace(target_of(configs, "mnli", dev_examples=20, min_evals=3, dropout=0.0), scale=1.0)

    def dev(name: str, of: Source) -> list[list[float]]:
        run_stage(config, mixed, tmp_path / name / "stage", of)
        scores: list[list[float]] = history_of(tmp_path / name / "stage")["dev"]
        return scores

    plain = dev("plain", source)
    assert len(plain) == 3 and all(score % 5 == 0 for _, score in plain)  # of 20 rows
    assert dev("after", small_source(one_label_from(20))) == plain
    assert dev("inside", small_source(one_label_from(0))) != plain


def test_a_stage_keeps_its_best_weights_and_stops_on_patience(
    configs: Mapping[str, StageConfig], mixed: Path, source: Source, tmp_path: Path
) -> None:
    # A learning rate that changes nothing: every score equals the first, which stays the best.
    summary = run_stage(target_of(configs, "mnli", lr=1e-30, min_evals=6, patience=2), mixed, tmp_path / "t", source)
    history = history_of(tmp_path / "t")
    assert (summary["steps"], summary["best_step"]) == (3, 1)
    assert [step for step, _ in history["dev"]] == [1, 2, 3]


# --- evaluation ---


@pytest.mark.parametrize("target", ["xnli", "panx"])
def test_an_evaluation_scores_every_language_and_keeps_every_example(
    target: str, configs: Mapping[str, StageConfig], trained: Mapping[str, Path], source: Source, tmp_path: Path
) -> None:
    d = dataset(target)
    folder = trained[d.train_on or ""]
    summary = run_stage(configs[f"evaluate {target}"], folder, tmp_path / "e", source)
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert summary == {"steps": 0}
    assert metrics["splits"] == dict.fromkeys(("en", "de", "sw"), "test") == dict(scored_languages(source, d))
    for language, scores in metrics["languages"].items():
        assert set(scores) == set(d.metrics)
        assert all(0 <= score <= 100 for score in scores.values())
        assert metrics["examples"][language] == 50
    assert 0 <= metrics["selection"] <= 100
    table = pq.read_table(tmp_path / "e" / "scores.parquet").to_pydict()
    assert [table["language"].count(language) for language in ("en", "de", "sw")] == [50, 50, 50]
    if target == "xnli":
        right = [c for c, language in zip(table["correct"], table["language"], strict=True) if language == "de"]
        assert metrics["languages"]["de"]["accuracy"] == pytest.approx(100 * np.mean(right))


def turned_head(folder: Path, out: Path, task: str) -> None:
    """Copy a stage with the classes of its head in another order.

    Names and weights are permuted alike.
    """
    shutil.copytree(folder, out)
    heads, weights = json.loads((out / "heads.json").read_text()), load_file(out / "heads.safetensors")
    order = list(range(1, len(heads[task]["labels"]))) + [0]
    heads[task]["labels"] = [heads[task]["labels"][i] for i in order]
    for name in ("weight", "bias"):
        weights[f"{task}.out.{name}"] = weights[f"{task}.out.{name}"][order].contiguous()
    (out / "heads.json").write_text(json.dumps(heads))
    save_file(weights, out / "heads.safetensors")


@pytest.mark.parametrize(("target", "head"), [("xnli", "mnli"), ("panx", "panx")])
def test_labels_meet_by_name_when_the_head_has_them_in_another_order(
    target: str,
    head: str,
    configs: Mapping[str, StageConfig],
    trained: Mapping[str, Path],
    source: Source,
    tmp_path: Path,
) -> None:
    turned_head(trained[head], tmp_path / "turned", head)
    run_stage(configs[f"evaluate {target}"], trained[head], tmp_path / "one", source)
    run_stage(configs[f"evaluate {target}"], tmp_path / "turned", tmp_path / "other", source)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


class AlphabeticalWorld(SmallWorld):
    """Reduced pocket data with labels in alphabetical order, as in jiant.

    Names and ids agree.
    """

    COLUMNS: Mapping[str, str] = {"xnli": "label", "panx": "ner_tags"}

    def table(self, name: str, language: str, split: str, /) -> pa.Table | None:
        found = super().table(name, language, split)
        if found is None or name not in self.COLUMNS:
            return found
        names, column = super().label_names(name)[self.COLUMNS[name]], self.COLUMNS[name]
        new = {old: sorted(names).index(label) for old, label in enumerate(names)}
        values = [[new[v] for v in row] if isinstance(row, list) else new[row] for row in found[column].to_pylist()]
        field = found.schema.field(column)
        return found.set_column(found.schema.get_field_index(column), column, pa.array(values, field.type))

    def label_names(self, name: str, /) -> Mapping[str, tuple[str, ...]]:
        return {column: tuple(sorted(names)) for column, names in super().label_names(name).items()}


@pytest.mark.parametrize(("target", "head"), [("xnli", "mnli"), ("panx", "panx")])
def test_a_source_with_another_label_order_gives_the_same_scores(
    target: str,
    head: str,
    configs: Mapping[str, StageConfig],
    trained: Mapping[str, Path],
    source: Source,
    tmp_path: Path,
) -> None:
    other = TableSource(PocketTables(AlphabeticalWorld()))
    d = dataset(target)
    raw = [s.table(target, "de", "test") for s in (SmallWorld(), AlphabeticalWorld())]
    assert raw[0] is not None and raw[1] is not None and raw[0] != raw[1], "the stored ids differ"
    assert other.examples(d, "de", "test") == source.examples(d, "de", "test")
    run_stage(configs[f"evaluate {target}"], trained[head], tmp_path / "a" / "one", source)
    run_stage(configs[f"evaluate {target}"], trained[head], tmp_path / "b" / "other", other)
    assert files_of(tmp_path / "a" / "one") == files_of(tmp_path / "b" / "other")


def test_a_head_with_more_tags_than_the_dataset_is_scored(
    configs: Mapping[str, StageConfig], trained: Mapping[str, Path], source: Source, tmp_path: Path
) -> None:
    shutil.copytree(trained["panx"], tmp_path / "more")
    heads = json.loads((tmp_path / "more" / "heads.json").read_text())
    weights = load_file(tmp_path / "more" / "heads.safetensors")
    heads["panx"]["labels"] = ["B-MISC", *heads["panx"]["labels"]]
    weights["panx.out.weight"] = torch.cat([torch.zeros(1, 64), weights["panx.out.weight"]])
    weights["panx.out.bias"] = torch.cat([torch.full((1,), 100.0), weights["panx.out.bias"]])  # it always wins
    (tmp_path / "more" / "heads.json").write_text(json.dumps(heads))
    save_file(weights, tmp_path / "more" / "heads.safetensors")
    run_stage(configs["evaluate panx"], tmp_path / "more", tmp_path / "e", source)
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert metrics["languages"]["en"] == {"f1": 0.0}


def test_a_head_that_lacks_a_label_of_the_dataset_stops_the_stage(
    configs: Mapping[str, StageConfig], trained: Mapping[str, Path], source: Source, tmp_path: Path
) -> None:
    config = replace(evaluation_of(configs, "xnli"), head="panx")
    with pytest.raises(
        DataError, match=r"xnli: labels \['contradiction', 'entailment', 'neutral'\] are unknown .* panx"
    ):
        run_stage(config, trained["panx"], tmp_path / "e", source)


def test_retrieval_reads_the_encoder_of_the_stage_before_it(
    configs: Mapping[str, StageConfig], mixed: Path, source: Source, tokenizer: Any, machine: Any, tmp_path: Path
) -> None:
    config = evaluation_of(configs, "tatoeba")
    assert config.head == "" and config.selection == ("", "")
    run_stage(config, mixed, tmp_path / "e", source)
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert set(metrics["languages"]) == {"de", "sw"} and metrics["selection"] is None
    pairs: list[Any] = source.examples(dataset("tatoeba"), "de", "validation", take=50)
    net, layer = load_net(mixed), retrieval_layer(2)
    rows = [encode("text", side, tokenizer, max_length=128) for side in sides(pairs)]
    source_side, english = (embed(net, r, [layer], tokenizer.pad_token_id, machine)[0] for r in rows)
    expected = 100 * float((nearest(english, source_side) == np.arange(50)).mean())
    assert metrics["languages"]["de"]["accuracy"] == pytest.approx(expected)


def test_selection_never_reads_the_rows_that_are_reported(source: Source) -> None:
    for name in TARGETS:
        d = dataset(name)
        chosen = selection_rows(source, d)
        assert chosen not in [(name, split) for _, split in scored_languages(source, d)]
    assert selection_rows(source, dataset("xquad")) == ("squad", "validation")
    assert selection_rows(source, dataset("xnli")) == ("xnli", "validation")


# --- rows that break their schema ---


def broken(name: str, column: str, value: Any, row: int) -> Change:
    """Make reduced pocket data with one wrong value."""

    def change(dataset_name: str, language: str, split: str, table: pa.Table) -> pa.Table:
        if (dataset_name, split) != (name, "train") or language != "en":
            return table
        values = table[column].to_pylist()
        values[row] = value
        return table.set_column(
            table.schema.get_field_index(column), column, pa.array(values, table.schema.field(column).type)
        )

    return change


@pytest.mark.parametrize(
    ("name", "column", "value", "reason"),
    [
        ("mnli", "label", 7, "7"),
        ("mnli", "hypothesis", None, "hypothesis"),
        ("panx", "ner_tags", [0], r"words and 1 tags"),
        ("squad", "answers", {"text": ["nowhere"], "answer_start": [0]}, "'nowhere' is not at offset 0"),
    ],
)
def test_a_broken_row_stops_the_stage_and_is_named(
    name: str, column: str, value: Any, reason: str, configs: Mapping[str, StageConfig], nano: Path, tmp_path: Path
) -> None:
    config = replace(configs[f"target {name}"], scale=1.0)
    with pytest.raises(DataError, match=rf"{name}/en/train row 123: .*{reason}"):
        run_stage(config, nano, tmp_path / "t", small_source(broken(name, column, value, row=123)))
    assert not list((tmp_path / "t").iterdir())


def test_a_broken_choice_row_stops_the_mixed_stage(nano: Path, source: Source, tmp_path: Path) -> None:
    values = {**MIXED, "intermediate": ("commonsense_qa", "mnli")}
    config = stages_of(source, str(nano), **values)["intermediate"]
    with pytest.raises(DataError, match=r"commonsense_qa/en/train row 5: .*'Q'"):
        run_stage(config, nano, tmp_path / "t", small_source(broken("commonsense_qa", "answerKey", "Q", row=5)))


def test_a_missing_column_stops_the_stage(configs: Mapping[str, StageConfig], nano: Path, tmp_path: Path) -> None:
    def change(name: str, language: str, split: str, table: pa.Table) -> pa.Table:
        return table.drop_columns(["premise"]) if name == "mnli" else table

    with pytest.raises(DataError, match=r"mnli/en/train row 0: .*premise"):
        run_stage(configs["target mnli"], nano, tmp_path / "t", small_source(change))
