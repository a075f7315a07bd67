"""Plans: ids depend on content alone, equal stages are shared, none is needless.

An id does not depend on where a stage runs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from study.planning.encoder_weights import Weights
from study.planning.plan import Node, Plan, Planner, missing, scored_languages, selection_rows
from tests import ROOT
from trainables.catalogue import DATASETS, Dataset, dataset
from trainables.configs import Evaluate, Intermediate, LayerSweep, Pretrain, Target
from trainables.errors import BadInput
from trainables.examples import Bitext, Example, Text
from trainables.recipe import Recipe
from trainables.sources import open_source

Rows = dict[tuple[str, str, str], str]  # (dataset, language, split) -> content hash


@dataclass(frozen=True)
class FakeSource:
    """A source with row counts and hashes only."""

    rows: Rows
    spec: str = "fake"

    def languages(self, d: Dataset, split: str) -> tuple[str, ...]:
        found = {language for name, language, s in self.rows if (name, s) == (d.name, split)}
        return tuple(sorted(found, key=lambda tag: (tag != "en", tag)))

    def fingerprint(self, d: Dataset, language: str, split: str) -> str:
        return self.rows[d.name, language, split]

    def corpus_rows(self, d: Dataset, language: str, split: str) -> int:
        return 100

    def num_rows(self, d: Dataset, language: str, split: str) -> int:
        raise AssertionError("a plan needs no rows")

    def labels(self, d: Dataset) -> tuple[str, ...]:
        raise AssertionError("a plan needs no labels")

    def check_labels(self, d: Dataset, language: str, split: str) -> None:
        raise AssertionError("a plan needs no labels")

    def examples(self, d: Dataset, language: str, split: str, take: int | None = None) -> list[Example]:
        raise AssertionError("a plan reads no rows")

    def parallel(self, d: Dataset, language: str, split: str) -> list[Bitext]:
        raise AssertionError("a plan reads no rows")

    def standin(self, d: Dataset) -> bool:
        return False

    def stated_rows(self, d: Dataset, language: str, split: str) -> int | None:
        return None

    def pool(self, d: Dataset, language: str, split: str, side: Literal["source", "target"]) -> list[Text]:
        raise AssertionError("a plan reads no rows")

    def unread(self) -> tuple[str, ...]:
        return ()

    def comes_from(self, d: Dataset) -> tuple[str, ...]:
        return (self.spec,)

    def origin(self, d: Dataset, language: str, split: str) -> str:
        return "nowhere"


def rows(**datasets: str) -> Rows:
    """Give every (dataset, language, split) a hash of its own.

    Notation: `xnli="validation:en,de test:en,de"`.
    """
    found: Rows = {}
    for name, splits in datasets.items():
        for part in splits.split():
            split, _, languages = part.partition(":")
            found |= {(name, tag, split): f"{name}-{tag}-{split}" for tag in languages.split(",")}
    return found


WORLD = rows(
    mlm="train:en,de,hi",
    sib200="train:en,de,hi validation:en,de",
    mnli="train:en validation:en",
    squad="train:en validation:en",
    xnli="validation:en,de test:en,de,hi",
    xquad="validation:en,de,hi",
    panx="train:en validation:en,de test:en,de",
    tatoeba="validation:de,hi",
)
TARGETS = ("tatoeba", "panx", "xquad", "xnli")
BASELINE = Recipe(encoder="pretrain:nano", profile="small", targets=TARGETS, scale=0.1)
SQUAD = replace(BASELINE, intermediate=("squad",), epochs=1.0, lr=5e-4)
MIXED = replace(SQUAD, intermediate=("mnli", "squad"), mixing_limit=1000, mlm_ratio=0.25)
READY = Weights("e" * 64, "/folder/of/an/encoder")


def plan(recipe: Recipe = SQUAD, seeds: int = 1, world: Rows = WORLD, weights: Weights | None = None) -> Plan:
    return Planner(FakeSource(world), weights).plan(recipe, seeds)


def addresses(made: Plan) -> dict[str, str]:
    """Map label/seed to id."""
    return {f"{n.label}/{n.seed}": n.address for n in made.nodes}


def changed(one: Plan, two: Plan) -> set[str]:
    a, b = addresses(one), addresses(two)
    assert a.keys() == b.keys()
    return {label.split("/")[0] for label in a if a[label] != b[label]}


def test_stages_stand_after_what_they_start_from_and_all_seeds_of_a_target_before_the_next() -> None:
    made = plan(MIXED, seeds=2)
    place = {node.address: n for n, node in enumerate(made.nodes)}
    for node in made.nodes:
        assert (node.parent == "") == isinstance(node.config, Pretrain)
        assert not node.parent or place[node.parent] < place[node.address]
    order = [n.config.target for n in made.nodes if isinstance(n.config, Evaluate)]
    assert order == [t for t in TARGETS for _ in range(2)]
    assert list(made.evaluations()) == list(TARGETS)
    assert all(len(set(found)) == 2 for found in made.evaluations().values())
    kinds = [type(n.config) for n in made.nodes]
    assert (kinds.count(Pretrain), kinds.count(Intermediate), kinds.count(Target)) == (1, 2, 6)


def test_layers_are_swept_from_the_encoder_that_retrieval_reads_and_only_when_asked_for() -> None:
    planner = Planner(FakeSource(WORLD), READY, sweep=True)
    made = planner.plan(SQUAD, 2)
    found = {n.label: n for n in made.nodes if n.seed == 1}
    assert isinstance(found["layers tatoeba"].config, LayerSweep)
    assert found["layers tatoeba"].parent == found["intermediate"].address
    assert made.sweeps() == {"tatoeba": [n.address for n in made.nodes if n.label == "layers tatoeba"]}
    without = plan(SQUAD, 2, weights=READY)
    assert without.sweeps() == {} and without.evaluations() == made.evaluations()
    done = {n.address for n in without.nodes}
    assert {n.label for n in missing(made, done.__contains__)} == {"layers tatoeba"}


def test_how_an_encoder_is_read_changes_only_what_reads_it_so() -> None:
    other = plan(replace(SQUAD, layer=1, pooling="cls", direction="xx_to_en"))
    assert changed(plan(SQUAD), other) == {"evaluate tatoeba"}
    assert changed(plan(SQUAD), plan(replace(SQUAD, bare_prefix="drop"))) == {"target panx", "evaluate panx"}


def test_a_target_with_two_training_sets_trains_one_after_the_other_on_one_head() -> None:
    recipe = replace(BASELINE, targets=("xcopa",))
    world = WORLD | rows(xcopa="test:sw", siqa="train:en validation:en", copa="train:en validation:en")
    nodes = {n.label: n for n in plan(recipe, world=world).nodes}
    first, second, scored = nodes["target siqa"], nodes["target copa"], nodes["evaluate xcopa"]
    assert (second.parent, scored.parent) == (first.address, second.address)
    assert isinstance(first.config, Target) and first.config.head_of == ""
    assert isinstance(second.config, Target) and second.config.head_of == "siqa"
    alone = plan(recipe, world={key: value for key, value in world.items() if key[0] != "siqa"})
    config = next(n.config for n in alone.nodes if n.label == "target copa")
    assert isinstance(config, Target) and config.head_of == ""


def test_mining_needs_dev_pools_to_find_its_threshold_on() -> None:
    source = FakeSource(WORLD | rows(bucc2018="validation:de test:de,ru"))
    assert scored_languages(source, dataset("bucc2018")) == (("de", "test"),)
    recipe = replace(BASELINE, targets=("bucc2018",))
    config = Planner(source, READY).plan(recipe, 1).nodes[0].config
    assert isinstance(config, Evaluate)
    assert set(config.data) == {"bucc2018/de/test", "bucc2018/de/validation"}


SCRIPT = "from tests.study.planning.test_plan import MIXED, addresses, plan; print(sorted(addresses(plan(MIXED, 2)).items()))"


def test_addresses_are_the_same_in_every_process() -> None:
    said = [
        subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, text=True, check=True, capture_output=True,
                       env={"PYTHONHASHSEED": seed, "PATH": ""}).stdout.strip()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert said == [str(sorted(addresses(plan(MIXED, 2)).items()))] * 2


CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "learning rate": ({"lr": 4e-4}, {"intermediate"}),
    "epochs": ({"epochs": 2.0}, {"intermediate"}),
    "steps instead of epochs": ({"steps": 10}, {"intermediate"}),
    "scale": ({"scale": 0.2}, {"pretrain", "intermediate"}),
    "task": ({"intermediate": ("mnli",)}, {"intermediate"}),
    "encoder": ({"encoder": "pretrain:tiny"}, {"pretrain", "intermediate"}),
    "profile": ({"profile": "phang2020"}, {"intermediate"}),
    "mlm": ({"mlm_ratio": 0.25}, {"intermediate"}),
}
DOWNSTREAM = {label.split("/")[0] for label in addresses(plan())} - {"pretrain", "intermediate"}


@pytest.mark.parametrize(("values", "first"), CHANGES.values(), ids=list(CHANGES))
def test_what_a_recipe_says_changes_its_stage_and_all_that_start_from_it(values: Any, first: set[str]) -> None:
    assert changed(plan(), plan(replace(SQUAD, **values))) == first | DOWNSTREAM


def test_seeds_share_the_encoder_and_nothing_else() -> None:
    found = addresses(plan(seeds=2))
    stages = {label.split("/")[0] for label in found} - {"pretrain"}
    assert all(found[f"{stage}/0"] != found[f"{stage}/1"] for stage in stages)
    assert "pretrain/1" not in found
    assert addresses(plan()).items() <= found.items()  # one more seed keeps what the first one made


DATA: dict[str, tuple[tuple[str, str, str], set[str]]] = {
    "test rows": (("xnli", "hi", "test"), {"evaluate xnli"}),
    "rows that choosing looks at": (("panx", "en", "validation"), {"target panx", "evaluate panx"}),
    "training rows": (("mnli", "en", "train"), {"target mnli", "evaluate xnli"}),
    "raw text": (("mlm", "de", "train"), {"pretrain", "intermediate"} | DOWNSTREAM),
    "parallel rows": (("sib200", "hi", "train"), {"pretrain", "intermediate"} | DOWNSTREAM),
    "the intermediate task": (("squad", "en", "train"), {"intermediate"} | DOWNSTREAM),
    "rows that nothing reads": (("xnli", "de", "validation"), set()),
}


@pytest.mark.parametrize(("key", "expected"), DATA.values(), ids=list(DATA))
def test_other_rows_change_the_stages_that_read_them(key: tuple[str, str, str], expected: set[str]) -> None:
    assert changed(plan(), plan(world={**WORLD, key: "other content"})) == expected


@pytest.mark.parametrize("recipe", [BASELINE, SQUAD], ids=["baseline", "recipe"])
def test_every_target_has_a_score_for_every_seed(recipe: Recipe) -> None:
    """Gains are paired by seed.

    This holds also where the baseline's retrieval is one stage for all seeds.
    """
    found = plan(recipe, seeds=3).evaluations()
    assert list(found) == list(TARGETS) and {len(a) for a in found.values()} == {3}
    assert len(set(found["tatoeba"])) == (1 if recipe.is_baseline else 3)


def test_ready_weights_stand_for_the_pretrain_stage_by_content_and_not_by_place() -> None:
    ready = plan(weights=READY)
    assert not any(isinstance(n.config, Pretrain) for n in ready.nodes)
    assert {n.weights for n in ready.nodes if n.parent == READY.address} == {READY}
    assert not changed(ready, plan(weights=replace(READY, location="/elsewhere")))
    assert changed(ready, plan(weights=replace(READY, address="f" * 64))) == {"intermediate"} | DOWNSTREAM


def test_the_order_of_targets_and_other_targets_change_no_address() -> None:
    turned = plan(replace(SQUAD, targets=TARGETS[::-1]))
    assert addresses(turned) == addresses(plan())
    assert addresses(plan(replace(SQUAD, targets=("xnli",)))).items() <= addresses(plan()).items()


def test_the_number_of_workers_changes_no_address(tmp_path: Path) -> None:
    from study.execution.driver import StudyDriver
    from study.record.record import Record
    from study.spec.study_spec import RunOptions
    from tests.study.record.test_record import SETTINGS

    planner = Planner(FakeSource(WORLD), None)
    launches = [
        StudyDriver(Record(tmp_path, "x"), SETTINGS, planner, RunOptions(workers=w, quiet=True)) for w in (1, 4)
    ]
    one, four = (launch.plan(launch.rows()[-1][0]) for launch in launches)
    assert addresses(one) == addresses(four)


def test_the_folder_of_a_mirror_changes_no_address(tmp_path: Path) -> None:
    files = {
        "local/mlm.parquet": b"text", "local/mnli.parquet": b"pairs", "facebook/xnli/en/test.parquet": b"english",
        "facebook/xnli/de/test.parquet": b"german", "facebook/xnli/en/validation.parquet": b"dev",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_bytes(content)
    standins = '[mlm.en]\ntrain = "local/mlm.parquet"\n[mnli.en]\ntrain = "local/mnli.parquet"\n'
    (tmp_path / "a" / "mirror.toml").write_text(standins)
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere" / "b")
    recipe = replace(SQUAD, targets=("xnli",), intermediate=("mnli",))
    here, there = (
        Planner(open_source(f"mirror:{tmp_path / folder}"), None).plan(recipe, 1) for folder in ("a", "elsewhere/b")
    )
    assert addresses(here) == addresses(there) and len(here.nodes) == 4
    (tmp_path / "elsewhere/b/facebook/xnli/de/test.parquet").write_bytes(b"deutsch")
    other = Planner(open_source(f"mirror:{tmp_path / 'elsewhere/b'}"), None).plan(recipe, 1)
    assert changed(here, other) == {"evaluate xnli"}


def test_baseline_and_recipes_share_the_encoder_only() -> None:
    baseline, squad = addresses(plan(BASELINE)), addresses(plan(SQUAD))
    assert {label for label in baseline if squad.get(label) == baseline[label]} == {"pretrain/0"}


def parents(made: Plan, label: str) -> list[Node]:
    by_address = {n.address: n for n in made.nodes}
    return [by_address[n.parent] for n in made.nodes if n.label == label]


def test_targets_start_from_the_training_that_is_published_for_them() -> None:
    made = plan()
    (trained,) = parents(made, "evaluate xquad")
    assert isinstance(trained.config, Target) and trained.config.task.name == "squad"
    (trained,) = parents(made, "evaluate xnli")
    assert isinstance(trained.config, Target) and trained.config.task.name == "mnli"
    (encoder,) = parents(made, "evaluate tatoeba")  # retrieval trains nothing
    assert isinstance(encoder.config, Intermediate)


def test_targets_with_the_same_training_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two targets of the catalogue train on MNLI today, so one is added."""
    twin = replace(dataset("xnli"), name="xnli_twin")
    monkeypatch.setattr("trainables.catalogue.DATASETS", {**DATASETS, "xnli_twin": twin})
    world = WORLD | {("xnli_twin", tag, split): h for (name, tag, split), h in WORLD.items() if name == "xnli"}
    made = plan(replace(SQUAD, targets=("xnli", "xnli_twin")), world=world)
    assert [n.label for n in made.nodes if isinstance(n.config, Target)] == ["target mnli"]
    assert parents(made, "evaluate xnli") == parents(made, "evaluate xnli_twin")


def labels_missing(made: Plan, finished: Callable[[Node], bool]) -> list[str]:
    done = {n.address for n in made.nodes if finished(n)}
    return [n.label for n in missing(made, done.__contains__)]


def test_nothing_is_missing_when_every_score_is_there() -> None:
    """The weights may have been removed: scores do not need them."""
    assert labels_missing(plan(), lambda n: isinstance(n.config, Evaluate)) == []


def test_everything_is_missing_at_first_in_the_order_of_the_plan() -> None:
    assert labels_missing(plan(), lambda n: False) == [n.label for n in plan().nodes]


def test_a_missing_score_asks_for_what_it_starts_from_as_far_as_that_is_missing_too() -> None:
    wanted = "evaluate xnli"

    def only(*labels: str) -> list[str]:
        return labels_missing(plan(), lambda n: n.label not in (wanted, *labels))

    assert only() == [wanted]
    assert only("target mnli") == ["target mnli", wanted]
    assert only("target mnli", "intermediate") == ["intermediate", "target mnli", wanted]
    assert only("intermediate", "pretrain") == [wanted]  # its own training is still there
    assert labels_missing(plan(weights=READY), lambda n: n.label not in (wanted, "target mnli", "intermediate")) == [
        "intermediate", "target mnli", wanted
    ]  # fmt: skip


@pytest.mark.parametrize("spec", ["full", "no test rows", "pocket", "real"])
def test_choosing_never_looks_at_rows_that_are_reported(spec: str) -> None:
    hub = ROOT.parent / "shared" / "hub"
    if spec == "real" and not hub.is_dir():
        pytest.skip("no mirror of real data beside the checkout")
    kept = {k: v for k, v in WORLD.items() if spec != "no test rows" or k[2] != "test"}
    fakes: Mapping[str, Any] = {"full": FakeSource(WORLD), "no test rows": FakeSource(kept)}
    source = fakes[spec] if spec in fakes else open_source("pocket" if spec == "pocket" else f"mirror:{hub}")
    for d in DATASETS.values():
        if "target" in d.roles and (scored := scored_languages(source, d)):
            assert len(dict(scored)) == len(scored)
            name, split = selection_rows(source, d)
            assert not name or split == "validation"
            assert not (name == d.name and ("en", split) in scored)
            # TyDiQA's only English dev rows are what is reported.
            assert name or not d.train_on or spec in ("full", "no test rows") or d.name == "tydiqa"


def test_which_rows_are_scored_and_which_choose() -> None:
    source = FakeSource({k: v for k, v in WORLD.items() if k != ("xnli", "hi", "test")} | rows(xnli="validation:hi"))
    assert scored_languages(source, dataset("xnli")) == (("en", "test"), ("de", "test"), ("hi", "validation"))
    assert selection_rows(source, dataset("xnli")) == ("xnli", "validation")
    assert selection_rows(source, dataset("xquad")) == ("squad", "validation")
    assert selection_rows(source, dataset("tatoeba")) == ("", "")


@pytest.mark.parametrize(
    ("gone", "recipe", "named"),
    [
        ("squad train", SQUAD, "no train rows of 'squad' in 'en'"),
        ("mlm train", SQUAD, "needs raw text"),
        ("mlm train", replace(MIXED, encoder="pocket"), "raw text"),
        ("panx train", BASELINE, "no train rows of 'panx'"),
        ("tatoeba validation", BASELINE, "no rows to score 'tatoeba' on"),
    ],
)
def test_missing_rows_are_bad_input_that_names_them(gone: str, recipe: Recipe, named: str) -> None:
    world = {key: value for key, value in WORLD.items() if f"{key[0]} {key[2]}" != gone}
    with pytest.raises(BadInput, match=f"'fake'.*{named}|{named}.*'fake'"):
        plan(recipe, world=world, weights=READY if recipe.encoder == "pocket" else None)
