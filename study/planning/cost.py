"""Cost estimate of a launch: stages, steps, rows and minutes.

Minutes come from a short measurement, see `study.planning.throughput`. Steps are computed as the stages compute them; early
stopping may end a phase sooner. Tokens are counted on a sample of the rows. If a source does not state the number of rows,
nothing is downloaded to find it, and no time is given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, NamedTuple

from study.planning.plan import Node, Plan
from study.planning.throughput import Speed, tokenizer_of
from trainables.catalogue import Dataset, dataset
from trainables.configs import (
    EncodingConfig,
    Evaluate,
    Intermediate,
    LayerSweep,
    Mlm,
    Pretrain,
    StageConfig,
    Target,
    TaskTraining,
    rows_used,
    steps_of,
)
from trainables.errors import DataError
from trainables.examples import Bitext
from trainables.formats import encode
from trainables.formats.bitext import sides
from trainables.sources import Source
from trainables.sources.tables import TableSource
from trainables.training.pretrain import Size

# Seconds that the encoder measurement does not include; `benchmarks.estimate` compares them with a launch.
LAUNCH_S = 15.0  # Ray and the trials' processes start, the report is written
TRIAL_S = 1.0  # Ray hands a process its next trial
STAGE_S = 0.5  # weights are loaded and saved, the result is published
ROW_S = 0.0001  # a row is read, tokenised and scored

SAMPLED_ROWS, SAMPLED_LANGUAGES = 32, 4  # of a split; the mean of these languages is used for the others


@dataclass(frozen=True)
class Work:
    """Upper bound on the work of a stage.

    Attributes:
        steps: optimiser steps.
        trained: tokens trained on.
        masked: masked positions.
        read: tokens of inference.
        rows: rows scored.
    """

    steps: int = 0
    trained: float = 0.0
    masked: float = 0.0
    read: float = 0.0
    rows: int = 0

    def seconds(self, speed: Speed) -> float:
        """Estimate the time on one CPU thread, in seconds."""
        passes = self.trained * speed.trained + self.masked * speed.masked + self.read * speed.read
        return STAGE_S + self.steps * speed.step + passes + self.rows * ROW_S


@dataclass(frozen=True)
class Cost:
    """Upper bound on the cost of a launch.

    Attributes:
        recipes: number of recipes with unfinished stages.
        stages: number of unfinished stages; one that several recipes share counts once.
        train_steps: optimiser steps of all these stages.
        scored_rows: rows of all evaluations, including those on dev rows during training.
        concurrent: trials at once.
        seconds: None if nothing was measured, or a size is unknown.
        unknown: datasets of unknown size, which are not counted.
        assumed: datasets whose rows are not local, so that rough mean lengths are used.
    """

    recipes: int
    stages: int
    train_steps: int
    scored_rows: int
    concurrent: int
    seconds: float | None = None
    unknown: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def text(self) -> str:
        """Format the cost as one line."""
        if not self.stages:
            return "nothing to run: all stages are finished"
        most = f"at most {_number(self.train_steps, 'training step')} and {_number(self.scored_rows, 'row')} to score"
        line = f"{_number(self.recipes, 'recipe')}, {_number(self.stages, 'stage')}, {most}"
        if self.unknown:
            return f"{line}, not counting {', '.join(self.unknown)}, whose size is not known before the download"
        if self.seconds is None:
            return line
        time = f"{'roughly' if self.assumed else 'about'} {_duration(self.seconds)}"
        return f"{line}: {time} with {_number(self.concurrent, 'trial')} at once"


def cost_of(plans: Sequence[Plan], nodes: Sequence[Node], source: Source, speed: Speed | None, concurrent: int) -> Cost:
    """Sum the cost of the plans' unfinished stages.

    Args:
        nodes: the unfinished stages, see `study.planning.plan.missing`; one that several plans share counts once.
        speed: throughput of the plans' encoder, see `measure_speed`; None = estimate no time and read no rows.
        concurrent: number of trials at once.
    """
    left = {node.address: node for node in nodes}
    lacking = [found for plan in plans if (found := [n.address for n in plan.nodes if n.address in left])]
    tokenizer = tokenizer_of(plans) if speed and left else None
    counter = Workload(source, speed.layers if speed else 0, tokenizer)
    works = {address: counter.work(node.config) for address, node in left.items()}
    concurrent = max(1, min(concurrent, len(lacking)))
    seconds = None
    if speed and not counter.unknown:
        seconds = _elapsed(lacking, {address: work.seconds(speed) for address, work in works.items()}, concurrent)
    return Cost(
        recipes=len(lacking),
        stages=len(works),
        train_steps=sum(work.steps for work in works.values()),
        scored_rows=sum(work.rows for work in works.values()),
        concurrent=concurrent,
        seconds=seconds,
        unknown=tuple(sorted(counter.unknown)),
        assumed=tuple(sorted(counter.assumed)),
    )


def _elapsed(lacking: Sequence[Sequence[str]], seconds: Mapping[str, float], concurrent: int) -> float:
    """Estimate the seconds until all trials have ended.

    Stages that all trials share run first, and one trial's stages run one after another.
    """
    if not lacking:
        return 0.0
    asked = Counter(address for addresses in lacking for address in addresses)
    shared = sum(seconds[address] for address, times in asked.items() if times == len(lacking))
    longest = TRIAL_S + max(sum(seconds[address] for address in addresses) for addresses in lacking)
    total = TRIAL_S * len(lacking) + sum(seconds.values())
    return LAUNCH_S + shared + max(longest - shared, (total - shared) / concurrent)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 90 * 60 else f"{seconds / 3600:,.1f} hours"


# --- how much there is to do ---

Part = tuple[str, str, str]  # dataset, language, split


class _Count(NamedTuple):
    """Number of rows used, and the items and tokens that they yield."""

    examples: int
    items: int
    tokens: float

    @property
    def mean(self) -> float:
        """Mean tokens per item."""
        return self.tokens / max(1, self.items)


class _Row(NamedTuple):
    """Mean examples per stored row, and mean items and tokens per example."""

    kept: float = 1.0
    items: float = 1.0
    tokens: float = 0.0


@dataclass
class Workload:
    """Counter of the work of stages over the rows of one source.

    Attributes:
        layers: layers of the encoder; 0 = retrieval uses the last layer.
        tokenizer: None = read no rows; each counts as one item without tokens.
        unknown: datasets of unknown size, found while counting.
        assumed: datasets whose token counts are assumed.
        seen: mean row by language, for each (dataset, split, encoding, whether articles are split).
    """

    source: Source
    layers: int
    tokenizer: Any
    unknown: set[str] = field(default_factory=set)
    assumed: set[str] = field(default_factory=set)
    seen: dict[tuple[str, str, EncodingConfig, bool], dict[str, _Row]] = field(default_factory=dict)

    def work(self, config: StageConfig) -> Work:
        """Count the work of a stage."""
        if isinstance(config, Pretrain):
            return self._pretrain(config)
        if isinstance(config, Intermediate):
            return self._intermediate(config)
        return self._target(config) if isinstance(config, Target) else self._scores(config)

    def _pretrain(self, config: Pretrain) -> Work:
        shape = Size(**config.shape)  # type: ignore[arg-type]
        cut, steps = EncodingConfig(max_length=shape.max_length), max(20, round(config.scale * shape.steps))
        tokens = self._train_rows("mlm", config.text_languages, cut, config.scale).mean
        if config.pairs and shape.pair_frac:
            side = fmean(self._train_rows(name, (language,), cut, 1.0).mean for name, language in config.pairs)
            tokens += shape.pair_frac * (2 * side - tokens)
        trained = steps * shape.batch * tokens
        return Work(steps, trained, masked=shape.mask * trained)

    def _intermediate(self, config: Intermediate) -> Work:
        """Count as `stages.intermediate` does: the same steps and shares."""
        from trainables.training.schedule import mixture

        counts = {task.name: self._of_task(task, config.scale) for task in config.tasks}
        sizes = {name: max(1, count.examples) for name, count in counts.items()}
        text, lines = 0.0, 0
        if mlm := config.mlm:
            lines, mean = self._text(mlm, config.scale)
            text = mlm.batch * mean
        limit, share, within = mixture(config, sizes, lines)
        items = {task.name: (counts[task.name].items, task.epochs, task.batch) for task in config.tasks}
        steps = config.steps or steps_of(items, config.epochs, limit, share)
        tokens = sum(within[task.name] * task.batch * counts[task.name].mean for task in config.tasks)
        work = self._phase(config, config.tasks, steps, (1 - share) * steps, tokens)
        read = share * steps * text
        return replace(work, trained=work.trained + read, masked=config.fit.mask * read)

    def _text(self, mlm: Mlm, scale: float) -> tuple[int, float]:
        """Count texts for masked LM and tokens in one, as `corpus.read_corpus` does."""
        d, cut = dataset("mlm"), EncodingConfig(max_length=mlm.max_length)
        if mlm.articles and "hub" not in self.source.comes_from(d):  # there an article counts as one text
            rows = [self._sample(d, language, "train", cut, articles=True) for language in mlm.languages]
            counts = [scale * size * row.kept for size, row in zip(mlm.sizes, rows, strict=True)]
            texts = sum(counts)
            mean = sum(count * row.tokens for count, row in zip(counts, rows, strict=True)) / texts
        else:
            found = self._train_rows(d.name, mlm.languages, cut, scale)
            texts, mean = scale * sum(mlm.sizes) if mlm.sizes else found.examples, found.mean
        return max(1, min(math.ceil(texts), math.ceil(mlm.sentences * scale))), mean

    def _target(self, config: Target) -> Work:
        task, count = config.task, self._of_task(config.task, config.scale)
        steps = steps_of({task.name: (count.items, task.epochs, task.batch)}, 1.0, 0, 0.0)
        work = self._phase(config, (task,), steps, steps, task.batch * count.mean)
        if curve := config.curve:
            for key in curve.data:
                name, language, split = key.split("/")
                first = curve.train_rows if split == "train" else None
                noted, points = (
                    self.count([(name, language, split)], curve.cut, config.scale, first),
                    curve.steps(steps),
                )
                read, rows = len(points) * noted.tokens, len(points) * noted.examples
                work = replace(work, read=work.read + read, rows=work.rows + rows)
        return work

    def _phase(
        self, config: Intermediate | Target, tasks: Sequence[TaskTraining], steps: int, of_tasks: float, tokens: float
    ) -> Work:
        """Count the training steps of a phase and its dev evaluations.

        Args:
            steps: all steps of the phase.
            of_tasks: steps on the tasks, not on masked LM.
            tokens: tokens per step on the tasks.
        """
        fit = config.fit
        if robust := fit.robust:  # the search, the changed inputs, and beside them the unchanged ones
            tokens *= (robust.steps + 1 + (robust.weight < 1)) if robust.weight else 1
        if align := fit.align:
            languages = align.languages if dataset(align.data).format.parallel else ("en", *align.languages)
            side = self._train_rows(
                align.data, languages, EncodingConfig(max_length=align.max_length), config.scale
            ).mean
            tokens = (0.0 if align.alone else tokens) + 2 * align.batch * side
        read, rows = 0.0, 0
        for task in tasks:
            parts = [(name, language, "validation") for name, language in task.trained_on]
            parts = [part for part in parts if "/".join(part) in config.data]
            dev = self.count(parts, task.cut, config.scale, fit.dev_examples)
            read, rows = read + dev.tokens, rows + dev.examples
        times = math.ceil(steps / fit.steps_per_eval(steps))
        return Work(steps, of_tasks * tokens, read=times * read, rows=times * rows)

    def _scores(self, config: Evaluate | LayerSweep) -> Work:
        """Count an evaluation: retrieval stops at its layer, mining reads dev pools too."""
        d, share, cut = dataset(config.target), 1.0, EncodingConfig(max_length=config.max_length)
        parts = [(d.name, language, split) for language, split in config.languages]
        if d.format.dev_pools:
            parts += [(d.name, language, "validation") for language, _ in config.languages]
        if isinstance(config, Evaluate):
            cut, (name, split) = config.cut, config.selection
            parts += [(name, "en", split)] if name else []
            if d.format.retrieves and self.layers:
                from trainables.evaluation.predict import retrieval_layer

                share = (config.layer or retrieval_layer(self.layers)) / self.layers
        count = self.count(parts, cut, config.scale)
        return Work(read=share * count.tokens, rows=count.examples)

    def _of_task(self, task: TaskTraining, scale: float) -> _Count:
        found = self.count([(name, language, "train") for name, language in task.trained_on], task.cut, scale)
        copies = task.copies or 1
        return _Count(copies * found.examples, copies * found.items, copies * found.tokens)

    def _train_rows(
        self, name: str, languages: Sequence[str], cut: EncodingConfig, scale: float, first: int | None = None
    ) -> _Count:
        return self.count([(name, language, "train") for language in languages], cut, scale, first)

    def count(self, parts: Sequence[Part], cut: EncodingConfig, scale: float, first: int | None = None) -> _Count:
        """Count the rows, items and tokens that a stage uses of these splits.

        Args:
            first: maximum rows per split; None = all rows at this scale.
        """
        examples = items = tokens = 0.0
        for name, language, split in parts:
            d = dataset(name)
            row = self._sample(d, language, split, cut)
            used = row.kept * self._used(d, language, split, scale)
            used = used if first is None else min(first, used)
            examples, items, tokens = examples + used, items + used * row.items, tokens + used * row.tokens
        return _Count(round(examples), round(items), tokens)

    def _used(self, d: Dataset, language: str, split: str, scale: float) -> int:
        """Count the rows of a split that a stage reads, as `Data.examples` does.

        For pooled kinds, both pools count.
        """
        if d.format.pooled and isinstance(self.source, TableSource):
            pools = [self.source.tables.stated_rows(d, language, table) for table in d.tables(split)[1:]]
            rows = None if None in pools else sum(pool or 0 for pool in pools)
            scale = 1.0
        else:
            rows = self.source.stated_rows(d, language, split)
            rows = d.expected_rows(language, split) if rows is None else rows
        if rows is None:
            self.unknown.add(d.name)
            return 0
        return rows_used(scale, rows, split)

    def _sample(self, d: Dataset, language: str, split: str, cut: EncodingConfig, *, articles: bool = False) -> _Row:
        """Estimate the mean row, or article; the first few languages represent the others."""
        if self.tokenizer is None:
            return _Row()
        seen = self.seen.setdefault((d.name, split, cut, articles), {})
        if language not in seen and len(seen) < SAMPLED_LANGUAGES:
            seen[language] = self._look(d, language, split, cut, articles)
        return seen.get(language) or _Row(*(fmean(values) for values in zip(*seen.values(), strict=True)))

    def _look(self, d: Dataset, language: str, split: str, cut: EncodingConfig, articles: bool) -> _Row:
        assumed = _Row(tokens=float(min(cut.max_length, d.format.assumed_tokens)))
        if d.format.pooled:
            return assumed
        if "hub" in self.source.comes_from(d):
            self.assumed.add(d.name)
            return assumed
        try:
            rows = self.source.num_rows(d, language, split)
            taken = max(1, rows if d.regroup else min(SAMPLED_ROWS, rows))
            examples = self.source.examples(d, language, split, taken)
            if articles:
                from trainables.training.corpus import split_articles

                examples = split_articles(examples)
            pairs = [example for example in examples if isinstance(example, Bitext)]
            texts = [text for side in sides(pairs) for text in side] if pairs else examples
            options: dict[str, Any] = {"doc_stride": cut.doc_stride, "bare_prefix": cut.bare_prefix}
            kind = "text" if pairs else d.kind
            encoded = encode(kind, texts, self.tokenizer, max_length=cut.max_length, **options)
        except DataError:  # the stage that reads the row reports it
            return assumed
        count = max(1, len(examples))
        return _Row(len(examples) / taken, 1.0 if pairs else encoded.num_items / count, len(encoded.tokens) / count)
