"""Mutated cache files and lists of images: neither believed nor fatal."""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np

from hostile.harness import Attack, Suite
from isotune.data.caches.files import FolderFiles
from isotune.runs.images import FILE, ListedImage, check_same_images, write_images
from isotune.storage.sealed import open_sealed, write_sealed

KEY = "0" * 64
ROWS = np.arange(24, dtype=np.float32).reshape(6, 4)
NAMES = ["a/1.png", "b/2.png"]
LISTED = [ListedImage("train", "a", f"a/{number}.png", f"{number:032x}") for number in range(20)]


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Flips, cuts, repeats or inserts some bytes."""
    text = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place, length = rng.randrange(len(text) + 1), rng.choice((0, 1, 8, len(text)))
        piece = rng.choice((rng.randbytes(length), text[:length], b'"', b"9" * 40, b"[[", b"null"))
        text[place : place + rng.choice((0, len(piece)))] = piece
    return bytes(text)


def replace(rng: random.Random, path: Path) -> None:
    """Puts something else at the path of a regular file."""
    data = path.read_bytes()
    path.unlink()
    match rng.randrange(10):
        case 0:
            os.mkfifo(path)
        case 1:
            path.symlink_to("/dev/zero")
        case 2:
            path.mkdir()
        case _:
            path.write_bytes(mutated(rng, data))


@contextmanager
def one_line_at_most() -> Iterator[None]:
    """Takes what is logged about cache files."""
    lines: list[logging.LogRecord] = []
    log = logging.getLogger("isotune.storage.sealed")

    def take(record: logging.LogRecord) -> bool:
        lines.append(record)
        return False

    log.addFilter(take)
    try:
        yield
    finally:
        log.removeFilter(take)
    assert len(lines) <= 1


def features(folder: Path) -> Attack:
    original = folder / "features"
    with original.open("wb") as file:
        write_sealed(file, KEY, ROWS)

    def attack(rng: random.Random, folder: Path) -> None:
        path = shutil.copy(original, folder)
        replace(rng, Path(path))
        with one_line_at_most():
            found = open_sealed(Path(path), KEY, np.float32)
        assert found is None or np.array_equal(found, ROWS)

    return attack


def checked_files(folder: Path) -> Attack:
    images = folder / "images"
    for name in NAMES:
        (images / name).parent.mkdir(parents=True)
        (images / name).write_text(name)
    with patch.dict(os.environ, ISOTUNE_HOME=str(folder / "home")):
        expected = FolderFiles(images, NAMES).digests(1).tolist()
    (cached,) = (folder / "home/cache/checked").iterdir()

    def attack(rng: random.Random, folder: Path) -> None:
        copied = folder / "cache/checked" / cached.name
        copied.parent.mkdir(parents=True)
        shutil.copy(cached, copied)
        replace(rng, copied)
        with one_line_at_most(), patch.dict(os.environ, ISOTUNE_HOME=str(folder)):
            assert FolderFiles(images, NAMES).digests(1).tolist() == expected

    return attack


def listed_images(folder: Path) -> Attack:
    write_images(folder, LISTED)
    original = folder / FILE

    def attack(rng: random.Random, folder: Path) -> None:
        path = Path(shutil.copy(original, folder))
        replace(rng, path)
        check_same_images(folder, LISTED)

    return attack


SUITES = (
    Suite("features", 2_000, features),
    Suite("checked-files", 1_000, checked_files),
    Suite("listed-images", 2_000, listed_images),
)
