"""Plants near duplicates of many kinds among real images, and counts which are found.

    pip install imagehash
    python benchmarks/near_duplicates.py --home DIR

DIR is a folder with datasets/hymenoptera_data and datasets/cifar-10-batches-bin (by default
$ISOTUNE_HOME). The page is written to benchmarks/results/near-duplicates.md.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from isotune.data.decode import decode_preview
from isotune.data.integrity.looks import LOOK, SIDE, describe
from isotune.data.integrity.near_duplicates import near_duplicates
from isotune.data.integrity.perceptual_hash import (
    DISTANCE,
    difference_hashes,
    frequency_hashes,
    orient,
)
from isotune.data.sources.cifar10 import Cifar10Source
from isotune.data.sources.folder import FolderSource
from isotune.equivalence.machine import describe_machine
from isotune.interfaces.dataset import ImageSource
from isotune.interfaces.versions import versions
from isotune.reports.numbers import percent
from isotune.reports.tables import Table

RESULTS = Path(__file__).parent / "results"
COPIED = 100
"""Number of images of a dataset that get a copy of each kind."""

AMONG = 1000
"""Number of images of CIFAR-10 among which the other methods raise alarms."""

TURNS = (None, *Image.Transpose)
"""The eight orientations of an image."""

Method = Callable[[Image.Image], Any]
METHODS: dict[str, Method] = {
    "phash": imagehash.phash,
    "dhash": imagehash.dhash,
    "whash": imagehash.whash,
}


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **{"compress_level": 1} if kind == "PNG" else options)
    return file.getvalue()


def enhanced(image: Image.Image, by: Any, factor: float) -> bytes:
    return saved(by(image).enhance(factor), "PNG")


def resized(image: Image.Image, width: float, height: float) -> bytes:
    size = (max(round(image.width * width), 1), max(round(image.height * height), 1))
    return saved(image.resize(size, Image.Resampling.BICUBIC), "PNG")


def cropped(image: Image.Image, share: float) -> bytes:
    x, y = image.width * share, image.height * share
    box = (round(x), round(y), round(image.width - x), round(image.height - y))
    return saved(image.crop(box), "PNG")


def bordered(image: Image.Image, share: float) -> bytes:
    x, y = round(image.width * share), round(image.height * share)
    larger = Image.new("RGB", (image.width + 2 * x, image.height + 2 * y), "white")
    larger.paste(image, (x, y))
    return saved(larger, "PNG")


def labeled(image: Image.Image) -> bytes:
    copy = image.copy()
    bottom = copy.height * 9 // 10
    ImageDraw.Draw(copy).rectangle((0, bottom, copy.width // 2, copy.height), fill="white")
    return saved(copy, "PNG")


def transposed(image: Image.Image, turn: Image.Transpose) -> bytes:
    return saved(image.transpose(turn), "JPEG", quality=90)


KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    "saved as PNG": partial(saved, kind="PNG"),
    "JPEG, quality 30": partial(saved, kind="JPEG", quality=30),
    "JPEG, quality 10": partial(saved, kind="JPEG", quality=10),
    "half the size": partial(resized, width=0.5, height=0.5),
    "twice the size": partial(resized, width=2, height=2),
    "narrowed by a quarter": partial(resized, width=0.75, height=1),
    "brightness x 1.3": partial(enhanced, by=ImageEnhance.Brightness, factor=1.3),
    "brightness x 0.7": partial(enhanced, by=ImageEnhance.Brightness, factor=0.7),
    "contrast x 1.5": partial(enhanced, by=ImageEnhance.Contrast, factor=1.5),
    "gray": lambda image: saved(image.convert("L"), "PNG"),
    "mirrored": partial(transposed, turn=Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 90 degrees": partial(transposed, turn=Image.Transpose.ROTATE_90),
    "turned by 180 degrees": partial(transposed, turn=Image.Transpose.ROTATE_180),
    "turned by 2 degrees": lambda image: saved(
        image.rotate(2, Image.Resampling.BICUBIC, expand=False), "PNG"
    ),
    "a white label in a corner": labeled,
    "cropped by 1 % at each side": partial(cropped, share=0.01),
    "cropped by 2 % at each side": partial(cropped, share=0.02),
    "cropped by 5 % at each side": partial(cropped, share=0.05),
    "cropped by 10 % at each side": partial(cropped, share=0.10),
    "a white border of 5 %": partial(bordered, share=0.05),
}


def preview(data: bytes) -> tuple[Image.Image, tuple[int, int]]:
    return decode_preview(io.BytesIO(data), "an image", side=SIDE)


def thumbnails(previews: Sequence[tuple[Image.Image, tuple[int, int]]]) -> NDArray[np.uint8]:
    looks = np.array([describe(*each) for each in previews], LOOK)
    result: NDArray[np.uint8] = looks["thumbnail"]
    return result


def found_by_isotune(originals: NDArray[np.uint8], copies: NDArray[np.uint8]) -> float:
    """Returns the share of copies in a group with their originals, which come first."""
    groups = near_duplicates(np.concatenate([originals, copies]))
    count = len(originals)
    pairs = {(a, b - count) for group in groups for a in group for b in group if b >= count > a}
    return sum((i, i) in pairs for i in range(len(copies))) / len(copies)


def reduced(image: Image.Image) -> Image.Image:
    """Returns an image of at most 128 pixels, at which imagehash is many times faster."""
    small = image.copy()
    small.thumbnail((128, 128), Image.Resampling.BOX)
    return small


def turned(image: Image.Image, method: Method) -> NDArray[np.bool_]:
    """Returns the hashes of an image in all orientations: bool, shape (8, 64)."""
    small = reduced(image)
    images = [small if turn is None else small.transpose(turn) for turn in TURNS]
    return np.array([method(each).hash.reshape(-1) for each in images])


def recall(source: ImageSource, table: Table) -> None:
    """Adds the share that is found of each kind of copies of some images."""
    chosen = np.linspace(0, len(source) - 1, COPIED).astype(int).tolist()
    images = [source.load(index) for index in chosen]
    everything = thumbnails([source.preview(index, SIDE) for index in range(len(source))])
    order = [*chosen, *np.setdiff1d(np.arange(len(source)), chosen).tolist()]
    known = {
        name: np.array([method(reduced(each)).hash.reshape(-1) for each in images])
        for name, method in METHODS.items()
    }
    for number, (kind, change) in enumerate(KINDS.items()):
        copies = [preview(change(image)) for image in images]
        shares = [found_by_isotune(everything[order], thumbnails(copies))]
        for name, method in METHODS.items():
            differing = [
                (turned(copy, method) ^ known[name][i]).sum(axis=1).min()
                for i, (copy, _) in enumerate(copies)
            ]
            shares.append(float((np.array(differing) <= DISTANCE).mean()))
        cells = tuple(percent(share, 0) for share in shares)
        if number == len(table.rows):
            table.add(kind, *cells, *[""] * len(cells))
        else:
            table.rows[number] = (*table.rows[number][: 1 + len(cells)], *cells)
        print(*table.rows[number], flush=True)


def alarms(source: ImageSource) -> dict[str, int]:
    """Returns how many pairs of the dataset's own images each method takes for the same."""
    indices = np.linspace(0, len(source) - 1, min(AMONG, len(source))).astype(int).tolist()
    previews = [source.preview(index, SIDE) for index in indices]
    groups = near_duplicates(thumbnails(previews))
    result = {"isotune": sum(len(group) * (len(group) - 1) // 2 for group in groups)}
    for name, method in METHODS.items():
        signs = (
            np.array([turned(image, method) for image, _ in previews]).astype(np.float32) * 2 - 1
        )
        distances = np.stack([(64 - signs[:, turn] @ signs[:, 0].T) / 2 for turn in range(8)])
        result[name] = int(np.triu(distances.min(axis=0) <= DISTANCE, 1).sum())
    return result


def seconds(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def look_times(source: ImageSource) -> dict[str, float]:
    """Returns milliseconds an image, in one thread."""
    some = range(min(len(source), 400))
    previews = [source.preview(index, SIDE) for index in some]
    return {
        "decoding": seconds(lambda: [source.preview(index, SIDE) for index in some]),
        "isotune": seconds(lambda: all_hashes(thumbnails(previews))),
        **{
            name: seconds(lambda method=method: [turned(each, method) for each, _ in previews])
            for name, method in METHODS.items()
        },
    }


def all_hashes(looks: NDArray[np.uint8]) -> None:
    for orientation in range(8):
        for hashes in (frequency_hashes, difference_hashes):
            hashes(orient(looks, orientation))


def search(count: int) -> tuple[float, int]:
    """Returns seconds to search random thumbnails, and the groups found."""
    looks = np.random.default_rng(0).integers(0, 256, (count, 16, 16), dtype=np.uint8)
    begin = time.perf_counter()
    groups = near_duplicates(looks)
    return time.perf_counter() - begin, len(groups)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    home = os.environ.get("ISOTUNE_HOME", ".")
    parser.add_argument("--home", type=Path, default=Path(home))
    parser.add_argument("--results", type=Path, default=RESULTS / "near-duplicates.md")
    options = parser.parse_args()
    datasets = options.home / "datasets"
    sources: dict[str, ImageSource] = {
        "hymenoptera": FolderSource(datasets / "hymenoptera_data", "train"),
        "CIFAR-10": Cifar10Source(datasets / "cifar-10-batches-bin", "train"),
    }
    names = ("isotune", *METHODS)
    kinds = Table(["copy", *(f"{name}, {each}" for each in sources for name in names)])
    for source in sources.values():
        recall(source, kinds)
    false = Table(["pairs of images as they are", *names])
    times = Table(["ms an image, one thread", "decoding", *names])
    for each, source in sources.items():
        found = alarms(source)
        false.add(f"{each}, {min(AMONG, len(source)):,} images", *(found[name] for name in names))
        taken = look_times(source)
        some = min(len(source), 400)
        times.add(each, *(f"{taken[name] / some * 1000:.2f}" for name in ("decoding", *names)))
    searched = Table(["random images", "seconds", "groups", "peak MiB of the process so far"])
    for count in (10_000, 100_000):
        taken_for, groups = search(count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        searched.add(f"{count:,}", f"{taken_for:.1f}", groups, f"{peak:,}")
    options.results.write_text(page(kinds, false, times, searched), "utf-8")


def page(kinds: Table, false: Table, times: Table, searched: Table) -> str:
    """Returns the page as Markdown."""
    machine = describe_machine()
    packages = {**versions(), "imagehash": version("imagehash"), "scipy": version("scipy")}
    with_versions = ", ".join(f"{name} {number}" for name, number in packages.items())
    parts = (
        "# Near duplicates",
        "Made by `benchmarks/near_duplicates.py`, on"
        f" {machine['cpus']} cores ({machine['cpu']}, {machine['system']}; {with_versions}).",
        f"Of {COPIED} training images of each dataset, the share of changed copies that is found"
        " among all training images. `phash`, `dhash` and `whash` are imagehash's, of 64 bits,"
        " taken of the copy, reduced to 128 pixels, in all eight orientations. In all methods"
        f" {DISTANCE} bits may differ; Isotune also compares thumbnails.",
        kinds.markdown(),
        "Pairs that are found where nothing was planted. CIFAR-10 has near duplicates of its own.",
        false.markdown(),
        "Hashing an image in all orientations, beside decoding it to a preview.",
        times.markdown(),
        "Hashing thumbnails and searching for groups, in all orientations.",
        searched.markdown(),
    )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
