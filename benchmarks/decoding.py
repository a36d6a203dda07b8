"""Measures how many images are decoded, cropped and flipped a second, beside other libraries.

    python benchmarks/decoding.py [--home DIR] [--rounds 3] [--epochs 6]

`--home` is a folder with datasets/hymenoptera_data. Every round runs each side once, in a process
of its own. What 16 cores do is calculated from what is measured on two: `closed`. Writes
benchmarks/results/decoding.json and decoding.md. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from isotune.equivalence.machine import describe_machine
from isotune.reports.tables import Table
from isotune.storage import home
from isotune.storage.atomic import write_atomically

RESULTS = Path(__file__).resolve().parent / "results"
SIDES = {
    "isotune-threads-1": "Isotune, one thread",
    "isotune-threads-2": "Isotune, two threads",
    "isotune-processes-1": "Isotune, one thread and process",
    "isotune-processes-2": "Isotune, two threads and processes",
    "torchvision": "torchvision and Pillow, a plain loop",
    "torchvision-v2": "torchvision v2 on tensors, a plain loop (other pixels)",
    "mindspore": "MindSpore's RandomCropDecodeResize (other pixels)",
}
CORES = 16
Measured = dict[str, list[list[list[float]]]]
"""By side, round and epoch: seconds an image of this process, of its children, and of a clock."""


def closed(threads: int, outside: float, inside: float) -> float:
    """Returns the images a second of threads that share one lock, if each has a core.

    Mean value analysis of a closed queue with a delay (Reiser and Lavenberg, "Mean-Value Analysis
    of Closed Multichain Queuing Networks", 1980): times vary like those of a Poisson process, which
    has more waiting than times that are alike.

    Args:
        threads: Number of threads.
        outside: Seconds an image that a thread, or its process, computes without the lock.
        inside: Seconds an image that it holds the lock.
    """
    waiting = rate = 0.0
    for number in range(1, threads + 1):
        within = inside * (1 + waiting)
        rate = number / (outside + within)
        waiting = rate * within
    return rate


def calculated(measured: Measured) -> dict[str, float]:
    """Returns the rates of 16 threads with processes, from the times of one and of two.

    All that the process of the threads takes counts as if it held the lock.
    """
    rates = {}
    for number in (1, 2):
        epochs = [each for turn in measured[f"isotune-processes-{number}"] for each in turn]
        inside, outside = (statistics.median(each[i] for each in epochs) for i in (0, 1))
        rates[f"from {number}"] = closed(CORES, outside, inside)
    return rates


def table(measured: Measured) -> str:
    """Returns the results as Markdown."""
    rows = Table(["side", "images a CPU second", "smallest to largest", "images a second"])
    for side, title in SIDES.items():
        epochs = [each for turn in measured[side] for each in turn]
        rates = sorted(1 / (own + others) for own, others, _ in epochs)
        rows.add(
            title,
            f"{statistics.median(rates):.0f}",
            f"{rates[0]:.0f} to {rates[-1]:.0f}",
            f"{statistics.median(1 / clock for _, _, clock in epochs):.0f}",
        )
    return rows.markdown()


def page(measured: Measured, load: list[float]) -> str:
    """Returns the results page."""
    epochs = [each for turn in measured["isotune-processes-2"] for each in turn]
    own = statistics.median(each[0] for each in epochs) * 1e6
    rates = calculated(measured)
    return (
        "# Decoding\n\nMade by `python benchmarks/decoding.py`: 244 JPEG files of ants and bees"
        " (about 500 x 375 pixels, 112 KB), decoded, cropped at random to 224 x 224 pixels and"
        " flipped, from files that the system has in memory. Processor time of all threads and"
        " processes; pixels are not cached between epochs, as in a dataset that is larger than"
        f" `cache`. Load before and after: {load[0]:.1f}, {load[1]:.1f}.\n\n"
        f"{table(measured)}\n\nOf an image that a process decodes, the process of the threads takes"
        f" {own:.0f} µs. If it held the interpreter's lock all that time, {CORES} threads with"
        f" processes on {CORES} such cores would make {rates['from 1']:.0f} images a second by the"
        f" times of one, and {rates['from 2']:.0f} by those of two (`closed` in the script).\n"
    )


def run(side: str, folder: str, epochs: int) -> list[list[float]]:
    """Measures epochs of a side, and returns the seconds an image of each."""
    script = str(Path(__file__).with_name("decoding_sides.py"))
    command = [sys.executable, script, side, folder, str(epochs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOG_v": "3"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True)
    found: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    print(side, [round(1 / (own + others)) for own, others, _ in found], flush=True)
    return found


def main() -> None:
    """Measures all sides in turn, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=home.home())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    images = options.home / "datasets" / "hymenoptera_data" / "train"
    measured: Measured = {side: [] for side in SIDES}
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        gif = shutil.ignore_patterns("*.gif")  # MindSpore does not read the only one
        shutil.copytree(images, Path(folder, "train"), ignore=gif)
        for turn in range(options.rounds):
            for side in list(SIDES)[:: -1 if turn % 2 else 1]:
                measured[side].append(run(side, folder, options.epochs))
    load.append(os.getloadavg()[0])
    record = {"machine": describe_machine(), "load": load, "seconds_an_image": measured}
    record["calculated"] = calculated(measured)
    write_atomically(RESULTS / "decoding.json", json.dumps(record, indent=1).encode())
    text = page(measured, load)
    (RESULTS / "decoding.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
