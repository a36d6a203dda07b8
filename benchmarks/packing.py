"""Puts a dataset in folders into files of the other formats, in the order of ``ImageFolder``."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isotune.data.sources.folder import FolderSource

Dataset = dict[str, Any]
"""The dataset of a spec."""

SPLITS = ("train", "val")
SHARD = 100
"""Number of images in a shard, and in a row group."""


def images(folder: Path, split: str) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
    """Returns class names, and the path and label of each image."""
    source = FolderSource(folder, split)
    paths = (f"{split}/{source.name(index)}" for index in range(len(source)))
    return source.classes, list(zip(paths, source.labels.tolist(), strict=True))


def as_folder(folder: Path, target: Path) -> Dataset:
    return {"path": str(folder)}


def as_table(folder: Path, target: Path) -> Dataset:
    path = target / "labels.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        for split in SPLITS:
            classes, found = images(folder, split)
            rows.writerows([name, classes[label], split] for name, label in found)
    return {"format": "table", "path": str(path), "root": str(folder)}


def as_zip(folder: Path, target: Path) -> Dataset:
    path = target / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, f"{folder.name}/{file.relative_to(folder)}")
    return {"format": "archive", "path": str(path)}


def as_tar(folder: Path, target: Path) -> Dataset:
    path = target / "images.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder, folder.name)
    return {"format": "archive", "path": str(path)}


def as_parquet(folder: Path, target: Path) -> Dataset:
    import pyarrow
    import pyarrow.parquet

    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    for split in SPLITS:
        classes, found = images(folder, split)
        label = {"names": list(classes), "_type": "ClassLabel"}
        features = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
        schema = pyarrow.schema(
            [("image", image), ("label", pyarrow.int64())],
            {"huggingface": json.dumps(features)},
        )
        files = [found[start : start + SHARD] for start in range(0, len(found), SHARD)]
        for number, part in enumerate(files):
            rows = [
                {"image": {"bytes": (folder / name).read_bytes(), "path": name}, "label": place}
                for name, place in part
            ]
            path = target / f"{split}-{number:05}-of-{len(files):05}.parquet"
            table = pyarrow.Table.from_pylist(rows, schema)
            pyarrow.parquet.write_table(table, path, row_group_size=SHARD)
    return {"format": "parquet", "path": str(target)}


def as_webdataset(folder: Path, target: Path) -> Dataset:
    for split in SPLITS:
        classes, found = images(folder, split)
        for number, start in enumerate(range(0, len(found), SHARD)):
            with tarfile.open(target / f"{split}-{number:06}.tar", "w") as shard:
                for place, (name, label) in enumerate(found[start : start + SHARD], start):
                    _add(shard, f"{place:06}.jpg", (folder / name).read_bytes())
                    _add(shard, f"{place:06}.cls", str(label).encode())
    (target / "classes.txt").write_text("\n".join(classes), "utf-8")
    return {"format": "webdataset", "path": str(target)}


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    shard.addfile(entry, io.BytesIO(content))


FORMATS: dict[str, Callable[[Path, Path], Dataset]] = {
    "folder": as_folder,
    "table": as_table,
    "zip": as_zip,
    "tar": as_tar,
    "parquet": as_parquet,
    "webdataset": as_webdataset,
}
"""The first one is what others are compared with."""
