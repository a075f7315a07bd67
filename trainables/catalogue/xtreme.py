"""The targets of XTREME (Hu et al. 2020), and variants of them.

Variants have names of their own.
"""

from __future__ import annotations

from trainables import readers
from trainables.catalogue.common import (
    ALL,
    DEV_TEST,
    ENTITIES,
    NLI,
    QA,
    QA_CHARACTERS,
    TARGET,
    TRAIN_DEV,
    TWO,
    UPOS,
    XTREME,
    counts,
    each,
    pairs,
)
from trainables.catalogue.entry import Dataset, Place
from trainables.languages import cross

_DEV = {"validation": "validation"}
_MLQA = "en ar de es hi vi zh"

XNLI = Dataset(
    name="xnli",
    title="XNLI",
    kind="labelled",
    read=readers.labelled("premise", "hypothesis", NLI),
    hub="facebook/xnli",
    configs=each("en ar bg de el es fr hi ru sw th tr ur vi zh", "{}"),
    splits=DEV_TEST,  # its train splits are MNLI and machine translations of it
    labels=NLI,
    scored="test",
    train_on="mnli",
    roles=TARGET,
    rows={"validation": {"*": 2_490}, "test": {"*": 5_010}},
    licence="CC BY-NC 4.0",
    cite="Conneau et al. 2018 (XNLI)",
)
_PAWSX = readers.labelled("sentence1", "sentence2", TWO, id="id")  # 1 = paraphrase
PAWSX = Dataset(
    name="pawsx",
    title="PAWS-X",
    kind="labelled",
    read=_PAWSX,
    hub="google-research-datasets/paws-x",  # google/xtreme's copy lost rows to CSV quoting
    configs=each("en de es fr ja ko zh", "{}"),
    splits=ALL,
    labels=TWO,
    scored="test",
    train_on="pawsx",
    roles=TARGET | {"parallel"},
    rows={"train": {"*": 49_401}, "validation": {"*": 2_000}, "test": {"*": 2_000}},
    licence="free for any use, with acknowledgement of Google LLC",
    cite="Yang et al. 2019 (PAWS-X)",
    parallel_key="id",
    translated_by="machine",  # its training rows; dev and test rows are by people
)
PAWSX_DROP_NS = Dataset(
    name="pawsx_drop_ns",
    title="PAWS-X (no NS)",
    kind="labelled",
    read=readers.without(_PAWSX, ("sentence1", "sentence2"), "NS"),  # stands where a sentence was not translated
    hub=PAWSX.hub,
    configs=PAWSX.configs,
    splits=DEV_TEST,
    labels=TWO,
    scored="test",
    train_on="pawsx",
    roles=TARGET,
    rows={"validation": {"*": 2_000}, "test": {"*": 2_000}},
    licence=PAWSX.licence,
    cite=PAWSX.cite,
)
UDPOS = Dataset(
    name="udpos",
    title="UDPOS",
    kind="words",
    read=readers.words(("pos_tags", "upos"), UPOS),
    hub="google/xtreme",
    configs=pairs(
        "en=udpos.English af=udpos.Afrikaans ar=udpos.Arabic bg=udpos.Bulgarian de=udpos.German el=udpos.Greek "
        "es=udpos.Spanish et=udpos.Estonian eu=udpos.Basque fa=udpos.Persian fi=udpos.Finnish fr=udpos.French "
        "he=udpos.Hebrew hi=udpos.Hindi hu=udpos.Hungarian id=udpos.Indonesian it=udpos.Italian ja=udpos.Japanese "
        "kk=udpos.Kazakh ko=udpos.Korean mr=udpos.Marathi nl=udpos.Dutch pt=udpos.Portuguese ru=udpos.Russian "
        "ta=udpos.Tamil te=udpos.Telugu th=udpos.Thai tl=udpos.Tagalog tr=udpos.Turkish ur=udpos.Urdu "
        "vi=udpos.Vietnamese yo=udpos.Yoruba zh=udpos.Chinese"
    ),
    splits=ALL,
    absent={"train": frozenset({"th", "tl", "yo"}), "validation": frozenset({"kk", "th", "tl", "yo"})},
    labels=UPOS,
    metrics=("f1", "accuracy"),
    main=("f1",),
    scored="test",
    train_on="udpos",
    roles=TARGET,
    rows={
        "train": counts(
            "af=1315 ar=6075 bg=8907 de=166849 el=28152 en=21253 es=28492 et=25749 eu=5396 fa=4798 fi=27198 fr=47308 "
            "he=5241 hi=13304 hu=910 id=4477 it=29685 ja=7125 kk=31 ko=27410 mr=373 nl=18051 pt=17992 ru=67435 ta=400 "
            "te=1051 tr=3664 ur=4043 vi=1400 zh=18998"
        ),
        "validation": counts(
            "af=194 ar=909 bg=1115 de=19233 el=2559 en=3974 es=3054 et=3125 eu=1798 fa=599 fi=3239 fr=5979 he=484 "
            "hi=1659 hu=441 id=559 it=2278 ja=511 ko=3016 mr=46 nl=1394 pt=1770 ru=9960 ta=80 te=131 tr=988 ur=552 "
            "vi=800 zh=3038"
        ),
        "test": counts(
            "af=425 ar=1680 bg=1116 de=22458 el=2809 en=5440 es=3147 et=3760 eu=1799 fa=600 fi=4422 fr=9465 he=491 "
            "hi=2684 hu=449 id=1557 it=3518 ja=2372 kk=1047 ko=4276 mr=47 nl=1471 pt=2681 ru=11336 ta=120 te=146 "
            "th=1000 tl=55 tr=4785 ur=535 vi=800 yo=100 zh=5528"
        ),
    },
    licence="per treebank: CC BY-SA, CC BY-NC-SA, GPL",
    cite="Nivre et al. 2018 (Universal Dependencies)",
)
UDPOS_FUSED = Dataset(
    name="udpos_fused",
    title="UDPOS (fused)",
    kind="words",
    read=UDPOS.read,
    hub=None,
    configs={language: language for language in UDPOS.configs},
    splits=ALL,
    absent=UDPOS.absent,
    labels=UPOS,
    metrics=UDPOS.metrics,
    main=UDPOS.main,
    scored="test",
    train_on="udpos_fused",
    roles=TARGET,
    licence=UDPOS.licence,
    cite="Nivre et al. 2018 (Universal Dependencies), with the words of Hu et al. 2020 (XTREME)",
    bring="udpos_fused/<language>/*-ud-{train,dev,test}.conllu, the treebanks of Universal Dependencies 2.5",
)
PANX = Dataset(
    name="panx",
    title="PAN-X",
    kind="words",
    read=readers.words(("ner_tags",), ENTITIES),
    hub="google/xtreme",
    configs=each(XTREME, "PAN-X.{}"),
    splits=ALL,
    also=(Place(hub="unimelb-nlp/wikiann", configs=each(XTREME, "{}"), splits=ALL),),
    labels=ENTITIES,
    metrics=("f1",),
    main=("f1",),
    scored="test",
    train_on="panx",
    roles=TARGET,
    rows={
        "train": counts("en=20000"),
        **{  # [U] 10,000 "for most": the others were not counted one by one
            split: counts(
                "af=1000 bn=1000 hi=1000 kk=1000 ml=1000 mr=1000 ms=1000 sw=1000 ta=1000 te=1000 tl=1000 ur=1000 "
                "jv=100 my=100 yo=100 *=10000"
            )
            for split in ("validation", "test")
        },
    },
    licence="unstated",
    cite="Pan et al. 2017 (WikiAnn); Rahimi et al. 2019 (its splits)",
)
XQUAD = Dataset(
    name="xquad",
    title="XQuAD",
    kind="span",
    read=readers.span(),
    hub="google/xtreme",
    configs=each("en ar de el es hi ru th tr vi zh", "XQuAD.{}"),
    splits=_DEV,
    also=(Place(hub="google/xquad", configs=each("en ar de el es hi ru th tr vi zh", "xquad.{}"), splits=_DEV),),
    metrics=QA_CHARACTERS,
    main=QA,
    scored="validation",
    train_on="squad",
    roles=TARGET,
    rows={"validation": {"*": 1_190}},
    licence="CC BY-SA 4.0",
    cite="Artetxe et al. 2020 (XQuAD)",
)
MLQA = Dataset(
    name="mlqa",
    title="MLQA",
    kind="span",
    read=readers.span(),
    hub="google/xtreme",
    configs={
        language: f"MLQA.{language}.{language}" for language in _MLQA.split()
    },  # question in the context's language
    splits=DEV_TEST,
    also=(
        Place(
            hub="facebook/mlqa",
            configs={language: f"mlqa.{language}.{language}" for language in _MLQA.split()},
            splits=DEV_TEST,
        ),
    ),
    metrics=QA_CHARACTERS,
    main=QA,
    answers="mlqa",
    scored="test",
    train_on="squad",
    roles=TARGET,
    rows={
        "validation": counts("ar=517 de=512 en=1148 es=500 hi=507 vi=511 zh=504"),
        "test": counts("ar=5335 de=4517 en=11590 es=5253 hi=4918 vi=5495 zh=5137"),
    },
    licence="CC BY-SA 3.0 on its card, CC BY-NC 4.0 in its repository",
    cite="Lewis et al. 2020 (MLQA)",
)
_TYDIQA = pairs("en=english ar=arabic bn=bengali fi=finnish id=indonesian ko=korean ru=russian sw=swahili te=telugu")
TYDIQA = Dataset(
    name="tydiqa",
    title="TyDiQA-GoldP",
    kind="span",
    read=readers.span(),
    hub="google/xtreme",
    configs=dict.fromkeys(_TYDIQA, "tydiqa"),  # one table holds all nine languages
    splits=TRAIN_DEV,
    also=(
        Place(
            hub="google-research-datasets/tydiqa", configs=dict.fromkeys(_TYDIQA, "secondary_task"), splits=TRAIN_DEV
        ),
    ),
    only=("id", {language: f"{name}-" for language, name in _TYDIQA.items()}),
    metrics=QA_CHARACTERS,
    main=QA,
    scored="validation",
    train_on="tydiqa",
    roles=TARGET,
    rows={
        "train": counts("ar=14805 bn=2390 en=3696 fi=6855 id=5702 ko=1625 ru=6490 sw=2755 te=5563"),
        "validation": counts("ar=921 bn=113 en=440 fi=782 id=565 ko=276 ru=812 sw=499 te=669"),
    },
    licence="Apache 2.0",
    cite="Clark et al. 2020 (TyDi QA)",
)
BUCC = Dataset(
    name="bucc2018",
    title="BUCC 2018",
    kind="mining",
    read=readers.gold_pair(),
    hub=None,  # the hub's copies hold the gold pairs alone, so nothing has to be found among other sentences
    configs=each("de fr ru zh", "{}"),
    splits=DEV_TEST,
    metrics=("f1", "precision", "recall"),
    main=("f1",),
    scored="test",
    train_on=None,
    roles=TARGET,
    rows={
        "validation": counts("de=1038 fr=929 ru=2374 zh=257"),
        "test": counts("de=9580 fr=9086 ru=14435 zh=1899"),
    },
    licence="unstated",
    cite="Zweigenbaum et al. 2018 (BUCC 2018)",
    bring="bucc2018/<xx>-en.{sample,training}.{<xx>,en,gold} of the BUCC 2018 site (sample = validation, training = test)",
)
BUCC_GOLD_PAIRS = Dataset(
    name="bucc_gold_pairs",
    title="BUCC gold pairs (not BUCC)",
    kind="bitext",
    read=readers.bitext(),
    hub="google/xtreme",
    configs=each("de fr ru zh", "bucc18.{}"),
    splits=DEV_TEST,
    scored="test",
    train_on=None,
    roles=TARGET,
    rows=BUCC.rows,
    licence="unstated",
    cite="Zweigenbaum et al. 2018 (BUCC 2018): its gold pairs alone, comparable with no published score",
)
TATOEBA = Dataset(
    name="tatoeba",
    title="Tatoeba",
    kind="bitext",
    read=readers.bitext(),
    hub="google/xtreme",
    configs=pairs(
        "af=tatoeba.afr ar=tatoeba.ara bg=tatoeba.bul bn=tatoeba.ben de=tatoeba.deu el=tatoeba.ell es=tatoeba.spa "
        "et=tatoeba.est eu=tatoeba.eus fa=tatoeba.pes fi=tatoeba.fin fr=tatoeba.fra he=tatoeba.heb hi=tatoeba.hin "
        "hu=tatoeba.hun id=tatoeba.ind it=tatoeba.ita ja=tatoeba.jpn jv=tatoeba.jav ka=tatoeba.kat kk=tatoeba.kaz "
        "ko=tatoeba.kor ml=tatoeba.mal mr=tatoeba.mar nl=tatoeba.nld pt=tatoeba.por ru=tatoeba.rus sw=tatoeba.swh "
        "ta=tatoeba.tam te=tatoeba.tel th=tatoeba.tha tl=tatoeba.tgl tr=tatoeba.tur ur=tatoeba.urd vi=tatoeba.vie "
        "zh=tatoeba.cmn"
    ),
    splits=_DEV,
    scored="validation",
    train_on=None,
    roles=TARGET,
    rows={"validation": counts("jv=205 ka=746 kk=575 ml=687 sw=390 ta=307 te=234 th=548 *=1000")},
    licence="CC BY 2.0 FR",
    cite="Artetxe and Schwenk 2019 (LASER)",
)


def _crossed(base: Dataset, rows: int) -> Dataset:
    """Make the dataset of all pairs of languages of a base dataset.

    Sentence 1 is in one language, sentence 2 in another: the generalised setting of Huang et al. 2021 (robust
    training). Selection uses the English dev rows of `base`.
    """
    return Dataset(
        name=f"{base.name}_pairs",
        title=f"{base.title} A x B",
        kind=base.kind,
        read=base.read,
        hub=None,
        configs=each(" ".join(cross(base.configs)), "{}"),
        splits={"test": "test"},
        labels=base.labels,
        scored="test",
        train_on=base.train_on,
        roles=TARGET,
        rows={"test": {"*": rows}},
        licence=base.licence,
        cite=f"{base.cite}; Huang et al. 2021 (all pairs of languages)",
        crosses=base.name,
    )


XNLI_PAIRS = _crossed(XNLI, 5_010)
PAWSX_PAIRS = _crossed(PAWSX, 2_000)

DATASETS = (
    XNLI,
    PAWSX,
    UDPOS,
    PANX,
    XQUAD,
    MLQA,
    TYDIQA,
    BUCC,
    TATOEBA,
    PAWSX_DROP_NS,
    UDPOS_FUSED,
    BUCC_GOLD_PAIRS,
    XNLI_PAIRS,
    PAWSX_PAIRS,
)
