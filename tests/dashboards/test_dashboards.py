"""The report page and the matrix picture, as a browser gets them."""

from __future__ import annotations

import copy
import random
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from dashboards.curves import curve_panels
from dashboards.matrix import matrix, to_svg
from dashboards.page import render
from dashboards.scale import difference_text, scale, score_text, ticks, tidy

LANGUAGES = {
    "en": ("English", "Latin", "Indo-European"), "ar": ("Arabic", "Arabic", "Afro-Asiatic"),
    "bg": ("Bulgarian", "Cyrillic", "Indo-European"), "de": ("German", "Latin", "Indo-European"),
    "el": ("Greek", "Greek", "Indo-European"), "es": ("Spanish", "Latin", "Indo-European"),
    "fr": ("French", "Latin", "Indo-European"), "hi": ("Hindi", "Devanagari", "Indo-European"),
    "ru": ("Russian", "Cyrillic", "Indo-European"), "sw": ("Swahili", "Latin", "Niger-Congo"),
    "th": ("Thai", "Thai", "Tai-Kadai"), "tr": ("Turkish", "Latin", "Turkic"),
    "ur": ("Urdu", "Arabic", "Indo-European"), "vi": ("Vietnamese", "Latin", "Austro-Asiatic"),
    "zh": ("Chinese", "Chinese ideograms", "Sino-Tibetan"), "fi": ("Finnish", "Latin", "Uralic"),
    "et": ("Estonian", "Latin", "Uralic"), "ja": ("Japanese", "Ideograms", "Japonic"),
    "ko": ("Korean", "Hangul", "Koreanic"), "ta": ("Tamil", "Tamil", "Dravidian"),
    "te": ("Telugu", "Telugu", "Dravidian"), "yo": ("Yoruba", "Latin", "Niger-Congo"),
}  # fmt: skip
TARGETS = [
    ("xnli", "XNLI", "accuracy", "en ar bg de el es fr hi ru sw th tr ur vi zh", "test", "mnli"),
    ("pawsx", "PAWS-X", "accuracy", "en de es fr ja ko zh", "test", "paws"),
    ("udpos", "UDPOS", "f1", "en ar bg de el es et fi fr hi ja ko ru ta te th tr ur vi yo zh", "test", "udpos"),
    ("panx", "NER", "f1", "en ar bg de el es et fi fr hi ja ko ru sw ta te th tr ur vi yo zh", "test", "panx"),
    ("xquad", "XQuAD", "f1 exact_match", "en ar de el es hi ru th tr vi zh", "validation", "squad"),
    ("tatoeba", "Tatoeba", "accuracy", "ar bg de el es et fi fr hi ja ko ru sw ta te th tr ur vi zh", "test", None),
]
RECIPES = ["baseline", "MNLI", "QQP", "SQuAD", "CCG", "CommonsenseQA", "all tasks", "MLM 0.25", "MNLI + MLM 0.25",
           "SQuAD + MLM 0.25", "all tasks + MLM 0.25", "HellaSwag, K 16,384, 0.5 epochs"]  # fmt: skip
TOML = 'encoder = "xlm-roberta-base"\n\n[intermediate]\ntasks = ["squad"]\nmlm = 0.25\nlr = 2e-5\n'


def report(
    languages: dict[str, tuple[str, str, str]] | None = None, recipes: list[str] | None = None
) -> dict[str, Any]:
    """Make a realistic report.

    It has three seeds, six targets, some recipes that help, one that failed and one that was pruned.
    """
    rng = random.Random(7)
    names = languages or LANGUAGES
    targets = [
        {"name": n, "title": title, "main": metric.split(), "split": split, "trained_on": trained, "note": "",
         "languages": tags.split() if languages is None else list(languages)}
        for n, title, metric, tags, split, trained in TARGETS
    ]  # fmt: skip
    hard = {tag: rng.uniform(0, 22) for tag in names}
    rows = [_row(name, index, targets, hard, rng) for index, name in enumerate(recipes or RECIPES)]
    _finish(rows)
    best = rows[min(9, len(rows) - 1)] if len(rows) > 1 else None
    return {
        "study": "first-look", "space": "intermediate_tasks", "source": "hub", "encoder": "xlm-roberta-base",
        "question": "Which English task, trained first, helps zero-shot transfer?", "profile": "published", "scale": 1.0,
        "seeds": 3, "selection": "english_dev", "pocket": False,
        "headline": "SQuAD + MLM 0.25 first: +1.6 points on 6 targets, 95 % interval +0.9 to +2.3, 3 seeds; no gain on NER.",
        "trials": {"complete": 10, "pruned": 1, "failed": 1}, "stages": {"run": 214, "reused": 61, "train_steps": 182400},
        "targets": targets, "languages": {t: dict(zip(("name", "script", "family"), v, strict=True)) for t, v in names.items()},
        "baseline": rows[0], "matrix": rows,
        "best": best and {
            "name": best["name"], "recipe": {}, "gain": best["gain"], "interval": best["interval"], "toml": TOML,
            "address": best["address"], "command": "python -m study.launch --recipe best.toml --source hub --seeds 3",
        },
        "failures": [{"name": "CCG", "address": "4f" * 16, "reason": "non-finite loss at step 412",
                      "traceback": 'Traceback:\n  File "loop.py", line 88, in train\nFloatingPointError: loss is nan'}],
        "notes": ["CCG is not free to copy: a part-of-speech task stands in for it.", "MLQA was not run.",
                  "Recipes were chosen on English development scores only."],
        "created": "2025-11-21T01:00:00+00:00", "version": "0.1.0",
    }  # fmt: skip


def _row(
    name: str, index: int, targets: list[dict[str, Any]], hard: dict[str, float], rng: random.Random
) -> dict[str, Any]:
    lift = 0.0 if index == 0 else rng.gauss(0.4, 1.0) + (1.2 if "MLM" in name else 0)
    status = "failed" if name == "CCG" else "pruned" if name == "CommonsenseQA" else "complete"
    parts = {}
    for target in targets:
        shift = lift + (0 if index == 0 else rng.gauss(0, 0.9))
        scores = {}
        for tag in target["languages"]:
            value = min(99.0, 84 - hard[tag] + shift + (0 if index == 0 else rng.gauss(0, 0.7)))
            scores[tag] = {name: value - 15.5 * place for place, name in enumerate(target["main"])}
        parts[target["name"]] = {"languages": scores, "mean": 0.0, "gain": 0.0, "interval": None}
    if status == "failed":
        parts = {}
    if status == "pruned":
        parts = {key: parts[key] for key in list(parts)[:2]}
    return {
        "name": name, "recipe": {"tasks": name.split(" + "), "mlm": 0.25 if "MLM" in name else 0}, "status": status,
        "address": f"{index + 1:02x}" * 16, "seeds": [0, 1, 2], "average": None, "gain": None, "interval": None,
        "selection": None if status == "failed" else round(lift, 2), "run_id": f"{index:032x}", "targets": parts,
        "curves": {} if status == "failed" else _curves(name, index, targets, rng),
    }  # fmt: skip


def _curves(name: str, index: int, targets: list[dict[str, Any]], rng: random.Random) -> dict[str, Any]:
    labels = [target["name"] for target in targets if target["trained_on"]] + (["intermediate"] if index else [])
    curves = {}
    for label in labels:
        steps = list(range(10, 3000 if label == "intermediate" else 1500, 10))
        curves[label] = {
            "step": steps,
            "loss": [0.35 + 1.1 * 2.7 ** (-step / 350) + rng.gauss(0, 0.05) for step in steps],
            "dev": [[step, 80 - 35 * 2.7 ** (-step / 300) + rng.gauss(0, 0.6)] for step in steps[::20]],
        }
    return curves


def _finish(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for name, part in row["targets"].items():
            part["mean"] = _mean([_mean(list(values.values())) for values in part["languages"].values()])
            part["gain"] = part["mean"] - rows[0]["targets"][name]["mean"]
            if row is not rows[0] and name != "tatoeba":
                part["interval"] = [part["gain"] - 0.8, part["gain"] + 0.8]
        if row["status"] == "complete":
            row["average"] = _mean([part["mean"] for part in row["targets"].values()])
            row["gain"] = row["average"] - rows[0]["average"]
            row["interval"] = [row["gain"] - 0.6, row["gain"] + 0.6] if row is not rows[0] else None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


VOID = {"meta", "br", "hr", "img", "input", "link", "source", "wbr", "col"}


class Page(HTMLParser):
    """Parser that checks balanced tags and collects what tests need."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice on <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]} at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def titles(self) -> str:
        return " ".join(attrs.get("title") or "" for _, attrs in self.tags)


def test_everything_is_on_the_page_and_tags_balance() -> None:
    data = report()
    page = Page(render(data))
    assert data["headline"] in page.text
    for name in RECIPES:
        assert name in page.text
    for name, script, family in LANGUAGES.values():
        assert name in page.text and f"{name}, {script} script, {family}" in page.titles()
    for target in data["targets"]:
        assert target["title"] in page.text
    for note in data["notes"]:
        assert note in page.text
    assert data["best"]["command"] in page.text and 'tasks = ["squad"]' in page.text
    assert "FloatingPointError: loss is nan" in page.text
    assert data["matrix"][3]["run_id"] in page.text


def test_the_answer_comes_first() -> None:
    text = Page(render(report())).text
    order = ["SQuAD + MLM 0.25 first", "xlm-roberta-base", "Transfer matrix", "Language by language", "Learning curves",
             "Run it again", "Failures", "MLQA was not run", "How to read this"]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_nothing_outside_the_page_is_asked_for() -> None:
    text = render(report())
    for tag, attrs in Page(text).tags:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base", "form"}
        assert not {"src", "href", "xlink:href", "action", "srcset"} & attrs.keys(), (tag, attrs)
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
    assert "://" not in text and "@import" not in text and "url(" not in text
    for word in (
        "fetch(",
        "XMLHttpRequest",
        "localStorage",
        "sessionStorage",
        "document.cookie",
        "indexedDB",
        "import(",
    ):
        assert word not in text


def test_hostile_text_stays_text() -> None:
    evil = "</title></style></script><script>alert(1)</script>\"' onload=x {{ 7*7 }} <b>&amp;"
    data = _replace_strings(report(), evil)
    text = render(data)
    page = Page(text)
    assert "alert(1)" in page.text and "<script>alert" not in text and "{{ 7*7 }}" in page.text
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    root = ElementTree.fromstring(to_svg(data))
    assert not [one for one in root.iter() if one.tag.endswith("script")]


def _replace_strings(value: Any, evil: str) -> Any:
    """Make every name, note and label of a report hostile.

    Keys that join parts stay equal on both sides.
    """
    if isinstance(value, str):
        return f"{value}{evil}"
    if isinstance(value, dict):
        kept = {"name", "title", "note", "reason", "traceback", "headline", "study", "question", "source", "encoder"}
        deep = {"f1", "exact_match", "accuracy"}
        out = {}
        for key, item in value.items():
            known = key in kept or key in SHAPE or key in deep
            out[key if known else f"{key}{evil}"] = _replace_strings(item, evil)
        return out
    return [_replace_strings(item, evil) for item in value] if isinstance(value, list) else value


SHAPE = set(report()) | set(report()["matrix"][0]) | set(report()["best"]) | {"languages", "script", "family", "main", "split",
         "trained_on", "step", "loss", "dev", "mean", "complete", "pruned", "failed", "run", "reused", "train_steps"}  # fmt: skip


def test_terminal_colours_and_control_characters_are_taken_out() -> None:
    data = report()
    data["failures"][0]["traceback"] = "\x1b[36mworker\x1b[0m died\x00\ud800"
    data["matrix"][1]["name"] = "odd\x08name"
    assert "worker died" in Page(render(data)).text
    render(data).encode("utf-8")
    ElementTree.fromstring(to_svg(data))
    assert tidy({"a\x00": ["\x1b[1mb"]}) == {"a\N{REPLACEMENT CHARACTER}": ["b"]}


def test_pocket_data_is_said_aloud() -> None:
    data = report()
    assert "Pocket data" not in Page(render(data)).text and "Pocket data" not in to_svg(data)
    data["pocket"] = True
    page = Page(render(data))
    assert page.text.index("Pocket data") < page.text.index(data["headline"])
    assert "Pocket data" in to_svg(data)


def test_noise_and_missing_intervals_are_marked() -> None:
    data = report()
    parts = data["matrix"][1]["targets"]
    parts["xnli"] |= {"gain": 1.25, "interval": [0.5, 2.0]}
    parts["pawsx"] |= {"gain": 0.3, "interval": [-0.4, 1.0]}
    parts["panx"] |= {"gain": -2.0, "interval": None}
    cells = {c.name: cell for c, cell in zip(matrix(data).columns, matrix(data).lines[1].cells, strict=True)}
    assert (cells["xnli"].certainty, cells["xnli"].side) == ("clear", "up")
    assert (cells["pawsx"].certainty, cells["pawsx"].side) == ("noise", "up")
    assert (cells["panx"].certainty, cells["panx"].side) == ("unknown", "down")
    assert "95 % interval +0.5 to +2.0" in cells["xnli"].detail
    assert "includes 0" in cells["pawsx"].detail and "no interval" in cells["panx"].detail
    page = Page(render(data))
    classes = [attrs.get("class") for _, attrs in page.tags]
    assert "up noise" in classes and "up clear" in classes and "down unknown" in classes


def test_the_first_row_is_the_baselines_own_score() -> None:
    data = report()
    first = matrix(data).lines[0]
    assert first.baseline and first.average.difference == score_text(data["baseline"]["average"])
    assert all(cell.strength == 0 for cell in first.cells)


def test_question_answering_shows_both_scores() -> None:
    data = report()
    data["matrix"][1]["targets"]["xquad"]["languages"]["tr"] = {"f1": 61.23, "exact_match": 44.56}
    text = Page(render(data)).text
    assert re.search(r"61\.2 44\.6", text) and "F1, with exact match below it" in text


@pytest.mark.parametrize("count", [1, 2])
def test_one_and_two_rows(count: int) -> None:
    data = report(recipes=RECIPES[:count])
    data["failures"] = []
    page = Page(render(data))
    assert "Failures" not in page.text and "baseline" in page.text
    assert ("Run it again" in page.text) == (count == 2)
    ElementTree.fromstring(to_svg(data))


def test_rows_without_scores_show_their_status() -> None:
    data = report()
    text = Page(render(data)).text
    assert "CCG failed –" in text and "CommonsenseQA pruned" in text
    data["matrix"][6] |= {"status": "running", "targets": None, "curves": None, "seeds": None, "address": None}
    assert "all tasks running" in Page(render(data)).text


def test_no_gains_no_best_no_intervals() -> None:
    data = report()
    data["best"] = None
    for row in data["matrix"]:
        row |= {"gain": None, "interval": None, "average": float("nan")}
        for part in row["targets"].values():
            part |= {"gain": None, "interval": None}
    page = Page(render(data))
    assert "nan" not in page.text.replace("loss is nan", "") and "None" not in page.text
    ElementTree.fromstring(to_svg(data))


@pytest.mark.parametrize("data", [{}, {"study": "s", "matrix": [], "targets": [], "best": None, "languages": {}}])
def test_a_study_with_nothing_yet(data: dict[str, Any]) -> None:
    assert "No trial has finished yet" in Page(render(data)).text
    ElementTree.fromstring(to_svg(data))


def wide() -> dict[str, Any]:
    tags = {
        f"l{i:02d}": (f"Language number {i}", "Latin" if i % 3 else "Cyrillic", f"Family {i % 11}") for i in range(39)
    }
    long = [f"{name} with a very long name, K 16384 and 0.{i} of masked text and-an_unbreakable_word_{'x' * 30}" for i, name in
            enumerate((RECIPES + RECIPES)[:20])]  # fmt: skip
    return report({"en": LANGUAGES["en"], **tags}, long)


def test_forty_languages_twenty_rows_long_names() -> None:
    data = wide()
    text = render(data)
    page = Page(text)
    assert all(name["name"] in page.text for name in data["languages"].values())
    assert all(row["name"] in page.text for row in data["matrix"])
    assert len(text) < 3_000_000
    ElementTree.fromstring(to_svg(data))


def test_unknown_languages_and_extra_metrics_are_shown() -> None:
    data = report()
    data["languages"] = {}
    data["targets"][0]["languages"] = []
    for row in data["matrix"]:
        for values in (row["targets"].get("udpos") or {}).get("languages", {}).values():
            values |= {"accuracy": 1.0}
    page = Page(render(data))
    assert "sw" in page.text and "F1, with" in page.text
    assert "1.0 1.0 1.0" not in page.text  # the main metric is shown, not the other one


def test_the_same_report_gives_the_same_bytes_and_is_not_changed() -> None:
    data = report()
    before = copy.deepcopy(data)
    assert render(data) == render(data) and to_svg(data) == to_svg(data)
    assert data == before


def test_the_picture_stands_alone() -> None:
    data = report()
    text = to_svg(data)
    root = ElementTree.fromstring(text)
    words = " ".join(root.itertext())
    assert all(name in words for name in RECIPES) and all(t["title"] in words for t in data["targets"])
    assert "href" not in text and text.count("http") == 1  # the one is the name of the SVG namespace


def test_long_curves_are_thinned_and_bad_points_dropped() -> None:
    data = report(recipes=RECIPES[:1])
    data["matrix"][0]["curves"] = {
        "long": {
            "step": list(range(50_000)),
            "loss": [1.0 + i / 1e5 for i in range(50_000)],
            "dev": [[0, None], [10, 50.0]],
        },
        "broken": {"step": [1, 2, 3], "loss": [float("nan"), None, float("inf")], "dev": []},
        "none": None,
    }
    panels = curve_panels(data)
    assert [panel.label for panel in panels] == ["long"]
    assert len(panels[0].loss) < 6000 and "nan" not in panels[0].loss and panels[0].dev


def test_numbers_and_scale() -> None:
    assert [difference_text(v) for v in (1.26, -0.34, -0.04, None)] == ["+1.3", "−0.3", "0.0", "–"]
    assert [score_text(v) for v in (62.149, None)] == ["62.1", "–"]
    assert scale([0.1, -0.2]).limit == 1.0 and not scale([0.1, -0.2]).clipped
    one_collapsed = scale([*[0.1 * i for i in range(30)], -40.0])
    assert one_collapsed.limit == 3.0 and one_collapsed.clipped and one_collapsed.strength(-40.0) == 1.0
    assert scale([]).strength(None) == 0 and scale([None]).side(None) == "empty"
    assert ticks(-1.2, 3.4, 5) == [-1.0, 0.0, 1.0, 2.0, 3.0] and ticks(2, 2) == [2]
