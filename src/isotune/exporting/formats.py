"""File formats: where each keeps the metadata, and what computes a graph of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isotune.errors import IsotuneError, RunError
from isotune.exporting.manifest import ExportManifest
from isotune.exporting.model import ExportedModel, Graph
from isotune.exporting.onnx.write import write_metadata
from isotune.exporting.open import open_exported
from isotune.interfaces.backend import Backend
from isotune.interfaces.exporter import FrameworkExporter
from isotune.training.isolation import isolated


class FileFormat(ABC):
    """What an export does with a file that a backend has just written."""

    @abstractmethod
    def write_metadata(self, path: Path, manifest: ExportManifest) -> None:
        """Replaces the file's metadata."""

    @abstractmethod
    def open(self, path: Path) -> ExportedModel:
        """Opens the file as a model.

        Raises:
            RunError: The graph cannot be loaded.
        """


class OnnxFormat(FileFormat):
    """ONNX, which onnxruntime computes."""

    def write_metadata(self, path: Path, manifest: ExportManifest) -> None:
        """Replaces the file's metadata."""
        write_metadata(path, manifest)

    def open(self, path: Path) -> ExportedModel:
        """Opens the file as a model.

        Raises:
            RunError: The graph cannot be loaded.
        """
        return open_exported(path)


@dataclass(frozen=True)
class BackendFormat(FileFormat):
    """A format that only the framework that wrote the file reads, such as MindIR.

    Attributes:
        form: Name of the format.
        backend: The backend that wrote the file.
    """

    form: str
    backend: Backend

    def write_metadata(self, path: Path, manifest: ExportManifest) -> None:
        """Replaces the file's metadata."""
        with isolated(self.backend):
            self._exporter.annotate(self.form, path, manifest.properties())

    def open(self, path: Path) -> ExportedModel:
        """Opens the file as a model.

        Raises:
            RunError: The graph cannot be loaded.
        """
        with _readable(self.backend, path):
            properties = self._exporter.metadata(self.form, path)
            graph = _BackendGraph(path, self.form, self.backend)
        return ExportedModel.of(path, ExportManifest.from_properties(properties, path), graph)

    @property
    def _exporter(self) -> FrameworkExporter:
        return _exporter(self.backend)


class _BackendGraph(Graph):
    """A graph that a framework computes."""

    def __init__(self, path: Path, form: str, backend: Backend) -> None:
        self._path, self._backend = path, backend
        self._run = _exporter(backend).load(form, path)
        self.engine = f"{backend.name} on {backend.device}"

    def __call__(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Returns logits (N, outputs) and probabilities (N, classes), both float32.

        Raises:
            RunError: The framework cannot compute the graph of these images.
        """
        with _readable(self._backend, self._path):
            return self._run(images)


def _exporter(backend: Backend) -> FrameworkExporter:
    exporter = backend.exporter
    assert isinstance(exporter, FrameworkExporter), "its offer names a format of its own"
    return exporter


@contextmanager
def _readable(backend: Backend, path: Path) -> Iterator[None]:
    """Computes with a backend; what goes wrong there becomes a ``RunError``."""
    try:
        with isolated(backend):
            yield
    except IsotuneError:
        raise
    except Exception as error:  # frameworks raise errors of many types
        lines = str(error).strip().splitlines()
        raise RunError(
            f"{path}: {backend.name} cannot read the graph that it wrote:"
            f" {lines[0] if lines else type(error).__name__}"
        ) from error
