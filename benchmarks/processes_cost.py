"""What a training step of several processes costs: bytes that each sends, and milliseconds.

    sudo unshare --net sh -c "ip link set lo up && \\
        python benchmarks/processes_cost.py --backend torch --model resnet50 --batch 8"

Bytes are those of the loopback interface, in a network namespace of its own without any other
traffic, divided by the steps and the processes. For comparison, one process computes the same
shards, and an undivided batch. The variants take turns, each in processes of its own. Every variant
is added to benchmarks/results/processes-cost.json, of which the page beside it is made. Linux only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from launched import launched
from pairs import RESULTS, installed_versions

from isotune.bench.setting import Setting
from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import normalization, resolve
from isotune.equivalence.machine import describe_machine
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, DeviceBatch
from isotune.interfaces.division import Division, Part
from isotune.interfaces.trainer import StepPlan, Trainer
from isotune.models.build import build_model, freezing_plans
from isotune.plugins import plugins
from isotune.reports.tables import Table
from isotune.spec.load import load_spec
from isotune.training.plan import plan_with

Figures = dict[str, Any]
Variant = tuple[int, int, str]
"""Processes, shards, reduction."""

WARM_UP = 2
"""Steps before the measured ones, in which frameworks compile and connect."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", choices=("torch", "mindspore"), required=True)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--processes", type=int, action="append", help="by default 2 and 4")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS / "processes-cost.json")
    parser.add_argument("--measure", help="for the processes that are measured: a variant as JSON")
    options = parser.parse_args()
    if options.measure:
        measured(options, *json.loads(options.measure))
        return
    for number in range(options.rounds):
        for variant in variants(options.processes or (2, 4)):
            figures = start(options, variant)
            add(options, variant, figures)
            print(number, variant, figures, flush=True)


def variants(processes: tuple[int, ...]) -> list[Variant]:
    """Returns what is measured: one process undivided, and with shards; several exact and fast."""
    found: list[Variant] = [(1, 1, "exact")]
    for count in processes:
        found += [(1, count, "exact"), (count, count, "exact"), (count, count, "fast")]
    return found


def start(options: argparse.Namespace, variant: Variant) -> Figures:
    """Measures a variant in new processes."""
    command = ["--backend", options.backend, "--measure", json.dumps(variant)]
    for name in ("model", "batch", "size", "steps"):
        command += [f"--{name}", str(getattr(options, name))]
    ended = launched(options.backend, variant[0], command, Path.home(), script=Path(__file__))
    line = next(each for each in ended.output.splitlines() if '{"step_ms"' in each)
    figures: Figures = json.loads(line[line.index("{") :])
    return figures


def measured(options: argparse.Namespace, processes: int, shards: int, reduction: str) -> None:
    """Measures training steps; process 0 prints the figures."""
    backend = plugins.open_backend(options.backend, "cpu", join=processes > 1)
    place = backend.communicator.place
    division = Division(shards, place.processes, place.rank)
    with backend.isolated():
        trainer, parts = prepared(options, backend, division, reduction)
        times, sent = [], 0
        for number in range(WARM_UP + options.steps):
            backend.communicator.gather(np.zeros(1))
            before, begin = sent_bytes(), time.perf_counter()
            train(trainer, parts, number)
            backend.communicator.gather(np.zeros(1))
            if number >= WARM_UP:
                times.append(time.perf_counter() - begin)
                sent += sent_bytes() - before
        threads = backend.threads()
        backend.communicator.close()
    if place.leads:
        figures = {
            "step_ms": statistics.median(times) * 1e3,
            "bytes": sent / options.steps / processes,
            "threads": threads,
            "gradient_bytes": gradient_bytes(backend, trainer),
        }
        print(json.dumps(figures), flush=True)


def prepared(
    options: argparse.Namespace, backend: Backend, division: Division, reduction: str
) -> tuple[Trainer, list[tuple[DeviceBatch, Part | None, float]]]:
    """Returns a trainer, and this process's parts of a batch with their shares of it."""
    setting = Setting(options.backend, "cpu", options.model, options.batch, size=options.size)
    loaded = load_spec({**setting.experiment(), "shards": division.shards, "reduction": reduction})
    entry = chosen_backbone(loaded.backbone, backend.name, plugins)
    spec = resolve(loaded, entry)
    model = build_model(spec, entry, backend, setting.classes)
    trainer = backend.trainer(model, plan_with(spec, entry, None))
    names = backend.state_adapter.model_shapes(model)
    trainer.freeze(freezing_plans(spec, entry, names)(1))
    shape = (options.batch, options.size, options.size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = (np.arange(options.batch) % setting.classes).astype(np.int32)
    parts = division.divide(options.batch)
    fed = backend.dataset.feed(
        [Batch(images[part.start : part.stop], labels[part.start : part.stop]) for part in parts],
        normalization(spec),
    )
    return trainer, [
        (batch, None if division.whole else part, len(part) / options.batch)
        for batch, part in zip(fed, parts, strict=True)
    ]


def train(
    trainer: Trainer, parts: list[tuple[DeviceBatch, Part | None, float]], number: int
) -> None:
    """Makes a training step and waits for it."""
    outputs = []
    for batch, part, share in parts:
        last = part is None or part.last
        plan = StepPlan(number, 1e-3, loss_scale=share, apply_update=last, part=part)
        outputs.append(trainer.train_step(batch, plan))
    trainer.fetch(outputs)


def gradient_bytes(backend: Backend, trainer: Trainer) -> int:
    """Returns the size of a gradient of all trainable parameters: that of the momentum."""
    return sum(value.nbytes for value in backend.state_adapter.export_optimizer(trainer).values())


def sent_bytes() -> int:
    """Returns how many bytes the loopback interface has sent, those of TCP and IP included."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == "lo":
            return int(figures.split()[8])
    return 0


def add(options: argparse.Namespace, variant: Variant, figures: Figures) -> None:
    """Adds a measurement to the results, and writes the page."""
    results: Path = options.results
    found = json.loads(results.read_text("utf-8")) if results.exists() else {}
    setting = f"{options.backend}, {options.model}, {options.batch} images of {options.size}"
    name = " ".join(map(str, variant))
    found.setdefault(setting, {}).setdefault(name, []).append(figures)
    results.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    results.with_suffix(".md").write_text(page(found), "utf-8")


def page(found: dict[str, dict[str, list[Figures]]]) -> str:
    """Returns the page as Markdown."""
    machine: dict[str, Any] = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    parts = [
        "# What a step of several processes costs",
        "Made by `benchmarks/processes_cost.py`: training steps on one batch, SGD with momentum,"
        " all processes on one machine, which they share: more processes cannot be faster here."
        " Bytes are what a process sends in a step, headers of TCP and IP included, over the size"
        f" of the gradient. {machine['cpus']} cores ({machine['cpu']}, {machine['system']};"
        f" {packages}).",
    ]
    columns = ("processes", "shards", "reduction", "threads", "ms a step", "range", "rounds")
    for setting, variants in found.items():
        table = Table((*columns, "MB sent", "gradients"), ["right"] * 9)
        for name, rounds in variants.items():
            processes, shards, reduction = name.split()
            times = [each["step_ms"] for each in rounds]
            sent = statistics.median(each["bytes"] for each in rounds)
            table.add(
                *(processes, shards, reduction if shards != "1" else "", rounds[0]["threads"]),
                f"{statistics.median(times):,.0f}",
                f"{min(times):,.0f} to {max(times):,.0f}",
                len(rounds),
                f"{sent / 1e6:,.1f}" if processes != "1" else "",
                f"{sent / rounds[0]['gradient_bytes']:.2f}" if processes != "1" else "",
            )
        size = next(iter(variants.values()))[0]["gradient_bytes"]
        parts += [f"## {setting}", f"A gradient has {size / 1e6:,.1f} MB.", table.markdown()]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
