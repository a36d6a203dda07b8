"""MindIR, MindSpore's own file format of graphs: writing, metadata, and running what was written.

``mindspore.load`` hands a file to a parser and a compiler in C++ that are not made for files
from strangers: only files that this process has just written are loaded.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from mindspore.train.mind_ir_pb2 import ModelProto
from numpy.typing import NDArray

from isotune.errors import BackendError
from isotune.interfaces.exporter import GraphRunner, GraphSignature
from isotune.storage.atomic import write_atomically
from isotune_mindspore.step import graph_mode

LARGEST = 1 << 30
"""Bytes of parameters up to which ``mindspore.export`` keeps graph and parameters in one file."""


def write(graph: nn.Cell, signature: GraphSignature, folder: Path, path: Path) -> None:
    """Writes a cell that takes uint8 images (N, height, width, 3), for any N.

    Args:
        graph: The cell.
        signature: Height and width of the images.
        folder: An empty folder for intermediate files.
        path: The file.

    Raises:
        BackendError: The parameters are too large for one file.
    """
    size = sum(parameter.nbytes for parameter in graph.get_parameters())
    if size > LARGEST * 0.999:
        raise BackendError(
            f"MindSpore writes models above 1 GiB as several files, and this one has"
            f" {size / 2**30:.1f} GiB of parameters: export to an .onnx file."
        )
    images = Tensor(shape=[None, signature.height, signature.width, 3], dtype=ms.uint8)
    graph.set_inputs(images)
    written = folder / "graph.mindir"
    ms.export(graph, images, file_name=str(written), file_format="MINDIR")
    # MindSpore leaves a file that only its owner can read.
    shutil.copyfile(written, path)


def load(path: Path) -> GraphRunner:
    """Returns a function that runs a file of :func:`write`."""
    graph, largest = nn.GraphCell(ms.load(str(path))), 0

    def run(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        # Each new number of images is compiled, which takes longer than computing a few more.
        nonlocal largest
        count, largest = len(images), max(len(images), largest)
        padded = np.zeros((largest, *images.shape[1:]), np.uint8)
        padded[:count] = images
        with graph_mode():
            logits, probabilities = graph(Tensor(padded))
        return np.array(logits.asnumpy()[:count]), np.array(probabilities.asnumpy()[:count])

    return run


def annotate(path: Path, metadata: Mapping[str, str]) -> None:
    """Adds entries to a file's ``user_info``, which ``mindspore.load`` passes over."""
    model = _parsed(path)
    model.user_info.update(metadata)
    write_atomically(path, model.SerializeToString())


def metadata(path: Path) -> dict[str, str]:
    """Returns a file's ``user_info``."""
    return dict(_parsed(path).user_info)


def _parsed(path: Path) -> ModelProto:
    model = ModelProto()
    model.ParseFromString(path.read_bytes())
    return model
