"""Small encoders of XLM-R's architecture, with a tokenizer."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.errors import unknown

WORD_MARK = "\u2581"  # prefix of the first piece of a word, as in XLM-R


@dataclass(frozen=True, kw_only=True)
class Size:
    """Shape and training of an encoder.

    Attributes:
        pair_frac: share of the steps whose rows are a sentence and its translation.
        mask: share of tokens that masked LM hides; a small encoder with few steps learns faster from a larger share.
    """

    layers: int
    width: int
    heads: int
    vocabulary: int
    steps: int
    batch: int
    max_length: int
    lr: float
    pair_frac: float = 0.5
    mask: float = 0.15


SIZES = {
    "nano": Size(layers=2, width=64, heads=2, vocabulary=2000, steps=400, batch=32, max_length=48, lr=2e-3),
    "pocket": Size(
        layers=3, width=128, heads=4, vocabulary=4000, steps=12000, batch=64, max_length=32, lr=1.5e-3, mask=0.3
    ),
    "tiny": Size(layers=3, width=128, heads=4, vocabulary=8000, steps=6000, batch=64, max_length=64, lr=1e-3),
    "small": Size(layers=6, width=256, heads=4, vocabulary=24_000, steps=40_000, batch=128, max_length=128, lr=7e-4),
}


def size(name: str) -> Size:
    """Return the size of `pretrain:<name>`; BadInput for an unknown one."""
    if name not in SIZES:
        raise unknown("encoder size", name, SIZES)
    return SIZES[name]


def train_tokenizer(lines: Sequence[str], vocabulary: int, out: Path) -> None:
    """Train a byte-pair tokenizer and write it to a folder.

    Special ids are XLM-R's: `<s>`=0 `<pad>`=1 `</s>`=2 `<unk>`=3. The alphabet is chosen here, by count and then by code
    point, because the trainer breaks ties by hash order: the same lines must give the same file.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    # The alphabet has the word mark in place of the space: without it every word would begin with <unk>.
    marked = (WORD_MARK + unicodedata.normalize("NFKC", line).replace(" ", WORD_MARK) for line in lines)
    counts = Counter(character for line in marked for character in line)
    kept = sorted(counts, key=lambda character: (-counts[character], character))[: vocabulary // 3]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(WORD_MARK), pre_tokenizers.Punctuation()]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=kept,
        limit_alphabet=len(kept),
        max_token_length=16,
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    names |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names).save_pretrained(out)  # type: ignore[no-untyped-call]


def new_lm(shape: Size, vocabulary: int, seed: int) -> Any:
    """Make a masked-LM model of this size, with random weights."""
    import torch
    from transformers import XLMRobertaForMaskedLM

    torch.manual_seed(seed)
    return XLMRobertaForMaskedLM(lm_config(shape, vocabulary))


def lm_config(shape: Size, vocabulary: int) -> Any:
    """Make the configuration of a masked-LM model of this size."""
    from transformers import XLMRobertaConfig

    return XLMRobertaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
