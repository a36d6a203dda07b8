"""Trains the same specs in 1, 2 and 4 processes and compares what they come to.

    python benchmarks/processes_equal.py --backend torch [--net lenet ...]

Every spec has augmentation, mixing, dropout, momentum, class weights, accumulation and an uneven
last batch. With four shards and the exact reduction, all files of tensors and all metrics must be
the same bytes; with one shard, which several processes compute together, the weights are compared
after one update and after the run. Every run is added to benchmarks/results/processes.json at once,
of which benchmarks/results/processes.md is made.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from every_format import Outcome, outcome
from launched import SIDE, launched
from numpy.typing import NDArray
from pairs import RESULTS, installed_versions
from PIL import Image
from safetensors.numpy import load_file

from isotune.equivalence.machine import describe_machine
from isotune.reports.tables import Table

Arrays = Mapping[str, NDArray[Any]]

PROCESSES = (1, 2, 4)
IMAGES = {"ants": 9, "bees": 12, "cats": 14}
"""Training images by class: two batches of 16, and one of 3, of whose 4 shards one is empty."""

BATCH_NORM_IMAGES = {"ants": 11, "bees": 15, "cats": 16}
"""A last batch of 10 images, with shards of 2 and 3: a single one has no batch statistics."""

LARGE = 96
"""Height and width of images for MobileNetV2, in pixels, whose last maps are then 3 x 3."""

HIDDEN = {"name": "mlp", "hidden": [16], "dropout": 0.5}
BATCH_NORMS = [
    *("features.0.1", "features.1.conv.2", "features.18.1"),
    *("features.*.conv.?.1.*", "features.*.conv.3.*"),
]
"""MobileNetV2's, which then keep their statistics while its convolutions train."""

NETS: dict[str, dict[str, Any]] = {
    "lenet": {"backbone": {"name": "lenet", "weights": "none"}, "head": HIDDEN},
    "mobilenet_v2, frozen BatchNorm": {
        "backbone": {"name": "mobilenet_v2", "weights": "none"},
        "head": HIDDEN,
        "freeze": BATCH_NORMS,
    },
    "mobilenet_v2, training BatchNorm": {"backbone": {"name": "mobilenet_v2", "weights": "none"}},
    "small_vit": {"backbone": {"name": "small_vit", "weights": "none"}, "head": HIDDEN},
}
"""Changes of the spec by name. MobileNetV2's own classifier has dropout."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", choices=("torch", "mindspore"), required=True)
    parser.add_argument("--net", action="append", choices=NETS, help="by default all")
    parser.add_argument("--weights", type=Path, help="of MobileNetV2, instead of random ones")
    parser.add_argument("--results", type=Path, default=RESULTS / "processes.json")
    options = parser.parse_args()
    results = options.results
    found = json.loads(results.read_text("utf-8")) if results.exists() else {}
    for net in options.net or NETS:
        with tempfile.TemporaryDirectory(prefix="isotune-processes-") as name:
            compared = compare(options.backend, net, Path(name), options.weights)
        found.setdefault(net, {})[options.backend] = compared
        results.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        results.with_suffix(".md").write_text(page(found), "utf-8")
        print(net, json.dumps(compared), flush=True)


def compare(backend: str, net: str, work: Path, weights: Path | None) -> dict[str, Any]:
    """Trains a net with four shards and with one, in every number of processes."""
    counts = BATCH_NORM_IMAGES if "training" in net else IMAGES
    make_images(work / "images", counts, side(net))
    exact = {
        processes: outcome(trained(backend, net, work, 4, processes, weights))
        for processes in PROCESSES
    }
    alone = trained(backend, net, work, 1, 1, weights)
    others = {
        f"{processes} processes": trained(backend, net, work, 1, processes, weights)
        for processes in PROCESSES[1:]
    }
    others["1 process, 1 thread"] = trained(backend, net, work, 1, 1, weights, threads=1)
    return {
        "sha256": {str(processes): digests(exact[processes]) for processes in PROCESSES},
        "same": all(exact[1] == each for each in exact.values()),
        "differences": {
            name: {
                "gradient": difference(run, alone, 0, "optimizer"),
                "step": difference(run, alone, 0, "model"),
                "run": difference(run, alone, -1, "model"),
            }
            for name, run in others.items()
        },
    }


def trained(
    backend: str,
    net: str,
    work: Path,
    shards: int,
    processes: int,
    weights: Path | None,
    threads: int | None = None,
) -> Path:
    """Trains a net and returns the run's folder."""
    spec, folder = work / f"{shards}.yaml", work / f"{shards}-{processes}-{threads}"
    spec.write_text(yaml.safe_dump(experiment(work / "images", net, shards, weights)), "utf-8")
    command = ["run", str(spec), "--backend", backend, "--device", "cpu", "--output", str(folder)]
    environment = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    launched(backend, processes, command, work / "home", environment)
    return folder


def experiment(images: Path, net: str, shards: int, weights: Path | None) -> dict[str, Any]:
    """Returns the spec of a run with two epochs of three batches and two updates."""
    spec = {
        "name": "processes",
        "dataset": {"path": str(images)},
        "transforms": {
            "train": [
                {"random_resized_crop": side(net)},
                "random_horizontal_flip",
                {"color_jitter": {"brightness": 0.4, "contrast": 0.4}},
            ],
            "val": [{"resize": [side(net), side(net)]}],
        },
        "batch_size": 16,
        "shards": shards,
        "mixing": {"mixup": 0.4, "cutmix": 1.0, "probability": 0.8},
        "loss": {"name": "cross_entropy", "class_weights": "balanced", "label_smoothing": 0.1},
        "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": "cosine",
        "accumulate": 2,
        "eval_batch_size": 4,
        "epochs": 2,
        "checkpoint": {"every_steps": 2, "keep": 4},
    }
    spec |= NETS[net]
    if weights is not None and "BatchNorm" in net:
        spec["backbone"] = {"name": "mobilenet_v2", "weights": str(weights)}
    return spec


def side(net: str) -> int:
    """Returns the height and width of images, in pixels."""
    return LARGE if "BatchNorm" in net else SIDE


def make_images(folder: Path, counts: Mapping[str, int], side: int = SIDE) -> None:
    """Writes noise around a brightness of the class's own: PNG images, and 3 to validate a class.

    They are larger than what is cropped from them.
    """
    generator = np.random.default_rng(0)
    for position, (name, count) in enumerate(counts.items()):
        for split, images in (("train", count), ("val", 3)):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(images):
                pixels = generator.normal(70 + 60 * position, 40, (side + 8, side + 4, 3))
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(place / f"{number}.png")


def digests(result: Outcome) -> dict[str, str]:
    """Returns the SHA-256 of the last checkpoint's files, and of all metrics except times."""
    last = max(result["sha256"], key=checkpoint_step).rpartition("/")[0]
    metrics = json.dumps(result["metrics"]).encode()
    return {
        "model": result["sha256"][f"{last}/model.safetensors"],
        "optimizer": result["sha256"][f"{last}/optimizer.safetensors"],
        "metrics": hashlib.sha256(metrics).hexdigest(),
    }


def checkpoint_step(path: str) -> int:
    """Returns the number of training steps before a checkpoint, of three an epoch."""
    name = next(part for part in path.split("/") if part.startswith(("epoch-", "step-")))
    kind, _, number = name.partition("-")
    return int(number) * (3 if kind == "epoch" else 1)


def difference(first: Path, second: Path, position: int, file: str) -> tuple[float, float]:
    """Returns how far tensors of two runs are apart.

    Args:
        first: Folder of a run.
        second: Folder of another run.
        position: Which of the checkpoints: 0 is after the first update, -1 the last.
        file: `model` or `optimizer`. The momentum after the first update is its gradient.

    Returns:
        The Euclidean norm of the difference of all values, relative to that of all values; the
        largest difference of a value, relative to the largest value of its tensor.
    """

    def arrays(folder: Path) -> Arrays:
        paths = sorted(
            folder.glob(f"checkpoints/*/{file}.safetensors"),
            key=lambda path: checkpoint_step(path.as_posix()),
        )
        return load_file(paths[position])

    found, expected = arrays(first), arrays(second)
    assert found.keys() == expected.keys()
    differences = {name: found[name] - value for name, value in expected.items()}
    norm = sum(float(np.square(each, dtype=np.float64).sum()) for each in expected.values())
    squares = sum(float(np.square(each, dtype=np.float64).sum()) for each in differences.values())
    largest = max(
        float(np.abs(each).max() / max(np.abs(expected[name]).max(), 1e-12))
        for name, each in differences.items()
    )
    return float(np.sqrt(squares / norm)), largest


def page(found: dict[str, dict[str, Any]]) -> str:
    """Returns the page as Markdown."""
    kinds = ("model", "optimizer", "metrics")
    hashes = Table(("net", "backend", "processes", *kinds, "same bytes"), ["left"] * 7)
    columns = ("net", "backend", "compared with 1 process", "gradient", "weights, a step")
    shared = Table((*columns, "weights, the run"), [*["left"] * 3, *["right"] * 3])
    for net, backends in found.items():
        for backend, result in backends.items():
            for number, each in result["sha256"].items():
                same = "yes" if each == result["sha256"]["1"] and result["same"] else "NO"
                hashes.add(net, backend, number, *(each[kind][:16] for kind in kinds), same)
            for name, each in result["differences"].items():
                pairs = (each["gradient"], each["step"], each["run"])
                shared.add(net, backend, name, *(f"{all_:.0e}, {one:.0e}" for all_, one in pairs))
    machine: dict[str, Any] = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    return (
        "# The same run in 1, 2 and 4 processes\n\nMade by `benchmarks/processes_equal.py`:"
        f" {SIDE} x {SIDE} pixels and random weights, for MobileNetV2 {LARGE} x {LARGE} pixels and"
        " those of `--weights`, if given; 2 epochs of 3 batches of 16 images, the"
        " last one smaller, with random crops, flips and colors, mixing, dropout, SGD with"
        " momentum, class weights, label smoothing and 2 batches an update. Every run is a start of"
        f" its own processes. {machine['cpus']} cores ({machine['cpu']}, {machine['system']};"
        f" {packages}).\n\n## Four shards, exact\n\nFirst digits of the SHA-256 of the last"
        " checkpoint's files, and of all metrics except times. `same bytes`: those, the files of"
        " all other checkpoints of the run, and the list of images.\n\n"
        f"{hashes.markdown()}\n\n## One shard, computed together\n\nHow far the gradient of the"
        " first update, the weights after it, and the weights after the run (4 updates) are from"
        " those of one process: the norm of the difference relative to that of all values,"
        " and the largest difference of a value relative to the largest one of its tensor. One"
        " thread instead of two changes the rounding in the same way, and shows what it grows to:"
        " gradients of MobileNetV2 with batch statistics of 16 images are that sensitive.\n\n"
        f"{shared.markdown()}\n"
    )


if __name__ == "__main__":
    main()
