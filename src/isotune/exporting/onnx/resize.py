"""Resize and crop inside a graph, as Pillow does them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isotune.data.transforms.crop import CenterCropSpec
from isotune.data.transforms.resize import ResizeSpec
from isotune.errors import SpecError
from isotune.exporting.onnx.write import import_onnx
from isotune.interfaces.exporter import IMAGES
from isotune.spec.transforms import TransformSpec

PIXELS = "pixels"
"""Name of the value in a graph that holds the resized and cropped images."""

OPSET = 18
"""First version of ONNX's operators whose Resize is antialiased."""


def check_transforms(pipeline: Sequence[TransformSpec]) -> None:
    """Checks that a graph can apply the validation transforms.

    Raises:
        SpecError: It cannot.
    """
    for spec in pipeline:
        if not isinstance(spec, (ResizeSpec, CenterCropSpec)):
            name = getattr(spec, "name", type(spec).__name__)
            raise SpecError(
                f"transforms.val: {name} cannot be in a graph, only resize and center_crop can:"
                " export with --preprocess normalize."
            )
        if isinstance(spec, ResizeSpec) and spec.interpolation == "lanczos":
            raise SpecError(
                "transforms.val: resize with lanczos cannot be in a graph, since ONNX has no such"
                " filter: export with --preprocess normalize."
            )


def prepend_transforms(path: Path, pipeline: Sequence[TransformSpec]) -> None:
    """Puts transforms in front of a graph, in place: its images may then have any size.

    Args:
        path: An ONNX file that takes images of the size that the transforms end in.
        pipeline: What :func:`check_transforms` accepts.

    Raises:
        SpecError: The graph's operators are of a version without an antialiased Resize.
    """
    onnx = import_onnx()
    model = onnx.load(path)
    version = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if version < OPSET:
        raise SpecError(
            f"preprocess: the graph was written in version {version} of ONNX's operators, and an"
            f" antialiased resize needs {OPSET}: export with --preprocess normalize, or through"
            " another backend."
        )
    graph, taken = model.graph, model.graph.input[0]
    pixels = onnx.ValueInfoProto()
    pixels.CopyFrom(taken)
    pixels.name = PIXELS
    graph.value_info.append(pixels)
    for node in graph.node:
        node.input[:] = [PIXELS if name == IMAGES else name for name in node.input]
    for axis, name in ((1, "height"), (2, "width")):
        taken.type.tensor_type.shape.dim[axis].dim_param = name
    front = _Front(onnx)
    front.build(pipeline)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*front.nodes, *rest])
    graph.initializer.extend(front.constants)
    onnx.save(model, path)


class _Front:
    """Nodes in front of a graph, which they lead to as the value :data:`PIXELS`."""

    def __init__(self, onnx: Any) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._onnx = onnx

    def build(self, pipeline: Sequence[TransformSpec]) -> None:
        """Appends the nodes of the transforms."""
        images = self._add("Transpose", IMAGES, perm=[0, 3, 1, 2])
        for spec in pipeline:
            if isinstance(spec, ResizeSpec):
                images = self._resize(images, spec)
            elif isinstance(spec, CenterCropSpec):
                images = self._crop(images, spec)
        self._add("Transpose", images, perm=[0, 2, 3, 1], output=PIXELS)

    def _add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"preprocess_{len(self.nodes)}"
        node = self._onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes)
        self.nodes.append(node)
        return name

    def _integers(self, *values: int) -> str:
        name = f"preprocess_constant_{len(self.constants)}"
        array = np.array(values, dtype=np.int64)
        self.constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def _sizes(self, images: str) -> str:
        """Returns height and width of images (N, 3, height, width)."""
        return self._add("Gather", self._add("Shape", images), self._integers(2, 3), axis=0)

    def _resize(self, images: str, spec: ResizeSpec) -> str:
        sizes = (
            self._by_shorter_side(images, spec)
            if isinstance(spec.size, int)
            else self._integers(*spec.size)
        )
        if spec.interpolation == "nearest":
            return self._nearest(images, sizes)
        first = self._add("Gather", self._add("Shape", images), self._integers(0, 1), axis=0)
        shape = self._add("Concat", first, sizes, axis=0)
        return self._add("Resize", images, "", "", shape, **_filter(spec))

    def _nearest(self, images: str, sizes: str) -> str:
        """Picks the pixels that Pillow picks: positions are sums of steps in double precision."""
        double, before = self._onnx.TensorProto.DOUBLE, self._sizes(images)
        scales = [self._add("Cast", each, to=double) for each in (before, sizes)]
        steps = self._add("Div", *scales)
        half = self._add("Div", steps, self._add("Cast", self._integers(2), to=double))
        zero, one = self._integers(0), self._integers(1)
        for axis, which in ((2, zero), (3, one)):
            count = self._add("Sub", self._add("Gather", sizes, which, axis=0), one)
            step = self._add("Gather", steps, which, axis=0)
            first = self._add("Gather", half, which, axis=0)
            more = self._add("Concat", first, self._add("Expand", step, count), axis=0)
            positions = self._add("CumSum", more, zero)
            indices = self._add("Cast", positions, to=self._onnx.TensorProto.INT64)
            last = self._add("Sub", self._add("Gather", before, which, axis=0), one)
            images = self._add("Gather", images, self._add("Min", indices, last), axis=axis)
        return images

    def _by_shorter_side(self, images: str, spec: ResizeSpec) -> str:
        """Returns height and width as :meth:`ResizeSpec.output` computes them."""
        assert isinstance(spec.size, int)
        sizes, short = self._sizes(images), self._integers(spec.size)
        longer = self._add("ReduceMax", sizes, keepdims=1)
        shorter = self._add("ReduceMin", sizes, keepdims=1)
        long = self._add("Div", self._add("Mul", short, longer), shorter)
        if spec.max_size is not None:
            bound = self._integers(spec.max_size)
            is_over = self._add("Greater", long, bound)
            less = self._add("Div", self._add("Mul", bound, short), long)
            short = self._add("Where", is_over, less, short)
            long = self._add("Min", long, bound)
        is_longer = self._add("Equal", sizes, longer)
        return self._add("Where", is_longer, long, short)

    def _crop(self, images: str, spec: CenterCropSpec) -> str:
        """Crops as :meth:`CenterCropSpec.draw` does, with a black border where it is needed."""
        zero, two = self._integers(0), self._integers(2)
        target = self._integers(*spec.output())
        spare = self._add("Sub", self._sizes(images), target)
        lack = self._add("Max", self._add("Neg", spare), zero)
        before = self._add("Div", lack, two)
        after = self._add("Sub", lack, before)
        none = self._integers(0, 0)
        borders = self._add("Concat", none, before, none, after, axis=0)
        images = self._add("Pad", images, borders)
        spare = self._add("Max", spare, zero)
        half, odd = self._add("Div", spare, two), self._add("Mod", spare, two)
        # Half a pixel is rounded to the even one, as Python's round does.
        start = self._add("Add", half, self._add("Mul", odd, self._add("Mod", half, two)))
        end = self._add("Add", start, target)
        return self._add("Slice", images, start, end, self._integers(2, 3))


def _filter(spec: ResizeSpec) -> dict[str, Any]:
    """Returns the attributes of Resize that give Pillow's filter.

    Pillow leaves out what a filter reads outside the image; its bicubic filter has a = -0.5.
    """
    smooth = {
        "antialias": 1,
        "coordinate_transformation_mode": "half_pixel",
        "exclude_outside": 1,
    }
    if spec.interpolation == "bilinear":
        return {"mode": "linear", **smooth}
    if spec.interpolation == "bicubic":
        return {"mode": "cubic", "cubic_coeff_a": -0.5, **smooth}
    raise AssertionError(f"{spec.interpolation} is not computed by Resize")
