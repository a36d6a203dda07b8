"""What is put in front of a graph: nodes and constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Front:
    """Nodes in front of a graph. Images in between are uint8, shape (N, 3, height, width).

    Args:
        onnx: The module ``onnx``.
    """

    def __init__(self, onnx: Any) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.onnx = onnx

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Appends a node and returns the name of its output."""
        name = output or f"preprocess_{len(self.nodes)}"
        node = self.onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes)
        self.nodes.append(node)
        return name

    def constant(self, array: NDArray[Any]) -> str:
        """Adds a constant and returns its name."""
        name = f"preprocess_constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        """Adds a constant: int64, shape (number of values,)."""
        return self.constant(np.array(values, dtype=np.int64))

    def double(self, name: str) -> str:
        """Returns a value in double precision."""
        return self.add("Cast", name, to=self.onnx.TensorProto.DOUBLE)

    def sizes(self, images: str) -> str:
        """Returns height and width of images."""
        return self.add("Gather", self.add("Shape", images), self.integers(2, 3), axis=0)
