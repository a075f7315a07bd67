"""Named sets of training numbers, so that a recipe can say where each of its values comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How one dataset is trained: batch in examples, passes over the data, longest input in sub-tokens."""

    batch: int
    epochs: float
    max_length: int


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Every number of a study that a recipe does not name.

    Attributes:
        fits: catalogue name -> Fit as an intermediate task.
        target_fits: catalogue name of the *training* set -> Fit as a target task.
        lr, lr_mlm: peak learning rate of the intermediate phase without and with masked LM.
        mixing_limit: K of P(m) = min(e_m, K) / sum.
        mlm_sentences, mlm_alpha: size of the corpus and exponent of q_l ~ (n_l / n)^alpha.
        dev_examples: early stopping looks at this many first examples of each task's dev set.
        eval_every, patience: steps between dev evaluations, and how many without a better score end the phase.
        mixture_epochs: passes for every task of a mixture, in place of its own.
        doc_stride: *step* between the windows of a long context.
    """

    name: str
    cite: str
    fits: Mapping[str, Fit]
    target_fits: Mapping[str, Fit]
    lr: float
    lr_mlm: float
    target_lr: float
    mlm: Fit
    eval_max_length: int
    span_max_length: int
    mixing_limit: int = 2**17
    mlm_sentences: int = 2_000_000
    mlm_alpha: float = 0.3
    warmup_frac: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    adam_eps: float = 1e-8
    dev_examples: int = 500
    eval_every: int = 1000
    patience: int = 30
    mixture_epochs: float = 3
    doc_stride: int = 128

    def intermediate_lr(self, *, mlm: bool) -> float:
        """Peak learning rate of the intermediate phase."""
        return self.lr_mlm if mlm else self.lr

    def fit(self, task: str, *, target: bool) -> Fit:
        """The numbers for training on `task`; the entry `""` serves datasets the source does not list."""
        table = self.target_fits if target else self.fits
        return table.get(task, table[""])


# Phang et al. 2020, appendix A.1 and Tables 3-4; lengths, evaluation interval and patience are not in the paper and follow
# jiant, which it was run with.
PHANG2020 = Profile(
    name="phang2020",
    cite="Phang et al. 2020, English Intermediate-Task Training Improves Zero-Shot Cross-Lingual Transfer Too",
    fits={
        "": Fit(batch=24, epochs=3, max_length=256),
        "anli_plus": Fit(batch=24, epochs=2, max_length=256),
        "mnli": Fit(batch=24, epochs=2, max_length=256),
        "qqp": Fit(batch=24, epochs=3, max_length=256),
        "squad": Fit(batch=8, epochs=3, max_length=384),
        "hellaswag": Fit(batch=24, epochs=7, max_length=256),
        "ccg": Fit(batch=24, epochs=15, max_length=256),
        "cosmos_qa": Fit(batch=4, epochs=15, max_length=256),
        "commonsense_qa": Fit(batch=4, epochs=10, max_length=256),
    },
    target_fits={
        "": Fit(batch=32, epochs=5, max_length=256),
        "mnli": Fit(batch=4, epochs=2, max_length=256),
        "pawsx": Fit(batch=32, epochs=5, max_length=256),
        "udpos": Fit(batch=32, epochs=10, max_length=256),
        "panx": Fit(batch=32, epochs=10, max_length=256),
        "squad": Fit(batch=16, epochs=2, max_length=384),
    },
    lr=1e-5,
    lr_mlm=5e-6,
    target_lr=3e-6,
    mlm=Fit(batch=8, epochs=1, max_length=256),
    eval_max_length=256,
    span_max_length=384,
)

# For encoders of a few million parameters that were pretrained here: they need steps and learning rates of another order.
SMALL = Profile(
    name="small",
    cite="Stepstone's own numbers for encoders of a few million parameters",
    fits={"": Fit(batch=32, epochs=2, max_length=128), "squad": Fit(batch=32, epochs=2, max_length=256)},
    target_fits={"": Fit(batch=32, epochs=1.5, max_length=128), "squad": Fit(batch=32, epochs=1.5, max_length=256)},
    lr=5e-4,
    lr_mlm=5e-4,
    target_lr=5e-4,
    mlm=Fit(batch=32, epochs=1, max_length=64),
    eval_max_length=128,
    span_max_length=256,
    mixing_limit=2**11,
    mixture_epochs=2,
    patience=3,
)

PROFILES: Mapping[str, Profile] = {p.name: p for p in (PHANG2020, SMALL)}


def default_profile(encoder: str) -> str:
    """The profile that suits an encoder: the published one, except for the small encoders made by this project."""
    return "small" if encoder == "pocket" or encoder.startswith("pretrain:") else "phang2020"
