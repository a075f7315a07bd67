"""An encoder with its LM head, and fresh task heads on top."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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
from trainables.modeling.encoders import check_tokenizer, family_of, no_masked_lm


@dataclass(frozen=True)
class Head:
    """What a task head predicts; the label names travel with the weights, so ids can never be mixed up."""

    kind: str
    labels: tuple[str, ...]


class _Lookup(torch.autograd.Function):
    """Rows of an embedding whose gradient is added to in place.

    PyTorch makes a new gradient of the whole table at every backward pass: 0.4 GB for XLM-R's 250,000 rows of width 384,
    once more for every piece of a batch.
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
    """An embedding with the gradient of `_Lookup` on a CPU, and PyTorch's own elsewhere; it may hold only some of its rows."""

    place: Tensor | None  # int64 [rows of the whole table], where each of them is in `weight`; -1: it is not there

    @classmethod
    def of(cls, table: nn.Embedding) -> LeanEmbedding:
        """The same table: its weight is shared, and so stays tied to an LM head."""
        made = cls(table.num_embeddings, table.embedding_dim, table.padding_idx, device="meta")
        made.register_buffer("place", None, persistent=False)
        made.use_rows(table.weight, None)
        return made

    def use_rows(self, weight: Tensor, rows: Tensor | None) -> None:
        """Look token ids up in `weight`, which holds these rows of the whole table in ascending order (None: all)."""
        place, self.padding = None, -1 if self.padding_idx is None else self.padding_idx
        if rows is not None:
            place = torch.full((self.num_embeddings,), -1)
            place[rows] = torch.arange(len(rows))
            self.padding = int(place[self.padding]) if self.padding >= 0 else -1
        self.weight, self.place = cast(nn.Parameter, weight), place

    def forward(self, input: Tensor) -> Tensor:
        """Token ids [...] -> [..., width]; IndexError for a row that is not there."""
        rows = input if self.place is None else self.place[input]
        if self.weight.is_cuda or not (torch.is_grad_enabled() and self.weight.requires_grad):
            return nn.functional.embedding(rows, self.weight, self.padding if self.padding >= 0 else None)
        return _Lookup.apply(self.weight, rows, self.padding)  # type: ignore[no-any-return, no-untyped-call]


class Net(nn.Module):
    """One shared encoder (inside its masked-LM model, where its architecture has one) and one head per task."""

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
        """The pretrained head from hidden states to vocabulary logits; BadInput when the architecture has none."""
        if self.family.lm_head is None:
            raise no_masked_lm("the encoder", self.lm.config.model_type)
        return getattr(self.lm, self.family.lm_head)  # type: ignore[no-any-return]

    def parameters_of(self, task: str) -> Iterator[nn.Parameter]:
        """The parameters that a step on `task` trains (tied LM weights belong to the encoder)."""
        yield from self.encoder.parameters()
        if format_of(self.specs[task].kind).masked:
            shared = {id(p) for p in self.encoder.parameters()}
            yield from (p for p in self.lm_head.parameters() if id(p) not in shared)
        else:
            yield from self.heads[task].parameters()

    def pooler_of(self, task: str) -> PooledHead | None:
        """The head that makes one vector of a sentence for this task; None for tasks of single words."""
        head = dict(self.heads.items()).get(task)
        head = head.intent if isinstance(head, JointHead) else head
        return head if isinstance(head, PooledHead) else None

    def parameters_of_alignment(self, via: str) -> Iterator[nn.Parameter]:
        """The parameters that aligning sentence vectors of the task `via` trains."""
        yield from self.encoder.parameters()
        if pooler := self.pooler_of(via):
            yield from pooler.dense.parameters()

    def embedded(self, tokens: Tensor) -> Tensor:
        """The word embeddings [B, L, width] of token ids [B, L]."""
        return self.lm.get_input_embeddings()(tokens)  # type: ignore[no-any-return]

    def hidden(
        self, tokens: Tensor, mask: Tensor, segments: Tensor | None = None, delta: Tensor | None = None
    ) -> Tensor:
        """Last hidden states [B, L, width] of token ids [B, L] under an attention mask [B, L].

        Segment ids [B, L] reach only an encoder that tells two segments apart: XLM-R has one, DeBERTa none, though
        DeBERTa's tokenizer gives two. `delta` [B, L, width] is added to the word embeddings (`robust`).
        """
        words = {"input_ids": tokens} if delta is None else {"inputs_embeds": self.embedded(tokens) + delta}
        inputs = {**words, "attention_mask": mask.long()}  # DeBERTa computes 1 - mask
        if segments is not None and getattr(self.lm.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = segments
        return self.encoder(**inputs).last_hidden_state  # type: ignore[no-any-return]

    def forward(
        self, task: str, tokens: Tensor, mask: Tensor, segments: Tensor | None = None, delta: Tensor | None = None
    ) -> Any:
        """The task's logits: [B, outputs] of a pooled head, [B, L, outputs] of a token head, both of a joint head."""
        return self.heads[task](self.hidden(tokens, mask, segments, delta))

    def loss(
        self, task: str, batch: Mapping[str, Tensor], rows_per_item: int = 1, delta: Tensor | None = None
    ) -> Tensor:
        """The *summed* loss of a batch; dividing by the global count makes it independent of the number of workers.

        Args:
            batch: `tokens` and `mask` [B, L]; `labels`, and where labels do not count alike `weights`, as the format's
                `targets` made them; `segments` [B, L] where there are two.
            delta: [B, L, width], added to the word embeddings; not for masked LM.
        """
        form = format_of(self.specs[task].kind)
        if form.masked:
            # Logits over 250,000 entries are the cost of masked LM: only the masked 15 % of the positions need them.
            hidden = self.hidden(batch["tokens"], batch["mask"], batch.get("segments"))
            chosen = batch["labels"] != NOT_SCORED
            return cross_entropy(self.lm_head(hidden[chosen]), batch["labels"][chosen])
        logits = self(task, batch["tokens"], batch["mask"], batch.get("segments"), delta)
        return form.loss(logits, batch, rows_per_item)

    def alignment(self, via: str, batch: Mapping[str, Tensor]) -> Tensor:
        """Squared differences between the vectors of rows 2i and 2i + 1, mean over dimensions, *summed* over pairs.

        Gradients flow into both sides (Gritta and Iacobacci 2021, XeroAlign). The vectors are those that the task `via`
        classifies; where it has none, as in tagging, the states of `<s>`.
        """
        hidden = self.hidden(batch["tokens"], batch["mask"], batch.get("segments"))
        pooler = self.pooler_of(via)
        vectors = pooler.pooled(hidden) if pooler else hidden[:, 0]
        apart = vectors[0::2].float() - vectors[1::2].float()
        return apart.square().mean(1).sum()


def start_fresh(head: nn.Module, seed: int) -> nn.Module:
    """Draws a head's weights from N(0, 0.02) with a generator of its own; biases start at 0."""
    rng = torch.Generator().manual_seed(seed)
    for parameter in head.parameters():
        with torch.no_grad():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.02, generator=rng)
            else:
                parameter.zero_()
    return head


def load_lm(folder: str | Path, dropout: float | None = None, *, with_head: bool = False) -> Any:
    """The masked-LM model of a checkpoint, or where its architecture has none (T5) its encoder; in float32, from
    safetensors only and never with code from outside.

    Args:
        dropout: of hidden states and attention; None keeps the checkpoint's.
        with_head: masked LM is going to be trained, so the pretrained LM head must be there.
    Raises:
        BadInput: the folder or hub id holds no such model, or no LM head though one is needed.
    """
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForTextEncoding

    torch.manual_seed(0)  # weights that the checkpoint lacks, such as an LM head, are drawn alike on every worker
    what = f"encoder {str(folder)!r}"
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        family = family_of(config.model_type, what)
        if with_head and family.lm_head is None:
            raise no_masked_lm(what, config.model_type)
        for key in family.dropout if dropout is not None else ():
            setattr(config, key, dropout)
        model, loading = (AutoModelForMaskedLM if family.lm_head else AutoModelForTextEncoding).from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise BadInput(f"{what} cannot be loaded: {str(error).splitlines()[0]}") from error
    if with_head and not hasattr(model, family.lm_head or ""):  # DeBERTa's second kind of head, of another signature
        raise BadInput(f"{what} has a masked-LM head of a kind that is not supported")
    absent = sorted(key for key in loading["missing_keys"] if key.startswith(f"{family.lm_head}."))
    if with_head and absent:
        raise BadInput(f"{what} has no pretrained LM head for masked LM ({absent[0]} is missing)")
    return model


def load_tokenizer(folder: str | Path) -> Any:
    """The fast tokenizer of a checkpoint; BadInput when it has none."""
    from transformers import AutoTokenizer

    if Path(folder).is_dir():
        check_tokenizer({path.name for path in Path(folder).iterdir()}, f"encoder {str(folder)!r}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"encoder {str(folder)!r} has no tokenizer: {str(error).splitlines()[0]}") from error
    if not tokenizer.is_fast:
        raise BadInput(f"encoder {str(folder)!r} has no fast tokenizer, which character offsets need")
    return tokenizer


def save(net: Net, tokenizer: Any, out: Path) -> None:
    """Writes encoder and tokenizer in the Hugging Face layout, and the heads beside them; safetensors only."""
    net.lm.save_pretrained(out / "encoder")
    tokenizer.save_pretrained(out / "encoder")
    if net.heads:
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in net.heads.state_dict().items()}, out / "heads.safetensors"
        )
    (out / "heads.json").write_text(json.dumps({name: asdict(head) for name, head in net.specs.items()}, indent=1))


def head_state(folder: Path, name: str) -> dict[str, Tensor]:
    """The weights of one head that `save` wrote, without the encoder's."""
    tensors = load_file(folder / "heads.safetensors")
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def load_net(folder: Path) -> Net:
    """The net that `save` wrote, with its heads."""
    specs = {
        name: Head(head["kind"], tuple(head["labels"]))
        for name, head in json.loads((folder / "heads.json").read_text()).items()
    }
    net = Net(load_lm(folder / "encoder"), specs, seed=0)
    if net.heads:
        net.heads.load_state_dict(load_file(folder / "heads.safetensors"))
    return net
