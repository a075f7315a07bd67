"""Multiple choice: `<s> prompt </s></s> choice </s>` for each choice.

The longer text is truncated at its start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.encoding.encoded import Encoded
from trainables.encoding.rows import Framing, Rows, all_of, tokenised
from trainables.encoding.windowing import longest_first
from trainables.errors import DataError
from trainables.examples import Choice, Example
from trainables.formats.format import DatasetSpec, ExampleScores, Format
from trainables.formats.labelled import class_columns, score_classes
from trainables.metrics.samples import ACCURACY, OF_COUNTS

if TYPE_CHECKING:
    from torch import Tensor, nn


class MultipleChoice(Format):
    """A row for each choice; the number of choices is fixed.

    Labels int64 [items]; logits [items, choices].
    """

    kind = "choice"
    labels_declared = True
    one_of_labels = True
    assumed_tokens = 300
    rules = {**ACCURACY, **OF_COUNTS}

    def encode(self, examples: Sequence[Example], framing: Framing) -> Encoded:
        found, layout = all_of(Choice, examples), framing.layout
        framing.check_length(self.kind, layout.pair_specials)
        num_choices = len(found[0].choices) if found else 1
        rows = Rows(layout)
        for index, example, pieces in tokenised(found, framing.tokenizer, lambda e: (e.prompt, *e.choices)):
            if len(example.choices) != num_choices:
                raise DataError(
                    f"{example.id}: {len(example.choices)} choices, but the rows before it have {num_choices}"
                )
            prompt = pieces[example.prompt]
            for number, text in enumerate(example.choices):
                choice = pieces[text]
                room = framing.max_length - layout.pair_specials
                keep_choice, keep_prompt = longest_first(len(choice), len(prompt), room)
                item = index if number == 0 else None
                rows.pair(prompt[len(prompt) - keep_prompt :], choice[len(choice) - keep_choice :], item)
        return rows.encoded(self.kind, np.array([e.label for e in found], np.int64), len(found), num_choices)

    def head(self, labels: Sequence[str], width: int, dropout: float) -> nn.Module:
        from trainables.formats.heads import PooledHead

        return PooledHead(width, 1, dropout)

    def loss(self, logits: Any, batch: Mapping[str, Tensor], rows_per_item: int) -> Tensor:
        from trainables.formats.heads import cross_entropy

        return cross_entropy(logits.view(-1, rows_per_item), batch["labels"])

    def columns(self, metrics: Sequence[str]) -> tuple[str, ...]:
        return class_columns(metrics)

    def score(
        self,
        d: DatasetSpec,
        language: str,
        examples: Sequence[Example],
        encoded: Encoded,
        outputs: np.ndarray,
        names: Sequence[str],
    ) -> ExampleScores:
        """Score the choice of the highest logit.

        Names of choices are the dataset's, not the head's.
        """
        return score_classes(all_of(Choice, examples), outputs, d.labels)
