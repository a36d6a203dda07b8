from __future__ import annotations

import math
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augmenting import (
    DRAWS,
    FILLS,
    WARP_FILTERS,
    assert_alike,
    assert_same,
    draws,
    generator,
    images,
    listed,
    noise,
    torchvision,
)
from isotune.data.transforms.affine import AffineSpec
from isotune.data.transforms.perspective import Perspective, PerspectiveSpec, coefficients

ANGLES = st.floats(-80, 80)


@given(
    images(),
    st.tuples(ANGLES, ANGLES, ANGLES),
    st.floats(0.2, 3),
    st.floats(0, 1),
    WARP_FILTERS,
    FILLS,
    st.integers(0, 2**63),
)
@settings(max_examples=100)
def test_affine_is_torchvisions(
    image: Any, angles: Any, scale: float, share: float, filter_: Any, fill: Any, seed: int
) -> None:
    _, functional, filters = torchvision()
    degrees, x, y = angles
    spec = AffineSpec(
        degrees=(degrees, degrees),
        translate=share,
        scale=(scale, scale),
        shear=(x, x, y, y),
        interpolation=filter_,
        fill=fill,
    )
    operation: Any = spec.draw(generator(seed), image.size)
    moved = list(operation.translate)
    theirs = functional.affine(image, degrees, moved, scale, [x, y], filters(filter_), listed(fill))
    assert_same(operation.apply(image), theirs)


SHEARS = {10.0: [-10, 10], (-3.0, 8.0): [-3, 8], (-3.0, 8.0, 1.0, 2.0): [-3, 8, 1, 2]}


@pytest.mark.parametrize("shear", SHEARS)
def test_affine_draws_like_torchvision(shear: Any) -> None:
    torch = pytest.importorskip("torch")
    transforms, _, _ = torchvision()
    spec = AffineSpec(degrees=30.0, translate=(0.1, 0.02), scale=(0.5, 1.5), shear=shear)
    torch.manual_seed(0)
    theirs = [
        transforms.RandomAffine.get_params(
            [-30, 30], [0.1, 0.02], [0.5, 1.5], SHEARS[shear], [300, 200]
        )
        for _ in range(DRAWS)
    ]
    assert_alike(
        (
            (each.angle, *each.translate, each.scale, *each.shear)
            for each in draws(spec, (300, 200))
        ),
        ((angle, *moves, scale, *shears) for angle, moves, scale, shears in theirs),
    )


def test_affine_without_options_changes_nothing() -> None:
    image = noise(20, 31)
    assert_same(AffineSpec().draw(generator(0), image.size).apply(image), image)


@given(images(), st.floats(0, 0.9), WARP_FILTERS, FILLS, st.integers(0, 2**63))
@settings(max_examples=100)
def test_perspective_is_torchvisions(
    image: Any, scale: float, filter_: Any, fill: Any, seed: int
) -> None:
    _, functional, filters = torchvision()
    spec = PerspectiveSpec(distortion_scale=scale, p=1.0, interpolation=filter_, fill=fill)
    operation: Any = spec.draw(generator(seed), image.size)
    if min(image.size) == 1:
        assert operation.apply(image) is image
        return
    right, bottom = image.width - 1, image.height - 1
    corners = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
    moved = [list(corner) for corner in operation.corners]
    theirs = functional._get_perspective_coeffs(corners, moved)
    ours = coefficients(operation.corners, *image.size)
    # Both are rounded to float32 from solutions in double precision, which may round apart.
    assert all(
        math.isclose(a, b, rel_tol=2e-7, abs_tol=1e-10) for a, b in zip(ours, theirs, strict=True)
    )
    if ours == theirs:
        expected = functional.perspective(image, corners, moved, filters(filter_), listed(fill))
        assert_same(operation.apply(image), expected)


def test_perspective_draws_like_torchvision() -> None:
    torch = pytest.importorskip("torch")
    transforms, _, _ = torchvision()
    torch.manual_seed(0)
    theirs = [transforms.RandomPerspective.get_params(300, 201, 0.4)[1] for _ in range(DRAWS)]
    changed = draws(PerspectiveSpec(distortion_scale=0.4, p=1.0), (300, 201))
    assert_alike(
        (chain(*each.corners) for each in changed), (chain(*corners) for corners in theirs)
    )
    some = sum(each.corners is not None for each in draws(PerspectiveSpec(p=0.3)))
    assert abs(some / DRAWS - 0.3) < 0.03


def test_corners_on_a_line_leave_the_image_unchanged() -> None:
    image = noise(9, 9)
    flat = Perspective(((4, 4), (8, 0), (8, 8), (0, 8)), "bilinear", (0, 0, 0))
    assert flat.apply(image) is image
