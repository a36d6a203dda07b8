"""Paired measurements: kept in a JSON file as they come, so that a later call goes on."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from isotune.bench.machine import describe_machine
from isotune.interfaces.versions import versions

Record = dict[str, Any]
RESULTS = Path(__file__).resolve().parent / "results"
FRAMEWORKS = ("torch", "torchvision", "timm", "mindspore")


@dataclass(frozen=True)
class Part:
    """Two things that are measured in turn.

    Attributes:
        name: of the result's file.
        title: what is measured, for a table.
        first: measures the one that is compared with, given the number of the pair.
        second: measures the other one.
        ratios: metrics whose ratio second / first is told, with the limit it should keep.
        differences: the same for differences second - first, whose mean should be at least the
            limit.
        allowances: what the second may have of a metric beside its limit: a cache, in MiB.
        bounds: what the median of `second` itself should not exceed.
        names: what `first` and `second` are called.
    """

    name: str
    title: str
    settings: Record
    first: Callable[[int], Record]
    second: Callable[[int], Record]
    ratios: dict[str, float | None]
    differences: dict[str, float] = field(default_factory=dict)
    allowances: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    names: tuple[str, str] = ("native", "isotune")


class Deadline:
    """Tells whether there is time for another pair."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + minutes * 60
        self.longest = 0.0

    def allows_another(self) -> bool:
        return time.monotonic() + self.longest < self.end

    def timed(self, work: Callable[[], Record]) -> Record:
        begin = time.monotonic()
        result = work()
        self.longest = max(self.longest, time.monotonic() - begin)
        return result


def forget(part: Part, folder: Path = RESULTS) -> None:
    """Removes what earlier calls measured."""
    (folder / f"{part.name}.json").unlink(missing_ok=True)


def measure(
    parts: Sequence[Part], pairs: int, deadline: Deadline, folder: Path = RESULTS
) -> list[Record]:
    """Measures until there are `pairs` pairs of each part or no time is left; returns all results.

    Args:
        parts: what is measured; they take turns, so that each pair finds the same machine.
        pairs: how many there should be, those of earlier calls included.
        deadline: when no other pair may begin.
        folder: where results are kept.

    Raises:
        SystemExit: a file holds results of other settings.
    """
    results = [_opened(part, folder / f"{part.name}.json") for part in parts]
    for number in range(pairs):
        for part, result in zip(parts, results, strict=True):
            if len(result["pairs"]) == number and deadline.allows_another():
                result["pairs"].append(deadline.timed(lambda p=part, n=number: _pair(p, n)))
                _keep(result, folder / f"{part.name}.json")
                print(f"{part.name}: pair {number + 1} of {pairs}", flush=True)
    return results


def _keep(result: Record, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    beside.replace(path)


def _pair(part: Part, number: int) -> Record:
    # Whoever comes second finds a machine that is warmer, so they take turns.
    both = [(part.names[0], part.first), (part.names[1], part.second)]
    order = both if number % 2 == 0 else both[::-1]
    return {name: side(number) for name, side in order}


def _opened(part: Part, path: Path) -> Record:
    new = {
        "title": part.title,
        "settings": part.settings,
        "names": list(part.names),
        "ratios": part.ratios,
        "differences": part.differences,
        "allowances": part.allowances,
        "bounds": part.bounds,
        "machine": describe_machine(),
        "versions": installed_versions(),
        "pairs": [],
    }
    if not path.exists():
        return new
    old = json.loads(path.read_text("utf-8"))
    for name in ("settings", "machine", "versions"):
        if old[name] != new[name]:
            raise SystemExit(f"{path.name}: has results with other {name}; --fresh starts it anew.")
    return {**new, "pairs": old["pairs"]}


def installed_versions() -> dict[str, str]:
    """Returns the versions of the core's packages and of the frameworks that are installed."""
    found = versions()
    for package in FRAMEWORKS:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def ratios(result: Record, metric: str, allowance: float = 0) -> list[float]:
    """Returns second / first of every pair that has the metric, `allowance` taken off second."""
    first, second = result["names"]
    both = [(pair[first].get(metric), pair[second].get(metric)) for pair in result["pairs"]]
    return [(b - allowance) / a for a, b in both if a and b]


def differences(result: Record, metric: str) -> list[float]:
    """Returns second - first of every pair."""
    first, second = result["names"]
    return [pair[second][metric] - pair[first][metric] for pair in result["pairs"]]


def medians(result: Record, metric: str) -> tuple[float, float] | None:
    """Returns the median of the metric on each side."""
    sides = []
    for name in result["names"]:
        values = [pair[name][metric] for pair in result["pairs"] if pair[name].get(metric)]
        if not values:
            return None
        sides.append(statistics.median(values))
    return sides[0], sides[1]
