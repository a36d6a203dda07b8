"""Measures how fast a backbone is on this machine's device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from isotune.catalogue.resolve import normalization, resolve
from isotune.data.workers import usable_cpus
from isotune.fitting.backbones import Candidate
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch
from isotune.models.build import build_model
from isotune.spec.load import load_spec
from isotune.spec.values import Precision
from isotune.training.isolation import isolated
from isotune.training.plan import plan_with

REPEATED = 3
"""Number of batches that are timed, the fastest of which counts: others waited for something."""


@dataclass(frozen=True)
class Machine:
    """What is known of the device, with a backbone on it.

    Attributes:
        backend: Name of the backend.
        device: Name of the device, such as ``cpu``.
        cpus: Number of CPUs that this process may use.
        precisions: Precisions that the device supports.
        forward: Seconds that a forward pass of an image takes.
        first: Seconds that the first batch took longer, with compilation.
    """

    backend: str
    device: str
    cpus: int
    precisions: tuple[Precision, ...]
    forward: float
    first: float

    @property
    def is_cpu(self) -> bool:
        """Whether the device is the CPU."""
        return self.device == "cpu"


def measure(
    candidate: Candidate,
    backend: Backend,
    size: int,
    classes: int,
    precision: Precision,
    clock: Callable[[], float] = time.perf_counter,
) -> Machine:
    """Measures a forward pass in evaluation mode, with random images and random weights.

    Random weights take as long as trained ones, and need no download.

    Args:
        candidate: The backbone.
        backend: The backend on its device.
        size: Width and height of images, in pixels.
        classes: Number of classes.
        precision: Precision of the computation.
        clock: Returns the time in seconds.
    """
    spec = resolve(
        load_spec(
            {
                "name": "measure",
                "dataset": {"path": "none"},
                "transforms": {key: [{"resize": [size, size]}] for key in ("train", "val")},
                "batch_size": 1,
                "backbone": {"name": candidate.name, "weights": "none"},
                "optimizer": "sgd",
                "epochs": 1,
                "precision": precision,
            }
        ),
        candidate.entry,
    )
    count = backend.inference_batch_size()
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    batch = Batch(images, np.zeros(count, np.int32))
    seconds = []
    with isolated(backend):
        model = build_model(spec, candidate.entry, backend, classes)
        trainer = backend.trainer(model, plan_with(spec, candidate.entry, None))
        for _ in range(1 + REPEATED):
            begin = clock()
            for each in backend.dataset.feed([batch], normalization(spec)):
                trainer.fetch([trainer.eval_step(each)])
            seconds.append(clock() - begin)
    fastest = min(seconds[1:])
    return Machine(
        backend=backend.name,
        device=backend.device,
        cpus=usable_cpus(),
        precisions=backend.precisions(),
        forward=fastest / count,
        first=max(seconds[0] - fastest, 0.0),
    )
