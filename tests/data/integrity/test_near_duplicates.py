from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from isotune.data.decode import decode_preview
from isotune.data.integrity.looks import SIDE, describe
from isotune.data.integrity.near_duplicates import comparable, near_duplicates

WIDTH, HEIGHT = 320, 240


def scene(seed: int) -> Image.Image:
    """A smooth image with some detail, different for every seed."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def compressed(image: Image.Image) -> Image.Image:
    """What :meth:`preview` makes of the image as a JPEG file of low quality."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return decode_preview(file, "a.jpg", side=SIDE)[0]


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized": lambda image: image.resize((WIDTH // 3, HEIGHT // 3)),
    "squeezed": lambda image: image.resize((HEIGHT, HEIGHT)),
    "compressed": compressed,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "gray": lambda image: image.convert("L").convert("RGB"),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned over": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "cropped by 1 %": lambda image: image.crop((3, 2, WIDTH - 3, HEIGHT - 2)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_other_images(change: str) -> None:
    images = [scene(seed) for seed in range(40)]
    copies = [CHANGES[change](image) for image in images[:10]]
    looks = np.array([describe(image, image.size) for image in [*images, *copies]])
    groups = near_duplicates(looks["thumbnail"])
    assert groups == [(index, 40 + index) for index in range(10)]


def test_frames_of_a_still_camera_are_one_group() -> None:
    noise = np.random.default_rng(0)
    still = np.asarray(scene(1).resize((16, 16)).convert("L"), np.int16)
    frames = [(still + noise.integers(-2, 3, still.shape)).clip(0, 255) for _ in range(300)]
    assert near_duplicates(np.array(frames, np.uint8)) == [tuple(range(300))]


def test_images_of_nothing_are_not_compared() -> None:
    images = [scene(1), Image.new("RGB", (64, 64), (9, 90, 9)), scene(2).resize((31, 64))]
    looks = np.array([describe(image, image.size) for image in images])
    shown = comparable(looks["thumbnail"], looks["width"], looks["height"])
    assert shown.tolist() == [True, False, False]
    assert near_duplicates(looks["thumbnail"][:0]) == []
