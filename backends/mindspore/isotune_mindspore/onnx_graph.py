"""ONNX files of ``mindspore.onnx.export``, and what MindSpore 2.10 leaves to repair in them.

It writes the number of images into shapes, as a constant, even of an input that it is told to
keep dynamic, and it renames an output without its uses elsewhere in the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from isotune.errors import BackendError
from isotune.interfaces.exporter import IMAGES, LOGITS, PROBABILITIES, GraphSignature

TRACED_BATCH = 509
"""Number of images of the graph that MindSpore writes: a prime, of which no other size in a graph
is likely to be a multiple, so that constants that contain it are found."""

BATCH = "batch"

LARGEST = 2**31 - 2**20
"""Bytes of a protobuf message, with room for everything except the parameters."""


def check_onnx() -> None:
    """Checks that the package ``onnx`` is installed.

    Raises:
        BackendError: It is not.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise BackendError(
            f"an ONNX export needs onnx: pip install 'isotune[onnx]' ({error})."
        ) from error


def write(graph: nn.Cell, signature: GraphSignature, folder: Path, path: Path) -> None:
    """Writes a cell that takes uint8 images (N, height, width, 3), for any N.

    Args:
        graph: The cell.
        signature: Height and width of the images.
        folder: An empty folder for intermediate files.
        path: The file.

    Raises:
        BackendError: The parameters are too large for one file, or a constant in the graph
            holds values for a certain number of images.
    """
    import onnx

    size = sum(parameter.nbytes for parameter in graph.get_parameters())
    if size > LARGEST:
        raise BackendError(
            f"an ONNX file holds at most 2 GiB, and this model has {size / 2**30:.1f} GiB of"
            " parameters: there is no format for it yet."
        )
    shape = (TRACED_BATCH, signature.height, signature.width, 3)
    written = folder / "graph.onnx"
    images = Tensor.from_numpy(np.zeros(shape, np.uint8))
    ms.onnx.export(graph, images, file_name=str(written), input_names=[IMAGES])
    model = onnx.load(written)
    _rename_outputs(model.graph)
    _free_batch(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _rename_outputs(graph: Any) -> None:
    outputs = (output.name for output in graph.output)
    names = dict(zip(outputs, (LOGITS, PROBABILITIES), strict=True))
    for node in graph.node:
        for places in (node.input, node.output):
            for i, name in enumerate(places):
                places[i] = names.get(name, name)
    for output in graph.output:
        output.name = names[output.name]


def _free_batch(graph: Any) -> None:
    """Replaces the number of images in inputs, outputs and shapes by a variable."""
    from onnx import numpy_helper

    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del graph.value_info[:]
    reshapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    others = {name for node in graph.node for name in node.input} - reshapes
    for name, tensor in list(_constants(graph)):
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.int64 and values.ndim == 1:
            counts = values % TRACED_BATCH == 0
            if not (counts & (values > 0)).any():
                continue
            if name in others or (values == -1).any() or counts.sum() > 1:
                raise _fixed(name)
            free = np.where(counts & (values > 0), -1, values)
            tensor.CopyFrom(numpy_helper.from_array(free, tensor.name))
        elif values.ndim and values.shape[0] % TRACED_BATCH == 0 and values.shape[0]:
            raise _fixed(name)


def _constants(graph: Any) -> Iterator[tuple[str, Any]]:
    """Yields the constants of a graph, by the names of their values."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant":
            yield node.output[0], node.attribute[0].t


def _fixed(name: str) -> BackendError:
    return BackendError(
        f"the graph has a constant '{name}' for a certain number of images, so that it would not"
        " run on any other: write the model so that no value depends on the size of the batch."
    )
