"""What is wrong with images, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isotune.data.integrity.findings import Finding, ImageReference, Offender, Severity
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource
from isotune.printable import shortened
from isotune.reports.drawing import INK, WRONG
from isotune.reports.grid import MAX_PIXELS, Tile, grid, path_note, small
from isotune.reports.numbers import count as counted
from isotune.reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 2
"""Number of offenders that the table names for each finding."""

LONGEST = 160
"""Number of characters of an offender in the table."""

_COLORS: dict[Severity, str] = {"error": WRONG, "warning": INK}


def findings_table(findings: Sequence[Finding]) -> Table:
    """Returns a table with a row for each finding, and the first offenders."""
    columns = ["finding", "count", "first ones", "what to do"]
    table = Table(columns, ["left", "right", "left", "left"])
    for finding in findings:
        first = [shortened(described(each), LONGEST) for each in finding.offenders[:SHOWN]]
        more = [f"and {len(finding.offenders) - SHOWN:,} more"] * (len(finding.offenders) > SHOWN)
        table.add(
            f"{finding.severity}: {finding.title}",
            f"{finding.count:,}",
            "; ".join([*first, *more]),
            finding.advice,
        )
    return table


def described(offender: Offender) -> str:
    """Returns an offender in a line, such as ``train/ants/1.jpg = val/ants/7.jpg``."""
    images = " = ".join(f"{image.split}/{image.name}" for image in offender.images)
    classes = ", ".join(f"'{name}'" for name in offender.classes)
    return ": ".join(part for part in (images or classes, offender.detail) if part)


def findings_figure(
    name: str, findings: Sequence[Finding], sources: Mapping[str, ImageSource], count: int
) -> Figure:
    """Returns a figure of the images that findings are about, equal ones side by side.

    Every finding gets about the same number of images.

    Args:
        name: The experiment's name.
        findings: What is wrong.
        sources: The images, by split.
        count: Largest number of images.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    shown = [finding for finding in findings if any(each.images for each in finding.offenders)]
    share = max(count // max(len(shown), 1), 2)
    tiles = [tile for finding in shown for tile in _tiles(finding, sources, share)][:count]
    total = counted(len({_key(image) for each in shown for image in _images(each)}), "image")
    return grid(tiles, f"{name}: images to look at", f"{len(tiles)} of {total}")


def _images(finding: Finding) -> list[ImageReference]:
    return [image for offender in finding.offenders for image in offender.images]


def _key(image: ImageReference) -> tuple[str, int]:
    return image.split, image.index


def _tiles(finding: Finding, sources: Mapping[str, ImageSource], count: int) -> list[Tile]:
    tiles: list[Tile] = []
    for number, offender in enumerate(finding.offenders, 1):
        for image in offender.images[: count - len(tiles)]:
            several = len(offender.images) > 1
            title = f"{finding.kind} {number}" if several else finding.kind
            note = path_note(f"{image.split}/{image.name}")
            pixels = _pixels(sources[image.split], image.index)
            tiles.append(Tile(pixels, title, _COLORS[finding.severity], note))
    return tiles


def _pixels(source: ImageSource, index: int) -> NDArray[np.uint8]:
    """Returns an image reduced for a figure, or a gray one if it cannot be read."""
    try:
        return small(source.preview(index, MAX_PIXELS)[0])
    except DatasetError:
        return np.full((2, 3, 3), 224, np.uint8)
