"""Hostile tables: no image outside their folder is read, and what is wrong is said by line."""

from __future__ import annotations

import csv
import io
import json
import os
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from hostile.caches import mutated
from hostile.harness import Attack, Suite
from hostile.specs import TEXTS
from isotune.data.sources.table import TableDataset
from isotune.errors import DatasetError
from tiny import CLASSES, make_images

PLAIN = [f"train/{name}/{number}.png" for name in CLASSES for number in range(3)]
PATHS = (
    "./train/../train/ants/0.png", "train//ants//1.png", "../canary.png",
    "train/../../canary.png", "/etc/passwd", "/dev/zero", "/proc/self/mem", "~/x.png", "train",
    "link.png", "pipe", "x" * 5000, "a/" * 3000, "..\\canary.png", "C:\\x.png", "file:///etc/passwd",
)  # fmt: skip
LABELS = ("ants", " ants ", "bees", "e\u0301", "\u00e9", "ants;bees", ";", "1", "0", "1.0")
COLUMNS = ("image", "label", "split", "group", "ants", "bees", "path", "class", "")
BYTES = (
    b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b"\r", b'"', b'"""', b"\n" * 999, b"\x80", b"\xed\xa0\x80",
)  # fmt: skip

Cells = Sequence[Sequence[Any]]


def as_csv(rng: random.Random, rows: Cells, delimiters: str = ",;\t") -> bytes:
    file = io.StringIO()
    csv.writer(file, delimiter=rng.choice(delimiters)).writerows(rows)
    return file.getvalue().encode("utf-8", "surrogatepass")


def as_json(rng: random.Random, rows: Cells) -> bytes:
    header, *others = rows
    lines = []
    for row in others:
        values = dict(zip(header, row, strict=False))
        if rng.random() < 0.3:
            odd: tuple[Any, ...] = (None, [], ["ants"], {}, [[]], 1e400, -1, 10**30, True, "\ud800")
            values[rng.choice(header)] = rng.choice(odd)
        lines.append(json.dumps(values))
    return "\n".join(lines).encode()


WRITERS: dict[str, Callable[[random.Random, Cells], bytes]] = {
    "csv": as_csv,
    "tsv": partial(as_csv, delimiters="\t"),
    "jsonl": as_json,
}


def cells(rng: random.Random) -> Cells:
    header = [*rng.sample(COLUMNS, rng.randint(2, 5))] if rng.random() < 0.3 else ["image", "label"]
    texts = (*LABELS, *TEXTS)
    rows: list[list[str]] = [header]
    odd = rng.choice((0, 0, 0.1))
    for _ in range(rng.choice((0, 1, 5, 40))):
        path = rng.choice(PATHS if rng.random() < odd else PLAIN)
        label = path.split("/")[1] if path in PLAIN else rng.choice(LABELS)
        row = [path, rng.choice(texts) if rng.random() < odd else label]
        row += [rng.choice(texts) for _ in header[2:]]
        rows.append(row if rng.random() < 1 - odd else row[: rng.randrange(len(row))])
    return rows


def fields(rng: random.Random) -> dict[str, Any]:
    drawn: dict[str, Any] = {"broken": rng.choice(("error", "skip"))}
    if rng.random() < 0.3:
        drawn["targets"] = "multi_label"
    if rng.random() < 0.2:
        drawn["label_columns"] = ("ants", "bees")
    if rng.random() < 0.1:
        drawn["image_column"] = rng.choice(COLUMNS[:-1])
    return drawn


def tables(folder: Path) -> Attack:
    images = make_images(folder / "inside" / "images")
    (folder / "inside" / "canary.png").write_bytes((images / "train/ants/0.png").read_bytes())
    os.mkfifo(images / "pipe")
    (images / "link.png").symlink_to("/dev/zero")

    def attack(rng: random.Random, folder: Path) -> None:
        ending = rng.choice(list(WRITERS))
        data = WRITERS[ending](rng, cells(rng))
        if rng.random() < 0.3:
            data = mutated(rng, data)
        if rng.random() < 0.1:
            place = rng.randrange(len(data) + 1)
            data = data[:place] + rng.choice(BYTES) + data[place:]
        table = images / f"table.{ending}"
        table.write_bytes(data)
        with patch.dict(os.environ, ISOTUNE_HOME=str(folder)):
            source = TableDataset(path=str(table), **fields(rng)).open_all(table)
            assert len(source) == len(source.labels)
            assert np.isfinite(source.labels).all()
            for index in range(len(source)):
                path = os.path.abspath(source.identify(index))  # noqa: PTH100 (links stay)
                assert path.startswith(f"{images}{os.sep}"), path
                try:
                    source.load(index)
                except DatasetError:
                    continue

    return attack


SUITES = (Suite("tables", 3_000, tables),)
