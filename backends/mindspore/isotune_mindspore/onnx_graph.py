"""ONNX files of ``mindspore.onnx.export``, and what MindSpore 2.10 leaves to repair in them.

It writes the number of images into shapes, as a constant, even if the input's is dynamic; it
renames an output without its uses elsewhere in the graph; and it takes the padding of convolutions
as above, below, left and right, where ONNX has above, left, below and right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from numpy.typing import NDArray

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
    _reorder_padding(model.graph)
    _free_batch(model.graph)
    onnx.checker.check_model(model, full_check=True)
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


def _reorder_padding(graph: Any) -> None:
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Conv" and attribute.name == "pads" and len(attribute.ints) == 4:
                above, below, left, right = attribute.ints
                attribute.ints[:] = [above, left, below, right]


def _free_batch(graph: Any) -> None:
    """Replaces the number of images in inputs, outputs and constants by a variable.

    Raises:
        BackendError: A constant holds values for each of that number of images.
    """
    from onnx import numpy_helper

    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del graph.value_info[:]
    reshaping = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    others = {node.input[i] for node in graph.node for i in _not_shapes(node)}
    computed = {}
    for name, tensor in _constants(graph):
        values = numpy_helper.to_array(tensor)
        counts = (values > 0) & (values % TRACED_BATCH == 0)
        if values.dtype != np.int64 or values.ndim != 1:
            if values.ndim and values.shape[0] and values.shape[0] % TRACED_BATCH == 0:
                raise _fixed(name)
        elif name in reshaping - others and counts.sum() == 1 and -1 not in values:
            free = np.where(counts, -1, values)
            tensor.CopyFrom(numpy_helper.from_array(free, tensor.name))
        elif counts.any():
            computed[name] = values
    if computed:
        _compute_shapes(graph, computed)


def _not_shapes(node: Any) -> Iterable[int]:
    return (0,) if node.op_type == "Reshape" else range(len(node.input))


def _compute_shapes(graph: Any, shapes: Mapping[str, NDArray[np.int64]]) -> None:
    """Replaces constants by nodes that compute them from the number of images."""
    from onnx import numpy_helper
    from onnx.helper import make_node

    constants = {f"{BATCH}/first": np.zeros(1, np.int64)}
    nodes = [
        make_node("Shape", [IMAGES], [f"{BATCH}/shape"]),
        make_node("Gather", [f"{BATCH}/shape", f"{BATCH}/first"], [f"{BATCH}/size"], axis=0),
    ]
    for name, values in shapes.items():
        counts = (values > 0) & (values % TRACED_BATCH == 0)
        constants[f"{name}/rest"] = np.where(counts, 0, values)
        constants[f"{name}/images"] = np.where(counts, values // TRACED_BATCH, 0)
        nodes += [
            make_node("Mul", [f"{BATCH}/size", f"{name}/images"], [f"{name}/scaled"]),
            make_node("Add", [f"{name}/scaled", f"{name}/rest"], [name]),
        ]
    kept = [node for node in graph.node if shapes.keys().isdisjoint(node.output)]
    initializers = [tensor for tensor in graph.initializer if tensor.name not in shapes]
    initializers += [numpy_helper.from_array(value, name) for name, value in constants.items()]
    del graph.node[:], graph.initializer[:]
    graph.node.extend([*nodes, *kept])
    graph.initializer.extend(initializers)


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
