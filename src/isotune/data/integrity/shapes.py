"""Finds images of unusual size, shape or brightness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.data.decode import FULL_SIZE
from isotune.data.integrity.findings import ExaminedSplit, Finding, Kind, Offender, image_finding

SIZE_RATIO = 10.0
"""How many times smaller or larger than usual an image's sides are (the geometric mean of both),
that it counts as tiny or huge; as in cleanvision."""

MIN_SIDE = 4
"""Width and height below which an image is tiny in any dataset."""

ELONGATED = 4.0
"""Longer side, relative to the shorter one, from which the usual center crop shows a quarter of an
image at most."""

ONE_COLOR = 8
"""Largest range of levels, of 255, of an image of one color. JPEG compression of one color and the
noise of a camera with a closed lens stay within it."""

DARK, BRIGHT = 32, 223
"""Luminance, of 255, that no region of a dark image exceeds, and below which none of a bright image
is. A region is 1/16 of the width and height."""


def unusual_images(splits: Sequence[ExaminedSplit]) -> list[Finding]:
    """Returns what is unusual about the readable images of `splits`."""
    sides = [_sides(each.looks.records[each.looks.readable]) for each in splits]
    usual = float(np.median(np.concatenate(sides))) if any(map(len, sides)) else 0.0
    offenders: dict[Kind, list[Offender]] = {kind: [] for kind in _MEANINGS}
    for each in splits:
        for kind, which in _unusual(each.looks.records, usual).items():
            indices = np.flatnonzero(which & each.looks.readable)
            details = [_detail(each.looks.records[index]) for index in indices]
            offenders[kind] += each.offenders(indices.tolist(), details)
    return [
        finding
        for kind, (title, advice) in _MEANINGS.items()
        for finding in image_finding(
            kind, offenders[kind], title.format(usual=round(usual)), advice, "warning"
        )
    ]


_MEANINGS: dict[Kind, tuple[str, str]] = {
    "one-colored": ("images of one color", "delete them"),
    "dark": (
        "images that are almost black",
        "delete them, or brighten them if they show something",
    ),
    "bright": (
        "images that are almost white",
        "delete them, or darken them if they show something",
    ),
    "tiny": (
        "images that are tiny beside the usual {usual} x {usual} pixels",
        "replace thumbnails and icons by the images that they were made from, or delete them",
    ),
    "huge": (
        "images that are huge beside the usual {usual} x {usual} pixels",
        "reduce them, since every epoch decodes them, or refuse them with dataset.max_pixels",
    ),
    "elongated": (
        f"images {ELONGATED:g} times as long as wide, or more, so that crops show little of them",
        "cut them by hand, or end transforms.train and transforms.val in resize: [height, width]",
    ),
}


def _unusual(records: NDArray[Any], usual: float) -> dict[Kind, NDArray[np.bool_]]:
    """Returns which images are unusual in what way."""
    width, height = records["width"], records["height"]
    shorter, longer = np.minimum(width, height), np.maximum(width, height)
    one_color = records["range"] <= ONE_COLOR
    flat = records["thumbnail"].reshape(len(records), -1)
    return {
        "one-colored": one_color,
        "dark": ~one_color & (flat.max(axis=1) <= DARK),
        "bright": ~one_color & (flat.min(axis=1) >= BRIGHT),
        "tiny": (_sides(records) * SIZE_RATIO <= usual) | (shorter < MIN_SIDE),
        "huge": (_sides(records) >= SIZE_RATIO * usual)
        | (width.astype(np.int64) * height > FULL_SIZE),
        "elongated": longer >= ELONGATED * shorter,
    }


def _sides(records: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the side of a square with as many pixels as each image."""
    sides: NDArray[np.float64] = np.sqrt(records["width"].astype(np.float64) * records["height"])
    return sides


def _detail(record: Any) -> str:
    return f"{record['width']} x {record['height']} pixels"
