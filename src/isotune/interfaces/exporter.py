"""Exporter: the core describes and verifies an exported graph; a backend writes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Normalization
from isotune.spec.loss import LossName

IMAGES, LOGITS, PROBABILITIES = "images", "logits", "probabilities"
"""Names of the input and the outputs of an exported graph."""


@dataclass(frozen=True)
class GraphSignature:
    """What an exported graph takes and gives.

    Its input ``images`` is uint8, shape (N, height, width, 3), RGB, for any N from 1 on. Its
    outputs are ``logits``, float32, shape (N, outputs), as in evaluation mode, and
    ``probabilities``, float32, shape (N, classes), as
    :func:`isotune.training.probabilities.probabilities` defines them.

    Attributes:
        height: Height of the images, in pixels.
        width: Width of the images, in pixels.
        normalization: Normalization of the images, which is the graph's first part.
        loss: The loss of the training, which decides what the probabilities are.
    """

    height: int
    width: int
    normalization: Normalization
    loss: LossName


GraphRunner = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Returns the logits and the probabilities of images, uint8, shape (N, height, width, 3)."""


class Exporter(ABC):
    """Writes a backend's native models to files that other programs run.

    The core runs, and keeps metadata in, ``onnx`` files by itself. For a format that only its
    framework reads it needs a :class:`FrameworkExporter`.
    """

    @abstractmethod
    def write(self, model: Any, form: str, signature: GraphSignature, path: Path) -> None:
        """Writes a model in fp32 to a file; nothing of the model changes.

        Args:
            model: The native model.
            form: The file's format, one of the offer's ``exports``.
            signature: What the graph takes and gives.
            path: The file, whose name ends in the format's ending.

        Raises:
            BackendError: The framework cannot write the model; the message names the operator
                and what would work.
        """


class FrameworkExporter(Exporter):
    """An exporter with formats that only its framework reads, such as MindIR."""

    @abstractmethod
    def load(self, form: str, path: Path) -> GraphRunner:
        """Returns a function that runs a graph of :meth:`write` with the framework.

        Only for files that this process has just written: frameworks are not built to read
        files that somebody else may have made.

        Args:
            form: The file's format, one of the offer's ``exports`` except ``onnx``.
            path: The file.
        """

    @abstractmethod
    def annotate(self, form: str, path: Path, metadata: Mapping[str, str]) -> None:
        """Adds entries to the metadata of a file of :meth:`write`, in place.

        Args:
            form: The file's format, one of the offer's ``exports`` except ``onnx``.
            path: The file.
            metadata: The entries; one that is there already is replaced.
        """

    @abstractmethod
    def metadata(self, form: str, path: Path) -> dict[str, str]:
        """Returns the metadata of a file of :meth:`write`.

        Args:
            form: The file's format, one of the offer's ``exports`` except ``onnx``.
            path: The file.
        """
