"""Profiles: named sets of hyperparameters, each number with its origin.

A recipe can thus state the origin of all of its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

Keep = Literal["best", "last"]
Optimizer = Literal["adamw", "adam", "adamax"]
Rates = Literal["linear", "one_cycle"]
# Fixed in formats and decode, the same in XTREME's scripts and in jiant: most sub-tokens of a question, starts and ends
# that are combined, tokens of an answer.
MAX_QUERY, N_BEST, MAX_ANSWER = 64, 20, 30


NO_LIMIT = 2**31 - 1  # mixing limit for a mix in proportion to size, however large


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Optimisation and end of a training phase.

    Gradients are clipped by their global norm.

    Attributes:
        lr: peak learning rate.
        optimizer: AdamW, Adam, or Adamax (Kingma and Ba 2015).
        rates: linear warm-up and decay to 0, or one cycle (`schedule.one_cycle`), which has a warm-up of its own.
        warmup_frac, warmup_steps: share of the steps that warm up, or their number where that is not 0.
        weight_decay: on everything but biases and LayerNorm.
        eval_every: steps between dev evaluations.
        patience: evaluations without a strictly better score that end the phase; None = no early stopping.
        dev_examples: number of first examples of each dev set that are evaluated; None = all of them.
        keep: which weights stay, those of the best dev score or the last.
    """

    lr: float
    optimizer: Optimizer = "adamw"
    rates: Rates = "linear"
    warmup_frac: float = 0.1
    warmup_steps: int = 0
    weight_decay: float = 0.01
    clip: float = 1.0
    adam_eps: float = 1e-8
    eval_every: int = 1000
    patience: int | None = 30
    dev_examples: int | None = 500
    keep: Keep = "best"


@dataclass(frozen=True, kw_only=True)
class TaskHyperparameters:
    """Hyperparameters of the training on one dataset.

    Attributes:
        batch: examples of one optimiser step, the *effective* batch.
        epochs: passes over the data.
        max_length: longest input in sub-tokens.
        accumulation: number of micro-batches per batch in the source's scripts; the gradient is that of the whole
            batch.
        phase: hyperparameters of its own as a target; None = those of all targets.
        origin: origin of batch, epochs and phase; "" = that of the profile's table.
    """

    batch: int
    epochs: float
    max_length: int
    accumulation: int = 1
    phase: Phase | None = None
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A named set of hyperparameters: every number of a study outside its recipes.

    Attributes:
        fits: catalogue name -> hyperparameters as an intermediate task; "" is the entry of all others.
        target_fits: catalogue name of the *training* set -> hyperparameters as a target task.
        phase, target_phase: the two phases; `phase.lr` is that without masked LM.
        lr_mlm: peak learning rate of the intermediate phase with masked LM.
        mlm: batch and length of masked-LM lines.
        mixing_limit: K of P(m) = min(e_m, K) / sum.
        mlm_sentences, mlm_alpha: size of the corpus and exponent of q_l ~ (n_l / n)^alpha.
        mixture_epochs: passes for every task of a mixture, in place of its own.
        doc_stride: *step* between the windows of a long context.
        eval_max_length, span_max_length, retrieval_max_length: longest input when scoring.
        copies: training set -> copies of each row under synonym augmentation; "" is the entry of all others.
        base: the profile that gives the numbers that this one's source does not state.
        origins: field, or field and part as "phase.lr" -> its origin; what is not listed is from the source of `name`.
    """

    name: str
    cite: str
    fits: Mapping[str, TaskHyperparameters]
    target_fits: Mapping[str, TaskHyperparameters]
    phase: Phase
    lr_mlm: float
    target_phase: Phase
    mlm: TaskHyperparameters
    eval_max_length: int
    span_max_length: int
    retrieval_max_length: int
    mixing_limit: int = 2**17
    mlm_sentences: int = 2_000_000
    mlm_alpha: float = 0.3
    mixture_epochs: float = 3
    doc_stride: int = 128
    copies: Mapping[str, int] = field(default_factory=lambda: {"": 3, "mnli": 3, "pawsx": 10})
    base: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def lr(self) -> float:
        """Peak learning rate of the intermediate phase without masked LM."""
        return self.phase.lr

    def intermediate_lr(self, *, mlm: bool) -> float:
        """Return the peak learning rate of the intermediate phase."""
        return self.lr_mlm if mlm else self.phase.lr

    def fit(self, task: str, *, target: bool) -> TaskHyperparameters:
        """Return the hyperparameters for training on `task`.

        The entry `""` is for datasets that the source does not list.
        """
        table = self.target_fits if target else self.fits
        return table.get(task, table[""])

    def target_phase_of(self, task: str) -> Phase:
        """Return the phase of a target's training set, or that of all targets."""
        return self.fit(task, target=True).phase or self.target_phase

    def copies_of(self, task: str) -> int:
        """Return the copies of each training row under synonym augmentation."""
        return self.copies.get(task, self.copies[""])

    def origin(self, part: str) -> str:
        """Return the origin of a number.

        Args:
            part: a field's name, or "field.number" as in "phase.lr".
        """
        return self.origins.get(part) or self.origins.get(part.partition(".")[0]) or self.name


def _based_on(base: Profile, *, name: str, cite: str, origins: Mapping[str, str], **own: Any) -> Profile:
    """Make a profile of its own numbers and of `base`'s for the others.

    Numbers from `base` keep their origins.
    """
    inherited = {f.name: base.origin(f.name) for f in fields(Profile)} | dict(base.origins)
    kept = {part: origin for part, origin in inherited.items() if part.partition(".")[0] not in own}
    return replace(base, name=name, cite=cite, base=base.name, origins={**kept, **origins}, **own)


def _each(names: str, fit: TaskHyperparameters) -> dict[str, TaskHyperparameters]:
    return dict.fromkeys(names.split(), fit)


_INTENTS = "multiatis mtop mtod massive xsid xsid_parallel"
_JIANT = "jiant (not stated in the paper)"
_COPIES = {"copies": "Stepstone, as robust's XNLI", "copies.mnli": "robust", "copies.pawsx": "robust"}
_OWN_FITS = "Stepstone, not in the paper"

# Phang et al. 2020: appendix A.1 and Table 3 for the intermediate phase, A.2 and Table 4 for the targets.
PHANG2020 = Profile(
    name="phang2020",
    cite="Phang et al. 2020, English Intermediate-Task Training Improves Zero-Shot Cross-Lingual Transfer Too",
    fits={
        "": TaskHyperparameters(batch=24, epochs=3, max_length=256, origin=_OWN_FITS),
        "anli_plus": TaskHyperparameters(batch=24, epochs=2, max_length=256),
        "qqp": TaskHyperparameters(batch=24, epochs=3, max_length=256),
        "squad": TaskHyperparameters(batch=8, epochs=3, max_length=384),
        "hellaswag": TaskHyperparameters(batch=24, epochs=7, max_length=256),
        "ccg": TaskHyperparameters(batch=24, epochs=15, max_length=256),
        "cosmos_qa": TaskHyperparameters(batch=4, epochs=15, max_length=256),
        "commonsense_qa": TaskHyperparameters(batch=4, epochs=10, max_length=256),
        # The paper's later version adds MNLI and SQuAD 2.0; its numbers for them are not known.
        **_each(
            "mnli anli snli", TaskHyperparameters(batch=24, epochs=2, max_length=256, origin="Stepstone, as ANLI+")
        ),
        **_each(
            "cola sst2 stsb rte mrpc qnli qnli_ranking",
            TaskHyperparameters(batch=24, epochs=3, max_length=256, origin="Stepstone, as QQP"),
        ),
        "squad_v2": TaskHyperparameters(batch=8, epochs=3, max_length=384, origin="Stepstone, as SQuAD"),
        "tydiqa": TaskHyperparameters(batch=8, epochs=3, max_length=384, origin="Stepstone, as SQuAD"),
        **_each("siqa copa", TaskHyperparameters(batch=32, epochs=5, max_length=256, origin="xtreme")),
        **_each(_INTENTS, TaskHyperparameters(batch=32, epochs=10, max_length=128, origin=_OWN_FITS)),
    },
    target_fits={
        "": TaskHyperparameters(batch=32, epochs=5, max_length=256, origin="Stepstone, as PAWS-X"),
        "mnli": TaskHyperparameters(batch=4, epochs=2, max_length=256),
        "pawsx": TaskHyperparameters(batch=32, epochs=5, max_length=256),
        **_each("udpos panx", TaskHyperparameters(batch=32, epochs=10, max_length=256)),
        **_each("squad tydiqa", TaskHyperparameters(batch=16, epochs=2, max_length=384)),
        **_each("siqa copa", TaskHyperparameters(batch=32, epochs=5, max_length=256, origin="xtreme")),
        # XeroAlign and MT-DNN train intents with their own numbers; these are those of XTREME's tagging.
        **_each(
            _INTENTS,
            TaskHyperparameters(
                batch=32, epochs=10, max_length=128, phase=Phase(lr=2e-5), origin="Stepstone, as xtreme's tagging"
            ),
        ),
        # 701 rows: five passes at this learning rate would hardly move the weights.
        "sib200": TaskHyperparameters(batch=32, epochs=20, max_length=256, phase=Phase(lr=2e-5), origin=_OWN_FITS),
    },
    phase=Phase(lr=1e-5),
    lr_mlm=5e-6,
    target_phase=Phase(lr=3e-6),
    mlm=TaskHyperparameters(batch=8, epochs=1, max_length=256),
    eval_max_length=256,
    span_max_length=384,
    retrieval_max_length=256,
    origins={
        **_COPIES,
        "fits": "phang2020, Table 3",
        "fits.max_length": _JIANT,
        "target_fits": "phang2020, Table 4",
        "target_fits.max_length": _JIANT,
        "mlm": "phang2020, Table 3",
        "mlm.max_length": _JIANT,
        "phase": _JIANT,
        **dict.fromkeys(("phase.lr", "phase.warmup_frac", "phase.dev_examples", "lr_mlm"), "phang2020, A.1"),
        "target_phase": _JIANT,
        **dict.fromkeys(("target_phase.lr", "target_phase.warmup_frac", "target_phase.dev_examples"), "phang2020, A.2"),
        "mixture_epochs": "phang2020, Table 3",
        "doc_stride": _JIANT,
        "eval_max_length": _JIANT,
        "span_max_length": _JIANT,
        "retrieval_max_length": _JIANT,
    },
)

# XLM-R large in XTREME's scripts. The best of all saved checkpoints on the whole English dev set is kept, without early
# stopping; question answering saves no checkpoint before the end, so the last weights are kept.
_XTREME = Phase(lr=2e-5, warmup_frac=0.0, weight_decay=0.0, patience=None, dev_examples=None)
_XTREME_QA = replace(_XTREME, lr=3e-5, warmup_steps=500, weight_decay=1e-4, keep="last")
_XTREME_CHOICE = TaskHyperparameters(
    batch=32, accumulation=16, epochs=5, max_length=128, phase=replace(_XTREME, lr=3e-5)
)
_XTREME_OWN = TaskHyperparameters(
    batch=32, accumulation=16, epochs=5, max_length=128, phase=_XTREME, origin="Stepstone, as xtreme's PAWS-X"
)
XTREME = _based_on(
    PHANG2020,
    name="xtreme",
    cite="Hu et al. 2020, XTREME: the scripts of google-research/xtreme for XLM-R large",
    target_fits={
        "": _XTREME_OWN,
        "mnli": replace(_XTREME_CHOICE, phase=replace(_XTREME, lr=3e-5, eval_every=100)),
        "pawsx": replace(_XTREME_CHOICE, phase=replace(_XTREME, eval_every=200)),
        "udpos": replace(_XTREME_CHOICE, epochs=10, phase=replace(_XTREME, eval_every=500)),
        "panx": replace(_XTREME_CHOICE, epochs=10, phase=_XTREME),
        **_each(
            "squad tydiqa", TaskHyperparameters(batch=32, accumulation=8, epochs=3, max_length=384, phase=_XTREME_QA)
        ),
        **_each("siqa copa", _XTREME_CHOICE),
        "mewslix": TaskHyperparameters(
            batch=32, accumulation=4, epochs=2, max_length=64, phase=replace(_XTREME, lr=1e-5)
        ),
        "lareqa": TaskHyperparameters(batch=16, accumulation=4, epochs=3, max_length=256, phase=_XTREME),
        **_each(_INTENTS, replace(_XTREME_OWN, epochs=10, origin="Stepstone, as xtreme's tagging")),
        "sib200": replace(_XTREME_OWN, epochs=20, origin="Stepstone"),
    },
    target_phase=_XTREME,
    eval_max_length=128,
    span_max_length=384,
    retrieval_max_length=512,
    doc_stride=128,
    origins={},
)

# jiant's guide to XTREME, which describes no intermediate phase.
_JIANT_CLASSIFY = TaskHyperparameters(batch=32, accumulation=8, epochs=5, max_length=256)
JIANT = _based_on(
    PHANG2020,
    name="jiant",
    cite="Phang et al. 2020, jiant 2: its guide to XTREME",
    target_fits={
        "": replace(_JIANT_CLASSIFY, origin="Stepstone, as jiant's PAWS-X"),
        "mnli": replace(_JIANT_CLASSIFY, epochs=2),
        "pawsx": _JIANT_CLASSIFY,
        **_each("udpos panx", replace(_JIANT_CLASSIFY, epochs=10)),
        **_each("squad tydiqa", TaskHyperparameters(batch=16, accumulation=4, epochs=2, max_length=384)),
        **_each("siqa copa", TaskHyperparameters(batch=32, accumulation=16, epochs=5, max_length=256, origin="xtreme")),
        **_each(_INTENTS, replace(_JIANT_CLASSIFY, epochs=10, max_length=128, origin="Stepstone, as jiant's tagging")),
        "sib200": replace(_JIANT_CLASSIFY, epochs=20, origin="Stepstone"),
    },
    target_phase=Phase(lr=1e-5),
    eval_max_length=256,
    span_max_length=384,
    retrieval_max_length=256,
    doc_stride=128,
    origins={},
)

# The paper states lr, batch, epochs and Adamax of its first phase, and mt-dnn's own code for all else; of its second phase
# it states only lr, batch and epochs.
_MTDNN_CODE, _MTDNN_OPEN = "mt-dnn's code (not stated in mtdnn)", "Stepstone (not stated in mtdnn)"
_MTDNN_TARGET = Phase(lr=5e-6, patience=None, dev_examples=None, keep="last")
MTDNN = _based_on(
    PHANG2020,
    name="mtdnn",
    cite="MT-DNN-MultiLingual: multi-task pre-finetuning of XLM-R for zero-shot transfer of intents and slots",
    fits={"": TaskHyperparameters(batch=32, epochs=4, max_length=512)},
    target_fits={
        **{
            name: replace(fit, phase=fit.phase or PHANG2020.target_phase, origin=fit.origin or "phang2020, Table 4")
            for name, fit in PHANG2020.target_fits.items()
        },
        **_each(_INTENTS, TaskHyperparameters(batch=256, epochs=40, max_length=512)),
    },
    phase=Phase(
        lr=5e-5, optimizer="adamax", weight_decay=0.0, adam_eps=1e-6, eval_every=10_000, patience=None, keep="last"
    ),
    lr_mlm=5e-5,
    target_phase=_MTDNN_TARGET,
    mixing_limit=NO_LIMIT,
    mixture_epochs=4,
    eval_max_length=512,
    origins={
        "fits.max_length": _MTDNN_CODE,
        "target_fits.max_length": _MTDNN_OPEN,
        "phase": _MTDNN_CODE,
        **dict.fromkeys(("phase.lr", "phase.optimizer"), "mtdnn"),
        **dict.fromkeys(("phase.eval_every", "phase.patience", "phase.dev_examples", "phase.keep"), _MTDNN_OPEN),
        "target_phase": _MTDNN_OPEN,
        "target_phase.lr": "mtdnn",
        "lr_mlm": "Stepstone, as without masked LM",
        "mixing_limit": _MTDNN_CODE,
        "eval_max_length": _MTDNN_OPEN,
    },
)

# XLM-R large, base with the same numbers. The source's loops count micro-batches; here a step is one accumulated batch.
_XERO = Phase(
    lr=2e-5,
    optimizer="adam",
    rates="one_cycle",
    weight_decay=0.0,
    patience=None,
    dev_examples=None,
    keep="last",
)
_XERO_INTENTS = TaskHyperparameters(batch=10, accumulation=5, epochs=10, max_length=70, phase=_XERO)
XEROALIGN = _based_on(
    XTREME,
    name="xeroalign",
    cite="Gritta and Iacobacci 2021, XeroAlign: Zero-Shot Cross-lingual Transformer Alignment, and its published scripts",
    target_fits={
        **XTREME.target_fits,
        "multiatis": replace(_XERO_INTENTS, max_length=100),
        "mtop": _XERO_INTENTS,
        "mtod": replace(_XERO_INTENTS, max_length=50, phase=replace(_XERO, lr=5e-6)),
        **_each("massive xsid xsid_parallel", replace(_XERO_INTENTS, origin="Stepstone, as xeroalign's MTOP")),
        "pawsx": TaskHyperparameters(batch=4, epochs=10, max_length=200, phase=replace(_XERO, lr=6e-6)),
    },
    target_phase=_XERO,
    origins={},
)

# For encoders of a few million parameters that were pretrained here: they need other orders of steps and learning rates.
# Targets train briefly, so that the gain of an intermediate phase is visible.
_SMALL_QA = "squad squad_v2 tydiqa"
SMALL = Profile(
    name="small",
    cite="Stepstone's own numbers for encoders of a few million parameters",
    fits={
        "": TaskHyperparameters(batch=32, epochs=3, max_length=128),
        **_each(_SMALL_QA, TaskHyperparameters(batch=32, epochs=3, max_length=256)),
    },
    target_fits={
        "": TaskHyperparameters(batch=32, epochs=1.5, max_length=128),
        "mnli": TaskHyperparameters(batch=32, epochs=0.5, max_length=128),
        **_each(_SMALL_QA, TaskHyperparameters(batch=32, epochs=0.375, max_length=256)),
        **_each(_INTENTS, TaskHyperparameters(batch=32, epochs=12, max_length=128)),  # dozens of labels and few rows
    },
    phase=Phase(lr=2e-4, patience=3),
    lr_mlm=2e-4,
    target_phase=Phase(lr=5e-4, patience=3),
    mlm=TaskHyperparameters(batch=32, epochs=1, max_length=64),
    eval_max_length=128,
    span_max_length=256,
    retrieval_max_length=128,
    mixing_limit=2**11,
    mixture_epochs=2,
    origins={**_COPIES, "mlm_sentences": "phang2020", "mlm_alpha": "phang2020", "doc_stride": "jiant"},
)

# Huang et al. 2021, robust training of multilingual BERT: the numbers of its published scripts, and XTREME's for the rest.
_ROBUST = TaskHyperparameters(
    batch=32, accumulation=4, epochs=1, max_length=128, phase=replace(_XTREME, eval_every=1000)
)
ROBUST = _based_on(
    XTREME,
    name="robust",
    cite="Huang et al. 2021, Improving Zero-Shot Cross-Lingual Transfer Learning via Robust Training: its scripts",
    target_fits={
        **{name: replace(fit, origin=fit.origin or "xtreme") for name, fit in XTREME.target_fits.items()},
        "": replace(_ROBUST, epochs=3, origin="Stepstone, as robust's PAWS-X"),
        "mnli": _ROBUST,
        "pawsx": replace(_ROBUST, epochs=3, phase=replace(_XTREME, eval_every=500)),
    },
    origins={"target_phase.lr": "robust"},
)

PROFILES: Mapping[str, Profile] = {p.name: p for p in (PHANG2020, XTREME, JIANT, MTDNN, XEROALIGN, ROBUST, SMALL)}


def default_profile(encoder: str, published: str) -> str:
    """Return the profile that suits an encoder.

    It is the published one, except for the small encoders made by this project.
    """
    return "small" if encoder == "pocket" or encoder.startswith("pretrain:") else published
