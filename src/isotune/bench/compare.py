"""Compares the results of two machines or two versions."""

from __future__ import annotations

import statistics

from isotune.bench.results import KEY, Key, Results, figures
from isotune.errors import RunError
from isotune.reports.numbers import number
from isotune.reports.tables import Table


def comparison_table(first: Results, second: Results, names: tuple[str, str]) -> Table:
    """Returns a table with a row per common setting, with the ratio second / first.

    Args:
        first: the reference results.
        second: the results to compare.
        names: names of both in the table.

    Raises:
        RunError: the results have no training step in common.
    """
    pairs = common(first, second)
    if not pairs:
        raise RunError(f"{names[0]} and {names[1]} have no measured training step in common.")
    table = Table(
        [*KEY, "by", *(f"ms/step {name}" for name in names), "ratio", "images/s", "peak MiB"],
        ["left", "right", "right", *["left"] * (len(KEY) - 2), *["right"] * 5],
    )
    ratios = []
    for (*setting, _, by), a, b in pairs:
        ratios.append(b["step_ms"] / a["step_ms"])
        memory = [side.get("peak_memory_mib") for side in (a, b)]
        table.add(
            *setting,
            by,
            number(a["step_ms"], 1),
            number(b["step_ms"], 1),
            number(ratios[-1], 3),
            number(b["images_per_second"] / a["images_per_second"], 3),
            number(memory[1] / memory[0], 3) if memory[0] and memory[1] else "-",
        )
    blank = [""] * (len(KEY) + 2)
    table.add("geometric mean", *blank, number(statistics.geometric_mean(ratios), 3), "", "")
    return table


def common(first: Results, second: Results) -> list[tuple[Key, dict[str, float], dict[str, float]]]:
    """Returns (key, first figures, second figures) of every training step in both results."""
    ours, others = figures(first, "step"), figures(second, "step")
    return [(key, ours[key], others[key]) for key in ours if key in others]
