"""What both hand-written loops take from the command line and report; only the standard library."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BORN = float(os.environ.get("BENCHMARK_BORN", time.time()))
"""When the process was started: seconds since 1970, told by whoever started it."""

PACKAGES = ("numpy", "pillow", "torch", "torchvision", "mindspore")


def arguments(
    description: str, add: Callable[[argparse.ArgumentParser], None] = lambda _: None
) -> argparse.Namespace:
    """Returns the options: the same for every framework, and those that `add` adds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default="resnet18", help="resnet18, resnet50 or mobilenet_v2")
    parser.add_argument("--data", help="a folder with train/ and val/, in each a folder per class")
    parser.add_argument("--weights", help="pretrained weights; without, the model starts anew")
    parser.add_argument("--classes", type=int, default=2, help="for --part step")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--frozen", action="store_true", help="train the new head alone")
    parser.add_argument("--size", type=int, default=224, help="side of an image, in pixels")
    parser.add_argument("--workers", type=int, default=0, help="processes or threads that decode")
    parser.add_argument("--threads", type=int, help="of the framework; its own choice without")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--part",
        choices=("train", "first-step", "step", "data"),
        default="train",
        help="everything; up to the first step; steps on one batch; the data pipeline alone",
    )
    parser.add_argument("--steps", type=int, default=20, help="for --part step")
    add(parser)
    options = parser.parse_args()
    if options.part != "step" and not options.data:
        parser.error("--data is needed but for --part step")
    return options


class Clock:
    """Seconds of steps and epochs, and when the first step was finished."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.epochs: list[dict[str, float]] = []
        self.first_step_at: float | None = None

    def step(self, seconds: float) -> None:
        """Notes a finished training step."""
        if self.first_step_at is None:
            self.first_step_at = time.time() - BORN
        self.steps.append(seconds)

    def figures(self) -> dict[str, object]:
        """Returns seconds, but for ``step_ms``; the first step stands apart."""
        rest = sorted(self.steps[1:])
        return {
            "epochs": self.epochs,
            "first_step": self.steps[0] if self.steps else None,
            "step_ms": statistics.median(rest) * 1e3 if rest else None,
            "step_ms_iqr": spread(rest) * 1e3 if len(rest) > 1 else None,
            "steps": len(self.steps),
            "to_first_step": self.first_step_at,
        }


def spread(values: list[float]) -> float:
    """Returns the distance between the quartiles."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


def versions() -> dict[str, str]:
    """Returns the versions of what is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_memory_mib() -> float:
    """Returns the largest resident size of this process so far, in MiB."""
    if sys.platform == "linux":  # getrusage would begin with the size of the parent
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def report(options: argparse.Namespace, **figures: object) -> None:
    """Prints everything as one JSON object, in the last line of the output."""
    answer = {
        **figures,
        "peak_memory_mib": peak_memory_mib(),
        "wall": time.time() - BORN,
        "options": vars(options),
        "versions": versions(),
    }
    print(json.dumps(answer), flush=True)
