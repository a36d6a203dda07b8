"""What tests of transforms share: random images, many draws, and torchvision to compare with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from isotune.randomness import Purpose, stream
from isotune.spec.transforms import TransformSpec

DRAWS = 3000
BIG = (3000, 3000)
FILTERS = st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"])
WARP_FILTERS = st.sampled_from(["nearest", "bilinear", "bicubic"])
LENGTHS = st.integers(1, 48)
SIZES = st.one_of(LENGTHS, st.tuples(LENGTHS, LENGTHS))
FILLS = st.one_of(st.integers(0, 255), st.tuples(*[st.integers(0, 255)] * 3))
BORDERS = st.integers(0, 9)
PADDINGS = st.one_of(
    BORDERS, st.tuples(BORDERS, BORDERS), st.tuples(BORDERS, BORDERS, BORDERS, BORDERS)
)
MODES = st.sampled_from(["constant", "edge", "reflect", "symmetric"])


@st.composite
def images(draw_value: Any) -> Image.Image:
    width, height = draw_value(LENGTHS), draw_value(LENGTHS)
    return noise(width, height, draw_value(st.integers(0, 2**32 - 1)))


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def generator(seed: int) -> np.random.Generator:
    return stream(seed, Purpose.AUGMENTATION, 0, 0)


def torchvision() -> tuple[Any, Any, Any]:
    transforms = pytest.importorskip("torchvision.transforms")
    return transforms, transforms.functional, transforms.InterpolationMode


def listed(size: Any) -> Any:
    return list(size) if isinstance(size, tuple) else size


def assert_same(ours: Image.Image, theirs: Image.Image) -> None:
    assert ours.size == theirs.size
    assert ours.mode == theirs.mode == "RGB"
    assert ours.tobytes() == theirs.tobytes()


def draws(spec: TransformSpec, size: tuple[int, int] = BIG) -> list[Any]:
    return [spec.draw(stream(7, Purpose.AUGMENTATION, 0, i), size) for i in range(DRAWS)]


def assert_uniform(values: Iterable[float], low: float, high: float) -> None:
    """Kolmogorov-Smirnov: for 3000 uniform values a distance of 0.04 has odds of 1 in 10,000."""
    ranked = np.sort(np.array(list(values)))
    assert low <= ranked[0] <= ranked[-1] <= high
    expected = (ranked - low) / (high - low)
    assert np.abs(expected - np.arange(len(ranked)) / len(ranked)).max() < 0.04


def assert_alike(ours: Iterable[Iterable[float]], theirs: Iterable[Iterable[float]]) -> None:
    """Kolmogorov-Smirnov for each column of two tables of 3000 rows: see above, odds as there."""
    columns = [np.array([tuple(row) for row in table]).T for table in (ours, theirs)]
    for mine, others in zip(*columns, strict=True):
        values = np.concatenate([mine, others])
        shares = [
            np.searchsorted(np.sort(side), values, "right") / DRAWS for side in (mine, others)
        ]
        assert np.abs(shares[0] - shares[1]).max() < 0.058
