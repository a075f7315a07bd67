"""Published hyperparameters exactly, derived steps and mixtures, and origins."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, replace

import pytest

from study.planning.plan import Planner
from study.spec.recipe_file import recipe_toml
from study.spec.study_spec import ResolvedSpec
from tests import ROOT
from trainables.catalogue import DATASETS
from trainables.configs import Intermediate, Target, steps_of
from trainables.hyperparameter_sources import lines, numbers, sources
from trainables.objectives import Align
from trainables.profiles import PROFILES, Phase, Profile, TaskHyperparameters
from trainables.recipe import Recipe
from trainables.sources import open_source
from trainables.training.schedule import learning_rate, mixing_probabilities

PHANG, XTREME, JIANT, MTDNN, SMALL = (PROFILES[name] for name in ("phang2020", "xtreme", "jiant", "mtdnn", "small"))
# Training rows e_m of Phang et al. 2020, Table 1, with the two tasks of its later version.
SIX = {
    "anli_plus": 1_104_934,
    "qqp": 363_846,
    "hellaswag": 39_905,
    "ccg": 38_015,
    "cosmos_qa": 25_588,
    "commonsense_qa": 9_741,
}
NINE = {**SIX, "squad": 87_599, "mnli": 392_702, "squad_v2": 130_319}
BASELINE = Recipe(encoder="pocket", profile="small", targets=("xnli", "xquad"))


def brief(fit: TaskHyperparameters) -> tuple[int, float, int]:
    return fit.batch, fit.epochs, fit.max_length


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("task", "batch", "epochs", "length"),
    [
        ("anli_plus", 24, 2, 256),
        ("ccg", 24, 15, 256),
        ("commonsense_qa", 4, 10, 256),
        ("cosmos_qa", 4, 15, 256),
        ("hellaswag", 24, 7, 256),
        ("qqp", 24, 3, 256),
        ("squad", 8, 3, 384),
    ],
)
def test_intermediate_numbers_of_phang2020(task: str, batch: int, epochs: float, length: int) -> None:
    assert brief(PHANG.fit(task, target=False)) == (batch, epochs, length)


@pytest.mark.protocol
def test_what_all_intermediate_tasks_of_phang2020_share() -> None:
    assert (PHANG.intermediate_lr(mlm=False), PHANG.intermediate_lr(mlm=True)) == (1e-5, 5e-6)
    assert PHANG.phase == Phase(
        lr=1e-5, warmup_frac=0.1, warmup_steps=0, weight_decay=0.01, clip=1.0, adam_eps=1e-8, eval_every=1000,
        patience=30, dev_examples=500, keep="best",
    )  # fmt: skip
    assert (PHANG.mixing_limit, PHANG.mixture_epochs, PHANG.doc_stride) == (131_072, 3, 128)
    assert (PHANG.mlm.batch, PHANG.mlm_sentences, PHANG.mlm_alpha) == (8, 2_000_000, 0.3)


QA = ("squad", "tydiqa")
TARGETS = {
    "phang2020": {"mnli": (4, 2), "pawsx": (32, 5), "udpos": (32, 10), "panx": (32, 10), "squad": (16, 2), "tydiqa": (16, 2)},
    "xtreme": {"mnli": (32, 5), "pawsx": (32, 5), "udpos": (32, 10), "panx": (32, 10), "squad": (32, 3), "tydiqa": (32, 3)},
    "jiant": {"mnli": (32, 2), "pawsx": (32, 5), "udpos": (32, 10), "panx": (32, 10), "squad": (16, 2), "tydiqa": (16, 2)},
}  # fmt: skip
PARTS = {"phang2020": (1, 1), "xtreme": (16, 8), "jiant": (8, 4)}
LR = {
    "phang2020": dict.fromkeys(TARGETS["phang2020"], 3e-6),
    "xtreme": {"mnli": 3e-5, "pawsx": 2e-5, "udpos": 2e-5, "panx": 2e-5, "squad": 3e-5, "tydiqa": 3e-5},
    "jiant": dict.fromkeys(TARGETS["jiant"], 1e-5),
}


@pytest.mark.protocol
@pytest.mark.parametrize("task", list(TARGETS["xtreme"]))
@pytest.mark.parametrize("name", list(TARGETS))
def test_target_numbers(name: str, task: str) -> None:
    profile, qa = PROFILES[name], task in QA
    fit = profile.fit(task, target=True)
    assert (fit.batch, fit.epochs) == TARGETS[name][task]
    assert fit.accumulation == PARTS[name][qa]
    assert profile.target_phase_of(task).lr == LR[name][task]
    assert fit.max_length == (384 if qa else 128 if name == "xtreme" else 256)
    phase = profile.target_phase_of(task)
    assert (phase.clip, phase.adam_eps) == (1.0, 1e-8)
    if name != "xtreme":
        assert phase == Phase(
            lr=phase.lr
        )  # warm-up 10 %, decay .01, every 1,000 steps, 30 without a better one, first 500


GLUE = {
    "cola": 8_551, "sst2": 67_349, "stsb": 5_749, "rte": 2_490, "mnli": 392_702, "qqp": 363_846, "mrpc": 3_668, "qnli": 104_743,
}  # fmt: skip


@pytest.mark.protocol
def test_pre_finetuning_mixes_glue_in_proportion_to_size() -> None:
    """949,098 rows, no cap, one pass an epoch: ceil(e / 32) batches of each task, 29,663 steps, four times."""
    found = mixing_probabilities(GLUE, MTDNN.mixing_limit)
    assert found == pytest.approx(
        {"cola": 0.009010, "sst2": 0.070961, "stsb": 0.006057, "rte": 0.002624, "mnli": 0.413763, "qqp": 0.383360,
         "mrpc": 0.003865, "qnli": 0.110361}, abs=1e-6,
    )  # fmt: skip
    fits = {task: (rows, 1.0, MTDNN.fit(task, target=False).batch) for task, rows in GLUE.items()}
    one_pass = 268 + 2_105 + 180 + 78 + 12_272 + 11_371 + 115 + 3_274
    assert steps_of(fits, 1.0, MTDNN.mixing_limit, 0.0) == one_pass == 29_663
    assert steps_of(fits, MTDNN.mixture_epochs, MTDNN.mixing_limit, 0.0) == 118_652


@pytest.mark.protocol
def test_numbers_of_mtdnn() -> None:
    assert MTDNN.phase == Phase(
        lr=5e-5, optimizer="adamax", rates="linear", warmup_frac=0.1, weight_decay=0.0, clip=1.0, adam_eps=1e-6,
        eval_every=10_000, patience=None, dev_examples=500, keep="last",
    )  # fmt: skip
    assert brief(MTDNN.fit("qnli_ranking", target=False)) == (32, 4, 512)
    fit, phase = MTDNN.fit("multiatis", target=True), MTDNN.target_phase_of("multiatis")
    assert brief(fit) == (256, 40, 512)
    assert (phase.lr, phase.optimizer, phase.rates, phase.keep, phase.patience) == (
        5e-6,
        "adamw",
        "linear",
        "last",
        None,
    )
    assert steps_of({"multiatis": (4_488, 40, 256)}, 1.0, 0, 0.0) == 40 * 18
    origins = {
        part: MTDNN.origin(part) for part in ("phase.lr", "phase.adam_eps", "target_phase.lr", "target_phase.rates")
    }
    assert origins == {
        "phase.lr": "mtdnn", "phase.adam_eps": "mt-dnn's code (not stated in mtdnn)",
        "target_phase.lr": "mtdnn", "target_phase.rates": "Stepstone (not stated in mtdnn)",
    }  # fmt: skip
    assert MTDNN.target_phase_of("mnli") == PHANG.target_phase  # not a target of the paper


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("task", "every"),
    [("mnli", 100), ("pawsx", 200), ("udpos", 500), ("panx", 1000), ("squad", 1000), ("tydiqa", 1000)],
)
def test_xtreme_looks_at_all_dev_rows_and_never_stops_early(task: str, every: int) -> None:
    phase, qa = XTREME.target_phase_of(task), task in QA
    assert (phase.eval_every, phase.patience, phase.dev_examples) == (every, None, None)
    assert phase.keep == ("last" if qa else "best")
    assert (phase.warmup_frac, phase.warmup_steps, phase.weight_decay) == (0, 500 if qa else 0, 1e-4 if qa else 0)


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("task", "batch", "parts", "epochs", "lr", "length"),
    [
        ("siqa", 32, 16, 5, 3e-5, 128),
        ("copa", 32, 16, 5, 3e-5, 128),
        ("mewslix", 32, 4, 2, 1e-5, 64),
        ("lareqa", 16, 4, 3, 2e-5, 256),
    ],
)
def test_xtreme_r_numbers(task: str, batch: int, parts: int, epochs: float, lr: float, length: int) -> None:
    fit = XTREME.fit(task, target=True)
    assert (fit.batch, fit.accumulation, fit.epochs, fit.max_length) == (batch, parts, epochs, length)
    assert XTREME.target_phase_of(task).lr == lr


@pytest.mark.protocol
def test_numbers_of_robust_training() -> None:
    """Huang et al. 2021: the published scripts; the rest is XTREME's."""
    robust = PROFILES["robust"]
    for task, epochs, every, copies in (("mnli", 1, 1000, 3), ("pawsx", 3, 500, 10)):
        fit, phase = robust.fit(task, target=True), robust.target_phase_of(task)
        assert (fit.batch // fit.accumulation, fit.accumulation, fit.max_length, fit.epochs) == (8, 4, 128, epochs)
        assert (phase.lr, phase.eval_every, phase.keep, phase.patience) == (2e-5, every, "best", None)
        assert (robust.copies_of(task), robust.origin(f"copies.{task}")) == (copies, "robust")
        assert robust.origin("target_fits") == robust.origin("target_phase.lr") == "robust"
    assert robust.fit("udpos", target=True) == replace(XTREME.fit("udpos", target=True), origin="xtreme")
    assert robust.origin("target_phase.clip") == "xtreme" and robust.origin("phase.lr") == "phang2020, A.1"


def test_a_base_fills_what_a_source_does_not_say() -> None:
    for profile in (XTREME, JIANT):
        assert profile.base == "phang2020"
        assert (profile.fits, profile.phase, profile.mixing_limit) == (PHANG.fits, PHANG.phase, PHANG.mixing_limit)
        assert profile.origin("fits") == "phang2020, Table 3" and profile.origin("phase.clip").startswith("jiant")
        assert profile.origin("target_phase.lr") == profile.origin("target_fits") == profile.name
    assert XTREME.origin("mixing_limit") == "phang2020"


def test_the_small_profile_keeps_the_numbers_of_the_pocket_study() -> None:
    assert (SMALL.mixing_limit, SMALL.mixture_epochs, SMALL.doc_stride) == (2**11, 2, 128)
    assert (SMALL.phase, SMALL.target_phase) == (Phase(lr=2e-4, patience=3), Phase(lr=5e-4, patience=3))
    for task in ("mnli", "qqp", "hellaswag", "pawsx", "panx", "sib200"):
        assert brief(SMALL.fit(task, target=False)) == (32, 3, 128)
        assert brief(SMALL.fit(task, target=True)) == (32, 0.5 if task == "mnli" else 1.5, 128)
    assert brief(SMALL.fit("squad", target=False)) == (32, 3, 256)
    assert brief(SMALL.fit("squad", target=True)) == (32, 0.375, 256)
    assert brief(SMALL.mlm) == (32, 1, 64) and SMALL.lr_mlm == 2e-4


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda p: p.name)
def test_every_name_of_a_profile_is_in_the_catalogue(profile: Profile) -> None:
    assert {*profile.fits, *profile.target_fits} - {""} <= set(DATASETS)


# --- what follows from the numbers ---


def counts(sizes: dict[str, int]) -> dict[str, tuple[int, float, int]]:
    return {task: (rows, PHANG.mixture_epochs, PHANG.fit(task, target=False).batch) for task, rows in sizes.items()}


@pytest.mark.protocol
def test_the_six_tasks_take_69_012_steps_by_the_numbers_of_the_profile() -> None:
    assert steps_of(counts(SIX), 1.0, PHANG.mixing_limit, 0.0) == 69_012
    assert sum(min(rows, PHANG.mixing_limit) for rows in SIX.values()) == 375_393


@pytest.mark.protocol
def test_the_nine_tasks_mix_by_the_limit_of_the_profile() -> None:
    found = mixing_probabilities(NINE, PHANG.mixing_limit)
    expected = {
        **dict.fromkeys(("anli_plus", "qqp", "mnli"), 0.180943), "squad_v2": 0.179903, "squad": 0.120929,
        "hellaswag": 0.055088, "ccg": 0.052479, "cosmos_qa": 0.035324, "commonsense_qa": 0.013447,
    }  # fmt: skip
    assert found == pytest.approx(expected, abs=5e-7)
    assert sum(min(rows, PHANG.mixing_limit) for rows in NINE.values()) == 724_383


@pytest.mark.protocol
@pytest.mark.parametrize(("task", "share"), [("squad", 0.400597), ("commonsense_qa", 0.069177), ("anli_plus", 0.5)])
def test_masked_lm_takes_its_share_and_stretches_the_phase(task: str, share: float) -> None:
    sizes = {task: NINE[task], "mlm": PHANG.mlm_sentences}
    found = mixing_probabilities(sizes, PHANG.mixing_limit)
    assert found[task] == pytest.approx(share, abs=5e-7)
    fit = PHANG.fit(task, target=False)
    alone, mixed = (steps_of({task: (NINE[task], fit.epochs, fit.batch)}, 1.0, 0, mlm) for mlm in (0.0, found["mlm"]))
    assert mixed * found[task] == pytest.approx(alone, abs=1)


def test_a_warm_up_in_steps_is_exact() -> None:
    steps = 8_213
    rates = [learning_rate(step, steps, 3e-5, 500 / steps) for step in range(steps)]
    assert rates.index(max(rates)) == 499 and rates[249] == pytest.approx(1.5e-5) and rates[501] < max(rates)


# --- in a plan ---


def configs(recipe: Recipe) -> list[Intermediate | Target]:
    planner = Planner(open_source("pocket"), None)
    recipe = replace(recipe, encoder="pretrain:nano")
    return [n.config for n in planner.plan(recipe, 1).nodes if isinstance(n.config, Intermediate | Target)]


def test_each_target_is_planned_with_its_own_numbers() -> None:
    found = {c.task.name: c for c in configs(replace(BASELINE, profile="xtreme")) if isinstance(c, Target)}
    assert (found["mnli"].fit.lr, found["squad"].fit.lr) == (3e-5, 3e-5)
    assert found["mnli"].fit.warmup_frac == 0 and found["squad"].fit.warmup_steps == 500
    assert found["squad"].fit.patience is None and found["squad"].fit.dev_examples is None
    assert (found["mnli"].fit.keep, found["squad"].fit.keep) == ("best", "last")
    rehearsal = {
        c.task.name: c for c in configs(replace(BASELINE, profile="xtreme", scale=0.1)) if isinstance(c, Target)
    }
    assert rehearsal["squad"].fit.warmup_steps == 50


def test_the_intermediate_phase_has_the_recipes_learning_rate_and_the_profiles_numbers() -> None:
    recipe = replace(BASELINE, profile="phang2020", intermediate=("mnli",), epochs=1.0, lr=2e-5)
    (found,) = [c for c in configs(recipe) if isinstance(c, Intermediate)]
    assert {k: v for k, v in asdict(found.fit).items() if k in asdict(PHANG.phase)} == asdict(
        replace(PHANG.phase, lr=2e-5)
    )


# --- where each number is from ---


def test_numbers_say_where_they_are_from() -> None:
    recipe = Recipe(
        encoder="x", profile="phang2020", targets=("xnli", "xquad"), intermediate=("squad",), epochs=1.0, lr=5e-6,
        mlm_ratio="by_size", mixing_limit=2**15,
    )  # fmt: skip
    found = {(n.part, n.name): (n.value, n.origin) for n in numbers(recipe)}
    assert found["intermediate", "lr with MLM"] == (5e-6, "phang2020, A.1")
    assert found["intermediate", "clip"] == (1.0, "jiant (not stated in the paper)")
    assert found["intermediate squad", "batch"] == (8, "phang2020, Table 3")
    assert found["intermediate squad", "length"] == (384, "jiant (not stated in the paper)")
    assert found["mixture", "limit K"] == (2**15, "this recipe")
    assert found["targets", "lr"] == (3e-6, "phang2020, A.2")
    assert found["target mnli", "batch"] == (4, "phang2020, Table 4")
    assert found["scoring", "n-best"][0] == 20
    again = {(n.part, n.name): n.origin for n in numbers(replace(recipe, lr=1e-4, epochs=0.5))}
    assert again["intermediate", "lr with MLM"] == again["intermediate", "times its epochs"] == "this recipe"


def test_numbers_of_alignment_say_on_what_and_who_translated_it() -> None:
    recipe = replace(BASELINE, targets=("pawsx",), align=Align(languages=("de", "es"), weight=0.5))
    found = {n.name: (n.value, n.origin) for n in numbers(recipe) if n.part == "alignment"}
    assert found == {
        "weight": (0.5, "this recipe"), "languages": ("de+es", "this recipe"), "batch": (32, "as the task's"),
        "order": ("joint", "Gritta and Iacobacci 2021"), "pairs": ("pawsx, translated by machine", "this recipe"),
    }  # fmt: skip


def test_every_number_of_a_phase_is_listed_once_and_rebuilds_it() -> None:
    """Numbers that all targets share are under "targets", others under each."""
    recipe = replace(BASELINE, encoder="x", profile="xtreme")
    found = {(n.part, n.name): n.value for n in numbers(recipe)}
    assert found["targets", "patience"] == "none" and found["targets", "dev examples"] == "all"
    for task, warmup, keep, batch in (("mnli", 0, "best", "32 (2 x 16)"), ("squad", "500 steps", "last", "32 (4 x 8)")):
        own = {
            **{k[1]: v for k, v in found.items() if k[0] == "targets"},
            **{k[1]: v for k, v in found.items() if k[0] == f"target {task}"},
        }
        assert (own["warm-up"], own["keep"], own["batch"]) == (warmup, keep, batch)
        assert len(own) == 11 + 3  # the fields of a phase, warm-up counted once, and batch, epochs, length
    assert len(numbers(recipe)) == len(set(numbers(recipe)))


def test_a_mixture_has_the_epochs_of_mixtures() -> None:
    recipe = replace(BASELINE, intermediate=("mnli", "squad"), epochs=1.0, lr=5e-4, mixing_limit=2**11)
    found = [(n.part, n.name, n.value) for n in numbers(recipe)]
    assert ("mixture", "epochs", 2) in found and ("mixture", "limit K", 2**11) in found
    assert not any(part.startswith("intermediate ") and name == "epochs" for part, name, _ in found)


def test_the_lines_for_people_join_what_is_equal() -> None:
    recipe = replace(BASELINE, encoder="x", targets=("xnli", "pawsx", "panx"))
    found = [n for r in (recipe, replace(recipe, targets=("xnli",))) for n in numbers(r)]
    shown = lines(found)
    assert ("target pawsx, panx", "batch 32, epochs 1.5, length 128", "small") in shown
    assert len(shown) == len(set(shown))
    assert sources(found) == [f"small: {SMALL.cite}"]


@pytest.mark.parametrize("name", list(PROFILES))
def test_a_recipe_file_holds_the_origins_as_comments(name: str) -> None:
    settings = ResolvedSpec(
        space="intermediate_tasks", source="pocket", encoder="pocket", profile=name, targets=BASELINE.targets,
        intermediate=(), mlm=False, seeds=1, scale=1.0, selection="english_dev", trials=0, grid=True,
    )  # fmt: skip
    recipe = replace(BASELINE, profile=name)
    text = recipe_toml(recipe, settings, "no intermediate task")
    assert Recipe.from_dict(tomllib.loads(text)["recipe"]) == recipe
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert any("target mnli" in line and "batch" in line for line in comments)
    assert f"# {name}: {PROFILES[name].cite}" in comments


def test_the_page_on_recipes_shows_the_numbers_that_the_profiles_have() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text()
    for name, tasks in TARGETS.items():
        for task in tasks:
            fit, phase = PROFILES[name].fit(task, target=True), PROFILES[name].target_phase_of(task)
            assert f"{fit.batch} / {fit.epochs:g} / {phase.lr:g}" in page
