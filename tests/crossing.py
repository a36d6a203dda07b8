"""Trains half of a run on one backend and the rest on the other, and compares with one alone.

    python tests/crossing.py --data hymenoptera_data --weights mobilenet_v2.pth

For SGD with momentum, Adam and AdamW, in both directions: MobileNetV2 with these weights and fixed
features, and LeNet fine-tuned whole, with averages of the weights. The last column is the largest
difference of a weight of the model or of its average, relative to the largest of its tensor.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import isotune
from isotune.interfaces.events import StepEnded
from isotune.runs.checkpoints import CheckpointStore

OPTIMIZERS: list[dict[str, Any]] = [
    {"name": "sgd", "lr": 0.001, "momentum": 0.9},
    {"name": "adam", "lr": 0.0001},
    {"name": "adamw", "lr": 0.0001, "weight_decay": 0.01},
]
EPOCHS = 4


class StopInEpoch:
    """Asks for a stop at the beginning of an epoch, which comes after its first step."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def isotune_step_ended(self, event: StepEnded) -> None:
        if (event.epoch, event.step) == (self.epoch, 1):
            os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="a folder with train/ and val/")
    parser.add_argument("--weights", required=True, help="of MobileNetV2, with torchvision's names")
    options = parser.parse_args()
    images, weights = str(Path(options.data).resolve()), str(Path(options.weights).resolve())
    frozen = {"backbone": {"name": "mobilenet_v2", "weights": weights}, "freeze": "backbone"}
    whole = {"backbone": {"name": "lenet", "weights": "none"}}
    print("| model | optimizer | from | to | difference |\n|---|---|---|---|---|", flush=True)
    for name, changes in (("MobileNetV2, fixed features", frozen), ("LeNet", whole)):
        for optimizer in OPTIMIZERS:
            spec = experiment(images, {**changes, "optimizer": optimizer})
            for first, second in (("torch", "mindspore"), ("mindspore", "torch")):
                found = crossed(spec, first, second)
                print(f"| {name} | {optimizer['name']} | {first} | {second} | {found:.1e} |")


def experiment(images: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Returns a spec without dropout, with a schedule, for 32 images a step."""
    return {
        "name": "crossing",
        "dataset": {"path": images},
        "batch_size": 32,
        "head": {"name": "mlp", "hidden": [64], "dropout": 0.0},
        "schedule": {"name": "cosine"},
        "ema": {"decay": 0.9},
        "epochs": EPOCHS,
        **changes,
    }


def crossed(spec: dict[str, Any], first: str, second: str) -> float:
    """Returns how far a run that crosses over ends from one on `first` alone."""
    with tempfile.TemporaryDirectory() as place:
        alone, across = Path(place) / "alone", Path(place) / "across"
        isotune.run(spec, backend=first, device="cpu", output=alone)
        try:
            stop = StopInEpoch(EPOCHS // 2 + 1)
            isotune.run(spec, backend=first, device="cpu", output=across, observers=[stop])
        except isotune.StoppedError:
            isotune.resume(across, backend=second, device="cpu")
        return difference(last_weights(across), last_weights(alone))


def last_weights(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the last weights, and their averages under names of their own."""
    last = CheckpointStore(folder / "checkpoints").load("last")
    return {**last.model, **{f"average/{name}": value for name, value in last.weights.items()}}


def difference(
    found: dict[str, np.ndarray[Any, Any]], expected: dict[str, np.ndarray[Any, Any]]
) -> float:
    assert found.keys() == expected.keys()
    return max(
        float(np.abs(found[name] - value).max() / max(np.abs(value).max(), 1e-12))
        for name, value in expected.items()
    )


if __name__ == "__main__":
    main()
