"""Trains on pairs of CIFAR-10 images, which have two labels, with both backends.

    python benchmarks/multi_label.py CIFAR --weights mobilenet_v2-features-imagenet.pth

CIFAR is the folder of CIFAR-10's binary files. Two images of a split lie side by side, so that the
labels are those of both; pairs of the same class have one. A frozen MobileNetV2 with a new head,
and the whole of it on a fifth of the images, are trained by each backend. Metrics are compared with
scikit-learn's, and the backends with each other; the tables are written to
benchmarks/results/multi-label.md.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pairs import installed_versions
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score

import isotune
import isotune_torch.trainer
from isotune.data.images import open_split
from isotune.equivalence.machine import describe_machine
from isotune.experiment.result import Run
from isotune.metrics.average_precision import average_precisions
from isotune.reports.tables import Table
from isotune.spec.load import load_spec
from isotune.training.evaluation import MultiLabelEvaluation

RESULTS = Path(__file__).parent / "results"
BACKENDS = ("torch", "mindspore")
SIDE = 32
WHOLE, FROZEN = "whole model", "frozen backbone"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--train", type=int, default=1000, help="number of training images")
    parser.add_argument("--val", type=int, default=500, help="number of validation images")
    parser.add_argument("--results", type=Path, default=RESULTS / "multi-label.md")
    parser.add_argument("--only", choices=(FROZEN, WHOLE), help="by default both are trained")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for kind, train in {FROZEN: options.train, WHOLE: options.train // 5}.items():
            if options.only not in (None, kind):
                continue
            sizes = {"train": train, "val": options.val}
            table = make_pairs(options.cifar, Path(folder, f"{kind} pairs"), sizes)
            found = {
                backend: trained(kind, backend, table, options.weights, Path(folder, kind, backend))
                for backend in BACKENDS
            }
            parts.append(section(kind, found))
            if kind == WHOLE:
                with contiguous():
                    output = Path(folder, kind, "contiguous")
                    other = trained(kind, "torch", table, options.weights, output)
                text = difference(found["torch"], other)
                parts[-1] += f"\ntorch against itself with convolutions in another order: {text}.\n"
            print(parts[-1], flush=True)
    options.results.write_text(page(parts, options.train, options.val), "utf-8")


def make_pairs(cifar: Path, folder: Path, sizes: dict[str, int]) -> Path:
    """Writes pairs of images and a table of them; returns the table."""
    folder.mkdir()
    spec = experiment({"format": "cifar10", "path": str(cifar)}, Path("none"), FROZEN)
    dataset = load_spec(spec).dataset
    rows = [("image", "labels", "split")]
    for number, (split, size) in enumerate(sizes.items()):
        names = dataset.splits.train if split == "train" else dataset.splits.val
        source = open_split(dataset, names)
        chosen = np.random.default_rng(number).permutation(len(source))[: 2 * size]
        for row, (left, right) in enumerate(chosen.reshape(size, 2).tolist()):
            pair = Image.new("RGB", (2 * SIDE, SIDE))
            pair.paste(source.load(left), (0, 0))
            pair.paste(source.load(right), (SIDE, 0))
            file = f"{split}-{row:05d}.png"
            pair.save(folder / file)
            labels = dict.fromkeys((*source.label_names(left), *source.label_names(right)))
            rows.append((file, ";".join(labels), split))
    table = folder / "pairs.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return table


def experiment(dataset: dict[str, Any], weights: Path, kind: str) -> dict[str, Any]:
    """Returns the spec of a kind of training."""
    frozen = kind == FROZEN
    resize = {"resize": [64, 128]}
    return {
        "name": "pairs",
        "dataset": dataset,
        "transforms": {
            "train": [resize] if frozen else [resize, "random_horizontal_flip"],
            "val": [resize],
        },
        "backbone": {"name": "mobilenet_v2", "weights": str(weights)},
        "freeze": "backbone" if frozen else "none",
        "batch_size": 20,
        "optimizer": {"name": "sgd", "lr": 0.05 if frozen else 0.001, "momentum": 0.9},
        "epochs": 20 if frozen else 1,
        "seed": 1,
    }


def trained(kind: str, backend: str, table: Path, weights: Path, folder: Path) -> dict[str, Any]:
    """Trains; returns the run, its evaluation and the seconds that training took."""
    dataset = {"format": "table", "path": str(table), "targets": "multi_label"}
    begin = time.perf_counter()
    run = isotune.run(
        experiment(dataset, weights.resolve(), kind), backend=backend, device="cpu", output=folder
    )
    seconds = time.perf_counter() - begin
    return {"run": run, "found": run.evaluate(), "seconds": seconds}


def section(kind: str, trained: dict[str, dict[str, Any]]) -> str:
    """Returns what a kind of training came to, as Markdown."""
    runs: list[Run] = [each["run"] for each in trained.values()]
    found: list[MultiLabelEvaluation] = [each["found"] for each in trained.values()]
    spec = runs[0].spec
    metrics = Table(["metric", *trained, "difference"])
    for name in found[0].metrics:
        values = [each.metrics[name] for each in found]
        add(metrics, name, values, ".6f")
    for name, truth in (("mAP", sklearn_map), ("macro F1", sklearn_f1)):
        add(metrics, f"scikit-learn's {name}", [truth(each) for each in found], ".6f")
    ours = [each.metrics["mean_average_precision"] for each in found]
    theirs = [sklearn_map(each) for each in found]
    gaps = [f"{abs(one - other):.1e}" for one, other in zip(ours, theirs, strict=True)]
    metrics.add("mAP less scikit-learn's", *gaps, "")
    metrics.add("seconds", *(f"{each['seconds']:.0f}" for each in trained.values()), "")
    classes = Table(["class", "images", "predicted", "AP", "threshold", "AP's difference"])
    areas = [average_precisions(each) for each in found]
    for label, name in enumerate(runs[0].classes):
        counts = [int(each[label]) for each in found[0].counts[:2]]
        limit, gap = found[0].thresholds[label], abs(areas[0][label] - areas[1][label])
        classes.add(name, *counts, f"{areas[0][label]:.4f}", f"{limit:.3g}", f"{gap:.1e}")
    steps = runs[0].best.steps // runs[0].best.epoch
    return (
        f"## {kind.capitalize()}\n\nEpochs: {spec.epochs}, of {steps} steps; learning rate"
        f" {spec.optimizer.lr:g}.\n\n"
        f"{metrics.markdown()}\n\nThe backends against each other:"
        f" {difference(*trained.values())}.\n\n"
        f"By class, with torch:\n\n{classes.markdown()}\n"
    )


def difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Returns how far two trained models are apart."""
    first, second = one["found"], other["found"]
    logits = np.abs(first.logits - second.logits).max()
    epochs = zip(one["run"].history, other["run"].history, strict=True)
    loss = max(abs(mine.train_loss - theirs.train_loss) for mine, theirs in epochs)
    flips = int((first.predicted != second.predicted).sum())
    largest = np.abs(first.logits).max()
    return (
        f"largest difference of a logit {logits:.2e} (largest logit {largest:.1f}),"
        f" of an epoch's training loss {loss:.1e}; labels predicted differently: {flips} of"
        f" {first.predicted.size:,}"
    )


@contextmanager
def contiguous() -> Iterator[None]:
    """Trains with torch in its other memory format, in which convolutions add up differently."""
    usual = isotune_torch.trainer.memory_format
    isotune_torch.trainer.memory_format = lambda device, precision: torch.contiguous_format
    try:
        yield
    finally:
        isotune_torch.trainer.memory_format = usual


def add(table: Table, name: str, values: list[float], form: str) -> None:
    table.add(name, *(format(value, form) for value in values), f"{abs(values[0] - values[1]):.1e}")


def sklearn_map(found: MultiLabelEvaluation) -> float:
    return float(average_precision_score(found.labels, found.probabilities, average="macro"))


def sklearn_f1(found: MultiLabelEvaluation) -> float:
    predicted: NDArray[np.bool_] = found.predicted
    return float(f1_score(found.positives, predicted, average="macro"))


def page(parts: list[str], train: int, val: int) -> str:
    """Returns the page."""
    machine: dict[str, Any] = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    introduction = (
        f"# Several labels an image\n\nMobileNetV2 with ImageNet weights on {train:,} pairs of"
        f" CIFAR-10 images (the whole model on a fifth of them), validated on {val:,} others, by"
        " `benchmarks/multi_label.py`."
        " `mean_average_precision` is held against scikit-learn's `average_precision_score`.\n\n"
        f"{machine['cpu']}, {machine['cpus']} CPUs; {packages}.\n"
    )
    return "\n".join([introduction, *parts])


if __name__ == "__main__":
    main()
