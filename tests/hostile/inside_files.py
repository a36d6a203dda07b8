"""Hostile archives, shards and Parquet files, read in place: nothing outside them is ever read."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from containers import IMAGE, write_parquet
from hostile.harness import Attack, Suite
from hostile.specs import TEXTS
from hostile.unpacking import DAMAGE, LIMIT, Entry, entries, rewritten, tar_archive, zip_archive
from isotune.data.archives import budget
from isotune.data.integrity.check import find_broken
from isotune.data.sources.archive import ArchiveDataset
from isotune.data.sources.parquet import ParquetDataset
from isotune.data.sources.webdataset import WebDataset
from isotune.interfaces.dataset import DatasetFormat

KEYS = ("0", "n/1", "../2", ".3", "4.5", "", "é", "x" * 300, "a\0b")
FIELDS = ("jpg", "PNG", "cls", "json", "seg.png", "txt", "", "webp.")
LABELS = ("0", "1", "-1", "9" * 5000, "ants", "", "\0", "{}", "[", "null", '{"label": "ants"}')
LABELS += ('{"label": [1, "ants", null]}', '{"label": {"label": 1}}', "[" * 9000, "1e999", "NaN")


def archives(folder: Path) -> Attack:
    del folder

    def attack(rng: random.Random, folder: Path) -> None:
        outside = folder / "outside"
        outside.mkdir()
        (outside / "canary").write_text("sings")
        path = folder / "images"
        wanted = entries(rng, str(outside))
        wanted += [Entry(f"train/{name}/1.png", b"\x89PNG") for name in ("a", "b")]
        data = rng.choice((zip_archive, tar_archive))(rng, wanted)
        if rng.random() < 0.4:
            data = rng.choice(DAMAGE)(rng, data)
        path.write_bytes(data)
        read(ArchiveDataset(path=str(path)), path, folder)

    return attack


def shards(folder: Path) -> Attack:
    del folder

    def attack(rng: random.Random, folder: Path) -> None:
        path = folder / "train.tar"
        path.write_bytes(shard(rng))
        options: dict[str, Any] = {}
        if rng.random() < 0.3:
            options["classes"] = ("ants", "bees")
        if rng.random() < 0.3:
            options["targets"] = "multi_label"
        if rng.random() < 0.3:
            options["label_field"] = rng.choice(FIELDS[:-2])
        read(WebDataset(path=str(folder), **options), folder, folder)

    return attack


def shard(rng: random.Random) -> bytes:
    file = io.BytesIO()
    dialect = rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    odd = rng.choice((0, 0, 0.2))
    with tarfile.open(fileobj=file, mode="w", format=dialect) as archive:
        for number in range(rng.choice((0, 1, 5))):
            key = rng.choice(KEYS) if rng.random() < odd else str(number)
            for field in rng.sample(FIELDS, 3) if rng.random() < odd else FIELDS[0:3:2]:
                label = rng.choice((*LABELS, *TEXTS) if rng.random() < odd else LABELS[:2])
                content = label.encode("utf-8", "surrogatepass")
                info = tarfile.TarInfo(f"{key}.{field}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    damage: list[Callable[[random.Random, bytes], bytes]] = [lambda _, data: data]
    damage += [*DAMAGE, rewritten] if rng.random() < 0.3 else []
    return rng.choice(damage)(rng, file.getvalue())


def parquet(folder: Path) -> Attack:
    labels = {"names": ["ants", "bees"], "_type": "ClassLabel"}
    rows = [
        {"image": {"bytes": bytes([row]) * 200, "path": "?"}, "label": row % 2} for row in range(12)
    ]
    path = folder / "train.parquet"
    whole = write_parquet(path, rows, {"image": IMAGE, "label": labels}, group=4).read_bytes()

    def attack(rng: random.Random, folder: Path) -> None:
        data = bytearray(whole)
        first = rng.choice((0, len(data) - 900))  # the second is in the footer
        for _ in range(rng.choice((1, 3, 20))):
            data[rng.randrange(first, len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            data = bytearray(rng.choice(DAMAGE)(rng, bytes(data)))
        (folder / "train.parquet").write_bytes(data)
        read(ParquetDataset(path=str(folder)), folder, folder)

    return attack


def read(dataset: DatasetFormat, path: Path, folder: Path) -> None:
    """Opens a dataset and reads all of its images."""
    limits = patch.multiple(budget, MIN_LIMIT=LIMIT, RATIO=10)
    with patch.dict(os.environ, ISOTUNE_HOME=str(folder / "home")), limits:
        source = dataset.open(path, "train")
        assert len(source) == len(source.labels)
        json.dumps([source.name(index) for index in range(len(source))])
        find_broken(source)
        for index in range(len(source)):
            with suppress(OSError), source.files.open(index) as file:  # type: ignore[attr-defined]
                assert b"sings" not in file.read()


SUITES = (
    Suite("archives-in-place", 1_000, archives),
    Suite("shards", 1_000, shards),
    Suite("parquet", 2_000, parquet),
)
