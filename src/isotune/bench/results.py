"""Reads the results of ``isotune bench`` and formats them as tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isotune.bench.suite import FORMAT, of
from isotune.errors import RunError
from isotune.reports.numbers import NONE, number
from isotune.reports.tables import Table

Results = dict[str, Any]
Key = tuple[Any, ...]

KEY = ("model", "batch", "size", "mode", "precision", "compile", "backend")
"""Fields of a setting that identify a measurement, the coarsest first."""


def read_results(path: Path) -> Results:
    """Reads a file of results.

    Raises:
        RunError: the file is missing, or ``isotune bench`` of this version did not write it.
    """
    try:
        results = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise RunError(f"{path}: is no JSON file: {error}.") from error
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise RunError(f"{path}: is not a file that this version of `isotune bench` wrote.")
    return results


def figures(results: Results, kind: str) -> dict[Key, dict[str, Any]]:
    """Returns the figures of all successful measurements of a kind, in order.

    The key consists of the setting's :data:`KEY`, the requested device, and ``isotune`` or
    ``native``.
    """
    return {
        (*key(measurement["setting"]), measurement["by"]): measurement["figures"]
        for measurement in results["measurements"]
        if measurement["kind"] == kind and "figures" in measurement
    }


def key(setting: dict[str, Any]) -> Key:
    """Returns the key of a setting: :data:`KEY` and the device, or how many processes share it."""
    compiled = "yes" if setting["compile"] else "no"
    several = f" x {setting['processes']}" if "processes" in setting else ""
    fields = (setting[n] if n != "compile" else compiled for n in KEY)
    return (*fields, f"{setting['device']}{several}")


def step_table(results: Results) -> Table:
    """Returns a table with a row per measured training step, and Isotune's ratio to native."""
    columns = [*KEY, "device", "by", "first step s", "ms/step", "IQR", "images/s", "peak MiB"]
    left = ["left", "right", "right", *["left"] * 6]
    table = Table([*columns, "ratio"], [*left, *["right"] * 6])
    steps = figures(results, "step")
    for (*setting, device, by), step in steps.items():
        native = steps.get((*setting, device, "native")) if by == "isotune" else None
        table.add(
            *setting,
            step.get("device", device),
            by,
            number(step["first_step"], 2),
            number(step["step_ms"], 1),
            number(step.get("step_ms_iqr"), 1),
            number(step["images_per_second"], 1),
            number(step.get("peak_memory_mib"), 0),
            number(step["step_ms"] / native["step_ms"], 3) if native else NONE,
        )
    return table


def data_table(results: Results) -> Table:
    """Returns a table with a row per measured data pipeline."""
    columns = ["data pipeline", "size", "batch", "images/s, first epoch", "images/s, second"]
    table = Table([*columns, "peak MiB"])
    for (_, batch, size, _, _, _, backend, _, by), pipeline in figures(results, "data").items():
        rates = pipeline["images_per_second"]
        table.add(
            "isotune" if by == "isotune" else f"native {backend}",
            size,
            batch,
            number(rates["first"], 0),
            number(rates.get("second"), 0),
            number(pipeline.get("peak_memory_mib"), 0),
        )
    return table


def inference_table(results: Results) -> Table:
    """Returns a table with a row per trained model that was measured, and its ratio to the first.

    The first is that with the same batch size which was named first.
    """
    columns = ["model", "computed by", "batch", "open s", "first batch s", "ms/image", "IQR"]
    table = Table([*columns, "images/s", "peak MiB", "ratio"], ["left", "left", *["right"] * 8])
    first: dict[int, float] = {}
    for measurement in results["measurements"]:
        if measurement["kind"] != "inference" or "figures" not in measurement:
            continue
        setting, figures = measurement["setting"], measurement["figures"]
        batch, milliseconds = setting["batch"], figures["batch_ms"] / setting["batch"]
        table.add(
            setting["model"],
            figures["engine"],
            batch,
            number(figures["open"], 2),
            number(figures["first_batch"], 2),
            number(milliseconds, 2),
            number(figures["batch_ms_iqr"] / batch, 2),
            number(figures["images_per_second"], 1),
            number(figures["peak_memory_mib"], 0),
            number(milliseconds / first.setdefault(batch, milliseconds), 3),
        )
    return table


def markdown(results: Results) -> str:
    """Returns the results as a Markdown page."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    parts = [f"Measured {results['measured']} on {machine(results)}, with {versions}."]
    parts += [table.markdown() for table in tables(results)]
    problems = [
        f"- {m['by']} {m['kind']}, {of(m['setting'])}: {m['error']}"
        for m in results["measurements"]
        if "error" in m
    ]
    if problems:
        parts.append("\n".join(["Not measured:", "", *problems]))
    return "\n\n".join(parts) + "\n"


def tables(results: Results) -> list[Table]:
    """Returns the tables that have at least one row."""
    made = (step_table(results), data_table(results), inference_table(results))
    return [table for table in made if table.rows]


def machine(results: Results) -> str:
    """Returns a description of the machine."""
    about = results["machine"]
    memory = f", {about['memory_gib']:.0f} GiB" if about.get("memory_gib") else ""
    return f"{about['cpu']}, {about['cpus']} CPUs{memory}, {about['system']}"
