"""Finds the columns of images and labels in a Parquet file, by its schema.

Hugging Face's datasets describe columns in the schema's metadata: ``{"info": {"features": {"label":
{"names": ["ants", "bees"], "_type": "ClassLabel"}}}}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isotune.data.parquet.file import ParquetFile
from isotune.data.tables.find import FoundColumns, find_columns
from isotune.errors import DatasetError, listed
from isotune.spec.columns import ColumnsSpec


@dataclass(frozen=True)
class ImageColumns:
    """Which columns of Parquet files hold what.

    Attributes:
        found: Their names.
        leaf: Path of the column with the images' bytes, such as ``image.bytes``.
        names: The classes that the file lists for the label, or None.
    """

    found: FoundColumns
    leaf: str
    names: tuple[str, ...] | None


def image_columns(path: Path, file: ParquetFile, spec: ColumnsSpec) -> ImageColumns:
    """Returns which columns of a Parquet file hold what.

    Args:
        path: The file.
        file: The same, open.
        spec: The columns that the user names.

    Raises:
        DatasetError: A column is missing, or which one is meant is not clear.
    """
    schema = file.parquet.schema_arrow
    features = _features(path, schema.metadata or {})
    leaves = dict(_leaves(schema))
    marked = [name for name in leaves if features.get(name, {}).get("_type") == "Image"]
    image = spec.image_column or _only(marked) or _only(list(leaves))
    lists = {name: names for name, what in features.items() if (names := _class_names(what))}
    label = spec.label_column
    if label is None and spec.label_columns is None:
        label = _only(list(lists))
    given = spec.model_copy(update={"image_column": image, "label_column": label})
    found = find_columns(path, schema.names, given, None, False)
    if found.image not in leaves:
        raise DatasetError(
            f"{path}: its column '{found.image}' does not hold the bytes of images;"
            f" {_advice(leaves)}."
        )
    listed_here = lists.get(found.labels[0]) if spec.label_columns is None else None
    return ImageColumns(found, leaves[found.image], listed_here)


def _only(names: Sequence[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _advice(leaves: Mapping[str, str]) -> str:
    if leaves:
        return f"set dataset.image_column to {listed(list(leaves))}"
    return "if it holds paths, the format is 'table'"


def _leaves(schema: Any) -> Iterator[tuple[str, str]]:
    """Yields the columns that may hold images' bytes, with the path of the bytes."""
    import pyarrow

    types = pyarrow.types
    for field in schema:
        if types.is_binary(field.type) or types.is_large_binary(field.type):
            yield field.name, field.name
        elif types.is_struct(field.type):
            index = field.type.get_field_index("bytes")
            inner = None if index < 0 else field.type.field(index).type
            if inner is not None and (types.is_binary(inner) or types.is_large_binary(inner)):
                yield field.name, f"{field.name}.bytes"


def _features(path: Path, metadata: Mapping[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Returns what Hugging Face's datasets say about columns, by their names."""
    text = metadata.get(b"huggingface")
    if text is None:
        return {}
    try:
        features = json.loads(text)["info"]["features"]
        return {str(name): _flat(what) for name, what in features.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{path}: its metadata 'huggingface' should describe its columns, but is damaged."
        ) from error


def _flat(what: Any) -> dict[str, Any]:
    """Returns the description of a column, that of the elements if it has lists."""
    if isinstance(what, list):  # how earlier versions write lists
        return _flat(what[0])
    if isinstance(what.get("feature"), dict):
        return _flat(what["feature"])
    return dict(what)


def _class_names(what: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the classes that a column's description lists; none if it has no labels."""
    names = what.get("names")
    listed_here = what.get("_type") == "ClassLabel" and isinstance(names, list)
    if not listed_here or not all(isinstance(name, str) for name in names or ()):
        return ()
    return tuple(names or ())
