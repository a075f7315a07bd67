"""Supported encoder architectures and their differences.

This module imports no model code, so that every verb may use it.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from trainables.errors import BadInput


@dataclass(frozen=True)
class Family:
    """Architecture of transformers.

    Attributes:
        layers: the attribute of `encoder.encoder` with the stack of layers.
        dropout: the keys of its configuration for dropout of hidden states and of attention.
        lm_head: the attribute of its masked-LM class from hidden states to vocabulary logits; None = no such class.
        final_norm: the attribute of `encoder.encoder` that is applied after the last layer; None = the output of each layer
            is normalised.
    """

    layers: str = "layer"
    dropout: tuple[str, ...] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    lm_head: str | None = "lm_head"
    final_norm: str | None = None


# T5 models are loaded without their decoder. A test runs each entry; other architectures are refused.
_T5 = Family("block", ("dropout_rate",), None, "final_layer_norm")
FAMILIES: Mapping[str, Family] = {
    "xlm-roberta": Family(),
    "xlm-roberta-xl": Family(final_norm="LayerNorm"),
    "roberta": Family(),
    "bert": Family(lm_head="cls"),
    "deberta-v2": Family(lm_head="cls"),
    "mt5": _T5,
    "t5": _T5,
    "umt5": _T5,
}


def family_of(model_type: object, what: str) -> Family:
    """Find the family of a configuration's `model_type`.

    Raises:
        BadInput: it is not supported; `what` names the encoder.
    """
    if isinstance(model_type, str) and model_type in FAMILIES:
        return FAMILIES[model_type]
    raise BadInput(f"{what} is a {model_type!r} model, which is not supported (supported: {', '.join(FAMILIES)})")


def check_tokenizer(files: Collection[str], what: str) -> None:
    """Check that a checkpoint's files contain a tokenizer that can be loaded.

    Without one transformers would use a tokenizer without words.

    Raises:
        BadInput: there is no tokenizer, or only SentencePiece can read it and is not installed.
    """
    pieces = sorted(name for name in files if name.endswith(".model"))
    if not pieces and not {"tokenizer.json", "vocab.txt", "vocab.json"} & set(files):
        raise BadInput(f"{what} has no tokenizer (tokenizer.json)")
    if pieces and "tokenizer.json" not in files and find_spec("sentencepiece") is None:
        raise BadInput(
            f"{what} has no tokenizer.json but {pieces[0]}, which needs `pip install sentencepiece protobuf`"
        )


def check_merged(files: Collection[str], what: str, folder: str) -> None:
    """Check that a checkpoint is a whole model, not the difference from one.

    Raises:
        BadInput: it is a PEFT adapter; the error has the command that merges it with its base.
    """
    if "adapter_config.json" in files:
        code = (
            "import sys; from peft import AutoPeftModel; from transformers import AutoTokenizer; "
            "m = AutoPeftModel.from_pretrained(sys.argv[1]); m.merge_and_unload().save_pretrained(sys.argv[2]); "
            "AutoTokenizer.from_pretrained(m.peft_config['default'].base_model_name_or_path).save_pretrained(sys.argv[2])"
        )
        raise BadInput(
            f"{what} is a PEFT adapter, not a whole encoder: merge it with its base into a new folder first: "
            f'python -c "{code}" {shlex.quote(folder)} merged'
        )


def no_masked_lm(what: str, model_type: str) -> BadInput:
    """Make the error for masked LM on an architecture without a masked-LM head."""
    return BadInput(f"{what} is a {model_type!r} model, which has no masked-LM head: train it without masked LM (mlm)")
