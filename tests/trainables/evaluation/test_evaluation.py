"""Evaluation stages beyond a head on a row.

Mining, ranking, utterances, layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.planning.encoder_weights import resolve
from study.planning.plan import Planner
from tests.small import run_stage, stages_of
from trainables.catalogue import dataset
from trainables.configs import Evaluate, LayerSweep, StageConfig, Target
from trainables.errors import BadInput
from trainables.modeling.model import load_net
from trainables.recipe import Recipe
from trainables.sources import Source, open_source

WORDS = ("a a a a", "b b b", "c c c c c", "d d", "e e e e")  # distinct even for a tiny tokenizer
INTENTS = ("book", "play", "weather", "alarm", "rate")


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Write a mirror small enough that the scores are known.

    It has utterances, pools to mine and pools to rank.
    """
    root = Path(tmp_path_factory.mktemp("mirror"))
    stands: dict[str, dict[str, str]] = {}

    def table(name: str, language: str, split: str, rows: list[dict[str, Any]]) -> None:
        write(root / f"{name}-{language}-{split}.parquet", rows)
        stands.setdefault(f"{name}.{language}", {})[split] = f"{name}-{language}-{split}.parquet"

    def utterance(number: int) -> dict[str, Any]:
        words = f"{WORDS[number % 5]} number{number}".split()
        tags = ["O"] * (len(words) - 1) + ["B-number"]
        return {"id": str(number), "tokens": words, "slot_tags": tags, "intent": INTENTS[number % 5]}

    table("xsid", "en", "train", [utterance(n) for n in range(200)])
    table("xsid", "en", "validation", [utterance(n) for n in range(60)])
    for language in ("en", "de"):
        table("xsid", language, "test", [utterance(n) for n in range(60)])
    sentences = [f"{chr(97 + n // 8)} {chr(105 + n % 8)} {chr(97 + n % 7)}" for n in range(60)]
    for split, first in (("validation", 0), ("test", 20)):
        # The same sentence on both sides of a gold pair: any encoder finds it.
        gold = [{"source_lang": f"s{n}", "target_lang": f"t{n}"} for n in range(first, first + 20)]
        source = [{"id": f"s{n}", "text": sentences[n]} for n in range(first, first + 20)]
        target = [{"id": f"t{n}", "text": sentences[n]} for n in range(first, first + 30)]
        for part, rows in (("pairs", gold), ("source", source), ("target", target)):
            table("bucc2018", "de", f"{part}_{split}", rows)
    (root / "mirror.toml").write_text(
        "\n".join(f"[{name}]\n" + "".join(f'{k} = "{v}"\n' for k, v in files.items()) for name, files in stands.items())
    )
    return open_source(f"mirror:{root}")


def plan_of(source: Source, encoder: Path, *targets: str, **values: Any) -> Mapping[str, StageConfig]:
    recipe = Recipe(encoder=str(encoder), profile="small", targets=targets, **values)
    return {
        node.label: node.config for node in Planner(source, resolve(str(encoder)), sweep=True).plan(recipe, 1).nodes
    }


def metrics_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def predictions_of(folder: Path) -> list[dict[str, str]]:
    return list(pq.read_table(folder / "predictions.parquet").to_pylist())


def test_intent_and_slots_are_learned_together(nano: Path, mirror: Source, tmp_path: Path) -> None:
    configs = plan_of(mirror, nano, "xsid")
    target = configs["target xsid"]
    assert isinstance(target, Target)
    longer = replace(target, task=replace(target.task, epochs=60.0))
    run_stage(longer, nano, tmp_path / "t", mirror)
    head = load_net(tmp_path / "t").specs["xsid"]
    assert head.kind == "intent" and head.labels == (*sorted(INTENTS), "O", "B-number")
    run_stage(configs["evaluate xsid"], tmp_path / "t", tmp_path / "e", mirror)
    metrics = metrics_of(tmp_path / "e")
    assert set(metrics["languages"]) == {"en", "de"}
    for scores in metrics["languages"].values():
        assert set(scores) == {"intent_accuracy", "slot_f1_bio", "slot_f1_rebuilt", "joint_accuracy"}
        assert scores["intent_accuracy"] > 50 and scores["slot_f1_bio"] > 90
        assert scores["joint_accuracy"] <= scores["intent_accuracy"]
    first = predictions_of(tmp_path / "e")[0]
    intent, tags = first["prediction"].split("\t")
    assert intent in INTENTS and len(tags.split()) == 5


def test_mined_pairs_are_those_above_the_threshold_of_the_dev_pools(nano: Path, mirror: Source, tmp_path: Path) -> None:
    run_stage(plan_of(mirror, nano, "bucc2018")["evaluate bucc2018"], nano, tmp_path / "e", mirror)
    metrics = metrics_of(tmp_path / "e")
    assert metrics["languages"]["de"]["f1"] > 70
    assert metrics["retrieval"] == {"layer": 1, "pooling": "mean", "direction": "en_to_xx"}
    found = {(row["id"], row["prediction"]) for row in predictions_of(tmp_path / "e")}
    assert len(found & {(f"s{n}", f"t{n}") for n in range(20, 40)}) >= 15


def test_a_sweep_holds_every_layer_and_agrees_with_the_evaluation_at_its_own(
    nano: Path, source: Source, tmp_path: Path
) -> None:
    configs = plan_of(source, nano, "tatoeba", layer=2, direction="xx_to_en")
    evaluation, sweep = configs["evaluate tatoeba"], configs["layers tatoeba"]
    assert isinstance(evaluation, Evaluate) and isinstance(sweep, LayerSweep)
    run_stage(evaluation, nano, tmp_path / "e", source)
    run_stage(sweep, nano, tmp_path / "s", source)
    metrics, layers = metrics_of(tmp_path / "e"), json.loads((tmp_path / "s" / "layers.json").read_text())
    assert metrics["retrieval"] == {"layer": 2, "pooling": "mean", "direction": "xx_to_en"}
    for language, scores in metrics["languages"].items():
        assert len(layers[language]) == 3  # the embeddings and two layers
        assert layers[language][2] == pytest.approx(scores["accuracy"], abs=1e-9)
    with pytest.raises(BadInput, match=r"retrieval layer 7 is outside 0\.\.2"):
        run_stage(replace(evaluation, layer=7), nano, tmp_path / "x", source)


@pytest.mark.parametrize(("key", "value"), [("layer", 2), ("pooling", "cls"), ("direction", "xx_to_en")])
def test_how_the_encoder_is_read_matters(key: str, value: Any, nano: Path, source: Source, tmp_path: Path) -> None:
    config = stages_of(source, str(nano), targets=("tatoeba",))["evaluate tatoeba"]
    run_stage(config, nano, tmp_path / "a" / "e", source)
    run_stage(replace(config, **{key: value}), nano, tmp_path / "b" / "e", source)  # type: ignore[arg-type]
    a, b = (predictions_of(tmp_path / side / "e") for side in "ab")
    assert len(a) == len(b) and a != b


@pytest.mark.parametrize("target", ["xnli", "panx", "xquad", "tatoeba"])
def test_predictions_stand_in_the_order_of_the_examples(
    target: str, nano: Path, source: Source, tmp_path: Path
) -> None:
    d = dataset(target)
    configs = stages_of(source, str(nano), targets=(target,), scale=0.1)
    folder = nano
    if d.train_on:
        folder = tmp_path / "t"
        run_stage(configs[f"target {d.train_on}"], nano, folder, source)
    run_stage(configs[f"evaluate {target}"], folder, tmp_path / "e", source)
    rows = [row for row in predictions_of(tmp_path / "e") if row["language"] == "de"]
    examples: list[Any] = source.examples(d, "de", metrics_of(tmp_path / "e")["splits"]["de"], take=len(rows))
    assert [row["id"] for row in rows] == [e.id for e in examples]
    for row, example in zip(rows, examples, strict=True):
        if target == "xnli":
            assert row["prediction"] in d.labels
        elif target == "panx":
            assert len(row["prediction"].split()) == len(example.words)
        elif target == "xquad":
            assert row["prediction"] in example.context
        else:
            assert 0 <= int(row["prediction"]) < len(rows)


def test_the_languages_of_xtreme_r_are_scored_where_the_source_has_them(nano: Path, tmp_path: Path) -> None:
    for code, words in (("aze", "su ev yol"), ("deu", "wasser haus weg"), ("ron", "apa casa drum")):
        rows = zip(words.split(), ("water", "house", "way"), strict=True)
        place = tmp_path / "mirror/mteb/tatoeba-bitext-mining" / f"{code}-eng" / "test.parquet"
        write(place, [{"sentence1": theirs, "sentence2": english} for theirs, english in rows])
    source = open_source(f"mirror:{tmp_path / 'mirror'}")
    config = stages_of(source, str(nano), targets=("tatoeba_r",))["evaluate tatoeba_r"]
    run_stage(config, nano, tmp_path / "scored", source)
    found = json.loads((tmp_path / "scored" / "metrics.json").read_text())
    assert found["examples"] == {"az": 3, "de": 3, "ro": 3} and found["languages"].keys() == {"az", "de", "ro"}
