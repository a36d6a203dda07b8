"""Which of oneDNN's kernels a training step consists of, in both backends.

    python benchmarks/onednn_profile.py --model mobilenet_v2 --model resnet50

On one CPU, from oneDNN's own log. MindSpore keeps maps in NCHW, torch in channels_last: that
decides which kernels there are for them. What is not oneDNN's is the rest of the step: torch's
1 x 1 convolutions are products of its other library, and its BatchNorm is its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from pairs import RESULTS, installed_versions

from isotune.equivalence.machine import describe_machine
from isotune.reports.tables import Table
from isotune.storage.atomic import write_atomically

BACKENDS = ("torch", "mindspore")
STEPS = 4


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", help="by default mobilenet_v2 and resnet50")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--output", type=Path, default=RESULTS / "onednn-profile.json")
    options = parser.parse_args()
    models = options.model or ["mobilenet_v2", "resnet50"]
    found = {
        model: {
            backend: profile(backend, model, options.batch, options.size) for backend in BACKENDS
        }
        for model in models
    }
    for model, sides in found.items():
        print(f"\n{model}, batch {options.batch}, {options.size} px, ms a step\n\n{table(sides)}")
    result = {
        "settings": {"batch": options.batch, "size": options.size, "steps": STEPS},
        "machine": describe_machine(),
        "versions": installed_versions(),
        "milliseconds": found,
    }
    write_atomically(options.output, json.dumps(result, indent=1) + "\n")


def profile(backend: str, model: str, batch: int, size: int) -> dict[str, float]:
    """Returns milliseconds of a training step by kernel, and ``all`` of the step."""
    setting = {
        "backend": backend, "device": "cpu", "model": model, "batch": batch, "size": size,
        "mode": "finetune", "steps": STEPS,
    }  # fmt: skip
    command = [sys.executable, "-m", "isotune.bench.worker", "step", json.dumps(setting)]
    one = min(os.sched_getaffinity(0))
    ended = subprocess.run(
        command,
        env={**os.environ, "ONEDNN_VERBOSE": "1", "OMP_NUM_THREADS": "1", "GLOG_v": "3"},
        preexec_fn=lambda: os.sched_setaffinity(0, {one}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = ended.stdout.splitlines()
    figures: dict[str, Any] = json.loads(
        next(line for line in reversed(lines) if line.startswith("{"))
    )
    runs = [
        line.split(",") for line in lines if line.startswith("onednn_verbose") and ",exec," in line
    ]
    # The first step may compute more than the others: all of them have the same last ones.
    runs = runs[-(len(runs) // (STEPS + 1)) * STEPS :]
    times: Counter[str] = Counter()
    for run in runs:
        times[kernel(run)] += float(run[-1]) / STEPS
    return {"all": figures["step_ms"], **times}


def kernel(run: list[str]) -> str:
    """Returns what a line of the log computes, and by which implementation."""
    primitive, implementation, direction, problem = run[5], run[6], run[7], run[-2]
    kind = ""
    if primitive == "convolution":
        grouped, one = re.search(r"g\d+mb", problem), re.search(r"kh1(?!\d)", problem)
        kind = "depthwise " if grouped else "1x1 " if one else "k x k "
    return f"{kind}{primitive}, {direction.replace('_', ' ')}: {implementation}"


def table(sides: dict[str, dict[str, float]]) -> str:
    """Returns a Markdown table of a step's kernels, the longest first."""
    made = Table(["backend", "kernel", "ms", "share"])
    for backend, times in sides.items():
        total = times["all"]
        made.add(backend, "the step", f"{total:.0f}", "")
        others = total - sum(value for name, value in times.items() if name != "all")
        rows = {**{n: v for n, v in times.items() if n != "all"}, "not oneDNN's": others}
        for name, value in sorted(rows.items(), key=lambda row: -row[1]):
            if abs(value) >= total / 200:
                made.add(backend, name, f"{value:.0f}", f"{value / total:.0%}")
    return made.markdown()


if __name__ == "__main__":
    main()
