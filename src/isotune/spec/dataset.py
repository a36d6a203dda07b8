"""The dataset of a spec. What each format is: :mod:`isotune.data.sources`, and plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from isotune.spec.base import SpecModel, model_registry, schema_reference
from isotune.spec.fold import FoldSpec
from isotune.spec.split import SplitSpec
from isotune.spec.values import AsFileName, Digest, Url

DEFAULT_FORMAT = "folder"

MAX_PIXELS = 178_956_970
"""Number of pixels above which Pillow, and so torchvision's ``ImageFolder``, takes an image for a
decompression bomb."""


class Splits(SpecModel):
    """Names of the splits.

    Attributes:
        train: The split to train on.
        val: The split to validate on.
    """

    train: Annotated[str, AsFileName] = "train"
    val: Annotated[str, AsFileName] = "val"


class DatasetSpec(SpecModel):
    """Which images. Each format is a subclass with a field ``format: Literal["..."] = "..."``.

    Formats derive from :class:`isotune.interfaces.dataset.DatasetFormat`, which can open them.

    Attributes:
        format: How images and labels are stored.
        path: The dataset's folder: absolute, relative to the spec's file or the working
            directory, or under ``$ISOTUNE_HOME/datasets``.
        url: Address of an archive (zip or tar) to download if the folder does not exist; `path`
            is then a plain name, under which it is unpacked in ``$ISOTUNE_HOME/datasets``.
        sha256: First digits, at least 8, of the archive's SHA-256.
        splits: Names of the splits, of a dataset that has them.
        split: How to divide a dataset without splits, such as one folder of class folders, into
            ``train``, ``val`` and ``test``; null for one that has splits.
        fold: Divides the images anew for a cross-validation; null takes the splits as they are.
        broken: What to do about images that cannot be read: stop with an error, or skip them.
        duplicates: What to do about images that have the same content in both splits: say so,
            stop with an error, or ignore them.
        check: Whether every image is read ``before_training``, or ``during_training`` in the
            background: the first step then does not wait, and a broken image ends the run, saved,
            or is skipped when it is met at the latest. null takes ``before_training`` for up to
            100,000 images, and where frozen layers allow to cache features.
        max_pixels: Largest number of pixels (width x height) of an image file; a larger one cannot
            be read. The default is the limit of ``ImageFolder``. JPEG images above 89,478,485
            pixels are decoded at half their width and height, or a quarter or an eighth, so that
            at most as many are left.
        may_be_file: Whether `path` may be a file instead of a folder.
        in_memory: Whether a program passes the images, so that there is no folder.
    """

    may_be_file: ClassVar[bool] = False
    in_memory: ClassVar[bool] = False

    format: str
    path: Annotated[str, Field(min_length=1), AsFileName]
    url: Url | None = None
    sha256: Digest | None = None
    splits: Splits = Splits()
    split: SplitSpec | None = None
    fold: FoldSpec | None = None
    broken: Literal["error", "skip"] = "error"
    duplicates: Literal["warn", "error", "ignore"] = "warn"
    check: Literal["before_training", "during_training"] | None = None
    max_pixels: Annotated[int, Field(ge=1)] = MAX_PIXELS

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return False

    @model_validator(mode="after")
    def _has_splits_or_is_divided(self) -> DatasetSpec:
        if self.split is not None and self.splits != Splits():
            raise ValueError(
                "split divides a dataset into train, val and test, so splits can name no others;"
                " leave out one of them"
            )
        return self


DATASET_FORMATS = model_registry("dataset format", DatasetSpec, "format")
"""All dataset formats."""


def _load(data: Any) -> Any:
    if not isinstance(data, Mapping):
        return data
    name = data.get("format", DEFAULT_FORMAT)
    kind = DATASET_FORMATS.find(name)
    if kind is None:
        *others, last = map(repr, DATASET_FORMATS.names())
        expected = f"{', '.join(others)} or {last}"
        raise ValidationError.from_exception_data(
            "dataset",
            [
                {
                    "type": "literal_error",
                    "loc": ("format",),
                    "input": name,
                    "ctx": {"expected": expected},
                }
            ],
        )
    return kind.model_validate(data)


class _AnyFormat:
    """Annotation: the JSON Schema of a dataset in any format."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        references = []
        for name, kind in DATASET_FORMATS.items():
            required = [] if name == DEFAULT_FORMAT else ["format"]
            references.append({"allOf": [schema_reference(kind, handler)], "required": required})
        return {"anyOf": references}


AnyDataset = Annotated[SerializeAsAny[DatasetSpec], BeforeValidator(_load), _AnyFormat()]
"""A dataset in the format that its ``format`` names."""
