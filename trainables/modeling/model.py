"""An encoder with its LM head and task heads."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainables.encoding.encoded import NOT_SCORED
from trainables.errors import BadInput
from trainables.formats import format_of
from trainables.formats.heads import JointHead, PooledHead, cross_entropy
from trainables.modeling.encoders import Family, check_merged, check_tokenizer, family_of, no_masked_lm

# What DDP, torch.compile and sentence-transformers put before the names of a model's weights.
WRAPPERS = r"^(module\.|_orig_mod\.|0\.auto_model\.)+"


@dataclass(frozen=True)
class Head:
    """Kind and labels of a task head.

    Label names are stored with the weights, so that ids are never confused.
    """

    kind: str
    labels: tuple[str, ...]


class _Lookup(torch.autograd.Function):
    """Embedding lookup with in-place accumulation of the gradient.

    PyTorch allocates a new gradient of the whole table at every backward pass: 0.4 GB for XLM-R's 250,000 rows of width 384,
    for every piece of a batch.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, tokens: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.weight, ctx.padding = weight, padding
        return nn.functional.embedding(tokens, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None]:
        (tokens,) = ctx.saved_tensors
        if ctx.weight.grad is None:
            ctx.weight.grad = torch.zeros_like(ctx.weight)
        flat, rows = tokens.flatten(), grads[0].flatten(0, -2)
        used = flat != ctx.padding
        ctx.weight.grad.index_add_(0, flat[used], rows[used])
        return None, None, None


class LeanEmbedding(nn.Embedding):
    """Embedding that accumulates its gradient in place on CPUs.

    Elsewhere the gradient is PyTorch's own. It may contain only some rows of the whole table.

    Attributes:
        place: int64 [rows of the whole table], index of each row in `weight`, -1 if it is missing; None = all rows.
    """

    place: Tensor | None

    @classmethod
    def of(cls, table: nn.Embedding) -> LeanEmbedding:
        """Convert a table, with the same weight.

        So it stays tied to an LM head.
        """
        made = cls(table.num_embeddings, table.embedding_dim, table.padding_idx, device="meta")
        made.register_buffer("place", None, persistent=False)
        made.use_rows(table.weight, None)
        return made

    def use_rows(self, weight: Tensor, rows: Tensor | None) -> None:
        """Set the weight to some rows of the whole table.

        Args:
            rows: row numbers in ascending order; None = all.
        """
        place, self.padding = None, -1 if self.padding_idx is None else self.padding_idx
        if rows is not None:
            place = torch.full((self.num_embeddings,), -1)
            place[rows] = torch.arange(len(rows))
            self.padding = int(place[self.padding]) if self.padding >= 0 else -1
        self.weight, self.place = cast(nn.Parameter, weight), place

    def forward(self, input: Tensor) -> Tensor:
        """Look up token ids [...] -> [..., width].

        Raises:
            IndexError: a missing row.
        """
        rows = input if self.place is None else self.place[input]
        if self.weight.is_cuda or not (torch.is_grad_enabled() and self.weight.requires_grad):
            return nn.functional.embedding(rows, self.weight, self.padding if self.padding >= 0 else None)
        return _Lookup.apply(self.weight, rows, self.padding)  # type: ignore[no-any-return, no-untyped-call]


class Net(nn.Module):
    """A shared encoder and a head per task.

    The encoder is inside its masked-LM model, if its architecture has one.
    """

    def __init__(self, lm: Any, heads: Mapping[str, Head], seed: int) -> None:
        super().__init__()
        self.lm = lm
        table = lm.get_input_embeddings()
        if type(table) is nn.Embedding:
            lm.set_input_embeddings(LeanEmbedding.of(table))
        self.specs = dict(heads)
        self.heads = nn.ModuleDict()
        self.family = family_of(lm.config.model_type, "the encoder")
        width, dropout = lm.config.hidden_size, getattr(lm.config, self.family.dropout[0])
        for name, head in sorted(heads.items()):
            form = format_of(head.kind)
            if form.has_head:
                self.heads[name] = start_fresh(form.head(head.labels, width, dropout), seed)

    @property
    def encoder(self) -> nn.Module:
        """The encoder without its LM head."""
        return self.lm.base_model  # type: ignore[no-any-return]

    @property
    def lm_head(self) -> nn.Module:
        """Pretrained masked-LM head; BadInput if there is none."""
        if self.family.lm_head is None:
            raise no_masked_lm("the encoder", self.lm.config.model_type)
        return getattr(self.lm, self.family.lm_head)  # type: ignore[no-any-return]

    def parameters_of(self, task: str) -> Iterator[nn.Parameter]:
        """Yield the parameters that a step on `task` trains.

        Tied LM weights belong to the encoder.
        """
        yield from self.encoder.parameters()
        if format_of(self.specs[task].kind).masked:
            shared = {id(p) for p in self.encoder.parameters()}
            yield from (p for p in self.lm_head.parameters() if id(p) not in shared)
        else:
            yield from self.heads[task].parameters()

    def pooler_of(self, task: str) -> PooledHead | None:
        """Return the head with a task's sentence vectors.

        Returns:
            None if words are tagged.
        """
        head = dict(self.heads.items()).get(task)
        head = head.intent if isinstance(head, JointHead) else head
        return head if isinstance(head, PooledHead) else None

    def parameters_of_alignment(self, via: str) -> Iterator[nn.Parameter]:
        """Yield the parameters that alignment of the task `via` trains."""
        yield from self.encoder.parameters()
        if pooler := self.pooler_of(via):
            yield from pooler.dense.parameters()

    def embedded(self, tokens: Tensor) -> Tensor:
        """Look up word embeddings: [B, L] -> [B, L, width]."""
        return self.lm.get_input_embeddings()(tokens)  # type: ignore[no-any-return]

    def hidden(
        self, tokens: Tensor, mask: Tensor, segments: Tensor | None = None, delta: Tensor | None = None
    ) -> Tensor:
        """Compute the last hidden states [B, L, width].

        Args:
            tokens, mask: token ids and attention mask [B, L].
            segments: [B, L]; passed only to an encoder with two segments: XLM-R has one, DeBERTa none, although DeBERTa's
                tokenizer returns two.
            delta: [B, L, width], added to the word embeddings (`robust`).
        """
        words = {"input_ids": tokens} if delta is None else {"inputs_embeds": self.embedded(tokens) + delta}
        inputs = {**words, "attention_mask": mask.long()}  # DeBERTa computes 1 - mask
        if segments is not None and getattr(self.lm.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = segments
        return self.encoder(**inputs).last_hidden_state  # type: ignore[no-any-return]

    def forward(
        self, task: str, tokens: Tensor, mask: Tensor, segments: Tensor | None = None, delta: Tensor | None = None
    ) -> Any:
        """Compute the task's logits.

        They are [B, outputs] for a pooled head, [B, L, outputs] for a token head, and both for a joint head.
        """
        return self.heads[task](self.hidden(tokens, mask, segments, delta))

    def loss(
        self, task: str, batch: Mapping[str, Tensor], rows_per_item: int = 1, delta: Tensor | None = None
    ) -> Tensor:
        """Compute the *summed* loss of a batch.

        Divided by the global count, it is independent of the number of workers.

        Args:
            batch: `tokens` and `mask` [B, L]; `labels`, and `weights` unless all labels count the same, as the format's
                `targets` made them; `segments` [B, L] if there are two.
            delta: [B, L, width], added to the word embeddings; not for masked LM.
        """
        form = format_of(self.specs[task].kind)
        if form.masked:
            # Logits over 250,000 entries dominate the cost of masked LM: compute them only for the masked 15 %.
            hidden = self.hidden(batch["tokens"], batch["mask"], batch.get("segments"))
            chosen = batch["labels"] != NOT_SCORED
            return cross_entropy(self.lm_head(hidden[chosen]), batch["labels"][chosen])
        logits = self(task, batch["tokens"], batch["mask"], batch.get("segments"), delta)
        return form.loss(logits, batch, rows_per_item)

    def alignment(self, via: str, batch: Mapping[str, Tensor]) -> Tensor:
        """Compute the alignment loss, *summed* over pairs.

        It is the squared difference between the vectors of rows 2i and 2i + 1, mean over dimensions. Gradients flow into both
        sides (Gritta and Iacobacci 2021, XeroAlign). The vectors are those that the task `via` classifies; if it has none, as
        in tagging, the states of `<s>`.
        """
        hidden = self.hidden(batch["tokens"], batch["mask"], batch.get("segments"))
        pooler = self.pooler_of(via)
        vectors = pooler.pooled(hidden) if pooler else hidden[:, 0]
        apart = vectors[0::2].float() - vectors[1::2].float()
        return apart.square().mean(1).sum()


def start_fresh(head: nn.Module, seed: int) -> nn.Module:
    """Initialise a head: weights from N(0, 0.02), biases 0."""
    rng = torch.Generator().manual_seed(seed)
    for parameter in head.parameters():
        with torch.no_grad():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.02, generator=rng)
            else:
                parameter.zero_()
    return head


def load_lm(folder: str | Path, dropout: float | None = None, *, with_head: bool = False) -> Any:
    """Load a checkpoint's masked-LM model, or only its encoder.

    Architectures without masked LM (T5) have the encoder only. It is in float32, from safetensors only, and never with remote
    code. Prefixes of known wrappers (`WRAPPERS`) are removed from the names of weights.

    Args:
        dropout: of hidden states and attention; None keeps the checkpoint's.
        with_head: require the pretrained LM head, for training of masked LM.
    Raises:
        BadInput: the folder or hub id has no such model, lacks the required LM head or an encoder weight, or has one of
            another shape or that is not finite.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForTextEncoding

    torch.manual_seed(0)  # weights that the checkpoint lacks, such as an LM head, are the same on every worker
    what = f"encoder {str(folder)!r}"
    if Path(folder).is_dir():
        check_merged({path.name for path in Path(folder).iterdir()}, what, str(folder))
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        family = family_of(config.model_type, what)
        if with_head and family.lm_head is None:
            raise no_masked_lm(what, config.model_type)
        for key in family.dropout if dropout is not None else ():
            setattr(config, key, dropout)
        with _quiet():  # what transformers reports as a page is refused below, in a line
            model, loading = (AutoModelForMaskedLM if family.lm_head else AutoModelForTextEncoding).from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                key_mapping={WRAPPERS: ""},
                ignore_mismatched_sizes=True,
            )
    except (OSError, ValueError, SafetensorError, StrictDataclassError) as error:
        raise BadInput(f"{what} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    _check_loaded(model, loading, family, what)
    if with_head and not hasattr(model, family.lm_head or ""):  # DeBERTa's second kind of head, of another signature
        raise BadInput(f"{what} has a masked-LM head of a kind that is not supported")
    absent = sorted(key for key in loading["missing_keys"] if key.startswith(f"{family.lm_head}."))
    if with_head and absent:
        raise BadInput(f"{what} has no pretrained LM head for masked LM ({absent[0]} is missing)")
    return model


def _check_loaded(model: Any, loading: Mapping[str, Collection[Any]], family: Family, what: str) -> None:
    """Check that every encoder weight is the checkpoint's, and finite.

    Pooler and LM head may be absent.

    Args:
        loading: the report of transformers' `from_pretrained`.
    Raises:
        BadInput: one is absent, of another shape, not finite or has no place in the model.
    """
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    absent = sorted(k for k in loading["missing_keys"] if k.startswith(prefix) and "pooler." not in k)
    if absent:
        raise BadInput(f"{what} lacks weights, which would be random: {_some(absent)}")
    shapes = sorted(f"{name} is {list(has)}, not {list(wants)}" for name, has, wants in loading["mismatched_keys"])
    if shapes:
        raise BadInput(f"{what} has weights of another shape than its config.json: {_some(shapes)}")
    layer = re.compile(rf"\bencoder\.{family.layers}\.\d+\.")
    extra = sorted(key for key in loading["unexpected_keys"] if layer.search(key))
    if extra:
        raise BadInput(f"{what} has weights in its layers that its config.json has no place for: {_some(extra)}")
    # The extremes of a tensor with NaN are NaN, and unlike isfinite() they need no memory of its size.
    values = ((name, w.detach()) for name, w in model.named_parameters(remove_duplicate=False) if w.numel())
    wild = [name for name, weight in values if not all(math.isfinite(extreme) for extreme in weight.aminmax())]
    if wild:
        raise BadInput(f"{what} has weights that are not finite: {_some(wild)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers for a while, but not its errors."""
    from transformers import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _some(names: Collection[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(list(names)[:most]) + more


def load_tokenizer(folder: str | Path) -> Any:
    """Load the fast tokenizer of a checkpoint.

    Raises:
        BadInput: it has none, or one with more pieces than the encoder has embeddings.
    """
    from transformers import AutoTokenizer

    if Path(folder).is_dir():
        check_tokenizer({path.name for path in Path(folder).iterdir()}, f"encoder {str(folder)!r}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"encoder {str(folder)!r} has no tokenizer: {str(error).splitlines()[0]}") from error
    if not tokenizer.is_fast:
        raise BadInput(f"encoder {str(folder)!r} has no fast tokenizer, which is needed for character offsets")
    config = Path(folder) / "config.json"  # absent while a stage makes the encoder
    rows = json.loads(config.read_text(encoding="utf-8")).get("vocab_size") if config.is_file() else None
    piece, last = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if rows is not None and last >= rows:
        raise BadInput(
            f"encoder {str(folder)!r} has {rows} embeddings, but its tokenizer's {piece!r} has the id {last}"
        )
    return tokenizer


def save(net: Net, tokenizer: Any, out: Path) -> None:
    """Write encoder, tokenizer and heads, as safetensors.

    Encoder and tokenizer have the Hugging Face layout; the heads are beside them.
    """
    net.lm.save_pretrained(out / "encoder")
    tokenizer.save_pretrained(out / "encoder")
    if net.heads:
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in net.heads.state_dict().items()}, out / "heads.safetensors"
        )
    (out / "heads.json").write_text(json.dumps({name: asdict(head) for name, head in net.specs.items()}, indent=1))


def head_state(folder: Path, name: str) -> dict[str, Tensor]:
    """Read one head's weights from a folder of `save`."""
    tensors = load_file(folder / "heads.safetensors")
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def load_net(folder: Path) -> Net:
    """Load the net that `save` wrote, with its heads."""
    specs = {
        name: Head(head["kind"], tuple(head["labels"]))
        for name, head in json.loads((folder / "heads.json").read_text()).items()
    }
    net = Net(load_lm(folder / "encoder"), specs, seed=0)
    if net.heads:
        net.heads.load_state_dict(load_file(folder / "heads.safetensors"))
    return net
