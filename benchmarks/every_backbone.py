"""Compares both backends on every backbone of the catalogue, and times them.

    python benchmarks/every_backbone.py --work DIR [NAME ...]
    python benchmarks/every_backbone.py --work DIR --logits    # only compares the logits again
    python benchmarks/every_backbone.py --page                 # only writes the page again

Each backbone runs in a new process per backend, with the same random weights (including nontrivial
BatchNorm statistics and LayerScale), a new head of 7 classes and the same batch. The results of
each process are saved in DIR, so that the same call continues where the last one stopped. What is
found is kept in benchmarks/results/backbones.json; the table, with what worst_layers.py has found,
is written to backbones.md beside it.
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
FOUND, LAYERS = RESULTS / "backbones.json", RESULTS / "worst-layers.json"
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
    parser.add_argument("--work", type=Path, help="folder of intermediate results")
    again = "only compare the logits again; all else stays as it was measured"
    parser.add_argument("--logits", action="store_true", help=again)
    parser.add_argument("--page", action="store_true", help="only write the page again")
    parser.add_argument("--one", metavar="BACKEND", help=argparse.SUPPRESS)
    options = parser.parse_args()
    entries = {entry.name: entry for entry in BUILT_IN}
    if options.one:
        values = examined(entries[options.names[0]], options.one, options.logits)
        np.savez(saved(options.work, options.names[0], options.one, options.logits), **values)
        return
    failed = []
    if not options.page:
        if options.work is None:
            parser.error("--work is missing")
        options.work.mkdir(parents=True, exist_ok=True)
        for entry in sorted(entries.values(), key=lambda entry: entry.parameters or 0):
            if entry.name in options.names or not options.names:
                try:
                    compared = logits_again if options.logits else row
                    keep(found := compared(entry, options.work))
                    print(json.dumps(found), flush=True)
                except subprocess.CalledProcessError as error:
                    failed.append(f"{entry.name}: {error}")
    known = json.loads(FOUND.read_text("utf-8"))
    rows = [known["backbones"][name] for name in entries if name in known["backbones"]]
    layers = json.loads(LAYERS.read_text("utf-8")) if LAYERS.exists() else {}
    (RESULTS / "backbones.md").write_text(page(rows, known["measured"], layers), "utf-8")
    if failed:
        sys.exit("\n".join(failed))


def keep(found: dict[str, Any]) -> None:
    """Adds what was found of a backbone to the others."""
    known = json.loads(FOUND.read_text("utf-8")) if FOUND.exists() else {"backbones": {}}
    backbones = {**known["backbones"], found["name"]: found}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(backbones[name])}" for name in backbones)
    measured = json.dumps(surroundings())
    FOUND.write_text(f'{{"measured": {measured},\n"backbones": {{\n{lines}\n}}}}\n', "utf-8")


def surroundings() -> str:
    """Returns on what machine and with which versions something is measured."""
    machine = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    return f"{machine['cpus']} cores ({machine['cpu']}, {machine['system']}; {packages})"


def saved(work: Path, name: str, backend: str, logits: bool) -> Path:
    """Returns the file of one backend's results."""
    return work / f"{name}-{backend}{'-logits' if logits else ''}.npz"


def results(entry: BackboneEntry, work: Path, logits: bool) -> dict[str, dict[str, Any]]:
    """Returns the results of each backend, by new processes unless they are saved."""
    values = {}
    for backend in BACKENDS:
        path = saved(work, entry.name, backend, logits)
        if not path.exists():
            command = [sys.executable, __file__, entry.name, "--one", backend, "--work", str(work)]
            subprocess.run([*command, *(["--logits"] if logits else [])], check=True)
        values[backend] = dict(np.load(path))
    return values


def logits_again(entry: BackboneEntry, work: Path) -> dict[str, Any]:
    """Returns what is known of a backbone, with the difference of its logits measured again."""
    first, second = (results(entry, work, True)[backend]["logits"] for backend in BACKENDS)
    known: dict[str, Any] = json.loads(FOUND.read_text("utf-8"))["backbones"][entry.name]
    apart = distance(second, first)
    return {**known, "logits": apart, "agrees": known["agrees"] and apart < TOLERANCE}


def row(entry: BackboneEntry, work: Path) -> dict[str, Any]:
    """Returns the differences between the backends for a backbone."""
    values = results(entry, work, False)
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


def examined(
    entry: BackboneEntry, backend_name: str, only_logits: bool = False
) -> dict[str, NDArray[Any]]:
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
    if only_logits:
        return {"logits": logits}
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


def page(rows: list[dict[str, Any]], measured: str, layers: dict[str, Any]) -> str:
    """Returns the table as Markdown.

    Args:
        rows: What :func:`row` has returned.
        measured: On what machine and with which versions.
        layers: What worst_layers.py has found, by backbone.
    """
    equal = sum(each["verdict"] != "differs" for each in layers.values())
    lines = [
        "# Every backbone on both backends",
        "",
        f"Made by `benchmarks/every_backbone.py`: {IMAGES} random images, random weights, a new"
        f" head of {CLASSES} classes. Differences between the backends are relative to the largest"
        f" value; those up to {TOLERANCE} agree. Milliseconds are the shortest of {TIMES} times, on"
        f" {measured}.",
        "",
        "The worst layer is by `benchmarks/worst_layers.py`, with the same weights and small"
        " images: of all outputs, gradients, updates and new values of a training step, with"
        " everything training and MindSpore's step not compiled, the one whose relative difference"
        " is the largest share of what is taken for rounding. Of"
        f" {len(layers)} backbones, {equal} raise no alarm.",
        "",
        "| backbone | parameters | pixels | logits | loss | head's gradient | agrees"
        " | torch forward, ms | step, ms | mindspore forward, ms | step, ms | worst layer |",
        "|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|---|",
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
            f" | {agrees} | {times} | {worst(layers.get(each['name']))} |"
        )
    return "\n".join(lines) + "\n"


def worst(layer: dict[str, Any] | None) -> str:
    """Returns a backbone's worst layer as a cell of the table."""
    if layer is None:
        return ""
    share = layer["difference"] / layer["allowed"]
    alarm = "**differs**: " if layer["verdict"] == "differs" else ""
    return f"{alarm}`{layer['worst']}` {layer['difference']:.0e}, {share:.0%} of what is allowed"


if __name__ == "__main__":
    main()
