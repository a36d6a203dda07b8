"""Puts a dataset in folders into files of other formats, in the order of ``ImageFolder``."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archives import tar_bytes
from isotune.data.sources.folder import FolderSource

Options = dict[str, Any]
"""Fields of a spec's dataset."""


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))]


def make_zip(folder: Path, target: Path, compression: int = zipfile.ZIP_DEFLATED) -> Options:
    path = target / "images.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in _files(folder):
            archive.write(folder / name, f"images/{name}")
    return {"format": "archive", "path": str(path)}


def make_tar(folder: Path, target: Path) -> Options:
    path = target / "images.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder, ".")
    return {"format": "archive", "path": str(path)}


def make_tar_each(folder: Path, target: Path) -> Options:
    """An archive for each split, with headers of all three kinds of tar archives."""
    kinds = {"train": tarfile.GNU_FORMAT, "val": tarfile.USTAR_FORMAT}
    for split in folder.iterdir():
        kind = kinds.get(split.name, tarfile.PAX_FORMAT)
        with tarfile.open(target / f"{split.name}.tar", "w", format=kind) as archive:
            for name in reversed(_files(split)):
                archive.add(split / name, name, recursive=False)
    return {"format": "archive", "path": str(target)}


def make_zip_each(folder: Path, target: Path) -> Options:
    for split in folder.iterdir():
        with zipfile.ZipFile(target / f"{split.name}.zip", "w") as archive:
            for name in reversed(_files(split)):
                archive.write(split / name, f"{split.name}/{name}")
    return {"format": "archive", "path": str(target)}


def labeled(folder: Path, split: str) -> list[tuple[str, str]]:
    """Returns the images of a split and their classes, in the order of ``ImageFolder``."""
    source = FolderSource(folder, split)
    return [
        (source.name(index), source.classes[label]) for index, label in enumerate(source.labels)
    ]


def make_shards(folder: Path, target: Path, size: int = 3) -> Options:
    """Shards of WebDataset with classes as text, ``size`` samples each."""
    for split in ("train", "val"):
        images = labeled(folder, split)
        for number, start in enumerate(range(0, len(images), size)):
            shard = {}
            for place, (name, label) in enumerate(images[start : start + size], start):
                ending = name.rpartition(".")[2]
                shard[f"{place:04}.{ending}"] = (folder / split / name).read_bytes()
                shard[f"{place:04}.cls"] = label.encode()
            path = target / f"{split}-{number:06}.tar"
            path.write_bytes(tar_bytes(shard, mode="w"))
    return {"format": "webdataset", "path": str(target)}


IMAGE = {"_type": "Image"}


def make_parquet(folder: Path, target: Path, size: int = 3) -> Options:
    """Files as Hugging Face's datasets write them, of ``size`` rows in groups of two."""
    for split in ("train", "val"):
        images = labeled(folder, split)
        classes = sorted({label for _, label in images})
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        for number, part in enumerate(parts):
            rows = [
                {
                    "image": {"bytes": (folder / split / name).read_bytes(), "path": name},
                    "label": classes.index(label),
                }
                for name, label in part
            ]
            path = target / "data" / f"{split}-{number:05}-of-{len(parts):05}.parquet"
            features = {"image": IMAGE, "label": {"names": classes, "_type": "ClassLabel"}}
            write_parquet(path, rows, features)
    return {"format": "parquet", "path": str(target)}


def write_parquet(
    path: Path, rows: list[dict[str, Any]], features: Any = None, group: int = 2
) -> Path:
    """Writes rows, the images a struct of bytes and path, with Hugging Face's description."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist(rows)
    if features is not None:
        described = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": described})
    path.parent.mkdir(exist_ok=True, parents=True)
    pyarrow.parquet.write_table(table, path, row_group_size=group, write_page_checksum=True)
    return path


MAKERS: dict[str, Callable[[Path, Path], Options]] = {
    "zip": make_zip,
    "tar": make_tar,
    "zip of each split": make_zip_each,
    "tar of each split": make_tar_each,
    "webdataset": make_shards,
    "parquet": make_parquet,
}
