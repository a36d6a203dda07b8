"""Trains on ants and bees in one process and in two: accuracies, losses and times, in pairs.

    python benchmarks/processes_real.py --home DIR --backend torch --mode finetune

DIR is a folder with ``datasets/hymenoptera_data`` and ``weights/``. MobileNetV2, SGD with momentum,
two shards; ``frozen`` trains the head alone, on features that are computed once, and ``finetune``
everything. Pairs are in alternating order, each run in an empty home. Every pair is added to
benchmarks/results/processes-real.json, of which the page beside it is made.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from every_format import lines, outcome, same
from pairs import RESULTS, installed_versions
from processes import run

from isotune.equivalence.machine import describe_machine
from isotune.reports.tables import Table

WEIGHTS = "mobilenet_v2-features-imagenet.pth"
COUNTS = (1, 2)
Record = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--home", type=Path, default=os.environ.get("ISOTUNE_HOME"))
    parser.add_argument("--backend", choices=("torch", "mindspore"), required=True)
    parser.add_argument("--mode", choices=("finetune", "frozen"), required=True)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS / "processes-real.json")
    options = parser.parse_args()
    results = options.results
    found = json.loads(results.read_text("utf-8")) if results.exists() else {}
    name = f"{options.backend}, {options.mode}, {options.size} pixels, {options.epochs} epochs"
    for number in range(options.pairs):
        found.setdefault(name, []).append(pair(options, COUNTS if number % 2 else COUNTS[::-1]))
        results.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        results.with_suffix(".md").write_text(page(found), "utf-8")
        print(name, found[name][-1], flush=True)


def pair(options: argparse.Namespace, order: tuple[int, ...]) -> Record:
    """Trains once in each number of processes, in this order."""
    with tempfile.TemporaryDirectory(prefix="isotune-real-") as name:
        work = Path(name)
        (work / "spec.yaml").write_text(yaml.safe_dump(experiment(options)), "utf-8")
        figures = {str(processes): trained(options, work, processes) for processes in order}
        one, two = (outcome(work / f"run-{processes}") for processes in COUNTS)
        return {**figures, "same": same(one, two)}


def trained(options: argparse.Namespace, work: Path, processes: int) -> Record:
    """Trains in so many processes and returns seconds and the last metrics."""
    folder = work / f"run-{processes}"
    command = [sys.executable, "-m", "isotune", "run", str(work / "spec.yaml")]
    command += ["--backend", options.backend, "--device", "cpu", "--output", str(folder)]
    command += ["--processes", str(processes)]
    ended = run(command, {"ISOTUNE_HOME": str(work / f"home-{processes}")})
    metrics = lines(folder / "metrics.jsonl")
    return {
        "wall": ended.wall,
        "training": sum(each["train_seconds"] for each in metrics),
        "val_loss": metrics[-1]["val_loss"],
        "train_loss": metrics[-1]["train_loss"],
        "val_accuracy": max(each["val_accuracy"] for each in metrics),
    }


def experiment(options: argparse.Namespace) -> Record:
    """Returns the tutorial's spec, with two shards."""
    side, home = options.size, options.home.resolve()
    transforms: Record = {
        "train": [{"random_resized_crop": side}, "random_horizontal_flip"],
        "val": [{"resize": side * 256 // 224}, {"center_crop": side}],
    }
    return {
        "name": "real",
        "dataset": {"path": str(home / "datasets" / "hymenoptera_data")},
        "transforms": {**transforms, **({"train": transforms["val"]} if frozen(options) else {})},
        "batch_size": 16,
        "shards": 2,
        "backbone": {"name": "mobilenet_v2", "weights": str(home / "weights" / WEIGHTS)},
        "freeze": "backbone" if frozen(options) else "none",
        "optimizer": {"name": "sgd", "lr": 0.01 if frozen(options) else 0.005, "momentum": 0.9},
        "epochs": options.epochs,
    }


def frozen(options: argparse.Namespace) -> bool:
    return bool(options.mode == "frozen")


def page(found: dict[str, list[Record]]) -> str:
    """Returns the page as Markdown."""
    machine: Record = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    columns = ("run", "processes", "val loss", "val accuracy", "training, s", "whole command, s")
    table = Table((*columns, "ratio", "range", "pairs", "same"), [*["left"], *["right"] * 9])
    for name, pairs in found.items():
        for count in map(str, COUNTS):
            sides = [each[count] for each in pairs]
            ratios = [each[count]["wall"] / each["1"]["wall"] for each in pairs]
            table.add(
                *(name, count, f"{sides[0]['val_loss']:.6f}", f"{sides[0]['val_accuracy']:.4f}"),
                *(
                    f"{statistics.median(s[key] for s in sides):.1f}"
                    for key in ("training", "wall")
                ),
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f} to {max(ratios):.2f}",
                len(pairs),
                "yes" if all(each["same"] for each in pairs) else "NO",
            )
    return (
        "# Ants and bees in two processes\n\nMade by `benchmarks/processes_real.py`: MobileNetV2"
        " with ImageNet weights, batches of 16 images in two shards, SGD with momentum. Medians of"
        " pairs in alternating order. `ratio`: of the whole command, to one process. For the sake"
        " of the same bytes, one process with PyTorch computes with one thread, too: a shard's"
        " share of the two cores. So two processes gain what one with shards leaves unused;"
        " MindSpore uses both cores in one process, and two gain nothing on this machine."
        " `same`: all checkpoints, all metrics except times and all images"
        f" are the same bytes. {machine['cpus']} cores ({machine['cpu']}, {machine['system']};"
        f" {packages}).\n\n{table.markdown()}\n"
    )


if __name__ == "__main__":
    main()
