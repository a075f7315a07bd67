"""The stages that train: pretraining, intermediate and target.

Each reads its parent's weights and the source, and writes one folder. Every worker of a trial calls these functions with the
same arguments; only the first writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from trainables.catalogue import DATASETS, Dataset, dataset
from trainables.configs import (
    CurveConfig,
    Intermediate,
    LayerSweep,
    Pretrain,
    StageConfig,
    Target,
    TaskTraining,
    TrainingConfig,
    steps_of,
)
from trainables.context import Context, encoder_folder
from trainables.encoding.encoded import Encoded
from trainables.evaluation.evaluation import SplitRows, evaluate, score_rows, sweep
from trainables.evaluation.predict import predict
from trainables.evaluation.scoring import main_score, named_examples, score
from trainables.examples import Bitext, Example, Labelled, Text
from trainables.formats import encode, format_of
from trainables.modeling.memory import release
from trainables.modeling.model import Head, Net, head_state, load_lm, load_tokenizer, save
from trainables.sources import Source
from trainables.training.alignment import pairs_of
from trainables.training.batch import item_lengths
from trainables.training.checkpoint import Checkpoints
from trainables.training.corpus import read_corpus
from trainables.training.data import Data, Exchange, concat
from trainables.training.loop import History, MidTrainingEvaluation, PhaseData, fit
from trainables.training.pretrain import Size, new_lm, train_tokenizer
from trainables.training.schedule import Stream, language_probabilities, make_schedule, mixture
from trainables.training.vocabulary import decay_of, is_exact, trim


def run(config: StageConfig, init: Path | None, out: Path, context: Context) -> dict[str, Any]:
    """Run one stage, starting from the weights in `init`.

    It is a Hugging Face folder or a stage's folder.

    Returns:
        a summary with at least `steps`, the number of optimiser steps trained.
    Raises:
        DataError, NonFiniteLoss, BadInput, and errors of the operating system and of PyTorch.
    """
    if isinstance(config, Pretrain):
        return pretrain(config, out, context)
    assert init is not None
    if isinstance(config, Intermediate):
        return intermediate(config, init, out, context)
    if isinstance(config, Target):
        return target(config, init, out, context)
    if isinstance(config, LayerSweep):
        return sweep(config, init, out, context)
    return evaluate(config, init, out, context)


def pretrain(config: Pretrain, out: Path, context: Context) -> dict[str, Any]:
    """Train tokenizer and encoder from raw text and translation pairs.

    A share of the steps has rows of a sentence and its translation, in which a masked word can be inferred from the other
    language (Lample and Conneau 2019).
    """
    shape, comm = Size(**config.shape), context.machine.comm  # type: ignore[arg-type]
    rows = Data(context.source, context.cache, None, comm, config.scale, config.data)
    text = {lang: rows.examples(DATASETS["mlm"], lang, "train") for lang in config.text_languages}
    pairs = [p for name, lang in config.pairs for p in context.source.parallel(dataset(name), lang, "train")]
    if comm.is_first:
        lines = [e.text for examples in text.values() for e in examples if isinstance(e, Text)]
        lines += [side for p in pairs for side in (p.source, p.target)]
        train_tokenizer(lines, shape.vocabulary, out / "encoder")
    comm.from_first(None)
    tokenizer = load_tokenizer(comm.from_first(str(out / "encoder")))
    shares = language_probabilities([len(examples) for examples in text.values()], alpha=0.3)
    streams = {"mlm": _text_stream(text, tokenizer, shape.batch, shape.max_length, shares)}
    probabilities = {"mlm": 1.0}
    if pairs and shape.pair_frac:
        streams["pairs"] = _pair_stream(pairs, tokenizer, shape.batch, 2 * shape.max_length)
        probabilities = {"mlm": 1 - shape.pair_frac, "pairs": shape.pair_frac}
    net = Net(new_lm(shape, len(tokenizer), config.seed), {n: Head("text", ()) for n in streams}, config.seed)
    numbers = TrainingConfig(lr=shape.lr, seed=config.seed, mask=shape.mask)
    steps = max(20, round(config.scale * shape.steps))
    history = _fit(net, streams, probabilities, steps, numbers, replace(rows, tokenizer=tokenizer), context)
    return _finish(net, tokenizer, history, {}, out, context)


def intermediate(config: Intermediate, init: Path, out: Path, context: Context) -> dict[str, Any]:
    """Train all tasks of the mix (Phang et al. 2020).

    A dev score is the mean over the tasks.
    """
    comm = context.machine.comm
    tokenizer = load_tokenizer(encoder_folder(init))
    data = Data(context.source, context.cache, tokenizer, comm, config.scale, config.data)
    streams = {t.name: _task_stream(t, data, context.synonyms) for t in config.tasks}
    sizes, lines = {name: stream.encoded.num_examples for name, stream in streams.items()}, 0
    if config.mlm is not None:
        corpus = read_corpus(config.mlm, data)
        lines = corpus.lines
        shares = language_probabilities(corpus.sizes, config.mlm.alpha)
        streams["mlm"] = _text_stream(corpus.text, tokenizer, config.mlm.batch, config.mlm.max_length, shares)
    limit, share, within = mixture(config, sizes, lines)
    probabilities = {name: (1 - share) * p for name, p in within.items()}
    if share:
        probabilities["mlm"] = share
    counts = {t.name: (streams[t.name].encoded.num_items, t.epochs, t.batch) for t in config.tasks}
    steps = config.steps or steps_of(counts, config.epochs, limit, share)
    heads = {t.name: _head(dataset(t.name), context.source) for t in config.tasks}
    heads |= {"mlm": Head("text", ())} if share else {}
    net = Net(load_lm(encoder_folder(init), config.fit.dropout, with_head=bool(share)), heads, config.fit.seed)
    dev = _dev_sets(config.tasks, data, config.fit)
    history = _fit(net, streams, probabilities, steps, config.fit, data, context, dev)
    return _finish(net, tokenizer, history, {"probabilities": probabilities}, out, context)


def target(config: Target, init: Path, out: Path, context: Context) -> dict[str, Any]:
    """Train one target, with a new head or the parent's.

    Early stopping uses dev rows of the training languages only. With a curve it also writes `curve.json`: "epoch", "step" and
    "scores" ("dataset/language/split" -> metrics) of each point.
    """
    tokenizer = load_tokenizer(encoder_folder(init))
    data = Data(context.source, context.cache, tokenizer, context.machine.comm, config.scale, config.data)
    name = config.task.name
    stream = _task_stream(config.task, data, context.synonyms)
    steps = steps_of({name: (stream.encoded.num_items, config.task.epochs, config.task.batch)}, 1.0, 0, 0.0)
    head = {name: _head(dataset(name), context.source)}
    net = Net(load_lm(encoder_folder(init), config.fit.dropout), head, config.fit.seed)
    if config.head_of:
        net.heads[name].load_state_dict(head_state(init, config.head_of))
    dev = _dev_sets((config.task,), data, config.fit)
    probe = _probe(net, name, config.curve, steps, data, context) if config.curve else None
    history = _fit(net, {name: stream}, {name: 1.0}, steps, config.fit, data, context, dev, probe)
    if probe and context.machine.comm.is_first:
        points = [{"epoch": config.task.epochs * point["step"] / steps, **point} for point in history.curve]
        (out / "curve.json").write_text(json.dumps(points, indent=1))
    return _finish(net, tokenizer, history, {}, out, context)


# --- parts of the stages ---


@dataclass(frozen=True)
class _Stream:
    encoded: Encoded
    stream: Stream


def _task_stream(task: TaskTraining, data: Data, words: str) -> _Stream:
    """Encode the training rows of a task.

    `words` is the file of synonyms, if words are exchanged.
    """
    labels = data.source.labels(dataset(task.name))
    exchange = Exchange(task.copies, task.synonyms, words) if task.copies else None
    encoded = concat(
        [
            data.encoded(dataset(name), tag, "train", task.cut, labels=labels, exchange=exchange)
            for name, tag in task.trained_on
        ]
    )
    return _Stream(encoded, Stream(item_lengths(encoded), task.batch))


def _text_stream(
    text: Mapping[str, list[Example]], tokenizer: Any, batch: int, max_length: int, shares: np.ndarray
) -> _Stream:
    encoded = encode("text", [e for examples in text.values() for e in examples], tokenizer, max_length=max_length)
    sizes = [len(examples) for examples in text.values()]
    languages = np.repeat(np.arange(len(sizes)), sizes)[encoded.example]
    stream = Stream(item_lengths(encoded), batch, languages, shares)
    return _Stream(encoded, stream)


def _pair_stream(pairs: list[Bitext], tokenizer: Any, batch: int, max_length: int) -> _Stream:
    rows = [Labelled(p.id, p.source, p.target, 0) for p in pairs]
    framed = encode("labelled", rows, tokenizer, max_length=max_length)
    encoded = replace(framed, kind="text", labels=framed.labels[:0])
    return _Stream(encoded, Stream(item_lengths(encoded), batch))


def _head(d: Dataset, source: Source) -> Head:
    return Head(d.kind, tuple(source.labels(d)))


def _fit(
    net: Net,
    streams: Mapping[str, _Stream],
    probabilities: Mapping[str, float],
    steps: int,
    config: TrainingConfig,
    data: Data,
    context: Context,
    dev: Sequence[_DevSet] = (),
    probe: MidTrainingEvaluation | None = None,
) -> History:
    plain = {name: s.stream for name, s in streams.items()}
    aligned = pairs_of(config.align, data) if config.align else None
    beside = Stream(item_lengths(aligned), config.align.batch) if aligned and config.align else None
    schedule = make_schedule(plain, probabilities, steps, config.seed, beside)
    encoded = {name: s.encoded for name, s in streams.items()}
    trimmed = None
    # Masked LM needs every row of its head.
    if is_exact(config) and not any(format_of(one.kind).masked for one in encoded.values()):
        read = [*encoded.values(), *(one.encoded for one in dev), *([aligned] if aligned else [])]
        texts = (one.tokens for one in chain(read, probe.rows() if probe else ()))
        trimmed = trim(net, chain([np.array([data.tokenizer.pad_token_id])], texts))
    net.to(context.machine.device)
    history = fit(
        net,
        PhaseData(rows=encoded, schedule=schedule, aligned=aligned),
        config,
        tokenizer=data.tokenizer,
        machine=context.machine,
        checkpoints=context.checkpoints or Checkpoints(None, context.machine.comm),
        on_progress=context.on_progress,
        dev_score=_dev_score(net, dev, data, context) if dev else None,
        probe=probe,
    )
    release()  # frees the optimizer's memory before the whole table is restored
    if trimmed:
        trimmed.restore(decay_of(config, history.best_step, steps))
    return history


@dataclass(frozen=True)
class _DevSet:
    """First dev rows of a task in one language."""

    head: str
    dataset: Dataset
    language: str
    examples: list[Example]
    encoded: Encoded


def _dev_sets(tasks: tuple[TaskTraining, ...], data: Data, config: TrainingConfig) -> list[_DevSet]:
    """Collect the dev sets of all tasks, if they exist."""
    found = []
    for task in tasks:
        for name, tag in task.trained_on:
            if f"{name}/{tag}/validation" in data.fingerprints:
                d = dataset(name)
                encoded = data.encoded(d, tag, "validation", task.cut, first=config.dev_examples)
                examples = data.examples(d, tag, "validation")[: config.dev_examples]
                found.append(_DevSet(task.name, d, tag, examples, encoded))
    return found


def _dev_score(net: Net, sets: Sequence[_DevSet], data: Data, context: Context) -> Callable[[], float]:
    """Make the function that computes the mean dev score.

    It is the unweighted mean of the main scores of the dev sets.
    """

    def dev() -> float:
        scores = []
        for one in sets:
            with named_examples(one.dataset.name, one.language, one.examples):
                outputs = predict(net, one.head, one.encoded, data.tokenizer.pad_token_id, context.machine)
            labels = net.specs[one.head].labels
            scored = score(one.dataset, one.language, one.examples, one.encoded, outputs, labels)
            scores.append(main_score(one.dataset, scored.metrics))
        return float(np.mean(scores))

    return dev


def _probe(net: Net, head: str, curve: CurveConfig, steps: int, data: Data, context: Context) -> MidTrainingEvaluation:
    """Score all rows of a curve as an evaluation would."""
    own = replace(data, fingerprints=curve.data)
    parts = {}
    for key in curve.data:
        name, language, split = key.split("/")
        first = curve.train_rows if split == "train" else None
        parts[key] = SplitRows(dataset(name), language, split, curve.cut, first=first)

    def scores() -> dict[str, dict[str, float]]:
        return {key: score_rows(net, head, part, data=own, context=context).metrics for key, part in parts.items()}

    def rows() -> Iterator[Encoded]:
        return (part.encoded(own) for part in parts.values())

    return MidTrainingEvaluation(curve.steps(steps), scores, rows)


def _finish(
    net: Net, tokenizer: Any, history: History, extra: Mapping[str, Any], out: Path, context: Context
) -> dict[str, Any]:
    """Write weights and history; return the stage's summary."""
    net.to("cpu")
    if context.machine.comm.is_first:
        save(net, tokenizer, out)
        (out / "history.json").write_text(json.dumps(asdict(history)))
    done = {name: history.tasks.count(name) for name in sorted(set(history.tasks))}
    return {"steps": history.steps, "best_step": history.best_step, "steps_of_task": done, **extra}
