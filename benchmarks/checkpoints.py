"""What saving and loading a checkpoint costs beside torch.save and torch.load of the same tensors.

    python benchmarks/checkpoints.py

A training step waits for `pause`: Isotune copies the state and writes it beside training, while
torch.save writes it at once. `save` lasts until all is flushed to disk; after torch.save that is
one fsync. Both are taken in turn in one process, and both keep two files; the first save of each is
a line of its own, as it takes memory that is fresh. `load` is the first of a new process, and
Isotune checks hashes with it; `restore` copies what was loaded into model and optimizer. Where
other work shares the machine, processor time tells more than the clock.

Every pair is added to benchmarks/results/checkpoints-BACKEND-MODEL.json; the page checkpoints.md is
made of these files.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pairs import RESULTS, Deadline, Part, Record, forget, measure
from tables import part_table

from isotune.bench.results import machine
from isotune.bench.setting import Setting
from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import resolve
from isotune.experiment.checkpoint_writer import CheckpointWriter
from isotune.interfaces.checkpoint import State
from isotune.interfaces.metrics import EpochMetrics
from isotune.models.build import build_model, freezing_plans
from isotune.plugins import plugins
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.spec.load import load_spec
from isotune.storage.memory import keep_freed_memory
from isotune.training.plan import plan_with
from isotune.training.progress import Progress
from isotune.training.session import Session

MODELS = ("resnet50", "vit_b_16")
ROUNDS, KEPT = 7, 2
"""Number of saves of either side in a process, and how many of them stay. Those before the first
one is removed are not counted: their files take memory of the system that was not used before."""

RATIOS: dict[str, float | None] = {
    "pause_ms": 0.15,
    "save_ms": 1.2,
    "load_ms": 1.0,
    "restore_ms": None,
    **{f"{what}_cpu_ms": None for what in ("pause", "save", "load", "restore")},
    "first_pause_ms": None,
    "first_save_ms": None,
}
SIDES = ("torch.save", "isotune")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", nargs="+", default=["torch", "mindspore"])
    parser.add_argument("--model", nargs="+", default=list(MODELS))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, help="a folder on the disk that is measured")
    parser.add_argument("--measure", help="for the processes that are measured")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(*json.loads(options.measure))), flush=True)
        return
    parts = [part(b, m, options.work) for b in options.backend for m in options.model]
    for each in parts if options.fresh else ():
        forget(each, options.results)
    measure(parts, options.pairs, Deadline(options.minutes), options.results)
    paths = sorted(options.results.glob("checkpoints-*.json"))
    found = [json.loads(path.read_text("utf-8")) for path in paths]
    (options.results / "checkpoints.md").write_text(page(found), "utf-8")


def part(backend: str, model: str, work: Path | None) -> Part:
    """Returns the comparison of a backend and a model; both sides of a pair share a process."""

    @functools.cache
    def both(number: int) -> dict[str, Record]:
        with TemporaryDirectory(dir=work) as folder:
            sides: dict[str, Record] = child("save", backend, model, folder, number)
            for side in SIDES if number % 2 else SIDES[::-1]:
                sides[side] |= child("load", side, folder)
        return sides

    first, second = (lambda number, side=side: both(number)[side] for side in SIDES)
    settings = {"backend": backend, "model": model, "rounds": ROUNDS}
    name = f"checkpoints-{backend}-{model}"
    return Part(name, f"{backend}, {model}", settings, first, second, RATIOS, names=SIDES)


def child(*what: Any) -> Any:
    """Returns what a new process measures."""
    command = [sys.executable, __file__, "--measure", json.dumps(what)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measured(what: str, *arguments: Any) -> Any:
    """Returns the figures that a new process is asked for."""
    return saved(*arguments) if what == "save" else loaded(*arguments)


Cost = NDArray[np.float64]
"""Milliseconds by the clock, and those of processors."""


def timed(work: Callable[[], object]) -> Cost:
    """Returns what some work costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - wall, time.process_time() - cpu]) * 1e3


def figures(what: str, cost: Cost) -> Record:
    return {f"{what}_ms": float(cost[0]), f"{what}_cpu_ms": float(cost[1])}


def saved(backend: str, model: str, folder: str, number: int) -> dict[str, Record]:
    """Saves in turn, and leaves a checkpoint of each side in the folder."""
    opened = plugins.open_backend(backend, "cpu")
    with opened.isolated():
        session, native, trainer = prepared(opened, model)
        adapter = opened.state_adapter
        learner = SimpleNamespace(
            model_state=lambda: adapter.export_model(native),
            optimizer_state=lambda: adapter.export_optimizer(trainer),
        )
        run = RunFolder.create(session.spec, backend, Path(folder) / "run")
        writer = CheckpointWriter(session, run, learner, ())  # type: ignore[arg-type]
        states = learner.model_state(), learner.optimizer_state()
        sides = [partial(hand_saved, states, Path(folder)), partial(own_saved, writer)]
        costs: list[list[tuple[Cost, Cost]]] = [[], []]
        for turn in range(ROUNDS):
            for side in (0, 1) if (turn + number) % 2 else (1, 0):
                costs[side].append(sides[side](turn + 1))
        found = {name: medians(each) for name, each in zip(SIDES, costs, strict=True)}
        found[SIDES[0]] |= figures("restore", hand_restored(states))
        own = timed(lambda: adapter.import_model(native, states[0]))
        own += timed(lambda: adapter.import_optimizer(trainer, states[1]))
        found[SIDES[1]] |= figures("restore", own)
    return found


def prepared(backend: Any, model: str) -> tuple[Session, Any, Any]:
    """Returns a session, its model, and a trainer with momenta, as after a step."""
    experiment = Setting(backend.name, "cpu", model, 1).experiment()
    entry = chosen_backbone(load_spec(experiment).backbone, backend.name, plugins)
    spec = resolve(load_spec(experiment), entry)
    native, plan = build_model(spec, entry, backend, 2), plan_with(spec, entry, None)
    trainer, shapes = backend.trainer(native, plan), backend.state_adapter.model_shapes(native)
    trainer.freeze(freezing_plans(spec, entry, shapes)(1))
    trained = [name for name in shapes if "running_" not in name]
    momenta = {f"{name}/momentum_buffer": np.ones(shapes[name], np.float32) for name in trained}
    backend.state_adapter.import_optimizer(trainer, momenta)
    images: Any = SimpleNamespace(train=range(8), classes=("a", "b"))
    return Session(spec, entry, backend, images, plan), native, trainer


def hand_saved(states: tuple[State, State], folder: Path, number: int) -> tuple[Cost, Cost]:
    """Saves with torch.save, and then once more with fsync."""
    import torch

    def save(flush: bool) -> None:
        tensors = [{k: torch.from_numpy(v) for k, v in state.items()} for state in states]
        with (folder / f"hand-{flush}-{number}.pt").open("xb") as file:
            torch.save(tensors, file)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        (folder / f"hand-{flush}-{number - KEPT}.pt").unlink(missing_ok=True)

    return timed(lambda: save(False)), timed(lambda: save(True))


def own_saved(writer: CheckpointWriter, number: int) -> tuple[Cost, Cost]:
    """Saves with Isotune, after so many epochs."""
    history = [
        EpochMetrics(epoch, epoch, 0.1, {"train_loss": 1.0, "train_accuracy": 1.0}, 1, 0, 0, 1)
        for epoch in range(1, number + 1)
    ]
    pause = timed(lambda: writer.save(Progress(tuple(history)), history[-1], False))
    return pause, pause + timed(writer.wait)


def medians(costs: list[tuple[Cost, Cost]]) -> Record:
    first, others = np.array(costs[0]), np.array(costs[KEPT + 1 :])
    pause, save = np.median(others, axis=0)
    firsts = {"first_pause_ms": first[0, 0], "first_save_ms": first[1, 0]}
    return {**firsts, **figures("pause", pause), **figures("save", save)}


def hand_restored(states: tuple[State, State]) -> Cost:
    """Copies into tensors of the same shapes."""
    import torch

    tensors = [torch.from_numpy(value) for state in states for value in state.values()]
    own = [torch.empty_like(each) for each in tensors]
    torch._foreach_copy_(own, tensors)  # once, as a model and its optimizer have their memory
    return timed(lambda: torch._foreach_copy_(own, tensors))


def loaded(side: str, folder: str) -> Record:
    """Loads in a process that has done nothing else."""
    keep_freed_memory()  # as backends do
    if side == SIDES[0]:
        import torch

        return figures("load", timed(lambda: torch.load(Path(folder) / f"hand-True-{ROUNDS}.pt")))
    store = CheckpointStore(Path(folder) / "run" / "checkpoints")
    return figures("load", timed(lambda: store.load("last")))


def page(found: list[Record]) -> str:
    """Returns the page as Markdown."""
    explained = (__doc__ or "").split("\n\n")[2]
    parts = ["# What a checkpoint costs beside torch.save", explained]
    for result in found:
        versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        title = f"## {result['title']}, SGD with momentum"
        parts += [title, part_table(result), f"{machine(result)}; {versions}."]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
