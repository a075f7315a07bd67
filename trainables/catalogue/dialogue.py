"""Datasets of intents and slots for task-oriented dialogue."""

from __future__ import annotations

from typing import Any

from trainables import readers
from trainables.catalogue.common import ALL, TARGET, TRAIN_DEV, counts, each, pairs
from trainables.catalogue.entry import Dataset

_SCORES: dict[str, Any] = {
    "kind": "intent",
    "metrics": ("intent_accuracy", "slot_f1_bio", "slot_f1_rebuilt", "joint_accuracy"),
    "main": ("intent_accuracy", "slot_f1_bio"),
}
_XSID = "en ar da de de-ba de-muc de-st gsw id it ja kk lt nap nl no sr tr zh"

DATASETS = (
    Dataset(
        name="multiatis",
        title="MultiATIS++",
        read=readers.utterance(unequal="leave out"),
        hub=None,
        configs=each("en es de fr pt zh ja hi tr", "{}"),
        splits=ALL,
        label_column="slot_tags",
        scored="test",
        train_on="multiatis",
        roles=TARGET,
        # [U] about 4,488 / 490 / 893 rows, hi 1,440 / 160 / 893, tr 578 / 60 / 715
        licence="LDC2021T04",
        cite="Xu et al. 2020 (MultiATIS++)",
        bring="multiatis/{train,dev,test}_<LANGUAGE>.tsv of MultiATIS++ (LDC2021T04), e.g. multiatis/train_EN.tsv",
        **_SCORES,
    ),
    Dataset(
        name="mtop",
        title="MTOP",
        read=readers.mtop(),
        hub="WillHeld/mtop",
        configs=dict.fromkeys(("en", "de", "es", "fr", "hi", "th"), "default"),  # a split per language
        splits={"train": "train_{}", "validation": "eval_{}", "test": "test_{}"},
        scored="test",
        train_on="mtop",
        roles=TARGET,
        rows={
            "train": counts("en=15667 de=13424 es=10934 fr=11814 hi=11330"),
            "validation": counts("en=2235 de=1815 es=1527 fr=1577 hi=2012 th=1671"),
            "test": counts("en=4386 de=3549 es=2998 fr=3193 hi=2789 th=2765"),
        },
        licence="CC BY-SA 4.0",
        cite="Li et al. 2021 (MTOP)",
        **_SCORES,
    ),
    Dataset(
        name="mtod",
        title="MTOD",
        read=readers.utterance(id="id"),
        hub=None,
        configs=each("en es th", "{}"),
        splits=ALL,
        label_column="slot_tags",
        scored="test",
        train_on="mtod",
        roles=TARGET,
        # [U] en 30,521 / 4,181 / 8,621, es 3,617 / 1,983 / 3,043, th 2,156 / 1,235 / 1,692
        licence="CC BY-SA",
        cite="Schuster et al. 2019 (multilingual task-oriented dialogue)",
        bring="mtod/<language>/{train,eval,test}-<language>.conllu of Facebook's multilingual task-oriented dialogue data",
        **_SCORES,
    ),
    Dataset(
        name="massive",
        title="MASSIVE",
        read=readers.massive(),
        hub="AmazonScience/massive",
        configs=pairs(
            "en=en-US af=af-ZA am=am-ET ar=ar-SA az=az-AZ bn=bn-BD ca=ca-ES cy=cy-GB da=da-DK de=de-DE el=el-GR "
            "es=es-ES fa=fa-IR fi=fi-FI fr=fr-FR he=he-IL hi=hi-IN hu=hu-HU hy=hy-AM id=id-ID is=is-IS it=it-IT "
            "ja=ja-JP jv=jv-ID ka=ka-GE km=km-KH kn=kn-IN ko=ko-KR lv=lv-LV ml=ml-IN mn=mn-MN ms=ms-MY my=my-MM "
            "nb=nb-NO nl=nl-NL pl=pl-PL pt=pt-PT ro=ro-RO ru=ru-RU sl=sl-SL sq=sq-AL sv=sv-SE sw=sw-KE ta=ta-IN "
            "te=te-IN th=th-TH tl=tl-PH tr=tr-TR ur=ur-PK vi=vi-VN zh=zh-CN zh-TW=zh-TW"
        ),
        splits=ALL,
        scored="test",
        train_on="massive",
        roles=frozenset({"target", "parallel"}),
        rows={"train": {"*": 11_514}, "validation": {"*": 2_033}, "test": {"*": 2_974}},
        licence="CC BY 4.0",
        cite="FitzGerald et al. 2023 (MASSIVE)",
        parallel_key="id",
        translated_by="people",
        **_SCORES,
    ),
    Dataset(
        name="xsid",
        title="xSID",
        read=readers.utterance(id="id"),
        hub=None,
        configs=each(_XSID, "{}"),
        splits=ALL,
        absent={"train": frozenset(_XSID.split()) - {"en"}},
        label_column="slot_tags",
        scored="test",
        train_on="xsid",
        roles=TARGET,
        rows={
            "validation": counts("ja=150 *=300"),
            "test": counts("ja=250 *=500"),
        },
        licence="CC BY-SA 4.0",
        cite="van der Goot et al. 2021 (xSID)",
        translated="xsid_parallel",
        bring="xsid/en.train.conll, xsid/<language>.valid.conll and xsid/<language>.test.conll of xSID 0.7",
        **_SCORES,
    ),
    Dataset(
        name="xsid_parallel",
        title="xSID (parallel)",
        read=readers.utterance(id="id"),
        hub=None,
        configs=each(_XSID, "{}"),
        splits=TRAIN_DEV,
        label_column="slot_tags",
        scored="validation",
        train_on="xsid_parallel",
        roles=frozenset({"parallel"}),
        licence="CC BY-SA 4.0",
        cite="van der Goot et al. 2021 (xSID)",
        bring="xsid/en.train.conll and xsid/<language>.projectedTrain.conll of xSID 0.7",
        parallel_key="id",
        translated_by="machine",
        **_SCORES,
    ),
)
