"""Validation transforms inside a graph, as Pillow does them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isotune.data.transforms.crop import CenterCropSpec
from isotune.data.transforms.grayscale import GrayscaleSpec
from isotune.data.transforms.letterbox import LetterboxSpec
from isotune.data.transforms.pad import PadSpec
from isotune.data.transforms.resize import ResizeSpec
from isotune.errors import SpecError
from isotune.exporting.onnx.frames import center_crop, letterbox, pad
from isotune.exporting.onnx.front import Front
from isotune.exporting.onnx.resize import resize
from isotune.exporting.onnx.write import import_onnx
from isotune.interfaces.exporter import IMAGES
from isotune.spec.base import literal
from isotune.spec.transforms import TransformSpec

PIXELS = "pixels"
"""Name of the value in a graph that holds the transformed images."""

OPSET = 18
"""First version of ONNX's operators whose Resize is antialiased."""


def check_transforms(pipeline: Sequence[TransformSpec]) -> None:
    """Checks that a graph can apply the validation transforms.

    Raises:
        SpecError: It cannot.
    """
    for spec in pipeline:
        name = getattr(spec, "name", type(spec).__name__)
        if type(spec) not in WRITERS:
            *others, last = (literal(kind, "name") for kind in WRITERS)
            raise SpecError(
                f"transforms.val: {name} cannot be in a graph, only {', '.join(others)} and {last}"
                " can: export with --preprocess normalize."
            )
        if getattr(spec, "interpolation", None) == "lanczos":
            raise SpecError(
                f"transforms.val: {name} with lanczos cannot be in a graph, since ONNX has no such"
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
    front = _front(onnx, pipeline)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*front.nodes, *rest])
    graph.initializer.extend(front.constants)
    onnx.save(model, path)


def _grayscale(front: Front, images: str, spec: GrayscaleSpec) -> str:
    """Replaces colors by their luma in 16-bit fixed point, as Pillow does."""
    int32, uint8 = front.onnx.TensorProto.INT32, front.onnx.TensorProto.UINT8
    weights = front.constant(np.array([19595, 38470, 7471], np.int32).reshape(1, 3, 1, 1))
    half, whole = (front.constant(np.array(1 << bits, np.int32)) for bits in (15, 16))
    weighted = front.add("Mul", front.add("Cast", images, to=int32), weights)
    total = front.add("ReduceSum", weighted, front.integers(1), keepdims=1)
    luma = front.add("Div", front.add("Add", total, half), whole)
    return front.add("Concat", *[front.add("Cast", luma, to=uint8)] * 3, axis=1)


WRITERS: dict[type[TransformSpec], Callable[[Front, str, Any], str]] = {
    CenterCropSpec: center_crop,
    GrayscaleSpec: _grayscale,
    LetterboxSpec: letterbox,
    PadSpec: pad,
    ResizeSpec: resize,
}
"""What appends the nodes of a transform, given the name of its images, and returns that of its
results."""


def _front(onnx: Any, pipeline: Sequence[TransformSpec]) -> Front:
    """Returns nodes that lead from a graph's images to :data:`PIXELS`."""
    front = Front(onnx)
    images = front.add("Transpose", IMAGES, perm=[0, 3, 1, 2])
    for spec in pipeline:
        images = WRITERS[type(spec)](front, images, spec)
    front.add("Transpose", images, perm=[0, 2, 3, 1], output=PIXELS)
    return front
