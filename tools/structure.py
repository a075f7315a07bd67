"""Measure the structure of the code.

python -m tools.structure [--at COMMIT] prints counts, --graph the packages and their imports. Everything is read from syntax
trees, so that an older commit can be measured by the same rules.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import subprocess
import tarfile
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("stepstone", "study", "trainables", "search_spaces", "dashboards")
VERBS = ("launch", "resume", "status", "report", "sync", "submission", "score", "doctor", "gc", "cli", "cli_parser")
# Kinds of datasets, which only the format objects compare.
KINDS = ("labelled", "choice", "regression", "span", "words", "intent", "text", "bitext", "mining", "ranking")
# Data rather than code: their names may repeat.
DATA = ("trainables.catalogue", "trainables.pocket")


def trees(root: Path) -> dict[str, ast.Module]:
    """Parse every module of the product: dotted name -> tree."""
    found = {}
    for path in (p for room in PRODUCT for p in sorted((root / room).rglob("*.py"))):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree: ast.AST, modules: Mapping[str, ast.Module]) -> set[str]:
    """List the product's modules that a module imports, except for types only."""
    found: set[str] = set()
    for node in _not_for_types(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in inner}
    return found & modules.keys()


def _not_for_types(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not types:
            yield child
            yield from _not_for_types(child)


def package(module: str) -> str:
    """Return the package of a module.

    It is a folder below study/ or trainables/, a module directly there, or a top-level package.
    """
    parts = module.split(".")
    if parts[0] == "study" and parts[-1] in VERBS and len(parts) == 2:
        return "verbs"
    return ".".join(parts[:2]) if parts[0] in ("study", "trainables") else parts[0]


def graph(root: Path = ROOT) -> dict[str, set[str]]:
    """Find which packages import which."""
    modules = trees(root)
    edges: dict[str, set[str]] = {
        package(name): set() for name in modules if package(name) not in ("study", "trainables")
    }
    for name, tree in modules.items():
        for other in imports(tree, modules):
            if package(name) in edges and package(other) in edges and package(other) != package(name):
                edges[package(name)].add(package(other))
    return edges


def cycle(edges: Mapping[str, set[str]]) -> list[str]:
    """Find a ring of packages that import each other; [] if there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges[name]):
            if ring := visit(other, [*path, name]):
                return ring
        done.add(name)
        return []

    return next((ring for name in edges if (ring := visit(name, []))), [])


def drawn(edges: Mapping[str, set[str]]) -> str:
    """Format packages from top to bottom, each with its direct imports.

    Imports that follow from those of lower packages are left out.
    """
    below: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in below:
            below[name] = set().union(*({other} | reach(other) for other in edges[name]))
        return below[name]

    lines = []
    for name in sorted(edges, key=lambda one: (-len(reach(one)), one)):
        direct = sorted(other for other in edges[name] if not any(other in reach(third) for third in edges[name]))
        lines.append(f"{name:<34} {' '.join(direct)}".rstrip())
    return "\n".join(lines)


def counts(root: Path = ROOT) -> dict[str, object]:
    """Compute measures of files, functions, types, docstrings and names."""
    modules = trees(root)
    nodes = [(name, node) for name, tree in modules.items() for node in ast.walk(tree)]
    functions = [n for _, n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = [n.end_lineno - n.lineno + 1 for n in functions if n.end_lineno]
    words = [len(re.findall(r"\S+", first)) for _, n in nodes if (first := _first_line(n))]
    files = modules.keys() - {name.rpartition(".")[0] for name in modules}  # without packages
    study = [(name, node) for name, node in nodes if name.startswith("study")]
    meanings = _meanings(modules)
    return {
        "files in study/ itself": sum(name.count(".") == 1 and name.startswith("study.") for name in files),
        "files per folder, at most": max(Counter(name.rpartition(".")[0] for name in files).values()),
        "lines of a function, median": median(lengths),
        "lines of a function, longest": max(lengths),
        "Any in study/": sum(isinstance(n, ast.Name) and n.id == "Any" for _, n in study),
        "string subscripts in study/": sum(map(_is_string_subscript, (n for _, n in study))),
        "comparisons of kinds outside formats": sum(_compares_kind(n) for name, n in nodes if ".formats" not in name),
        "words of a docstring's first line, median": median(words),
        "public names with several meanings": len(meanings),
        "which": {name: sorted(places) for name, places in sorted(meanings.items())},
    }


def _first_line(node: ast.AST) -> str:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return ""
    return (ast.get_docstring(node) or "").split("\n")[0]


def _is_string_subscript(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
    )


def _compares_kind(node: ast.AST) -> bool:
    if not isinstance(node, ast.Compare):
        return False
    is_kind = any(getattr(n, "attr", getattr(n, "id", "")) == "kind" for n in (node.left, *node.comparators))
    named = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
    sets = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & {"RETRIEVAL", "POOLED", "TAGGED", "LABELLED"}
    return is_kind and bool(named & set(KINDS) or sets)


def _meanings(modules: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Find public names that are defined in several modules.

    Entry points and data are excluded.
    """
    places: dict[str, set[str]] = defaultdict(set)
    for name, tree in modules.items():
        if not name.startswith(DATA):
            for node in tree.body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                    places[node.name].add(name)
    return {name: found for name, found in places.items() if len(found) > 1 and name not in ("main", "parser")}


def main() -> None:
    """Print the counts or the graph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", help="a commit to measure instead of the current files")
    parser.add_argument("--graph", action="store_true", help="print the packages and their imports")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = ROOT
        if options.at:
            packed = subprocess.run(["git", "archive", options.at], cwd=ROOT, check=True, capture_output=True).stdout
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(folder, filter="data")
            root = Path(folder)
        print(drawn(graph(root)) if options.graph else json.dumps(counts(root), indent=1))


if __name__ == "__main__":
    main()
