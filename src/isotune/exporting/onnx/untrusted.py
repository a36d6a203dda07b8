"""Checks an ONNX file of a stranger before onnxruntime reads it.

onnxruntime refuses damaged graphs itself. What it accepts, and Isotune never writes, is refused
here: graphs inside nodes, since a loop need not end; functions, since twenty of them, each of which
calls the next one twice, become a million nodes; and tensors whose values lie in other files.

Numbers of fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import io
from pathlib import Path

from isotune.errors import RunError
from isotune.storage.untrusted import SMALL, read_small
from isotune.weights.formats.files import Unreadable
from isotune.weights.formats.protobuf import BYTES, fields

LARGEST = 2 << 30
"""Maximum number of bytes of a file, which is protobuf's own limit."""

MOST_NODES = 50_000
"""Maximum number of nodes. onnxruntime takes 0.1 ms each to open a file."""

MOST_FIELDS = 2_000_000
"""Maximum number of fields that are looked at, which takes seconds."""

PARTS = {
    "model": {7: "graph", 14: "metadata"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Fields of each message that hold other messages, and which ones."""

REFUSED = {
    ("model", 20): "a training step",
    ("model", 25): "functions",
    ("attribute", 6): "a graph inside a node, such as a loop",
    ("attribute", 11): "graphs inside a node",
    ("tensor", 13): "tensors in other files",
}
"""Fields that Isotune never writes, and what they are."""


def read_graph(path: Path) -> bytes:
    """Reads an ONNX file that may come from a stranger.

    Returns:
        Its content, which onnxruntime may read.

    Raises:
        RunError: It is missing, no regular file, too large or no ONNX file, or it has what
            Isotune never writes.
    """
    try:
        content = read_small(path, LARGEST, follow=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}.") from error
    try:
        _Check(content).run()
    except Unreadable as error:
        raise RunError(f"{path}: is not an ONNX file of Isotune: {error}.") from error
    return content


class _Check:
    """Looks at the messages of an ONNX file, without the contents of its tensors."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self._size = len(content)
        self._fields = self._nodes = self._metadata = 0

    def run(self) -> None:
        """Raises :class:`Unreadable` if there is something that Isotune never writes."""
        self._message("model", 0, self._size)
        if not self._nodes:
            raise Unreadable("it has no graph")

    def _message(self, kind: str, start: int, end: int) -> None:
        for field in fields(self._file, start, end):
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise Unreadable(f"it has more than {MOST_FIELDS:,} fields")
            if refused := REFUSED.get((kind, field.number)):
                raise Unreadable(f"it has {refused}, which Isotune never writes")
            part = PARTS[kind].get(field.number)
            if part is None or field.kind != BYTES:
                continue
            if part == "metadata":
                self._count_metadata(field.end - field.start)
                continue
            if part == "node":
                self._count_node()
            self._message(part, field.start, field.end)

    def _count_metadata(self, size: int) -> None:
        self._metadata += size
        if self._metadata > SMALL:
            raise Unreadable(f"its metadata has more than {SMALL:,} bytes")

    def _count_node(self) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise Unreadable(f"it has more than {MOST_NODES:,} nodes")
