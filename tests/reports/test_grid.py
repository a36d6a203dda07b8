from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from isotune.reports.grid import MAX_PIXELS, Tile, column_count, grid, small

NAMES = ("cat", "Staffordshire bull terrier, Staffordshire bullterrier", "W" * 40, "$5_bill$")


def tile(height: int, width: int, title: str, note: str = "") -> Tile:
    return Tile(np.zeros((height, width, 3), np.uint8), title, note=note)


def test_no_text_leaves_the_figure_or_meets_another():
    shapes = [(9, 9), (90, 9), (9, 90), (30, 40)]
    tiles = [
        tile(*shape, title=name, note=f"/some/where/{name}/{'1' * 30}.jpg")
        for shape in shapes
        for name in NAMES
    ]
    figure = grid(tiles, "a-very-long-experiment-name-" * 5, "detail " * 40)
    figure.savefig(io.BytesIO(), format="png", dpi=figure.dpi)
    notes = [text for axes in figure.axes for text in axes.texts]
    texts = [*figure.texts, *(axes.title for axes in figure.axes), *notes]
    boxes = [text.get_window_extent() for text in texts]
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize(
    ("images", "columns"), [(0, 1), (1, 1), (2, 2), (3, 3), (5, 3), (8, 4), (16, 4), (25, 5)]
)
def test_images_fill_their_rows(images: int, columns: int):
    assert column_count(images) == columns


def test_no_image_leaves_the_heading():
    figure = grid([], "name", "no mistake")
    assert [text.get_text() for text in figure.texts] == ["name", "no mistake"]
    assert figure.axes == []


def test_large_images_are_reduced_in_proportion():
    assert small(Image.new("RGB", (4000, 2000))).shape == (MAX_PIXELS // 2, MAX_PIXELS, 3)
    assert small(Image.new("RGB", (5, 4))).shape == (4, 5, 3)
