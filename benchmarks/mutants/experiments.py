"""The experiments of the study: small images and random weights, written into a folder by code."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from every_backbone import weights
from PIL import Image
from safetensors.numpy import load_file, save_file

from isotune.catalogue.entries import BUILT_IN
from isotune.interfaces.backbone import BackboneEntry
from isotune.plugins import plugins
from isotune.spec.experiment import ExperimentSpec

SWAPPED = ("features.3.expand1x1.weight", "features.4.expand1x1.weight")
"""Tensors of SqueezeNet of the same shape."""
CLASSES = ("ant", "bee", "cat", "dog", "elk")
SGD = {"name": "sgd", "lr": 1e-3, "momentum": 0.9}
DECAYED = {"weight_decay": 0.05, "no_decay": "norms_and_biases"}
NESTEROV = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": True, **DECAYED}
ADAMW = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05}


@dataclass(frozen=True)
class Experiment:
    """A backbone on a batch of random squares.

    Attributes:
        backbone: Its name.
        side: Pixels along a side of an image.
        images: Number of training images in the first batch, which is traced; a class has one at
            least.
        fields: Further fields of the spec.
    """

    backbone: str
    side: int = 64
    images: int = 8
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entry(self) -> BackboneEntry:
        return next(entry for entry in BUILT_IN if entry.name == self.backbone)


LAYERS = {
    "lenet": Experiment("lenet", 32),
    "squeezenet1_1": Experiment("squeezenet1_1"),
    "shufflenet_v2_x0_5": Experiment("shufflenet_v2_x0_5"),
    "mnasnet0_5": Experiment("mnasnet0_5"),
    "mobilenet_v2": Experiment("mobilenet_v2"),
    "mobilenet_v3_small": Experiment("mobilenet_v3_small"),
    "regnet_y_400mf": Experiment("regnet_y_400mf"),
    "efficientnet_lite0": Experiment("efficientnet_lite0"),
    "efficientnet_b0": Experiment("efficientnet_b0"),
    "densenet121": Experiment("densenet121"),
    "resnet18": Experiment("resnet18"),
    "googlenet": Experiment("googlenet", 96),
    "swin_t": Experiment("swin_t"),
    "convnext_tiny": Experiment("convnext_tiny"),
    "alexnet": Experiment("alexnet"),
    "vit_b_32": Experiment("vit_b_32", 224, 4),
}
"""Where layers and blocks are changed, one experiment for each family."""

PLACED = {
    "inception_v3": Experiment("inception_v3", 299, 4, {"drop_last": True}),
    "resnet50": Experiment("resnet50", 64, 4),
}
"""Where a change is for one known layer."""

STEPS = {
    "nesterov": Experiment("lenet", 32, fields={"optimizer": NESTEROV}),
    "adamw": Experiment("lenet", 32, fields={"optimizer": ADAMW}),
    "clipped": Experiment("lenet", 32, fields={"clip_grad_norm": 0.1}),
    "frozen": Experiment("resnet18", 48, fields={"freeze": "backbone"}),
    "dropping": Experiment("alexnet", 64),
    "auxiliary": Experiment("googlenet", 96),
    "batches": Experiment("squeezenet1_1", 48),
}
"""Where the step, its plan or its batch are changed."""

EXPERIMENTS = {**LAYERS, **PLACED, **STEPS}


def prepare(experiment: Experiment, folder: Path) -> ExperimentSpec:
    """Writes images and weights into a folder, unless they are there; returns the spec."""
    write_images(experiment, folder / "images")
    path = folder / "weights.safetensors"
    if not path.exists():
        backend = plugins.open_backend("torch", "cpu")
        model = backend.backbones.build(experiment.entry)
        shapes = backend.state_adapter.model_shapes(model)
        save_file(weights(shapes, experiment.entry), path)
    crop = [{"center_crop": experiment.side}]
    return ExperimentSpec.model_validate(
        {
            "name": f"mutants-{experiment.backbone}",
            "dataset": {"format": "folder", "path": str(folder / "images")},
            "transforms": {"train": crop, "val": crop},
            "batch_size": experiment.images,
            "backbone": {"name": experiment.backbone, "weights": str(path)},
            "optimizer": SGD,
            "epochs": 1,
            **experiment.fields,
        }
    )


def changed_spec(spec: ExperimentSpec, change: str, folder: Path) -> ExperimentSpec:
    """Returns the spec of a side that has other weights or other images."""
    if change == "image_differs":
        images = folder / "other_images"
        if not images.exists():
            shutil.copytree(folder / "images", images)
            one = images / "train" / CLASSES[0] / "0.png"
            Image.fromarray(255 - np.asarray(Image.open(one))).save(one)
        return spec.model_copy(
            update={"dataset": spec.dataset.model_copy(update={"path": str(images)})}
        )
    if change == "class_renamed":
        images = folder / "renamed_images"
        if not images.exists():
            shutil.copytree(folder / "images", images)
            for split in ("train", "val"):
                (images / split / CLASSES[0]).rename(images / split / "zebra")
        return spec.model_copy(
            update={"dataset": spec.dataset.model_copy(update={"path": str(images)})}
        )
    if change == "tensors_swapped":
        state = load_file(folder / "weights.safetensors")
        one, other = SWAPPED
        state[one], state[other] = state[other].copy(), state[one].copy()
        path = folder / "swapped.safetensors"
        save_file(state, path)
        return spec.model_copy(
            update={"backbone": spec.backbone.model_copy(update={"weights": str(path)})}
        )
    return spec


def write_images(experiment: Experiment, folder: Path) -> None:
    """Writes squares of random colors, which vary between positions like photographs."""
    generator = np.random.default_rng(0)
    side, square = experiment.side, max(4, experiment.side // 8)
    for split, count in (("train", experiment.images), ("val", len(CLASSES))):
        for number in range(max(count, len(CLASSES))):
            place = folder / split / CLASSES[number % len(CLASSES)]
            place.mkdir(parents=True, exist_ok=True)
            colors = generator.integers(0, 256, (-(-side // square),) * 2 + (3,), np.uint8)
            pixels = np.repeat(np.repeat(colors, square, 0), square, 1)[:side, :side]
            Image.fromarray(pixels).save(place / f"{number}.png")
