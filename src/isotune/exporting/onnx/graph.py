"""An ONNX graph in onnxruntime, which needs no framework."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.errors import IsotuneError, RunError
from isotune.exporting.model import Graph
from isotune.interfaces.exporter import IMAGES, LOGITS, PROBABILITIES
from isotune.storage.untrusted import open_regular

LARGEST = 2 << 30
"""Maximum number of bytes of a file, which is protobuf's own limit."""


class OnnxGraph(Graph):
    """A graph that onnxruntime computes on the CPU.

    The whole file is read first, so that a graph cannot name other files with its tensors.

    Args:
        path: The file.

    Raises:
        IsotuneError: onnxruntime is not installed.
        RunError: The file is missing or is no graph that takes images and gives logits.
    """

    def __init__(self, path: Path) -> None:
        ort = import_onnxruntime()
        self._path = path
        options = ort.SessionOptions()
        options.log_severity_level = 4  # its errors are raised, too
        try:
            with open_regular(path, follow=True) as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}.") from error
        if len(content) > LARGEST:
            raise RunError(f"{path}: is larger than {LARGEST} bytes, the largest ONNX file.")
        try:
            self._session = ort.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class of its own for each kind
            raise RunError(f"{path}: is not an ONNX file that can be used: {error}") from error
        inputs = [(each.name, each.type) for each in self._session.get_inputs()]
        outputs = {each.name for each in self._session.get_outputs()}
        if inputs != [(IMAGES, "tensor(uint8)")] or not {LOGITS, PROBABILITIES} <= outputs:
            raise RunError(
                f"{path}: is not a graph of Isotune, which takes '{IMAGES}' as uint8 and gives"
                f" '{LOGITS}' and '{PROBABILITIES}'."
            )
        self.engine = f"onnxruntime {ort.__version__} on cpu"

    @property
    def metadata(self) -> Mapping[str, str]:
        """The file's metadata, as text by name."""
        properties: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return properties

    def __call__(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Returns logits (N, outputs) and probabilities (N, classes), both float32.

        Raises:
            RunError: onnxruntime cannot compute the graph of these images.
        """
        try:
            values = self._session.run([LOGITS, PROBABILITIES], {IMAGES: images})
        except Exception as error:
            raise RunError(
                f"{self._path}: onnxruntime cannot compute the graph of images of shape"
                f" {images.shape}: {error}"
            ) from error
        return tuple(np.asarray(value, dtype=np.float32) for value in values)


def import_onnxruntime() -> Any:
    """Returns the module onnxruntime.

    Raises:
        IsotuneError: It is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise IsotuneError(
            "an ONNX file needs onnxruntime: pip install 'isotune[serve]' to use one, or"
            f" 'isotune[onnx]' to write one ({error})."
        ) from error
    return onnxruntime
