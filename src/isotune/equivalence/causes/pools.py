"""Which kind of pooling an output fits: largest or mean, of which window."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import fitting, two, unraveled
from isotune.equivalence.causes.evidence import Array, Evidence

PLACES = 256
"""Number of outputs that are computed again."""


@dataclass(frozen=True, eq=False)
class _Windows:
    """Windows of a map.

    Attributes:
        x: Input, shape (N, channels, height, width).
        kernel, stride: Of height and width.
        before: Padding before height and width.
    """

    x: Array
    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]

    def at(self, places: list[NDArray[np.int64]]) -> dict[str, NDArray[np.float64]]:
        """Returns what different poolings make of the windows at these indices."""
        area = self.kernel[0] * self.kernel[1]
        rows = []
        for image, channel, row, column in zip(*places, strict=True):
            top = int(row) * self.stride[0] - self.before[0]
            left = int(column) * self.stride[1] - self.before[1]
            plane = self.x[int(image), int(channel)]
            window = plane[max(top, 0) : top + self.kernel[0], max(left, 0) : left + self.kernel[1]]
            wide = window.astype(np.float64).reshape(-1)
            if not wide.size:
                rows.append((0.0, 0.0, 0.0, 0.0))
                continue
            largest = wide.max() if wide.size == area else max(wide.max(), 0.0)
            rows.append((wide.max(), largest, wide.mean(), wide.sum() / area))
        return dict(zip(NAMES, np.array(rows).T, strict=True))


NAMES = (
    "maximum",
    "maximum with zeros as padding",
    "mean",
    "mean that counts the padding (count_include_pad)",
)


def other_pooling(evidence: Evidence) -> str | None:
    """Finds which pooling each side's output fits."""
    pair, inputs = evidence.found(), evidence.inputs()
    if evidence.outputs() is None or pair is None or len(inputs) != 1 or inputs[0].ndim != 4:
        return None
    windows = _windows(evidence, inputs[0], pair.shape)
    if windows is None:
        return None
    worst = np.argsort(np.abs(pair.one - pair.other), kind="stable")[-PLACES // 2 :]
    spread = np.arange(0, len(pair.positions), max(1, 2 * len(pair.positions) // PLACES))
    some = pair.part(np.unique(np.concatenate([worst, spread])))
    places = unraveled(some.positions, pair.shape)
    known = windows.at(places)
    if windows.kernel != inputs[0].shape[2:]:
        top, left = windows.before
        for down, right in ((-1, -1), (0, -1), (-1, 0), (1, 1), (0, 1), (1, 0)):
            moved = replace(windows, before=(top + down, left + right))
            text = f"with windows that begin {-down} rows below and {-right} columns to the right"
            known |= {f"{name} {text}": each for name, each in moved.at(places).items()}
    one, other = (fitting(known, side, some.between) for side in (some.one, some.other))
    if one is None or other is None or one == other:
        return None
    first, second = evidence.labels
    return f"It fits the {one} in {first}, and the {other} in {second}."


def _windows(evidence: Evidence, x: Array, shape: tuple[int, ...]) -> _Windows | None:
    if (
        not any("Pool" in kind or "Mean" in kind for kind in evidence.kinds)
        or len(shape) != 4
        or shape[:2] != x.shape[:2]
    ):
        return None
    if shape[2:] == (1, 1):
        return _Windows(x, (x.shape[2], x.shape[3]), (1, 1), (0, 0))
    kernel = two(evidence.setting("kernel_size"), 0)
    if 0 in kernel:
        return None
    stride, before = two(evidence.setting("stride"), 0), two(evidence.setting("padding"), 0)
    return _Windows(x, kernel, stride if 0 not in stride else kernel, before)
