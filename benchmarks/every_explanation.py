"""Compares the explanations of both backends, on one backbone of each family.

    python benchmarks/every_explanation.py [NAME ...]

Weights, images and the new head are those of every_backbone.py. The table is written to
benchmarks/results/explanations.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from every_backbone import BACKENDS, CLASSES, IMAGES, RESULTS, experiment, images, size_of, weights
from numpy.typing import NDArray
from pairs import installed_versions

from isotune.bench.machine import describe_machine
from isotune.catalogue.entries import BUILT_IN
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

COLUMNS = ("backbone", "method", "difference", "positive", *(f"{name}, ms" for name in BACKENDS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="by default the smallest of each family")
    parser.add_argument("--results", type=Path, default=RESULTS / "explanations.md")
    options = parser.parse_args()
    table = Table(COLUMNS, ["left", "left", "right", "right", "right", "right"])
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
    found = {backend: explained(entry, stage, backend) for backend in BACKENDS}
    (name, first, _), (_, second, _) = found.values()
    difference = float(np.abs(first - second).max())
    mark = "" if difference <= TOLERANCE else " **too large**"
    times = [f"{milliseconds:,.0f}" for _, _, milliseconds in found.values()]
    return (entry.name, name, f"{difference:.0e}{mark}", f"{(first > 0).mean():.0%}", *times)


def explained(
    entry: BackboneEntry, stage: str | None, backend_name: str
) -> tuple[str, NDArray[np.float32], float]:
    """Returns method, heat of all images and classes in turn, and milliseconds an image."""
    backend, spec = plugins.open_backend(backend_name, "cpu"), experiment(entry)
    with isolated(backend):
        model, heads = build_with_heads(spec, entry, backend, CLASSES)
        new = {k: v for path, head in heads.items() for k, v in head.state(path).items()}
        shapes = backend.state_adapter.model_shapes(model)
        backend.state_adapter.import_model(model, {**weights(shapes, entry), **new})
        method = choose_method(entry, backend, model, stage, None)
        (fed,) = backend.dataset.feed([images(entry)], entry.preprocessing.normalization)
        size, labels = (size_of(entry),) * 2, np.arange(IMAGES)
        score = score_weights(labels, CLASSES, "cross_entropy")
        assert backend.explainer is not None
        times: list[float] = []
        for _ in range(2):
            begin = time.perf_counter()
            heats = method.heat(backend.explainer, model, fed, score, size)
            times.append((time.perf_counter() - begin) * 1e3 / IMAGES)
    name = method.name if method.stage is None else f"{method.name} at {method.stage}"
    return name, np.stack([enlarged(heat, *size) for heat in heats]), min(times)


def page(table: Table) -> str:
    """Returns the page as Markdown."""
    machine: dict[str, Any] = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    return (
        "# Explanations on both backends\n\n"
        f"Made by `benchmarks/every_explanation.py`: {IMAGES} random images, random weights, a head"
        f" of {CLASSES} classes. The difference is the largest of the heat, which is in [0, 1]; up"
        f" to {TOLERANCE} is equal. Positive is the share of pixels whose heat is above 0."
        " Milliseconds are for one image, the better of two times, on"
        f" {machine['cpus']} cores"
        f" ({machine['cpu']}, {machine['system']}; {packages}).\n\n{table.markdown()}\n"
    )


if __name__ == "__main__":
    main()
