"""Format ``webdataset``: shards of WebDataset, which are tar archives of samples."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from isotune.data.archives.files import MemberFiles
from isotune.data.archives.open import open_archive
from isotune.data.archives.samples import Fields, Samples, fields_in, first_json, read_samples
from isotune.data.caches.inside import Containers
from isotune.data.declared import Declared, check_declared, read_labels
from isotune.data.names import Names
from isotune.data.shards import find_shards, may_have_shards
from isotune.data.sources.encoded import EncodedSource
from isotune.data.tables.find import LABEL_NAMES
from isotune.data.tables.labels import SeveralLabels, SingleLabels
from isotune.errors import DatasetError, listed
from isotune.interfaces.dataset import DatasetFormat, ImageSource
from isotune.spec.base import AsTuple
from isotune.spec.columns import TargetsSpec
from isotune.spec.values import AsFileName
from isotune.storage.paths import exists, is_plain_name
from isotune.storage.untrusted import read_small

log = logging.getLogger(__name__)

LISTS = ("classes.txt", "classnames.txt")
"""Usual names of files that list classes."""

LABEL_FIELDS = ("cls", "label", "json")
"""Usual fields of labels: the first one that samples have counts."""


class WebDataset(TargetsSpec, DatasetFormat):
    """Shards of WebDataset: uncompressed tar archives of samples.

    Shards are listed once, and images read where they are. Images are in the order of the shards
    and of the samples in each.

    Attributes:
        path: The folder of the shards, or a single shard; as for other formats absolute, relative
            to the spec's file or the working directory, or under ``$ISOTUNE_HOME/datasets``.
        splits: Names of the splits, as in ``train-000000.tar`` or of folders of shards; or
            patterns, such as ``train-{000000..000099}.tar``.
        image_field: The field of samples that is the image, such as ``jpg``; null takes any whose
            name is an ending of images.
        label_field: The field that is the label; null takes ``cls``, ``label`` or ``json``,
            whichever is there first.
        label_key: Where the label is in a field of JSON; null finds it by its usual names
            (``label``, ``class``, ``category`` and the like).
        classes: Names of the classes, where labels are positions in them; null takes those of
            `classes_file`.
        classes_file: Name of a text file in the dataset's folder with the name of a class a line;
            null takes ``classes.txt`` or ``classnames.txt``. Without any the labels themselves
            are the classes.
    """

    may_be_file: ClassVar[bool] = True

    format: Literal["webdataset"] = "webdataset"
    image_field: Annotated[str, Field(min_length=1)] | None = None
    label_field: Annotated[str, Field(min_length=1)] | None = None
    label_key: Annotated[str, Field(min_length=1)] | None = None
    classes: Annotated[tuple[str, ...], AsTuple] | None = None
    classes_file: Annotated[str, Field(min_length=1), AsFileName] | None = None

    @classmethod
    def recognizes(cls, place: Path) -> bool:
        """Whether it is a shard, or a folder in which shards are looked for."""
        return may_have_shards(place, ".tar")

    def open(self, folder: Path, split: str, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens a split."""
        return WebDatasetSource(self, folder, split, classes)

    def open_all(self, folder: Path, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens the shards of a dataset without splits."""
        return WebDatasetSource(self, folder, None, classes)

    def declared(self, folder: Path) -> tuple[str, ...] | None:
        """Returns the dataset's list of classes, if it has one.

        Raises:
            DatasetError: Its file cannot be read, or is not clear.
        """
        if self.classes is not None:
            return check_declared(self.classes, "dataset.classes")
        names = LISTS if self.classes_file is None else (self.classes_file,)
        found = [folder / name for name in names if exists(folder / name)]
        if self.classes_file is not None and not (found and is_plain_name(self.classes_file)):
            raise DatasetError(
                f"dataset.classes_file: there is no file '{self.classes_file}' in {folder}."
            )
        if not found:
            return None
        if len(found) > 1:
            raise DatasetError(
                f"{folder}: has {' and '.join(names)}; name one of them in dataset.classes_file."
            )
        try:
            lines = read_small(found[0], follow=True).decode("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "is not UTF-8 text"
            raise DatasetError(
                f"{found[0]}: cannot be read as a list of classes: {why}."
            ) from error
        return check_declared([line for line in lines if line.strip()], str(found[0]))


class WebDatasetSource(EncodedSource):
    """The images of a split in shards.

    Args:
        spec: Which fields of samples are which.
        root: The folder of the shards, or a single shard.
        split: The split's name; None opens the shards of a dataset without splits.
        classes: The classes that there may be, in label order; None takes the dataset's.

    Raises:
        DatasetError: Shards are missing or damaged, or it is not clear what is the label.
    """

    def __init__(
        self,
        spec: WebDataset,
        root: Path,
        split: str | None,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        self.max_pixels = spec.max_pixels
        shards = find_shards(root, split, ".tar")
        folder = root.parent if shards == [root] else root
        fields = _fields(spec, shards[0])
        read = [read_samples(shard, fields) for shard in shards]
        _report_without_image(root, sum(samples.without_image for samples in read))
        inside = [shard.relative_to(folder).as_posix() for shard in shards]
        self.names = Names.of(_named(inside, read))
        names, separator = spec.declared(folder), spec.separator if spec.multi_label else None
        known = names if classes is None else classes
        self.classes, self.labels = read_labels(
            ([json.loads(label)] for samples in read for label in samples.labels),
            SingleLabels(known) if separator is None else SeveralLabels(known, separator),
            None if names is None else Declared(names, separator),
            known,
            f"{folder}/{inside[0]}" if len(shards) == 1 else f"{root}, {split or 'all shards'}",
            self.name,
        )
        counts = [len(samples.names) for samples in read]
        self.files = MemberFiles(
            os.fsencode(root.resolve()) + b"\0" + f"{split}\0{fields}".encode(),
            Containers(shards, [samples.stamp for samples in read]),
            np.repeat(np.arange(len(shards), dtype=np.int32), counts),
            np.concatenate([samples.places for samples in read]),
            str(folder),
            self.names,
        )

    def name(self, index: int) -> str:
        """Returns the shard of image `index` and its name in it, with slashes."""
        return self.names[index]


def _named(shards: Sequence[str], read: Sequence[Samples]) -> Iterable[str]:
    for shard, samples in zip(shards, read, strict=True):
        for name in samples.names:
            yield f"{shard}/{name}"


def _fields(spec: WebDataset, shard: Path) -> Fields:
    """Returns which fields are image and label, as the spec or the first shard says."""
    members = open_archive(shard)
    present = fields_in(shard, members)
    image = tuple((spec.image_field or "").lower().replace(";", " ").split())
    label = (spec.label_field or "").lower()
    if not label:
        label = next((field for field in LABEL_FIELDS if field in present), "")
    if label not in present or (image and not set(image) & set(present)):
        missing = "label_field" if label not in present else "image_field"
        raise DatasetError(
            f"{shard}: name the field of the {missing.partition('_')[0]}s in dataset.{missing};"
            f" samples have {listed(present) or 'none'}."
        )
    fields = Fields(image, label, spec.label_key or "")
    if not any(map(fields.is_image, present)):
        raise DatasetError(f"{shard}: no sample has an image; they have {listed(present)}.")
    if spec.label_key is None and label.endswith("json"):
        return Fields(image, label, _key(shard, label, first_json(shard, members, label)))
    return fields


def _key(shard: Path, field: str, content: Any) -> str:
    """Returns under which key of a JSON object a label is; empty if it is none."""
    if not isinstance(content, dict):
        return ""
    keys = [key for key in content if key.lower() in LABEL_NAMES]
    if len(keys) != 1:
        raise DatasetError(
            f"{shard}: name the key of the label in '{field}' in dataset.label_key; its keys are"
            f" {listed(list(content))}."
        )
    return str(keys[0])


def _report_without_image(root: Path, count: int) -> None:
    if count:
        samples = "1 sample" if count == 1 else f"{count} samples"
        log.warning("%s: left out %s without an image", root, samples)
