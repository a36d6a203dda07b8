"""Trains on the same images in every dataset format, on both backends, and compares the runs.

    python benchmarks/every_format.py --home DIR [FORMAT ...]

DIR is a folder with ``datasets/hymenoptera_data`` and ``weights/``. A MobileNetV2 that is frozen
except for its head is trained for two epochs. Each run is a process of its own in an empty home, so
that none takes pixels or features of another one. Every run is added to
benchmarks/results/formats.json at once, of which benchmarks/results/formats.md is made.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from packing import FORMATS
from pairs import RESULTS, installed_versions
from processes import run

from isotune.equivalence.machine import describe_machine
from isotune.reports.tables import Table

BACKENDS = ("torch", "mindspore")
WEIGHTS = "mobilenet_v2-features-imagenet.pth"
SIDE = 96
COLUMNS = (
    *("format", "files", "backend", "model.safetensors", "optimizer.safetensors"),
    *("val_loss", "val_accuracy", "same run"),
)
TIMES = ("train_seconds", "val_seconds", "data_seconds", "step_ms")
"""Metrics that are times."""

Outcome = dict[str, Any]
"""What a run came to: ``files``, the number of files of the dataset; ``sha256`` of the files of
tensors of all checkpoints; ``metrics`` of each epoch, without times; ``images``, the SHA-256 of
split, class and digest of all images in order."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", help="by default all")
    parser.add_argument("--home", type=Path, default=os.environ.get("ISOTUNE_HOME"))
    parser.add_argument("--results", type=Path, default=RESULTS / "formats.json")
    options = parser.parse_args()
    results = options.results
    found = json.loads(results.read_text("utf-8")) if results.exists() else {}
    for backend in BACKENDS:
        for kind in options.formats or FORMATS:
            found.setdefault(kind, {})[backend] = trained(kind, backend, options.home.resolve())
            results.write_text(json.dumps(found, indent=1), "utf-8")
            results.with_suffix(".md").write_text(page(found), "utf-8")
            print(kind, backend, found[kind][backend]["metrics"][-1], flush=True)


def trained(kind: str, backend: str, home: Path) -> Outcome:
    """Packs the images and trains on them, in a new process."""
    with tempfile.TemporaryDirectory(prefix="isotune-formats-") as name:
        folder, packed = Path(name), Path(name, "packed")
        packed.mkdir()
        dataset = FORMATS[kind](home / "datasets" / "hymenoptera_data", packed)
        spec = {
            "name": "every-format",
            "dataset": dataset,
            "transforms": {
                "train": [{"random_resized_crop": SIDE}, "random_horizontal_flip"],
                "val": [{"resize": [SIDE, SIDE]}],
            },
            "backbone": {"name": "mobilenet_v2", "weights": str(home / "weights" / WEIGHTS)},
            "freeze": "backbone",
            "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
            "batch_size": 16,
            "epochs": 2,
        }
        (folder / "spec.yaml").write_text(yaml.safe_dump(spec), "utf-8")
        command = [sys.executable, "-m", "isotune", "run", str(folder / "spec.yaml")]
        command += ["--backend", backend, "--device", "cpu", "--output", str(folder / "run")]
        run(command, {"ISOTUNE_HOME": str(folder / "home")})
        place = Path(dataset["path"])
        files = 1 if place.is_file() else sum(1 for each in place.rglob("*") if each.is_file())
        return {"files": files, **outcome(folder / "run")}


def outcome(folder: Path) -> Outcome:
    """Reads what a run came to."""
    _, *images = lines(folder / "images.jsonl")
    unnamed = [[split, label, digest] for split, label, _, digest in images]
    return {
        "sha256": {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.glob("checkpoints/*/*.safetensors"))
        },
        "metrics": [
            {key: value for key, value in line.items() if key not in TIMES}
            for line in lines(folder / "metrics.jsonl")
        ],
        "images": hashlib.sha256(json.dumps(unnamed).encode()).hexdigest(),
    }


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def same(first: Outcome, second: Outcome) -> bool:
    """Whether two runs came to the same bytes."""
    return all(first[key] == second[key] for key in ("sha256", "metrics", "images"))


def page(found: dict[str, dict[str, Outcome]]) -> str:
    """Returns the page as Markdown."""
    table = Table(COLUMNS, [*["left"] * 5, *["right"] * 2, "left"])
    first = next(iter(FORMATS))
    for kind in filter(found.__contains__, FORMATS):
        for backend, result in found[kind].items():
            last, end = list(result["sha256"].values())[-2:], result["metrics"][-1]
            table.add(
                kind,
                f"{result['files']:,}",
                backend,
                *(digest[:16] for digest in last),
                f"{end['val_loss']:.6f}",
                f"{end['val_accuracy']:.4f}",
                "yes" if same(result, found[first][backend]) else "NO",
            )
    machine: dict[str, Any] = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    return (
        "# The same images in every format\n\n"
        "Made by `benchmarks/every_format.py`: the images of ants and bees (`hymenoptera_data`), a"
        f" MobileNetV2 that is frozen except for its head, {SIDE} x {SIDE} pixels, 2 epochs, every"
        " run in a process and a home of its own. Hashes are the first digits of the SHA-256 of the"
        " last"
        " checkpoint's files. A run is the same if all files of tensors, all metrics except times,"
        f" and classes and digests of all images in order are those of the {first}'s run on the"
        f" same backend. {machine['cpus']} cores ({machine['cpu']}, {machine['system']};"
        f" {packages}).\n\n{table.markdown()}\n"
    )


if __name__ == "__main__":
    main()
