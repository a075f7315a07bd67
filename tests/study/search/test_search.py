"""The search without a cluster: Tune's configs, Optuna's trials, killed drivers."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from search_spaces import space
from search_spaces.space import FixedSuggest, Space, SpaceContext, Suggest, Value
from study.record.record import Trial
from study.results.selection import Candidate
from study.search.searcher import RecipeSearcher, TargetHalving, open_optuna
from trainables.recipe import Recipe

TARGETS = ("tatoeba", "panx", "xnli")
SETTING = SpaceContext(
    encoder="pocket", profile="small", targets=TARGETS, tasks=("mnli", "squad"), mlm=False, scale=0.1
)
PUBLISHED = space("intermediate_tasks")
ROWS = [(PUBLISHED.recipe(FixedSuggest(p), SETTING), p) for p in PUBLISHED.published(SETTING)]


def _two_questions(suggest: Suggest, setting: SpaceContext) -> Recipe:
    """Suggest six parameter settings for five recipes.

    Without a task the epochs have no meaning.
    """
    task = suggest.scientific("task", ["none", "mnli", "squad"])
    epochs = suggest.nuisance("epochs", [1.0, 2.0])
    fixed = {"encoder": setting.encoder, "profile": setting.profile, "targets": setting.targets}
    if task == "none":
        return Recipe(**fixed)  # type: ignore[arg-type]
    return Recipe(**fixed, intermediate=(task,), epochs=epochs, lr=1e-3)  # type: ignore[arg-type]


SMALL = Space(question="", recipe=_two_questions, published=lambda setting: [{"task": "none", "epochs": 1.0}])


def ended(recipe: Recipe, params: Mapping[str, Any], status: Any = "complete") -> Trial:
    return Trial(address=recipe.address, name="", recipe=recipe, status=status, evaluations={}, params=dict(params))


@pytest.fixture(autouse=True)
def soon_exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.search.searcher.MAX_REPEATS", 40)


@dataclass
class Bench:
    """One launch of a search: a searcher over a journal, and its recipes."""

    folder: Path
    space: Space = PUBLISHED
    given: list[tuple[Recipe, dict[str, Value]]] = field(default_factory=lambda: list(ROWS))
    budget: int = 10
    known: dict[str, Trial] = field(default_factory=dict)
    out: list[Recipe] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.study = open_optuna(self.folder, "study", self._propose, self.said.append)
        self.searcher = RecipeSearcher(
            propose=self._propose,
            study=self.study,
            given=self.given,
            budget=self.budget,
            known={address: Candidate(trial, 50.0) for address, trial in self.known.items()},
            start=self._start,
        )

    def _propose(self, suggest: Suggest) -> Recipe:
        return self.space.recipe(suggest, SETTING)

    def _start(self, recipe: Recipe, params: dict[str, Any]) -> dict[str, Any]:
        self.out.append(recipe)
        return {"recipe": recipe.to_dict(), "params": params}

    def next(self) -> dict[str, Any] | None:
        """Return the next trial's config, or None when the search is over."""
        found = self.searcher.suggest(f"t{len(self.out)}")
        assert found is not None
        return None if isinstance(found, str) else found

    def run(self, trials: int, score: float = 60.0) -> None:
        for number in range(trials):
            trial_id = f"t{len(self.out)}"
            assert self.next(), number
            self.searcher.on_trial_complete(trial_id, {"targets_done": len(TARGETS), "score": score + number})

    def states(self) -> list[str]:
        return [t.state.name for t in self.study.get_trials(deepcopy=False)]


def test_the_baseline_comes_first_then_the_published_rows_then_proposals(tmp_path: Path) -> None:
    bench = Bench(tmp_path, budget=7)
    bench.run(7)
    assert bench.out[0].is_baseline and bench.out[:4] == [recipe for recipe, _ in ROWS]
    assert len({r.address for r in bench.out}) == 7
    assert bench.searcher.suggest("more") == RecipeSearcher.FINISHED
    told = {t.user_attrs["recipe"]: t.value for t in bench.study.get_trials(states=(TrialState.COMPLETE,))}
    assert told == {r.address: 60.0 + n for n, r in enumerate(bench.out)}


def test_a_recipe_of_a_file_runs_without_parameters(tmp_path: Path) -> None:
    bench = Bench(tmp_path, given=[(recipe, {}) for recipe, _ in ROWS[:2]], budget=2)
    bench.run(2)
    assert bench.out == [recipe for recipe, _ in ROWS[:2]] and bench.states() == []


def test_equal_recipes_are_asked_once_and_an_exhausted_space_ends_the_search(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SMALL, given=[], budget=50)
    while bench.next():
        assert len(bench.out) <= 5
    assert len({r.address for r in bench.out}) == len(bench.out) == 5


def test_what_the_record_knows_is_not_asked_again(tmp_path: Path) -> None:
    known = {r.address: ended(r, p) for r, p in ROWS[:2]}
    one = Bench(tmp_path, SMALL, given=[], budget=50)
    one.run(3)
    finished = {r.address: ended(r, {}) for r in one.out} | known
    two = Bench(tmp_path, SMALL, given=[], budget=50, known=finished)
    while two.next():
        pass
    assert len(two.out) == 2 and not {r.address for r in two.out} & finished.keys()


NAN = math.nan
ENDS: list[tuple[dict[str, Any] | None, bool, str]] = [
    ({"targets_done": 3, "score": 61.5}, False, "COMPLETE"),
    ({"targets_done": 3, "score": 0.0}, False, "COMPLETE"),
    ({"targets_done": 2, "score": 61.5}, False, "PRUNED"),
    ({"targets_done": 3, "score": NAN}, False, "FAIL"),
    ({"targets_done": 1, "score": math.inf}, False, "FAIL"),
    ({"targets_done": 0, "score": NAN, "failed": "OutOfMemory: no"}, False, "FAIL"),
    ({"targets_done": 3, "score": 61.5}, True, "FAIL"),
    ({}, False, "FAIL"),
    (None, True, "FAIL"),
]


def _with_labels(suggest: Suggest, setting: SpaceContext) -> Recipe:
    """Suggest recipes of which every other one sees labels of German."""
    labels = ("de",) if suggest.scientific("labels", [False, True]) else ()
    epochs = suggest.nuisance("epochs", [1.0, 2.0])
    fixed = {"encoder": setting.encoder, "profile": setting.profile, "targets": setting.targets}
    return Recipe(**fixed, intermediate=("mnli",), epochs=epochs, lr=1e-3, train_languages=labels)  # type: ignore[arg-type]


def test_optuna_learns_nothing_from_recipes_that_may_not_be_chosen(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(SMALL, recipe=_with_labels), given=[], budget=4)
    bench.run(4)
    known = {r.address: ended(r, {"labels": bool(r.train_languages), "epochs": r.epochs}) for r in bench.out}
    assert sum(bool(r.train_languages) for r in bench.out) == 2, "they run"
    for _ in range(2):  # in the launch that ran them, and where the journal is made anew from the record
        told = bench.study.get_trials()
        complete = [t.params["labels"] for t in told if t.state == TrialState.COMPLETE]
        assert complete == [False, False] and {t.state for t in told} == {TrialState.COMPLETE, TrialState.FAIL}
        (tmp_path / "optuna.journal").unlink()
        bench = Bench(tmp_path, replace(SMALL, recipe=_with_labels), given=[], known=known)


@pytest.mark.parametrize(("result", "error", "state"), ENDS)
def test_optuna_is_told_how_a_trial_ended(
    tmp_path: Path, result: dict[str, Any] | None, error: bool, state: str
) -> None:
    bench = Bench(tmp_path)
    assert bench.next()
    bench.searcher.on_trial_result("t0", {"targets_done": 1, "score": 40.0})
    bench.searcher.on_trial_result("t0", {"targets_done": 2, "score": NAN})
    bench.searcher.on_trial_complete("t0", result, error)
    bench.searcher.on_trial_complete("t0", result, error)  # Tune may report it twice
    (told,) = bench.study.get_trials()
    assert told.state.name == state and told.intermediate_values == {1: 40.0}
    assert told.value == (result["score"] if state == "COMPLETE" and result else None) or state == "PRUNED"


def test_a_failed_recipe_does_not_come_back_in_the_same_launch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SMALL, given=[], budget=50)
    while bench.next():
        bench.searcher.on_trial_complete(f"t{len(bench.out) - 1}", None, error=True)
    assert len({r.address for r in bench.out}) == len(bench.out) == 5


def test_trials_that_a_dead_driver_left_are_closed(tmp_path: Path) -> None:
    """One trial was suggested without a result, one was enqueued and never asked.

    Neither may shift the rows of the next launch.
    """
    bench = Bench(tmp_path)
    assert bench.next() and bench.next()
    bench.study.enqueue_trial(ROWS[3][1])
    again = Bench(tmp_path, budget=4)
    assert again.states() == ["FAIL"] * 3
    again.run(4)
    assert again.out == [recipe for recipe, _ in ROWS]
    told = again.study.get_trials(states=(TrialState.COMPLETE,))
    assert [t.user_attrs["recipe"] for t in told] == [r.address for r in again.out]
    assert [t.params["use.squad"] for t in told] == [p["use.squad"] for _, p in ROWS]


def statuses(bench: Bench) -> dict[str, tuple[str, float | None]]:
    """Map recipes to state and value of the trials that Optuna learns from."""
    trials = bench.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    found = {t.user_attrs["recipe"]: (t.state.name, t.value) for t in trials}
    assert len(found) == len(trials)
    return found


@pytest.mark.parametrize("journal", ["deleted", "kept", "driver killed before it told"])
def test_optunas_view_is_rebuilt_from_the_record(tmp_path: Path, journal: str) -> None:
    (baseline, a), (mnli, b), (squad, c), _ = ROWS
    known = {
        baseline.address: ended(baseline, a), mnli.address: ended(mnli, b, "pruned"), squad.address: ended(squad, c)
    }  # fmt: skip
    first = Bench(tmp_path)
    if journal == "driver killed before it told":
        assert first.next() and first.next() and first.next()
    expected = {baseline.address: ("COMPLETE", 50.0), mnli.address: ("PRUNED", None), squad.address: ("COMPLETE", 50.0)}
    if journal == "kept":
        first.run(1, score=50.0)
        first = Bench(tmp_path, known=known)
    elif journal == "deleted":
        (tmp_path / "optuna.journal").unlink()
    for _ in range(2):  # a second time changes nothing
        assert statuses(Bench(tmp_path, given=ROWS[3:], known=known)) == expected
    assert "RUNNING" not in Bench(tmp_path, known=known).states()


def test_a_proposal_that_the_record_knows_is_answered_from_it(tmp_path: Path) -> None:
    known = {r.address: ended(r, {}) for r in [_two_questions(FixedSuggest({"task": "none", "epochs": 1.0}), SETTING)]}
    bench = Bench(tmp_path, SMALL, given=[], budget=50, known=known)
    while bench.next():
        pass
    answers = {t.value for t in bench.study.get_trials(states=(TrialState.COMPLETE,))}
    assert len(bench.out) == 4 and answers == {50.0}


def test_tune_may_snapshot_the_searcher(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.next()
    pickle.dumps(bench.searcher)
    bench.searcher.save(str(tmp_path / "state"))
    bench.searcher.restore(str(tmp_path / "state"))
    bench.run(2)


def test_the_search_learns_from_what_it_is_told(tmp_path: Path) -> None:
    """A task that helps is proposed more often than one that harms.

    The baseline is not proposed again and again.
    """
    bench = Bench(tmp_path, budget=40)
    for number in range(40):
        assert bench.next()
        score = 50.0 + 20 * ("squad" in bench.out[-1].intermediate) - 20 * ("mnli" in bench.out[-1].intermediate)
        bench.searcher.on_trial_complete(f"t{number}", {"targets_done": 3, "score": score})
    late = bench.out[20:]
    assert sum("squad" in r.intermediate for r in late) > 2 * sum("mnli" in r.intermediate for r in late)
    assert len(bench.states()) < 80
    repeats = [t.value for t in bench.study.get_trials() if t.user_attrs["recipe"] == ROWS[0][0].address]
    assert set(repeats) == {50.0}


@dataclass
class FakeTrial:
    """A Tune trial as a scheduler sees it."""

    trial_id: str
    recipe: Recipe

    @property
    def config(self) -> dict[str, Any]:
        return {"recipe": self.recipe.to_dict()}


def report(rungs: Any, trial: FakeTrial, done: int, score: float, **more: Any) -> str:
    return str(rungs.on_trial_result(None, trial, {"targets_done": done, "rung": done, "score": score, **more}))


def test_the_lower_half_stops_at_a_rung_and_the_baseline_never() -> None:
    rungs: Any = TargetHalving(4, lambda trial: None)
    baseline = FakeTrial("b", replace(ROWS[0][0], targets=(*TARGETS, "xquad")))
    others = [FakeTrial(str(n), replace(ROWS[1][0], epochs=1.0 + n)) for n in range(6)]
    for trial in (baseline, *others):
        rungs.on_trial_add(None, trial)
    said = {n: report(rungs, others[n], 1, score) for n, score in enumerate([60.0, 70.0, 50.0, 80.0, 10.0, 90.0])}
    assert said == {0: "CONTINUE", 1: "CONTINUE", 2: "STOP", 3: "CONTINUE", 4: "STOP", 5: "CONTINUE"}
    assert [report(rungs, baseline, done, 1.0) for done in (1, 2, 3, 4)] == ["CONTINUE"] * 4
    assert report(rungs, others[0], 4, 1.0) == "CONTINUE"  # it ends by itself, as complete
    assert report(rungs, others[1], 0, NAN, failed="OutOfMemory: no") == "CONTINUE"
    rungs.on_trial_complete(None, others[1], {"targets_done": 0, "rung": 0, "score": NAN, "failed": "OutOfMemory: no"})
    rungs.on_trial_complete(None, baseline, {"targets_done": 4, "rung": 4, "score": 1.0})
    assert report(rungs, others[3], 2, 70.0) == "CONTINUE"


def test_rungs_where_choosing_has_nothing_to_look_at_yet_stop_nobody() -> None:
    """Retrieval comes first and has no English dev rows: every trial reports 0."""
    trials = [FakeTrial(str(n), replace(ROWS[1][0], epochs=1.0 + n)) for n in range(4)]
    rungs: Any = TargetHalving(3, lambda trial: None)
    for trial in trials:
        rungs.on_trial_add(None, trial)
    assert {report(rungs, trial, 1, 0.0) for trial in trials} == {"CONTINUE"}


# --- a journal that cannot be used ---


def _with_tasks(*tasks: str) -> Space:
    def recipe(suggest: Suggest, setting: SpaceContext) -> Recipe:
        task = suggest.scientific("task", list(tasks))
        return Recipe(encoder="pocket", profile="small", targets=TARGETS, intermediate=(task,), epochs=1.0, lr=1e-3)

    return Space(question="", recipe=recipe, published=lambda setting: [])


def _known(bench: Bench) -> dict[str, Trial]:
    return {r.address: ended(r, {"task": r.intermediate[0]}) for r in bench.out}


@pytest.mark.parametrize("fault", ["line", "half a line", "bytes", "another study's"])
def test_a_damaged_journal_is_set_aside_and_filled_from_the_record(tmp_path: Path, fault: str) -> None:
    bench = Bench(tmp_path, _with_tasks("mnli", "squad", "qqp"), given=[])
    bench.run(2)
    journal = tmp_path / "optuna.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[3] = {"line": b"{torn\n", "half a line": lines[3][:9], "bytes": b"\xff\x00\n"}.get(fault, b'{"op_code": 4}\n')
    journal.write_bytes(b"".join(lines))
    again = Bench(tmp_path, bench.space, given=[], known=_known(bench))
    (said,) = again.said
    assert f"{journal} does not fit" in said and "it is now optuna.journal.broken-1" in said and "\n" not in said
    assert (tmp_path / "optuna.journal.broken-1").read_bytes() == b"".join(lines)
    assert again.states() == ["COMPLETE"] * 2
    again.run(1)
    assert {recipe.intermediate for recipe in (*bench.out, *again.out)} == {("mnli",), ("squad",), ("qqp",)}


def test_choices_added_to_or_taken_from_a_space_are_searched_at_the_next_resume(tmp_path: Path) -> None:
    bench = Bench(tmp_path, _with_tasks("mnli", "squad"), given=[])
    bench.run(2)
    more = Bench(tmp_path, _with_tasks("mnli", "squad", "qqp"), given=[], known=_known(bench))
    assert len(more.said) == 1 and more.states() == ["COMPLETE"] * 2
    more.run(1)
    assert more.out[0].intermediate == ("qqp",)
    fewer = Bench(tmp_path, _with_tasks("qqp", "ccg"), given=[], known=_known(bench) | _known(more))
    assert "optuna.journal.broken-2" in fewer.said[0]
    told = {t.user_attrs["recipe"] for t in fewer.study.get_trials(states=(TrialState.COMPLETE,))}
    assert told == {more.out[0].address}, "what the space no longer has tells it nothing"
    assert Bench(tmp_path, fewer.space, given=[]).said == []
