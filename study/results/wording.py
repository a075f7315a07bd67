"""Headline and notes of a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from study.record.record import UNFINISHED
from study.results.report import BestRecipe, Report, ReportRow, signed
from study.results.selection import CHOSEN_BY, ENGLISH_DEV, is_zero_shot
from study.spec.study_spec import ResolvedSpec
from study.xtreme.layout import tasks_of
from study.xtreme.scoring import benchmark_of
from trainables.catalogue import dataset

CHANCE_POINTS = 2.0  # so near to 1 / labels an accuracy is one of chance


def headline(report: Report, planned: int = 0) -> str:
    """Write the answer in a sentence, with interval and number of seeds; mark that of a study that goes on.

    Args:
        planned: number of recipes that the study is known to run.
    """
    ended = sum(report.trials.values()) - report.num_unfinished
    total = max(planned, ended + report.num_unfinished)
    interim = ended < total
    return (f"Interim, {ended} of {total} recipes ended: " if interim else "") + _answer(report, interim)


def _answer(report: Report, interim: bool) -> str:
    best = report.best
    if best is None:
        return _no_answer(report, interim)
    pocket = "Pocket data: " if report.pocket else ""
    seeds, chosen_by = _count(report.seeds, "seed"), CHOSEN_BY[report.selection]
    if best.interval is None:  # that of the baseline, which is not compared with itself
        return (
            f"{pocket}Nothing here beats training on the target alone, as far as {chosen_by} tell ({seeds})."
            + _hindsight(report, best)
        )
    low, high = best.interval
    sure = "" if low > 0 or high < 0 else "; the interval includes 0, so this may be noise"
    return (
        f"{pocket}{best.name} first, chosen on {chosen_by}: {signed(best.gain)} points on average "
        f"over {_count(len(report.targets), 'target')} "
        f"(95 % interval {signed(low)} to {signed(high)}, {seeds}){sure}.{_hindsight(report, best)}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


def _no_answer(report: Report, interim: bool) -> str:
    if report.baseline and report.baseline.average is not None and report.baseline_status == "complete":
        failed = f", since {report.trials['failed']} failed" if report.trials["failed"] else ""
        return f"Only the baseline is complete{failed}: nothing can be compared{' yet' if interim else ''}."
    if report.trials["complete"]:
        return f"The baseline is {report.baseline_status} and has no complete scores: nothing can be compared."
    if report.failures:
        first = report.failures[0]
        failed = f"{report.trials['failed']} of {len(report.matrix)} recipes"
        return f"No answer: {failed} failed, {first.name} with {first.reason}."
    return "No recipe is complete yet."


def _hindsight(report: Report, best: BestRecipe) -> str:
    """Write a second sentence where another row has the higher average, which choosing was not allowed to see."""
    gains = [
        (row.gain, row.name)
        for row in report.matrix
        if row.status == "complete" and row.gain is not None and is_zero_shot(row.recipe)
    ]
    gain, name = max(gains, key=lambda found: found[0], default=(best.gain, best.name))
    if signed(gain) == signed(best.gain):
        return ""
    return f" In hindsight the highest average is that of {name} ({signed(gain)})."


def notes(
    spec: ResolvedSpec, rows: Sequence[ReportRow], standins: Sequence[str] | None, unread: str = ""
) -> Iterator[str]:
    """Write notes on what limits the answer.

    Args:
        standins: datasets with stand-ins for official rows; None if no launch recorded them.
        unread: which letters the encoder cannot read.
    """
    yield from _about_source(spec, standins)
    if unread:
        yield f"{unread[0].upper()}{unread[1:]}: scores in these scripts are too low, or mean nothing."
    yield from _about_benchmark(spec, rows)
    if spec.scale < 1:
        yield f"A rehearsal: every stage used {spec.scale:g} of its rows and steps."
    yield from _about_choosing(spec, rows)
    if spec.seeds == 1:
        yield "One seed: the intervals cover the choice of test examples, not the luck of training."
    at_chance = ", ".join(_at_chance(rows))
    if at_chance:
        yield f"At chance level in English, so that training may have failed (a lower lr may help): {at_chance}."
    waiting = ", ".join(row.name for row in rows if row.status in UNFINISHED)
    if waiting:
        yield f"Not finished: {waiting}."


def _about_source(spec: ResolvedSpec, standins: Sequence[str] | None) -> Iterator[str]:
    if spec.source == "pocket":
        yield (
            "The rows come from the pocket world, which is generated: they show the tool and say nothing about languages."
        )
    elif standins is None:
        yield f"It was not recorded whether rows of {spec.source} stand in for the official data; a resume records it."
    elif standins:
        yield f"Stand-ins for the official data, not comparable with published scores: {', '.join(standins)}."


def _about_benchmark(spec: ResolvedSpec, rows: Sequence[ReportRow]) -> Iterator[str]:
    """Write a note where the average over the targets is XTREME's or XTREME-R's, and what it lacks to be the published one."""
    benchmark = benchmark_of(spec.targets)
    if benchmark is None:
        return
    fewer = []
    for task in tasks_of(benchmark).values():
        published = task.languages[benchmark]
        found = {tag for row in rows if (own := row.targets.get(task.entries[benchmark])) for tag in own.languages}
        if not found.issuperset(published):
            fewer.append(f"{task.title} {len(found.intersection(published))} of {len(published)}")
    said = f"The average is {benchmark.upper()}'s, the plain mean of its {len(spec.targets)} tasks"
    if fewer:
        said += f", but over fewer languages, so that it compares with no published one: {', '.join(fewer)}"
    yield f"{said}."


def _about_choosing(spec: ResolvedSpec, rows: Sequence[ReportRow]) -> Iterator[str]:
    if spec.selection != ENGLISH_DEV:
        yield "Oracle: no target has English dev rows, so the best recipe is chosen on the scores that are reported."
        return
    without = ", ".join(dataset(target).title for target in spec.targets if not dataset(target).train_on)
    yield (
        "The best recipe is chosen on English dev rows only; the scores in the matrix were not looked at to choose it."
        + (f" Without English dev rows, and so without a part in choosing: {without}." if without else "")
    )
    if any(row.recipe.align for row in rows):
        yield (
            "English dev rows hardly see what alignment does for other languages: its own tables answer, not the choice."
        )


def _at_chance(rows: Sequence[ReportRow]) -> Iterator[str]:
    """Name rows that learned nothing: English accuracy on a trained target as if the labels were drawn."""
    for row in rows:
        for name, own in row.targets.items():
            d = dataset(name)
            accuracy = own.languages.get("en-en" if d.crosses else "en", {}).get("accuracy")
            if accuracy is None or not d.train_on or not d.format.one_of_labels or not d.labels:
                continue
            if abs(accuracy - 100 / len(d.labels)) <= CHANCE_POINTS:
                yield f"{row.name} ({d.title} {accuracy:.1f})"
