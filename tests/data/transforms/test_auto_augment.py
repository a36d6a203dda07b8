from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isotune.data.transforms.auto_augment import (
    OPERATIONS,
    PolicySpec,
    RandAugmentSpec,
    Steps,
    TrivialAugmentWideSpec,
)
from isotune.data.transforms.colors import AutoContrast, Enhance, Posterize
from isotune.data.transforms.rotation import Rotate
from isotune.randomness import Purpose, stream

WIDTH, HEIGHT = 67, 53
FILL = (9, 100, 200)


def images() -> list[Image.Image]:
    """Returns an image of a gradient, one of noise, and one of a single color."""
    gradient = np.linspace(40, 170, HEIGHT * WIDTH * 3).astype(np.uint8).reshape(HEIGHT, WIDTH, 3)
    noise = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    gray = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    return [Image.fromarray(pixels) for pixels in (gradient, noise, gray)]


class Numbers:
    """A generator whose numbers are given."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0)


def nth(number: int, count: int) -> float:
    """Returns the draw that means `number` of `count`."""
    return (number + 0.5) / count


def wide(operation: int, step: int, negative: bool, **options: Any) -> Any:
    bins = options["num_magnitude_bins"]
    drawn = [nth(step, bins), nth(operation, len(OPERATIONS)), 0.1 if negative else 0.9]
    return draw(TrivialAugmentWideSpec(**options), drawn)


def rand(operation: int, step: int, negative: bool, **options: Any) -> Any:
    drawn = [nth(operation, len(OPERATIONS)), 0.1 if negative else 0.9]
    return draw(RandAugmentSpec(num_ops=1, magnitude=step, **options), drawn)


def draw(spec: PolicySpec, numbers: list[float]) -> Any:
    rng: Any = Numbers(*numbers)
    operation = spec.draw(rng, (WIDTH, HEIGHT))
    assert not rng.numbers
    return operation


@pytest.mark.parametrize(
    ("policy", "interpolation", "bins"),
    [(wide, "nearest", 31), (wide, "bicubic", 8), (rand, "bilinear", 31)],
)
def test_every_magnitude_of_every_operation_is_torchvisions(
    policy: Any, interpolation: str, bins: int
) -> None:
    theirs = pytest.importorskip("torchvision.transforms.autoaugment")
    if policy is wide:
        space = theirs.TrivialAugmentWide()._augmentation_space(bins)
    else:
        space = theirs.RandAugment()._augmentation_space(bins, (HEIGHT, WIDTH))
    assert [name.lower() for name in space] == [name.replace("_", "") for name in OPERATIONS]
    options = {"num_magnitude_bins": bins, "interpolation": interpolation, "fill": FILL}
    mode = theirs.InterpolationMode(interpolation)
    for operation, (name, (magnitudes, signed)) in enumerate(space.items()):
        for step in range(bins):
            for negative in (False, True):
                ours = policy(operation, step, negative, **options)
                magnitude = float(magnitudes[step] if magnitudes.ndim else magnitudes)
                magnitude *= -1.0 if signed and negative else 1.0
                for image in images()[: 1 if step % 5 else 3]:
                    expected = theirs._apply_op(image, name, magnitude, mode, list(FILL))
                    assert ours.apply(image).tobytes() == expected.tobytes(), (name, magnitude)


def stream_of(index: int) -> np.random.Generator:
    return stream(7, Purpose.AUGMENTATION, 0, index)


def test_trivial_augment_draws_operations_magnitudes_and_signs_alike() -> None:
    drawn: list[Any] = [
        TrivialAugmentWideSpec(num_magnitude_bins=4).draw(stream_of(i), (9, 9)) for i in range(7000)
    ]
    aspects = Counter(each.aspect for each in drawn if isinstance(each, Enhance))
    assert set(aspects) == {"Brightness", "Color", "Contrast", "Sharpness"}
    assert all(400 < count < 600 for count in aspects.values())
    angles = Counter(each.angle for each in drawn if isinstance(each, Rotate))
    assert set(angles) == {0.0, 45.0, -45.0, 90.0, -90.0, 135.0, -135.0}
    assert all(30 < count < 100 for angle, count in angles.items() if angle)
    bits = Counter(each.bits for each in drawn if isinstance(each, Posterize))
    assert set(bits) == {8, 6, 4, 2}


def test_rand_augment_applies_all_its_operations_in_order() -> None:
    image = images()[0]
    steps: Any = RandAugmentSpec(num_ops=3).draw(stream_of(0), image.size)
    assert len(steps.operations) == 3
    expected = image
    for operation in steps.operations:
        expected = operation.apply(expected)
    assert steps.apply(image).tobytes() == expected.tobytes() != image.tobytes()


def test_drawn_operations_never_change() -> None:
    # Of the promise that the same spec gives the same batches, whatever the version.
    alone = TrivialAugmentWideSpec(fill=7).draw(stream_of(0), (9, 9))
    assert alone == Rotate(49.5, "nearest", False, (7, 7, 7))
    pair = RandAugmentSpec(magnitude=15).draw(stream_of(2), (9, 9))
    assert pair == Steps((AutoContrast(), Rotate(15.0, "nearest", False, (0, 0, 0))))
