"""Measures how long a run with a million images takes to its first step, and in how much memory.

    python benchmarks/million.py --work DIR [--images 1000000] [--formats folder table webdataset]

Images are generated under DIR, once: PNG files of 8 x 8 pixels of one color in ten classes, a
million for training and a hundred for validation. `folder` has a file for each; `table` is a CSV
file that names these files in its rows; `webdataset` has the same images in shards of 10,000.
LeNet trains on them with torch, in a new process with an empty ``$ISOTUNE_HOME``, until its first
step has been made. A thousand images show what Python, torch and the model take by themselves.
The table is written to benchmarks/results/million.md.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cases import HERE
from many_images import BATCH, CLASSES, SIZE, image
from many_images import dataset as in_folder
from processes import run

SHARD = 10_000
FEW = 1000
RESULTS = HERE / "results" / "million.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where images are generated")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--checks", nargs="+", default=CHECKS, choices=CHECKS)
    arguments = parser.parse_args()
    rows = []
    for count in (FEW, arguments.images):
        work = arguments.work / str(count)
        work.mkdir(parents=True, exist_ok=True)
        for name in arguments.formats:
            dataset = FORMATS[name](work, count)
            for check in arguments.checks if count > FEW else CHECKS[:1]:
                rows.append([f"{count:,}", name, check, *first_step({**dataset, "check": check})])
                print(*rows[-1], flush=True)
                RESULTS.write_text(table(rows, arguments.images), "utf-8")


def first_step(dataset: dict[str, Any]) -> list[str]:
    """Trains until the first step; returns seconds, CPU seconds and MiB."""
    experiment = {
        "name": "million",
        "dataset": dataset,
        "transforms": {name: [{"resize": {"size": [SIZE, SIZE]}}] for name in ("train", "val")},
        "batch_size": BATCH,
        "backbone": {"name": "lenet", "weights": "none"},
        "optimizer": {"name": "sgd", "lr": 0.01},
        "epochs": 1,
    }
    with tempfile.TemporaryDirectory() as home:
        spec, times = Path(home) / "spec.json", Path(home) / "times.json"
        spec.write_text(json.dumps(experiment), "utf-8")
        command = [sys.executable, str(HERE / "timed_run.py"), str(times), "run", str(spec)]
        command += ["--backend", "torch", "--device", "cpu", "--output", str(Path(home) / "run")]
        ended = run(command, {"ISOTUNE_HOME": home, "BENCHMARK_STOP": "first-step"})
        seconds = json.loads(times.read_text("utf-8"))["to_first_step"]
    return [f"{seconds:.1f}", f"{ended.cpu:.1f}", f"{ended.peak_mib:.0f}"]


def in_files(work: Path, count: int) -> dict[str, Any]:
    """Writes a file for each image."""
    return {"path": str(in_folder(work / "folder", count))}


def in_table(work: Path, count: int) -> dict[str, Any]:
    """Writes a table of the files, in no order of classes."""
    in_files(work, count)
    path = work / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        for split, numbers in _splits(count).items():
            for number in numbers:
                name = f"class{number % CLASSES}"
                rows.writerow([f"folder/{split}/{name}/{number:06d}.png", name, split])
    return {"format": "table", "path": str(path)}


def in_shards(work: Path, count: int) -> dict[str, Any]:
    """Writes shards of samples."""
    folder = work / "shards"
    if not (folder / "done").exists():
        folder.mkdir(exist_ok=True)
        for split, numbers in _splits(count).items():
            for shard, start in enumerate(numbers[::SHARD]):
                _shard(folder / f"{split}-{shard:06d}.tar", numbers[start : start + SHARD])
        (folder / "done").touch()
    return {"format": "webdataset", "path": str(folder)}


FORMATS = {"folder": in_files, "table": in_table, "webdataset": in_shards}
CHECKS = ["during_training", "before_training"]


def table(rows: Sequence[Sequence[str]], images: int) -> str:
    """Returns the results as Markdown."""
    head = ["images", "format", "dataset.check", "s to the first step", "CPU s", "peak MiB"]
    lines = [head, ["---:", "---", "---", *["---:"] * 3], *rows]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    load = os.getloadavg()[1] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"# {images:,} images to the first step\n\n"
        "Generated by `python benchmarks/million.py`, whose first lines say how the images are\n"
        f"made, on {os.cpu_count()} CPUs with an average load of {load:.0f}. A load above the\n"
        "number of CPUs lengthens the seconds; the CPU seconds show the work.\n\n"
        f"{body}\n"
    )


def _splits(count: int) -> dict[str, range]:
    return {"train": range(count), "val": range(10 * CLASSES)}


def _shard(path: Path, numbers: Iterable[int]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as shard:
        for number in numbers:
            fields = {"png": image(number), "cls": str(number % CLASSES).encode()}
            for field, data in fields.items():
                info = tarfile.TarInfo(f"{number:07d}.{field}")
                info.size = len(data)
                shard.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    main()
