"""A tokenizer small enough to derive its rows by hand."""

from __future__ import annotations

from typing import Any

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0 to 3, as in XLM-R


def tiny_tokenizer(words: list[str]) -> Any:
    """Make a fast tokenizer of `words` with XLM-R's special tokens.

    Each of the words is one piece ("▁word"); other text is split into the single characters of `words` and "▁", a run
    of characters that occur in none of them into one <unk>. Zero-width characters vanish. <mask> is the last id.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = dict.fromkeys(f"▁{word}" for word in words)
    characters = sorted({character for word in words for character in word})
    pieces = [(special, 0.0) for special in SPECIALS]
    pieces += [("▁", -8.0)] + [(piece, -1.0) for piece in known]
    pieces += [(character, -10.0) for character in characters] + [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=SPECIALS.index("<unk>"), byte_fallback=False))
    tokenizer.normalizer = normalizers.Replace(Regex("[\u200b-\u200d\ufeff]"), "")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    wrap: Any = PreTrainedTokenizerFast  # its constructor is untyped
    return wrap(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", mask_token="<mask>", **names)
