"""Which nodes of an exported graph normalize, and which make probabilities of the logits."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from isotune.interfaces.exporter import IMAGES, LOGITS

NORMALIZING = frozenset({"Add", "Cast", "Div", "Mul", "Sub", "Transpose"})
"""Operators that a normalization of uint8 images consists of."""


def name_nodes(graph: Any) -> None:
    """Gives each node without a name one, since onnxruntime's tools select nodes by name."""
    taken = {node.name for node in graph.node}
    for index, node in enumerate(graph.node):
        if not node.name:
            node.name = f"{node.op_type}_{index}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)


def consumers(graph: Any) -> dict[str, list[Any]]:
    """Returns the nodes that read each value, by its name."""
    found: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in set(node.input):
            found[name].append(node)
    return found


def normalization_nodes(graph: Any) -> list[Any]:
    """Returns the nodes that normalize the images, in order."""
    readers, value = consumers(graph), IMAGES
    chain: list[Any] = []
    while True:
        next_nodes = [node for node in readers[value] if node.op_type != "Shape"]
        if len(next_nodes) != 1 or next_nodes[0].op_type not in NORMALIZING:
            return chain
        chain += next_nodes
        value = chain[-1].output[0]


def probability_nodes(graph: Any) -> list[Any]:
    """Returns the nodes that compute from the logits, in the graph's order."""
    made, found = {LOGITS}, []
    for node in graph.node:
        if made.intersection(node.input):
            made.update(node.output)
            found.append(node)
    return found
