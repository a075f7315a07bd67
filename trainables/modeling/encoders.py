"""Which encoder architectures can be trained, and what differs between them; loads nothing, so that any verb may ask."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from trainables.errors import BadInput


@dataclass(frozen=True)
class Family:
    """What the code must know about an architecture of transformers.

    layers: the attribute of `encoder.encoder` that holds the stack of layers.
    dropout: the keys of its configuration for dropout of hidden states and of attention.
    lm_head: the attribute of its masked-LM class that turns hidden states into vocabulary logits; None: no such class.
    final_norm: the attribute of `encoder.encoder` that is applied after the last layer; None: each layer ends normalised.
    """

    layers: str = "layer"
    dropout: tuple[str, ...] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    lm_head: str | None = "lm_head"
    final_norm: str | None = None


# T5 and its like are read without their decoder. Each entry was run by a test: no others are let in.
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
    """The family of a configuration's `model_type`; `what` names the encoder in the BadInput for an unsupported one."""
    if isinstance(model_type, str) and model_type in FAMILIES:
        return FAMILIES[model_type]
    raise BadInput(f"{what} is a {model_type!r} model, which is not supported (supported: {', '.join(FAMILIES)})")


def check_tokenizer(files: Collection[str], what: str) -> None:
    """BadInput where a checkpoint's files hold no tokenizer, for which transformers would put one without words; and where
    they hold one that only SentencePiece can read, and that is not installed."""
    pieces = sorted(name for name in files if name.endswith(".model"))
    if not pieces and not {"tokenizer.json", "vocab.txt", "vocab.json"} & set(files):
        raise BadInput(f"{what} has no tokenizer (tokenizer.json)")
    if pieces and "tokenizer.json" not in files and find_spec("sentencepiece") is None:
        raise BadInput(
            f"{what} has no tokenizer.json but {pieces[0]}, which takes `pip install sentencepiece protobuf` to read"
        )


def no_masked_lm(what: str, model_type: str) -> BadInput:
    """The error for masked LM on an architecture that cannot do it."""
    return BadInput(f"{what} is a {model_type!r} model, which has no masked-LM head: train it without masked LM (mlm)")
