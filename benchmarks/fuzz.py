"""Try mutated files, and compare metrics with their references on random values.

python -m benchmarks.fuzz inputs [--cases 5000] [--seed 0] [--out FILE]
python -m benchmarks.fuzz metrics [--cases 5000] [--seed 0] [--out FILE]
python -m benchmarks.fuzz own-files --cases 2000 [--seed 0] [--out FILE]

Every mutated file must give rows, or one line that names the file. Anything else is a finding: a traceback, a hang,
several lines. The exit status is 1 if there is any.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import signal
import string
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from study.results.writers import write_report
from study.xtreme.layout import TASKS, Version, squad_text
from study.xtreme.scoring import score_folder
from tests.trainables.catalogue.test_schemas import SCHEMAS, write_files
from trainables.catalogue import DATASETS, Dataset
from trainables.encoding.encoded import Encoded
from trainables.errors import BadInput, DataError
from trainables.evaluation.scoring import NonFiniteOutput, score
from trainables.examples import Labelled
from trainables.formats.span import null_columns
from trainables.metrics.formulas import (
    accuracy,
    best_at_threshold,
    chunk_counts,
    f1_from_counts,
    matthews,
    pearson,
    spearman,
    squad2_scores,
    squad_scores,
)
from trainables.sources import open_source
from trainables.sources.tables import SPLITS
from trainables.training.synonyms import read_synonyms

SECONDS = 20  # a case that takes longer hangs
MOST = 20  # findings that are kept
PIECES = (
    b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\xc3", b"\xed\xa0\x80", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xc2\x85", b"\x0b",
    b"\r", b"\n", b"\r\n", b"\t", b"\t\t", b" ", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b"#", b"9" * 5000,
    b"NaN", b"Infinity", b"-1", b"1e999", b"null", b"true", b'"\\ud800"', b"[" * 100_000,
)  # fmt: skip

Summary = dict[str, Any]
Compared = tuple[Sequence[float], Sequence[float], object]  # our values, the reference's, and what was given
Compare = Callable[[Random], Compared]


def mutate(data: bytes, rng: Random) -> bytes:
    """Change a file's bytes in one to three places: cut, insert, repeat, swap, overwrite."""
    for _ in range(rng.randint(1, 3)):
        i, j = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
        j = min(j, i + rng.choice((1, 8, len(data))))
        change = rng.choice(("piece", "piece", "byte", "drop", "cut", "repeat", "line"))
        if change == "piece":
            data = data[:i] + rng.choice(PIECES) + data[i:]
        elif change == "byte":
            data = data[:i] + bytes([rng.randrange(256)]) + data[i + 1 :]
        elif change == "drop":
            data = data[:i] + data[j:]
        elif change == "cut":
            data = data[:i]
        elif change == "repeat":
            data = data[:j] + data[i:j] + data[j:]
        else:
            lines = data.split(b"\n")
            rng.shuffle(lines)
            data = b"\n".join(lines)
    return data


class Hang(BaseException):
    """A case took too long."""


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raise Hang after some seconds; in the main thread only."""

    def stop(*_: object) -> None:
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(run: Callable[[], object], names: Sequence[str]) -> tuple[str, str]:
    """Run a case.

    Args:
        names: of which a refusal must contain one, such as the file that was mutated.
    Returns:
        (kind, detail): "rows", "refused", or a finding's kind "traceback", "hang", "unclear" with what was said.
    """
    try:
        with limit(SECONDS):
            run()
    except (BadInput, DataError) as error:
        said = str(error)
        clear = "\n" not in said and any(name in said for name in names)
        return ("refused", said) if clear else ("unclear", said)
    except Hang as error:
        return "hang", str(error)
    except Exception:
        return "traceback", traceback.format_exc()
    return "rows", ""


def summarise(outcomes: Iterator[tuple[str, str, str]]) -> Summary:
    """Count (what, kind, detail) of cases; list the first findings."""
    counts: dict[str, Counter[str]] = {}
    findings = []
    for what, kind, detail in outcomes:
        counts.setdefault(what, Counter())[kind] += 1
        if kind not in ("rows", "refused"):
            findings.append({"what": what, "kind": kind, "detail": detail[-2000:]})
    return {
        "cases": sum(map(Counter.total, counts.values())),
        "outcomes": {what: dict(sorted(found.items())) for what, found in sorted(counts.items())},
        "num_findings": len(findings),
        "findings": findings[:MOST],
    }


# ---- files of every reader ----


def inputs(cases: int, seed: int) -> Summary:
    """Mutate files of every reader."""
    with tempfile.TemporaryDirectory() as folder:
        return summarise(_inputs(cases, Random(seed), Path(folder)))


def _inputs(cases: int, rng: Random, folder: Path) -> Iterator[tuple[str, str, str]]:
    files = [*_scored(folder / "scored"), *_synonyms(folder / "synonyms"), *_sources(folder / "mirrors")]
    kinds = sorted({file.what for file in files})
    for number in range(cases):
        file = rng.choice([file for file in files if file.what == kinds[number % len(kinds)]])
        data = file.path.read_bytes()
        file.path.write_bytes(mutate(data, rng))
        yield file.what, *outcome(file.read, (file.path.name, *file.names))
        file.path.write_bytes(data)


@dataclass(frozen=True)
class Input:
    """A good file, and what reads it; `names`: other names of it in messages, such as dataset, language and split."""

    what: str
    path: Path
    read: Callable[[], object]
    names: tuple[str, ...] = ()


def _scored(folder: Path) -> Iterator[Input]:
    """Write predictions and labels of every task, which `study.score` reads."""
    tags = ["NOUN\nVERB\n\nPUNCT\n", "B-PER\nI-PER\n\nO\n"]
    squad = squad_text("t", [("a", "?", "Paris é", [(0, "Paris")]), ("b", "?", "Rome", [(0, "Rome")])])
    texts = {
        "xnli": ("neutral\nentailment\n", ""), "pawsx": ("0\n1\n", ""), "xcopa": ('{"label": 0}\n{"label": 1}\n', ""),
        "udpos": (tags[0], ""), "panx": (tags[1], ""), "bucc2018": ("de-1\ten-1\nde-2\ten-2\n", ""),
        "tatoeba": ("0\n1\n", ""), "mewslix": ('{"m": ["Q1", "Q2"],\n "n": "Q3"}', ""), "lareqa": ('{"q": [1, "b"]}', ""),
    } | dict.fromkeys(("xquad", "mlqa", "tydiqa"), ('{"a": "Paris",\n "b": "\\u00e9"}', squad))  # fmt: skip
    for name, (predictions, labels) in texts.items():
        task = TASKS[name]
        version: Version = "xtreme" if "xtreme" in task.languages else "xtreme-r"
        language = "de" if "de" in task.languages[version] else task.languages[version][0]
        sides = {side: folder / name / side for side in ("predictions", "labels")}
        for side, text in (("predictions", predictions), ("labels", labels or predictions)):
            path = sides[side] / task.file(language)
            path.parent.mkdir(parents=True)
            path.write_text(text)
            read = partial(score_folder, sides["predictions"], sides["labels"], version)
            yield Input(f"score, {task.suffix}, {task.shape}", path, read)


def _synonyms(folder: Path) -> Iterator[Input]:
    folder.mkdir()
    for name, text in (("words.txt", "big\thuge large\ncar automobile\n"), ("words.json", '{"big": ["huge"]}')):
        path = folder / name
        path.write_text(text)
        yield Input(f"synonyms, {path.suffix[1:]}", path, partial(read_synonyms, str(path)))


def _sources(folder: Path) -> Iterator[Input]:
    """Build a mirror of every recording of `tests/schemas`: files of releases, and Parquet files of the hub."""
    for name, d in DATASETS.items():
        content = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
        if d.of or d.crosses or content.get("with"):
            continue
        root = folder / name
        write_files(content, root)
        read = partial(_everything, root, d)
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            kind = "parquet" if path.suffix == ".parquet" else name
            yield Input(f"source, {kind}", path, read, (f"{name}/", f"{name}:", str(root)))


def _everything(root: Path, d: Dataset) -> None:
    """Read all rows of a mirror's dataset."""
    source = open_source(f"mirror:{root}")
    source.labels(d)
    for split in SPLITS:
        for language in source.languages(d, split):
            source.examples(d, language, split)
            source.check_labels(d, language, split)
            if d.format.pooled:
                source.pool(d, language, split, "source")
                source.pool(d, language, split, "target")


# ---- metrics and their references ----


def metrics(cases: int, seed: int) -> Summary:
    """Compare metrics with seqeval, scikit-learn, scipy and the official rules of SQuAD."""
    return summarise(
        (name, *_difference(compare, Random(f"{seed}/{name}/{number}")))
        for name, compare in COMPARED.items()
        for number in range(cases)
    )


def _difference(compare: Compare, rng: Random) -> tuple[str, str]:
    """Return ("rows", "") where both sides agree, else a finding."""
    try:
        ours, theirs, given = compare(rng)
    except Exception:
        return "traceback", traceback.format_exc()
    same = np.allclose(ours, theirs, rtol=0, atol=1e-9, equal_nan=False)
    return ("rows", "") if same else ("difference", f"{ours} and {theirs} for {given}")


def _slots(rng: Random) -> Compared:
    """Compare chunks of IOB tags with seqeval's, also of types that end alike."""
    from seqeval.metrics.sequence_labeling import get_entities

    names = rng.sample(["from-city", "to-city", "city", "a-b-c", "PER", "date.time", "a_b"], 3)
    tags = ["O", *(f"{prefix}-{name}" for prefix in "BI" for name in names)]
    gold, found = ([rng.choice(tags) for _ in range(rng.randint(1, 9))] for _ in range(2))
    found = [rng.choice((a, b)) for a, b in zip(gold, found * 9, strict=False)]
    theirs, ours = set(get_entities(gold)), set(get_entities(found))
    return chunk_counts(gold, found), (len(ours & theirs), len(ours), len(theirs)), (gold, found)


def _classes(rng: Random) -> Compared:
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef  # type: ignore[import-untyped]

    gold, found = (
        np.array([rng.random() < rng.choice((0, 0.2, 0.5, 1)) for _ in range(n)]) for n in [rng.randint(1, 12)] * 2
    )
    counts = [np.array(float(n)) for n in ((gold & found).sum(), found.sum(), gold.sum(), len(gold))]
    ours = [accuracy(gold, found), f1_from_counts(*map(float, counts[:3])), float(matthews(*counts))]  # type: ignore[arg-type]
    with warnings.catch_warnings(action="ignore"):  # of a single class
        theirs = [accuracy_score(gold, found), f1_score(gold, found, zero_division=0), matthews_corrcoef(gold, found)]
    return ours, theirs, (gold.tolist(), found.tolist())


def _accuracies(rng: Random) -> Compared:
    """Compare a language's score with the share of right classes; the first example with a non-finite output is named."""
    d, count = DATASETS["xnli"], rng.randint(1, 9)
    gold = np.array([rng.randrange(3) for _ in range(count)])
    outputs = np.array([[rng.choice((-1e30, -1.5, 0.0, 1.5, 1e30)) for _ in range(3)] for _ in range(count)])
    for _ in range(rng.choice((0, 0, 1, 2))):
        outputs[rng.randrange(count), rng.randrange(3)] = rng.choice((np.nan, np.inf, -np.inf))
    examples = [Labelled(f"e{number}", "a", "b", int(label)) for number, label in enumerate(gold)]
    whole = np.arange(count + 1)
    encoded = Encoded(
        kind=d.kind,
        tokens=whole[:-1],
        starts=whole,
        labels=gold,
        rows_per_item=1,
        example=whole[:-1],
        num_examples=count,
    )
    bad = np.flatnonzero(~np.isfinite(outputs).all(1))
    theirs = -1.0 - bad[0] if len(bad) else 100 * float((outputs.argmax(1) == gold).mean())
    try:
        ours = float(score(d, "de", examples, encoded, outputs).metrics["accuracy"])
    except NonFiniteOutput as error:
        ours = -1.0 - error.example if f"example 'e{error.example}'" in str(error) else np.nan
    return [ours], [theirs], (gold.tolist(), outputs.tolist())


def _correlations(rng: Random) -> Compared:
    """Compare with scipy, which has no value for a constant column: it is 0 here."""
    from scipy import stats

    values = rng.choice(([0, 1, 2], [0.1, 0.1, 0.3, 5.0], [-1e3, 1e-3, 7, 7.5]))
    gold, found = (np.array([float(rng.choice(values)) for _ in range(n)]) for n in [rng.randint(2, 12)] * 2)
    ours = [float(rule(gold, found, np.ones(len(gold)))) for rule in (pearson, spearman)]
    constant = len(set(gold)) == 1 or len(set(found)) == 1
    theirs = [0.0 if constant else float(rule(gold, found).statistic) for rule in (stats.pearsonr, stats.spearmanr)]
    return ours, theirs, (gold.tolist(), found.tolist())


ANSWERS = (
    "",
    " ",
    "the",
    "The a",
    ".",
    "...",
    "an!",
    "Paris",
    "paris.",
    "in Paris",
    "The  Paris in",
    "caf\u00e9",
    "42",
    "a b c",
)


def _squad(rng: Random) -> Compared:
    prediction, golds = rng.choice(ANSWERS), rng.choices(ANSWERS, k=rng.randint(1, 3))
    theirs = max(official_f1_v1(prediction, gold) for gold in golds), max(official_exact(prediction, g) for g in golds)
    return squad_scores(prediction, golds), theirs, (prediction, golds)


def _squad2(rng: Random) -> Compared:
    """Compare single scores and the sweep over thresholds, through the format's own columns."""
    questions = [(rng.choice(ANSWERS).strip(), rng.choices(ANSWERS, k=rng.randint(0, 2)), rng.choice((-1.0, 0.0, 0.5, 2.0)))
                 for _ in range(rng.randint(1, 6))]  # fmt: skip
    spans, golds, odds = zip(*questions, strict=True)
    columns = null_columns(spans, golds, np.array(odds))
    weights = np.ones(len(questions))
    ours = [
        float(best_at_threshold(columns["null_odds"], columns[f"span_{name}"], columns["unanswerable"], weights))
        for name in ("f1", "exact_match")
    ]
    ours += [value for span, gold, _ in questions for value in squad2_scores(span, gold)]
    raw = [official_v2(span, gold) for span, gold, _ in questions]
    theirs = [official_sweep([one[k] for one in raw], spans, golds, odds) for k in (0, 1)]
    return ours, theirs + [value for one in raw for value in one], questions


def official_normal(text: str) -> str:
    """Normalise as evaluate-v1.1.py and evaluate-v2.0.py: lower, no punctuation, no articles, single spaces."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def official_exact(prediction: str, gold: str) -> float:
    """Compute exact match of both versions."""
    return float(official_normal(prediction) == official_normal(gold))


def official_f1_v1(prediction: str, gold: str) -> float:
    """Compute F1 of v1.1: 0 without a common token."""
    ours, theirs = official_normal(prediction).split(), official_normal(gold).split()
    common = sum((Counter(ours) & Counter(theirs)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)


def official_v2(prediction: str, golds: Sequence[str]) -> tuple[float, float]:
    """Compute (F1, exact match) of v2.0: only gold answers with a token count, or the empty one."""
    kept = [gold for gold in golds if official_normal(gold)] or [""]

    def f1(gold: str) -> float:
        if not official_normal(prediction) or not official_normal(gold):
            return float(official_normal(prediction) == official_normal(gold))
        return official_f1_v1(prediction, gold)

    return max(map(f1, kept)), max(official_exact(prediction, gold) for gold in kept)


def official_sweep(
    scores: Sequence[float], predictions: Sequence[str], golds: Sequence[Sequence[str]], odds: Sequence[float]
) -> float:
    """Find the best score over thresholds as `find_best_thresh` of evaluate-v2.0.py."""
    score = best = float(sum(not gold for gold in golds))
    for n in sorted(range(len(odds)), key=lambda n: odds[n]):
        score += scores[n] if golds[n] else (-1 if predictions[n] else 0)
        best = max(best, score)
    return best / len(odds)


COMPARED: dict[str, Compare] = {
    "slots, seqeval": _slots,
    "classes, scikit-learn": _classes,
    "classes and non-finite outputs, numpy": _accuracies,
    "correlations, scipy": _correlations,
    "SQuAD 1.1": _squad,
    "SQuAD 2.0": _squad2,
}


def own_files(cases: int, seed: int) -> Summary:
    """Mutate the files of a small finished home, and read it with the verbs that need no Ray."""
    with tempfile.TemporaryDirectory() as folder:
        return summarise(_own_files(Path(folder), cases, Random(seed)))


def _own_files(folder: Path, cases: int, rng: Random) -> Iterator[tuple[str, str, str]]:
    """Yield (kind of file and verb, kind of outcome, detail).

    The home has a second study, which no damage of the first may hide.
    """
    from study.record.record import Record
    from study.store.store import Store
    from study.tracking.mlflow import sync
    from study.tracking.mlflow_store import default_uri

    base = folder / "base"
    shutil.copytree(Path(__file__).parents[1] / "tests" / "homes" / "finished", base)
    shutil.copytree(base / "studies" / "finished", base / "studies" / "healthy")
    record, store = Record(base, "finished"), Store(base)
    sync(default_uri(base), record, store, write_report(record, store), record.folder / "report")
    write_report(Record(base, "healthy"), store)
    own = [p for p in base.rglob("*") if p.is_file() and not _is_left_out(p.relative_to(base).as_posix())]
    for number in range(cases):
        file = rng.choice(sorted(own)).relative_to(base)
        home = folder / f"home-{number}"
        shutil.copytree(base, home)
        data = (home / file).read_bytes()
        (home / file).write_bytes(rng.choice((b"", data[: rng.randint(0, len(data))], *[mutate(data, rng)] * 4)))
        yield from _verbs(home, file, with_sync="mlflow" in file.name or number % 50 == 0)
        shutil.rmtree(home)


def _is_left_out(name: str) -> bool:
    """Return whether a file is only written, or belongs to the healthy study."""
    return (
        name.startswith(("studies/healthy", "mlartifacts"))
        or "/report/" in name
        or name.endswith((".lock", "report.json"))
    )


def _verbs(home: Path, file: Path, *, with_sync: bool) -> Iterator[tuple[str, str, str]]:
    from study import report, status, sync
    from study.api import Study
    from study.spec.study_spec import RunOptions

    arguments = ["--home", str(home), "--json"]
    kind = file.name if len(file.parts) < 4 else f"{file.parts[0]}/{file.name}"
    kind = "resampled/*.npy" if file.suffix == ".npy" else kind
    names = (file.name, file.parent.name[:12])  # a stage is named by its folder

    def listed() -> None:
        found = json.loads(_said(status.main, arguments))
        if "healthy" not in [study["study"] for study in found["studies"]]:
            raise AssertionError("the healthy study is hidden")

    verbs: dict[str, Callable[[], object]] = {
        "status": listed,
        "report": lambda: _said(report.main, ["finished", *arguments]),
        "report of another study": lambda: _said(report.main, ["healthy", *arguments]),
        "plan": lambda: Study.open("finished", home=home)._driver(RunOptions()).check(read=False),
    }
    if with_sync:
        verbs["sync"] = lambda: _said(sync.main, ["finished", *arguments])
    for verb, run in verbs.items():
        yield f"{kind}: {verb}", *outcome(run, names)


def _said(main: Callable[[Sequence[str]], int], argv: Sequence[str]) -> str:
    """Return what a verb prints to standard output."""
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(io.StringIO()):
        main(argv)
    return said.getvalue()


# (cases, seed) -> summary
COMMANDS: dict[str, Callable[[int, int], Summary]] = {"inputs": inputs, "metrics": metrics, "own-files": own_files}


def main(argv: Sequence[str]) -> int:
    """Run a command; return 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        verb = verbs.add_parser(name, help=command.__doc__)
        verb.add_argument("--cases", type=int, default=5000, help="number of cases")
        verb.add_argument("--seed", type=int, default=0, help="seed of all random choices")
        verb.add_argument("--out", help="also write the summary to this file")
    options = parser.parse_args(argv)
    found = {"command": options.command, "seed": options.seed, **COMMANDS[options.command](options.cases, options.seed)}
    text = json.dumps(found, indent=1, ensure_ascii=True)
    print(text)
    if options.out:
        Path(options.out).write_text(text + "\n")
    return 1 if found["num_findings"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
