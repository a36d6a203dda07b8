"""Compares transforms with torchvision's on photos: how far apart, and how fast.

    python benchmarks/transforms.py --home DIR

DIR has `datasets/hymenoptera_data`. The cases are those of `transform_cases.py`. Writes
benchmarks/results/transforms.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from transform_cases import CASES, Case

from isotune.data.sources.folder import FolderSource
from isotune.equivalence.machine import describe_machine
from isotune.interfaces.versions import versions
from isotune.reports.tables import Table

RESULTS = Path(__file__).parent / "results" / "transforms.md"
IMAGES = 24
ROUNDS = 11


@dataclass(frozen=True)
class Comparison:
    """A transform beside torchvision's.

    Attributes:
        largest: Largest difference of a value, in levels of 255.
        share: Share of values that differ.
        seconds: Median seconds an image, ours and torchvision's.
        ratios: Our time over torchvision's, of each round.
    """

    largest: int
    share: float
    seconds: tuple[float, float]
    ratios: list[float]


def compare(case: Case, images: Sequence[Image.Image]) -> Comparison:
    """Applies a transform and torchvision's, with the same numbers, to all images in rounds.

    Each round times one side on every image and then the other, the next round in the other order.
    Time is the processor time of the thread.
    """
    pairs = list(zip(images, case.drawn(images), strict=True))
    largest, differing, values = 0, 0, 0
    for image, operation in pairs:
        ours = np.asarray(operation.apply(image)).astype(np.int16)
        difference = np.abs(ours - np.asarray(case.theirs(image, operation)))
        largest = max(largest, int(difference.max()))
        differing += np.count_nonzero(difference)
        values += difference.size

    def mine() -> float:
        return seconds(lambda image, operation: operation.apply(image), pairs)

    def theirs() -> float:
        return seconds(case.theirs, pairs)

    rounds = []
    for number in range(ROUNDS):
        if number % 2:
            second, first = theirs(), mine()
        else:
            first, second = mine(), theirs()
        rounds.append((first, second))
    medians = [statistics.median(side) / len(pairs) for side in zip(*rounds, strict=True)]
    ratios = [first / second for first, second in rounds]
    return Comparison(largest, differing / values, (medians[0], medians[1]), ratios)


def seconds(apply: Callable[[Any, Any], Any], pairs: Sequence[tuple[Any, Any]]) -> float:
    begin = time.thread_time()
    for image, operation in pairs:
        apply(image, operation)
    return time.thread_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("ISOTUNE_HOME", ".")))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", default="", help="text that the names of the cases contain")
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = FolderSource(options.home / "datasets" / "hymenoptera_data", "val")
    images = [source.load(index) for index in range(0, len(source), len(source) // IMAGES)][:IMAGES]
    differences = ("largest difference", "values that differ")
    times = ("Isotune, ms", "torchvision, ms", "ratio", "smallest to largest")
    table = Table(["transform", *differences, *times])
    for case in CASES:
        if options.only in case.name:
            found = compare(case, images)
            table.add(*cells(case, found))
            print(case.name, *cells(case, found)[1:], flush=True)
    options.results.write_text(page(table, len(images)), "utf-8")


def cells(case: Case, found: Comparison) -> list[str]:
    """Returns a row of the table."""
    item = yaml.safe_dump(case.item, default_flow_style=True, width=1000, sort_keys=False)
    share = f"{found.share:.1e}" if found.share else "none"
    ratio = statistics.median(found.ratios)
    return [
        f"`{item.strip().removesuffix('...').strip()}`",
        str(found.largest),
        share,
        *(f"{each * 1000:.3f}" for each in found.seconds),
        f"{ratio:.2f}",
        f"{min(found.ratios):.2f} to {max(found.ratios):.2f}",
    ]


def page(table: Table, images: int) -> str:
    """Returns the page as Markdown."""
    machine = describe_machine()
    packages = {**versions(), **{name: version(name) for name in ("torch", "torchvision")}}
    with_versions = ", ".join(f"{name} {number}" for name, number in packages.items())
    parts = (
        "# Transforms",
        "Made by `benchmarks/transforms.py`, on"
        f" {machine['cpus']} cores ({machine['cpu']}, {machine['system']}; {with_versions}).",
        f"Each transform and torchvision's function with the same numbers, on {images} photos of"
        " about 500 x 375 pixels; of trivial_augment_wide each operation, of the magnitude in the"
        " middle. A difference is in levels of 255. Times are processor time of one"
        f" thread, without drawing the numbers: medians of {ROUNDS} rounds over all photos, which"
        " alternate between the two. A ratio below 1 means that Isotune is faster.",
        table.markdown(),
    )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
