"""Trains on a GPU from JPEG files, kept pixels and synthetic tensors, beside a hand-written loop.

    python benchmarks/gpu.py --trace trace.json

All take turns in one process: each input, by hand and by Isotune, each as it is and behind
torch.compile. The last lines say where the input is the limit, and how much of the copies from
pinned memory went on beside kernels. `--device cpu --model resnet18 --batch 4 --size 64 --images 16
--steps 2 --rounds 1 --precision fp32` tries it without a GPU.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from gpu_loop import HandWritten
from gpu_trace import overlap, traced
from pairs import RESULTS, installed_versions

from isotune.bench.measure import device_batch, prepare
from isotune.bench.setting import Setting
from isotune.catalogue.resolve import normalization
from isotune.data.images import open_images
from isotune.equivalence.machine import describe_machine
from isotune.interfaces.trainer import StepPlan
from isotune.reports.tables import Table
from isotune.storage.atomic import write_atomically

INPUTS = ("synthetic", "pixels", "jpeg")
CACHES = {"pixels": {"memory": 1 << 16}, "jpeg": {"images": "off"}}
"""What Isotune keeps of images: everything, or nothing."""


class WithIsotune:
    """Isotune's own data pipeline, transfer and step."""

    def __init__(self, options: Namespace, compiled: bool) -> None:
        self._setting = Setting(
            "torch", options.device, options.model, options.batch, "finetune",
            options.precision, compiled, options.size, options.classes,
        )  # fmt: skip
        self._data = options.data
        self._spec, self._backend, self._trainer = prepare(self._setting, _plugins())
        self._number = 0
        self._batches: dict[str, Any] = {}

    def batches(self, source: str) -> Iterator[Any]:
        """Yields batches on the device without end."""
        if source == "synthetic":
            batch = device_batch(self._setting, self._spec, self._backend)
            while True:
                yield batch
        spec = self._spec.model_copy(
            update={
                "dataset": self._spec.dataset.model_copy(update={"path": self._data}),
                "cache": self._spec.cache.model_copy(update=CACHES[source]),
                "drop_last": True,
            }
        )
        if source not in self._batches:
            self._batches[source] = open_images(spec).training_batches(spec)
        epochs = iter(range(1 << 30))
        images = (batch for epoch in epochs for batch in self._batches[source].epoch(epoch))
        yield from self._backend.dataset.feed(images, normalization(spec))

    def step(self, batch: Any) -> Any:
        """Makes a training step, without waiting."""
        self._number += 1
        return self._trainer.train_step(batch, StepPlan(self._number, 1e-3))

    def finish(self, outputs: list[Any]) -> None:
        """Reads what the steps returned."""
        self._trainer.fetch(outputs)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        if options.data is None:
            options.data = make_images(Path(folder), options.images, options.classes)
        options.images = sum(path.is_file() for path in Path(options.data, "train").rglob("*"))
        if options.images < options.batch:
            raise SystemExit(f"{options.data}: has {options.images} images, less than a batch.")
        kinds = (False,) if options.no_compile else (False, True)
        sides = {
            f"{name}{', compiled' if compiled else ''}": make(options, compiled)
            for compiled in kinds
            for name, make in (("by hand", HandWritten), ("Isotune", WithIsotune))
        }
        rates: dict[str, dict[str, list[float]]] = {}
        for number in range(options.rounds):
            for source in INPUTS:
                for name in list(sides) if number % 2 == 0 else list(sides)[::-1]:
                    rate = measured(sides[name], source, options)
                    rates.setdefault(source, {}).setdefault(name, []).append(rate)
                    print(f"{source}, {name}: {rate:.0f} images a second", flush=True)
        found = {source: trace(sides["Isotune"], source, options) for source in ("pixels", "jpeg")}
    print(f"\n{table(rates)}\n\n{sentences(rates, found)}")
    result = {
        "settings": {**vars(options), "data": None, "output": None, "trace": None},
        "machine": {**describe_machine(), "gpu": _gpu(options.device)},
        "versions": installed_versions(),
        "images_per_second": rates,
        "trace": found,
    }
    if options.output is not None:
        write_atomically(options.output, json.dumps(result, indent=1) + "\n")


def arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"))
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40, help="measured steps of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", help="a folder with train/ and val/; by default, made images")
    parser.add_argument("--images", type=int, default=2048, help="number of made images")
    parser.add_argument("--workers", type=int, default=16, help="processes of the DataLoader")
    parser.add_argument("--trace", type=Path, help="where the profiler's trace is written")
    parser.add_argument("--output", type=Path, default=RESULTS / "gpu.json")
    return parser.parse_args()


def measured(side: Any, source: str, options: Namespace) -> float:
    """Returns images a second, after an epoch's worth of steps that fills caches and compiles."""
    batches = side.batches(source)
    warm = 2 if source != "pixels" else 2 + options.images // options.batch
    side.finish([side.step(batch) for batch in islice(batches, warm)])
    begin = time.perf_counter()
    outputs = [side.step(batch) for batch in islice(batches, options.steps)]
    side.finish(outputs)
    return options.steps * options.batch / (time.perf_counter() - begin)


def trace(side: Any, source: str, options: Namespace) -> dict[str, float]:
    """Returns how far copies overlap with kernels in a few steps of Isotune."""
    batches = side.batches(source)
    side.finish([side.step(batch) for batch in islice(batches, 3)])
    path = None if options.trace is None else options.trace.with_suffix(f".{source}.json")
    return overlap(traced(lambda: [side.step(batch) for batch in islice(batches, 6)], path))


def table(rates: dict[str, dict[str, list[float]]]) -> str:
    """Returns a Markdown table: median images a second, and the range."""
    made = Table(["input", *next(iter(rates.values()))])
    for source, sides in rates.items():
        cells = [
            f"{statistics.median(each):.0f} ({min(each):.0f} to {max(each):.0f})"
            for each in sides.values()
        ]
        made.add(source, *cells)
    return made.markdown()


def sentences(rates: dict[str, dict[str, list[float]]], found: dict[str, dict[str, float]]) -> str:
    lines = []
    for name in rates["synthetic"]:
        best = statistics.median(rates["synthetic"][name])
        for source in ("pixels", "jpeg"):
            share = statistics.median(rates[source][name]) / best
            limit = "the input is the limit" if share < 0.95 else "the model is the limit"
            lines.append(f"{name}, {source}: {share:.2f} of synthetic tensors, {limit}.")
    for source, figures in found.items():
        lines.append(f"trace of Isotune, {source}: {json.dumps(figures)}")
    return "\n".join(lines)


def make_images(folder: Path, count: int, classes: int) -> str:
    """Makes JPEG files of about the size and weight of photos; returns the folder."""
    from PIL import Image

    rng = random.Random(0)
    for split, images in (("train", count), ("val", classes)):
        for number in range(images):
            path = folder / split / f"class{number % classes}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = Image.frombytes("RGB", (125, 94), rng.randbytes(125 * 94 * 3))
            noise.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
    return str(folder)


def _plugins() -> Any:
    from isotune.plugins import plugins

    return plugins


def _gpu(device: str) -> str | None:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else None


if __name__ == "__main__":
    main()
