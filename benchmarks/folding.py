"""What folding BatchNorm into convolutions saves: CPU time with and without it.

    python benchmarks/folding.py --minutes 10

Each backbone, backend and number of threads is a process of its own, which runs batches of eight
images with and without folding in turn: an evaluation, or a training step whose head alone trains.
Writes ``results/folding.json``, where other results stay, and the page ``results/folding.md``.
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
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pairs import RESULTS, Deadline, Record

from isotune.catalogue.entries import catalogue
from isotune.equivalence.machine import describe_machine
from isotune.interfaces.backbone import IMAGENET_NORMALIZATION
from isotune.interfaces.dataset import Batch
from isotune.interfaces.trainer import StepPlan, Trainer, TrainingPlan
from isotune.interfaces.versions import versions
from isotune.models.freezing import freeze_plan
from isotune.plugins import plugins
from isotune.reports.tables import Table
from isotune.spec.freeze import FreezeSpec
from isotune.spec.optimizer import SGDSpec
from isotune.testing.values import state

BACKENDS, THREADS = ("torch", "mindspore"), (2, 1)
BACKBONES = ("mobilenet_v2", "efficientnet_b0", "resnet18", "resnet50")
KINDS = {"evaluation": "Evaluation", "step": "Training steps whose head alone trains"}
IMAGES = 8
ROUNDS = 9
COLUMNS = ("", "threads", "plain, ms", "folded, ms", "ratio", "range", "first batch", "difference")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what time allows, or one case in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--case", nargs=3, metavar=("KIND", "BACKEND", "BACKBONE"))
    options = parser.parse_args(arguments)
    if options.case:
        print(json.dumps(measured(*options.case)))
        return
    deadline, path = Deadline(options.minutes), RESULTS / "folding.json"
    earlier = json.loads(path.read_text("utf-8")) if path.exists() else []
    found = [each for each in earlier if each["kind"] not in options.kind]
    for kind, threads, backend, name in product(options.kind, THREADS, BACKENDS, BACKBONES):
        if deadline.allows_another():
            case = partial(run, kind, backend, name, threads)
            found.append(deadline.timed(case))
            print(table(found[-1:]))
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "folding.md").write_text(page(found), encoding="utf-8")


def run(kind: str, backend: str, name: str, threads: int) -> Record:
    """Measures a case in a process of its own."""
    settings = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    environment = {**os.environ, **settings, "ISOTUNE_COMPILE_CACHE": "0"}
    command = [sys.executable, str(Path(__file__)), "--case", kind, backend, name]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: Record = json.loads(done.stdout.splitlines()[-1])
    return {**result, "kind": kind, "threads": threads}


def measured(kind: str, name: str, backbone: str) -> Record:
    """Returns CPU milliseconds an image of each batch, without folding and with it."""
    backend = plugins.open_backend(name, "cpu")
    load = os.getloadavg()[0]
    with backend.isolated():
        entry = catalogue()[backbone]
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (IMAGES, 224, 224, 3), dtype=np.uint8)
        batches = [Batch(images, np.zeros(IMAGES, np.int32))]
        batch = next(iter(backend.dataset.feed(batches, IMAGENET_NORMALIZATION)))

        def trainer() -> Trainer:
            """Returns one of a model of its own."""
            model = backend.backbones.build(entry)
            shapes = backend.state_adapter.model_shapes(model)
            backend.state_adapter.import_model(model, state(shapes))
            made: Trainer = backend.trainer(model, TrainingPlan(SGDSpec()))
            made.freeze(freeze_plan(FreezeSpec(parameters="backbone"), entry.classifier, shapes, 1))
            return made

        def computed(trainer: Trainer) -> Any:
            step = StepPlan(0, learning_rate=0.0)
            made = trainer.train_step(batch, step) if kind == "step" else trainer.eval_step(batch)
            return trainer.fetch([made])[0].logits

        sides = {"plain": unfolded(trainer()), "folded": trainer()}
        computed(unfolded(trainer()))  # warms the framework up
        first = {side: cpu(lambda: computed(sides[side])) for side in sides}  # noqa: B023
        logits = [computed(each) for each in sides.values()]
        times: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(ROUNDS):
            for side in sorted(sides, reverse=bool(number % 2)):
                computed(sides[side])  # MindSpore folds again after steps of another trainer
                times[side].append(cpu(lambda: computed(sides[side])) / IMAGES)  # noqa: B023
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
    parts = [
        "# BatchNorm folded into convolutions",
        "Made by `benchmarks/folding.py`: 8 images at 224 pixels. CPU time an image, as medians,"
        " and that of the first batch, in which MindSpore compiles. The difference is that of"
        " logits, relative to the largest.",
    ]
    for kind, title in KINDS.items():
        own = [each for each in found if each["kind"] == kind]
        loads = [each["load"] for each in own]
        if own:
            load = f"Load of the machine: {min(loads):.1f} to {max(loads):.1f}."
            parts += [f"## {title}", table(own), load]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
