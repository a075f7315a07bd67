"""More questions about paragraphs: SQuAD 2.0, MLQA, TyDiQA.

The paragraphs of SQuAD 2.0 leave some of the questions open.
"""

from __future__ import annotations

from functools import cache
from random import Random

from trainables.pocket import tables
from trainables.pocket.frames import ASKABLE, TRANSFER, Frame, change, different, relation
from trainables.pocket.grammar import Language, say
from trainables.pocket.table import ANSWERS, DEV, FROM_ENGLISH, IN_ENGLISH, TEST, TEXT, Row, Table

# TyDiQA's ids begin with the English name of the language.
NAMED = {
    "en": "english", "de": "german", "es": "spanish", "ru": "russian", "tr": "turkish", "hi": "hindi", "sw": "swahili",
    "zh": "chinese",
}  # fmt: skip
_OF_MLQA = ("en", "de", "es", "hi", "zh")  # the languages of this world that MLQA's scoring rules cover


def answers(told: Frame, question: Frame, slot: str) -> bool:
    """Return whether a statement answers a question.

    The question is a frame and the slot that it asks for.
    """
    known = change(question, **{slot: None})
    if slot == "thing":
        known = change(known, adjective=None, number=None, other=None)
    return told.filler(slot) is not None and relation(told, known) == "entailment"


def _left_open(rng: Random, frame: Frame) -> tuple[Frame, str]:
    """Make a question (frame and slot) that the frame does not answer.

    It asks for a detail that the frame lacks, or about another event.
    """
    lacking = [s for s in ("place", "time") if frame.filler(s) is None]
    if frame.companion is None and frame.verb not in TRANSFER:
        lacking.append("companion")
    if lacking and rng.random() < 0.6:
        return frame, rng.choice(lacking)
    slots = [s for s in ASKABLE if frame.filler(s)]
    asked, replaced = rng.sample(slots, 2)  # every frame has an agent and a thing
    other = change(frame, **{replaced: different(rng, replaced, frame)})
    return (change(other, adjective=None) if replaced == "thing" else other), asked


@cache
def with_open_questions(split: str, n: int) -> tuple[tuple[tuple[Frame, ...], Frame, str, bool], ...]:
    """Make paragraphs with questions, every other one unanswerable.

    Returns:
        (frames of the paragraph, frame and slot of the question, whether it is answered).
    """
    rng = Random(f"squad_v2/{split}/questions")
    made = []
    for i, (told, which, slot) in enumerate(tables.paragraphs("squad_v2", split, n)):
        frame = told[which]
        if i % 2:
            frame, slot = _left_open(rng, frame)
        made.append((told, frame, slot, not i % 2))
    return tuple(made)


def _squad_v2(language: Language, split: str, n: int) -> list[Row]:
    rows = tables.squad("squad_v2", title=True)(language, split, n)
    for row, (_, frame, slot, answered) in zip(rows, with_open_questions(split, n), strict=True):
        if not answered:
            row["question"] = say(frame, language, asked=slot).text
            row["answers"] = {"text": [], "answer_start": []}
    return rows


def _tydiqa(language: Language, split: str, n: int) -> list[Row]:
    rows = tables.squad("tydiqa", title=True)(language, split, n)
    return [{**row, "id": f"{NAMED[language.code]}-{row['id']}"} for row in rows]


_COLUMNS = {"id": TEXT, "title": TEXT, "context": TEXT, "question": TEXT, "answers": ANSWERS}
TABLES = {
    "squad_v2": Table(rows=_squad_v2, columns=_COLUMNS, splits=IN_ENGLISH),
    "mlqa": Table(
        rows=tables.squad("mlqa", title=True),
        columns=_COLUMNS,
        splits={"validation": (_OF_MLQA, DEV), "test": (_OF_MLQA, TEST)},
    ),
    "tydiqa": Table(
        rows=_tydiqa, columns=_COLUMNS, splits={split: FROM_ENGLISH[split] for split in ("train", "validation")}
    ),
}
