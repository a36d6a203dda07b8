"""ONNX files as `isotune export` writes them, made by hand: no framework, no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import isotune
from isotune.exporting.manifest import ExportManifest, Origin
from isotune.interfaces.exporter import IMAGES, LOGITS, PROBABILITIES
from isotune.spec.load import dump_spec, load_spec
from tiny import CLASSES, experiment

SIZE = 8
"""Height and width of the images, in pixels."""


def manifest(images: Path, **changes: Any) -> ExportManifest:
    """Returns the metadata of a model of the tiny images in a folder."""
    spec = dump_spec(load_spec(experiment(images)))
    plain = {
        "isotune": isotune.__version__,
        "name": "tiny",
        "classes": list(CLASSES),
        "transforms": spec["transforms"]["val"],
        "spec": spec,
        "origin": Origin(run="run", backend="none", epoch=1, sha256="0" * 64),
    }
    return ExportManifest(**{**plain, **changes})


def model(*, size: Any = SIZE, bias: float = 0.0) -> Any:
    """Returns a graph that classifies an image by its brightness, as ``onnx.ModelProto``.

    Args:
        size: Height and width of its input, in pixels.
        bias: A number that is added to the first logit.
    """
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", [IMAGES], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("Gemm", ["means", "weight", "bias"], [LOGITS]),
        helper.make_node("Softmax", [LOGITS], [PROBABILITIES], axis=1),
    ]
    levels = np.array(list(CLASSES.values()), dtype=np.float32)
    # -(mean - level)**2 without the common square of the mean, divided by what spreads it.
    weight = np.tile(2 * levels / 3, (3, 1)) / 1000
    offsets = -(levels**2) / 1000
    offsets[0] += bias
    return assemble(
        nodes,
        {"axes": np.array([1, 2]), "weight": weight.astype(np.float32), "bias": offsets},
        size,
    )


def assemble(nodes: list[Any], tensors: dict[str, Any], size: Any = SIZE) -> Any:
    """Returns a graph of these nodes and constants, with Isotune's input and outputs."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["batch", size, size, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", len(CLASSES)])
            for name in (LOGITS, PROBABILITIES)
        ],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    opset = helper.make_opsetid("", 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def write(path: Path, images: Path, made: Any = None, **changes: Any) -> Path:
    """Writes an ONNX file with metadata, and returns its path."""
    from onnx import helper

    made = model() if made is None else made
    helper.set_model_props(made, manifest(images, **changes).properties())
    path.write_bytes(made.SerializeToString())
    return path
