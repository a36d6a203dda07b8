"""Chooses an experiment for images and a device: each line of a spec with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isotune.fitting.backbones import Candidate
from isotune.fitting.budget import FINE_TUNED, Epochs, plan_epochs, plan_scratch
from isotune.fitting.look import LONG, Data
from isotune.fitting.measure import Machine
from isotune.spec.metrics import MULTI_LABEL
from isotune.spec.values import Precision
from isotune.spec.version import VERSION

IMBALANCED = 2.0
"""How many times more images the largest class has than the smallest, from which classes count
alike."""

LONG_IMAGES = 0.1
"""Share of images of which a center crop shows half at most, from which they are not cropped."""

SMALL = 64
"""Side of images, in pixels, up to which a network without pretrained weights sees them whole."""

LARGER = 9 / 7
"""How much larger images are in evaluation than in training. Random resized crops show things
larger than center crops do, which a larger size makes up for (Touvron et al., "Fixing the
train-test resolution discrepancy", 2019). With EfficientNet-Lite0's features of ants and bees, as
means of five seeds: 0.946 at 224 pixels, 0.955 at 256, 0.964 at 288. Evaluation costs 1.7 times as
much."""

PATIENCE = 6
"""Number of epochs in which all layers train, without improvement, after which training ends."""


@dataclass(frozen=True)
class Line:
    """A field of a spec.

    Attributes:
        key: Name of the field.
        value: Its value, as plain data.
        reasons: Why, each a comment.
    """

    key: str
    value: Any
    reasons: tuple[str, ...] = ()


def usual_precision(device: str, precisions: tuple[Precision, ...]) -> Precision:
    """Returns the precision for a device: bf16 on accelerators that have it."""
    return "bf16" if device != "cpu" and "bf16" in precisions else "fp32"


def input_size(data: Data, candidate: Candidate) -> int:
    """Returns width and height of the images that a backbone gets, in pixels."""
    usual = candidate.entry.preprocessing.input_size
    if candidate.pretrained or data.side > SMALL:
        return usual
    return max(min(usual, SMALL), candidate.entry.min_input_size)


def name_of(path: str) -> str:
    """Returns the name of an experiment on the images at `path`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).name.partition(".")[0]).strip("-._")
    return name or "fit"


def plan(data: Data, candidate: Candidate, machine: Machine, seconds: float) -> Epochs:
    """Returns what the experiment does in the time; takes what :func:`choose` does."""
    if not candidate.pretrained:
        return plan_scratch(data, machine, seconds)
    return plan_epochs(data, machine, seconds, _batch(data, machine), len(_stages(candidate)))


def choose(data: Data, candidate: Candidate, machine: Machine, seconds: float) -> list[Line]:
    """Returns the fields of a spec, a pure function of what is given.

    Args:
        data: The images.
        candidate: The backbone.
        machine: The device, measured with that backbone.
        seconds: Seconds that are left for training.
    """
    epochs = plan(data, candidate, machine, seconds)
    return [
        Line("isotune", VERSION),
        Line("name", name_of(data.fields["path"])),
        _dataset(data),
        *_transforms(data, candidate),
        Line("batch_size", _batch(data, machine), (_updates(data, machine),)),
        _backbone(candidate, machine),
        *_loss(data),
        *_freezing(data, candidate, epochs),
        *_optimizer(candidate, epochs),
        Line("epochs", epochs.total, (_duration(epochs, seconds),)),
        *_evaluation(data, epochs),
        *_precision(machine),
        *_cache(epochs),
    ]


def _stages(candidate: Candidate) -> list[str]:
    return [stage for stage in candidate.entry.stages if stage != "head"]


def _batch(data: Data, machine: Machine) -> int:
    return 32 if machine.is_cpu or data.train < 5000 else 64


def _updates(data: Data, machine: Machine) -> str:
    updates = -(-data.train // _batch(data, machine))
    return f"{updates:,} {'update' if updates == 1 else 'updates'} an epoch"


def _dataset(data: Data) -> Line:
    few, most = min(data.counts), max(data.counts)
    found = (
        f"{data.train:,} images to train on, {data.val:,} to validate on,"
        f" {len(data.classes)} classes of {f'{few:,} to ' * (few < most)}{most:,} images"
    )
    return Line("dataset", dict(data.fields), (found, *data.reasons.values()))


def _transforms(data: Data, candidate: Candidate) -> Iterator[Line]:
    usual, size = candidate.entry.preprocessing, input_size(data, candidate)
    cropped: dict[str, Any] = {
        "train": [{"random_resized_crop": size}, "random_horizontal_flip"],
        "val": [{"resize": size}, {"center_crop": size}],
    }
    larger = round(usual.input_size * LARGER)
    if data.long >= LONG_IMAGES:
        reason = (
            f"{data.long:.0%} of the images are {LONG:g} times as long as wide, or more: a crop"
            " would show half of them at most, so each is shown whole"
        )
        whole = {"letterbox": size}
        value = {"train": [whole, "random_horizontal_flip"], "val": [whole]}
        yield Line("transforms", value, (reason,))
    elif size != usual.input_size:
        reason = f"half of the images are smaller than {data.side:.0f} x {data.side:.0f} pixels"
        yield Line("transforms", cropped, (reason,))
    elif candidate.pretrained and not candidate.entry.max_input_size and data.side >= larger:
        resized = round(usual.resize_size * larger / usual.input_size)
        resize = {"size": resized, "interpolation": usual.interpolation}
        reason = (
            f"evaluated at {larger} pixels instead of {size}: random crops show things larger than"
            " center crops do (Touvron et al., 2019)"
        )
        value = {"train": cropped["train"], "val": [{"resize": resize}, {"center_crop": larger}]}
        yield Line("transforms", value, (reason,))


def _backbone(candidate: Candidate, machine: Machine) -> Line:
    value = {"name": candidate.name, "weights": candidate.weights}
    speed = (
        f"{1000 * machine.forward:.1f} ms an image, measured on {machine.device}"
        f"{f' with {machine.cpus} CPUs' if machine.is_cpu else ''}, backend {machine.backend}"
    )
    if not candidate.pretrained:
        found = "no pretrained weights are here or can be downloaded: training starts from scratch"
    elif candidate.accuracy is None:
        found = "its weights are there, and none of known accuracy"
    else:
        found = f"the most accurate on ImageNet ({candidate.accuracy:.1%}) that is there and fits"
    return Line("backbone", value, (found, speed))


def _loss(data: Data) -> Iterator[Line]:
    if data.multi_label:
        return
    smoothing = "label smoothing (Szegedy et al., 2016) keeps few images from being overfitted"
    if data.imbalance < IMBALANCED:
        yield Line("loss", {"label_smoothing": 0.1}, (smoothing,))
        return
    reason = (
        f"the largest class has {data.imbalance:.1f} times as many images as the smallest: all"
        " classes count alike"
    )
    value = {"label_smoothing": 0.1, "class_weights": "balanced"}
    yield Line("loss", value, (smoothing, reason))


def _freezing(data: Data, candidate: Candidate, epochs: Epochs) -> Iterator[Line]:
    if not candidate.pretrained:
        return
    if epochs.last:
        unfreeze: dict[int, Any] = {epochs.head + 1: _stages(candidate)[-1]}
        if epochs.all:
            unfreeze[epochs.head + epochs.last + 1] = "all"
        value = {"parameters": "backbone", "unfreeze": unfreeze}
        reason = "the new classifier first, on cached features; then from the last stage down"
        yield Line("freeze", value, (reason,))
        return
    reason = "only the classifier trains, on cached features: the time allows no more"
    if data.train < FINE_TUNED:
        reason = (
            f"only the classifier trains, on cached features: below {FINE_TUNED:,} images, to"
            " change the backbone gains little or loses"
        )
    yield Line("freeze", "backbone", (reason,))


def _optimizer(candidate: Candidate, epochs: Epochs) -> Iterator[Line]:
    optimizer: dict[str, Any] = {"name": "adamw", "lr": 1e-3}
    reasons = ["AdamW at its usual rate suits new classifiers, whatever the scale of features"]
    if epochs.last:
        optimizer["lr_decay_per_stage"] = 0.5
        reasons.append("earlier stages are more general, and should change less")
    yield Line("optimizer", optimizer, tuple(reasons))
    schedule: dict[str, Any] = {"name": "cosine"}
    if not candidate.pretrained and epochs.total > 1:
        schedule["warmup"] = {"epochs": 1.0}
    yield Line("schedule", schedule, ("falls to 0, so that the last epochs differ little",))


def _duration(epochs: Epochs, budget: float) -> str:
    text = f"about {epochs.seconds:.0f} s of {budget:.0f} s that are left, as measured"
    if not epochs.enough:
        text = f"about {epochs.seconds:.0f} s, more than the {budget:.0f} s that are left"
    if epochs.last:
        text += f": {epochs.head} on features, {epochs.last} of the last stage, {epochs.all} of all"
    return text


def _evaluation(data: Data, epochs: Epochs) -> Iterator[Line]:
    balanced = not data.multi_label and data.imbalance >= IMBALANCED
    if balanced:
        yield Line("metrics", ["balanced_accuracy"], ("the mean of the classes' accuracies",))
    checkpoint: dict[str, Any] = {"every_epochs": None, "every_minutes": 1.0}
    if balanced:
        checkpoint["monitor"] = "val_balanced_accuracy"
    reason = "epochs take little time: the best and the last one are saved, and the state meanwhile"
    yield Line("checkpoint", checkpoint, (reason,))
    if epochs.last or not epochs.views:
        patience = epochs.head + PATIENCE
        stops = {"monitor": monitor(data), "patience": patience}
        reason = f"{PATIENCE} epochs of all layers without a better one are enough"
        yield Line("early_stopping", stops, (reason,))


def monitor(data: Data) -> str:
    """Returns the metric that decides which epoch is best."""
    if data.multi_label:
        return f"val_{MULTI_LABEL}"
    return "val_accuracy" if data.imbalance < IMBALANCED else "val_balanced_accuracy"


def _precision(machine: Machine) -> Iterator[Line]:
    precision = usual_precision(machine.device, machine.precisions)
    if precision != "fp32":
        yield Line("precision", precision, (f"{machine.device} is faster with it",))


def _cache(epochs: Epochs) -> Iterator[Line]:
    if epochs.views:
        reason = (
            f"each image is augmented in {epochs.views} ways, whose features are computed once"
            if epochs.views > 1
            else "each image is augmented in one way, whose features are computed once"
        )
        yield Line("cache", {"views": epochs.views}, (reason,))
