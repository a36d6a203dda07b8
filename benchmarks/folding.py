"""What folding BatchNorm into convolutions saves in evaluation: CPU time with and without it.

    python benchmarks/folding.py --minutes 5

Each backbone, backend and number of threads is a process of its own, which runs batches of eight
images with and without folding in turn. Writes ``results/folding.json`` and the page
``results/folding.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pairs import RESULTS, Deadline, Record

from isotune.catalogue.entries import catalogue
from isotune.equivalence.machine import describe_machine
from isotune.interfaces.backbone import IMAGENET_NORMALIZATION
from isotune.interfaces.dataset import Batch
from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune.interfaces.versions import versions
from isotune.plugins import plugins
from isotune.reports.tables import Table
from isotune.spec.optimizer import SGDSpec
from isotune.testing.values import state

BACKBONES = ("mobilenet_v2", "efficientnet_b0", "resnet18", "resnet50")
IMAGES = 8
ROUNDS = 9
COLUMNS = ("", "threads", "plain, ms", "folded, ms", "ratio", "range", "first batch", "difference")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what time allows, or one case in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--case", nargs=2, metavar=("BACKEND", "BACKBONE"))
    options = parser.parse_args(arguments)
    if options.case:
        print(json.dumps(measured(*options.case)))
        return
    deadline, found = Deadline(options.minutes), []
    for threads in (2, 1):
        for backend in ("torch", "mindspore"):
            for name in BACKBONES:
                if deadline.allows_another():
                    found.append(deadline.timed(lambda: run(backend, name, threads)))  # noqa: B023
                    print(table(found[-1:]))
    (RESULTS / "folding.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "folding.md").write_text(page(found), encoding="utf-8")


def run(backend: str, name: str, threads: int) -> Record:
    """Measures a case in a process of its own."""
    settings = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    environment = {**os.environ, **settings, "ISOTUNE_COMPILE_CACHE": "0"}
    command = [sys.executable, str(Path(__file__)), "--case", backend, name]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: Record = json.loads(done.stdout.splitlines()[-1])
    return {**result, "threads": threads}


def measured(name: str, backbone: str) -> Record:
    """Returns CPU milliseconds an image of each batch, without folding and with it."""
    backend = plugins.open_backend(name, "cpu")
    load = os.getloadavg()[0]
    with backend.isolated():
        model = backend.backbones.build(catalogue()[backbone])
        shapes = backend.state_adapter.model_shapes(model)
        backend.state_adapter.import_model(model, state(shapes))
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (IMAGES, 224, 224, 3), dtype=np.uint8)
        batches = [Batch(images, np.zeros(IMAGES, np.int32))]
        batch = next(iter(backend.dataset.feed(batches, IMAGENET_NORMALIZATION)))
        plan = TrainingPlan(SGDSpec())
        sides = {
            "plain": unfolded(backend.trainer(model, plan)),
            "folded": backend.trainer(model, plan),
        }

        def evaluate(trainer: Trainer) -> Any:
            return trainer.fetch([trainer.eval_step(batch)])[0].logits

        evaluate(unfolded(backend.trainer(model, plan)))  # warms the framework up
        first = {side: cpu(lambda: evaluate(sides[side])) for side in sides}  # noqa: B023
        logits = [evaluate(trainer) for trainer in sides.values()]
        times: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(ROUNDS):
            for side in sorted(sides, reverse=bool(number % 2)):
                times[side].append(cpu(lambda: evaluate(sides[side])) / IMAGES)  # noqa: B023
    return {
        "backend": name,
        "backbone": backbone,
        **times,
        "first": first,
        "difference": float(np.abs(logits[1] - logits[0]).max() / np.abs(logits[0]).max()),
        "machine": describe_machine(),
        "load": load,
        "versions": versions(backend),
    }


def unfolded(trainer: Any) -> Trainer:
    """Has a trainer evaluate its model as it is."""
    if hasattr(trainer, "_folds"):
        trainer._folds = False
    else:
        trainer._forward = trainer.model
    unfolded_trainer: Trainer = trainer
    return unfolded_trainer


def cpu(work: Callable[[], Any]) -> float:
    """Returns the CPU milliseconds that work takes."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent * 1000


def table(found: Sequence[Record]) -> str:
    """Returns the results as a Markdown table."""
    rows = Table(list(COLUMNS))
    for each in found:
        plain, folded = (statistics.median(each[side]) for side in ("plain", "folded"))
        ratios = [b / a for a, b in zip(each["plain"], each["folded"], strict=True)]
        rows.add(
            f"{each['backbone']}, {each['backend']}",
            str(each["threads"]),
            f"{plain:.1f}",
            f"{folded:.1f}",
            f"{folded / plain:.3f}",
            f"{min(ratios):.3f} to {max(ratios):.3f}",
            f"{each['first']['plain']:.0f}, {each['first']['folded']:.0f} ms",
            f"{each['difference']:.0e}",
        )
    return rows.markdown()


def page(found: Sequence[Record]) -> str:
    """Returns the page as Markdown."""
    loads = [each["load"] for each in found]
    parts = [
        "# BatchNorm folded into convolutions",
        "Made by `benchmarks/folding.py`: evaluation of 8 images at 224 pixels. CPU time an image,"
        " as medians, and that of the first batch, in which MindSpore compiles. The difference is"
        " that of logits, relative to the largest."
        f" Load of the machine: {min(loads):.1f} to {max(loads):.1f}.",
        table(found),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
