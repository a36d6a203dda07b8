from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from augmenting import (
    FILLS,
    FILTERS,
    LENGTHS,
    MODES,
    PADDINGS,
    SIZES,
    WARP_FILTERS,
    assert_same,
    generator,
    images,
    listed,
    torchvision,
)
from isotune.data.transforms.crop import CenterCropSpec
from isotune.data.transforms.flip import RandomHorizontalFlipSpec, RandomVerticalFlipSpec
from isotune.data.transforms.random_crop import RandomCropSpec
from isotune.data.transforms.random_resized_crop import RandomResizedCropSpec, middle_window
from isotune.data.transforms.resize import ResizeSpec
from isotune.data.transforms.rotation import RotationSpec


@given(images(), SIZES, FILTERS, st.none() | st.integers(1, 60))
@settings(max_examples=80)
def test_resize_is_torchvisions(image: Any, size: Any, interpolation: Any, max_size: Any) -> None:
    _, functional, modes = torchvision()
    assume(max_size is None or (isinstance(size, int) and max_size > size))
    spec = ResizeSpec(size=size, interpolation=interpolation, max_size=max_size)
    ours = spec.draw(None, image.size).apply(image)
    try:
        theirs = functional.resize(image, listed(size), modes(interpolation), max_size)
    except ValueError:  # of a thin image, torchvision's max_size leaves nothing
        assert min(ours.size) == 1
    else:
        assert_same(ours, theirs)


@given(images(), SIZES)
@settings(max_examples=80)
def test_center_crop_is_torchvisions(image: Any, size: Any) -> None:
    _, functional, _ = torchvision()
    ours = CenterCropSpec(size=size).draw(None, image.size).apply(image)
    assert_same(ours, functional.center_crop(image, listed(size)))


@given(images(), SIZES, FILTERS, st.integers(0, 2**63))
@settings(max_examples=80)
def test_random_resized_crop_is_torchvisions(
    image: Any, size: Any, filter_: Any, seed: int
) -> None:
    _, functional, modes = torchvision()
    spec = RandomResizedCropSpec(size=size, interpolation=filter_)
    operation: Any = spec.draw(generator(seed), image.size)
    window = operation.window
    place = (window.top, window.left, window.height, window.width)
    theirs = functional.resized_crop(image, *place, list(spec.output()), modes(filter_))
    assert_same(operation.apply(image), theirs)


@given(
    images(),
    SIZES,
    PADDINGS,
    MODES,
    st.just(0) | FILLS,
    st.integers(0, 2**63),
)
@settings(max_examples=150)
def test_random_crop_is_torchvisions(
    image: Any, size: Any, padding: Any, mode: Any, fill: Any, seed: int
) -> None:
    transforms, _, _ = torchvision()
    spec = RandomCropSpec(
        size=size, padding=padding, padding_mode=mode, fill=fill, pad_if_needed=True
    )
    numbers = generator(seed)

    class SameNumbers(transforms.RandomCrop):  # type: ignore[misc]
        @staticmethod
        def get_params(padded: Any, wanted: Any) -> tuple[int, int, int, int]:
            top = int(numbers.random() * (padded.height - wanted[0] + 1))
            left = int(numbers.random() * (padded.width - wanted[1] + 1))
            return top, left, *wanted

    theirs = SameNumbers(spec.output(), listed(padding), True, fill, mode)(image)
    assert_same(spec.draw(generator(seed), image.size).apply(image), theirs)


@given(images(), st.booleans(), st.booleans())
@settings(max_examples=20)
def test_flips_are_torchvisions(image: Any, horizontal: bool, flipped: bool) -> None:
    _, functional, _ = torchvision()
    kind = RandomHorizontalFlipSpec if horizontal else RandomVerticalFlipSpec
    ours = kind(p=float(flipped)).draw(generator(0), image.size).apply(image)
    flip = functional.hflip if horizontal else functional.vflip
    assert_same(ours, flip(image) if flipped else image)


@given(
    images(),
    st.sampled_from([0, 90, 180, 270, 360]) | st.floats(0, 400),
    WARP_FILTERS,
    st.booleans(),
    FILLS,
)
@settings(max_examples=80)
def test_rotation_is_torchvisions(
    image: Any, angle: float, interpolation: Any, expand: bool, fill: Any
) -> None:
    _, functional, modes = torchvision()
    spec = RotationSpec(
        degrees=(angle, angle), interpolation=interpolation, expand=expand, fill=fill
    )
    theirs = functional.rotate(
        image, float(angle), modes(interpolation), expand, None, listed(fill)
    )
    assert_same(spec.draw(generator(0), image.size).apply(image), theirs)


@given(LENGTHS, LENGTHS, st.floats(0.2, 1), st.floats(1, 5))
@settings(max_examples=100)
def test_fallback_of_random_resized_crop_is_torchvisions(
    width: int, height: int, low: float, high: float
) -> None:
    transforms, _, _ = torchvision()
    hopeless = [10000.0, 10000.0]
    theirs = transforms.RandomResizedCrop.get_params(
        Image.new("RGB", (width, height)), hopeless, [low, high]
    )
    ours = middle_window((low, high), width, height)
    assert (ours.top, ours.left, ours.height, ours.width) == theirs
