"""Tables of paired measurements."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from pairs import Record, differences, medians, ratios

from isotune.reports.numbers import NONE, number
from isotune.reports.tables import Table

UNITS = {
    "epoch": "an epoch from the second on, s",
    "training": "all epochs, s",
    "wall": "the whole process, s",
    "cpu": "its processor time, s",
    "peak_mib": "peak resident size, MiB",
    "step_ms": "training step, ms",
    "step_cpu_ms": "processor time of a training step, ms",
    "pause_ms": "pause of a step, ms",
    "save_ms": "until a save is on disk, ms",
    "load_ms": "loading, ms",
    "restore_ms": "restoring, ms",
    "pause_cpu_ms": "processor time of a pause, ms",
    "save_cpu_ms": "processor time of a save, ms",
    "load_cpu_ms": "processor time of loading, ms",
    "restore_cpu_ms": "processor time of restoring, ms",
    "first_pause_ms": "pause of the first save, ms",
    "first_save_ms": "until the first save is on disk, ms",
    "first_step": "first step, s",
    "to_first_step": "start to first step, s",
    "best_val_accuracy": "best validation accuracy",
    "index": "indexing, s",
    "check": "checking every image, s",
    "images_per_second": "images a second",
    "cpu_ms": "processor time an image, ms",
    "p50_ms": "latency, median, ms",
    "p90_ms": "latency, 90th percentile, ms",
    "p99_ms": "latency, 99th percentile, ms",
}
COLUMNS = ("", "median ratio", "smallest to largest", "pairs", "limit", "kept")


def part_table(result: Record) -> str:
    """Returns a Markdown table with a row per metric."""
    first, second = result["names"]
    table = Table([COLUMNS[0], first, second, *COLUMNS[1:]])
    for metric, limit in result["ratios"].items():
        sides, values = medians(result, metric), ratios(result, metric)
        if sides is None or not values:
            continue
        median = statistics.median(values)
        bound = result["bounds"].get(metric)
        table.add(
            UNITS.get(metric, metric),
            *(number(side, digits(side)) for side in sides),
            number(median, 3),
            f"{min(values):.3f} to {max(values):.3f}",
            len(values),
            *(_bounded(bound, sides[1]) if bound else _limited(result, metric, limit)),
        )
    for metric, least in result["differences"].items():
        _add_difference(table, result, metric, least)
    return table.markdown()


def _limited(result: Record, metric: str, limit: float | None) -> tuple[str, str]:
    if limit is None:
        return NONE, NONE
    allowance = result["allowances"].get(metric, 0)
    shown = f"{number(limit, 2)} and {allowance:g}" if allowance else number(limit, 2)
    return shown, verdict(statistics.median(ratios(result, metric, allowance)) <= limit)


def _bounded(bound: float, value: float) -> tuple[str, str]:
    return f"{bound:g} in all", verdict(value <= bound)


def _add_difference(table: Table, result: Record, metric: str, least: float) -> None:
    sides, values = medians(result, metric), differences(result, metric)
    if sides is None:
        return
    mean = statistics.fmean(values)
    table.add(
        f"{UNITS.get(metric, metric)} (difference of means)",
        *(number(side, 4) for side in sides),
        f"{mean:+.4f}",
        f"{min(values):+.4f} to {max(values):+.4f}",
        len(values),
        f"{least:+.2f}",
        verdict(mean >= least),
    )


def digits(value: float) -> int:
    """Returns the number of decimals for about three significant digits."""
    return 0 if value >= 100 else 1 if value >= 10 else 2


def verdict(kept: bool) -> str:
    return "yes" if kept else "no"


def overview(results: Sequence[Record]) -> str:
    """Returns a Markdown table with a row per limit and the measured value."""
    columns = ["what", "figure", "median ratio", "limit", "kept"]
    table = Table(columns, ["left", "left", "right", "right", "right"])
    for result in results:
        for metric, limit in result["ratios"].items():
            values = ratios(result, metric)
            if limit is not None and values:
                cells = number(statistics.median(values), 3), *_limited(result, metric, limit)
                table.add(result["title"], UNITS.get(metric, metric), *cells)
        for metric, bound in result["bounds"].items():
            if sides := medians(result, metric):
                label = f"{UNITS.get(metric, metric)} (no ratio)"
                table.add(result["title"], label, number(sides[1], 2), *_bounded(bound, sides[1]))
        for metric, least in result["differences"].items():
            if values := differences(result, metric):
                mean, label = statistics.fmean(values), UNITS.get(metric, metric)
                kept = verdict(mean >= least)
                table.add(result["title"], label, f"{mean:+.4f}", f"{least:+.2f}", kept)
    return table.markdown()
