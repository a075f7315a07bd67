"""Joint intents and slots of pre-split words.

Rows are as in tagging, with the intent at an example's first token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.encoding.encoded import NOT_SCORED, Encoded
from trainables.encoding.rows import Framing, all_of
from trainables.errors import BadInput, DataError
from trainables.examples import Example, Utterance, split_joint
from trainables.formats.format import DatasetSpec, ExampleScores, Format, Targets, named, targets_by_token
from trainables.formats.words import Tagged, count_chunks, encode_words, predict_tags
from trainables.metrics.formulas import rebuild_bio
from trainables.metrics.samples import COUNTS, OF_COUNTS, Values

if TYPE_CHECKING:
    from torch import Tensor, nn


class IntentsAndSlots(Format):
    """Labels as in tagging, with the intent at the first token.

    It is the first token of an example's first row. Labels are intents and then tags, the first of which is "O"
    (`examples.split_joint`). Outputs are as in tagging, with the predicted intent at the first token of each row; predictions
    are the intent, a tab and the tags.
    """

    kind = "intent"
    by_token = True
    tagged = True
    labels_declared = True
    labels_by_name = True
    rules = {**OF_COUNTS, "slot_f1_bio": lambda s: s.f1(), "slot_f1_rebuilt": lambda s: s.f1("rebuilt_")}

    def label_names(
        self, declared: Mapping[str, tuple[str, ...]], column: str, rows: Callable[[], list[Example]]
    ) -> tuple[str, ...]:
        intents, tags = declared.get("intent", ()), declared.get(column, ())
        if not (intents and tags):
            used = all_of(Utterance, rows())
            intents = intents or tuple(sorted({e.intent for e in used}))
            tags = tags or tuple(sorted({tag for e in used for tag in e.tags}))
        return (*intents, "O", *(tag for tag in tags if tag != "O"))

    def encode(self, examples: Sequence[Example], framing: Framing) -> Encoded:
        """Encode utterances.

        Names that are not in `framing.labels` are not scored.
        """
        intents, tags = split_joint(framing.labels) if framing.labels else ((), ())
        intent_id = {name: i for i, name in enumerate(intents)}
        tag_id = {name: i for i, name in enumerate(tags)}
        tagged = [
            Tagged(e.id, e.words, tuple(tag_id.get(t, NOT_SCORED) for t in e.tags), intent_id.get(e.intent, NOT_SCORED))
            for e in all_of(Utterance, examples)
        ]
        return encode_words(self.kind, tagged, framing)

    def targets(self, encoded: Encoded, items: np.ndarray, places: np.ndarray, mask: np.ndarray) -> Targets:
        """Weight each intent 1 / intents, and each tag 1 / tags.

        So the loss of a global batch is the sum of two means.
        """
        labels = targets_by_token(encoded, places, mask).labels
        scored = labels != NOT_SCORED
        intents, tags = max(1, scored[:, 0].sum()), max(1, scored[:, 1:].sum())
        weights = np.where(np.arange(labels.shape[1]) == 0, 1 / intents, 1 / tags) * scored
        return Targets(labels, 1, weights.astype(np.float32), by_token=True)

    def head(self, labels: Sequence[str], width: int, dropout: float) -> nn.Module:
        from trainables.formats.heads import JointHead

        intents, tags = split_joint(labels)
        return JointHead(width, len(intents), len(tags), dropout)

    def loss(self, logits: Any, batch: Mapping[str, Tensor], rows_per_item: int) -> Tensor:
        import torch

        from trainables.formats.heads import cross_entropy_by_token as each_of

        (intents, tags), labels = logits, batch["labels"]
        each = torch.cat([each_of(intents.unsqueeze(1), labels[:, :1]), each_of(tags[:, 1:], labels[:, 1:])], 1)
        return (each * batch["weights"]).sum()

    def outputs(self, logits: Any) -> Tensor:
        import torch

        intents, tags = logits
        return torch.cat([intents.argmax(-1).unsqueeze(1), tags[:, 1:].argmax(-1)], 1)

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        """Name the columns.

        They are right intents, right utterances, counts of slots as predicted, and counts of slots as rebuilt valid BIO.
        """
        return ("intent_accuracy", "joint_accuracy", *COUNTS, *(f"rebuilt_{name}" for name in COUNTS))

    def score(
        self,
        d: DatasetSpec,
        language: str,
        examples: Sequence[Example],
        encoded: Encoded,
        outputs: np.ndarray,
        names: Sequence[str],
    ) -> ExampleScores:
        """Score by name; labels that the head lacks are wrong."""
        if "O" not in names:
            raise BadInput(f"{d.name}: scores of intents and slots need the names of both")
        utterances = all_of(Utterance, examples)
        uneven = next((e for e in utterances if len(e.tags) != len(e.words)), None)
        if uneven is not None:
            raise DataError(f"{d.name}: {uneven.id}: {len(uneven.words)} words but {len(uneven.tags)} tags")
        intents, tags = split_joint(names)
        intent = ["" if i is None else intents[i] for i in predict_intents(utterances, encoded, outputs)]
        ours = [named(found, tags) for found in predict_tags(utterances, encoded, outputs)]
        golds = [list(e.tags) for e in utterances]
        right = np.array([found == e.intent for found, e in zip(intent, utterances, strict=True)])
        all_right = np.array([found == gold for found, gold in zip(ours, golds, strict=True)])
        rebuilt = count_chunks([rebuild_bio(gold) for gold in golds], [rebuild_bio(found) for found in ours])
        values: Values = {
            "intent_accuracy": right.astype(np.int64),
            "joint_accuracy": (right & all_right).astype(np.int64),
        }
        values |= count_chunks(golds, ours) | {f"rebuilt_{name}": counts for name, counts in rebuilt.items()}
        texts = [f"{name}\t{' '.join(found)}" for name, found in zip(intent, ours, strict=True)]
        return ExampleScores.of(examples, values, texts)


def predict_intents(examples: Sequence[Utterance], encoded: Encoded, outputs: np.ndarray) -> list[int | None]:
    """Return the predicted intent id of each sentence, if any.

    A sentence without words has none.

    outputs: int [T], the predicted intent at the first token of each row; the one of the sentence's first row counts.
    """
    indices, rows = np.unique(encoded.example, return_index=True)
    found = dict(zip(indices.tolist(), outputs[encoded.starts[rows]].tolist(), strict=True))
    return [found.get(index) for index in range(len(examples))]
