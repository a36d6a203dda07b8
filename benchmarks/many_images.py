"""Measures indexing, checking and training with a dataset of very many tiny images."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from struct import pack
from typing import Any

from cases import HERE
from pairs import Part, Record
from processes import run

CLASSES = 10
SIDE = 8
BATCH = 256
SIZE = 32


def part(backend: str, device: str, many: int, work: Path, sets: Sequence[str]) -> Part:
    """Returns the comparison of a dataset of `many` images with one of a tenth of them."""
    few = many // 10

    def measured(count: int) -> Record:
        folder = dataset(work / f"images-{count}", count)
        return {**indexed(folder), **trained(folder, backend, device, work, sets)}

    return Part(
        name=f"4-many-{backend}",
        title=f"{many:,} images beside {few:,}: LeNet, batch {BATCH}, {backend}",
        settings={"backend": backend, "device": device, "many": many, "sets": list(sets)},
        first=lambda _: measured(few),
        second=lambda _: measured(many),
        ratios={"index": None, "check": None, "peak_mib": 1.05, "wall": None},
        bounds={"index": 5.0},
        names=(f"{few:,}", f"{many:,}"),
    )


def dataset(folder: Path, count: int) -> Path:
    """Creates a dataset of `count` training images and some validation images, once."""
    done = folder / "done"
    if not done.exists():
        for split, images in (("train", count), ("val", 10 * CLASSES)):
            for name in range(CLASSES):
                (folder / split / f"class{name}").mkdir(parents=True, exist_ok=True)
            for i in range(images):
                path = folder / split / f"class{i % CLASSES}" / f"{i:06d}.png"
                path.write_bytes(image(i))
        done.touch()
    return folder


def image(number: int) -> bytes:
    """Returns a PNG file with a single color that depends on `number`."""
    color = bytes(((number * 37) % 256, (number * 101) % 256, (number * 173) % 256))
    rows = (b"\0" + color * SIDE) * SIDE
    header = pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return pack(">I", len(content)) + kind + content + pack(">I", zlib.crc32(kind + content))


def indexed(folder: Path) -> Record:
    """Times indexing, and checking every image in a first run, in a new process."""
    command = [sys.executable, str(Path(__file__).resolve()), str(folder)]
    with tempfile.TemporaryDirectory() as home:
        return dict(json.loads(run(command, {"ISOTUNE_HOME": home}).last_line))


def trained(folder: Path, backend: str, device: str, work: Path, sets: Sequence[str]) -> Record:
    """Trains for one epoch; returns wall time and peak resident set size."""
    experiment: dict[str, Any] = {
        "name": "many",
        "dataset": {"path": str(folder)},
        "transforms": {name: [{"resize": {"size": [SIZE, SIZE]}}] for name in ("train", "val")},
        "batch_size": BATCH,
        "drop_last": True,
        "backbone": {"name": "lenet", "weights": "none"},
        "optimizer": {"name": "sgd", "lr": 0.01},
        "epochs": 1,
    }
    with tempfile.TemporaryDirectory(dir=work) as home:
        spec = Path(home) / "spec.json"
        spec.write_text(json.dumps(experiment), "utf-8")
        command = [sys.executable, str(HERE / "timed_run.py"), str(Path(home) / "times.json")]
        command += ["run", str(spec), "--backend", backend, "--device", device]
        command += ["--output", str(Path(home) / "run")]
        for each in sets:
            command += ["--set", each]
        ended = run(command, {"ISOTUNE_HOME": home})
    return {"wall": ended.wall, "peak_mib": ended.peak_mib}


def main(folder: Path) -> None:
    from isotune.data.images import open_split
    from isotune.data.integrity.check import clean
    from isotune.data.sources.folder import FolderDataset

    begin = time.perf_counter()
    source = open_split(FolderDataset(path=str(folder)), "train")
    index = time.perf_counter() - begin
    begin = time.perf_counter()
    clean(source, "error", None)
    check = time.perf_counter() - begin
    print(json.dumps({"index": index, "check": check, "images": len(source)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
