"""Opens a trained model, wherever it is: a run folder, or a file that was exported."""

from __future__ import annotations

from pathlib import Path

from isotune.distributed.joined import Joined
from isotune.errors import RunError
from isotune.experiment.classifier import Classifier
from isotune.experiment.open import open_run, open_together
from isotune.exporting.manifest import ExportManifest
from isotune.exporting.model import ExportedModel
from isotune.exporting.onnx.graph import OnnxGraph
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.spec.transforms import output_size

ONNX, MINDIR = ".onnx", ".mindir"


def open_exported(path: str | Path) -> ExportedModel:
    """Opens an ONNX file of ``isotune export``.

    It computes in onnxruntime on the CPU; no framework is imported.

    Raises:
        RunError: The file is missing, is damaged, or is not Isotune's.
        IsotuneError: onnxruntime is not installed.
    """
    path = Path(path)
    graph = OnnxGraph(path)
    manifest = ExportManifest.from_properties(graph.metadata, path)
    model = ExportedModel.of(path, manifest, graph)
    size = output_size(model.spec.transforms.val or ())
    if manifest.preprocess == "normalize" and graph.image_size != size:
        raise RunError(
            f"{path}: is damaged: its graph takes images of {_shown(graph.image_size)} pixels, and"
            f" its transforms make {_shown(size)}."
        )
    return model


def _shown(size: tuple[object, ...] | None) -> str:
    """Returns a size as width x height."""
    return " x ".join(map(str, reversed(size or ("any", "any"))))


def is_exported(path: Path) -> bool:
    """Whether `path` names an exported file, rather than a run folder."""
    return path.suffix.lower() == ONNX and not path.is_dir()


def open_classifier(
    path: Path,
    *,
    backend: str | None = None,
    device: str = "auto",
    checkpoint: str = "best",
    plugins: Plugins = default_plugins,
    others: Joined | None = None,
) -> Classifier:
    """Opens a run folder, or an exported file.

    Args:
        path: A run folder, or a ``.onnx`` file.
        backend: For a run, as :func:`open_run` takes it.
        device: As `backend`; an exported file computes on the CPU.
        checkpoint: As `backend`.
        plugins: Where backends and backbones are found.
        others: The processes that open a run together, if there are several.

    Raises:
        RunError: As :func:`open_run` and :func:`open_exported`, or an exported file is given a
            backend, a device or a checkpoint.
    """
    if path.suffix.lower() == MINDIR and path.is_file():
        raise RunError(
            f"{path}: a MindIR file is for MindSpore itself (mindspore.load); `isotune export RUN"
            " FILE.onnx` writes one that Isotune takes, too."
        )
    if others is not None and not others.group.place.alone:
        if is_exported(path):
            raise RunError(f"{path}: an exported file computes in one process.")
        return open_together(others, path, device, checkpoint, plugins)
    if not is_exported(path):
        return open_run(
            path, backend=backend, device=device, checkpoint=checkpoint, plugins=plugins
        )
    given = {"--backend": backend is not None, "--device": device not in ("auto", "cpu")}
    given["--checkpoint"] = checkpoint != "best"
    if wrong := [option for option, is_given in given.items() if is_given]:
        raise RunError(
            f"{path}: {' and '.join(wrong)} cannot be chosen for an exported file, which computes"
            " in onnxruntime on the CPU."
        )
    return open_exported(path)
