"""The samples in a shard of WebDataset: files of a tar archive whose names begin alike.

A sample's key is its files' name up to the first dot, with the folders before it, and each file is
a field, which the rest of its name names in lower case: ``n01/7.jpg`` and ``n01/7.cls`` are the
fields ``jpg`` and ``cls`` of the sample ``n01/7``.
(https://github.com/webdataset/webdataset, ``webdataset.tariterators``)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.data.archives.members import Members, Packing, Place, Places
from isotune.data.archives.open import list_archive
from isotune.data.archives.read import read_member
from isotune.data.caches.indexes import cached_index
from isotune.data.caches.stamps import Stamp, stamp, version_in
from isotune.data.folders import is_hidden, is_image
from isotune.data.names import Names
from isotune.errors import DatasetError, first_lines
from isotune.storage.open_files import Version

MAX_LABEL = 1 << 20
"""Number of bytes that the file of a label may have."""


@dataclass(frozen=True)
class Fields:
    """Which fields of a sample are its image and its label.

    Attributes:
        image: The image's field, or several that it may be; empty for any field that the endings
            of images name.
        label: The label's field, ``json`` or one that ends in it for JSON, else of text.
        key: Where the label is in a JSON object; empty if it is the whole.
    """

    image: tuple[str, ...]
    label: str
    key: str

    def is_image(self, field: str) -> bool:
        """Whether a field is that of the image."""
        return field in self.image if self.image else "." not in field and is_image(f".{field}")


@dataclass(frozen=True)
class Samples:
    """The samples of a shard that have an image.

    Attributes:
        names: Names of the images' files in the shard.
        places: Where these are.
        labels: Labels, as JSON.
        without_image: Number of samples that have none.
        stamp: The shard's stamp when it was read.
    """

    names: Names
    places: Places
    labels: Names
    without_image: int
    stamp: Stamp


def read_samples(shard: Path, fields: Fields) -> Samples:
    """Returns the samples of a shard, from a cache as long as it has not changed.

    Raises:
        DatasetError: It cannot be read as a tar archive, or samples are without a label, have two
            images, or a label that cannot be read. The message names these.
    """
    index = cached_index(shard, f"samples: {fields}", lambda: _build(shard, fields))
    return Samples(
        Names(index["names"], index["name_ends"]),
        index["places"],
        Names(index["labels"], index["label_ends"]),
        int(index["without_image"]),
        tuple(index["stamp"].tolist()),
    )


def fields_in(shard: Path, members: Members) -> list[str]:
    """Returns the names of the fields of all samples in a shard, sorted.

    Raises:
        DatasetError: A file is there twice.
    """
    return sorted({field for _, fields in _grouped(shard, members) for field in fields})


def first_json(shard: Path, members: Members, field: str) -> Any:
    """Returns the content of the first file of a field as JSON.

    Raises:
        DatasetError: It is no JSON.
    """
    version = version_in(stamp(str(shard)))
    for key, fields in _grouped(shard, members):
        if field in fields:
            place = Place(*members.places[fields[field]].tolist())
            try:
                return json.loads(_small(shard, version, place))
            except (OSError, ValueError, RecursionError) as error:
                raise DatasetError(f"{shard}/{key}.{field}: is no JSON: {error}.") from error
    raise AssertionError("the field is one of the shard's")


def _grouped(shard: Path, members: Members) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Yields the key of each sample, and the numbers of its files by field.

    Raises:
        DatasetError: A file is there twice.
    """
    samples: dict[str, dict[str, int]] = {}
    folders = members.places[:, 0] == Packing.FOLDER
    for number, (name, is_folder) in enumerate(zip(members.names, folders.tolist(), strict=True)):
        folder, slash, file = name.rpartition("/")
        stem, dot, field = file.partition(".")
        if is_folder or not dot or is_hidden(file):
            continue
        fields = samples.setdefault(f"{folder}{slash}{stem}", {})
        if fields.setdefault(field.lower(), number) != number:
            raise DatasetError(f"{shard}: has two files '{name}'.")
    yield from samples.items()


def _build(shard: Path, fields: Fields) -> dict[str, NDArray[Any]]:
    version = version_in(stamp(str(shard)))
    members = list_archive(shard)
    numbers: list[int] = []
    labels: list[str] = []
    faults: list[str] = []
    without = 0
    for key, files in _grouped(shard, members):
        images = [number for field, number in files.items() if fields.is_image(field)]
        if not images:
            without += 1
            continue
        try:
            label = _label(shard, version, members, files, fields)
            if len(images) > 1:
                names = " and ".join(members.names[number] for number in images)
                raise ValueError(f"has several images, {names}; choose by dataset.image_field")
        except (OSError, ValueError, RecursionError) as error:
            faults.append(f"  {key}: {_why(error, fields.label)}")
            continue
        numbers.append(images[0])
        labels.append(json.dumps(label))
    if faults:
        count = "1 sample is" if len(faults) == 1 else f"{len(faults)} samples are"
        raise DatasetError(f"{shard}: {count} wrong:", *first_lines(faults))
    inside, packed = Names.of(members.names[number] for number in numbers), Names.of(labels)
    return {
        "names": inside.text,
        "name_ends": inside.ends,
        "labels": packed.text,
        "label_ends": packed.ends,
        "places": members.places[numbers],
        "without_image": np.array(without),
    }


def _why(error: Exception, label: str) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"its '{label}' is not UTF-8 text"
    if isinstance(error, (json.JSONDecodeError, RecursionError)):
        return f"its '{label}' is no JSON: {error}"
    return getattr(error, "strerror", None) or str(error)


def _label(
    shard: Path,
    version: Version,
    members: Members,
    files: Mapping[str, int],
    fields: Fields,
) -> Any:
    """Returns a sample's label as JSON has it.

    Raises:
        OSError: Its file cannot be read.
        ValueError: It has none, or it is not what it should be.
    """
    if fields.label not in files:
        raise ValueError(f"has no '{fields.label}', which is its label's field")
    content = _small(shard, version, Place(*members.places[files[fields.label]].tolist()))
    if not fields.label.endswith("json"):
        return content.decode().strip()
    value = json.loads(content)
    for key in filter(None, [fields.key]):
        if not isinstance(value, dict) or key not in value:
            raise ValueError(f"has no '{key}' in its '{fields.label}'")
        value = value[key]
    return value


def _small(shard: Path, version: Version, place: Place) -> bytes:
    if place.size > MAX_LABEL:
        raise ValueError(f"has a label of {place.size} bytes; at most {MAX_LABEL} are allowed")
    return read_member(shard, version, place)
