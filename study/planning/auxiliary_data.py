"""Auxiliary training data: other languages' labels, translations, synonym copies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from trainables.catalogue import DATASETS, dataset
from trainables.configs import AlignmentConfig, TaskTraining
from trainables.errors import BadInput, unknown
from trainables.objectives import ALL, Align, Robust
from trainables.profiles import Profile
from trainables.sources import Source
from trainables.training.synonyms import address as address_of_words
from trainables.training.synonyms import synonyms_of


def training_rows(source: Source, name: str, languages: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Find the (dataset, language) pairs that supply a training set's rows.

    The training set itself is used for languages that it has, its translated twin for the others.

    Raises:
        BadInput: neither has a language.
    """
    known = training_languages(source, name)
    for language in languages:
        if language not in known:
            raise unknown(f"training language of {name!r} in source {source.spec!r}:", language, known)
    return tuple((known[language], language) for language in languages)


def training_languages(source: Source, name: str) -> dict[str, str]:
    """Map each training language to the dataset that has its rows.

    This is the set itself or else its translated twin.
    """
    sets = (dataset(name).in_translation, name)  # the later wins
    return {tag: own for own in sets for tag in source.languages(dataset(own), "train")}


def align_fit(
    source: Source, align: Align | None, phase: str, tasks: tuple[TaskTraining, ...], alone: bool = False
) -> AlignmentConfig | None:
    """Configure the alignment of a phase beside these tasks.

    Args:
        alone: the stage trains the alignment only.

    Returns:
        None if the phase aligns nothing.

    Raises:
        BadInput: the tasks have no parallel rows, or none in one of the languages.
    """
    if not align or align.phase != phase:
        return None
    own = [dataset(task.name).in_translation for task in tasks]
    candidates = [dataset(align.data).name] if align.data else [n for n in own if dataset(n).holds_translations]
    if not candidates or not dataset(candidates[0]).holds_translations:
        served = [n for n, d in DATASETS.items() if d.holds_translations and source.languages(d, "train")]
        wanted = f"{align.data!r} holds" if align.data else f"{', '.join(t.name for t in tasks)} has"
        raise BadInput(
            f"{wanted} no translations for alignment: set align.data to one of {', '.join(served) or 'none here'}"
        )
    d = dataset(candidates[0])
    known = [tag for tag in source.languages(d, "train") if tag != "en"]
    languages = tuple(known) if align.languages == ALL else align.languages
    for language in languages:
        if language not in known:
            raise unknown(f"language to align {d.name!r} on", language, known)
    if not languages:
        raise BadInput(f"source {source.spec!r} has no translations of {d.name!r} for alignment")
    return AlignmentConfig(
        data=d.name,
        languages=languages,
        weight=align.weight,
        batch=max(task.batch for task in tasks),
        max_length=max(task.max_length for task in tasks),
        alone=alone,
    )


def with_synonym_augmentation(
    source: Source, task: TaskTraining, robust: Robust | None, profile: Profile, phase: str, known: dict[str, str]
) -> TaskTraining:
    """Add synonym copies of the rows to a task's training config.

    Args:
        known: cache of synonym file -> hash of its words; it is filled here.

    Raises:
        BadInput: the task is no labelled sentence or pair, or has no synonyms in its language.
    """
    if not robust or robust.method != "synonyms" or robust.phase != phase:
        return task
    trained = dataset(task.name)
    if not trained.format.exchanges_words:
        raise BadInput(
            f"synonym augmentation needs labelled sentences or pairs, and {task.name!r} is of kind {trained.kind!r}: "
            "choose other targets, or another method of robust training"
        )
    if not robust.synonyms and any(language != "en" for _, language in task.trained_on):
        raise BadInput("the source's own synonyms are English only: set --synonyms FILE, or train on English alone")
    path = robust.synonyms
    if path not in known:
        known[path] = address_of_words(synonyms_of(source, path))
    return replace(task, copies=robust.copies or profile.copies_of(task.name), synonyms=known[path])


def alignment_parts(align: AlignmentConfig | None) -> list[tuple[str, str, str]]:
    """List the (dataset, language, split) parts that alignment reads."""
    if align is None:
        return []
    english = () if dataset(align.data).format.parallel else ("en",)
    return [(align.data, language, "train") for language in (*english, *align.languages)]
