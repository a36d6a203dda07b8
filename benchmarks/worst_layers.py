"""Compares a whole training step of every backbone between both backends, layer by layer.

    python benchmarks/worst_layers.py --work DIR [NAME ...]

Weights are those of every_backbone.py, images are small where the backbone takes small ones. Each
backbone is traced in a new process per backend, with everything training; MindSpore's steps are not
compiled, so that it takes seconds. Traces are kept in DIR, so that the same call continues where
the last one stopped. What is found goes into benchmarks/results/worst-layers.json and, as a column,
onto the page of every_backbone.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from isotune.catalogue.entries import BUILT_IN
from isotune.equivalence.certificates.certificate import Certificate
from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.machine import describe_machine
from isotune.equivalence.recording.live import LiveSide, Step
from isotune.equivalence.recording.steps import Recording, record_steps
from isotune.equivalence.traces.file import read_trace, write_trace
from isotune.equivalence.traces.trace import Side, Trace
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.dataset import Batch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import StepPlan
from isotune.interfaces.versions import versions
from isotune.models.build import build_with_heads
from isotune.plugins import plugins
from isotune.spec.load import dump_spec
from isotune.training.isolation import isolated
from isotune.training.plan import plan_with

FOUND = Path(__file__).resolve().parent / "results" / "worst-layers.json"
SIDE, IMAGES = 64, 8
LARGE = 100_000_000
"""Parameters from which on a step is of fewer images and keeps less in memory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="names of backbones; by default all")
    parser.add_argument("--work", type=Path, required=True, help="folder of traces")
    parser.add_argument("--one", metavar="BACKEND", help=argparse.SUPPRESS)
    options = parser.parse_args()
    entries = {entry.name: entry for entry in BUILT_IN}
    if options.one:
        name = options.names[0]
        write_trace(
            options.work / f"{name}-{options.one}.trace", traced(entries[name], options.one)
        )
        return
    options.work.mkdir(parents=True, exist_ok=True)
    failed = []
    for entry in sorted(entries.values(), key=lambda entry: entry.parameters or 0):
        if entry.name in options.names or not options.names:
            try:
                print(entry.name, json.dumps(found := worst_layer(entry, options.work)), flush=True)
                keep(entry.name, found)
            except subprocess.CalledProcessError as error:
                failed.append(f"{entry.name}: {error}")
    if failed:
        sys.exit("\n".join(failed))


def worst_layer(entry: BackboneEntry, work: Path) -> dict[str, Any]:
    """Returns the verdict on a backbone and the value that is the most yardsticks apart."""
    traces = []
    for backend in ("torch", "mindspore"):
        path = work / f"{entry.name}-{backend}.trace"
        if not path.exists():
            command = [sys.executable, __file__, entry.name, "--one", backend, "--work", str(work)]
            subprocess.run(command, check=True)
        traces.append(read_trace(path))
    return described(compare(*traces), size_of(entry))


def described(certificate: Certificate, side: int) -> dict[str, Any]:
    """Returns what a certificate says, as plain values."""
    values = [value for step in certificate.steps for value in step.values]
    worst = max(values, key=lambda each: each.difference / each.allowed)
    place = certificate.place
    return {
        "pixels": side,
        "verdict": certificate.verdict,
        "place": None if place is None else f"{place.stage}/{place.name}",
        "values": len(values),
        "missing": sum(len(step.missing) for step in certificate.steps),
        "worst": worst.key,
        "difference": worst.difference,
        "allowed": worst.allowed,
    }


def keep(name: str, found: dict[str, Any]) -> None:
    """Adds what was found of a backbone to the others."""
    known = json.loads(FOUND.read_text("utf-8")) if FOUND.exists() else {}
    lines = {**known, name: found}
    rows = ",\n".join(f"{json.dumps(key)}: {json.dumps(lines[key])}" for key in sorted(lines))
    FOUND.write_text(f"{{\n{rows}\n}}\n", "utf-8")


def traced(entry: BackboneEntry, backend_name: str) -> Trace:
    """Returns the trace of a training step of a backbone with random weights."""
    from every_backbone import CLASSES, experiment, weights

    backend = plugins.open_backend(backend_name, "cpu")
    spec = experiment(entry).model_copy(update={"batch_size": images_of(entry)})
    plan = plan_with(spec, entry, None)
    with ExitStack() as stack:
        stack.enter_context(isolated(backend))
        if backend_name == "mindspore":
            from isotune_mindspore.step import pynative_mode

            stack.enter_context(patch("isotune_mindspore.step.graph_mode", pynative_mode))
        model, heads = build_with_heads(spec, entry, backend, CLASSES)
        new = {k: v for path, head in heads.items() for k, v in head.state(path).items()}
        shapes = backend.state_adapter.model_shapes(model)
        backend.state_adapter.import_model(model, {**weights(shapes, entry), **new})
        trainer = backend.trainer(model, plan)
        trainer.freeze(FreezePlan())
        live = LiveSide(backend, model, trainer, plan, entry.preprocessing.normalization)
        step = Step(batch(entry, CLASSES), (StepPlan(0, spec.optimizer.lr),))
        found = record_steps(live, [step], Recording(1, 0, 0, variants=backend_name == "torch"))
        side = Side(
            *(backend_name, "cpu", "fp32", False, 1, backend.threads(), versions(backend)),
            {name: str(value) for name, value in describe_machine().items()},
        )
    names = tuple(map(str, range(CLASSES)))
    return Trace(side, dump_spec(spec), names, found.start, found.layers, found.steps)


def images_of(entry: BackboneEntry) -> int:
    """Returns the number of images of a batch."""
    return IMAGES if (entry.parameters or 0) < LARGE else IMAGES // 2


def size_of(entry: BackboneEntry) -> int:
    """Returns the height and width of the images: 64, if the backbone supports it."""
    return min(max(SIDE, entry.min_input_size), entry.max_input_size or 10**6)


def batch(entry: BackboneEntry, classes: int) -> Batch:
    """Returns squares of random colors, which vary between positions like photographs."""
    side, count = size_of(entry), images_of(entry)
    square = max(4, side // 8)
    squares = -(-side // square)
    colors = np.random.default_rng(0).integers(0, 256, (count, squares, squares, 3), np.uint8)
    images = np.repeat(np.repeat(colors, square, 1), square, 2)[:, :side, :side]
    return Batch(np.ascontiguousarray(images), np.arange(count, dtype=np.int32) % classes)


if __name__ == "__main__":
    main()
