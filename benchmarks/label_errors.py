"""Plants label errors in real images, and counts how many of them are found.

    python benchmarks/label_errors.py --home DIR --work /tmp/label-errors

DIR has `datasets/car_vs_bicycle`, `datasets/cifar-10-batches-bin` and
`weights/mobilenet_v2-features-imagenet.pth`. A share of all images gets another label. Then a
linear classifier on MobileNetV2's frozen features is cross-validated, and its out-of-fold
predictions are searched by confident learning, as `isotune show label-errors` does. The same call
goes on where the last one stopped. Writes benchmarks/results/label-errors.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import isotune
from isotune.reports.label_errors import LabelErrors
from isotune.reports.numbers import percent
from isotune.reports.tables import Table

RESULTS = Path(__file__).parent / "results" / "label-errors.md"
SHARE = 0.05
FOLDS = 5
SEEDS = (0, 1, 2)
RECORD = 1 + 3072
"""Bytes of an image in CIFAR-10's files: its label, then its pixels."""


@dataclass(frozen=True)
class Case:
    """A dataset in which errors are planted.

    Attributes:
        name: Of the dataset, for people.
        folder: Its folder in ``datasets``.
        dataset: Its fields in a spec, without the path.
        side: Width and height at which the network sees an image.
        epochs: Number of epochs of a fold.
        plant: Plants errors in a copy of the dataset, given its folder and a seed; returns the
            identities of these images.
    """

    name: str
    folder: str
    dataset: dict[str, Any]
    side: int
    epochs: int
    plant: Callable[[Path, int], set[str]]


def plant_in_folders(folder: Path, seed: int) -> set[str]:
    """Moves images into the folder of another class."""
    images = sorted(folder.glob("*/*/*"))
    classes = sorted({image.parent.name for image in images})
    rng, planted = np.random.default_rng(seed), set()
    for number in rng.choice(len(images), round(SHARE * len(images)), replace=False).tolist():
        image = images[number]
        others = [name for name in classes if name != image.parent.name]
        name = f"{image.parent.name}-{image.name}"
        moved = image.parents[1] / str(rng.choice(others)) / name
        image.rename(moved)
        planted.add(str(moved))
    return planted


def plant_in_records(folder: Path, seed: int) -> set[str]:
    """Changes labels in CIFAR-10's files."""
    files = sorted(folder.glob("*_batch*.bin"))
    records = [np.fromfile(file, np.uint8).reshape(-1, RECORD) for file in files]
    places = [(file, row) for file, each in enumerate(records) for row in range(len(each))]
    rng, planted = np.random.default_rng(seed), set()
    for number in rng.choice(len(places), round(SHARE * len(places)), replace=False).tolist():
        file, row = places[number]
        records[file][row, 0] = (records[file][row, 0] + rng.integers(1, 10)) % 10
        planted.add(f"{files[file]}[{row}]")
    for file, each in zip(files, records, strict=True):
        each.tofile(file)
    return planted


CASES = {
    "cars": Case("cars and bicycles", "car_vs_bicycle", {}, 224, 10, plant_in_folders),
    "cifar": Case(
        "CIFAR-10, a subset", "cifar-10-batches-bin", {"format": "cifar10"}, 128, 10,
        plant_in_records,
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, default=os.environ.get("ISOTUNE_HOME"), required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--case", choices=CASES, action="append")
    options = parser.parse_args()
    os.environ["ISOTUNE_HOME"] = str(options.work / "home")
    columns = ["seed", "images", "planted", "accuracy", "suspects", "found", "precision", "recall"]
    table = Table(["dataset", *columns, "precision of as many as planted"])
    for name in options.case or CASES:
        for seed in SEEDS:
            table.add(*measured(CASES[name], seed, options))
            print(table.plain(), flush=True)
    RESULTS.write_text(page(table))


def measured(case: Case, seed: int, options: argparse.Namespace) -> Sequence[object]:
    """Plants errors and searches them; returns a row of the table."""
    work = options.work / f"{case.folder}-{seed}"
    images, output, listed = work / "images", work / "folds", work / "planted.json"
    if not listed.exists():
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(options.home / "datasets" / case.folder, images)
        listed.write_text(json.dumps(sorted(case.plant(images, seed))))
    planted = set(json.loads(listed.read_text()))
    spec = experiment(case, images, options.home)
    result = isotune.cross_validate(
        spec, folds=FOLDS, seed=seed, backend=options.backend, output=output
    )
    errors = result.label_errors()
    accuracy = (result.predictions.predicted == result.predictions.labels).mean()
    return [case.name, seed, *figures(errors, planted, float(accuracy))]


def experiment(case: Case, images: Path, home: Path) -> dict[str, Any]:
    """Returns the spec of a fold."""
    weights = home / "weights" / "mobilenet_v2-features-imagenet.pth"
    side = [{"resize": [case.side, case.side]}]
    return {
        "name": "planted",
        "dataset": {**case.dataset, "path": str(images)},
        "transforms": {"train": side, "val": side},
        "batch_size": 32,
        "backbone": {"name": "mobilenet_v2", "weights": str(weights)},
        "freeze": "backbone",
        "optimizer": {"name": "adam", "lr": 0.001},
        "schedule": "cosine",
        "epochs": case.epochs,
    }


def figures(errors: LabelErrors, planted: set[str], accuracy: float) -> Sequence[object]:
    """Returns the figures of a search."""
    hits = [suspect.identity in planted for suspect in errors.suspects]
    found, first = sum(hits), hits[: len(planted)]
    return [
        f"{len(errors.source):,}",
        len(planted),
        percent(accuracy),
        len(hits),
        found,
        percent(found / len(hits)),
        percent(found / len(planted)),
        percent(sum(first) / len(planted)),
    ]


def page(table: Table) -> str:
    """Returns the results as Markdown."""
    return f"""# Label errors

{SHARE:.0%} of all images got another label at random. `isotune cross-validate` with {FOLDS} folds
trained a linear classifier on MobileNetV2's frozen features; `isotune show label-errors` searched
the out-of-fold predictions. *Accuracy* is that of these predictions, by the labels with errors;
*precision* is the share of suspects that were planted, *recall* the share of planted errors that
are suspects. The last column looks at the first suspects only, as many as were planted. Errors that
the datasets had before count as wrong suspects.

{table.markdown()}

Made by `python benchmarks/label_errors.py --home DIR --work DIR`.
"""


if __name__ == "__main__":
    main()
