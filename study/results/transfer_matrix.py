"""The transfer matrix: recipes x targets x languages, as differences from the baseline, read from record and store."""

from __future__ import annotations

import datetime
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from search_spaces import space
from study.home import command
from study.record.heartbeat import reconcile_status
from study.record.record import Record, Status, Trial, code_version, table_order
from study.results.alignment_tables import alignment
from study.results.layer_sweep import layers
from study.results.learning_curves import by_epoch, curve_notes
from study.results.report import (
    BestRecipe,
    FailedRecipe,
    LanguagePairs,
    LossCurve,
    Report,
    ReportRow,
    ReportTarget,
    TargetResult,
)
from study.results.selection import advantage, best_of, choosing_score, is_scored, is_zero_shot
from study.results.statistics import gain_resamples, interval, read_scores, resampled_mean
from study.results.wording import headline, notes
from study.spec.initial_trials import initial_trials
from study.spec.recipe_file import recipe_toml
from study.spec.study_spec import ResolvedSpec
from study.store.evaluation_result import EvaluationResult, mean_over_seeds
from study.store.store import Store, leaving_out
from trainables.atomic_file import parse_json, write_atomic
from trainables.catalogue import Dataset, dataset
from trainables.hyperparameter_sources import numbers
from trainables.languages import crossed, describe

CURVE_POINTS = 80
STATUSES: tuple[Status, ...] = ("complete", "pruned", "failed", "stopped", "running")


@dataclass(frozen=True)
class Scored:
    """A target of one trial: scores as means over seeds, and resamples of the mean over languages."""

    result: EvaluationResult
    mean: float
    choosing: float | None  # what choosing looks at
    resamples: np.ndarray  # [seeds, RESAMPLES]

    def has_seeds_of(self, other: Scored) -> bool:
        """Return whether both can be paired seed by seed."""
        return self.resamples.shape == other.resamples.shape


TargetScores = Mapping[str, Scored]


def build(record: Record, store: Store) -> Report:
    """Build the report of a study from what is finished; nothing else is opened."""
    spec = record.settings
    with record.named():
        question = space(spec.space).question
        for target in spec.targets:
            dataset(target)
    trials = table_order(reconcile_status(record.trials(), record.folder))
    scored = {t.address: _scored(t, spec, store) for t in trials}
    base: TargetScores = next((scored[t.address] for t in trials if t.recipe.is_baseline), {})
    runs = record.mlflow_runs()
    rows = [_row(t, scored[t.address], base, spec, runs.get(t.address), store) for t in trials]
    results = [result for targets in scored.values() for result in targets.items()]
    targets = tuple(_target(name, results) for name in spec.targets)
    standins = () if spec.source == "pocket" else record.standins()
    counts, epochs = Counter(t.status for t in trials), by_epoch(trials, store)
    best = _best(rows, spec, record)
    report = Report(
        study=record.name,
        space=spec.space,
        question=question,
        source=spec.source,
        encoder=spec.encoder,
        profile=spec.profile,
        scale=spec.scale,
        seeds=spec.seeds,
        selection=spec.selection,
        pocket=spec.source == "pocket",
        trials={status: counts[status] for status in STATUSES},
        stages=record.last_launch(),
        targets=targets,
        languages={tag: describe(tag) for tag in _languages(tag for _, s in results for tag in s.result.languages)},
        matrix=tuple(rows),
        failures=tuple(_failure(t) for t in trials if t.status == "failed"),
        layers=layers(trials, store),
        epochs=epochs,
        standins=standins or (),
        notes=(*notes(spec, rows, standins, record.unread()), *curve_notes(epochs)),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=code_version(),
        best=best,
        numbers=tuple(numbers(best.recipe)) if best else (),
        alignment=alignment(rows, targets),
        headline="",
    )
    return replace(report, headline=headline(report, len(initial_trials(spec)) if spec.grid else 0))


def _scored(trial: Trial, spec: ResolvedSpec, store: Store) -> dict[str, Scored]:
    """Read the finished targets of a trial."""
    return {name: _read(name, trial, spec, store) for name in spec.targets if is_scored(trial, name, store.has)}


def _read(target: str, trial: Trial, spec: ResolvedSpec, store: Store) -> Scored:
    d, addresses = dataset(target), trial.evaluations[target]
    result = mean_over_seeds([store.metrics(a) for a in addresses])
    resamples = np.stack([_resampled(d, a, store) for a in addresses])
    return Scored(result, result.mean(d), choosing_score(result, d, spec.selection), resamples)


def _resampled(d: Dataset, address: str, store: Store) -> np.ndarray:
    """Return the resampled means of one evaluation, cached in the home: a large one takes seconds and never changes.

    A file of the cache ends with its own SHA-256, and one that is damaged is written anew.
    """
    path = store.home / "resampled" / f"{address}.npy"
    with suppress(OSError):
        content = path.read_bytes()
        if hashlib.sha256(content[:-32]).digest() == content[-32:]:
            return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    found = resampled_mean(d, read_scores(store.folder(address) / "scores.parquet"))
    with suppress(OSError):  # who may only read computes it every time
        path.parent.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        np.save(buffer, found, allow_pickle=False)
        write_atomic(path, buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest())
    return found


def _row(
    trial: Trial, scored: TargetScores, base: TargetScores, spec: ResolvedSpec, run_id: str | None, store: Store
) -> ReportRow:
    paired = {name: base[name] for name, own in scored.items() if name in base and own.has_seeds_of(base[name])}
    resamples = {name: gain_resamples(scored[name].resamples, other.resamples) for name, other in paired.items()}
    targets = {}
    for name, own in scored.items():
        gain = own.mean - paired[name].mean if name in paired else None
        bounds = interval(resamples[name]) if name in paired and not trial.recipe.is_baseline else None
        targets[name] = TargetResult(mean=own.mean, gain=gain, interval=bounds, languages=own.result.languages)
    whole = bool(targets) and len(targets) == len(spec.targets)
    gains = [cell.gain for cell in targets.values() if cell.gain is not None]
    with_gain = whole and len(gains) == len(targets)
    mean_resamples = np.mean(list(resamples.values()), axis=0) if with_gain and not trial.recipe.is_baseline else None
    return ReportRow(
        name=trial.name,
        recipe=trial.recipe,
        address=trial.address,
        status=trial.status,
        seeds=tuple(range(spec.seeds)),
        average=float(np.mean([cell.mean for cell in targets.values()])) if whole else None,
        gain=float(np.mean(gains)) if with_gain else None,
        interval=None if mean_resamples is None else interval(mean_resamples),
        selection=advantage(
            {name: own.choosing for name, own in scored.items()},
            {name: other.choosing for name, other in paired.items()},
            spec.targets,
        ),
        run_id=run_id,
        targets=targets,
        curves=curves(trial, store),
    )


def _failure(trial: Trial) -> FailedRecipe:
    return FailedRecipe(name=trial.name, address=trial.address, reason=trial.reason, traceback=trial.traceback)


def _best(rows: Sequence[ReportRow], spec: ResolvedSpec, record: Record) -> BestRecipe | None:
    """Make the recipe to copy from the best row; None while there is nothing that the baseline could be better than."""
    row = best_of(rows)
    compared = any(
        r.status in ("complete", "pruned") and is_zero_shot(r.recipe) and not r.recipe.is_baseline for r in rows
    )
    if row is None or not compared:
        return None
    return BestRecipe(
        name=row.name,
        recipe=row.recipe,
        gain=row.gain,
        interval=row.interval,
        address=row.address,
        command=command("launch", "--recipe", str(record.folder / "report" / "best.toml"), home=record.home),
        toml=recipe_toml(row.recipe, spec, row.name),
    )


def curves(trial: Trial, store: Store) -> dict[str, LossCurve]:
    """Read thinned training loss and every dev score of the first seed, by stage."""
    found: dict[str, LossCurve] = {}
    seen: set[str] = set()  # a damaged parent may lead in circles
    addresses = [a[0] for a in trial.evaluations.values() if a and store.has(a[0])]
    while addresses:
        address = addresses.pop(0)
        if not address or not (store.small(address) / "stage.json").exists():
            continue
        with leaving_out(store.small(address)):
            info = store.info(address)
            history = store.small(address) / "history.json"
            if info["kind"] in ("intermediate", "target") and info["label"] not in found and history.exists():
                values = parse_json(history.read_bytes())
                found[str(info["label"])] = _thin(values["losses"], values["dev"])
            if info["kind"] != "intermediate" and address not in seen:
                seen.add(address)
                addresses.append(str(info["parent"]))
    return dict(sorted(found.items()))


def _thin(losses: Sequence[float], dev: Sequence[tuple[int, float]]) -> LossCurve:
    values = np.asarray(losses, dtype=float)
    if not np.isfinite(values).all() or not np.isfinite([score for _, score in dev]).all():
        raise ValueError("a loss or score is not finite")
    ends = np.unique(np.linspace(0, len(values), min(CURVE_POINTS, len(values)) + 1).astype(int))
    pairs = list(zip(ends[:-1], ends[1:], strict=True))
    return LossCurve(
        step=tuple(int(end) for _, end in pairs),
        loss=tuple(float(values[start:end].mean()) for start, end in pairs),
        dev=tuple((int(step), float(score)) for step, score in dev),
    )


def _target(name: str, results: Iterable[tuple[str, Scored]]) -> ReportTarget:
    """Make a column; its splits are those of the first trial that has the target."""
    d = dataset(name)
    splits = next((own.result.splits for target, own in results if target == name), {})
    return ReportTarget(
        name=name,
        title=d.title,
        main=tuple(d.main),
        languages=tuple(splits),
        split=", ".join(sorted(set(splits.values()))),
        trained_on=dataset(d.train_on).title if d.train_on else None,
        note="" if d.train_on else "Sentence vectors straight from the encoder.",
        pairs=_pairs(splits) if d.crosses else None,
    )


def _pairs(tags: Iterable[str]) -> LanguagePairs:
    pairs = crossed(tags)
    languages = _languages(first for first, _ in pairs.values())
    return LanguagePairs(languages={tag: describe(tag) for tag in languages}, of=pairs)


def _languages(tags: Iterable[str]) -> list[str]:
    """Order tags, each once, English first."""
    return sorted(set(tags), key=lambda tag: (tag != "en", tag))
