"""Targets outside the published suites.

A topic set in many languages, and sets of one language written in it.
"""

from __future__ import annotations

from trainables import readers
from trainables.catalogue.common import ALL, NLI, QA, QA_CHARACTERS, TARGET, TOPICS, XTREME, each, pairs
from trainables.catalogue.entry import Dataset

DATASETS = (
    Dataset(
        name="translations",
        title="translations",
        kind="bitext",
        read=readers.bitext(),
        hub=None,
        configs=each(XTREME.removeprefix("en "), "{}"),
        splits={"train": "train"},
        scored="validation",  # never scored
        train_on=None,
        roles=frozenset({"parallel"}),
        licence="that of what was translated",
        cite="whoever translated",
        bring="translations/<language>.tsv, a sentence and its English original on a line, with a tab between: such as "
        "translated training rows of a dataset that comes without",
    ),
    Dataset(
        name="sib200",
        title="SIB-200",
        kind="labelled",
        read=readers.labelled("text", None, TOPICS, label="category", id="index_id"),
        hub="Davlan/sib200",
        configs=pairs(
            "en=eng_Latn af=afr_Latn ar=arb_Arab bg=bul_Cyrl bn=ben_Beng de=deu_Latn el=ell_Grek es=spa_Latn "
            "et=est_Latn eu=eus_Latn fa=pes_Arab fi=fin_Latn fr=fra_Latn he=heb_Hebr hi=hin_Deva hu=hun_Latn "
            "id=ind_Latn it=ita_Latn ja=jpn_Jpan jv=jav_Latn ka=kat_Geor kk=kaz_Cyrl ko=kor_Hang ml=mal_Mlym "
            "mr=mar_Deva ms=zsm_Latn my=mya_Mymr nl=nld_Latn pt=por_Latn ru=rus_Cyrl sw=swh_Latn ta=tam_Taml "
            "te=tel_Telu th=tha_Thai tl=tgl_Latn tr=tur_Latn ur=urd_Arab vi=vie_Latn yo=yor_Latn zh=zho_Hans"
        ),
        splits=ALL,
        labels=TOPICS,
        scored="test",
        train_on="sib200",
        roles=frozenset({"target", "parallel"}),
        rows={"train": {"*": 701}, "validation": {"*": 99}, "test": {"*": 204}},
        licence="CC BY-SA 4.0",
        cite="Adelani et al. 2024 (SIB-200)",
        parallel_key="index_id",
        translated_by="people",
    ),
    Dataset(
        name="arcd",
        title="ARCD",
        kind="span",
        read=readers.span(),
        hub="hsseinmz/arcd",
        configs={"ar": "plain_text"},
        splits={"train": "train", "test": "validation"},  # the hub's validation is the published test set
        metrics=QA_CHARACTERS,
        main=QA,
        scored="test",
        train_on="squad",
        roles=TARGET,
        rows={"train": {"ar": 693}, "test": {"ar": 702}},
        licence="MIT",
        cite="Mozannar et al. 2019 (ARCD)",
    ),
    Dataset(
        name="klue_nli",
        title="KLUE-NLI",
        kind="labelled",
        read=readers.labelled("premise", "hypothesis", NLI, id="guid"),
        hub="klue/klue",
        configs={"ko": "nli"},
        splits={"train": "train", "validation": "validation"},
        labels=NLI,
        scored="validation",
        train_on="mnli",
        roles=TARGET,
        rows={"train": {"ko": 24_998}, "validation": {"ko": 3_000}},
        licence="CC BY-SA 4.0",
        cite="Park et al. 2021 (KLUE)",
    ),
)
