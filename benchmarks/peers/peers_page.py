"""The page of all comparisons with peers."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path

from pairs import Record, medians, ratios
from sides import PEERS, WORKS
from tables import digits

from isotune.bench.results import machine
from isotune.reports.numbers import number
from isotune.reports.tables import Table

COLUMNS = (
    "", "CPU, s", "Isotune's", "ratio", "smallest to largest", "wall, s", "Isotune's", "ratio",
    "smallest to largest", "accuracy", "Isotune's", "pairs",
)  # fmt: skip


def render(folder: Path) -> str:
    """Returns the Markdown page of the files in `folder`."""
    results = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    results = [result for result in results if result["pairs"]]
    parts = ["# Beside its peers", _about(results)] if results else ["# Beside its peers"]
    for threads in (1, 2):
        for work, what in WORKS.items():
            of = {
                result["settings"]["peer"]: result
                for result in results
                if (result["settings"]["work"], result["settings"]["threads"]) == (work, threads)
            }
            if of:
                count = "one compute thread" if threads == 1 else f"{threads} compute threads"
                parts.append(f"## {what[0].upper()}{what[1:]}, {count}")
                parts.append(_table(of[name] for name in PEERS if name in of))
    return "\n\n".join(parts) + "\n"


def _about(results: list[Record]) -> str:
    settings, versions = results[0]["settings"], results[0]["versions"]
    loads = [
        side["load"] for result in results for pair in result["pairs"] for side in pair.values()
    ]
    machines = " and ".join(sorted({machine(result) for result in results}))
    return (
        "Made by `make peers`; [how it is measured](../README.md#beside-its-peers). Whole"
        f" processes, imports and all: {settings['model']}, {settings['data']},"
        f" {settings['size']} px, batch {settings['batch']}, {settings['epochs']} epochs, from the"
        " same weights; each process has as many CPUs as it computes threads. Measured on"
        f" {machines}, with torch {versions['torch']}; the load was {min(loads):.0f} to"
        f" {max(loads):.0f}: beyond the number of CPUs, only CPU seconds mean something. A ratio is"
        " Isotune's figure over the peer's, the median of the pairs'; below 1 is less. Accuracy is"
        " that of the last epoch on the validation images."
    )


def _table(results: Iterable[Record]) -> str:
    table = Table(list(COLUMNS))
    for result in results:
        cells: list[str] = []
        for metric in ("cpu", "wall"):
            sides, values = medians(result, metric), ratios(result, metric)
            assert sides
            cells += [number(side, digits(side)) for side in sides]
            cells.append(number(statistics.median(values), 2))
            cells.append(f"{min(values):.2f} to {max(values):.2f}")
        sides = medians(result, "accuracy")
        cells += [number(side, 3) for side in sides] if sides else ["", ""]
        table.add(result["settings"]["peer"], *cells, len(result["pairs"]))
    return table.markdown()
