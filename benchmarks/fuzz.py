"""Try mutated files, and compare metrics with their references on random values.

python -m benchmarks.fuzz inputs [--cases 5000] [--seed 0] [--out FILE]

Every mutated file must give rows, or one line that names the file. Anything else is a finding: a traceback, a hang,
several lines. The exit status is 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from trainables.errors import BadInput, DataError

SECONDS = 20  # a case that takes longer hangs
MOST = 20  # findings that are kept
PIECES = (
    b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\xc3", b"\xed\xa0\x80", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xc2\x85", b"\x0b",
    b"\r", b"\n", b"\r\n", b"\t", b"\t\t", b" ", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b"#", b"9" * 5000,
    b"NaN", b"Infinity", b"-1", b"1e999", b"null", b"true", b'"\\ud800"', b"[" * 100_000,
)  # fmt: skip

Summary = dict[str, Any]


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


def inputs(cases: int, seed: int) -> Summary:
    """Mutate files of every reader."""
    raise NotImplementedError


COMMANDS: dict[str, Callable[[int, int], Summary]] = {"inputs": inputs}  # (cases, seed) -> summary


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
