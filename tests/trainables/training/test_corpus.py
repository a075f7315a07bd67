"""Text for masked LM: sentences, and the share of each language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.planning.cost import Workload
from study.planning.plan import Planner
from tests import ROOT
from trainables.catalogue import DATASETS
from trainables.configs import Intermediate, Mlm, identity
from trainables.examples import Text
from trainables.modeling.model import load_tokenizer
from trainables.profiles import PROFILES
from trainables.recipe import Recipe
from trainables.sources import Source, open_source
from trainables.training.corpus import Corpus, read_corpus, sentences
from trainables.training.data import Data
from trainables.training.distributed import ProcessGroup
from trainables.training.schedule import language_probabilities

D = DATASETS["mlm"]
SIZES = {"en": 900, "de": 90, "sw": 10}
ARTICLE = "The water is cold. It is {} m deep!\n\nA child sleeps."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 3.5 m deep. Is it? Yes!!\nNo", ["It is 3.5 m deep.", "Is it?", "Yes!!", "No"]),
        ('"Why?" she said. e.g. so. (Ha!) "Well." Then.', ['"Why?" she said. e.g. so.', "(Ha!)", '"Well."', "Then."]),
        ("水很冷。孩子睡了！「好。」他说。", ["水很冷。", "孩子睡了！", "「好。」", "他说。"]),
        ("पानी ठंडा है। बच्चा सोता है।", ["पानी ठंडा है।", "बच्चा सोता है।"]),
        ("ရေက အေးတယ်။ ကလေး အိပ်နေတယ်။", ["ရေက အေးတယ်။", "ကလေး အိပ်နေတယ်။"]),
        ("هل هذا؟ نعم.", ["هل هذا؟", "نعم."]),
        ("น้ำเย็น เด็กนอน\r\n\r\nหมา", ["น้ำเย็น เด็กนอน", "หมา"]),
        (" \n\n ", []),
    ],
)
def test_sentences_of_many_scripts(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def wikipedia(folder: Path, sizes: dict[str, int], files: int = 1) -> Source:
    """Make a mirror of Wikipedia, whose files of a language have the same number of articles."""
    for language, size in sizes.items():
        for part in range(files):
            rows = [{"id": str(i), "title": "t", "text": ARTICLE.format(f"{part}.{i}")} for i in range(size)]
            path = folder / f"wikimedia/wikipedia/20231101.{language}/train-{part:05}-of-{files:05}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows), path)
    return open_source(f"mirror:{folder}")


def corpus_of(source: Source, tmp_path: Path, sentences: int, *, articles: bool, **sizes: int) -> Corpus:
    mlm = Mlm(
        batch=8, max_length=64, sentences=sentences, alpha=0.3, languages=tuple(sizes), sizes=tuple(sizes.values()),
        articles=articles,
    )  # fmt: skip
    return read_corpus(mlm, Data(source, tmp_path, None, ProcessGroup(), 1.0, {}))


def test_a_language_has_its_smoothed_share_of_the_whole_corpus(tmp_path: Path) -> None:
    source = wikipedia(tmp_path, SIZES)
    found = corpus_of(source, tmp_path, 300, articles=True, **SIZES)
    assert found.sizes == (2700, 270, 30)  # three sentences an article
    assert language_probabilities(found.sizes, 0.3) == pytest.approx([0.568039, 0.284694, 0.147267], abs=1e-6)
    assert {language: len(texts) for language, texts in found.text.items()} == {"en": 171, "de": 86, "sw": 30}
    assert found.lines == 300
    assert all(isinstance(e, Text) and "\n" not in e.text and e.text.count(" ") < 6 for e in found.text["en"])
    depths = {e.text for e in found.text["en"] if isinstance(e, Text) and "deep" in e.text}
    assert len(depths) > 40, "from all over the file"


def test_sizes_are_those_of_the_whole_corpus_not_of_the_files_that_are_read(tmp_path: Path) -> None:
    source = wikipedia(tmp_path, {"en": 40, "sw": 10}, files=3)
    assert source.num_rows(D, "en", "train") == 40
    assert source.corpus_rows(D, "en", "train") == 120
    found = corpus_of(source, tmp_path, 60, articles=True, en=120_000, sw=10)
    assert len(found.text["en"]) == 57 and len(found.text["sw"]) == 4


def recipe(**changes: Any) -> Recipe:
    fixed = {"encoder": "pretrain:tiny", "profile": "small", "targets": ("xnli",), "intermediate": ("mnli",)}
    return Recipe(**{**fixed, "mlm_ratio": 0.25, "epochs": 1.0, "lr": 1e-4, "scale": 1.0, **changes})


def planned(source: Source, scale: float) -> Mlm:
    nodes = Planner(source, None).plan(recipe(scale=scale), 1).nodes
    (config,) = (node.config for node in nodes if isinstance(node.config, Intermediate))
    assert config.mlm is not None
    return config.mlm


def test_forty_languages_are_spread_as_published(tmp_path: Path) -> None:
    """Cut to 50,000 texts each before they are smoothed, the greatest ratio was 1.17."""
    sizes: dict[str, int] = {f"l{i:02}": round(6_000 * (1_000_000 / 6_000) ** (i / 39)) for i in range(40)}

    class Lines:
        def examples(self, d: Any, language: str, split: str, take: int) -> list[Text]:
            return [Text(str(i), language) for i in range(min(take, sizes[language]))]

        def num_rows(self, d: Any, language: str, split: str) -> int:
            return sizes[language]

    source: Any = Lines()
    found = corpus_of(source, tmp_path, PROFILES["phang2020"].mlm_sentences // 100, articles=False, **sizes)
    counts = [len(texts) for texts in found.text.values()]
    assert (
        max(counts) / min(counts)
        == pytest.approx((1_000_000 / 6_000) ** 0.3, rel=0.01)
        == pytest.approx(4.64, abs=0.05)
    )


def test_a_plan_names_the_sizes_only_where_they_count(tmp_path: Path) -> None:
    pocket = open_source("pocket")
    plain = planned(pocket, 1.0)
    assert plain.sizes == () and not plain.articles, "the mix uses every row"
    parallel = tmp_path / "mirror"
    source = open_source(f"mirror:{wikipedia(parallel, {'en': 5, 'de': 4}).spec.partition(':')[2]}+pocket")
    mlm = planned(source, 1.0)
    assert mlm.languages == ("en", "de") and mlm.sizes == (5, 4) and mlm.articles


def test_ids_from_before_stay(tmp_path: Path) -> None:
    nodes = Planner(open_source("pocket"), None).plan(recipe(), 1).nodes
    (config,) = (node.config for node in nodes if isinstance(node.config, Intermediate))
    assert set(identity(config)["mlm"]) == {"batch", "max_length", "sentences", "alpha", "languages"}


def test_a_large_corpus_of_lines_is_not_cut_before_it_is_smoothed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more rows than the mix uses; the text of stand-ins is taken as it is."""
    source = open_source("pocket")
    languages = source.languages(D, "train")
    sizes = {language: source.num_rows(D, language, "train") for language in languages}
    found = corpus_of(source, tmp_path, 600, articles=False, **sizes)
    shares = language_probabilities(list(sizes.values()), 0.3)
    assert [len(texts) for texts in found.text.values()] == [
        min(n, -int(-600 * q // 1)) for n, q in zip(sizes.values(), shares, strict=True)
    ]
    assert found.lines == 600


def test_the_estimate_counts_sentences_of_articles(tmp_path: Path) -> None:
    source = wikipedia(tmp_path, SIZES)
    mlm = Mlm(
        batch=8, max_length=64, sentences=300, alpha=0.3, languages=tuple(SIZES), sizes=tuple(SIZES.values()),
        articles=True,
    )  # fmt: skip
    work = Workload(source, 2, load_tokenizer(ROOT / "trainables/pocket/encoder"))
    assert work._text(mlm, 1.0)[0] == 300
    assert work._text(mlm, 0.01)[0] == 3
