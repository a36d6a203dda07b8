"""Which pretrained backbones there are to choose from: on this machine, or to download."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isotune.catalogue.entries import BUILT_IN, catalogue
from isotune.errors import IsotuneError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.plugins import Plugins
from isotune.storage import home
from isotune.storage.paths import is_dir, is_file
from isotune.weights.fetch import present_weights
from isotune.weights.formats.read import read_weights
from isotune.weights.load import fitting

DOWNLOADS = (
    ("mobilenet_v3_large", "imagenet"),
    ("efficientnet_b0", "imagenet"),
    ("convnext_tiny", "imagenet"),
    ("convnext_small", "imagenet"),
)
"""Backbones to download, each about three times as costly as the one before it, and the most
accurate at its cost among torchvision's convolutional ones with images of 224 pixels."""

SCRATCH = ("resnet18", "mobilenet_v2")
"""Backbones to train without weights, the best one first: small, and with BatchNorm, which copes
with any learning rate."""

LARGEST = 1 << 30
"""Number of bytes of a file in ``$ISOTUNE_HOME/weights`` that is looked into."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A backbone with weights.

    Attributes:
        entry: The backbone, with the preprocessing of its weights.
        weights: Its weights, as a spec names them.
        accuracy: Published accuracy on ImageNet, in [0, 1]; None if it is unknown.
        gflops: Billions of multiply-adds of a forward pass; None if they are unknown.
        present: Whether the weights are on this machine.
    """

    entry: BackboneEntry
    weights: str
    accuracy: float | None = None
    gflops: float | None = None
    present: bool = True

    @property
    def name(self) -> str:
        """The backbone's name."""
        return self.entry.name

    @property
    def pretrained(self) -> bool:
        """Whether it has weights."""
        return self.weights != "none"


def candidates(backend: Backend, plugins: Plugins) -> list[Candidate]:
    """Returns the backbones to choose from, the most accurate first.

    These are all whose published weights are on this machine; if there are none, those whose
    weights a file in ``$ISOTUNE_HOME/weights`` holds; and some to download.
    """
    entries = catalogue(plugins.backbones(backend.name))
    built = [each for each in entries.values() if _builds(backend, each)]
    found = [each for entry in built for each in _published(entry)]
    if not any(each.present for each in found):
        found += _in_files({entry.name: entry for entry in built})
    return sorted(found, key=lambda each: (-(each.accuracy or 0.0), each.name, each.weights))


def without_weights(backend: Backend, plugins: Plugins) -> Candidate:
    """Returns the backbone to train from scratch: a usual small one, or else the smallest."""
    entries = catalogue(plugins.backbones(backend.name))
    built = [each for each in entries.values() if _builds(backend, each)]
    usual = [entries[name] for name in SCRATCH if entries[name] in built]
    own = [entry for entry in built if entry.name not in {each.name for each in BUILT_IN}]
    smallest = sorted(own or built, key=lambda each: (each.parameters or 0, each.name))
    return Candidate((usual or smallest)[0], "none")


def _builds(backend: Backend, entry: BackboneEntry) -> bool:
    return backend.backbones.builds(entry) or backend.name in entry.builders


def _published(entry: BackboneEntry) -> Iterator[Candidate]:
    for name, weights in entry.weights.items():
        present = present_weights(entry, name) is not None
        if present or (entry.name, name) in DOWNLOADS:
            yield Candidate(
                entry.with_weights(name), name, weights.accuracy, weights.gflops, present
            )


def _in_files(entries: dict[str, BackboneEntry]) -> Iterator[Candidate]:
    """Yields the backbones that fit the files in ``$ISOTUNE_HOME/weights``."""
    folder = home.weights()
    paths = sorted(folder.iterdir()) if is_dir(folder) else []
    for path in paths:
        name = _fitting(path)
        if name in entries:
            usual = next(iter(entries[name].weights.values()), None)
            yield Candidate(entries[name], path.name, None, usual.gflops if usual else None)


def _fitting(path: Path) -> str:
    """Returns the name of the only backbone that a file fits, or an empty string."""
    if path.suffix not in (".pth", ".safetensors", ".ckpt") or not is_file(path):
        return ""
    try:
        if path.stat().st_size > LARGEST:
            return ""
        fitted = fitting(read_weights(path))
    except (OSError, IsotuneError) as error:  # a file of something else, or damaged
        log.info("%s: is not taken for weights: %s", path, error)
        return ""
    return fitted[0].name if len(fitted) == 1 else ""
