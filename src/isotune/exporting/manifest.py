"""What an exported file says of itself: its metadata, from which it is used without the run.

Each field is one entry of the file's metadata, as JSON, so that any program can read ``classes``
or ``transforms``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from isotune.errors import RunError
from isotune.runs.read import checked
from isotune.runs.schema import (
    ONE_FAULT,
    ClassWeight,
    Count,
    FileModel,
    Many,
    Number,
    Probability,
    each_once,
    one_each,
)

FORMAT = 1
"""Version of the metadata."""

LARGEST_FIELD = 16 << 20
"""Maximum number of characters of a field."""

Precision = Literal["fp32", "fp16", "int8"]
"""What an exported model computes in; with ``int8`` some operators stay in fp32."""

Preprocess = Literal["normalize", "full"]
"""What of the preprocessing is in the graph: the normalization, or the transforms, too."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Origin(FileModel):
    """The run that a model comes from.

    Attributes:
        run: The run folder's name.
        backend: Name of the backend that wrote the graph.
        epoch: Epoch of the weights.
        sha256: SHA-256 of the model's tensors, as ``checkpoint.json`` has it of
            ``model.safetensors`` or, for averages of the weights, ``average.safetensors``.
        versions: Versions of the packages that wrote the graph, by name.
    """

    run: str
    backend: str
    epoch: Count
    sha256: Digest
    versions: Annotated[dict[str, str], Many] = Field(default={})


class Flip(FileModel):
    """A validation image of which the exported model predicts another class than the run.

    Where an image may have several labels, there is a flip for each label that crosses its
    threshold, from ``bees`` to ``not bees`` or back.

    Attributes:
        image: The image's name.
        before: The run's class.
        after: The exported model's class.
        margin: By how much the run's logit of `before` is above that of `after`; of several labels,
            how far it is from the logit of the threshold.
    """

    image: str
    before: str
    after: str
    margin: Number


class PixelDifference(FileModel):
    """How far the transforms in a graph are from Pillow's.

    Attributes:
        mean: Mean absolute difference of a pixel, in levels of 255.
        largest: Largest absolute difference, in levels of 255.
    """

    mean: Number
    largest: Count


class VerificationReport(FileModel):
    """How an exported model compares with its run on all validation images.

    Attributes:
        images: Number of images.
        largest_difference: Largest absolute difference of a logit.
        relative_difference: Largest difference of a logit, relative to the image's largest logit
            (or to the median of all images, where that is larger).
        largest_logit: Largest absolute logit of the run.
        flips: Images with another predicted class.
        accuracy_before: The run's accuracy, in [0, 1].
        accuracy_after: The exported model's.
        milliseconds: Median time of the exported model for one image, without decoding, in ms.
        batch_size: Number of images that were computed together.
        bytes: Size of the file without this report.
        pixels: How far the transforms in the graph are from Pillow's; None if they are not in it.
    """

    images: Annotated[Count, Field(ge=1)]
    largest_difference: Number
    relative_difference: Number
    largest_logit: Number
    flips: Annotated[list[Flip], ONE_FAULT] = Field(default=[])
    accuracy_before: Number
    accuracy_after: Number
    milliseconds: Number
    batch_size: Annotated[Count, Field(ge=1)]
    bytes: Count
    pixels: PixelDifference | None = None


class ExportManifest(FileModel):
    """The metadata of an exported file.

    Attributes:
        format: Version of the metadata.
        isotune: Version of Isotune that wrote the file.
        name: The experiment's name.
        classes: Class names, in label order.
        class_weights: The loss's weight of each class, or None.
        thresholds: Probability from which on each class is predicted, where an image may have
            several labels; None where it has one.
        transforms: The validation transforms that images need before the graph, in order.
        spec: The resolved spec.
        images: SHA-256 of the lines of each split in the run's ``images.jsonl``, where the spec
            divides the images.
        origin: The run.
        precision: What the graph computes in.
        preprocess: What of the preprocessing is in the graph.
        verification: How the file compares with the run; None only while it is written.
    """

    format: Literal[1] = 1
    isotune: str
    name: str
    classes: Annotated[list[str], Field(min_length=1), ONE_FAULT]
    class_weights: Annotated[list[ClassWeight], ONE_FAULT] | None = None
    thresholds: Annotated[list[Probability], ONE_FAULT] | None = None
    transforms: Annotated[list[dict[str, Any]], ONE_FAULT]
    spec: dict[str, Any]
    images: Annotated[dict[str, Digest], Many] = Field(default={})
    origin: Origin
    precision: Precision = "fp32"
    preprocess: Preprocess = "normalize"
    verification: VerificationReport | None = None

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: list[str]) -> list[str]:
        return each_once(classes)

    @field_validator("class_weights")
    @classmethod
    def _check_weights(
        cls, weights: list[float] | None, info: ValidationInfo
    ) -> list[float] | None:
        return one_each(weights, info.data.get("classes", ()))

    @field_validator("thresholds")
    @classmethod
    def _check_thresholds(
        cls, thresholds: list[float] | None, info: ValidationInfo
    ) -> list[float] | None:
        return one_each(thresholds, info.data.get("classes", ()), "threshold")

    def properties(self) -> dict[str, str]:
        """Returns the metadata as text by name."""
        return {key: json.dumps(value) for key, value in self.model_dump(mode="json").items()}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], where: object) -> ExportManifest:
        """Reads metadata, which a stranger may have written.

        Args:
            properties: The metadata as text by name; entries of other names are ignored.
            where: The file, for messages.

        Raises:
            RunError: It is not Isotune's, is damaged, or of a later version.
        """
        if "isotune" not in properties or "spec" not in properties:
            raise RunError(
                f"{where}: has no metadata of Isotune; `isotune export RUN {where}` writes such a"
                " file."
            )
        plain: dict[str, Any] = {}
        for key in cls.model_fields.keys() & properties.keys():
            if len(properties[key]) > LARGEST_FIELD:
                raise RunError(f"{where}: is damaged: its metadata '{key}' is too long.")
            try:
                plain[key] = json.loads(properties[key])
            except (ValueError, RecursionError):
                raise RunError(f"{where}: is damaged: its metadata '{key}' is not JSON.") from None
        if plain.get("format") != FORMAT:
            raise RunError(
                f"{where}: has metadata of version {str(plain.get('format'))[:40]}; this Isotune"
                f" reads version {FORMAT}."
            )
        return checked(cls, plain, where)
