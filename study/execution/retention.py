"""Which weights the studies of a home need, and how room is made: by `study.gc`, or after each trial of a study.

Metrics, per-example scores, predictions, histories and the record always stay. So do the weights below the best recipes of
each study, and those that its unfinished trials start from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from study.execution.disk_usage import WEIGHTS, Disk, Item, Use, size_of
from study.planning.encoder_weights import resolve
from study.planning.plan import Planner, missing
from study.record.record import Record, Trial, studies, table_order
from study.results.selection import candidates, ranked
from study.spec.initial_trials import initial_trials
from study.spec.study_spec import ResolvedSpec
from study.store.store import Store
from trainables.sources import open_source

BEST, UNFINISHED, STARTS = "of the best recipes", "for trials that are not finished", "a study starts from them"


@dataclass
class RetentionSet:
    """What the studies of a home need.

    Attributes:
        reasons: address of a stage whose weights stay -> why.
        owned: study -> stages that belong to it.
        notes: studies that cannot be planned now, and why. Whatever they may need stays.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    owned: dict[str, set[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class GcResult:
    """What a collection found and did: bytes of the home before, what was (or would be) freed, and what had to stay."""

    uses: list[Use]
    items: list[Item]
    kept: list[Use]
    notes: list[str]
    max_bytes: int | None

    @property
    def before(self) -> int:
        """Bytes of the home."""
        return sum(use.bytes for use in self.uses)

    @property
    def after(self) -> int:
        """Bytes of the home without what was freed."""
        return self.before - sum(item.bytes for item in self.items)

    @property
    def is_met(self) -> bool:
        """Whether the home is within its budget, where it has one."""
        return self.max_bytes is None or self.after <= self.max_bytes

    def to_dict(self) -> dict[str, Any]:
        """Literals for --json."""
        return {
            "bytes": self.before,
            "bytes_after": self.after,
            "max_bytes": self.max_bytes,
            "met": self.is_met,
            "uses": [asdict(use) for use in self.uses],
            "freed": [
                {"kind": i.kind, "path": str(i.path), "bytes": i.bytes, "address": i.address} for i in self.items
            ],
            "kept": [asdict(use) for use in self.kept],
            "notes": self.notes,
        }


class RetentionPolicy:
    """Finds which weights the studies of a home need; holds on to the sources it opened, for one who asks often."""

    def __init__(self, home: Path, keep_best: int = 1) -> None:
        self.home, self.keep_best, self.store = home, keep_best, Store(home)
        self.planners: dict[str, tuple[ResolvedSpec, Planner]] = {}

    def needs(self, disk: Disk) -> RetentionSet:
        """What all studies of the home need, by the record and the stages as they are on disk."""
        found = RetentionSet()
        for name in studies(self.home):
            try:
                self._add(found, Record(self.home, name), disk)
            except Exception as error:  # of any kind: a study that is not understood loses nothing
                found.reasons |= {a: found.reasons.get(a, UNFINISHED) for a in found.owned.get(name, ())}
                found.notes.append(f"study {name!r} cannot be planned ({' '.join(str(error).split())})")
        return found

    def _add(self, found: RetentionSet, record: Record, disk: Disk) -> None:
        """Adds one study; what is known without its source comes first, so that it holds where the source is gone."""
        settings, trials = record.settings, record.trials()
        owned = found.owned.setdefault(record.name, set())
        present: Collection[str] = disk.stages.keys()
        start = Path(settings.encoder)
        if self.home / "stages" in start.parents:  # an encoder that another study of this home has made
            found.reasons[start.relative_to(self.home / "stages").parts[1]] = STARTS
        below = {t.address: self._below(t) for t in trials.values()}
        owned.update(*below.values())
        whole = [t for t in trials.values() if t.status == "complete" and _is_whole(t, settings, present)]
        scored = candidates(table_order(trials), settings, self.store, present.__contains__)
        for chosen in ranked(scored)[: self.keep_best]:
            found.reasons |= dict.fromkeys(below[chosen.trial.address], BEST)
        running = {t.address for t in trials.values() if t.status == "running"}
        recipes = [t.recipe for t in trials.values() if t.status != "pruned" and t not in whole]
        ended = {t.address for t in trials.values() if t.status == "pruned"} | {t.address for t in whole}
        if settings.grid or len(ended) < settings.trials:
            recipes += [recipe for recipe, _ in initial_trials(settings) if recipe.address not in ended | trials.keys()]
        if not settings.grid and len(ended) < settings.trials:  # a search may propose anything: it needs an encoder
            roots = [a for a in owned if a in present and disk.stages[a].kind == WEIGHTS[0]]
            found.reasons |= {a: found.reasons.get(a, UNFINISHED) for a in roots}
        if not recipes:
            return
        planner = self._planner(record.name, settings)
        for recipe in recipes:
            plan = planner.plan(recipe, settings.seeds)
            own = {node.address for node in plan.nodes}
            owned |= own
            # One that runs may have its scores already and turn out to be the best: it keeps all that it has made.
            started = own if recipe.address in running else {n.parent for n in missing(plan, present.__contains__)}
            found.reasons |= {a: found.reasons.get(a, UNFINISHED) for a in started}

    def _planner(self, name: str, settings: ResolvedSpec) -> Planner:
        known = self.planners.get(name)
        if known is None or known[0] != settings:
            planner = Planner(open_source(settings.source), resolve(settings.encoder), settings.sweep_layers)
            known = self.planners[name] = (settings, planner)
        return known[1]

    def _below(self, trial: Trial) -> set[str]:
        """The stages that its evaluations started from, as far down as there are descriptions."""
        found: set[str] = set()
        waiting = [a for seeds in (*trial.evaluations.values(), *trial.sweeps.values()) for a in seeds]
        while waiting:
            address = waiting.pop()
            with suppress(OSError, ValueError, KeyError):
                parent = self.store.info(address)["parent"]
                if parent and parent not in found:
                    found.add(parent)
                    waiting.append(parent)
        return found


def _is_whole(trial: Trial, settings: ResolvedSpec, present: Collection[str]) -> bool:
    """Whether the store has every evaluation, so that nothing below them is needed; sweeps too, where they are asked for."""
    if set(trial.evaluations) != set(settings.targets) or (settings.sweep_layers and not trial.sweeps):
        return False
    return all(a in present for seeds in (*trial.evaluations.values(), *trial.sweeps.values()) for a in seeds)


def collect(
    home: Path,
    keeper: RetentionPolicy,
    *,
    names: Sequence[str] | None = None,
    max_bytes: int | None = None,
    dry_run: bool = False,
) -> GcResult:
    """Frees what nobody needs; with `max_bytes` only until the home is within them.

    Args:
        keeper: says what stays.
        names: free only weights that belong to these studies (default: of all, and of none).
        max_bytes: without it leftovers, then weights, then the cache; with it leftovers, cache, and weights by last use.
        dry_run: finds the same and frees nothing.
    """
    keeper.needs(Disk(home))  # opens the sources, which may take long: what follows is one quick look
    disk = Disk(home)
    weights, uses, needs = disk.weights(), disk.uses(), keeper.needs(disk)
    may_go = set().union(*needs.owned.values()) if needs.notes else disk.stages.keys()
    if names is not None:
        may_go = set().union(*(needs.owned.get(name, ()) for name in names))
    free = [
        w for w in weights if w.address in may_go and w.address not in needs.reasons and not disk.is_live(w.address)
    ]
    cache = [] if max_bytes is None and disk.is_busy else disk.encoded()
    plan = [*disk.leftovers(), *(cache + free if max_bytes is not None else free + cache)]
    left, items = sum(use.bytes for use in uses), []
    for item in plan:
        if max_bytes is not None and left <= max_bytes:
            break
        if dry_run or disk.free(item):
            items.append(item)
            left -= item.bytes
    gone = {item.address for item in items}
    kept = _kept((w for w in weights if w.address not in gone), needs, free)
    return GcResult(uses, items, kept, needs.notes, max_bytes)


def _kept(weights: Iterable[Item], needs: RetentionSet, free: Collection[Item]) -> list[Use]:
    """Why the other weights stay."""
    found: dict[str, list[int]] = {}
    for item in weights:
        other = "within the budget or in use" if item in free else "not asked for, or their study cannot be planned"
        found.setdefault(needs.reasons.get(item.address, other), []).append(item.bytes)
    return [Use(why, len(sizes), sum(sizes)) for why, sizes in found.items()]


class Budget:
    """Keeps a home within `max_bytes` while a study runs; does nothing without them. Called when a trial has ended."""

    def __init__(self, home: Path, max_bytes: int | None, say: Callable[[str], None]) -> None:
        self.home, self.max_bytes, self.say = home, max_bytes, say
        self.keeper, self.warned = RetentionPolicy(home), False

    def __call__(self) -> None:
        """Frees what must go; says what went, and once when that was not enough. Nothing that goes wrong here stops a study."""
        if self.max_bytes is None or size_of(self.home) <= self.max_bytes:
            return
        try:
            done = collect(self.home, self.keeper, max_bytes=self.max_bytes)
        except Exception as error:
            self.say(f"the home is over --max-bytes, and nothing could be freed: {type(error).__name__}: {error}")
            return
        if done.items:
            self.say(f"freed {decimal(done.before - done.after)} of {decimal(done.before)}, to stay within --max-bytes")
        if not done.is_met and not self.warned:
            self.warned = True
            self.say(over(done))


def over(done: GcResult) -> str:
    """Why the budget cannot be met."""
    stays = ", ".join(f"{decimal(use.bytes)} of weights {use.what}" for use in done.kept) or "no weights"
    return (
        f"{decimal(done.after)} are over the budget of {decimal(done.max_bytes or 0)}, and the rest is needed: "
        f"{stays}; scores and records always stay"
    )
