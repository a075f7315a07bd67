"""Pretrain the encoder that ships with the package, and write its model card.

python -m benchmarks.pocket_encoder [--home DIR] [--size pocket] [--scale 1]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import time
from pathlib import Path

import torch

import trainables.pocket
from study.execution.trial import execute_stage
from study.planning.plan import Planner
from study.store.store import Store
from trainables.catalogue import DATASETS
from trainables.configs import Pretrain
from trainables.context import Context
from trainables.recipe import Recipe
from trainables.sources import open_source
from trainables.stages import run
from trainables.training.distributed import ProcessGroup
from trainables.training.loop import Device

SHIPPED = Path(trainables.pocket.__file__).parent / "encoder"


def main() -> None:
    """Run the pretrain stage, score retrieval, and copy the encoder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", default=".stepstone", help="home of the stage")
    parser.add_argument("--size", default="pocket", help="size of the encoder, see trainables/training/pretrain.py")
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the rows and steps")
    options = parser.parse_args()
    home = Path(options.home).resolve()
    source = open_source("pocket")
    recipe = Recipe(encoder=f"pretrain:{options.size}", profile="small", targets=("tatoeba",), scale=options.scale)
    plan = Planner(source, None).plan(recipe, 1)
    node = next(n for n in plan.nodes if isinstance(n.config, Pretrain))
    evaluation = plan.nodes[-1]
    store = Store(home)
    started = time.time()

    def on_progress(step: int, steps: int, loss: float, tokens: int) -> None:
        if step and step % 250 == 0:
            print(f"step {step}/{steps}  loss {loss:.3f}  {time.time() - started:.0f} s", flush=True)

    context = Context(source, home / "encoded", Device(torch.device("cpu"), ProcessGroup()), on_progress)
    if not store.has(node.address):
        execute_stage(node, store, context, home / "pretrain.log")
    out = home / "work" / "pocket-scores"
    out.mkdir(parents=True, exist_ok=True)
    run(evaluation.config, store.folder(node.address), out, context)
    folder = store.folder(node.address) / "encoder"
    shutil.rmtree(SHIPPED, ignore_errors=True)
    shutil.copytree(folder, SHIPPED)
    card(store, node.address, out)


def card(store: Store, address: str, scores: Path) -> None:
    """Write the model card beside the shipped weights."""
    import json

    languages = json.loads((scores / "metrics.json").read_text())["languages"]
    info = store.info(address)
    weights = SHIPPED / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    shape = info["config"]["shape"]
    lines = [
        "# Pocket encoder",
        "",
        "XLM-R-shaped, made by `python -m benchmarks.pocket_encoder` from the pocket world's text and parallel sentences.",
        "It knows a few hundred words of eight languages and is of no use outside the pocket data.",
        "",
        f"- {shape['layers']} layers, width {shape['width']}, vocabulary {shape['vocabulary']}, "
        f"{weights.stat().st_size / 1e6:.1f} MB, SHA-256 of the weights `{digest}`",
        f"- masked LM, {info['summary']['steps']} steps of batch {shape['batch']}, "
        f"{shape['pair_frac']:.0%} of them on translation pairs; {info['seconds'] / 60:.0f} minutes on {os.cpu_count()} cores",
        f"- rows: {DATASETS['mlm'].title} in {', '.join(info['config']['text_languages'])}",
        "- nearest-neighbour retrieval to English: "
        + ", ".join(f"{tag} {m['accuracy']:.0f} %" for tag, m in sorted(languages.items())),
    ]
    (SHIPPED / "CARD.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
