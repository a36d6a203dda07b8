"""Times mixing a batch, beside timm and torchvision, and batches with and without it.

    python benchmarks/mixing_speed.py [--rounds 30]

A batch is 32 images of 224 x 224 pixels. Every round times everything once, in turn, so that what
else the machine does falls on all alike. Times are processor time of all threads; PyTorch has one
thread, as each of Isotune's decoding threads is one. Writes benchmarks/results/mixing-speed.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isotune.data.batches import Batches
from isotune.data.mixing.batch import BatchMix
from isotune.data.mixing.cutmix import Paste
from isotune.data.mixing.mixup import Blend
from isotune.data.transforms.flip import RandomHorizontalFlipSpec
from isotune.data.transforms.random_resized_crop import RandomResizedCropSpec
from isotune.interfaces.dataset import ImageSource
from isotune.reports.tables import Table
from isotune.spec.mixing import MixingSpec

RESULTS = Path(__file__).parent / "results" / "mixing-speed.md"
BATCH, SIDE, CLASSES = 32, 224, 1000
SHARE = 0.63
BOX = slice(40, 176)
"""Rows and columns of a box with about that share outside."""

Timed = dict[str, Callable[[], Any]]


class Noise(ImageSource):
    """Images in memory, so that decoding takes no time."""

    cheap = True

    def __init__(self, count: int) -> None:
        self.classes = tuple(map(str, range(CLASSES)))
        self.labels = (np.arange(count) % CLASSES).astype(np.int32)
        pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        self._image = Image.fromarray(pixels)

    def load(self, index: int) -> Image.Image:
        """Returns the same image each time."""
        return self._image

    def identify(self, index: int) -> str:
        """Returns its number."""
        return str(index)


def isotunes(images: list[NDArray[np.uint8]], labels: NDArray[np.int32]) -> Timed:
    """Returns how Isotune makes a mixed batch of images: uint8, and shares."""

    def mixed(mix: Any) -> None:
        batch = np.empty((BATCH, SIDE, SIDE, 3), np.uint8)
        for place, image in enumerate(images):
            batch[place] = image
        both = BatchMix(CLASSES, mix)
        both.mix_images(batch)
        both.shares(labels)

    return {
        "Isotune, no mixing": partial(mixed, None),
        "Isotune, mixup": partial(mixed, Blend(SHARE)),
        "Isotune, CutMix": partial(mixed, Paste(SHARE, BOX, BOX)),
    }


def timms(images: list[NDArray[np.uint8]], labels: NDArray[np.int32]) -> Timed:
    """Returns timm's ways: in collating uint8 images, and of a float32 batch."""
    import torch
    from timm.data import mixup

    rows = [
        (image.transpose(2, 0, 1).copy(), label)
        for image, label in zip(images, labels.tolist(), strict=True)
    ]
    floats = torch.rand(BATCH, 3, SIDE, SIDE)
    ways: Timed = {}
    for name, cut in (("mixup", False), ("CutMix", True)):
        both = [kind(num_classes=CLASSES) for kind in (mixup.FastCollateMixup, mixup.Mixup)]
        for each in both:
            each._params_per_batch = lambda cut=cut: (SHARE, cut)
        ways[f"timm FastCollateMixup, {name}"] = partial(both[0], rows)
        ways[f"timm Mixup (float32), {name}"] = partial(both[1], floats, torch.from_numpy(labels))
    return ways


def torchvisions(labels: NDArray[np.int32]) -> Timed:
    """Returns torchvision's ways, of a float32 batch."""
    import torch
    from torchvision.transforms import v2

    floats, wanted = torch.rand(BATCH, 3, SIDE, SIDE), torch.from_numpy(labels).long()
    kinds = {"MixUp": v2.MixUp, "CutMix": v2.CutMix}
    return {
        f"torchvision v2.{name} (float32)": partial(kind(num_classes=CLASSES), floats, wanted)
        for name, kind in kinds.items()
    }


def pipelines() -> Timed:
    """Returns an epoch of batches from images in memory, without mixing and with it."""
    crop = (RandomResizedCropSpec(size=SIDE), RandomHorizontalFlipSpec())

    def epoch(mixing: MixingSpec | None) -> None:
        source = Noise(16 * BATCH)
        batches = Batches(source, crop, BATCH, seed=0, workers=2, sampler="shuffled", mixing=mixing)
        for _ in batches.epoch(0):
            pass

    kinds = {"none": None, "mixup": MixingSpec(mixup=0.2), "CutMix": MixingSpec(cutmix=1.0)}
    return {f"16 batches, {name}": partial(epoch, kind) for name, kind in kinds.items()}


def main() -> None:
    """Times everything in turn and writes the table."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(BATCH)]
    labels = rng.integers(0, CLASSES, BATCH).astype(np.int32)
    ways = {
        **isotunes(images, labels),
        **timms(images, labels),
        **torchvisions(labels),
        **pipelines(),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for each in range(rounds + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if each:  # the first round is a warm-up
                seconds[name].append(time.process_time() - start)
    table = Table(["what", "median ms", "fastest ms"])
    for name, measured in seconds.items():
        median, fastest = statistics.median(measured), min(measured)
        table.add(name, f"{1000 * median:.1f}", f"{1000 * fastest:.1f}")
    title = f"# Mixing {BATCH} images of {SIDE} x {SIDE} pixels\n\n"
    made = (
        f"Processor time; made by `python benchmarks/mixing_speed.py`, {rounds} rounds in turn."
        " Isotune's and timm's `FastCollateMixup` begin with single uint8 images and collate them,"
        " the others with a float32 batch; `16 batches` are cropped and flipped by two threads.\n\n"
    )
    RESULTS.write_text(title + made + table.markdown() + "\n", "utf-8")
    print(RESULTS.read_text("utf-8"))


if __name__ == "__main__":
    main()
