"""Plans: the graph of content-addressed stages of a recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from study.planning.auxiliary_data import align_fit, alignment_parts, training_rows, with_synonym_augmentation
from study.planning.encoder_weights import Weights
from trainables.catalogue import DATASETS, Dataset, dataset
from trainables.configs import (
    AlignmentConfig,
    CurveConfig,
    EncodingConfig,
    Evaluate,
    Intermediate,
    LayerSweep,
    Mlm,
    Pretrain,
    StageConfig,
    Target,
    TaskTraining,
    TrainingConfig,
    identity,
    rows_used,
)
from trainables.errors import BadInput, DataError
from trainables.modeling.encoders import no_masked_lm
from trainables.objectives import Align
from trainables.profiles import PROFILES, Phase, Profile
from trainables.recipe import Recipe, digest
from trainables.sources import Source
from trainables.training.pretrain import size


@dataclass(frozen=True)
class Node:
    """One stage of a plan.

    Attributes:
        config: what the stage does.
        parent: address of the node or weights it starts from; "" for pretrain.
        weights: the initial weights if the parent is not a node.
    """

    config: StageConfig
    parent: str
    weights: Weights | None
    seed: int
    label: str

    @cached_property
    def address(self) -> str:
        """SHA-256 of the canonical config and the parent's address."""
        return digest({"config": identity(self.config), "parent": self.parent})


@dataclass(frozen=True)
class Plan:
    """Stages of one recipe over its seeds, in the order they run.

    All seeds of a target come before the next target.
    """

    recipe: Recipe
    seeds: tuple[int, ...]
    nodes: tuple[Node, ...]

    def evaluations(self) -> dict[str, list[str]]:
        """Map each target to its evaluations' addresses, one per seed."""
        return self._addresses(Evaluate)

    def sweeps(self) -> dict[str, list[str]]:
        """Map each target to its layer sweeps' addresses, one per seed."""
        return self._addresses(LayerSweep)

    def _addresses(self, kind: type[Evaluate] | type[LayerSweep]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            if isinstance(node.config, kind):
                found.setdefault(node.config.target, []).append(node.address)
        # Retrieval straight from the encoder is one stage, whatever the seed.
        return {target: addresses * (len(self.seeds) // len(addresses)) for target, addresses in found.items()}


@dataclass(frozen=True)
class Planner:
    """Planner for one source and encoder.

    Attributes:
        sweep: score retrieval at every layer too.
    """

    source: Source
    weights: Weights | None
    sweep: bool = False
    _synonyms: dict[str, str] = field(default_factory=dict, repr=False, compare=False)  # file -> hash of its words

    def plan(self, recipe: Recipe, num_seeds: int) -> Plan:
        """Plan the stages of a recipe.

        Raises:
            BadInput: the source lacks rows that the recipe needs.
        """
        seeds = tuple(range(num_seeds))
        nodes: dict[str, Node] = {}

        def add(config: StageConfig, parent: Node | Weights | None, seed: int, label: str) -> Node:
            weights = parent if isinstance(parent, Weights) else None
            node = Node(config, parent.address if parent else "", weights, seed, label)
            return nodes.setdefault(node.address, node)

        root: Node | Weights = self.weights or add(self._pretrain(recipe), None, 0, "pretrain")
        starts: dict[int, Node | Weights] = {}
        for seed in seeds:
            mixed = self._intermediate(recipe, seed) if recipe.intermediate else None
            starts[seed] = add(mixed, root, seed, "intermediate") if mixed else root
        for name in recipe.targets:
            d = dataset(name)
            for seed in seeds:
                start = starts[seed]
                for config, label in self._targets(recipe, d, seed):
                    start = add(config, start, seed, label)
                evaluation = self._evaluate(recipe, d)
                add(evaluation, start, seed, f"evaluate {name}")
                if self.sweep and d.format.parallel:
                    add(_sweep(evaluation), start, seed, f"layers {name}")
        return Plan(recipe, seeds, tuple(nodes.values()))

    def _trained_on(self, d: Dataset) -> list[str]:
        """List the training sets of a target in their order.

        XCOPA trains on SIQA, if the source has it, and then on COPA.
        """
        first = d.train_first
        names = [first] if first and "en" in self.source.languages(dataset(first), "train") else []
        return names + ([d.train_on] if d.train_on else [])

    def _data(self, rows: Iterable[tuple[str, str, str]]) -> dict[str, str]:
        """Hash the content of (dataset, language, split) parts.

        Raises:
            BadInput: the source lacks one of them.
        """
        found = {}
        known = cache(lambda name, split: frozenset(self.source.languages(dataset(name), split)))
        for name, language, split in rows:
            if language not in known(name, split):
                raise BadInput(f"source {self.source.spec!r} has no {split} rows of {name!r} in {language!r}")
            found[f"{name}/{language}/{split}"] = self.source.fingerprint(dataset(name), language, split)
        return found

    def _with_dev(self, trained_on: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
        """List training parts, and dev parts for early stopping.

        Dev rows that are reported as scores are left out.
        """
        rows = []
        for name, language in trained_on:
            d = dataset(name)
            reported = "target" in d.roles and (language, "validation") in scored_languages(self.source, d)
            has_dev = language in self.source.languages(d, "validation") and not reported
            rows += [(name, language, "train")] + ([(name, language, "validation")] if has_dev else [])
        return rows

    def _pretrain(self, recipe: Recipe) -> Pretrain:
        name = recipe.encoder.removeprefix("pretrain:")
        languages = self.source.languages(DATASETS["mlm"], "train")
        if not languages:
            raise BadInput(
                f"encoder {recipe.encoder!r} needs raw text, and source {self.source.spec!r} has no 'mlm' rows"
            )
        pairs = tuple(
            (d.name, language)
            for d in DATASETS.values()
            # Single sentences of all kinds by people: no commands to an assistant, no machine-translated pairs.
            if d.format.pairs_in_pretraining and d.translated_by == "people"
            for language in self.source.languages(d, "train")
            if language != "en" and "en" in self.source.languages(d, "train")
        )
        rows = [("mlm", language, "train") for language in languages]
        rows += [(d, language, "train") for d, language in pairs] + [(d, "en", "train") for d in {d for d, _ in pairs}]
        shape = asdict(size(name))
        return Pretrain(
            size=name,
            shape=shape,
            scale=recipe.scale,
            seed=0,
            text_languages=languages,
            pairs=pairs,
            data=self._data(rows),
        )

    def _intermediate(self, recipe: Recipe, seed: int) -> Intermediate:
        profile = PROFILES[recipe.profile]
        tasks = tuple(_task_fit(profile, task, recipe, target=False) for task in recipe.intermediate)
        if len(tasks) > 1:
            tasks = tuple(replace(task, epochs=profile.mixture_epochs) for task in tasks)
        tasks = tuple(
            with_synonym_augmentation(self.source, task, recipe.robust, profile, "intermediate", self._synonyms)
            for task in tasks
        )
        rows = self._with_dev([row for task in tasks for row in task.trained_on])
        mlm = None
        if recipe.mlm_ratio:
            if self.weights and not self.weights.can_mask:
                raise no_masked_lm(f"encoder {recipe.encoder!r}", self.weights.model_type)
            languages = self.source.languages(DATASETS["mlm"], "train")
            if not languages:
                raise BadInput(f"masked LM needs raw text, and source {self.source.spec!r} has no 'mlm' rows")
            rows += [("mlm", language, "train") for language in languages]
            mlm = self._masked_lm(profile, languages, recipe.scale)
        align = align_fit(self.source, recipe.align, "intermediate", tasks)
        return Intermediate(
            tasks=tasks,
            mixing_limit=recipe.mixing_limit,
            mlm_ratio=recipe.mlm_ratio,
            mlm=mlm,
            epochs=recipe.epochs,
            steps=recipe.steps,
            fit=_fit_config(replace(profile.phase, lr=recipe.lr), recipe, seed, "intermediate", align),
            scale=recipe.scale,
            data=self._data([*rows, *alignment_parts(align)]),
        )

    @cached_property
    def _corpus_sizes(self) -> tuple[int, ...]:
        """Rows of each language's text, counted once for all recipes."""
        d = DATASETS["mlm"]
        with suppress(DataError):  # `rows_check` reports it
            return tuple(self.source.corpus_rows(d, tag, "train") for tag in self.source.languages(d, "train"))
        return (0,)

    def _masked_lm(self, profile: Profile, languages: tuple[str, ...], scale: float) -> Mlm:
        """Make the config of masked LM; sizes count only where the mix does not use the whole corpus."""
        articles = not self.source.standin(
            DATASETS["mlm"]
        )  # Wikipedia's rows are articles, those of stand-ins sentences
        sizes = self._corpus_sizes
        fair = math.ceil(math.ceil(profile.mlm_sentences * scale) / len(languages))
        partly = articles or max(rows_used(scale, size, "train") for size in sizes) > fair
        return Mlm(
            batch=profile.mlm.batch,
            max_length=profile.mlm.max_length,
            sentences=profile.mlm_sentences,
            alpha=profile.mlm_alpha,
            languages=languages,
            sizes=sizes if partly else (),
            articles=articles,
        )

    def _targets(self, recipe: Recipe, d: Dataset, seed: int) -> Iterator[tuple[Target, str]]:
        """Yield the training stages of a target, with labels.

        There is one stage per training set, and one for alignment if it comes before or after the task.
        """
        order = recipe.align.order if recipe.align else "joint"
        head_of = ""
        for train_on in self._trained_on(d):
            aligns = [False] if order == "joint" else [True, False] if order == "before" else [False, True]
            for alone in aligns:
                with_task = None if order != "joint" and not alone else recipe.align
                curve = self._curve(recipe, train_on) if train_on == d.train_on and not alone else None
                yield (
                    replace(self._target(recipe, train_on, head_of, seed, with_task, alone), curve=curve),
                    f"{'align' if alone else 'target'} {train_on}",
                )
                head_of = train_on

    def _target(
        self, recipe: Recipe, train_on: str, head_of: str, seed: int, align: Align | None, alone: bool
    ) -> Target:
        profile = PROFILES[recipe.profile]
        task = _task_fit(profile, train_on, recipe, target=True)
        if recipe.train_languages:
            task = replace(task, rows=training_rows(self.source, train_on, recipe.train_languages))
        if not alone:
            task = with_synonym_augmentation(self.source, task, recipe.robust, profile, "target", self._synonyms)
        aligned = align_fit(self.source, align, "target", (task,), alone)
        rows = [row for row in self._with_dev(task.trained_on) if not alone or row[2] == "train"]
        return Target(
            task=task,
            head_of=head_of,
            fit=_fit_config(profile.target_phase_of(train_on), recipe, seed, "target", aligned),
            scale=recipe.scale,
            data=self._data([*rows, *alignment_parts(aligned)]),
        )

    def _curve(self, recipe: Recipe, train_on: str) -> CurveConfig | None:
        """Configure the learning curves of the targets that train on this set.

        They score English train and dev rows and every scored language.
        """
        if not recipe.curve:
            return None
        rows = [(train_on, "en", "train")]
        for d in (d for d in map(dataset, recipe.targets) if d.train_on == train_on):
            name, split = selection_rows(self.source, d)
            rows += [(name, "en", split)] if name else []
            rows += [(d.name, *pair) for pair in scored_languages(self.source, d)]
        cut = _scored_cut(PROFILES[recipe.profile], recipe, dataset(train_on))
        return CurveConfig(points=recipe.curve, cut=cut, data=self._data(rows))

    def _evaluate(self, recipe: Recipe, d: Dataset) -> Evaluate:
        profile = PROFILES[recipe.profile]
        languages = scored_languages(self.source, d)
        if not languages:
            raise BadInput(f"source {self.source.spec!r} has no rows to score {d.name!r} on")
        selection = selection_rows(self.source, d)
        rows = [(d.name, language, split) for language, split in languages]
        rows += [(selection[0], "en", selection[1])] if selection[0] else []
        if d.format.dev_pools:
            rows += [(d.name, language, "validation") for language, _ in languages]
        retrieval: dict[str, Any] = {}
        cut = _scored_cut(profile, recipe, d)
        if d.format.retrieves:
            retrieval = {"layer": recipe.layer, "pooling": recipe.pooling, "direction": recipe.direction}
        return Evaluate(
            target=d.name,
            head=d.train_on or "",
            languages=languages,
            selection=selection,
            scale=recipe.scale,
            data=self._data(rows),
            **asdict(cut),
            **retrieval,
        )


def _sweep(config: Evaluate) -> LayerSweep:
    """Turn a retrieval evaluation into one over all layers."""
    shared = ("target", "languages", "max_length", "scale", "pooling", "direction", "data")
    return LayerSweep(**{name: getattr(config, name) for name in shared})


def _scored_cut(profile: Profile, recipe: Recipe, d: Dataset) -> EncodingConfig:
    """Return how rows are encoded for evaluation."""
    return EncodingConfig(
        max_length=getattr(profile, d.format.scored_length),
        doc_stride=profile.doc_stride,
        bare_prefix=recipe.bare_prefix if d.format.tagged else "label",
    )


def _task_fit(profile: Profile, task: str, recipe: Recipe, *, target: bool) -> TaskTraining:
    fit = profile.fit(task, target=target)
    return TaskTraining(
        name=task,
        batch=fit.batch,
        epochs=fit.epochs,
        max_length=fit.max_length,
        doc_stride=profile.doc_stride,
        bare_prefix=recipe.bare_prefix if dataset(task).format.tagged else "label",
    )


def _fit_config(phase: Phase, recipe: Recipe, seed: int, name: str, align: AlignmentConfig | None) -> TrainingConfig:
    """Configure training; warm-up steps are scaled like all other steps."""
    numbers = {**asdict(phase), "warmup_steps": math.ceil(recipe.scale * phase.warmup_steps)}
    robust = recipe.robust if recipe.robust and recipe.robust.phase == name else None
    robust = None if robust and robust.method == "synonyms" else robust  # synonyms are among the tasks' rows
    return TrainingConfig(**numbers, seed=seed, align=align, robust=robust)


def scored_languages(source: Source, d: Dataset) -> tuple[tuple[str, str], ...]:
    """List the (language, split) pairs on which a target is scored.

    The split is the dataset's scored split, or else validation. Mining needs both: the threshold for test pairs is
    chosen on dev pools (Hu et al. 2020, XTREME).
    """
    found = dict.fromkeys(source.languages(d, d.scored), d.scored)
    if d.format.dev_pools:
        with_dev = source.languages(d, "validation")
        return tuple((language, split) for language, split in found.items() if language in with_dev)
    for language in source.languages(d, "validation"):
        found.setdefault(language, "validation")
    return tuple(sorted(found.items(), key=lambda pair: (pair[0] != "en", pair[0])))


def selection_rows(source: Source, d: Dataset) -> tuple[str, str]:
    """Find the English dev rows that may be used to select a recipe.

    They are never rows that are reported: XQuAD's English questions are test data, so SQuAD's dev set is used instead.
    Targets of all language pairs are selected by the English rows of the set whose rows they pair.

    Returns:
        (dataset, split), or ("", "") if there are none.
    """
    if not d.train_on:
        return "", ""
    for name in (d.crosses or d.name, d.train_on):
        candidate = dataset(name)
        same_rows = name == d.name and ("en", "validation") in scored_languages(source, d)
        if not same_rows and "en" in source.languages(candidate, "validation"):
            return name, "validation"
    return "", ""


def missing(plan: Plan, has: Any) -> list[Node]:
    """List the nodes that still have to run.

    These are unfinished evaluations and sweeps, and the unfinished stages that they start from. A finished evaluation
    does not need its weights, so weights that were removed are not recomputed for it.

    Args:
        has: function from address to whether that stage is finished.
    """
    by_address = {node.address: node for node in plan.nodes}
    needed: set[str] = set()
    waiting = [n.address for n in plan.nodes if isinstance(n.config, Evaluate | LayerSweep) and not has(n.address)]
    while waiting:
        address = waiting.pop()
        if address in needed or has(address):
            continue
        needed.add(address)
        parent = by_address[address].parent
        if parent in by_address:
            waiting.append(parent)
    return [node for node in plan.nodes if node.address in needed]
