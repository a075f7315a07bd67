"""Evaluations during a target's training, which influence no result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from study.planning.encoder_weights import resolve
from study.planning.plan import Planner
from tests.small import assert_same_weights, files_of, run_stage, stages_of
from tests.trainables.training.test_checkpoint import interrupted, weights, whole
from trainables.configs import CurveConfig, EncodingConfig, Evaluate, StageConfig, Target, all_data, identity
from trainables.errors import BadInput
from trainables.recipe import Recipe
from trainables.sources import Source
from trainables.training import loop

KEYS = ["xsid/en/train", "xsid/en/validation", "xsid/en/test", "xsid/de/test", "xsid/sw/test"]


@pytest.fixture(scope="module")
def configs(source: Source, nano: Path) -> Mapping[str, StageConfig]:
    return stages_of(source, str(nano), targets=("xsid",), scale=0.1, curve=4)


def target_of(configs: Mapping[str, StageConfig], epochs: float = 4.0) -> Target:
    config = configs["target xsid"]
    assert isinstance(config, Target)
    return replace(config, task=replace(config.task, epochs=epochs, batch=16))


def curve_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "curve.json").read_text())
    return found


@pytest.mark.parametrize(
    ("points", "steps", "expected"),
    [(4, 720, (180, 360, 540, 720)), (4, 10, (2, 5, 8, 10)), (4, 3, (1, 2, 3)), (1, 7, (7,)), (4, 1, (1,))],
)
def test_points_are_even_and_the_last_is_at_the_end(points: int, steps: int, expected: tuple[int, ...]) -> None:
    assert CurveConfig(points=points, cut=EncodingConfig(max_length=8)).steps(steps) == expected


def test_a_curve_scores_train_and_dev_rows_in_english_and_every_language_that_is_reported(
    configs: Mapping[str, StageConfig],
) -> None:
    config, evaluation = target_of(configs), configs["evaluate xsid"]
    assert config.curve and list(config.curve.data) == KEYS
    assert isinstance(evaluation, Evaluate) and config.curve.cut == evaluation.cut
    assert set(config.data) == {"xsid/en/train", "xsid/en/validation"}  # what training itself may use
    assert set(all_data(config)) == set(KEYS)


def test_targets_of_one_training_set_share_its_stage_and_its_curve(source: Source, nano: Path) -> None:
    found = stages_of(source, str(nano), targets=("xquad", "mlqa"), scale=0.1, curve=2)
    trained = [c for c in found.values() if isinstance(c, Target)]
    assert len(trained) == 1 and trained[0].curve
    assert {key.split("/")[0] for key in trained[0].curve.data} >= {"squad", "xquad", "mlqa"}


def test_rows_that_are_reported_on_dev_splits_stay_unseen_by_the_selection(source: Source, nano: Path) -> None:
    """TyDiQA has no test rows.

    Its validation split is reported, and must therefore not select weights.
    """
    (config,) = (
        c
        for c in stages_of(source, str(nano), targets=("tydiqa",), scale=0.1, curve=2).values()
        if isinstance(c, Target)
    )
    assert config.curve and "tydiqa/en/validation" in config.curve.data and set(config.data) == {"tydiqa/en/train"}


def test_without_a_curve_nothing_of_it_is_in_a_stage(source: Source, nano: Path) -> None:
    plain = Recipe(encoder=str(nano), profile="small", targets=("xsid",))
    assert "curve" not in plain.to_dict() and Recipe.from_dict({**plain.to_dict(), "curve": 0}) == plain
    (config,) = (
        n.config for n in Planner(source, resolve(str(nano))).plan(plain, 1).nodes if isinstance(n.config, Target)
    )
    assert identity(config)["curve"] is None and set(config.data) == {"xsid/en/train", "xsid/en/validation"}


@pytest.mark.parametrize("value", [-1, 2.5, 5000, "often"])
def test_a_curve_is_a_whole_number_of_points(value: Any) -> None:
    with pytest.raises(BadInput, match="curve"):
        Recipe.from_dict({"encoder": "pocket", "profile": "small", "targets": ["xsid"], "curve": value})


def test_points_are_what_an_evaluation_of_the_weights_gives_and_change_nothing(
    configs: Mapping[str, StageConfig], source: Source, nano: Path, tmp_path: Path
) -> None:
    config = target_of(configs)
    config = replace(config, fit=replace(config.fit, keep="last"))
    summary = run_stage(config, nano, tmp_path / "with", source)
    run_stage(replace(config, curve=None), nano, tmp_path / "without", source)
    points = curve_of(tmp_path / "with")
    assert [p["epoch"] for p in points] == [1.0, 2.0, 3.0, 4.0] and points[-1]["step"] == summary["steps"]
    assert all(list(p["scores"]) == KEYS for p in points)
    assert points[0]["scores"] != points[-1]["scores"]
    evaluation = configs["evaluate xsid"]
    run_stage(evaluation, tmp_path / "with", tmp_path / "scored", source)
    languages = json.loads((tmp_path / "scored" / "metrics.json").read_text())["languages"]
    assert languages == {tag: points[-1]["scores"][f"xsid/{tag}/test"] for tag in ("en", "de", "sw")}
    ours, plain = files_of(tmp_path / "with"), files_of(tmp_path / "without")
    assert set(ours) - set(plain) == {"curve.json"}
    assert {n for n in plain if ours[n] != plain[n]} <= {"history.json", "encoder/model.safetensors"}
    assert_same_weights(tmp_path / "with", tmp_path / "without")
    histories = [json.loads(files["history.json"]) for files in (ours, plain)]
    assert histories[1].pop("curve") == [] and len(histories[0].pop("curve")) == 4
    assert histories[0] == histories[1]


def test_a_point_on_the_way_is_what_the_weights_of_that_step_score(
    configs: Mapping[str, StageConfig], source: Source, nano: Path, tmp_path: Path
) -> None:
    """The dev score of early stopping is computed separately.

    It covers the same rows after the same steps.
    """
    config = target_of(configs)
    config = replace(config, fit=replace(config.fit, lr=3e-3, patience=None))
    run_stage(config, nano, tmp_path / "stage", source)
    dev = json.loads((tmp_path / "stage" / "history.json").read_text())["dev"]
    points = [(p["step"], p["scores"]["xsid/en/validation"]) for p in curve_of(tmp_path / "stage")]
    assert dev == [[step, (m["intent_accuracy"] + m["slot_f1_bio"]) / 2] for step, m in points]
    assert len({score for _, score in dev}) > 2


def test_a_curve_survives_interruption_to_the_last_bit(
    configs: Mapping[str, StageConfig], source: Source, nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECK_EVERY", 1)
    config = target_of(configs, epochs=2.0)
    expected, steps = whole(config, nano, tmp_path / "whole", source)
    assert interrupted(config, nano, tmp_path / "broken", source, [3, steps // 2 + 1, steps - 1]) == expected
    assert weights(tmp_path / "whole") == expected and len(curve_of(tmp_path / "whole")) == 4


def test_a_phase_that_ends_early_has_the_points_that_it_reached(
    configs: Mapping[str, StageConfig], source: Source, nano: Path, tmp_path: Path
) -> None:
    config = target_of(configs)
    config = replace(config, fit=replace(config.fit, lr=1e-9, patience=2, min_evals=8))
    summary = run_stage(config, nano, tmp_path / "stage", source)
    points = curve_of(tmp_path / "stage")
    assert summary["steps"] < 16 and [p["epoch"] for p in points] == [1.0]
