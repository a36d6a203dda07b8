"""Augmentation policies: operations drawn at random, with magnitudes of one range for all images.

Sources: "RandAugment: Practical automated data augmentation with a reduced search space" (Cubuk et
al., 2019), "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation" (Müller and
Hutter, 2021). Operations and magnitudes are those of torchvision's ``transforms.autoaugment``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import model_validator
from typing_extensions import assert_never

from isotune.data.transforms.affine import Affine
from isotune.data.transforms.colors import (
    Aspect,
    AutoContrast,
    Enhance,
    Equalize,
    Posterize,
    Solarize,
)
from isotune.data.transforms.rotation import Rotate
from isotune.randomness import below
from isotune.spec.transform_options import (
    Bin,
    Bins,
    Fill,
    OperationCount,
    WarpInterpolation,
    rgb,
)
from isotune.spec.transforms import Operation, TransformSpec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

OperationName = Literal[
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "auto_contrast",
    "equalize",
]
OPERATIONS: tuple[OperationName, ...] = get_args(OperationName)
"""What a policy chooses among."""

_ASPECTS: dict[OperationName, Aspect] = {
    "brightness": "Brightness",
    "color": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
}


@dataclass(frozen=True)
class Steps:
    """Applies operations one after the other."""

    operations: tuple[Operation, ...]

    def apply(self, image: Image.Image) -> Image.Image:
        """Returns the image after the last operation."""
        for operation in self.operations:
            image = operation.apply(image)
        return image


@dataclass(frozen=True)
class Magnitudes:
    """The magnitudes between which a policy chooses.

    Attributes:
        bins: Number of magnitudes of an operation, at equal distances.
        shear: Largest tangent of the shear's angle.
        translate: Largest shifts along x and along y, in pixels.
        rotate: Largest angle, in degrees.
        enhance: Largest difference from 1 of the factor of brightness, color, contrast and
            sharpness.
        bits: Largest number of bits that posterizing removes.
    """

    bins: int
    shear: float
    translate: tuple[float, float]
    rotate: float
    enhance: float
    bits: int

    def signed(self, name: OperationName, step: int) -> tuple[float, bool]:
        """Returns the magnitude number `step`, 0 to `bins` - 1, and whether it may be negated."""
        match name:
            case "identity" | "auto_contrast" | "equalize":
                return 0.0, False
            case "shear_x" | "shear_y":
                return self._between(0.0, self.shear, step), True
            case "translate_x":
                return self._between(0.0, self.translate[0], step), True
            case "translate_y":
                return self._between(0.0, self.translate[1], step), True
            case "rotate":
                return self._between(0.0, self.rotate, step), True
            case "brightness" | "color" | "contrast" | "sharpness":
                return self._between(0.0, self.enhance, step), True
            case "posterize":
                return 8 - round(step / ((self.bins - 1) / self.bits)), False
            case "solarize":
                return self._between(255.0, 0.0, step), False
            case _:
                assert_never(name)

    def _between(self, first: float, last: float, step: int) -> float:
        """Returns what ``torch.linspace(first, last, bins)[step]`` is, in float32.

        Its rounding matters: a shift of 15.999999 pixels is one of 15.
        """
        import numpy as np

        start, end = float(np.float32(first)), float(np.float32(last))
        width = float(np.float32(np.float32(end - start) / np.float32(self.bins - 1)))
        if step < self.bins // 2:
            return float(np.float32(start + width * step))
        return float(np.float32(end - width * (self.bins - 1 - step)))


def operation(
    name: OperationName, magnitude: float, interpolation: str, fill: tuple[int, int, int]
) -> Operation:
    """Returns an operation of the policies.

    Args:
        name: Which one.
        magnitude: Tangent of the angle (shear), pixels (translate; fractions are cut off), degrees
            (rotate), difference of the factor from 1 (brightness, color, contrast, sharpness), bits
            that are kept (posterize) or lowest level that is inverted (solarize).
        interpolation: The filter of shear, translate and rotate.
        fill: Red, green and blue of what they uncover, 0 to 255.
    """
    corner = (0.0, 0.0)
    match name:
        case "identity":
            return Steps(())
        case "shear_x":
            shear = (math.degrees(math.atan(magnitude)), 0.0)
            return Affine(shear=shear, interpolation=interpolation, fill=fill, center=corner)
        case "shear_y":
            shear = (0.0, math.degrees(math.atan(magnitude)))
            return Affine(shear=shear, interpolation=interpolation, fill=fill, center=corner)
        case "translate_x":
            return Affine(translate=(int(magnitude), 0), interpolation=interpolation, fill=fill)
        case "translate_y":
            return Affine(translate=(0, int(magnitude)), interpolation=interpolation, fill=fill)
        case "rotate":
            return Rotate(magnitude, interpolation, expand=False, fill=fill)
        case "brightness" | "color" | "contrast" | "sharpness":
            return Enhance(_ASPECTS[name], 1.0 + magnitude)
        case "posterize":
            return Posterize(int(magnitude))
        case "solarize":
            return Solarize(magnitude)
        case "auto_contrast":
            return AutoContrast()
        case "equalize":
            return Equalize()
        case _:
            assert_never(name)


class PolicySpec(TransformSpec):
    """A policy, which chooses among :data:`OPERATIONS`.

    Attributes:
        num_magnitude_bins: Number of magnitudes of an operation, at equal distances.
        interpolation: The filter of shear, translate and rotate.
        fill: Level, or red, green and blue, of what these uncover.
    """

    bare = True
    num_magnitude_bins: Bins = 31
    interpolation: WarpInterpolation = "nearest"
    fill: Fill = 0

    def _draw(self, rng: np.random.Generator, magnitudes: Magnitudes, step: int) -> Operation:
        """Draws an operation and the sign of its magnitude."""
        name = OPERATIONS[below(rng, len(OPERATIONS))]
        magnitude, signed = magnitudes.signed(name, step)
        negative = rng.random() < 0.5
        if signed and negative:
            magnitude = -magnitude
        return operation(name, magnitude, self.interpolation, rgb(self.fill))


class TrivialAugmentWideSpec(PolicySpec):
    """torchvision's ``TrivialAugmentWide``: one operation, of any magnitude.

    Attributes:
        num_magnitude_bins: Number of magnitudes of an operation, at equal distances.
        interpolation: The filter of shear, translate and rotate.
        fill: Level, or red, green and blue, of what these uncover.
    """

    name: Literal["trivial_augment_wide"] = "trivial_augment_wide"

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Operation:
        """Draws the magnitude, the operation and the sign."""
        return self._draw(rng, self.magnitudes, below(rng, self.num_magnitude_bins))

    @property
    def magnitudes(self) -> Magnitudes:
        """The magnitudes, for images of any size."""
        return Magnitudes(self.num_magnitude_bins, 0.99, (32.0, 32.0), 135.0, 0.99, bits=6)


class RandAugmentSpec(PolicySpec):
    """torchvision's ``RandAugment``: several operations, all of one magnitude.

    Attributes:
        num_ops: Number of operations.
        magnitude: Number of the magnitude, 0 (weakest) to num_magnitude_bins - 1.
        num_magnitude_bins: Number of magnitudes of an operation, at equal distances.
        interpolation: The filter of shear, translate and rotate.
        fill: Level, or red, green and blue, of what these uncover.
    """

    main = "magnitude"
    name: Literal["rand_augment"] = "rand_augment"
    num_ops: OperationCount = 2
    magnitude: Bin = 9

    @model_validator(mode="after")
    def _magnitude_is_a_bin(self) -> RandAugmentSpec:
        if self.magnitude >= self.num_magnitude_bins:
            raise ValueError(
                f"magnitude {self.magnitude} must be below num_magnitude_bins"
                f" {self.num_magnitude_bins}"
            )
        return self

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Operation:
        """Draws each operation and its sign."""
        largest = (150.0 / 331.0 * size[0], 150.0 / 331.0 * size[1])
        magnitudes = Magnitudes(self.num_magnitude_bins, 0.3, largest, 30.0, 0.9, bits=4)
        drawn = (self._draw(rng, magnitudes, self.magnitude) for _ in range(self.num_ops))
        return Steps(tuple(drawn))
