"""Compares the explanations of both backends, on one backbone of each family.

    python benchmarks/every_explanation.py [NAME ...]

Weights, images and the new head are those of every_backbone.py. The table is written to
benchmarks/results/explanations.md.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from every_backbone import BACKENDS, CLASSES, IMAGES, RESULTS, experiment, images, size_of, weights
from numpy.typing import NDArray
from pairs import installed_versions

from isotune.catalogue.entries import BUILT_IN
from isotune.equivalence.machine import describe_machine
from isotune.explaining.choose import choose_method
from isotune.explaining.geometry import enlarged
from isotune.explaining.method import score_weights
from isotune.interfaces.backbone import BackboneEntry
from isotune.models.build import build_with_heads
from isotune.plugins import plugins
from isotune.reports.tables import Table
from isotune.training.isolation import isolated

TOLERANCE = 1e-4
"""Largest difference of the heat, which is in [0, 1]."""

EXACT = "float64"
"""Stands for torch in float64, of which float32 is the rounding."""

COLUMNS = (
    "backbone",
    "method",
    "torch to mindspore",
    "torch to float64",
    "mindspore to float64",
    "positive",
    *(f"{name}, ms" for name in BACKENDS),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="by default the smallest of each family")
    parser.add_argument("--results", type=Path, default=RESULTS / "explanations.md")
    options = parser.parse_args()
    table = Table(COLUMNS, ["left", "left", *["right"] * (len(COLUMNS) - 2)])
    for entry in chosen(options.names):
        for stage in stages(entry):
            table.add(*compared(entry, stage))
            print(*table.rows[-1], flush=True)
    options.results.write_text(page(table), "utf-8")


def chosen(names: list[str]) -> list[BackboneEntry]:
    """Returns the backbones of these names, or the smallest one of each family."""
    if names:
        return [entry for entry in BUILT_IN if entry.name in names]
    smallest: dict[str, BackboneEntry] = {}
    for entry in sorted(BUILT_IN, key=lambda entry: entry.parameters or 0):
        smallest.setdefault(entry.family, entry)
    return sorted(smallest.values(), key=lambda entry: entry.name)


def stages(entry: BackboneEntry) -> list[str | None]:
    """Returns the usual choice, and the last stage but one."""
    return [None, [name for name in entry.stages if name != "head"][-2]]


def compared(entry: BackboneEntry, stage: str | None) -> tuple[str, ...]:
    """Returns the cells of a row."""
    found = {backend: explained(entry, stage, backend) for backend in (*BACKENDS, EXACT)}
    heats = [heat for _, heat, _ in found.values()]
    pairs = [(heats[0], heats[1]), (heats[0], heats[2]), (heats[1], heats[2])]
    differences = [float(np.abs(one - other).max()) for one, other in pairs]
    cells = [f"{difference:.0e}" for difference in differences]
    if differences[0] > TOLERANCE:
        cells[0] = f"**{cells[0]}**"
    times = [f"{found[backend][2]:,.0f}" for backend in BACKENDS]
    return (entry.name, found[EXACT][0], *cells, f"{(heats[0] > 0).mean():.0%}", *times)


def explained(
    entry: BackboneEntry, stage: str | None, backend_name: str
) -> tuple[str, NDArray[np.float32], float]:
    """Returns method, heat of each image for each class, and milliseconds for one."""
    exact, spec = backend_name == EXACT, experiment(entry)
    backend = plugins.open_backend(BACKENDS[0] if exact else backend_name, "cpu")
    with isolated(backend):
        model, heads = build_with_heads(spec, entry, backend, CLASSES)
        new = {k: v for path, head in heads.items() for k, v in head.state(path).items()}
        shapes = backend.state_adapter.model_shapes(model)
        backend.state_adapter.import_model(model, {**weights(shapes, entry), **new})
        method = choose_method(entry, backend, model, stage, None)
        (fed,) = backend.dataset.feed([images(entry)], entry.preprocessing.normalization)
        if exact:
            model, fed = model.double(), replace(fed, images=fed.images.double())
        side = size_of(entry)
        assert backend.explainer is not None
        found: list[NDArray[np.float32]] = []
        begin = time.perf_counter()
        for label in range(CLASSES if method.explains_classes else 1):
            score = score_weights(np.full(IMAGES, label), CLASSES, "cross_entropy")
            heats = method.heat(backend.explainer, model, fed, score, (side, side))
            found += [enlarged(heat, side, side) for heat in heats]
        milliseconds = (time.perf_counter() - begin) * 1e3 / len(found)
    name = method.name if method.stage is None else f"{method.name} at {method.stage}"
    return name, np.stack(found), milliseconds


def page(table: Table) -> str:
    """Returns the page as Markdown."""
    machine: dict[str, Any] = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    return (
        "# Explanations on both backends\n\n"
        f"Made by `benchmarks/every_explanation.py`: {IMAGES} random images, random weights, each"
        f" of {CLASSES} classes of a new head. Differences are the largest of the heat, which is"
        f" in [0, 1]; those between the backends that are above {TOLERANCE} are bold. Float64 is"
        " torch in double precision: a network that is as far from it on both backends rounds badly"
        " with these weights. Positive is the share of pixels whose heat is above 0. Milliseconds"
        " are for one image, explained once, on"
        f" {machine['cpus']} cores"
        f" ({machine['cpu']}, {machine['system']}; {packages}).\n\n{table.markdown()}\n"
    )


if __name__ == "__main__":
    main()
