"""Each transform and what torchvision calls to do the same with the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from torchvision.transforms import autoaugment, functional
from torchvision.transforms.functional import InterpolationMode

from isotune.data.transforms.auto_augment import (
    OPERATIONS,
    OperationName,
    TrivialAugmentWideSpec,
    operation,
)
from isotune.data.transforms.color_jitter import BRIGHTNESS, CONTRAST, HUE, SATURATION
from isotune.randomness import Purpose, stream
from isotune.spec.transforms import Transform

BILINEAR, NEAREST = InterpolationMode.BILINEAR, InterpolationMode.NEAREST


@dataclass(frozen=True)
class Case:
    """A transform beside torchvision's.

    Attributes:
        item: The transform, as an item of a spec's pipeline.
        theirs: Given an image and the operation that the transform drew for it, returns what
            torchvision makes of the image.
        operation: What is done to each image instead of what the transform draws.
    """

    item: Any
    theirs: Callable[[Any, Any], Any]
    operation: Any = None

    @property
    def name(self) -> str:
        """The transform's name."""
        return self.item if isinstance(self.item, str) else next(iter(self.item))

    def drawn(self, images: Sequence[Any]) -> list[Any]:
        """Returns an operation for each image."""
        if self.operation is not None:
            return [self.operation] * len(images)
        spec = TypeAdapter(Transform).validate_python(self.item)
        streams = (stream(0, Purpose.AUGMENTATION, 0, index) for index in range(len(images)))
        return [spec.draw(rng, image.size) for rng, image in zip(streams, images, strict=True)]


def resize(image: Any, drawn: Any) -> Any:
    return functional.resize(image, [drawn.height, drawn.width], BILINEAR)


def letterbox(image: Any, drawn: Any) -> Any:
    pad = drawn.pad
    borders = [pad.left, pad.top, pad.right, pad.bottom]
    return functional.pad(resize(image, drawn.resize), borders, pad.fill, pad.mode)


def pad(image: Any, drawn: Any) -> Any:
    borders = [drawn.left, drawn.top, drawn.right, drawn.bottom]
    return functional.pad(image, borders, drawn.fill, drawn.mode)


def random_resized_crop(image: Any, drawn: Any) -> Any:
    window, size = drawn.window, [drawn.resize.height, drawn.resize.width]
    place = (window.top, window.left, window.height, window.width)
    return functional.resized_crop(image, *place, size, BILINEAR)


def crop(image: Any, drawn: Any) -> Any:
    return functional.crop(image, drawn.top, drawn.left, drawn.height, drawn.width)


def random_crop(image: Any, drawn: Any) -> Any:
    # The case pads by 4 black pixels, which our crop does not copy.
    window, padded = drawn.window, functional.pad(image, [4])
    return functional.crop(padded, window.top + 4, window.left + 4, window.height, window.width)


def affine(image: Any, drawn: Any) -> Any:
    return functional.affine(
        image,
        drawn.angle,
        list(drawn.translate),
        drawn.scale,
        list(drawn.shear),
        InterpolationMode(drawn.interpolation),
        drawn.fill,
    )


def perspective(image: Any, drawn: Any) -> Any:
    right, bottom = image.width - 1, image.height - 1
    corners = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
    moved = [list(corner) for corner in drawn.corners]
    return functional.perspective(image, corners, moved, BILINEAR, drawn.fill)


def rotation(image: Any, drawn: Any) -> Any:
    return functional.rotate(image, drawn.angle, NEAREST, fill=drawn.fill)


def gaussian_blur(image: Any, drawn: Any) -> Any:
    return functional.gaussian_blur(image, list(drawn.kernel), [drawn.sigma, drawn.sigma])


def random_erasing(image: Any, drawn: Any) -> Any:
    # torchvision's takes tensors only.
    import torch

    place = (drawn.top, drawn.left, drawn.height, drawn.width)
    value = torch.tensor(drawn.value, dtype=torch.uint8)[:, None, None]
    pixels = functional.erase(functional.pil_to_tensor(image), *place, value, inplace=True)
    return functional.to_pil_image(pixels)


def color_jitter(image: Any, drawn: Any) -> Any:
    adjust = {
        BRIGHTNESS: (functional.adjust_brightness, drawn.brightness),
        CONTRAST: (functional.adjust_contrast, drawn.contrast),
        SATURATION: (functional.adjust_saturation, drawn.saturation),
        HUE: (functional.adjust_hue, drawn.hue),
    }
    for step in drawn.order:
        change, value = adjust[step]
        image = image if value is None else change(image, value)
    return image


def grayscale(image: Any, drawn: Any) -> Any:
    return functional.to_grayscale(image, 3)


def policy(name: OperationName) -> Case:
    """Returns an operation of TrivialAugment, of the magnitude in the middle."""
    spec = TrivialAugmentWideSpec()
    magnitude, _ = spec.magnitudes.signed(name, spec.num_magnitude_bins // 2)
    theirs = "".join(part.capitalize() for part in name.split("_"))
    return Case(
        {spec.name: name},
        lambda image, _: autoaugment._apply_op(image, theirs, magnitude, NEAREST, None),
        operation(name, magnitude, spec.interpolation, (0, 0, 0)),
    )


WARP = {"degrees": 30, "translate": 0.1, "scale": [0.8, 1.2], "shear": 10}
CASES = [
    Case({"resize": 256}, resize),
    Case({"center_crop": 224}, crop),
    Case({"random_crop": {"size": 224, "padding": 4, "pad_if_needed": True}}, random_crop),
    Case({"random_resized_crop": 224}, random_resized_crop),
    Case({"letterbox": 224}, letterbox),
    Case({"letterbox": {"size": 224, "padding_mode": "edge"}}, letterbox),
    Case({"pad": 16}, pad),
    Case({"pad": {"padding": 16, "padding_mode": "reflect"}}, pad),
    Case({"random_horizontal_flip": 1}, lambda image, _: functional.hflip(image)),
    Case({"random_vertical_flip": 1}, lambda image, _: functional.vflip(image)),
    Case({"rotation": 30}, rotation),
    Case({"affine": WARP}, affine),
    Case({"affine": {**WARP, "interpolation": "bilinear"}}, affine),
    Case({"perspective": {"p": 1}}, perspective),
    Case({"gaussian_blur": 5}, gaussian_blur),
    Case({"gaussian_blur": 23}, gaussian_blur),
    Case("grayscale", grayscale),
    Case({"random_erasing": {"p": 1, "value": [124, 116, 104]}}, random_erasing),
    Case(
        {"color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}},
        color_jitter,
    ),
    *(policy(name) for name in OPERATIONS if name != "identity"),
]
