"""User errors exit with status 2 and one clear line, before anything starts.

So do broken rows.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.execution.trial import TrialJob, run_stages
from study.planning.encoder_weights import Weights
from study.planning.plan import Planner
from study.store.store import Store
from tests import ROOT
from trainables.errors import DataError
from trainables.recipe import Recipe
from trainables.sources import open_source
from trainables.training.pretrain import new_lm, size, train_tokenizer

LAUNCH = ("launch", "--space", "intermediate_tasks", "--encoder", "pretrain:nano")
RECIPE = {"encoder": "pretrain:nano", "profile": "small", "targets": ["tatoeba"]}


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)


def nli(count: int) -> list[dict[str, Any]]:
    return [{"premise": f"a dog {i}", "hypothesis": f"no cat {i}", "label": i % 3} for i in range(count)]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        # a name that is not known: the value, the nearest match and what is allowed
        (("launch", "--space", "intermedate_tasks"), "unknown space 'intermedate_tasks' 'intermediate_tasks'? allowed"),
        ((*LAUNCH, "--intermediate", "squat"), "unknown intermediate task 'squat' 'squad'? allowed mnli"),
        ((*LAUNCH, "--targets", "xnil"), "unknown target 'xnil' 'xnli'? allowed tatoeba"),
        ((*LAUNCH, "--targets", "squad"), "unknown target 'squad' 'xquad'? allowed tatoeba"),
        ((*LAUNCH, "--profile", "smal"), "unknown profile 'smal' 'small'? allowed phang2020"),
        ((*LAUNCH, "--encoder", "pokcet"), "unknown encoder 'pokcet' 'pocket'? allowed pretrain:tiny"),
        ((*LAUNCH, "--encoder", "pretrain:tyni"), "encoder size 'tyni' 'tiny'? allowed nano small"),
        ((*LAUNCH, "--encoder", "./nowhere"), "unknown encoder './nowhere' allowed <folder>"),
        ((*LAUNCH, "--source", "pockt"), "unknown source 'pockt' 'pocket'? allowed hub mirror:<folder>"),
        ((*LAUNCH, "--source", "mirror:"), "'mirror:' has no folder"),
        ((*LAUNCH, "--soruce", "pocket"), "unknown option '--soruce' '--source'? allowed --home"),
        ((*LAUNCH, "here"), "unknown option 'here'"),
        # what the source lacks: what it has
        ((*LAUNCH, "--targets", "arcd"), "'pocket' no rows of target 'arcd' has xnli"),
        ((*LAUNCH, "--intermediate", "klue_nli"), "'pocket' no English training rows of 'klue_nli' has mnli"),
        ((*LAUNCH, "--source", "mirror:/nowhere"), "mirror folder '/nowhere' does not exist"),
        # numbers
        ((*LAUNCH, "--scale", "0"), "--scale > 0 and <= 1 not 0.0"),
        ((*LAUNCH, "--scale", "2"), "--scale > 0 and <= 1 not 2.0"),
        ((*LAUNCH, "--scale", "nan"), "--scale > 0 and <= 1 not nan"),
        ((*LAUNCH, "--scale", "abc"), "--scale float 'abc'"),
        ((*LAUNCH, "--trials", "0"), "--trials >= 1 not 0"),
        ((*LAUNCH, "--trials", "-1"), "--trials >= 1 not -1"),
        ((*LAUNCH, "--trials", "1.5"), "--trials int '1.5'"),
        ((*LAUNCH, "--trials"), "--trials expected one argument"),
        ((*LAUNCH, "--workers", "0"), "--workers >= 1 not 0"),
        ((*LAUNCH, "--workers", "4096"), "--workers 4096 CPUs"),
        ((*LAUNCH, "--seeds", "0"), "--seeds >= 1 not 0"),
        (("resume", "any", "--workers", "0"), "--workers >= 1 not 0"),
        # requests that make no sense
        (("launch",), "--space is missing"),
        ((*LAUNCH, "--trials", "3", "--grid"), "--trials --grid one of them"),
        ((*LAUNCH, "--intermediate", "mlm"), "no task beside 'mlm'"),
        ((*LAUNCH, "--intermediate", ","), "',' empty"),
        ((*LAUNCH, "--targets", "xnli,xnli"), "'xnli,xnli' duplicate names"),
        (("report",), "name"),
        # names of studies
        ((*LAUNCH, "--name", "../x"), "study name '../x' letters, digits"),
        ((*LAUNCH, "--name", ""), "study name '' letters, digits"),
        (("report", "../x"), "study name '../x' letters, digits"),
        (("report", "nothing"), "unknown study 'nothing' allowed: none"),
        (("resume", "nothing"), "unknown study 'nothing' allowed: none"),
        (("status", "nothing"), "unknown study 'nothing' allowed: none"),
        (("sync", "nothing"), "unknown study 'nothing' allowed: none"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(
    refused: Callable[..., str], argv: tuple[str, ...], words: str
) -> None:
    line = refused(*argv)
    assert re.search(".*?".join(map(re.escape, words.split())), line), line


def test_an_encoder_folder_must_hold_a_safetensors_checkpoint(refused: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    folder.mkdir()
    assert f"encoder folder '{folder}' has no config.json" in refused(*LAUNCH, "--encoder", str(folder))
    (folder / "config.json").write_text("{}")
    assert "has no .safetensors weights\n" in refused(*LAUNCH, "--encoder", str(folder))
    (folder / "pytorch_model.bin").write_bytes(b"")
    line = refused(*LAUNCH, "--encoder", str(folder))
    assert "no .safetensors weights; pytorch_model.bin is a pickle, which is not loaded" in line


def test_a_mirror_without_the_wanted_rows_says_what_it_has(refused: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    folder.mkdir()
    launch = (*LAUNCH, "--source", f"mirror:{folder}")
    assert "holds no dataset of the catalogue" in refused(*launch)
    misspelt = (*LAUNCH, "--source", f"mirror:{folder}s")
    assert f"mirror folder '{folder}s' does not exist, did you mean '{folder}'?" in refused(*misspelt)
    write(folder / "facebook/xnli/de/test.parquet", nli(9))
    assert "has none of the targets xnli, " in refused(*launch)
    assert "target 'xnli' trains on English 'mnli'" in refused(*launch, "--targets", "xnli")
    assert "no rows of target 'xquad' (it has: none)" in refused(*launch, "--targets", "xquad")
    write(folder / "nyu-mll/glue/mnli/train.parquet", nli(9))
    assert "no rows of target 'xquad' (it has: xnli, xnli_pairs)" in refused(*launch, "--targets", "xquad")
    assert "no English training rows of 'qqp' (it has: mnli)" in refused(*launch, "--intermediate", "qqp")
    assert "has no raw text for masked LM" in refused(*launch, "--intermediate", "mnli,mlm")
    assert "rows of anli_plus, qqp, squad" in (said := refused(*launch)) and "choose --intermediate among mnli" in said
    assert "encoder 'pretrain:nano' needs raw text" in refused(*launch, "--intermediate", "mnli")
    assert "encoder 'pocket' has only the vocabulary of the pocket data" in refused(*launch, "--encoder", "pocket")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("targets = [", "is not TOML"),
        ("[recipes]\n", "unknown table 'recipes' 'recipe'?"),
        ("[study]\nseeds = 1\n", "has no [recipe] table"),
        ("[study]\nsorce = 'hub'\n[recipe]\n", "unknown key 'sorce' 'source'?"),
        ({"lrr": 1e-3}, "unknown recipe key 'lrr' 'lr'?"),
        ({"targets": "tatoeba"}, "'targets' list 'tatoeba'"),
        ({"targets": ["xnil"]}, "unknown target 'xnil' 'xnli'?"),
        ({"targets": []}, "no targets"),
        ({"encoder": 3}, "'encoder' string 3"),
        ({"encoder": "pokcet"}, "unknown encoder 'pokcet' 'pocket'?"),
        ({"profile": "smal"}, "unknown profile 'smal' 'small'?"),
        ({"intermediate": ["mnil"], "epochs": 1.0, "lr": 1e-3}, "unknown intermediate task 'mnil' 'mnli'?"),
        ({"intermediate": ["mnli", "mlm"], "epochs": 1.0, "lr": 1e-3, "mixing_limit": 8}, "'mlm' mlm_ratio"),
        ({"intermediate": ["mnli"], "epochs": 1.0, "lr": "fast"}, "lr number 'fast'"),
        ({"intermediate": ["mnli"], "epochs": 1.0, "lr": 0.0}, "lr > 0 not 0.0"),
        ({"intermediate": ["mnli"], "epochs": 1.0, "lr": 1e-3, "mlm_ratio": 1.0}, "mlm_ratio >= 0 and < 1 not 1.0"),
        ({"intermediate": ["mnli"], "steps": 2.5, "lr": 1e-3}, "steps whole number not 2.5"),
    ],
)
def test_a_recipe_file_is_checked(
    refused: Callable[..., str], tmp_path: Path, text: str | dict[str, Any], words: str
) -> None:
    file = tmp_path / "r.toml"
    if isinstance(text, dict):
        text = "[recipe]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in (RECIPE | text).items())
    file.write_text(text)
    line = refused("launch", "--recipe", str(file))
    assert re.search(".*?".join(map(re.escape, words.split())), line), line


def test_a_recipe_leaves_no_room_for_options_that_it_holds(refused: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text("[recipe]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in RECIPE.items()))
    for name, value in (("targets", "xnli"), ("intermediate", "mnli"), ("encoder", "pocket"), ("scale", "0.5")):
        assert f"--{name} is part of the recipe" in refused("launch", "--recipe", str(file), f"--{name}", value)
    assert "--recipe runs one recipe" in refused(*LAUNCH, "--recipe", str(file))
    assert "cannot be read: No such file" in refused("launch", "--recipe", str(tmp_path / "gone.toml"))


def test_a_name_belongs_to_one_study(refused: Callable[..., str], home: Path) -> None:
    from study.record.record import Record
    from tests.builders import resolved

    settings, _ = resolved(*LAUNCH[1:], "--scale", "0.5")
    Record(home, "mine").open(settings)
    file = home / "studies" / "mine" / "study.json"
    line = refused(*LAUNCH, "--name", "mine", "--scale", "0.25")
    assert "study 'mine' already exists with scale = 0.5, not 0.25; choose another --name" in line
    assert "seeds = 1, not 3" in refused(*LAUNCH, "--name", "mine", "--scale", "0.5", "--seeds", "3")
    file.write_text(file.read_text().replace('"intermediate_tasks"', '"elsewhere"'))
    line = refused(*LAUNCH, "--name", "mine", "--scale", "0.5")
    assert "with space = 'elsewhere', not 'intermediate_tasks'" in line
    assert "unknown study 'mnie', did you mean 'mine'? (allowed: mine)" in refused("report", "mnie")


def test_a_language_that_was_not_scored_is_refused(refused: Callable[..., str], home: Path) -> None:
    from study.record.record import Record
    from tests.builders import resolved

    Record(home, "mine").open(resolved(*LAUNCH[1:])[0])
    assert "unknown language 'dee' (allowed: none)" in refused("report", "mine", "--languages", "dee")


def test_home_must_be_a_folder_and_out_too(
    refused: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert f"home '{file}' is a file, not a folder" in refused(*LAUNCH, "--home", str(file))
    assert f"home '{file}/x' cannot be used: " in refused("status", "--home", f"{file}/x")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("-m", "study.launch", *LAUNCH[1:], "--targets", "xnil"), "unknown target 'xnil', did you mean 'xnli'?"),
        (("-m", "study.launch", *LAUNCH[1:], "--encoder", "acme/xlm"), "HF_HUB_OFFLINE is set"),
        (("-c", "from study.cli import main; main()", "lanch"), "unknown verb 'lanch', did you mean 'launch'?"),
    ],
)
def test_a_fresh_process_refuses_in_one_line(tmp_path: Path, argv: tuple[str, ...], words: str) -> None:
    env = os.environ | {"HF_HUB_OFFLINE": "1", "STEPSTONE_HOME": str(tmp_path / "home")}
    ended = subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=60, cwd=ROOT, env=env)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert words in ended.stderr
    assert not list(tmp_path.rglob("study.json"))


# --- rows that break their schema ---

SQUAD = {"id": "q", "question": "who", "context": "a dog", "answers": {"text": ["dog"], "answer_start": [2]}}
WORDS = {"tokens": ["a", "dog"], "pos_tags": [5, 7]}
PAIR = {"source_sentence": "ein Hund", "target_sentence": "a dog"}
BROKEN: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], str]] = {
    "missing column": ("mnli", "en/train", nli(1)[0], {"hypothesis": ...}, "has no column 'hypothesis'"),
    "label outside the set": ("mnli", "en/train", nli(1)[0], {"label": 7}, "label 7 is not one of 0..2 (entailment, "),
    "answer not at its offset": (
        "squad",
        "en/train",
        SQUAD,
        {"answers": {"text": ["dog"], "answer_start": [1]}},
        "answer 'dog' is not at offset 1 of its context",
    ),
    "words and tags of different length": ("udpos", "en/train", WORDS, {"pos_tags": [5]}, "has 2 words and 1 tags"),
    "missing column when scoring": ("tatoeba", "de/validation", PAIR, {"source_sentence": ...}, "has no column"),
}
FILES = {
    "mnli": "nyu-mll/glue/mnli/train.parquet",
    "squad": "rajpurkar/squad/plain_text/train.parquet",
    "udpos": "google/xtreme/udpos.English/train.parquet",
    "tatoeba": "google/xtreme/tatoeba.deu/validation.parquet",
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("encoder")
    train_tokenizer(["a dog, no cat, who", "ein Hund"], 60, folder)
    new_lm(size("nano"), 60, 0).save_pretrained(folder)
    return Weights("0" * 64, str(folder))


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_row_stops_the_stage_and_names_where(tmp_path: Path, encoder: Weights, fault: str) -> None:
    name, place, good, change, reason = BROKEN[fault]
    broken = {k: v for k, v in (good | change).items() if v is not ...}
    rows = [good | ({"id": f"q{i}"} if "id" in good else {}) for i in range(3)]
    folder, home = tmp_path / "mirror", tmp_path / "home"
    write(folder / FILES["tatoeba"], [PAIR] * 4)
    if len(broken) == len(good):
        write(folder / FILES[name], [*rows, broken])
    else:  # Parquet has columns for all rows or for none
        write(folder / FILES[name], [broken])
    recipe = Recipe(encoder=encoder.location, profile="small", targets=("tatoeba",))
    if name != "tatoeba":
        recipe = Recipe(
            **(recipe.to_dict() | {"targets": ("tatoeba",), "intermediate": (name,), "epochs": 1.0, "lr": 1e-3})
        )
    plan = Planner(open_source(f"mirror:{folder}"), encoder).plan(recipe, 1)
    job = TrialJob(plan, str(home), f"mirror:{folder}", str(home / "log"), "target_dev", workers=1, gpu=False, cpus=1)
    with pytest.raises(DataError) as stopped:
        run_stages(job, lambda result: pytest.fail(f"reported {result}"))
    row = 3 if len(broken) == len(good) else 0
    assert str(stopped.value).startswith(f"{name}/{place} row {row}: {reason}")
    assert not any(Store(home).has(node.address) for node in plan.nodes)
    assert not list((home / "work").iterdir()), "half-made stages are removed"


def test_how_encoders_are_read_is_part_of_every_recipe_unless_it_is_as_published() -> None:
    from search_spaces import space
    from search_spaces.space import FixedSuggest, SpaceContext
    from tests.builders import resolved

    options = ["--layer", "2", "--pooling", "mean", "--bare-prefix", "drop"]
    settings, _ = resolved(*LAUNCH[1:], *options)
    assert settings.reading == {"layer": 2, "bare_prefix": "drop"}  # the mean is the published pooling
    s = settings
    setting = SpaceContext(
        encoder=s.encoder, profile=s.profile, targets=s.targets, tasks=s.intermediate, mlm=s.mlm, scale=s.scale,
        reading=s.reading,
    )  # fmt: skip
    chosen = space(s.space)
    for params in chosen.published(setting):
        recipe = chosen.recipe(FixedSuggest(params), setting)
        assert (recipe.layer, recipe.bare_prefix, recipe.pooling) == (2, "drop", "mean")
        assert Recipe.from_dict(recipe.to_dict()) == recipe
