"""Retrieval scores by layer of the encoder, for every recipe of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from study.record.record import Trial
from study.results.report_tables import LayerRow, LayerTable
from study.store.store import Store
from trainables.catalogue import dataset


def layers(trials: Sequence[Trial], store: Store) -> dict[str, LayerTable]:
    """Read scores by layer of every swept trial, by target, in percent, as means over seeds."""
    found: dict[str, LayerTable] = {}
    for trial in trials:
        for target, addresses in trial.sweeps.items():
            evaluations = trial.evaluations.get(target, ())
            if addresses and all(store.has(a) for a in (*addresses, *evaluations)):
                known = found.get(target) or LayerTable(
                    title=dataset(target).title, reads=_reads(evaluations, store), rows=()
                )
                found[target] = replace(known, rows=(*known.rows, _row(trial, addresses, store)))
    return found


def _reads(evaluations: Sequence[str], store: Store) -> int | None:
    layer = store.metrics(evaluations[0]).retrieval.get("layer") if evaluations else None
    return layer if isinstance(layer, int) else None


def _row(trial: Trial, addresses: Sequence[str], store: Store) -> LayerRow:
    sweeps = [json.loads((store.folder(a) / "layers.json").read_text()) for a in addresses]
    languages = {tag: np.mean([sweep[tag] for sweep in sweeps], axis=0).tolist() for tag in sweeps[0]}
    return LayerRow(
        name=trial.name,
        address=trial.address,
        mean=tuple(np.mean(list(languages.values()), axis=0).tolist()),
        languages={tag: tuple(scores) for tag, scores in languages.items()},
    )


def layer_tables(found: Mapping[str, LayerTable]) -> Iterator[Table]:
    """Make a terminal table per target: each recipe's score at the layer that is read and at its best layer."""
    for target in found.values():
        title = f"{target.title} by layer: at layer {target.reads}, which the matrix holds, and the best"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("recipe", overflow="fold", min_width=20)
        for name in (f"layer {target.reads}", "best", "at layer"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in target.rows:
            read = "-" if target.reads is None else f"{row.mean[target.reads]:.1f}"
            table.add_row(escape(row.name), read, f"{row.mean[row.best]:.1f}", str(row.best))
        yield table


def layer_rows(found: Mapping[str, LayerTable]) -> list[list[object]]:
    """Write CSV lines: one per recipe, target, language and layer."""
    rows: list[list[object]] = [["recipe", "address", "target", "language", "layer", "score"]]
    for name, target in found.items():
        for row in target.rows:
            for language, scores in row.languages.items():
                rows += [[row.name, row.address, name, language, layer, s] for layer, s in enumerate(scores)]
    return rows
