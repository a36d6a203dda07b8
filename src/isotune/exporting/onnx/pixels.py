"""Compares validation transforms in a graph with Pillow's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isotune.data.transforms.pipeline import transform
from isotune.errors import RunError
from isotune.exporting.manifest import PixelDifference
from isotune.exporting.model import ExportedModel
from isotune.exporting.onnx.graph import import_onnxruntime
from isotune.exporting.onnx.preprocess import PIXELS
from isotune.exporting.onnx.write import import_onnx
from isotune.interfaces.dataset import ImageSource
from isotune.interfaces.exporter import IMAGES

LARGEST_DIFFERENCE = 2
"""Largest difference of a pixel from Pillow's, in levels of 255: one of rounding in each direction.
"""


def pixel_difference(exported: ExportedModel, source: ImageSource) -> PixelDifference:
    """Returns how far transforms in a graph are from Pillow's on all images of a source.

    Args:
        exported: A model with ``preprocess: full``.
        source: The validation images.
    """
    ort = import_onnxruntime()
    content = _front(exported.file)
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    pipeline = exported.spec.transforms.val or ()
    largest, means = 0, []
    for index in range(len(source)):
        image = source.load(index)
        (pixels,) = session.run([PIXELS], {IMAGES: np.asarray(image)[None]})
        expected = np.asarray(transform(image, pipeline, None)).astype(np.int16)
        if pixels.shape[1:] != expected.shape:
            raise RunError(
                f"{source.identify(index)}: the exported graph makes it {pixels.shape[2]} x"
                f" {pixels.shape[1]} pixels, and the run {expected.shape[1]} x"
                f" {expected.shape[0]}. No file was written."
            )
        difference = np.abs(pixels[0].astype(np.int16) - expected)
        largest = max(largest, int(difference.max()))
        means.append(float(difference.mean()))
    return PixelDifference(mean=float(np.mean(means)), largest=largest)


def check_pixels(difference: PixelDifference) -> None:
    """Checks that transforms in a graph are Pillow's, except for rounding.

    Raises:
        RunError: A pixel differs by more than :data:`LARGEST_DIFFERENCE`.
    """
    if difference.largest > LARGEST_DIFFERENCE:
        raise RunError(
            f"the exported graph's transforms differ from Pillow's by up to"
            f" {difference.largest} levels of 255, {difference.mean:.2g} on average, and"
            f" {LARGEST_DIFFERENCE} is the limit. No file was written."
        )


def _front(path: Path) -> bytes:
    """Returns the part of a graph that transforms images."""
    onnx = import_onnx()
    model = onnx.load(path)
    graph = model.graph
    names = [name for node in graph.node for name in node.output]
    nodes = list(graph.node)[: names.index(PIXELS) + 1]
    read = {name for node in nodes for name in node.input}
    output = next(each for each in graph.value_info if each.name == PIXELS)
    constants = [each for each in graph.initializer if each.name in read]
    front = onnx.helper.make_graph(nodes, "front", [graph.input[0]], [output], constants)
    opsets = list(model.opset_import)
    whole = onnx.helper.make_model(front, opset_imports=opsets, ir_version=model.ir_version)
    content: bytes = whole.SerializeToString()
    return content
