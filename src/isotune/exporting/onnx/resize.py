"""Resizing inside a graph, as Pillow does it."""

from __future__ import annotations

from typing import Any

from isotune.data.transforms.resize import ResizeSpec
from isotune.exporting.onnx.front import Front


def resize(front: Front, images: str, spec: ResizeSpec) -> str:
    """Resizes as :meth:`ResizeSpec.draw` does."""
    sizes = (
        _by_shorter_side(front, images, spec)
        if isinstance(spec.size, int)
        else front.integers(*spec.size)
    )
    return resize_to(front, images, sizes, spec.interpolation)


def resize_to(front: Front, images: str, sizes: str, interpolation: str) -> str:
    """Resizes images to the height and width that `sizes` holds."""
    if interpolation == "nearest":
        return _nearest(front, images, sizes)
    first = front.add("Gather", front.add("Shape", images), front.integers(0, 1), axis=0)
    shape = front.add("Concat", first, sizes, axis=0)
    return front.add("Resize", images, "", "", shape, **_filter(interpolation))


def _nearest(front: Front, images: str, sizes: str) -> str:
    """Picks the pixels that Pillow picks: positions are sums of steps in double precision."""
    before = front.sizes(images)
    steps = front.add("Div", front.double(before), front.double(sizes))
    half = front.add("Div", steps, front.double(front.integers(2)))
    zero, one = front.integers(0), front.integers(1)
    for axis, which in ((2, zero), (3, one)):
        count = front.add("Sub", front.add("Gather", sizes, which, axis=0), one)
        step = front.add("Gather", steps, which, axis=0)
        first = front.add("Gather", half, which, axis=0)
        more = front.add("Concat", first, front.add("Expand", step, count), axis=0)
        positions = front.add("CumSum", more, zero)
        indices = front.add("Cast", positions, to=front.onnx.TensorProto.INT64)
        last = front.add("Sub", front.add("Gather", before, which, axis=0), one)
        images = front.add("Gather", images, front.add("Min", indices, last), axis=axis)
    return images


def _by_shorter_side(front: Front, images: str, spec: ResizeSpec) -> str:
    """Returns height and width as :meth:`ResizeSpec.output` computes them."""
    assert isinstance(spec.size, int)
    sizes, short = front.sizes(images), front.integers(spec.size)
    longer = front.add("ReduceMax", sizes, keepdims=1)
    shorter = front.add("ReduceMin", sizes, keepdims=1)
    long = front.add("Div", front.add("Mul", short, longer), shorter)
    if spec.max_size is not None:
        bound = front.integers(spec.max_size)
        is_over = front.add("Greater", long, bound)
        less = front.add("Div", front.add("Mul", bound, short), long)
        less = front.add("Max", less, front.integers(1))
        short = front.add("Where", is_over, less, short)
        long = front.add("Min", long, bound)
    is_longer = front.add("Equal", sizes, longer)
    return front.add("Where", is_longer, long, short)


def _filter(interpolation: str) -> dict[str, Any]:
    """Returns the attributes of Resize that give Pillow's filter.

    Pillow leaves out what a filter reads outside the image; its bicubic filter has a = -0.5.
    """
    smooth = {
        "antialias": 1,
        "coordinate_transformation_mode": "half_pixel",
        "exclude_outside": 1,
    }
    if interpolation == "bilinear":
        return {"mode": "linear", **smooth}
    if interpolation == "bicubic":
        return {"mode": "cubic", "cubic_coeff_a": -0.5, **smooth}
    raise AssertionError(f"{interpolation} is not computed by Resize")
