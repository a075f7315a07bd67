"""Retention of weights that a home's studies need.

`study.gc` removes all other weights, and with `--max-bytes` so does a launch after each trial. Metrics, per-example scores,
predictions, histories and the record always stay. So do the weights below the best recipes of each study, and those that its
unfinished trials start from.
"""

from __future__ import annotations

import re
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
    """Stages that the studies of a home need.

    Attributes:
        reasons: id of a stage whose weights stay -> why.
        owned: study -> stages that belong to it.
        notes: studies that cannot be planned now, and why. All stages that they may need stay.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    owned: dict[str, set[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class GcResult:
    """Result of a collection.

    Attributes:
        uses: disk usage of the home before.
        items: items that were freed, or would be (with `dry_run`).
        kept: weights that stay, by reason.
        notes: studies that could not be planned.
    """

    uses: list[Use]
    items: list[Item]
    kept: list[Use]
    notes: list[str]
    max_bytes: int | None

    @property
    def before(self) -> int:
        """Size of the home before, in bytes."""
        return sum(use.bytes for use in self.uses)

    @property
    def after(self) -> int:
        """Size of the home after, in bytes."""
        return self.before - sum(item.bytes for item in self.items)

    @property
    def is_met(self) -> bool:
        """Whether the home is within its limit, if there is one."""
        return self.max_bytes is None or self.after <= self.max_bytes

    def to_dict(self) -> dict[str, Any]:
        """Convert the result to literals for --json."""
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
    """Rules for the weights that a home's studies need.

    Opened sources are cached.
    """

    def __init__(self, home: Path, keep_best: int = 1) -> None:
        self.home, self.keep_best, self.store = home, keep_best, Store(home)
        self.planners: dict[str, tuple[ResolvedSpec, Planner]] = {}

    def needs(self, disk: Disk) -> RetentionSet:
        """Compute what the home's studies need from their records and stages."""
        found = RetentionSet()
        for name in studies(self.home):
            try:
                self._add(found, Record(self.home, name), disk)
            except Exception as error:  # of any kind: a study that cannot be read loses nothing
                kept = found.owned.get(name, set()) | self._mentioned(name)
                found.reasons |= {a: found.reasons.get(a, UNFINISHED) for a in kept}
                found.notes.append(f"study {name!r} cannot be planned ({' '.join(str(error).split())})")
        return found

    def _add(self, found: RetentionSet, record: Record, disk: Disk) -> None:
        """Add one study.

        Needs that are known without its source come first, so that they hold if the source is not available.
        """
        settings, trials = record.settings, record.trials()
        owned = found.owned.setdefault(record.name, set())
        present: Collection[str] = disk.stages.keys()
        start = Path(settings.weights_from)
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
            # A running trial may have its scores already and become the best: all its stages stay.
            started = own if recipe.address in running else {n.parent for n in missing(plan, present.__contains__)}
            found.reasons |= {a: found.reasons.get(a, UNFINISHED) for a in started}

    def _planner(self, name: str, settings: ResolvedSpec) -> Planner:
        known = self.planners.get(name)
        if known is None or known[0] != settings:
            planner = Planner(open_source(settings.source), resolve(settings.weights_from), settings.sweep_layers)
            known = self.planners[name] = (settings, planner)
        return known[1]

    def _mentioned(self, name: str) -> set[str]:
        """Return the stages below all that the record of a study names, whatever its form."""
        with suppress(OSError):
            text = (self.home / "studies" / name / "record.jsonl").read_text(errors="replace")
            return self._ancestors(dict.fromkeys(re.findall("[0-9a-f]{64}", text)))
        return set()

    def _below(self, trial: Trial) -> set[str]:
        """Return the ancestors of a trial's evaluations that have descriptions."""
        return self._ancestors(a for seeds in (*trial.evaluations.values(), *trial.sweeps.values()) for a in seeds)

    def _ancestors(self, addresses: Iterable[str]) -> set[str]:
        """Return the stages below others, as far as there are descriptions."""
        found: set[str] = set()
        waiting = list(addresses)
        while waiting:
            address = waiting.pop()
            with suppress(OSError, ValueError, KeyError):
                parent = self.store.info(address)["parent"]
                if parent and parent not in found:
                    found.add(parent)
                    waiting.append(parent)
        return found


def _is_whole(trial: Trial, settings: ResolvedSpec, present: Collection[str]) -> bool:
    """Return whether the store has every result of a trial.

    They are evaluations, and sweeps if requested. Then no stage below them is needed.
    """
    if set(trial.evaluations) != set(settings.targets) or (settings.sweep_layers and not trial.sweeps):
        return False
    return all(a in present for seeds in (*trial.evaluations.values(), *trial.sweeps.values()) for a in seeds)


def collect(
    home: Path,
    policy: RetentionPolicy,
    *,
    names: Sequence[str] | None = None,
    max_bytes: int | None = None,
    dry_run: bool = False,
) -> GcResult:
    """Free unreferenced weights, leftovers and the cache of encoded rows.

    Args:
        policy: decides what stays.
        names: free only weights that belong to these studies (default: to any study or none).
        max_bytes: stop when the home is within this size. Without it the order is leftovers, weights, cache; with it
            leftovers, cache, weights by last use.
        dry_run: find the same items without freeing them.
    """
    policy.needs(Disk(home))  # opens the sources, which may take long, so that the snapshot below is short
    disk = Disk(home)
    weights, uses, needs = disk.weights(), disk.uses(), policy.needs(disk)
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
    """Group the other weights by the reason why they stay."""
    found: dict[str, list[int]] = {}
    for item in weights:
        other = "within the budget or in use" if item in free else "not asked for, or their study cannot be planned"
        found.setdefault(needs.reasons.get(item.address, other), []).append(item.bytes)
    return [Use(why, len(sizes), sum(sizes)) for why, sizes in found.items()]


class Budget:
    """Size limit of a home while a study runs.

    It is called after each trial, and does nothing with `max_bytes` None.
    """

    def __init__(self, home: Path, max_bytes: int | None, say: Callable[[str], None]) -> None:
        self.home, self.max_bytes, self.say = home, max_bytes, say
        self.policy, self.warned = RetentionPolicy(home), False

    def __call__(self) -> None:
        """Free space if the home is over its limit, and print what was freed.

        A limit that cannot be met is printed once. Errors are printed and never stop a study.
        """
        if self.max_bytes is None or size_of(self.home) <= self.max_bytes:
            return
        try:
            done = collect(self.home, self.policy, max_bytes=self.max_bytes)
        except Exception as error:
            self.say(f"the home is over --max-bytes, and nothing could be freed: {type(error).__name__}: {error}")
            return
        if done.items:
            self.say(f"freed {decimal(done.before - done.after)} of {decimal(done.before)}, to stay within --max-bytes")
        if not done.is_met and not self.warned:
            self.warned = True
            self.say(over(done))


def over(done: GcResult) -> str:
    """Explain why the limit cannot be met."""
    stays = ", ".join(f"{decimal(use.bytes)} of weights {use.what}" for use in done.kept) or "no weights"
    return (
        f"{decimal(done.after)} are over the budget of {decimal(done.max_bytes or 0)}, and the rest is needed: "
        f"{stays}; scores and records always stay"
    )
