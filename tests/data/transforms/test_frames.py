from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augmenting import (
    FILLS,
    FILTERS,
    MODES,
    PADDINGS,
    SIZES,
    assert_same,
    images,
    listed,
    noise,
    torchvision,
)
from isotune.data.transforms.letterbox import LetterboxSpec
from isotune.data.transforms.pad import PadSpec


@given(images(), PADDINGS, MODES, FILLS)
@settings(max_examples=80)
def test_pad_is_torchvisions(image: Any, padding: Any, mode: Any, fill: Any) -> None:
    _, functional, _ = torchvision()
    spec = PadSpec(padding=padding, padding_mode=mode, fill=fill)
    ours = spec.draw(None, image.size).apply(image)
    assert spec.output(image.size[::-1]) == ours.size[::-1]
    assert spec.output(None) is None
    assert_same(ours, functional.pad(image, listed(padding), fill, mode))


@given(images(), SIZES, MODES, FILLS, FILTERS, st.booleans())
@settings(max_examples=100)
def test_letterbox_resizes_and_pads_as_torchvision_does(
    image: Any, size: Any, mode: Any, fill: Any, interpolation: Any, scale_up: bool
) -> None:
    _, functional, filters = torchvision()
    spec = LetterboxSpec(
        size=size, padding_mode=mode, fill=fill, interpolation=interpolation, scale_up=scale_up
    )
    ours = spec.draw(None, image.size).apply(image)
    assert ours.size == spec.output()[::-1]
    width, height, borders = ultralytics(image.size, spec.output(), scale_up)
    inner = functional.resize(image, [max(height, 1), max(width, 1)], filters(interpolation))
    if min(width, height) > 0:
        assert_same(ours, functional.pad(inner, borders, fill, mode))


def ultralytics(
    size: tuple[int, int], frame: tuple[int, int], scale_up: bool
) -> tuple[int, int, list[int]]:
    """Returns width, height and borders as ``ultralytics.data.augment.LetterBox`` has them."""
    ratio = min(frame[0] / size[1], frame[1] / size[0])
    if not scale_up:
        ratio = min(ratio, 1.0)
    width, height = round(size[0] * ratio), round(size[1] * ratio)
    across, down = (frame[1] - width) / 2, (frame[0] - height) / 2
    borders = [round(across - 0.1), round(down - 0.1), round(across + 0.1), round(down + 0.1)]
    return width, height, borders


@pytest.mark.parametrize(("fill", "level"), [(None, 114), (7, 7)])
def test_a_letterbox_shows_the_whole_image_in_a_gray_frame(fill: Any, level: int) -> None:
    options = {} if fill is None else {"fill": fill}
    image = noise(40, 19)
    spec = LetterboxSpec(size=(30, 40), **options)
    framed = spec.draw(None, image.size).apply(image)
    assert_same(framed.crop((0, 5, 40, 24)), image)
    assert {framed.getpixel((20, row)) for row in (0, 4, 24, 29)} == {(level,) * 3}


def test_the_thinnest_image_keeps_a_pixel() -> None:
    image = noise(1000, 2)
    framed = LetterboxSpec(size=10).draw(None, image.size).apply(image)
    assert framed.getpixel((5, 4)) != (114, 114, 114) == framed.getpixel((5, 5))
