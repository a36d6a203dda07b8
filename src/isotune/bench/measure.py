"""Measures training steps and the data pipeline, using only the neutral interfaces."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isotune.bench.memory import peak_memory_mib
from isotune.bench.setting import Setting
from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import normalization, resolve
from isotune.data.images import open_images
from isotune.distributed.group import Group
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, DeviceBatch
from isotune.interfaces.division import Part
from isotune.interfaces.trainer import Outputs, StepPlan, Trainer
from isotune.interfaces.versions import versions
from isotune.models.build import build_model, freezing_plans
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import load_spec
from isotune.training.plan import check_abilities, plan_with


def measure_step(setting: Setting, plugins: Plugins = default_plugins) -> dict[str, Any]:
    """Measures training steps on one batch that is already on the device.

    Returns:
        Plain data: ``first_step`` in seconds, including compilation and warm-up; ``step_ms``
        (median) and ``step_ms_iqr`` (interquartile range) of the other steps;
        ``images_per_second`` of all processes; ``peak_memory_mib`` and threads of this one;
        device, versions.

    Raises:
        IsotuneError: the setting is invalid: an unknown backend, device or model.
    """
    spec, backend, trainer = prepare(setting, plugins)
    batch, part = own_batch(setting, spec, backend)
    first, steps = timed_steps(trainer, batch, setting, part)
    median = statistics.median(steps)
    several = f" x {setting.processes}" if setting.processes > 1 else ""
    backend.communicator.close()
    return {
        "device": f"{backend.device}{several}",
        "threads": backend.threads(),
        "first_step": first,
        "step_ms": median * 1e3,
        "step_ms_iqr": spread(steps) * 1e3,
        "images_per_second": setting.batch / median,
        "peak_memory_mib": peak_memory_mib(),
        "versions": versions(backend),
    }


def prepare(setting: Setting, plugins: Plugins) -> tuple[ExperimentSpec, Backend, Trainer]:
    """Returns the resolved spec of a setting, the backend, and a trainer."""
    loaded = load_spec(setting.experiment())
    entry = chosen_backbone(loaded.backbone, setting.backend, plugins)
    spec = resolve(loaded, entry)
    several = setting.processes > 1
    backend = plugins.open_backend(setting.backend, setting.device, join=several)
    check_abilities(spec, backend)
    model = build_model(spec, entry, backend, setting.classes)
    names = backend.state_adapter.model_shapes(model)
    trainer = backend.trainer(model, plan_with(spec, entry, None))
    trainer.freeze(freezing_plans(spec, entry, names)(1))
    return spec, backend, trainer


def own_batch(
    setting: Setting, spec: ExperimentSpec, backend: Backend
) -> tuple[DeviceBatch, Part | None]:
    """Returns random images on the device, normalized: a batch, or this process's part of one."""
    division = Group(backend.communicator).division(spec.shards)
    if division.whole:
        return device_batch(setting, spec, backend), None
    (part,) = division.divide(setting.batch)
    return device_batch(replace(setting, batch=len(part)), spec, backend), part


def device_batch(setting: Setting, spec: ExperimentSpec, backend: Backend) -> DeviceBatch:
    """Returns a batch of random images on the device, normalized."""
    rng = np.random.default_rng(0)
    shape = (setting.batch, setting.size, setting.size, 3)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    labels = (np.arange(setting.batch) % setting.classes).astype(np.int32)
    return next(iter(backend.dataset.feed([Batch(images, labels)], normalization(spec))))


def timed_steps(
    trainer: Trainer, batch: DeviceBatch, setting: Setting, part: Part | None
) -> tuple[float, list[float]]:
    """Returns the seconds of the first step, and the mean seconds per step of each group."""
    share = 1.0 if part is None else len(part) / setting.batch

    def step(number: int) -> Outputs:
        return trainer.train_step(batch, StepPlan(number, 1e-3, share, part=part))

    begin = time.perf_counter()
    trainer.fetch([step(0)])
    first = time.perf_counter() - begin
    seconds = []
    for start in range(1, setting.steps + 1, setting.group):
        numbers = range(start, min(start + setting.group, setting.steps + 1))
        begin = time.perf_counter()
        trainer.fetch([step(number) for number in numbers])
        seconds.append((time.perf_counter() - begin) / len(numbers))
    return first, seconds


def measure_data(
    setting: Setting, data: Path, plugins: Plugins = default_plugins
) -> dict[str, Any]:
    """Measures decoding and augmentation without a backend.

    Returns:
        Plain data: ``images_per_second`` of the ``first`` and the ``second`` epoch of training
        images; ``peak_memory_mib``; versions.

    Raises:
        IsotuneError: the images cannot be read.
    """
    loaded = load_spec(setting.experiment(str(data)))
    spec = resolve(loaded, chosen_backbone(loaded.backbone, setting.backend, plugins))
    batches = open_images(spec).training_batches(spec)
    rates = {}
    for epoch, name in enumerate(("first", "second")):
        begin = time.perf_counter()
        count = sum(len(batch) for batch in batches.epoch(epoch))
        rates[name] = count / (time.perf_counter() - begin)
    return {
        "images_per_second": rates,
        "peak_memory_mib": peak_memory_mib(),
        "versions": versions(),
    }


def spread(values: Sequence[float]) -> float:
    """Returns the interquartile range, or 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low
