"""Makes a weights file of one framework from one of another, or from a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.catalogue.entries import catalogue, chosen_backbone, find_backbone
from isotune.catalogue.layouts import in_layout_order
from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.names import is_under
from isotune.models.head import head_path
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.storage.paths import exists, is_dir
from isotune.weights.formats.files import printable
from isotune.weights.formats.read import read_weights
from isotune.weights.formats.write import writer
from isotune.weights.load import fitting, notes, with_dot, without_head
from isotune.weights.match import check_finite, head_names, match
from isotune.weights.save import save_weights
from isotune.weights.selection import Models


@dataclass(frozen=True)
class Conversion:
    """What :func:`convert` did.

    Attributes:
        target: The file that was written.
        backbone: Name of the backbone that the tensors belong to.
        dialects: The dialects that were recognized; empty when the names were torchvision's.
        tensors: Number of tensors written.
        head: Shapes of the head's tensors by canonical name; empty when there is no head.
        notes: Sentences on what was left out or changed.
    """

    target: Path
    backbone: str
    dialects: tuple[str, ...]
    tensors: int
    head: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """Tensors read from a source."""

    backbone: str
    tensors: Mapping[str, NDArray[Any]]
    head: list[str]
    dialects: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def convert(
    source: str | Path,
    target: str | Path,
    *,
    backbone: str | None = None,
    prefix: str | None = None,
    checkpoint: str = "best",
    overwrite: bool = False,
    plugins: Plugins = default_plugins,
) -> Conversion:
    """Writes the weights in `source` to `target`, in the format that its suffix names.

    No framework is needed. Weights in half precision become float32.

    Args:
        source: A ``.pth``, ``.safetensors`` or ``.ckpt`` file of any dialect, or a run folder.
        target: A ``.safetensors`` or ``.pth`` file, which get torchvision's names, or a
            ``.ckpt`` file, which gets MindSpore's.
        backbone: Name of the backbone; None recognizes it by names and shapes.
        prefix: What the names of the wanted tensors begin with, if a file holds several models;
            None finds the model.
        checkpoint: Which checkpoint of a run.
        overwrite: Whether an existing `target` is replaced.
        plugins: Where third-party backbones are found.

    Raises:
        WeightsError: `source` cannot be read, does not fit the backbone or any known one, or has
            values that are not finite, or `target` exists or cannot be written.
        RunError: `source` is a folder, but not a run's, or has no such checkpoint.
    """
    source, target = Path(source), Path(target)
    writer(target)
    if exists(target) and not overwrite:
        raise WeightsError(f"'{target}' is there already; --force replaces it.")
    if is_dir(source):
        weights = _of_run(source, checkpoint, plugins)
    else:
        weights = _of_file(source, backbone, prefix, plugins)
    tensors = in_layout_order(weights.backbone, weights.tensors)
    check_finite(tensors, str(source))
    save_weights(target, tensors, weights.backbone)
    return Conversion(
        target=target,
        backbone=weights.backbone,
        dialects=weights.dialects,
        tensors=len(tensors),
        head={name: value.shape for name, value in tensors.items() if name in weights.head},
        notes=weights.notes,
    )


def _of_run(folder: Path, checkpoint: str, plugins: Plugins) -> _Source:
    from isotune.runs.checkpoints import CheckpointStore
    from isotune.runs.folder import RunFolder

    run = RunFolder.existing(folder)
    loaded = CheckpointStore(run.checkpoints).load(checkpoint, optimizer=False)
    tensors, spec = dict(loaded.weights), run.spec()
    # Only a library's model needs the backend that builds it.
    backend = loaded.manifest.backend if ":" in spec.backbone.name else None
    entry = chosen_backbone(spec.backbone, backend, plugins)
    path = head_path(spec.head, entry)
    return _Source(entry.name, tensors, [name for name in tensors if is_under(path, name)])


def _of_file(path: Path, backbone: str | None, prefix: str | None, plugins: Plugins) -> _Source:
    prefix = with_dot(prefix)
    state = read_weights(path, prefix)
    if backbone is None:
        entry = _recognize(path, state, prefix)
    else:
        entry = find_backbone(backbone, catalogue(plugins.backbones()))
    # The names of a third party's backbone only its own code knows: all are weights.
    known = without_head(entry)
    renamed = Models(state, str(path), prefix).choose(entry, known or {})
    backbone_names = known or [n for n in renamed.tensors if not is_under(entry.classifier, n)]
    head = head_names(backbone_names, renamed.tensors, entry)
    tensors = (
        renamed.tensors
        if known is None
        else {
            **match(known, renamed.tensors, entry, str(path)),
            **{name: np.asarray(renamed.tensors[name], np.float32) for name in head},
        }
    )
    return _Source(entry.name, tensors, head, renamed.dialects, notes(renamed, state))


def _recognize(path: Path, state: Mapping[str, NDArray[Any]], prefix: str | None) -> BackboneEntry:
    fits = fitting(state, prefix)
    if len(fits) == 1:
        return fits[0]
    if fits:
        names = ", ".join(entry.name for entry in fits)
        raise WeightsError(f"'{path}' fits {names}: say which with --backbone.")
    first = ", ".join(printable(name, 60) for name in list(state)[:3])
    raise WeightsError(
        f"'{path}' fits none of the backbones that are known by name (its first tensors are"
        f" {first}); --backbone NAME shows what differs from that one."
    )
