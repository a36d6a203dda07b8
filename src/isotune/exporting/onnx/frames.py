"""Crops and borders inside a graph."""

from __future__ import annotations

import numpy as np

from isotune.data.transforms.crop import CenterCropSpec
from isotune.data.transforms.letterbox import LetterboxSpec
from isotune.data.transforms.pad import PadSpec, borders_of
from isotune.exporting.onnx.front import Front
from isotune.exporting.onnx.resize import resize_to
from isotune.spec.transform_options import rgb


def center_crop(front: Front, images: str, spec: CenterCropSpec) -> str:
    """Crops as :meth:`CenterCropSpec.draw` does, with a black border where it is needed."""
    zero, two = front.integers(0), front.integers(2)
    target = front.integers(*spec.output())
    spare = front.add("Sub", front.sizes(images), target)
    lack = front.add("Max", front.add("Neg", spare), zero)
    before = front.add("Div", lack, two)
    after = front.add("Sub", lack, before)
    none = front.integers(0, 0)
    borders = front.add("Concat", none, before, none, after, axis=0)
    images = front.add("Pad", images, borders)
    spare = front.add("Max", spare, zero)
    half, odd = front.add("Div", spare, two), front.add("Mod", spare, two)
    # Half a pixel is rounded to the even one, as Python's round does.
    start = front.add("Add", half, front.add("Mul", odd, front.add("Mod", half, two)))
    end = front.add("Add", start, target)
    return front.add("Slice", images, start, end, front.integers(2, 3))


def pad(front: Front, images: str, spec: PadSpec) -> str:
    """Adds borders as :meth:`PadSpec.draw` does."""
    left, top, right, bottom = borders_of(spec.padding)
    more = front.integers(top + bottom, left + right)
    total = front.add("Add", front.sizes(images), more)
    return _framed(front, images, front.integers(top, left), total, spec)


def letterbox(front: Front, images: str, spec: LetterboxSpec) -> str:
    """Resizes and adds borders as :meth:`LetterboxSpec.draw` does, with its rounding."""
    total, sizes = front.integers(*spec.output()), front.double(front.sizes(images))
    scale = front.add("ReduceMin", front.add("Div", front.double(total), sizes), keepdims=1)
    if not spec.scale_up:
        scale = front.add("Min", scale, front.constant(np.array([1.0])))
    rounded = front.add("Round", front.add("Mul", sizes, scale))
    inner = front.add("Cast", rounded, to=front.onnx.TensorProto.INT64)
    inner = front.add("Max", inner, front.integers(1))
    images = resize_to(front, images, inner, spec.interpolation)
    before = front.add("Div", front.add("Sub", total, inner), front.integers(2))
    return _framed(front, images, before, total, spec)


def _framed(
    front: Front, images: str, before: str, total: str, spec: PadSpec | LetterboxSpec
) -> str:
    """Puts images into a frame.

    Args:
        before: Rows above the images and columns at their left.
        total: Height and width of the frame.
        spec: Says what the frame shows.
    """
    sizes, inside = front.sizes(images), []
    for axis in (0, 1):
        which = front.constant(np.array(axis))
        count, end, border = (
            front.add("Gather", each, which, axis=0) for each in (sizes, total, before)
        )
        zero, one = front.constant(np.array(0)), front.constant(np.array(1))
        positions = front.add("Sub", front.add("Range", zero, end, one), border)
        last = front.add("Sub", count, one)
        nearest = front.add("Min", front.add("Max", positions, zero), last)
        inside.append(front.add("Equal", positions, nearest))
        if spec.padding_mode in ("reflect", "symmetric"):
            nearest = _mirrored(front, positions, count, repeat=spec.padding_mode == "symmetric")
        images = front.add("Gather", images, nearest, axis=axis + 2)
    if spec.padding_mode != "constant":
        return images
    rows = front.add("Unsqueeze", inside[0], front.integers(1))
    color = front.constant(np.array(rgb(spec.fill), np.uint8).reshape(1, 3, 1, 1))
    return front.add("Where", front.add("And", rows, inside[1]), images, color)


def _mirrored(front: Front, positions: str, count: str, *, repeat: bool) -> str:
    """Returns positions inside of `count`, mirrored at the ends until they are.

    Args:
        repeat: Whether the last position comes twice at an end, as in ``symmetric``.
    """
    one, two = front.constant(np.array(1)), front.constant(np.array(2))
    period = front.add("Mul", count, two)
    if not repeat:
        period = front.add("Max", front.add("Sub", period, two), one)
    forward = front.add("Mod", positions, period)
    backward = front.add("Sub", period, forward)
    if repeat:
        backward = front.add("Sub", backward, one)
    return front.add("Min", forward, backward)
