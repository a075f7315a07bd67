"""The code's structure: allowed imports, no cycles, fast verbs, short files."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import ROOT
from tools import structure

ROOMS = (*structure.PRODUCT, "benchmarks", "tests", "tools")
MAX_FUNCTION_LINES = 65


@cache
def modules() -> dict[str, Path]:
    """Map dotted names to all Python files of the packages."""
    found = {}
    for path in (p for room in ROOMS for p in (ROOT / room).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def statements(node: ast.AST, *, inside_functions: bool) -> Iterator[ast.AST]:
    """Yield all nodes below a node.

    Without `inside_functions`, only those that run when the module is imported.
    """
    for child in ast.iter_child_nodes(node):
        if inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from statements(child, inside_functions=inside_functions)


def imports(name: str, *, inside_functions: bool = True) -> set[str]:
    """List the modules that a module imports.

    `from package import module` counts as the module.
    """
    found = set()
    for node in statements(tree(name), inside_functions=inside_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{name} imports relatively"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {n if n in modules() else node.module for n in inner}
    return found


def room(module: str) -> str:
    return module.split(".")[0]


FORBIDDEN = {
    "trainables": {"stepstone", "study", "search_spaces", "dashboards", "benchmarks", "tests", "tools"},
    "search_spaces": {"stepstone", "study", "dashboards", "benchmarks", "tests", "tools"},
    "dashboards": {"stepstone", "study", "trainables", "search_spaces", "benchmarks", "tests", "tools"},
    "study": {"stepstone", "benchmarks", "tests", "tools"},
    "stepstone": {"benchmarks", "tests", "tools"},
}


def test_all_rooms_are_looked_at() -> None:
    assert {room(name) for name in modules()} >= {*structure.PRODUCT, "tests"} and len(modules()) > 40


def test_no_module_imports_against_the_direction() -> None:
    for name in (n for n in modules() if room(n) in FORBIDDEN):
        assert not {i for i in imports(name) if room(i) in FORBIDDEN[room(name)]}, name


def test_spaces_know_recipes_and_nothing_else_of_the_training() -> None:
    allowed = {"trainables.recipe", "trainables.objectives", "trainables.profiles", "trainables.errors"}
    for name in modules():
        if room(name) == "search_spaces":
            assert {i for i in imports(name) if room(i) == "trainables"} <= allowed, name


def test_no_modules_import_each_other() -> None:
    graph = {name: imports(name, inside_functions=False) & modules().keys() for name in modules()}
    assert structure.cycle(graph) == []


@pytest.mark.parametrize(
    "verb", ["launch", "report", "status", "resume", "sync", "submission", "score", "doctor", "gc", "cli"]
)
def test_a_verb_starts_without_loading_what_only_training_needs(verb: str) -> None:
    code = f"import study.{verb}, sys, json; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    heavy = {"torch", "ray", "mlflow", "transformers", "datasets", "sklearn", "scipy", "optuna", "seqeval", "pandas"}
    assert not heavy & set(json.loads(said))


def test_functions_can_be_read_at_once() -> None:
    for name in (n for n in modules() if room(n) != "tests"):
        for node in statements(tree(name), inside_functions=True):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno + 1 <= MAX_FUNCTION_LINES, f"{name}.{node.name}"


def test_every_module_says_what_it_is_for() -> None:
    silent = [n for n, path in modules().items() if path.stat().st_size and not ast.get_docstring(tree(n))]
    assert [name for name in silent if room(name) != "tests"] == []


def test_packages_import_one_way_and_the_page_shows_how() -> None:
    edges = structure.graph()
    assert structure.cycle(edges) == []
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert f"```text\n{structure.drawn(edges)}\n```" in page, "python -m tools.structure --graph"
    assert len(page.splitlines()) <= 150


def test_every_file_that_the_page_names_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)", page)
    assert len(links) > 40
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
