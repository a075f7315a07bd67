"""Raw text, `<s> A </s>`, truncated at its end.

It is for masked LM, and for one side of retrieval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainables.encoding.encoded import NOT_SCORED, Encoded
from trainables.encoding.rows import Framing, Rows, all_of, tokenised
from trainables.examples import Example, Text
from trainables.formats.format import Format, Targets


class RawText(Format):
    """Raw text without labels; masking a batch adds them."""

    kind = "text"
    masked = True

    def encode(self, examples: Sequence[Example], framing: Framing) -> Encoded:
        layout = framing.layout
        framing.check_length(self.kind, layout.single_specials)
        rows = Rows(layout)
        for index, example, pieces in tokenised(all_of(Text, examples), framing.tokenizer, lambda e: (e.text,)):
            rows.single(pieces[example.text][: framing.max_length - layout.single_specials], index)
        return rows.encoded(self.kind, np.empty(0, np.int64), len(examples))

    def targets(self, encoded: Encoded, items: np.ndarray, places: np.ndarray, mask: np.ndarray) -> Targets:
        return Targets(np.full(mask.shape, NOT_SCORED, np.int64), 0, by_token=True)
