"""Random checkpoints of every supported architecture.

Tokenizers are of the classes that transformers has.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from trainables import pocket

WIDTH, LAYERS = 16, 3
SHAPE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
SHAPE |= {"max_position_embeddings": 520}
T5_SHAPE: dict[str, Any] = {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": LAYERS, "num_heads": 2}


@cache
def _lines() -> tuple[str, ...]:
    """Read pocket text of all languages."""
    tables = [pocket.table("mlm", language, "train") for language in pocket.splits("mlm")["train"]]
    return tuple(line for table in tables if table is not None for line in table["text"].to_pylist()[:150])


@cache
def _pieces(specials: tuple[str, ...]) -> list[tuple[str, float]]:
    """Train a Unigram vocabulary of pocket text, after some special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(_lines(), trainers.UnigramTrainer(vocab_size=900, show_progress=False))
    found = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [(name, 0.0) for name in specials] + [(piece, -5.0 - 0.001 * rank) for piece, rank in found]


def _wordpiece() -> dict[str, int]:
    from tokenizers import BertWordPieceTokenizer

    wordpiece = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    wordpiece.train_from_iterator(_lines(), vocab_size=900, show_progress=False)
    return dict(wordpiece.get_vocab())


def family_tokenizer(family: str) -> Any:
    """Make a family's tokenizer, with its class in transformers."""
    import transformers as hf

    if family == "bert":
        return hf.BertTokenizer(vocab=_wordpiece(), do_lower_case=False)
    if family.startswith("deberta"):
        return hf.DebertaV2Tokenizer(vocab=_pieces(("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")), unk_id=3)
    if family == "t5":
        return hf.T5Tokenizer(vocab=list(_pieces(("<pad>", "</s>", "<unk>"))))  # adds the sentinels
    if family in ("mt5", "umt5"):  # whose vocabulary has them
        return hf.T5Tokenizer(vocab=[*_pieces(("<pad>", "</s>", "<unk>")), ("\u2581<extra_id_0>", 0.0)], extra_ids=0)
    return hf.XLMRobertaTokenizer(vocab=_pieces(("<s>", "<pad>", "</s>", "<unk>", "<mask>")))


def family_model(family: str, vocabulary: int) -> Any:
    """Make a randomly initialised model of a family's checkpoint class."""
    import torch
    import transformers as hf

    torch.manual_seed(7)
    sizes: dict[str, Any] = {"vocab_size": vocabulary, "pad_token_id": 0}
    if family == "bert":
        return hf.BertForMaskedLM(hf.BertConfig(**SHAPE, **sizes))
    if family.startswith("deberta"):
        sizes |= {"relative_attention": True, "position_buckets": 32, "norm_rel_ebd": "layer_norm"}  # as mDeBERTa-v3
        sizes |= {"share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
        sizes |= {"type_vocab_size": 0} | ({"conv_kernel_size": 3} if family == "deberta-conv" else {})
        return hf.DebertaV2ForMaskedLM(hf.DebertaV2Config(**SHAPE, **sizes))
    if family in ("mt5", "t5", "umt5"):
        name = {"mt5": "MT5", "t5": "T5", "umt5": "UMT5"}[
            family
        ]  # with a decoder, as the published checkpoints have it
        return getattr(hf, f"{name}Model")(getattr(hf, f"{name}Config")(**T5_SHAPE, **sizes))
    if family == "xlm-roberta-xl":
        return hf.XLMRobertaXLForMaskedLM(hf.XLMRobertaXLConfig(**SHAPE, **(sizes | {"pad_token_id": 1})))
    sizes |= {"pad_token_id": 1, "type_vocab_size": 1}
    if family == "roberta":
        return hf.RobertaForMaskedLM(hf.RobertaConfig(**SHAPE, **sizes))
    return hf.XLMRobertaForMaskedLM(hf.XLMRobertaConfig(**SHAPE, **sizes))


def checkpoint(family: str, folder: Path) -> Path:
    """Write a checkpoint of the family in safetensors; return its folder."""
    tokenizer = family_tokenizer(family)
    tokenizer.save_pretrained(folder)
    family_model(family, len(tokenizer)).save_pretrained(folder)
    return folder
