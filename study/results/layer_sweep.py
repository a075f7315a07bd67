"""Retrieval by layer: which of the encoder's hidden states finds translations best, for every recipe of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from study.record.record import Trial
from study.store.store import Store
from trainables.catalogue import dataset

Report = Mapping[str, Any]


def layers(trials: Sequence[Trial], store: Store) -> dict[str, Any]:
    """target -> the layer that is reported, and for every swept trial its scores by layer, in percent, means over seeds.

    A trial's `languages` hold one number for each of the encoder's hidden states, 0 being the embeddings; `mean` is
    over languages.
    """
    found: dict[str, Any] = {}
    for trial in trials:
        for target, addresses in trial.sweeps.items():
            if not (addresses and all(store.has(a) for a in (*addresses, *trial.evaluations.get(target, ())))):
                continue
            sweeps = [json.loads((store.folder(a) / "layers.json").read_text()) for a in addresses]
            languages = {tag: np.mean([s[tag] for s in sweeps], axis=0).tolist() for tag in sweeps[0]}
            mean = np.mean(list(languages.values()), axis=0).tolist()
            about = (
                store.metrics(trial.evaluations[target][0]).get("retrieval", {}) if target in trial.evaluations else {}
            )
            rows = found.setdefault(target, {"title": dataset(target).title, "reads": about.get("layer"), "rows": []})
            rows["rows"].append({"name": trial.name, "address": trial.address, "mean": mean, "languages": languages})
    return found


def layer_tables(report: Report) -> Iterator[Table]:
    """For a terminal: each recipe's score at the layer that is read and at its best layer, one table per target."""
    for target in report.get("layers", {}).values():
        title = f"{target['title']} by layer: at layer {target['reads']}, which the matrix holds, and the best"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("recipe", overflow="fold", min_width=20)
        for name in (f"layer {target['reads']}", "best", "at layer"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in target["rows"]:
            best = int(np.argmax(row["mean"]))
            read = "-" if target["reads"] is None else f"{row['mean'][target['reads']]:.1f}"
            table.add_row(escape(row["name"]), read, f"{row['mean'][best]:.1f}", str(best))
        yield table


def layer_rows(report: Report) -> list[list[Any]]:
    """For a CSV file: one line per recipe, target, language and layer."""
    rows: list[list[Any]] = [["recipe", "address", "target", "language", "layer", "score"]]
    for name, target in report.get("layers", {}).items():
        for row in target["rows"]:
            for language, scores in row["languages"].items():
                rows += [[row["name"], row["address"], name, language, layer, s] for layer, s in enumerate(scores)]
    return rows
