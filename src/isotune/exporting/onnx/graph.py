"""An ONNX graph in onnxruntime, which needs no framework."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.errors import IsotuneError, RunError
from isotune.exporting.model import Graph
from isotune.exporting.onnx.untrusted import read_graph
from isotune.interfaces.exporter import IMAGES, LOGITS, PROBABILITIES

SILENT = 4
"""onnxruntime's level of fatal errors. All others are raised, too, and it prints in color."""

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_STATUS = re.compile(r"^.* while running (\w+) node\..*?Status Message: ", re.DOTALL)
_PLACE = re.compile(r"\S+\.(?:cc|h|hpp|cpp):\d+ (?:[^()]*\([^)]*\)|\w+) ")
_CONDITION = re.compile(r"^.*? was false\. ")


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
        content = read_graph(path)
        ort = import_onnxruntime()
        self._path = path
        options = ort.SessionOptions()
        options.log_severity_level = SILENT
        # Otherwise the content decides, and a file of the other format would not be checked.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._session = ort.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class of its own for each kind
            raise RunError(
                f"{path}: is not an ONNX file that onnxruntime can use: {reason(error)}."
            ) from error
        inputs = [(each.name, each.type) for each in self._session.get_inputs()]
        outputs = {each.name: each.type for each in self._session.get_outputs()}
        if inputs != [(IMAGES, "tensor(uint8)")] or any(
            outputs.get(name) != "tensor(float)" for name in (LOGITS, PROBABILITIES)
        ):
            raise RunError(
                f"{path}: is not an ONNX file of Isotune, whose graph takes '{IMAGES}', uint8, and"
                f" gives '{LOGITS}' and '{PROBABILITIES}', float32."
            )
        self.engine = f"onnxruntime {ort.__version__} on cpu"

    @property
    def image_size(self) -> tuple[object, ...]:
        """Height and width of the images that the graph takes; a text stands for any."""
        return tuple(self._session.get_inputs()[0].shape[1:3])

    @property
    def metadata(self) -> Mapping[str, str]:
        """The file's metadata, as text by name.

        Raises:
            RunError: It is not text.
        """
        try:
            properties: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise RunError(f"{self._path}: is damaged: its metadata is not text.") from error
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
                f" {images.shape}: {reason(error)}."
            ) from error
        return tuple(values)


def reason(error: Exception) -> str:
    """Returns the sentence in an error of onnxruntime, without places in its source."""
    text = _PREFIX.sub("", str(error))
    node = _STATUS.match(text)
    text = _PLACE.sub("", _STATUS.sub("", text)).removeprefix("Exception during initialization: ")
    text = _CONDITION.sub("", " ".join(text.split())).strip(" .")
    return f"{node[1]}: {text}" if node else text or type(error).__name__


def import_onnxruntime() -> Any:
    """Returns the module onnxruntime.

    Raises:
        IsotuneError: It is not installed.
    """
    known = "onnxruntime" in sys.modules
    try:
        import onnxruntime
    except ImportError as error:
        raise IsotuneError(
            "an ONNX file needs onnxruntime: pip install 'isotune[serve]' to use one, or"
            f" 'isotune[onnx]' to write one ({error})."
        ) from error
    if not known:  # whoever imported it before may have chosen another level
        onnxruntime.set_default_logger_severity(SILENT)
    return onnxruntime
