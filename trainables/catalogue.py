"""Every dataset as a value: where it is, what its columns become, how it is scored. To add one, add one `Dataset`.

Configs, splits and label orders are the hub's. Languages are XTREME's codes (ISO 639-1 where it exists).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trainables import readers
from trainables.errors import unknown
from trainables.readers import Reader

Kind = Literal["labelled", "choice", "span", "words", "text", "bitext"]
Role = Literal["intermediate", "target", "mlm", "parallel"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """One dataset. Compared by identity: there is one entry per name; between processes send the name."""

    name: str  # the catalogue name: command line, recipes, reports, mirror.toml
    title: str  # short name for tables
    kind: Kind
    read: Reader
    hub: str | None  # "owner/name"; None: not on the hub, a mirror or the pocket world has it or nobody
    configs: Mapping[str, str]  # language -> config, in published order
    splits: Mapping[str, str]  # train | validation | test -> the hub's split; "a+b" reads a, then b
    labels: tuple[str, ...] = ()  # canonical names in the hub's id order; () with label_column = the file's own
    metric: str = "accuracy"  # the main metric
    metrics: tuple[str, ...] = ("accuracy",)  # every number that a score holds
    scored: str  # the split whose scores are reported
    train_on: str | None  # whose English train split trains this dataset; None = nothing is trained (retrieval)
    roles: frozenset[Role]
    revision: str | None = None
    licence: str
    cite: str
    parallel_key: str | None = None  # column that joins the same row over languages
    label_column: str | None = None  # column whose ClassLabel names are the label set, where `labels` cannot fix it
    absent: Mapping[str, frozenset[str]] = field(default_factory=dict)  # split -> languages that have no such split
    max_files: int | None = None  # of a split that the hub holds in many files, read only the first so many


_XTREME = (
    "en af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw ta te th tl tr ur vi "
    "yo zh"
)
_ENGLISH = {"en": "default"}
_TRAIN_DEV = {"train": "train", "validation": "validation"}
_ALL = {**_TRAIN_DEV, "test": "test"}
_NLI = ("entailment", "neutral", "contradiction")
# fmt: off
_UPOS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART",
    "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
)
# fmt: on
_ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
_TOPICS = ("science/technology", "travel", "politics", "sports", "health", "entertainment", "geography")
_FOUR = ("0", "1", "2", "3")
_LETTERS = ("A", "B", "C", "D", "E")
_TASK: frozenset[Role] = frozenset({"intermediate"})
_TARGET: frozenset[Role] = frozenset({"target"})


def _pairs(text: str) -> dict[str, str]:
    """ "de=German fr=French" -> a dict; a language that stands twice is an error, not a silent overwrite."""
    found: dict[str, str] = {}
    for pair in text.split():
        language, _, config = pair.partition("=")
        if language in found:
            raise ValueError(f"language {language!r} is listed twice")
        found[language] = config
    return found


def _each(languages: str, config: str) -> dict[str, str]:
    return _pairs(" ".join(f"{tag}={config.format(tag)}" for tag in languages.split()))


_INTERMEDIATE = (
    Dataset(
        name="mnli",
        title="MNLI",
        kind="labelled",
        read=readers.labelled("premise", "hypothesis", _NLI),
        hub="nyu-mll/glue",
        configs={"en": "mnli"},
        splits={"train": "train", "validation": "validation_matched"},
        labels=_NLI,
        scored="validation",
        train_on="mnli",
        roles=_TASK,
        licence="OANC, with parts CC BY 3.0, CC BY-SA 3.0 and public domain",
        cite="Williams et al. 2018 (MultiNLI)",
    ),
    Dataset(
        name="snli",
        title="SNLI",
        kind="labelled",
        read=readers.labelled("premise", "hypothesis", _NLI),
        hub="stanfordnlp/snli",
        configs={"en": "plain_text"},
        splits=_ALL,
        labels=_NLI,
        scored="validation",
        train_on="snli",
        roles=_TASK,
        licence="CC BY-SA 4.0",
        cite="Bowman et al. 2015 (SNLI)",
    ),
    Dataset(
        name="anli",
        title="ANLI",
        kind="labelled",
        read=readers.labelled("premise", "hypothesis", _NLI, id="uid"),
        hub="facebook/anli",
        configs={"en": "plain_text"},
        splits={
            "train": "train_r1+train_r2+train_r3",
            "validation": "dev_r1+dev_r2+dev_r3",
            "test": "test_r1+test_r2+test_r3",
        },
        labels=_NLI,
        scored="validation",
        train_on="anli",
        roles=_TASK,
        licence="CC BY-NC 4.0",
        cite="Nie et al. 2020 (Adversarial NLI)",
    ),
    Dataset(
        name="qqp",
        title="QQP",
        kind="labelled",
        read=readers.labelled("question1", "question2", ("not_duplicate", "duplicate")),
        hub="nyu-mll/glue",
        configs={"en": "qqp"},
        splits=_TRAIN_DEV,
        labels=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1"),
        scored="validation",
        train_on="qqp",
        roles=_TASK,
        licence="Quora terms of use, non-commercial",
        cite="Iyer et al. 2017 (Quora Question Pairs); Wang et al. 2019 (GLUE)",
    ),
    Dataset(
        name="squad",
        title="SQuAD",
        kind="span",
        read=readers.span(),
        hub="rajpurkar/squad",
        configs={"en": "plain_text"},
        splits=_TRAIN_DEV,
        metric="squad",
        metrics=("f1", "exact_match"),
        scored="validation",
        train_on="squad",
        roles=_TASK,
        licence="CC BY-SA 4.0",
        cite="Rajpurkar et al. 2016 (SQuAD)",
    ),
    Dataset(
        name="hellaswag",
        title="HellaSwag",
        kind="choice",
        read=readers.hellaswag(_FOUR),
        hub="Rowan/hellaswag",
        configs=_ENGLISH,
        splits=_TRAIN_DEV,
        labels=_FOUR,
        scored="validation",
        train_on="hellaswag",
        roles=_TASK,
        licence="MIT",
        cite="Zellers et al. 2019 (HellaSwag)",
    ),
    Dataset(
        name="cosmos_qa",
        title="Cosmos QA",
        kind="choice",
        read=readers.cosmos_qa(_FOUR),
        hub="allenai/cosmos_qa",
        configs=_ENGLISH,
        splits=_TRAIN_DEV,
        labels=_FOUR,
        scored="validation",
        train_on="cosmos_qa",
        roles=_TASK,
        licence="CC BY 4.0",
        cite="Huang et al. 2019 (Cosmos QA)",
    ),
    Dataset(
        name="commonsense_qa",
        title="CommonsenseQA",
        kind="choice",
        read=readers.commonsense_qa(_LETTERS),
        hub="tau/commonsense_qa",
        configs=_ENGLISH,
        splits=_TRAIN_DEV,
        labels=_LETTERS,
        scored="validation",
        train_on="commonsense_qa",
        roles=_TASK,
        licence="MIT",
        cite="Talmor et al. 2019 (CommonsenseQA)",
    ),
    Dataset(
        name="copa",
        title="COPA",
        kind="choice",
        read=readers.copa(("0", "1")),
        hub="aps/super_glue",
        configs={"en": "copa"},
        splits=_TRAIN_DEV,
        labels=("0", "1"),
        scored="validation",
        train_on="copa",
        roles=frozenset(),  # only trains XCOPA
        licence="BSD 2-Clause",
        cite="Roemmele et al. 2011 (COPA)",
    ),
    # CCGbank is sold by the LDC: bring it as Parquet (tokens, tags with ClassLabel names) in a mirror's stand-in table.
    Dataset(
        name="ccg",
        title="CCG",
        kind="words",
        read=readers.words(("tags",)),
        hub=None,
        configs=_ENGLISH,
        splits=_TRAIN_DEV,
        label_column="tags",
        scored="validation",
        train_on="ccg",
        roles=_TASK,
        licence="LDC2005T13",
        cite="Hockenmaier and Steedman 2007 (CCGbank)",
    ),
    Dataset(
        name="mlm",
        title="MLM",
        kind="text",
        read=readers.text(),
        hub="wikimedia/wikipedia",
        configs=_each(_XTREME, "20231101.{}"),
        splits={"train": "train"},
        metric="perplexity",
        metrics=("perplexity",),
        scored="validation",
        train_on="mlm",
        roles=frozenset({"mlm"}),
        licence="CC BY-SA 3.0 and GFDL",
        cite="Wikimedia Foundation 2023 (Wikipedia, 1 November 2023)",
        max_files=1,  # English has 41; the auxiliary needs about two million sentences over all languages
    ),
)

_TARGETS = (
    Dataset(
        name="xnli",
        title="XNLI",
        kind="labelled",
        read=readers.labelled("premise", "hypothesis", _NLI),
        hub="facebook/xnli",
        configs=_each("en ar bg de el es fr hi ru sw th tr ur vi zh", "{}"),
        splits={"validation": "validation", "test": "test"},  # its train splits are MNLI and machine translations of it
        labels=_NLI,
        scored="test",
        train_on="mnli",
        roles=_TARGET,
        licence="CC BY-NC 4.0",
        cite="Conneau et al. 2018 (XNLI)",
    ),
    Dataset(
        name="pawsx",
        title="PAWS-X",
        kind="labelled",
        read=readers.labelled("sentence1", "sentence2", ("0", "1"), id="id"),  # 1 = paraphrase
        hub="google-research-datasets/paws-x",  # google/xtreme's copy lost rows to CSV quoting
        configs=_each("en de es fr ja ko zh", "{}"),
        splits=_ALL,
        labels=("0", "1"),
        scored="test",
        train_on="pawsx",
        roles=_TARGET,
        licence="free for any use, with acknowledgement of Google LLC",
        cite="Yang et al. 2019 (PAWS-X)",
    ),
    Dataset(
        name="udpos",
        title="UDPOS",
        kind="words",
        read=readers.words(("pos_tags", "upos"), _UPOS),
        hub="google/xtreme",
        configs=_pairs(
            "en=udpos.English af=udpos.Afrikaans ar=udpos.Arabic bg=udpos.Bulgarian de=udpos.German el=udpos.Greek "
            "es=udpos.Spanish et=udpos.Estonian eu=udpos.Basque fa=udpos.Persian fi=udpos.Finnish fr=udpos.French "
            "he=udpos.Hebrew hi=udpos.Hindi hu=udpos.Hungarian id=udpos.Indonesian it=udpos.Italian ja=udpos.Japanese "
            "kk=udpos.Kazakh ko=udpos.Korean mr=udpos.Marathi nl=udpos.Dutch pt=udpos.Portuguese ru=udpos.Russian "
            "ta=udpos.Tamil te=udpos.Telugu th=udpos.Thai tl=udpos.Tagalog tr=udpos.Turkish ur=udpos.Urdu "
            "vi=udpos.Vietnamese yo=udpos.Yoruba zh=udpos.Chinese"
        ),
        splits=_ALL,
        absent={"train": frozenset({"th", "tl", "yo"}), "validation": frozenset({"kk", "th", "tl", "yo"})},
        labels=_UPOS,
        metric="f1",
        metrics=("f1", "accuracy"),
        scored="test",
        train_on="udpos",
        roles=_TARGET,
        licence="per treebank: CC BY-SA, CC BY-NC-SA, GPL",
        cite="Nivre et al. 2018 (Universal Dependencies)",
    ),
    Dataset(
        name="panx",
        title="PAN-X",
        kind="words",
        read=readers.words(("ner_tags",), _ENTITIES),
        hub="google/xtreme",
        configs=_each(_XTREME, "PAN-X.{}"),
        splits=_ALL,
        labels=_ENTITIES,
        metric="f1",
        metrics=("f1",),
        scored="test",
        train_on="panx",
        roles=_TARGET,
        licence="unstated",
        cite="Pan et al. 2017 (WikiAnn); Rahimi et al. 2019 (its splits)",
    ),
    Dataset(
        name="xquad",
        title="XQuAD",
        kind="span",
        read=readers.span(),
        hub="google/xtreme",
        configs=_each("en ar de el es hi ru th tr vi zh", "XQuAD.{}"),
        splits={"validation": "validation"},
        metric="squad",
        metrics=("f1", "exact_match"),
        scored="validation",
        train_on="squad",
        roles=_TARGET,
        licence="CC BY-SA 4.0",
        cite="Artetxe et al. 2020 (XQuAD)",
    ),
    Dataset(
        name="tatoeba",
        title="Tatoeba",
        kind="bitext",
        read=readers.bitext(),
        hub="google/xtreme",
        configs=_pairs(
            "af=tatoeba.afr ar=tatoeba.ara bg=tatoeba.bul bn=tatoeba.ben de=tatoeba.deu el=tatoeba.ell es=tatoeba.spa "
            "et=tatoeba.est eu=tatoeba.eus fa=tatoeba.pes fi=tatoeba.fin fr=tatoeba.fra he=tatoeba.heb hi=tatoeba.hin "
            "hu=tatoeba.hun id=tatoeba.ind it=tatoeba.ita ja=tatoeba.jpn jv=tatoeba.jav ka=tatoeba.kat kk=tatoeba.kaz "
            "ko=tatoeba.kor ml=tatoeba.mal mr=tatoeba.mar nl=tatoeba.nld pt=tatoeba.por ru=tatoeba.rus sw=tatoeba.swh "
            "ta=tatoeba.tam te=tatoeba.tel th=tatoeba.tha tl=tatoeba.tgl tr=tatoeba.tur ur=tatoeba.urd vi=tatoeba.vie "
            "zh=tatoeba.cmn"
        ),
        splits={"validation": "validation"},
        scored="validation",
        train_on=None,
        roles=_TARGET,
        licence="CC BY 2.0 FR",
        cite="Artetxe and Schwenk 2019 (LASER)",
    ),
    Dataset(
        name="xcopa",
        title="XCOPA",
        kind="choice",
        read=readers.copa(("0", "1")),
        hub="cambridgeltl/xcopa",
        configs=_each("et ht id it qu sw ta th tr vi zh", "{}"),
        splits={"validation": "validation", "test": "test"},
        labels=("0", "1"),
        scored="test",
        train_on="copa",  # XTREME-R trains on Social IQA first
        roles=_TARGET,
        licence="CC BY 4.0",
        cite="Ponti et al. 2020 (XCOPA)",
    ),
    Dataset(
        name="sib200",
        title="SIB-200",
        kind="labelled",
        read=readers.labelled("text", None, _TOPICS, label="category", id="index_id"),
        hub="Davlan/sib200",
        configs=_pairs(
            "en=eng_Latn af=afr_Latn ar=arb_Arab bg=bul_Cyrl bn=ben_Beng de=deu_Latn el=ell_Grek es=spa_Latn "
            "et=est_Latn eu=eus_Latn fa=pes_Arab fi=fin_Latn fr=fra_Latn he=heb_Hebr hi=hin_Deva hu=hun_Latn "
            "id=ind_Latn it=ita_Latn ja=jpn_Jpan jv=jav_Latn ka=kat_Geor kk=kaz_Cyrl ko=kor_Hang ml=mal_Mlym "
            "mr=mar_Deva ms=zsm_Latn my=mya_Mymr nl=nld_Latn pt=por_Latn ru=rus_Cyrl sw=swh_Latn ta=tam_Taml "
            "te=tel_Telu th=tha_Thai tl=tgl_Latn tr=tur_Latn ur=urd_Arab vi=vie_Latn yo=yor_Latn zh=zho_Hans"
        ),
        splits=_ALL,
        labels=_TOPICS,
        scored="test",
        train_on="sib200",
        roles=frozenset({"target", "parallel"}),
        licence="CC BY-SA 4.0",
        cite="Adelani et al. 2024 (SIB-200)",
        parallel_key="index_id",
    ),
)


def _index(*groups: tuple[Dataset, ...]) -> dict[str, Dataset]:
    found: dict[str, Dataset] = {}
    for d in (d for group in groups for d in group):
        if d.name in found:
            raise ValueError(f"dataset {d.name!r} is in the catalogue twice")
        found[d.name] = d
    return found


DATASETS: Mapping[str, Dataset] = _index(_INTERMEDIATE, _TARGETS)


def dataset(name: str) -> Dataset:
    """The catalogue's entry; BadInput with the nearest name if there is none."""
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name]
