"""Checks for third parties: our implementations pass, violations are found."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from search_spaces import space
from search_spaces.space import SpaceContext
from stepstone.testing import check_source, check_space, check_store, check_tracker
from study.record.record import Record, Trial
from study.store.store import Store
from study.tracking.mlflow import MlflowView
from study.tracking.mlflow_store import default_uri
from tests import ROOT
from trainables.catalogue import dataset
from trainables.recipe import Recipe
from trainables.sources import Source, open_source


def test_a_store_passes_with_and_without_a_url(tmp_path: Path) -> None:
    check_store(lambda: Store(tmp_path / "alone"))
    check_store(lambda: Store(tmp_path / "shared", (tmp_path / "url").as_uri()))


@pytest.mark.slow
def test_the_pocket_source_passes(source: Source) -> None:
    check_source(source)


def test_a_mirror_passes(tmp_path: Path) -> None:
    table = pa.table({"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [0, 1]})
    for split in ("test", "validation"):
        for language in ("de", "en"):
            path = tmp_path / "facebook/xnli" / language / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)
    check_source(open_source(f"mirror:{tmp_path}"))
    with pytest.raises(AssertionError, match="has none of the datasets"):
        check_source(open_source(f"mirror:{tmp_path}"), [dataset("pawsx")])


def _no_baseline(context: SpaceContext) -> list[dict[str, Any]]:
    return list(space("intermediate_tasks").published(context))[1:]


def _forgetful() -> Callable[[Any, SpaceContext], Recipe]:
    calls = iter(range(10**6))

    def recipe(suggest: Any, context: SpaceContext) -> Recipe:
        made = space("intermediate_tasks").recipe(suggest, context)
        return made if made.is_baseline else replace(made, steps=next(calls))

    return recipe


BROKEN: dict[str, dict[str, Any]] = {
    "question mark": {"question": "An answer."},
    "the first published row is the baseline": {"published": _no_baseline},
    "gave another recipe": {"recipe": _forgetful()},
    "a recipe of another study": {"comparison_rows": lambda context: [Recipe(encoder="other", **_fixed(context))]},
    "outside of": {"published": lambda context: [_with_far_epochs(row) for row in _rows(context)]},
}


def _fixed(context: SpaceContext) -> dict[str, Any]:
    return {"profile": context.profile, "targets": context.targets, "scale": context.scale}


def _rows(context: SpaceContext) -> list[dict[str, Any]]:
    return list(space("intermediate_tasks").published(context))


def _with_far_epochs(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "epochs": 99.0} if "epochs" in row else dict(row)


@pytest.mark.parametrize("message", BROKEN)
def test_a_space_that_breaks_a_rule_is_found(message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_space(replace(space("intermediate_tasks"), **BROKEN[message]))


def tracked(home: Path) -> tuple[Record, Store, Callable[[], MlflowView], Callable[[str], Mapping[str, float]]]:
    """Copy the finished study, and open its view in a new MLflow store."""
    shutil.copytree(ROOT / "tests" / "homes" / "finished", home)
    record, store = Record(home, "finished"), Store(home)

    def metrics_of(run: str) -> Mapping[str, float]:
        client: Any = MlflowView(default_uri(home), record, store).client
        found: Mapping[str, float] = client.get_run(run).data.metrics
        return found

    return record, store, lambda: MlflowView(default_uri(home), record, store), metrics_of


def test_mlflow_passes(tmp_path: Path) -> None:
    record, store, view, metrics_of = tracked(tmp_path / "home")
    check_tracker(view, metrics_of, record, store)


def test_a_tracker_that_breaks_a_rule_is_found(tmp_path: Path) -> None:
    record, store, view, metrics_of = tracked(tmp_path / "home")

    class Doubling:
        """A tracker that begins a run at every write."""

        def write_trial(self, trial: Trial, gains: Mapping[str, float] | None = None) -> str:
            """Return another id each time."""
            return uuid4().hex

    with pytest.raises(AssertionError, match="written again has another run"):
        check_tracker(Doubling, metrics_of, record, store)
    with pytest.raises(AssertionError, match="tatoeba/de/accuracy"):
        check_tracker(view, lambda run: defaultdict(float, {"gain": 1.5}), record, store)


class Leaky(Store):
    """A store that reports every stage as finished."""

    def has(self, address: str) -> bool:
        """Return True always."""
        return True


def test_a_store_that_breaks_a_rule_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the store begins empty"):
        check_store(lambda: Leaky(tmp_path))


class Unsteady:
    """A source whose fingerprints change."""

    def __init__(self, source: Source) -> None:
        self.source, self.calls = source, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def fingerprint(self, *_: Any) -> str:
        """Return another hash each time."""
        self.calls += 1
        return f"{self.calls:064x}"


def test_a_source_that_breaks_a_rule_is_found(source: Source) -> None:
    unsteady: Any = Unsteady(source)
    with pytest.raises(AssertionError, match="its fingerprint changes"):
        check_source(unsteady, [dataset("xnli")])
