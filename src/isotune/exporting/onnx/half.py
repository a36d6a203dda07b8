"""Half precision: weights and activations in fp16, what needs more range in fp32."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from isotune.exporting.onnx.calibration import value_ranges
from isotune.exporting.onnx.nodes import (
    consumers,
    name_nodes,
    normalization_nodes,
    probability_nodes,
)
from isotune.exporting.onnx.write import import_onnx
from isotune.interfaces.dataset import Batch

LARGEST_VALUE = float(np.finfo(np.float16).max) / 8
"""Largest absolute value that is computed in fp16; those of other images may be larger than those
that were measured."""


def convert_to_half(path: Path, batches: Iterable[Batch]) -> None:
    """Converts a graph to fp16 with onnxruntime's own tool, in place.

    Images, logits and probabilities keep their types. In fp32 stay the normalization, the
    probabilities, and operators that read or write values above :data:`LARGEST_VALUE`.

    Args:
        path: The file.
        batches: Images, by which the range of each value is measured.
    """
    onnx = import_onnx()
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(path)
    name_nodes(model.graph)
    onnx.save(model, path)
    ranges = value_ranges(path, batches)
    wide = {name for name, largest in ranges.items() if not largest <= LARGEST_VALUE}
    wide |= {each.name for each in model.graph.initializer if _exceeds(onnx, each)}
    kept = [*normalization_nodes(model.graph), *probability_nodes(model.graph)]
    kept += [node for node in model.graph.node if wide.intersection((*node.input, *node.output))]
    _forget_types_of_weights(model.graph)
    model = convert_float_to_float16(
        model, keep_io_types=True, node_block_list=[node.name for node in kept]
    )
    _skip_casts(onnx, model.graph)
    _sort(model)
    onnx.save(model, path)


def _exceeds(onnx: Any, tensor: Any) -> bool:
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    values = onnx.numpy_helper.to_array(tensor)
    return bool(values.size) and not np.abs(values).max() <= LARGEST_VALUE


def _forget_types_of_weights(graph: Any) -> None:
    """Removes what the tool would take for the types that the weights have after conversion."""
    weights = {each.name for each in graph.initializer}
    kept = [each for each in graph.value_info if each.name not in weights]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _skip_casts(onnx: Any, graph: Any) -> None:
    """Lets operators in fp32 read what others write in fp32, without a detour through fp16.

    onnxruntime's tool casts each of their values to fp16 and back, and a large one to infinity.
    """
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    outputs = {each.name for each in graph.output}
    direct = {}
    for name, cast in casts.items():
        before = casts.get(cast.input[0])
        if before is not None and (_type(before), _type(cast)) == (half, single):
            direct[name] = before.input[0]
            if name in outputs:
                cast.op_type = "Identity"
                del cast.attribute[:]
                cast.input[0] = before.input[0]
    for node in graph.node:
        node.input[:] = [direct.get(name, name) for name in node.input]
    readers = consumers(graph)
    while unread := [
        node
        for node in graph.node
        if node.op_type == "Cast" and not readers[node.output[0]] and node.output[0] not in outputs
    ]:
        for node in unread:
            graph.node.remove(node)
        readers = consumers(graph)
    del graph.value_info[:]  # some are of values that are gone


def _type(cast: Any) -> int:
    return next(int(each.i) for each in cast.attribute if each.name == "to")


def _sort(model: Any) -> None:
    """Puts the nodes into an order in which they can be computed, as the format demands."""
    from onnxruntime.quantization.onnx_model import ONNXModel

    ONNXModel(model).topological_sort()
