"""Metadata in ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isotune.errors import IsotuneError
from isotune.exporting.manifest import ExportManifest


def import_onnx() -> Any:
    """Returns the module onnx.

    Raises:
        IsotuneError: It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise IsotuneError(
            f"an ONNX export needs onnx: pip install 'isotune[onnx]' ({error})."
        ) from error
    return onnx


def write_metadata(path: Path, manifest: ExportManifest) -> None:
    """Replaces the metadata of an ONNX file, which was just written."""
    onnx = import_onnx()
    model = onnx.load(path)
    _forget_tracing(model)
    onnx.helper.set_model_props(model, manifest.properties())
    onnx.save(model, path)


def _forget_tracing(model: Any) -> None:
    """Removes what exporters note for themselves: stack traces with the paths of a machine."""
    graph = model.graph
    model.doc_string = graph.doc_string = ""
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
