"""Writes the runs of this folder, and what they came to, with the version that it runs under.

    cd tests && python -m earlier.make_runs

The stored ones were written at commit 07cadda, before the epoch's metrics were named values. They
are never written again: a later version that cannot read them breaks its promise. A version that
changes what is stored gets a folder of its own beside this one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import isotune
from earlier.plugin import registered
from outcomes import state_files
from tiny import make_pictures

HERE = Path(__file__).parent
DATASET = "earlier-images"
"""Where the images lie under ``$ISOTUNE_HOME/datasets``, so that no spec has an absolute path."""

FIGURES = (
    "epoch",
    "steps",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
)
"""Metrics of an epoch that do not measure time."""

COMMON: dict[str, Any] = {
    "dataset": {"path": DATASET},
    "transforms": {
        "train": [
            {"random_resized_crop": {"size": 8, "scale": [0.5, 1.0]}},
            "random_horizontal_flip",
            {"color_jitter": {"brightness": 0.2, "hue": 0.1}},
        ],
        "val": [{"resize": [8, 8]}],
    },
    "batch_size": 4,
    "backbone": {"name": "small", "weights": "none"},
    "head": {"name": "mlp", "hidden": [6], "dropout": 0.25},
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    "epochs": 3,
}
LINEAR = {"backbone": {"name": "linear", "weights": "none"}, "head": "linear"}

FINISHED: dict[str, dict[str, Any]] = {
    "torch": {
        "optimizer": {"name": "adam", "lr": 0.01},
        "loss": {"label_smoothing": 0.1, "class_weights": "balanced"},
        "evaluation": {"every": 2},
        "checkpoint": {"monitor": "val_loss", "save_best_as": "best.pth"},
    },
    "mindspore": {
        "head": "linear",
        "freeze": {"parameters": "backbone", "unfreeze": {2: "stem"}},
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "lr_decay_per_stage": 0.5},
        "early_stopping": {"patience": 1, "min_delta": 10.0},
        "epochs": 5,
        "checkpoint": {"every_steps": 2, "keep": 3, "save_best_as": "best.ckpt"},
    },
    "numpy": {
        **LINEAR,
        "loss": {
            "name": "binary_cross_entropy",
            "class_weights": {"ants": 1.0, "bees": 2.0, "cats": 0.5},
        },
        "optimizer": {"name": "adamw", "lr": 0.001},
        "early_stopping": {"monitor": "val_accuracy", "patience": 2, "min_delta": 0.9},
        "evaluation": {"start": 2},
        "epochs": 9,
        "checkpoint": {"every_epochs": None, "save_best_as": "best.safetensors"},
    },
}
STOPPED: dict[str, dict[str, Any]] = {
    "torch": {"schedule": {"name": "cosine"}},
    "mindspore": {"schedule": {"name": "cosine"}},
    "numpy": {**LINEAR, "schedule": {"name": "cosine"}, "accumulate": 2},
}
GOES_ON: dict[str, list[str]] = {
    **{f"{backend}-stopped": [] for backend in STOPPED},
    "torch-finished": ["epochs=5"],
}
"""The runs that are resumed, with the overrides for it."""


class StopAt:
    """Asks for a stop, as a job scheduler does, after a step of the process."""

    def __init__(self, step: int) -> None:
        self.left = step

    def isotune_step_ended(self, event: object) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def machine(folder: Path, backend: str) -> str:
    """Returns a digest of what the last bit of a run's float sums may depend on."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    processor = [line for line in lines if line.startswith(("model name", "flags"))][:2]
    libraries = dict.fromkeys((backend, "numpy", "pillow"))
    threads = json.loads((folder / "summary.json").read_text("utf-8"))["threads"]
    known = [*processor, f"{threads}", *(f"{name} {version(name)}" for name in libraries)]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()


def figures(metrics: Any) -> dict[str, float | None]:
    """Returns the values of an epoch's metrics; None for NaN."""
    values = {name: getattr(metrics, name) for name in FIGURES}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def evaluation(run: isotune.Run) -> dict[str, Any]:
    """Returns what the model makes of the validation images."""
    found = run.evaluate()
    return {"loss": found.loss, "accuracy": found.accuracy, "logits": found.logits.tolist()}


def place_images(home: Path) -> None:
    """Copies the images to where ``$ISOTUNE_HOME`` has the dataset of the specs."""
    shutil.copytree(HERE / "images", home / "datasets" / DATASET)


def write(name: str, backend: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Writes a run and returns what is known of it."""
    folder = HERE / "runs" / name
    arguments: dict[str, Any] = {"backend": backend, "device": "cpu", "output": folder}
    if name.endswith("-stopped"):
        try:
            isotune.run(spec, observers=[StopAt(5)], **arguments)
        except isotune.StoppedError as stopped:
            print(stopped)
    else:
        isotune.run(spec, **arguments)
    (folder / ".lock").unlink()
    opened = {mark: isotune.open_run(folder, checkpoint=mark) for mark in ("best", "last")}
    return {
        "backend": backend,
        "backbone": spec["backbone"]["name"],
        "classes": list(opened["best"].classes),
        "history": [figures(metrics) for metrics in opened["best"].history],
        "best": figures(opened["best"].best),
        "evaluations": {mark: evaluation(run) for mark, run in opened.items()},
    }


def resumed(name: str, backend: str, place: Path) -> dict[str, Any]:
    """Resumes a copy of a run, stores the tensors that it comes to, and describes them."""
    folder = shutil.copytree(HERE / "runs" / name, place / name)
    run = isotune.resume(folder, backend=backend, device="cpu", overrides=GOES_ON[name])
    files = state_files(folder)
    for part, data in files.items():
        target = HERE / "resumed" / name / f"{part}.safetensors"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return {
        "machine": machine(folder, backend),
        "sha256": {part: hashlib.sha256(data).hexdigest() for part, data in files.items()},
        "history": [figures(metrics) for metrics in run.history],
        "best": figures(run.best),
    }


def main() -> None:
    make_pictures(HERE / "images", train=4, val=3, size=12)
    for extra in ("bees/3.png", "cats/2.png", "cats/3.png"):
        (HERE / "images/train" / extra).unlink()
    truth: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place, registered():
        os.environ["ISOTUNE_HOME"] = place
        place_images(Path(place))
        for state, specs in (("finished", FINISHED), ("stopped", STOPPED)):
            for backend, changes in specs.items():
                name = f"{backend}-{state}"
                truth[name] = write(name, backend, {**COMMON, "name": name, **changes})
        for name in GOES_ON:
            truth[name]["resumed"] = resumed(name, truth[name]["backend"], Path(place))
    (HERE / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    main()
