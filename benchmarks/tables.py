"""Tables of paired measurements."""

from __future__ import annotations

import statistics

from pairs import Record, differences, medians, ratios

from isotune.reports.figures import NONE, number
from isotune.reports.tables import Table

UNITS = {
    "epoch": "an epoch from the second on, s",
    "training": "all epochs, s",
    "wall": "the whole process, s",
    "peak_mib": "peak resident size, MiB",
    "step_ms": "training step, ms",
    "first_step": "first step, s",
    "to_first_step": "start to first step, s",
    "best_val_accuracy": "best validation accuracy",
    "index": "indexing, s",
    "check": "checking every picture, s",
}
COLUMNS = ("", "median ratio", "smallest to largest", "pairs", "limit", "kept")


def part_table(result: Record) -> str:
    """Returns a Markdown table: a line a metric."""
    first, second = result["names"]
    table = Table([COLUMNS[0], first, second, *COLUMNS[1:]])
    for metric, limit in result["ratios"].items():
        sides, found = medians(result, metric), ratios(result, metric)
        if sides is None or not found:
            continue
        median = statistics.median(found)
        table.add(
            UNITS.get(metric, metric),
            *(number(side, digits(side)) for side in sides),
            number(median, 3),
            f"{min(found):.3f} to {max(found):.3f}",
            len(found),
            NONE if limit is None else number(limit, 2),
            verdict(limit is None, limit is not None and median <= limit),
        )
    for metric, least in result["differences"].items():
        _add_difference(table, result, metric, least)
    return table.markdown()


def _add_difference(table: Table, result: Record, metric: str, least: float) -> None:
    sides, found = medians(result, metric), differences(result, metric)
    if sides is None:
        return
    mean = statistics.fmean(found)
    table.add(
        f"{UNITS.get(metric, metric)} (difference of means)",
        *(number(side, 4) for side in sides),
        f"{mean:+.4f}",
        f"{min(found):+.4f} to {max(found):+.4f}",
        len(found),
        f"{least:+.2f}",
        verdict(False, mean >= least),
    )


def digits(value: float) -> int:
    """Returns decimals that leave about three significant digits."""
    return 0 if value >= 100 else 1 if value >= 10 else 2


def verdict(no_limit: bool, kept: bool) -> str:
    return NONE if no_limit else "yes" if kept else "no"
