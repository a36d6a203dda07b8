"""The files that the documentation speaks of, as small as they can be."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

import isotune
import several_labels
from isotune import hookimpl
from isotune.interfaces.events import EpochEnded

SIZE = 32
SPECS = ("ants-and-bees", "spec", "heads", "probe", "flowers", "resnet18")


class StopAfter:
    """An observer that stops a run after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    @hookimpl
    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        if event.metrics.epoch == self.epoch:
            event.stop.request("a test")


def make_images(folder: Path, classes: tuple[str, ...], count: int) -> Path:
    """Writes `count` JPEG files a class: `folder`/CLASS/NUMBER.jpg."""
    generator = np.random.default_rng(count + sum(map(ord, "".join(classes))))
    for level, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = generator.normal(60 + 120 * level, 30, (SIZE, SIZE + 8, 3)).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.jpg")
    return folder


def spec(data: str, **changes: Any) -> dict[str, Any]:
    """Returns a spec that trains LeNet."""
    small = [{"resize": 40}, {"center_crop": SIZE}]
    return {
        "name": "ants-and-bees",
        "dataset": {"path": data},
        "transforms": {"train": [{"random_crop": SIZE}], "val": small},
        "backbone": {"name": "lenet", "weights": "none"},
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
        "batch_size": 4,
        "epochs": 2,
        **changes,
    }


def make_world() -> None:
    """Writes everything into the working directory."""
    for split, count in (("train", 6), ("val", 4), ("test", 3)):
        make_images(Path("hymenoptera_data") / split, ("ants", "bees"), count)
    make_images(Path("flowers"), ("daisy", "tulip"), 12)
    make_images(Path("other-images/val"), ("ants", "bees"), 2)
    for name in ("car", "bicycle"):
        make_images(Path(), (name,), 10)
    make_new_images()
    for name in SPECS:
        small = spec("hymenoptera_data", name=name)
        Path(f"{name}.yaml").write_text(yaml.safe_dump(small))
    Path("space.yaml").write_text("optimizer.lr: {low: 1e-3, high: 0.1, log: true}\n")
    Path("about.yaml").write_text("license: mit\n")
    rows = [
        f"{path},{path.parent.name},{number % 4}"
        for number, path in enumerate(sorted(Path("flowers").glob("*/*.jpg")))
    ]
    Path("rooms.csv").write_text("\n".join(["image,label,group", *rows]) + "\n")
    table = {"format": "table", "path": "rooms.csv", "split": {"val": 0.25}}
    Path("SPEC").write_text(yaml.safe_dump(spec("", dataset=table)))


def make_new_images() -> None:
    """Writes images that nobody has labeled, and one that is none."""
    bee = Path("hymenoptera_data/val/bees/0.jpg")
    for name in ("bee", "photo", "kitchen"):
        shutil.copy(bee, f"{name}.jpg")
    for folder in ("new", "photos"):
        Path(folder).mkdir()
        shutil.copy(bee, folder)
    shutil.copytree("hymenoptera_data", "new_images")
    Path("notes.txt").write_text("no image")


def make_runs(backends: tuple[str, ...]) -> None:
    """Trains what the documentation calls RUN, runs/RUN, bees.onnx and so on."""
    for backend in backends:
        isotune.run("ants-and-bees.yaml", backend=backend, output=f"runs/ants-and-bees-{backend}")
    for copy in ("RUN", "ANOTHER_RUN", "IN", "runs/ants-and-bees-torch-20260101-120000"):
        shutil.copytree("runs/ants-and-bees-torch", copy)
    with suppress(isotune.StoppedError):
        isotune.run(
            "spec.yaml",
            backend="torch",
            output="runs/RUN",
            overrides=["epochs=4", "checkpoint={keep: 5}"],
            observers=[StopAfter(3)],
        )
    table = several_labels.make_table(Path("several"), size=40)
    labels = spec("", dataset=several_labels.several(table)["dataset"])
    isotune.run(labels, backend="torch", output="SEVERAL")
    isotune.export("RUN", "model.onnx")
    for copy in ("bees.onnx", "ants-and-bees.onnx"):
        shutil.copy("model.onnx", copy)
    isotune.cross_validate("SPEC", folds=2, backend="torch", output="FOLDS")
    shutil.copytree("runs/RUN", "runs/STOPPED")
    best = Path("RUN/checkpoints")
    shutil.copy(next(best.glob("*/model.safetensors")), "model.safetensors")
