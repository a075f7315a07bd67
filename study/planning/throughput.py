"""Throughput of an encoder on this machine.

It is measured in about a second, without the encoder's weights.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from study.planning.plan import Plan
from trainables.configs import Pretrain
from trainables.training.pretrain import Size

# The encoder is measured with few layers, short rows and a small vocabulary.
STEP_FLOPS, ROW_TOKENS, VOCABULARY, PARAMETERS, WIDE = 5e9, 32, 1000, 2_000_000, 512
EACH_S = 0.1  # for each of eight measurements


@dataclass(frozen=True)
class Speed:
    """Time costs of one encoder on one CPU thread, in seconds.

    Attributes:
        layers: number of layers of the encoder.
        step: per optimiser step, whatever its batch: all parameters are updated.
        trained: per token, forward and backward.
        read: per token, forward only.
        masked: per position with logits over the vocabulary, forward and backward.
    """

    layers: int
    step: float
    trained: float
    read: float
    masked: float


def measure_speed(plans: Sequence[Plan]) -> Speed | None:
    """Measure the plans' encoder on one CPU thread, for about a second.

    A step takes a + b * tokens, and each layer adds the same amount to a and b, so nets of one layer and of two or three
    layers, with random weights, determine all costs. CPU time of this process is measured, so other load on the machine
    does not count.

    Returns:
        None if there are no plans, or the hub cannot be reached.
    """
    import torch

    if not plans:
        return None
    try:
        folder = _folder_of(plans)
    except Exception:  # network error: a launch goes on without an estimate
        return None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            return _speed(_config_of(plans, folder))
    finally:
        torch.set_num_threads(threads)


def _speed(config: Any) -> Speed:
    width, layers, vocabulary = config.hidden_size, config.num_hidden_layers, config.vocab_size
    layer_flops = 72 * width**2  # of a token forward and backward: 12 w^2 weights, 6 each
    many = int(min(32, max(3, STEP_FLOPS / (layer_flops * ROW_TOKENS))))  # rows
    few = max(1, many // 8)
    deep = min(layers, 3 if width <= WIDE else 2)
    each: list[tuple[float, float, float]] = []  # step, trained and read of a net with one layer, and with more
    for depth in (1, deep):
        short, long, read = _times(config, depth, few, many)
        trained = max(0.0, long - short) / ((many - few) * ROW_TOKENS)
        each.append((max(0.0, short - trained * few * ROW_TOKENS), trained, read / (many * ROW_TOKENS)))
    more = (layers - 1) / max(1, deep - 1)
    step, trained, read = (one + more * max(0.0, other - one) for one, other in zip(*each, strict=True))
    per_parameter, per_logit = _vocabulary_times(width, vocabulary)
    step += per_parameter * max(0, vocabulary - VOCABULARY) * width
    return Speed(layers, step, trained, read, per_logit * vocabulary)


def _times(config: Any, layers: int, few: int, many: int) -> tuple[float, float, float]:
    """Time a training step on few and on many rows, and inference on many."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoModelForTextEncoding

    from trainables.modeling.encoders import family_of
    from trainables.modeling.model import Head, Net

    small: Any = copy.deepcopy(config)
    small.num_hidden_layers, small.vocab_size = layers, VOCABULARY
    has_head = family_of(config.model_type, "the encoder").lm_head
    kind: Any = AutoModelForMaskedLM if has_head else AutoModelForTextEncoding
    net = Net(kind.from_config(small), {"task": Head("labelled", ("a", "b"))}, seed=0)
    trained = list(net.parameters_of("task"))
    optimizer = torch.optim.AdamW(trained, fused=True)

    def batch(rows: int) -> dict[str, torch.Tensor]:
        tokens = torch.randint(10, VOCABULARY, (rows, ROW_TOKENS))
        return {"tokens": tokens, "mask": torch.ones_like(tokens, dtype=torch.bool), "labels": tokens[:, 0] % 2}

    def step(rows: dict[str, torch.Tensor]) -> None:
        net.train()
        net.loss("task", rows).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def read(rows: dict[str, torch.Tensor]) -> None:
        net.eval()
        with torch.inference_mode():
            net("task", rows["tokens"], rows["mask"])

    one, other = batch(few), batch(many)
    return _timed(lambda: step(one)), _timed(lambda: step(other)), _timed(lambda: read(other))


def _vocabulary_times(width: int, vocabulary: int) -> tuple[float, float]:
    """Time an optimiser step per embedding parameter, and one logit of one position."""
    import torch

    rows, positions = min(vocabulary, PARAMETERS // width), 32
    table, hidden = torch.nn.Embedding(rows, width), torch.randn(positions, width, requires_grad=True)
    optimizer, ids = torch.optim.AdamW(table.parameters(), fused=True), torch.arange(positions)

    def step() -> None:
        table(ids).sum().backward()
        torch.nn.utils.clip_grad_norm_(table.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def logits() -> None:
        torch.nn.functional.cross_entropy(hidden @ table.weight.T, ids).backward()  # type: ignore[no-untyped-call]
        optimizer.zero_grad()

    return _timed(step) / (rows * width), _timed(logits) / (rows * positions)


def _timed(run: Callable[[], None]) -> float:
    """Return the median CPU seconds of a call, after one warm-up call."""
    run()
    taken: list[float] = []
    end = time.perf_counter() + EACH_S
    while len(taken) < 2 or time.perf_counter() < end:
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return median(taken)


def _config_of(plans: Sequence[Plan], folder: Path | None) -> Any:
    from transformers import AutoConfig

    from trainables.training.pretrain import lm_config

    if folder:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    config = plans[0].nodes[0].config
    assert isinstance(config, Pretrain)
    shape = Size(**config.shape)  # type: ignore[arg-type]
    return lm_config(shape, shape.vocabulary)


def tokenizer_of(plans: Sequence[Plan]) -> Any:
    """Load the plans' tokenizer.

    If it is still to be trained, a stand-in splits text after every third character.
    """
    from trainables.modeling.model import load_tokenizer

    if folder := _folder_of(plans):
        return load_tokenizer(folder)
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    cutter = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 2, "<unk>": 3}, unk_token="<unk>"))
    cutter.pre_tokenizer = pre_tokenizers.Split(Regex(".{1,3}"), "isolated")
    cutter.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    wrap: Any = PreTrainedTokenizerFast
    return wrap(tokenizer_object=cutter, unk_token="<unk>")


def _folder_of(plans: Sequence[Plan]) -> Path | None:
    """Return the folder of the encoder's configuration and tokenizer.

    Weights are not downloaded from the hub.

    Returns:
        None if a stage makes the encoder.
    """
    first = plans[0].nodes[0]
    if isinstance(first.config, Pretrain):
        return None
    assert first.weights
    return first.weights.texts()
