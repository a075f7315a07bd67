"""The catalogue is consistent; its readers convert or reject the hub's rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from study.spec.resolve import DEFAULT_TARGETS
from trainables.catalogue import DATASETS, Dataset, dataset
from trainables.catalogue.common import XTREME
from trainables.errors import BadInput
from trainables.examples import Bitext, Choice, Labelled, Pair, Rated, Span, Text, Utterance, Words
from trainables.languages import LANGUAGES, cross, crossed, describe

EVERY = pytest.mark.parametrize("d", DATASETS.values(), ids=DATASETS)


@EVERY
def test_an_entry_is_complete(d: Dataset) -> None:
    assert DATASETS[d.name] is d and re.fullmatch(r"[a-z0-9_]+", d.name)
    assert d.title and d.licence and d.cite
    assert d.hub is None or re.fullmatch(r"[\w-]+/[\w-]+", d.hub), "the hub refuses ids without an owner"
    assert set(d.splits) <= {"train", "validation", "test"} and d.scored in ("validation", "test")
    assert d.scored in d.splits or d.name in (
        "mlm",
        "translations",
    )  # Wikipedia has one split; mirrors hold a validation part
    assert d.main and set(d.main) <= set(d.metrics)
    assert d.holds_translations == ("parallel" in d.roles)


@EVERY
def test_labels_are_declared_where_the_kind_needs_them(d: Dataset) -> None:
    assert len(set(d.labels)) == len(d.labels)
    if d.kind == "intent":
        assert not d.labels, "the names of the file count, and those of two files need not be the same"
    else:
        assert bool(d.labels or d.label_column) == (d.kind in ("labelled", "choice", "words"))


@EVERY
def test_languages_have_rows_of_their_own_and_are_known(d: Dataset) -> None:
    for place in d.places:
        for split in place.splits:
            rows = [(config, place.parts(language, split)) for language, config in place.configs.items()]
            repeated = [row for row, n in Counter(rows).items() if n > 1]
            assert not repeated or d.only, "two languages would share their rows"
    if d.only:
        prefixes = tuple(d.only[1].values())
        assert set(d.only[1]) == set(d.configs) and len(set(prefixes)) == len(prefixes)
    languages = dataset(d.crosses).configs if d.crosses else d.configs
    assert set(languages) <= set(LANGUAGES) and (not d.crosses or list(d.configs) == list(cross(languages)))
    assert all(languages <= set(d.configs) for languages in d.absent.values())


@EVERY
def test_what_trains_a_dataset_has_english_train_rows_of_the_same_kind(d: Dataset) -> None:
    if d.train_on is None:
        assert d.format.retrieves and d.train_first is None
        return
    source = dataset(d.train_on)
    assert "en" in source.configs and "train" in source.splits and "en" not in source.absent.get("train", ())
    assert (source.kind, source.labels) == (d.kind, d.labels), "one head must fit both"
    if d.train_first:  # it may have other labels (three choices, not two), never another head
        assert dataset(d.train_first).kind == d.kind == "choice"


@EVERY
def test_the_parts_of_a_mix_fit_together(d: Dataset) -> None:
    for part in map(dataset, d.of):
        assert (part.kind, part.labels, part.of, part.regroup) == (d.kind, d.labels, (), None)
        assert set(d.splits) <= set(part.splits) and set(d.configs) <= set(part.configs)


@EVERY
def test_what_the_hub_lacks_says_what_to_bring(d: Dataset) -> None:
    assert bool(d.bring) == (d.hub is None and not d.crosses) and (not d.hub or not d.of)


@EVERY
def test_pairs_of_languages_are_scored_on_and_trained_by_what_they_pair(d: Dataset) -> None:
    if d.crosses:
        base = dataset(d.crosses)
        assert (base.kind, base.labels, base.train_on, base.crosses) == ("labelled", d.labels, d.train_on, "")
        assert set(d.splits) == {d.scored} <= set(base.splits) and d.name not in DEFAULT_TARGETS
        assert d.expected_rows("en-en", d.scored) == base.expected_rows("en", base.scored)


@EVERY
def test_row_counts_are_of_languages_and_splits_that_exist(d: Dataset) -> None:
    for counts in (d.rows, d.kept):
        for split, languages in counts.items():
            assert split in d.splits and set(languages) - {"*"} <= set(d.configs)
            assert not set(languages) & d.absent.get(split, frozenset())
            assert all(number > 0 for number in languages.values())


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("name", "train", "validation"),
    [
        ("mnli", 392_702, 9_815),
        ("snli", 550_152, 10_000),
        ("anli", 162_865, 3_200),
        ("qqp", 363_846, 40_430),
        ("squad", 87_599, 10_570),
        ("squad_v2", 130_319, 11_873),
        ("hellaswag", 39_905, 10_042),
        ("ccg", 38_015, 5_484),
        ("cosmos_qa", 25_262, 2_985),
        ("commonsense_qa", 9_741, 1_221),
        ("cola", 8_551, 1_043),
        ("sst2", 67_349, 872),
        ("stsb", 5_749, 1_500),
        ("rte", 2_490, 277),
        ("mrpc", 3_668, 408),
        ("qnli", 104_743, 5_463),
        ("siqa", 33_410, 1_954),
        ("tydiqa", 3_696, 440),
        ("pawsx", 49_401, 2_000),
        ("udpos", 21_253, 3_974),
        ("panx", 20_000, 10_000),
        ("mtop", 15_667, 2_235),
        ("massive", 11_514, 2_033),
    ],
)
def test_english_row_counts(name: str, train: int, validation: int) -> None:
    d = dataset(name)
    assert (d.expected_rows("en", "train"), d.expected_rows("en", "validation")) == (train, validation)


@pytest.mark.protocol
def test_anli_plus_is_the_sum_of_what_its_parts_keep() -> None:
    parts = [dataset(name) for name in dataset("anli_plus").of]
    for split, published in (("train", 1_104_934), ("validation", 22_857)):
        kept = [part.expected_examples("en", split) or part.expected_rows("en", split) for part in parts]
        assert sum(n or 0 for n in kept) == published == dataset("anli_plus").expected_examples("en", split)
        assert sum(part.expected_rows("en", split) or 0 for part in parts) == dataset("anli_plus").expected_rows(
            "en", split
        )


@pytest.mark.protocol
def test_tydiqa_rows_sum_to_the_tables_of_all_languages() -> None:
    rows = dataset("tydiqa").rows
    assert (sum(rows["train"].values()), sum(rows["validation"].values())) == (49_881, 5_077)


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("name", "split", "language", "rows"),
    [
        ("xnli", "test", "sw", 5_010),
        ("xnli", "validation", "ur", 2_490),
        ("pawsx", "test", "ko", 2_000),
        ("mlqa", "test", "en", 11_590),
        ("mlqa", "validation", "zh", 504),
        ("bucc2018", "test", "ru", 14_435),
        ("bucc2018", "validation", "zh", 257),
        ("tatoeba", "validation", "jv", 205),
        ("tatoeba", "validation", "af", 1_000),
        ("xquad", "validation", "el", 1_190),
        ("panx", "test", "yo", 100),
        ("panx", "test", "sw", 1_000),
        ("udpos", "test", "mr", 47),
        ("udpos", "test", "de", 22_458),
        ("xcopa", "test", "ht", 500),
        ("xsid", "validation", "ja", 150),
        ("xsid", "test", "de-st", 500),
    ],
)
def test_row_counts_of_other_languages(name: str, split: str, language: str, rows: int) -> None:
    assert dataset(name).expected_rows(language, split) == rows


def test_titles_are_unique() -> None:
    assert len({d.title for d in DATASETS.values()}) == len(DATASETS)


@pytest.mark.protocol
def test_language_counts_are_those_of_xtreme() -> None:
    counts = {"xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11, "mlqa": 7, "tydiqa": 9, "bucc2018": 4}
    counts |= {"tatoeba": 36, "xcopa": 11, "sib200": 40, "mewslix": 11, "lareqa": 11}
    counts |= {"udpos_r": 38, "panx_r": 48, "tatoeba_r": 41, "xquad_r": 12, "massive": 52, "mtop": 6, "multiatis": 9}
    assert {name: len(dataset(name).configs) for name in counts} == counts
    assert set(dataset("panx").configs) == set(XTREME.split())
    assert set(dataset("panx").configs) - set(dataset("tatoeba").configs) == {"en", "ms", "my", "yo"}
    no_dev = dataset("udpos").absent["validation"]
    assert len(set(dataset("udpos").configs) - no_dev) == 29


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"unknown dataset 'xnil', did you mean 'xnli'\?"):
        dataset("xnil")


def test_describe_knows_tags_and_tolerates_others() -> None:
    assert describe("gsw") == ("Swiss German", "Latin", "IE: Germanic")
    assert describe("hr").name == "Croatian" and describe("sk").script == "Latin"
    assert describe("pt-BR").name == "Portuguese" and describe("de-st").name == "South Tyrolean"
    assert describe("xx-unheard").name == "xx-unheard"


def test_pairs_of_languages_have_tags_that_say_which_two() -> None:
    languages = ("en", "de", "zh-TW", "de-st")
    tags = cross(languages)
    assert len(tags) == 16 and list(tags)[:2] == ["en-en", "en-de"] and tags["zh-TW-de-st"] == ("zh-TW", "de-st")
    assert crossed(tags) == tags and crossed([]) == {} and crossed(["en", "de-st", "pt-BR"]) == {}
    assert describe("de-hi") == ("German-Hindi", "Latin and Devanagari", "IE: Germanic and IE: Indo-Aryan")
    assert describe("de-en") == ("German-English", "Latin", "IE: Germanic")
    assert describe("zh-TW-en").name == "Chinese (Taiwan)-English" and describe("zh-TW").name == "Chinese (Taiwan)"


def test_scripts_have_one_spelling_each() -> None:
    scripts = {language.script for language in LANGUAGES.values()}
    families = {language.family for language in LANGUAGES.values()}
    for names in (scripts, families):
        assert len({name.casefold() for name in names}) == len(names)


def read(name: str, row: dict[str, Any], **names: tuple[str, ...]) -> Any:
    return dataset(name).read(row, names)


NLI = {"premise": "It rains.", "hypothesis": "It is dry.", "label": 2}
QA = {"id": "q1", "context": "\ufeffBern lies on the Aare.", "question": "Where?"}
SWAG = {"endings": ["runs.", "sits.", "sings.", "falls."], "label": "3"}
CSQA = {"id": "c", "question": "Where?", "choices": {"label": ["B", "A", "C", "D", "E"], "text": list("vwxyz")}}
COPA = {"premise": "He fell.", "choice1": "Ice.", "choice2": "Sun.", "question": "cause", "label": 1, "idx": 0}


def test_readers_give_the_shapes_and_texts_of_the_protocol() -> None:
    assert read("xnli", NLI) == Labelled("", "It rains.", "It is dry.", 2)
    assert read("anli", NLI | {"uid": "u7"}) == Labelled("u7", "It rains.", "It is dry.", 2)
    assert read("pawsx", {"id": 5, "sentence1": "a", "sentence2": "b", "label": "1"}) == Labelled("5", "a", "b", 1)
    assert read("sib200", {"index_id": 9, "category": "sports", "text": "Goal"}) == Labelled("9", "Goal", None, 3)
    answers = {"text": ["Bern", "the Aare"], "answer_start": [1, 14]}
    assert read("squad", QA | {"answers": answers}) == Span(
        "q1", "Where?", QA["context"], ((1, "Bern"), (14, "the Aare"))
    )
    assert read("squad", QA | {"answers": [{"text": "Bern", "answer_start": 1}]}).answers == ((1, "Bern"),)
    assert read("hellaswag", SWAG | {"ctx_a": "A man waits.", "ctx_b": "he", "ctx": "unused"}) == Choice(
        "", "A man waits.", ("he runs.", "he sits.", "he sings.", "he falls."), 3
    )
    assert read("hellaswag", SWAG | {"ctx": "A man waits. he"}).choices[0] == "runs."
    assert read("hellaswag", SWAG | {"ctx_a": "A man waits.", "ctx_b": ""}).choices[0] == "runs."
    assert read("commonsense_qa", CSQA | {"answerKey": "A"}) == Choice("c", "Where?", tuple("vwxyz"), 1)
    cosmos = {"id": "k", "context": "C.", "question": "Q?", "label": 2} | {f"answer{n}": f"a{n}" for n in range(4)}
    assert read("cosmos_qa", cosmos) == Choice("k", "C. Q?", ("a0", "a1", "a2", "a3"), 2)
    assert read("xcopa", COPA) == Choice("", "He fell. What was the cause?", ("Ice.", "Sun."), 1)
    assert read("udpos", {"tokens": ["Es", "regnet"], "pos_tags": [10, 15]}) == Words("", ("Es", "regnet"), (10, 15))
    assert read("udpos", {"tokens": ["Es"], "upos": ["PRON"]}) == Words("", ("Es",), (10,))
    assert read("tatoeba", {"source_sentence": "Hallo.\n", "target_sentence": "Hi.\n"}) == Bitext("", "Hallo.", "Hi.")
    assert read("mlm", {"text": " One. "}) == Text("", "One.")


def test_labels_are_mapped_by_name_not_by_number() -> None:
    other = ("contradiction", "entailment", "neutral")
    assert read("xnli", NLI | {"label": 0}, label=other).label == 2
    assert read("xnli", NLI | {"label": "neutral"}).label == 1
    alphabetical = ("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O")
    row = {"tokens": ["Rome", "fell"], "ner_tags": [0, 6]}
    assert read("panx", row, ner_tags=alphabetical).tags == (5, 0)


def test_the_open_label_set_is_the_files_own() -> None:
    assert read("ccg", {"tokens": ["Go"], "tags": [1]}, tags=("N", "S/NP")).tags == (1,)
    assert read("ccg", {"tokens": ["Go"], "tags": ["N"]}, tags=("N", "S/NP")).tags == (0,)
    with pytest.raises(ValueError, match="declares no ClassLabel names"):
        read("ccg", {"tokens": ["Go"], "tags": [1]})


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("snli", NLI | {"label": -1}),
        ("hellaswag", SWAG | {"ctx": "A", "label": ""}),
        ("commonsense_qa", CSQA | {"answerKey": ""}),
        ("panx", {"tokens": [], "ner_tags": []}),
        ("mlm", {"text": " \n"}),
    ],
)
def test_rows_without_gold_or_content_are_left_out(name: str, row: dict[str, Any]) -> None:
    assert read(name, row) is None


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("xnli", NLI | {"label": 5}, "label 5 is not one of 0..2 (entailment, neutral, contradiction)"),
        ("xnli", NLI | {"label": "maybe"}, "label 'maybe' is not one of entailment, neutral, contradiction"),
        ("xnli", NLI | {"label": None}, "label is null"),
        ("xnli", NLI | {"label": 1.0}, "label is of type float"),
        ("xnli", NLI | {"label": True}, "label is of type bool"),
        ("xnli", NLI | {"hypothesis": None}, "column 'hypothesis' is null, not text"),
        ("xnli", {"premise": "a", "label": 0}, "no column 'hypothesis' (it has premise, label)"),
        ("squad", QA | {"answers": {"text": ["Bern"], "answer_start": [0]}}, "answer 'Bern' is not at offset 0"),
        ("squad", QA | {"answers": {"text": ["."], "answer_start": [-1]}}, "answer '.' is not at offset -1"),
        ("squad", QA | {"answers": {"text": [""], "answer_start": [3]}}, "answer '' is not at offset 3"),
        ("squad", QA | {"answers": {"text": ["Bern"], "answer_start": []}}, "1 answer texts and 0 offsets"),
        ("squad", QA | {"answers": {"text": [], "answer_start": []}}, "has no answer"),
        ("squad", QA | {"answers": "Bern"}, "column 'answers' is of type str"),
        ("udpos", {"tokens": ["a", "b"], "pos_tags": [0]}, "2 words and 1 tags"),
        ("udpos", {"tokens": ["a", None], "pos_tags": [0, 0]}, "an entry of 'tokens' is null"),
        ("udpos", {"tokens": ["a", "b"], "pos_tags": [0, 17]}, "label 17 is not one of 0..16"),
        ("udpos", {"tokens": ["a", "b"], "pos_tags": [0, -1]}, "word 1 has no tag"),
        ("udpos", {"tokens": ["a"], "xpos": [0]}, "no column 'pos_tags' or 'upos'"),
        ("hellaswag", SWAG | {"ctx": "A", "endings": ["a"]}, "has 1 choices, not 4"),
        ("commonsense_qa", CSQA | {"answerKey": "F"}, "label 'F' is not one of B, A, C, D, E"),
        ("commonsense_qa", CSQA | {"answerKey": "A", "choices": None}, "column 'choices' is null"),
        ("xcopa", COPA | {"question": "why"}, "question 'why' is not one of cause, effect"),
        ("tatoeba", {"source_sentence": "\n", "target_sentence": "Hi."}, "empty sentence"),
    ],
)
def test_broken_rows_are_refused_with_the_reason(name: str, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read(name, row)


MTOP = {"id": 1, "intent": "IN:GET_WEATHER", "slot": "8:16:SL:LOCATION", "tokens": "", " intent": None, " tokens": None}
TOKENS = {
    "tokens": ["rain", "in", "New", "York"],
    "tokenSpans": [{"start": s, "length": n} for s, n in ((0, 4), (5, 2), (8, 3), (12, 4))],
}
MASSIVE = {"id": "17", "locale": "en-US", "intent": "alarm_set", "annot_utt": "wake me at [time : five thirty] today"}
SPOKEN = {"tokens": ["rain", "?"], "slot_tags": ["B-weather", "O"], "intent": "find"}


def test_readers_of_utterances_give_words_with_tags_and_an_intent() -> None:
    for mark in ("", " "):  # the hub's copy has every column twice
        row = MTOP | {f"{mark}tokens": json.dumps(TOKENS)}
        assert read("mtop", row) == Utterance(
            "", ("rain", "in", "New", "York"), ("O", "O", "B-SL:LOCATION", "I-SL:LOCATION"), "IN:GET_WEATHER"
        )
    assert read("massive", MASSIVE).tags == ("O", "O", "O", "B-time", "I-time", "O")
    chinese = read("massive", MASSIVE | {"locale": "zh-TW", "annot_utt": "[time : 七點 半]叫醒我"})
    assert (chinese.words, chinese.tags[:4]) == (tuple("七點半叫醒我"), ("B-time", "I-time", "I-time", "O"))
    times = read("massive", MASSIVE | {"annot_utt": "at [time : 5:30] or [time : six]"})
    assert (times.words, times.tags) == (("at", "5:30", "or", "six"), ("O", "B-time", "O", "B-time"))
    assert read("xsid", SPOKEN | {"id": 4}) == Utterance("4", ("rain", "?"), ("B-weather", "O"), "find")
    numbered = {"slot_tags": [1, 0], "intent": 0}
    assert read("xsid", SPOKEN | numbered, slot_tags=("O", "B-x"), intent=("find",)).tags == ("B-x", "O")


def test_new_readers_give_the_shapes_and_texts_of_the_protocol() -> None:
    assert read("stsb", {"sentence1": "a", "sentence2": "b", "label": 3.8}) == Rated("", "a", "b", 3.8)
    assert read("stsb", {"sentence1": "a", "sentence2": "b", "label": -1.0}) is None
    assert read("squad_v2", QA | {"answers": {"text": [], "answer_start": []}}).answers == ()
    siqa = {"context": "C.", "question": "Q?", "answerA": "a", "answerB": "b", "answerC": "c", "label": "3"}
    assert read("siqa", siqa) == Choice("", "C. Q?", ("a", "b", "c"), 2)
    assert read("bucc2018", {"source_lang": "de-1", "target_lang": "en-2"}) == Pair("de-1\ten-2", "de-1", "en-2")
    assert read("tatoeba_r", {"sentence1": "Su.\n", "sentence2": "Water."}) == Bitext("", "Su.", "Water.")
    ns = {"id": 1, "sentence1": "NS", "sentence2": "b", "label": 0}
    assert read("pawsx", ns) == Labelled("1", "NS", "b", 0) and read("pawsx_drop_ns", ns) is None


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("mtop", MTOP | {"tokens": "rain"}, "column 'tokens' does not hold tokens and tokenSpans as JSON"),
        ("mtop", MTOP | {"tokens": json.dumps(TOKENS | {"tokens": ["a"]})}, "has 1 words and 4 token spans"),
        ("mtop", MTOP | {"tokens": json.dumps(TOKENS), "slot": "8:16"}, "slot '8:16' is not start:end:name"),
        ("mtop", MTOP | {"tokens": json.dumps(TOKENS), "slot": "7:8:SL:X"}, "slot 7:8:SL:X holds no token"),
        ("mtop", MTOP | {"tokens": json.dumps(TOKENS), "slot": "0:4:SL:X,2:7:SL:Y"}, "slot 2:7:SL:Y overlaps another"),
        ("mtop", MTOP | {"tokens": json.dumps(TOKENS), "intent": ""}, "has no intent"),
        ("mtop", {"intent": "IN:X"}, "has no column 'tokens' or ' tokens'"),
        ("massive", MASSIVE | {"annot_utt": "at [time : five"}, "annot_utt has a bracket that is not part of a slot"),
        ("massive", MASSIVE | {"annot_utt": "at [time : ]"}, "slot 'time' has no value"),
        ("massive", MASSIVE | {"intent": 3}, "label 3 is a number, and the file declares no ClassLabel names"),
        ("xsid", SPOKEN | {"slot_tags": ["O"]}, "has 2 words and 1 tags"),
        ("xsid", SPOKEN | {"slot_tags": ["weather", "O"]}, "slot tag 'weather' is not O, B-... or I-..."),
        ("xsid", SPOKEN | {"intent": ""}, "has no intent"),
        ("stsb", {"sentence1": "a", "sentence2": "b", "label": 5.5}, "its value 5.5 is not between 0 and 5"),
        ("stsb", {"sentence1": "a", "sentence2": "b", "label": float("nan")}, "its value nan is not between"),
        ("stsb", {"sentence1": "a", "sentence2": "b", "label": None}, "column 'label' is null, not a number"),
        ("bucc2018", {"source_id": "", "target_id": "b"}, "has an empty id"),
        ("copa", COPA | {"label": "choice3"}, "label 'choice3' is not one of 0, 1"),
    ],
)
def test_broken_rows_of_the_new_readers_are_refused_with_the_reason(
    name: str, row: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read(name, row)


@pytest.mark.protocol
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("mnli", "entailment neutral contradiction"),
        ("xnli", "entailment neutral contradiction"),
        ("rte", "entailment not_entailment"),
        ("qnli", "entailment not_entailment"),
        ("cola", "unacceptable acceptable"),
        ("sst2", "negative positive"),
        ("mrpc", "not_equivalent equivalent"),
        ("qqp", "not_duplicate duplicate"),
        ("panx", "O B-PER I-PER B-ORG I-ORG B-LOC I-LOC"),
        ("udpos", "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"),
    ],
)
def test_label_orders_are_the_hubs(name: str, labels: str) -> None:
    assert dataset(name).labels == tuple(labels.split())


@pytest.mark.protocol
def test_labels_of_every_published_order_meet_by_name() -> None:
    """XTREME and jiant, MT-DNN, and the hub number NLI's labels differently."""
    for order in (
        "contradiction entailment neutral",
        "contradiction neutral entailment",
        " ".join(dataset("xnli").labels),
    ):
        names = tuple(order.split())
        found = [read("xnli", NLI | {"label": i}, label=names).label for i in range(3)]
        assert [dataset("xnli").labels[i] for i in found] == list(names)
    first = ("not_entailment", "entailment")
    assert read("rte", {"sentence1": "a", "sentence2": "b", "label": 0}, label=first).label == 1


def test_the_published_main_metrics() -> None:
    main = {
        name: dataset(name).main for name in ("squad", "qqp", "mrpc", "stsb", "cola", "massive", "bucc2018", "lareqa")
    }
    assert main == {
        "squad": ("f1", "exact_match"),
        "qqp": ("accuracy", "f1"),
        "mrpc": ("accuracy", "f1"),
        "stsb": ("pearson", "spearman"),
        "cola": ("mcc",),
        "massive": ("intent_accuracy", "slot_f1_bio"),
        "bucc2018": ("f1",),
        "lareqa": ("map_at_20",),
    }


def test_the_intermediate_tasks_are_the_published_nine() -> None:
    nine = "anli_plus mnli qqp squad squad_v2 hellaswag ccg cosmos_qa commonsense_qa"
    assert {name for name, d in DATASETS.items() if "intermediate" in d.roles} == set(nine.split())
    glue = "mnli qqp cola sst2 stsb rte mrpc qnli"
    assert {name for name, d in DATASETS.items() if "glue" in d.roles} == set(glue.split())
