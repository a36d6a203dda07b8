from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augmenting import (
    DRAWS,
    FILLS,
    assert_alike,
    assert_same,
    assert_uniform,
    draws,
    generator,
    images,
    noise,
    torchvision,
)
from isotune.data.transforms.gaussian_blur import GaussianBlurSpec
from isotune.data.transforms.grayscale import GrayscaleSpec, RandomGrayscaleSpec
from isotune.data.transforms.random_erasing import RandomErasingSpec

KERNELS = st.integers(0, 7).map(lambda half: 2 * half + 1)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Keeps torch from waking threads for images of a few pixels, which takes 100 times longer."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@given(images(), KERNELS, KERNELS, st.floats(0.05, 6))
@settings(max_examples=60)
def test_gaussian_blur_is_torchvisions_except_for_rounding(
    image: Any, across: int, down: int, sigma: float
) -> None:
    _, functional, _ = torchvision()
    blurred = GaussianBlurSpec(kernel_size=(across, down), sigma=sigma).draw(generator(0), (0, 0))
    ours = np.asarray(blurred.apply(image)).astype(int)
    if across // 2 < image.width and down // 2 < image.height:  # torchvision refuses others
        theirs = np.asarray(functional.gaussian_blur(image, [across, down], [sigma, sigma]))
        assert np.abs(ours - theirs).max() <= 1
        assert (ours != theirs).mean() <= 2 / ours.size + 0.001
    else:
        assert ours.shape == np.asarray(image).shape


def test_gaussian_blur_draws_its_width_evenly() -> None:
    assert_uniform((each.sigma for each in draws(GaussianBlurSpec(kernel_size=5))), 0.1, 2.0)


@given(images())
@settings(max_examples=20)
def test_grayscale_is_torchvisions(image: Any) -> None:
    _, functional, _ = torchvision()
    expected = functional.to_grayscale(image, 3)
    assert_same(GrayscaleSpec().draw(None, image.size).apply(image), expected)
    assert_same(RandomGrayscaleSpec(p=1.0).draw(generator(0), image.size).apply(image), expected)
    assert RandomGrayscaleSpec(p=0.0).draw(generator(0), image.size).apply(image) is image


@given(images(), FILLS, st.integers(0, 2**63))
@settings(max_examples=60)
def test_random_erasing_is_torchvisions(image: Any, value: Any, seed: int) -> None:
    torch = pytest.importorskip("torch")
    _, functional, _ = torchvision()
    erase: Any = RandomErasingSpec(p=1.0, value=value).draw(generator(seed), image.size)
    before = image.tobytes()
    ours = erase.apply(image)
    assert image.tobytes() == before
    if not hasattr(erase, "top"):  # no rectangle fits
        assert ours is image
        return
    color = torch.tensor(value if isinstance(value, tuple) else [value] * 3, dtype=torch.uint8)
    theirs = functional.erase(
        functional.pil_to_tensor(image),
        *(erase.top, erase.left, erase.height, erase.width),
        color[:, None, None],
    )
    assert_same(ours, functional.to_pil_image(theirs))


def test_random_erasing_draws_like_torchvision() -> None:
    torch = pytest.importorskip("torch")
    transforms, _, _ = torchvision()
    torch.manual_seed(0)
    image = torch.zeros(3, 200, 300, dtype=torch.uint8)
    theirs = [
        transforms.RandomErasing.get_params(image, (0.02, 0.33), (0.3, 3.3), [0.0])[:4]
        for _ in range(DRAWS)
    ]
    erased = draws(RandomErasingSpec(p=1.0), (300, 200))
    assert_alike(((each.top, each.left, each.height, each.width) for each in erased), theirs)
    some = sum(hasattr(each, "top") for each in draws(RandomErasingSpec(p=0.3)))
    assert abs(some / DRAWS - 0.3) < 0.03


def test_random_erasing_may_take_random_pixels() -> None:
    image = noise(300, 200)
    erase: Any = RandomErasingSpec(p=1.0, value="random").draw(generator(3), image.size)
    ours = np.asarray(erase.apply(image))
    window = np.s_[erase.top : erase.top + erase.height, erase.left : erase.left + erase.width]
    assert_uniform(ours[window].ravel()[:DRAWS] + 0.5, 0, 256)
    kept = np.ones((200, 300), bool)
    kept[window] = False
    assert (ours[kept] == np.asarray(image)[kept]).all()
