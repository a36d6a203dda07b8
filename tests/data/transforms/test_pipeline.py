from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augmenting import DRAWS, assert_uniform, draws
from isotune.data.transforms.color_jitter import ColorJitterSpec
from isotune.data.transforms.flip import RandomHorizontalFlipSpec
from isotune.data.transforms.pipeline import transform
from isotune.data.transforms.random_crop import RandomCropSpec
from isotune.data.transforms.random_resized_crop import RandomResizedCropSpec
from isotune.data.transforms.rotation import RotationSpec
from isotune.errors import DatasetError
from isotune.randomness import Purpose, stream


def test_random_resized_crop_is_uniform_in_area_and_log_uniform_in_shape() -> None:
    spec = RandomResizedCropSpec(size=8, scale=(0.1, 0.4), ratio=(0.5, 2.0))
    windows = [operation.window for operation in draws(spec)]
    assert_uniform((w.height * w.width / 9e6 for w in windows), 0.0999, 0.4001)
    assert_uniform((math.log2(w.width / w.height) for w in windows), -1.001, 1.001)
    assert_uniform((w.top / (3000 - w.height) for w in windows), 0, 1)
    assert_uniform((w.left / (3000 - w.width) for w in windows), 0, 1)


def test_random_crop_reaches_every_window_alike() -> None:
    places = Counter(
        (operation.window.top, operation.window.left)
        for operation in draws(RandomCropSpec(size=4, padding=1), (5, 4))
    )
    assert set(places) == {(top, left) for top in (-1, 0, 1) for left in (-1, 0, 1, 2)}
    assert min(places.values()) > DRAWS / 12 * 0.75


def test_jitter_is_uniform_around_one_and_its_order_free() -> None:
    jitters = draws(ColorJitterSpec(brightness=0.4, contrast=2.0, saturation=(0.5, 0.9), hue=0.1))
    assert_uniform((jitter.brightness for jitter in jitters), 0.6, 1.4)
    assert_uniform((jitter.contrast for jitter in jitters), 0, 3)
    assert_uniform((jitter.saturation for jitter in jitters), 0.5, 0.9)
    assert_uniform((jitter.hue for jitter in jitters), -0.1, 0.1)
    orders = Counter(jitter.order for jitter in jitters)
    assert len(orders) == 24
    assert min(orders.values()) > DRAWS / 24 * 0.6


def test_jitter_that_is_not_asked_for_leaves_the_step_out() -> None:
    jitter = draws(ColorJitterSpec(hue=0.1, saturation=(1.0, 1.0)))[0]
    assert jitter.brightness is jitter.contrast is jitter.saturation is None


def test_flips_and_rotations_are_as_frequent_as_they_should_be() -> None:
    flips = sum(operation.flipped for operation in draws(RandomHorizontalFlipSpec(p=0.3)))
    assert abs(flips / DRAWS - 0.3) < 0.03
    assert_uniform((operation.angle for operation in draws(RotationSpec(degrees=15))), -15, 15)


def test_random_crop_of_a_image_that_is_too_small_is_an_error() -> None:
    with pytest.raises(DatasetError, match=r"5 x 4 .*pad_if_needed"):
        RandomCropSpec(size=5).draw(stream(0, Purpose.AUGMENTATION, 0, 0), (5, 4))


def test_a_pipeline_leaves_the_given_image_alone_and_draws_from_one_stream() -> None:
    image = Image.fromarray(np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3))
    before = image.tobytes()
    pipeline = (RandomHorizontalFlipSpec(p=1.0), ColorJitterSpec(brightness=(0.0, 0.0)))
    result = transform(image, pipeline, stream(0, Purpose.AUGMENTATION, 0, 0))
    assert image.tobytes() == before
    assert result.getextrema() == ((0, 0),) * 3


def test_drawn_numbers_never_change() -> None:
    # Of the promise that the same spec gives the same batches, whatever the version.
    rng = stream(42, Purpose.AUGMENTATION, 3, 11)
    crop: Any = RandomResizedCropSpec(size=224).draw(rng, (500, 375))
    flip: Any = RandomHorizontalFlipSpec().draw(rng, (224, 224))
    turn: Any = RotationSpec(degrees=30).draw(rng, (224, 224))
    window = crop.window
    drawn = (window.top, window.left, window.height, window.width, flip.flipped, turn.angle)
    assert drawn == (8, 116, 129, 150, False, 12.60676165729253)
