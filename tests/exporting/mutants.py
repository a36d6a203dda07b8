"""Wrong edits of an exported ``tiny_bn``, each a mistake that a translation could make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float32]]
Edit = Callable[[Any, Arrays], None]
"""Changes an ``onnx.ModelProto`` in place; the run's tensors are given by canonical name."""

ReportEdit = Callable[[dict[str, Any]], None]
"""Changes the metadata in place, as plain values by field."""


def scaled(name: str, factor: float) -> Edit:
    """Multiplies a tensor."""
    return lambda model, _: _set(model, name, _get(model, name) * np.float32(factor))


def replaced(name: str, values: Any) -> Edit:
    """Replaces a tensor's values, broadcast to its shape."""

    def edit(model: Any, _: Arrays) -> None:
        old = _get(model, name)
        _set(model, name, np.broadcast_to(np.asarray(values, old.dtype), old.shape))

    return edit


def reordered(name: str, order: list[int], axis: int = 0) -> Edit:
    """Reorders a tensor along an axis."""
    return lambda model, _: _set(model, name, np.take(_get(model, name), order, axis))


def one_weight_off(model: Any, _: Arrays) -> None:
    """Changes the largest weight of the head by a percent."""
    weight = _get(model, "model.fc.weight").copy()
    weight.flat[np.abs(weight).argmax()] *= 1.01
    _set(model, "model.fc.weight", weight)


def attribute(operator: str, name: str, value: Any) -> Edit:
    """Replaces an attribute of the first node of an operator."""

    def edit(model: Any, _: Arrays) -> None:
        node = _node(model, operator)
        kept = [each for each in node.attribute if each.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, _helper().make_attribute(name, value)])

    return edit


def operator(old: str, new: str) -> Edit:
    """Makes the first node of an operator one of another, without attributes."""

    def edit(model: Any, _: Arrays) -> None:
        node = _node(model, old)
        node.op_type = new
        del node.attribute[:]

    return edit


def fixed_batch(model: Any, _: Arrays) -> None:
    """Makes the graph one for batches of the size that the comparison has."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 6


def dropout(model: Any, _: Arrays) -> None:
    """Drops half of the head's inputs, as in training mode.

    An operator ``Dropout`` would not do: onnxruntime removes it, whatever its mode.
    """
    head = _node(model, "Gemm")
    steps = [
        ("RandomUniformLike", [head.input[0]], "random"),
        ("Round", ["random"], "mask"),
        ("Mul", [head.input[0], "mask"], "dropped"),
    ]
    _insert(model, head, _nodes(steps))
    head.input[0] = "dropped"


def batch_statistics(model: Any, arrays: Arrays) -> None:
    """Normalizes by the statistics of the batch, as BatchNorm does in training mode."""
    from onnx import numpy_helper

    extra = {
        "axes": np.array([0, 2, 3]),
        "gamma": arrays["bn.weight"].reshape(1, -1, 1, 1),
        "beta": arrays["bn.bias"].reshape(1, -1, 1, 1),
    }
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in extra.items())
    relu = _node(model, "Relu")
    steps = [
        ("ReduceMean", [relu.input[0], "axes"], "batch_mean"),
        ("Sub", [relu.input[0], "batch_mean"], "centered"),
        ("Mul", ["centered", "centered"], "squares"),
        ("ReduceMean", ["squares", "axes"], "variance"),
        ("Sqrt", ["variance"], "deviation"),
        ("Div", ["centered", "deviation"], "normalized"),
        ("Mul", ["normalized", "gamma"], "scaled"),
        ("Add", ["scaled", "beta"], "shifted"),
    ]
    _insert(model, relu, _nodes(steps))
    relu.input[0] = "shifted"


def folded(
    epsilon: float = 1e-5, mean: str = "bn.running_mean", var: str = "bn.running_var"
) -> Edit:
    """Folds BatchNorm into the convolution as exporters do, with another epsilon or statistics."""

    def edit(model: Any, arrays: Arrays) -> None:
        scale = arrays["bn.weight"] / np.sqrt(np.abs(arrays[var]) + epsilon)
        weight = arrays["conv.weight"] * scale.reshape(-1, 1, 1, 1)
        _set(model, "model.conv.weight", weight.astype(np.float32))
        bias = arrays["bn.bias"] - arrays[mean] * scale
        _set(model, "model.conv.weight_bias", bias.astype(np.float32))

    return edit


def transforms(*pipeline: Mapping[str, Any]) -> ReportEdit:
    """Writes other validation transforms to the metadata, wherever they are in it."""

    def edit(values: dict[str, Any]) -> None:
        from isotune.spec.experiment import ExperimentSpec
        from isotune.spec.load import dump_spec

        spec = {**values["spec"], "transforms": {**values["spec"]["transforms"]}}
        spec["transforms"]["val"] = list(pipeline)
        values["spec"] = dump_spec(ExperimentSpec.model_validate(spec))
        values["transforms"] = values["spec"]["transforms"]["val"]

    return edit


def _helper() -> Any:
    from onnx import helper

    return helper


def _tensor(model: Any, name: str) -> Any:
    (found,) = (each for each in model.graph.initializer if each.name == name)
    return found


def _get(model: Any, name: str) -> NDArray[Any]:
    from onnx import numpy_helper

    array: NDArray[Any] = numpy_helper.to_array(_tensor(model, name))
    return array


def _set(model: Any, name: str, values: NDArray[Any]) -> None:
    from onnx import numpy_helper

    _tensor(model, name).CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))


def _node(model: Any, kind: str) -> Any:
    return next(node for node in model.graph.node if node.op_type == kind)


def _nodes(steps: list[tuple[str, list[str], str]]) -> list[Any]:
    return [_helper().make_node(kind, given, [output]) for kind, given, output in steps]


def _insert(model: Any, before: Any, nodes: list[Any]) -> None:
    position = list(model.graph.node).index(before)
    for offset, node in enumerate(nodes):
        model.graph.node.insert(position + offset, node)
