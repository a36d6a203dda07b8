"""Compares both backends on every backbone of the catalogue, and times them.

    python benchmarks/every_backbone.py --work DIR [NAME ...]

Each backbone runs in a new process per backend, with the same random weights (including nontrivial
BatchNorm statistics and LayerScale), a new head of 7 classes and the same batch. The results of
each process are saved in DIR, so that the same call continues where the last one stopped. The
table is written to benchmarks/results/backbones.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pairs import installed_versions

from isotune.catalogue.entries import BUILT_IN
from isotune.equivalence.machine import describe_machine
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.names import is_parameter
from isotune.interfaces.trainer import StepPlan
from isotune.models.build import build_with_heads, freezing_plans
from isotune.models.initial import initial_state
from isotune.models.normal import uniform
from isotune.plugins import plugins
from isotune.randomness import Purpose, named_stream
from isotune.spec.experiment import ExperimentSpec
from isotune.training.plan import plan_with

RESULTS = Path(__file__).resolve().parent / "results"
BACKENDS = ("torch", "mindspore")
CLASSES, IMAGES, SIZE = 7, 2, 224
SQUARE = 32
"""Pixels along a side."""
TIMES = 5
RANGES = {
    "weight": (0.1, 0.3),
    "bias": (0.2, 0.6),
    "running_mean": (-0.2, 0.2),
    "running_var": (0.5, 2.0),
    "layer_scale": (0.25, 0.75),
}
"""Ranges of random vectors, by the last part of their names.

With these values blocks add little to their shortcuts and most units are active, as in trained
networks. With BatchNorm weights of 1 and biases of 0 a random network amplifies rounding errors at
every layer: for ResNet-50, PyTorch's own gradient of the head differs by 2e-4 between float32 and
float64, with these values by 6e-7.
"""
TOLERANCE = 1e-4
"""Largest difference of logits, losses and gradients, relative to the largest value."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="names of backbones; by default all")
    parser.add_argument("--work", type=Path, required=True, help="folder of intermediate results")
    parser.add_argument("--results", type=Path, default=RESULTS / "backbones.md")
    parser.add_argument("--one", metavar="BACKEND", help=argparse.SUPPRESS)
    options = parser.parse_args()
    entries = {entry.name: entry for entry in BUILT_IN}
    if options.one:
        values = examined(entries[options.names[0]], options.one)
        np.savez(options.work / f"{options.names[0]}-{options.one}.npz", **values)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    failed = []
    for entry in sorted(entries.values(), key=lambda entry: entry.parameters or 0):
        if entry.name in options.names or not options.names:
            try:
                print(json.dumps(row(entry, options.work)), flush=True)
            except subprocess.CalledProcessError as error:
                failed.append(f"{entry.name}: {error}")
    rows = [row(entry, options.work, run=False) for entry in entries.values()]
    options.results.write_text(page([each for each in rows if each]), "utf-8")
    if failed:
        sys.exit("\n".join(failed))


def row(entry: BackboneEntry, work: Path, run: bool = True) -> dict[str, Any] | None:
    """Returns the differences between the backends for a backbone, or None if it was not run."""
    values = {}
    for backend in BACKENDS:
        path = work / f"{entry.name}-{backend}.npz"
        if not path.exists():
            if not run:
                return None
            command = [sys.executable, __file__, entry.name, "--one", backend, "--work", str(work)]
            subprocess.run(command, check=True)
        values[backend] = dict(np.load(path))
    first, second = (values[backend] for backend in BACKENDS)
    same_names = all(bool(np.array_equal(first[key], second[key])) for key in ("names", "shapes"))
    differences = {key: distance(second[key], first[key]) for key in ("logits", "loss", "gradient")}
    same_size = int(first["parameters"]) == int(second["parameters"]) == entry.parameters
    return {
        "name": entry.name,
        "parameters": entry.parameters,
        "pixels": size_of(entry),
        **differences,
        "agrees": same_names and same_size and max(differences.values()) < TOLERANCE,
        **{
            f"{backend} {key}": float(values[backend][key])
            for backend in BACKENDS
            for key in ("forward_ms", "step_ms")
        },
    }


def examined(entry: BackboneEntry, backend_name: str) -> dict[str, NDArray[Any]]:
    """Returns the results of one backend for a backbone.

    Raises:
        AssertionError: exporting an imported state changes it, or parameters outside the head
            train although the backbone is frozen.
    """
    backend = plugins.open_backend(backend_name, "cpu")
    spec = experiment(entry)
    original = backend.backbones.build(entry)
    parameters = count(backend, original)
    del original
    model, heads = build_with_heads(spec, entry, backend, CLASSES)
    new = {k: v for path, head in heads.items() for k, v in head.state(path).items()}
    shapes = backend.state_adapter.model_shapes(model)
    state = {**weights(shapes, entry), **new}
    backend.state_adapter.import_model(model, state)
    exported = backend.state_adapter.export_model(model)
    assert all(np.array_equal(exported[name], value) for name, value in state.items())
    check_freezing(spec, entry, backend, model)
    trainer = backend.trainer(model, plan_with(spec, entry, None))
    trainer.freeze(FreezePlan())
    fed = list(backend.dataset.feed([images(entry)], entry.preprocessing.normalization))
    logits = trainer.fetch([trainer.eval_step(fed[0])])[0].logits
    forward = timed(lambda: trainer.fetch([trainer.eval_step(fed[0])]))
    # A step with learning rate 0 changes only the running statistics, which training ignores.
    step = timed(lambda: trainer.fetch([trainer.train_step(fed[0], StepPlan(1, 0.0))]))
    loss = trainer.fetch([trainer.train_step(fed[0], StepPlan(0, 1.0))])[0].loss
    head = f"{entry.classifier}.weight"
    gradient = state[head].astype(np.float64) - backend.state_adapter.export_model(model)[head]
    names = sorted(shapes)
    return {
        "names": np.array(names),
        "shapes": np.array([str(tuple(shapes[name])) for name in names]),
        "parameters": np.array(parameters),
        "logits": logits,
        "loss": np.array([loss]),
        "gradient": gradient,
        "forward_ms": np.array(forward),
        "step_ms": np.array(step),
    }


def experiment(entry: BackboneEntry) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "name": "every-backbone",
            "dataset": {"path": "none"},
            "batch_size": IMAGES,
            "backbone": {"name": entry.name, "weights": "none"},
            "optimizer": {"name": "sgd", "lr": 1e-3},
            "freeze": "backbone",
            "epochs": 1,
        }
    )


def size_of(entry: BackboneEntry) -> int:
    """Returns the height and width of the images: 224, if the backbone supports it."""
    return min(max(SIZE, entry.min_input_size), entry.max_input_size or 10**6)


def images(entry: BackboneEntry) -> Batch:
    """Returns squares of random colors, which vary between positions like photographs.

    Features of noise are the same at all positions, and BatchNorm then divides by almost 0.
    """
    side = size_of(entry)
    squares = -(-side // SQUARE)
    colors = np.random.default_rng(0).integers(0, 256, (IMAGES, squares, squares, 3), np.uint8)
    images = np.repeat(np.repeat(colors, SQUARE, 1), SQUARE, 2)[:, :side, :side]
    return Batch(images, np.arange(IMAGES, dtype=np.int32) % CLASSES)


def weights(
    shapes: Mapping[str, tuple[int, ...]], entry: BackboneEntry
) -> dict[str, NDArray[np.float32]]:
    """Returns random weights with nontrivial norms, running statistics and LayerScale."""
    state = initial_state(shapes, 0, entry.initialization)
    for name, shape in shapes.items():
        kind = name.rpartition(".")[2]
        if (kind in RANGES and len(shape) == 1) or kind == "layer_scale":
            low, high = RANGES[kind]
            generator = named_stream(0, Purpose.INITIAL_VALUES, f"every/{name}")
            unit = uniform(generator, int(np.prod(shape))).reshape(shape)
            state[name] = (low + (high - low) * unit).astype(np.float32)
    return state


def check_freezing(
    spec: ExperimentSpec, entry: BackboneEntry, backend: Backend, model: Any
) -> None:
    """Checks that only the head trains if the backbone is frozen."""
    names = backend.state_adapter.model_shapes(model)
    plan = freezing_plans(spec, entry, names)(1)
    backend.freezing.apply(model, plan)
    trained = {name for name in set(names) - plan.frozen if is_parameter(name)}
    assert trained == {f"{entry.classifier}.weight", f"{entry.classifier}.bias"}, sorted(trained)


def count(backend: Backend, model: Any) -> int:
    """Returns the number of parameters of a model."""
    shapes = backend.state_adapter.model_shapes(model)
    return sum(int(np.prod(shape)) for name, shape in shapes.items() if is_parameter(name))


def timed(work: Callable[[], object]) -> float:
    """Returns the shortest of :data:`TIMES` times in milliseconds, after a warm-up."""
    work()
    times = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        work()
        times.append((time.perf_counter() - begin) * 1e3)
    return min(times)


def distance(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """Returns the largest difference relative to the largest expected value."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def page(rows: list[dict[str, Any]]) -> str:
    """Returns the table as Markdown."""
    machine = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    lines = [
        "# Every backbone on both backends",
        "",
        f"Made by `benchmarks/every_backbone.py`: {IMAGES} random images, random weights, a new"
        f" head of {CLASSES} classes. Differences between the backends are relative to the largest"
        f" value; those up to {TOLERANCE} agree. Milliseconds are the shortest of {TIMES} times, on"
        f" {machine['cpus']} cores ({machine['cpu']}, {machine['system']}; {packages}).",
        "",
        "| backbone | parameters | pixels | logits | loss | head's gradient | agrees"
        " | torch forward, ms | step, ms | mindspore forward, ms | step, ms |",
        "|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|",
    ]
    for each in rows:
        differences = " | ".join(f"{each[key]:.0e}" for key in ("logits", "loss", "gradient"))
        times = " | ".join(
            f"{each[f'{backend} {key}']:,.0f}"
            for backend in BACKENDS
            for key in ("forward_ms", "step_ms")
        )
        agrees = "yes" if each["agrees"] else "**no**"
        lines.append(
            f"| {each['name']} | {each['parameters']:,} | {each['pixels']} | {differences}"
            f" | {agrees} | {times} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
