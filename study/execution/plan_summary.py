"""Summary of a planned study: recipes, stages, cost, numbers and origins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.execution.driver import StudyDriver
from study.planning.cost import Cost
from study.planning.plan import missing
from study.sanitize import sanitize
from trainables.catalogue import TITLES
from trainables.configs import Evaluate
from trainables.hyperparameter_sources import Number, lines, numbers, sources
from trainables.recipe import title


class RecipeStages(NamedTuple):
    """Stages of one recipe.

    Stages shared with an earlier recipe count as finished.
    """

    name: str
    stages: int
    finished: int
    to_train: int
    to_score: int


@dataclass(frozen=True, repr=False)
class PlanSummary:
    """Summary of a study's plan on this machine or cluster.

    Attributes:
        trial_bytes: estimated memory of a trial; None if the encoder's sizes are not known.
        numbers: every hyperparameter of the recipes, with its origin.
    """

    study: str
    recipes: tuple[RecipeStages, ...]
    cost: Cost
    trial_bytes: int | None
    numbers: tuple[Number, ...]

    @property
    def stages_to_run(self) -> int:
        """Number of stages that are not finished."""
        return sum(recipe.to_train + recipe.to_score for recipe in self.recipes)

    def __repr__(self) -> str:
        return f"<PlanSummary of {self.study!r}: {self.text()}>"

    def text(self) -> str:
        """Return recipes, stages, steps and time in one line."""
        return self.cost.text()

    def to_dict(self) -> dict[str, Any]:
        """Convert the summary to literals for --json."""
        return {
            "study": self.study,
            "recipes": len(self.recipes),
            "stages_to_run": self.stages_to_run,
            "train_steps": self.cost.train_steps,
            "scored_rows": self.cost.scored_rows,
            "seconds": self.cost.seconds,
            "trial_bytes": self.trial_bytes,
            "trials_at_once": self.cost.concurrent,
            "numbers": [number._asdict() for number in self.numbers],
        }


def summarize(driver: StudyDriver) -> PlanSummary:
    """Plan a study without starting it.

    Raises:
        BadInput: the study has an error that is known in advance.
    """
    driver.check(read=False)
    seen: set[str] = set()
    recipes = []
    for recipe, _ in driver.rows():
        plan = driver.plan(recipe)
        lacking = [n for n in missing(plan, driver.store.has) if n.address not in seen]
        seen |= {n.address for n in lacking}
        scoring = sum(isinstance(n.config, Evaluate) for n in lacking)
        counts = (len(plan.nodes), len(plan.nodes) - len(lacking), len(lacking) - scoring, scoring)
        recipes.append(RecipeStages(title(recipe, TITLES), *counts))
    found = tuple(dict.fromkeys(n for recipe, _ in driver.rows() for n in numbers(recipe)))
    trial_bytes = driver.options.workers * driver.need or None
    return PlanSummary(driver.record.name, tuple(recipes), driver.cost(time=True), trial_bytes, found)


def print_plan(summary: PlanSummary, console: Console) -> None:
    """Print numbers with their origins, recipes, stages and cost."""
    origins = Table("stage", "numbers", "from", title="where each number comes from", box=SIMPLE_HEAD, pad_edge=False)
    for line in lines(summary.numbers):
        origins.add_row(*map(escape, line))
    console.print(origins)
    table = Table("recipe", "stages", "finished", "to train", "to score", title=f"plan of {escape(summary.study)}")
    for recipe in summary.recipes:
        table.add_row(escape(recipe.name), *map(str, recipe[1:]))
    for cited in sources(summary.numbers):
        console.print(sanitize(cited), soft_wrap=True, markup=False)
    console.print(table)
    console.print(summary.text(), soft_wrap=True, markup=False)
    if summary.trial_bytes:
        console.print(f"a trial needs about {summary.trial_bytes / 1e9:.1f} GB of memory")
