"""Paired measurements, saved to a JSON file after each pair so that a later call can continue."""

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

from isotune.equivalence.machine import describe_machine
from isotune.interfaces.versions import versions
from isotune.storage.atomic import write_atomically

Record = dict[str, Any]
RESULTS = Path(__file__).resolve().parent / "results"
FRAMEWORKS = ("torch", "torchvision", "timm", "mindspore")


@dataclass(frozen=True)
class Part:
    """A comparison of two measurements, which are run in turn.

    Attributes:
        name: name of the results file.
        title: title in tables.
        settings: settings that results must share to be combined.
        first: runs the reference measurement, given the number of the pair.
        second: runs the other measurement.
        ratios: metrics whose ratio second / first is reported, with upper limits or None.
        differences: metrics whose mean difference second - first has a lower limit.
        allowances: amounts of a metric that are subtracted from `second` before its limit is
            checked: the size of a cache in MiB, for example.
        bounds: upper limits for the median of `second` itself.
        names: names of `first` and `second`.
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
    """Decides whether there is time for another pair."""

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
    """Removes the results of earlier calls."""
    (folder / f"{part.name}.json").unlink(missing_ok=True)


def measure(
    parts: Sequence[Part], pairs: int, deadline: Deadline, folder: Path = RESULTS
) -> list[Record]:
    """Measures until each part has `pairs` pairs or no time is left; returns all results.

    Args:
        parts: the comparisons, which take turns, so that changes of the machine affect all.
        pairs: number of pairs, including those of earlier calls.
        deadline: decides whether another pair may begin.
        folder: folder of the results.

    Raises:
        SystemExit: a file has results with other settings.
    """
    results = [_opened(part, folder / f"{part.name}.json") for part in parts]
    for number in range(pairs):
        for part, result in zip(parts, results, strict=True):
            if len(result["pairs"]) == number and deadline.allows_another():
                result["pairs"].append(deadline.timed(lambda p=part, n=number: _pair(p, n)))
                _save(result, folder / f"{part.name}.json")
                print(f"{part.name}: pair {number + 1} of {pairs}", flush=True)
    return results


def _save(result: Record, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(result, indent=1) + "\n")


def _pair(part: Part, number: int) -> Record:
    # The second measurement finds a warmer machine, so the order alternates.
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
    """Returns (second - allowance) / first of every pair that has the metric."""
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
