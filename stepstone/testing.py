"""Checks for implementations of Stepstone's interfaces; any test framework can call them.

Each function raises AssertionError with the rule that is broken. Stepstone's own implementations pass the same checks.

>>> from search_spaces import space
>>> check_space(space("intermediate_tasks"))
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from search_spaces.space import Domain, FixedSuggest, Log, Space, SpaceContext
from study.record.record import Record, Trial
from study.store.evaluation_result import mean_over_seeds
from study.store.store import Store
from trainables.catalogue import DATASETS, TITLES, Dataset
from trainables.encoding.encoded import Encoded
from trainables.examples import Bitext, Example, Pair
from trainables.recipe import Recipe, title
from trainables.sources import Source, open_source

__all__ = [
    "CONTEXT",
    "RandomSuggest",
    "Tracker",
    "check_format",
    "check_source",
    "check_space",
    "check_store",
    "check_tracker",
]

PROPOSALS = 300
MAX_LENGTH = 64
STAGE = "ab" + "0" * 62  # an id, like a SHA-256

CONTEXT = SpaceContext(
    encoder="some/encoder",
    profile="phang2020",
    targets=("tatoeba", "xnli"),
    tasks=("mnli", "qqp", "squad", "ccg", "commonsense_qa"),
    mlm=True,
    scale=1.0,
)


class RandomSuggest:
    """Random suggestions, with a log of all of them.

    Attributes:
        params: name -> suggested value.
        roles: name -> "scientific" or "nuisance".
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.params: dict[str, Any] = {}
        self.roles: dict[str, str] = {}

    def scientific(self, name: str, domain: Domain) -> Any:
        """Draw a value whose effect is the question of the study."""
        return self._draw("scientific", name, domain)

    def nuisance(self, name: str, domain: Domain) -> Any:
        """Draw a value that is tuned only for a fair comparison."""
        return self._draw("nuisance", name, domain)

    def _draw(self, role: str, name: str, domain: Domain) -> Any:
        assert name not in self.params, f"{name} is suggested twice"
        value = self.rng.uniform(domain.low, domain.high) if isinstance(domain, Log) else self.rng.choice(domain)
        self.params[name], self.roles[name] = value, role
        return value


class _InsideDomain(FixedSuggest):
    """Fixed suggestions that must lie in their domains."""

    def scientific(self, name: str, domain: Domain) -> Any:
        assert name in self.params, f"published row {dict(self.params)} has no value for {name!r}"
        value: Any = self.params[name]
        inside = domain.low <= value <= domain.high if isinstance(domain, Log) else value in domain
        assert inside, f"published value {name} = {value!r} is outside of {domain!r}"
        return value

    nuisance = scientific


def check_space(space: Space, contexts: Iterable[SpaceContext] = (CONTEXT, replace(CONTEXT, mlm=False))) -> None:
    """Check a search space: published rows, proposals, reproducible recipes.

    Rules: the question ends with "?"; the baseline is the first published row and the only one without intermediate training
    or an objective; published values lie inside the domains of the space; the same parameters give the same recipe; every
    proposal is a recipe of the study, can be read back from literals, and has a unique name.
    """
    assert space.question.endswith("?"), "the question of a space ends with a question mark"
    for context in contexts:
        published = [space.recipe(_InsideDomain(params), context) for params in space.published(context)]
        assert published[0].is_baseline, "the first published row is the baseline"
        assert sum(recipe.is_baseline for recipe in published) == 1, "one published row is the baseline"
        _check_names(published)
        rng, proposed = random.Random(0), {}
        for _ in range(PROPOSALS):
            suggest = RandomSuggest(rng)
            recipe = space.recipe(suggest, context)
            again = space.recipe(FixedSuggest(suggest.params), context)
            assert again == recipe, f"the same parameters {suggest.params} gave another recipe"
            proposed[recipe.address] = recipe
        _check_names(list(proposed.values()))
        for recipe in (*published, *proposed.values(), *space.comparison_rows(context)):
            fixed = (recipe.encoder, recipe.profile, recipe.targets, recipe.scale)
            assert fixed == (context.encoder, context.profile, context.targets, context.scale), (
                "a recipe of another study"
            )
            assert Recipe.from_dict(recipe.to_dict()) == recipe, f"{recipe} is not made of literals"


def _check_names(recipes: Sequence[Recipe]) -> None:
    names = {title(recipe, TITLES) for recipe in recipes}
    assert len({recipe.address for recipe in recipes}) == len(names) == len(recipes), "two rows have one name"


def check_source(source: Source, datasets: Iterable[Dataset] | None = None) -> None:
    """Check a source of rows on all splits of datasets that it has.

    Rules: its spec opens it again; languages are unique with English first; counts are right; fingerprints are hex and
    constant; labels fit; ids are unique; `take` returns some of the same rows in their order; parallel rows have a text on both
    sides.

    Args:
        datasets: datasets to check; None = the catalogue.
    """
    assert open_source(source.spec).spec == source.spec, f"{source.spec!r} does not open this source again"
    seen = False
    for d in datasets if datasets is not None else DATASETS.values():
        for split in ("train", "validation", "test"):
            languages = source.languages(d, split)
            assert len(set(languages)) == len(languages), f"{d.name}/{split}: a language is listed twice"
            rest = [tag for tag in languages if tag != "en"]
            assert d.crosses or list(languages) == ["en"] * ("en" in languages) + sorted(rest), (
                f"{d.name}/{split}: {languages}"
            )
            for language in languages:
                _check_rows(source, d, language, split)
                seen = True
    assert seen, f"{source.spec!r} has none of the datasets"


def _check_rows(source: Source, d: Dataset, language: str, split: str) -> None:
    where = f"{d.name}/{language}/{split}"
    stated, counted = source.stated_rows(d, language, split), source.num_rows(d, language, split)
    assert stated in (None, counted), f"{where}: states {stated} rows and has {counted}"
    corpus = source.corpus_rows(d, language, split)
    assert corpus >= counted, f"{where}: has {counted} rows, which is more than its whole corpus of {corpus}"
    fingerprint = source.fingerprint(d, language, split)
    assert fingerprint == source.fingerprint(d, language, split), f"{where}: its fingerprint changes"
    assert set(fingerprint) <= set(string.hexdigits) and len(fingerprint) >= 32, f"{where}: fingerprint {fingerprint!r}"
    source.check_labels(d, language, split)
    assert source.origin(d, language, split), f"{where}: has no origin"
    assert source.comes_from(d), f"{where}: has no source"
    examples = source.examples(d, language, split)
    assert len(examples) <= counted or d.regroup is not None, f"{where}: more examples than rows"
    ids = [example.id for example in examples if not isinstance(example, Pair)]
    assert len(set(ids)) == len(ids), f"{where}: an id occurs twice"
    take = max(1, len(examples) // 3)
    few = source.examples(d, language, split, take)
    rest = iter(examples)
    assert len(few) <= take and all(example in rest for example in few), f"{where}: take={take} gives other rows"
    if d.parallel_key is not None and language != "en" and "en" in source.languages(d, split):
        for pair in source.parallel(d, language, split)[:5]:
            assert isinstance(pair, Bitext) and pair.source and pair.target, f"{where}: {pair}"


def check_store(make: Callable[[], Store]) -> None:
    """Check a store of finished stages.

    Rules: a stage is complete or absent; the first claim gets a folder, later ones None; a published stage is found by other
    processes with the same content; a failed claim leaves nothing; a damaged stage is never used.

    Args:
        make: opens the same store again; it must be empty at first.
    """
    store = make()
    assert not store.has(STAGE), "the store begins empty"
    try:
        with store.claim(STAGE) as folder:
            assert folder is not None, "the first claim gets a folder"
            (folder / "model.txt").write_text("half")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert not make().has(STAGE), "a claim that failed leaves no stage"
    with store.claim(STAGE) as folder:
        assert folder is not None, "a claim that failed is free again"
        (folder / "model.txt").write_text("whole")
        assert not make().has(STAGE), "a stage is invisible until it is published"
        store.publish(STAGE, folder, {"kind": "target", "parent": ""})
    for one in (store, make()):
        assert one.has(STAGE) and one.fetch(STAGE), "a published stage is found"
        assert one.info(STAGE) == {"kind": "target", "parent": ""}, "stage.json comes back as it was"
        assert (one.folder(STAGE) / "model.txt").read_text() == "whole", "files come back as they were"
        with one.claim(STAGE) as folder:
            assert folder is None, "a finished stage is not claimed"
    (store.folder(STAGE) / "model.txt").write_text("spoilt")
    again = make()
    if again.fetch(STAGE):  # a second copy, as at a URL, may replace the damaged one
        assert (again.folder(STAGE) / "model.txt").read_text() == "whole", "a damaged stage is not used"


def check_format(d: Dataset, examples: Sequence[Example], labels: Sequence[str], encoder: Path) -> None:
    """Check the format of a dataset on a few examples: rows, batches, loss, outputs, scores.

    labels: what the head predicts, as `Source.labels` gives them.
    encoder: folder of a small checkpoint.
    """
    from trainables.formats import encode, format_of
    from trainables.modeling.model import load_tokenizer

    form, tokenizer = d.format, load_tokenizer(encoder)
    assert format_of(form.kind) is form, f"{form.kind}: the registered format is another object"
    encoded = encode(d.kind, examples, tokenizer, max_length=MAX_LENGTH, max_query=MAX_LENGTH // 4, labels=labels)
    assert encoded.kind == d.kind, f"rows of {d.kind!r} say that they are of {encoded.kind!r}"
    assert encoded.num_examples == len(examples) and len(encoded.example) == encoded.num_items
    assert (np.diff(encoded.example) >= 0).all(), f"{d.kind}: rows are not in the order of the examples"
    assert (np.diff(encoded.starts) <= MAX_LENGTH).all(), f"{d.kind}: a row is longer than allowed"
    if form.has_head:
        outputs = _check_head(d, encoded, labels, encoder, tokenizer.pad_token_id)
        _check_scores(d, examples, encoded, outputs, labels)


def _check_head(d: Dataset, encoded: Encoded, labels: Sequence[str], encoder: Path, pad_id: int) -> np.ndarray:
    """Check that the loss of a batch is the sum of its parts'; return the outputs for all rows."""
    import torch

    from trainables.evaluation.predict import predict
    from trainables.modeling.model import Head, Net, load_lm
    from trainables.training.batch import collate
    from trainables.training.distributed import ProcessGroup
    from trainables.training.loop import Device

    device = torch.device("cpu")
    net = Net(load_lm(encoder), {d.name: Head(d.kind, tuple(labels))}, seed=0)
    net.eval()
    batch = collate(encoded, np.arange(encoded.num_items), pad_id)
    parts = (batch, batch.share(0, 2), batch.share(1, 2))
    whole, one, other = (net.loss(d.name, part.tensors(device), part.rows_per_item) for part in parts)
    assert whole.ndim == 0 and torch.isfinite(whole), f"{d.kind}: the loss must be a finite number, not {whole}"
    torch.testing.assert_close(one + other, whole, msg=f"{d.kind}: the loss must be summed, not averaged")
    return predict(net, d.name, encoded, pad_id, Device(device, ProcessGroup()))


def _check_scores(
    d: Dataset, examples: Sequence[Example], encoded: Encoded, outputs: np.ndarray, labels: Sequence[str]
) -> None:
    """Check that scores have their columns, and that metrics follow from these for any weighting."""
    from trainables.evaluation.scoring import aggregate, columns, score

    found = score(d, "en", examples, encoded, outputs, labels)
    assert set(found.table) == {"id", *columns(d)} and tuple(found.metrics) == d.metrics
    assert [id for id, _ in found.predictions] == [example.id for example in examples]
    assert all(-100 <= value <= 100 for value in found.metrics.values()), (
        f"{d.kind}: {found.metrics} are no percentages"
    )
    twice = aggregate(d, found.table, np.full((1, len(examples)), 2.0))
    assert all(np.allclose(twice[name], value) for name, value in found.metrics.items())


class Tracker(Protocol):
    """A view of a study's record, such as the one in MLflow."""

    def write_trial(self, trial: Trial, gains: Mapping[str, float] | None = None) -> str:
        """Write what is known of a trial, and return the id of its run."""


def check_tracker(
    open_tracker: Callable[[], Tracker], metrics_of: Callable[[str], Mapping[str, float]], record: Record, store: Store
) -> None:
    """Check a tracker on a study with complete trials; `metrics_of` reads back what a run has.

    Rules: a trial has one run, however often it is written and by however many trackers; a run that was written while its trial
    was running is the same one at its end; every language's scores, means over seeds, are in the run.
    """
    trials = [trial for trial in record.trials().values() if trial.status == "complete"]
    assert trials, "the record has complete trials"
    first = open_tracker()
    begun = [first.write_trial(replace(trial, status="running", evaluations={})) for trial in trials]
    assert len(set(begun)) == len(trials), "two trials share a run"
    for tracker in (first, open_tracker()):
        for _ in range(2):
            written = [tracker.write_trial(trial, {"gain": 1.5}) for trial in trials]
            assert written == begun, "a trial that is written again has another run"
    for trial, run in zip(trials, begun, strict=True):
        found = metrics_of(run)
        assert found["gain"] == 1.5, "the run lacks the gain"
        for target, evaluations in trial.evaluations.items():
            result = mean_over_seeds([store.metrics(evaluation) for evaluation in evaluations])
            for language, metrics in result.languages.items():
                for metric, value in metrics.items():
                    key = f"{target}/{language}/{metric}"
                    assert abs(found[key] - value) < 1e-9, f"{key} is {found.get(key)}, not {value}"
