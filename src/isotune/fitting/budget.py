"""How many views, epochs and unfrozen stages a time budget allows: a pure function of costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from isotune.fitting.look import Data
from isotune.fitting.measure import Machine

VIEWS = (4, 2, 1)
"""Numbers of views of a training image whose features are computed, the best one first. Features
of further views hardly differ from these: on 245 images of ants and bees, 8 gain nothing over 4."""

UPDATES = 320
"""Number of updates in which a linear classifier on features converges, with AdamW at 1e-3."""

STEP = 4.0
"""How many times longer a training step of all layers takes than a forward pass: 3.4 to 4.3 on CPUs
(benchmarks/results/backbones.md)."""

VAL = 1.7
"""How many times longer an image of an evaluation takes, which may be larger."""

SHARE = 0.7
"""Share of the budget that is planned; the rest is for what a short measurement does not see."""

FEATURES_SHARE = 0.3
"""Share of that for features where layers are to be unfrozen after them."""

FINE_TUNED = 1000
"""Number of training images from which fine-tuning is worth more than features that stay as they
are: it wins on VTAB's tasks of 1000 images (Zhai et al., "A large-scale study of representation
learning with the visual task adaptation benchmark", 2019), and loses on the 245 of PyTorch's
transfer-learning tutorial (0.9085 to 0.9542)."""

MOST_EPOCHS = 20
SCRATCH_EPOCHS = 100
"""Largest number of epochs in which all layers train, from pretrained weights and without."""


@dataclass(frozen=True)
class Epochs:
    """What is done in the time.

    Attributes:
        views: Number of views of a training image whose features are computed; 0 if none are.
        head: Number of epochs in which only the classifier trains.
        last: Number of epochs after them in which the last stage trains too.
        all: Number of epochs after them in which all stages train.
        seconds: Seconds that all of it takes, as predicted.
        enough: Whether it fits into the budget at all.
    """

    views: int
    head: int
    last: int
    all: int
    seconds: float
    enough: bool

    @property
    def total(self) -> int:
        """Number of all epochs."""
        return self.head + self.last + self.all


def features_seconds(data: Data, machine: Machine, views: int) -> float:
    """Returns the seconds in which features of all images are computed."""
    image = machine.forward + data.decoding
    return (views * data.train + VAL * data.val) * image + 2 * machine.first


def epoch_seconds(data: Data, machine: Machine, share: float = 1.0) -> float:
    """Returns the seconds of an epoch in which layers train, with its evaluation.

    Args:
        data: The images.
        machine: The device.
        share: Share of the layers that train.
    """
    step = machine.forward * (1 + (STEP - 1) * share)
    evaluated = VAL * machine.forward + data.decoding
    return data.train * (step + data.decoding) + data.val * evaluated


def plan_epochs(data: Data, machine: Machine, seconds: float, batch: int, stages: int) -> Epochs:
    """Returns what is done in `seconds` with a pretrained backbone.

    Args:
        data: The images.
        machine: The device.
        seconds: Seconds that are left.
        batch: Number of images in a training step.
        stages: Number of the backbone's stages before the head.
    """
    planned = seconds * SHARE
    costs = {views: features_seconds(data, machine, views) for views in VIEWS}
    tunes = data.train >= FINE_TUNED and stages > 1
    most = planned * FEATURES_SHARE if tunes else planned
    views = next((each for each in VIEWS if costs[each] <= most), VIEWS[-1])
    head = max(math.ceil(UPDATES / math.ceil(data.train / batch)), 2 * views)
    left = planned - costs[views]
    if not tunes or left <= 0:
        return Epochs(views, head, 0, 0, costs[views], costs[views] <= planned)
    return _fine_tuned(data, machine, left, Epochs(views, head, 0, 0, costs[views], True), stages)


def _fine_tuned(data: Data, machine: Machine, left: float, features: Epochs, stages: int) -> Epochs:
    """Returns a plan that goes on with epochs of the last stage and then of all."""
    part, whole = epoch_seconds(data, machine, 1 / stages), epoch_seconds(data, machine)
    compiled = machine.first * STEP  # every change of what trains is compiled anew
    last = min(int((left / 2 - compiled) / part), MOST_EPOCHS // 2)
    if last < 1:
        return features
    used = last * part + compiled
    every = min(int((left - used - compiled) / whole), MOST_EPOCHS // 2)
    if every >= 1:
        used += every * whole + compiled
    every = max(every, 0)
    head = min(features.head, max(last + every, features.views))
    return Epochs(features.views, head, last, every, features.seconds + used, True)


def plan_scratch(data: Data, machine: Machine, seconds: float) -> Epochs:
    """Returns what is done in `seconds` without pretrained weights."""
    cost, planned = epoch_seconds(data, machine), seconds * SHARE - machine.first * STEP
    epochs = min(max(int(planned / cost), 1), SCRATCH_EPOCHS)
    return Epochs(0, 0, 0, epochs, epochs * cost, cost <= planned)
