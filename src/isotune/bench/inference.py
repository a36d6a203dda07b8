"""Measures how fast trained models predict: runs, and exported files."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isotune.bench.measure import spread
from isotune.bench.memory import peak_memory_mib
from isotune.bench.processes import inference_figures
from isotune.bench.suite import Measurement, measured
from isotune.experiment.classifier import Classifier
from isotune.experiment.result import Run
from isotune.exporting.open import is_exported, open_classifier
from isotune.interfaces.dataset import Batch
from isotune.interfaces.versions import versions
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.spec.transforms import output_size


@dataclass(frozen=True)
class InferenceSetting:
    """How a trained model is measured.

    Attributes:
        model: Path of a run folder or of an exported file.
        batch: Number of images per batch.
        backend: Name of a backend for a run; None takes the one that trained it.
        device: As for ``isotune.run``.
        steps: Number of batches after the first one.
    """

    model: str
    batch: int
    backend: str | None = None
    device: str = "auto"
    steps: int = 10

    def as_json(self) -> dict[str, Any]:
        """Returns the fields as plain data, without a folder of this machine."""
        path = Path(self.model)
        return {**asdict(self), "model": path.name if path.is_absolute() else self.model}


def inference_settings(
    models: Sequence[Path],
    batches: Sequence[int],
    backends: Sequence[str | None],
    base: InferenceSetting,
) -> list[InferenceSetting]:
    """Returns a setting for every combination; models of the same batch size are neighbors.

    An exported file has no backend and no device to choose: it is measured once.
    """
    settings = []
    for batch in batches:
        for model in models:
            setting = replace(base, model=str(model), batch=batch)
            if is_exported(model):
                settings.append(replace(setting, backend=None, device="auto"))
            else:
                settings += [replace(setting, backend=backend) for backend in backends]
    return settings


def inference_measurements(settings: Sequence[InferenceSetting]) -> Iterator[Measurement]:
    """Yields the measurement of each setting, made in a process of its own."""
    for setting in settings:
        measure = partial(inference_figures, asdict(setting))
        yield measured("inference", "isotune", setting, measure)


def measure_inference(
    setting: InferenceSetting, plugins: Plugins = default_plugins
) -> dict[str, Any]:
    """Measures predictions of batches of random images, which are decoded already.

    Returns:
        Plain data: ``engine``; ``open`` and ``first_batch`` in seconds, the latter with
        compilation and warm-up; ``batch_ms`` (median) and ``batch_ms_iqr`` (interquartile range)
        of the other batches; ``images_per_second``; ``peak_memory_mib`` of this process;
        versions.

    Raises:
        IsotuneError: The model cannot be opened.
    """
    begin = time.perf_counter()
    model = open_classifier(
        Path(setting.model), backend=setting.backend, device=setting.device, plugins=plugins
    )
    opened = time.perf_counter() - begin
    size = output_size(model.spec.transforms.val or ())
    assert size is not None, "a spec whose images differ in size is refused"
    images = np.random.default_rng(0).integers(0, 256, (setting.batch, *size, 3), dtype=np.uint8)
    batch = Batch(images, np.zeros(setting.batch, dtype=np.int32))
    first, *others = [_seconds(model, batch) for _ in range(setting.steps + 1)]
    median = statistics.median(others)
    return {
        "engine": model.engine,
        "open": opened,
        "first_batch": first,
        "batch_ms": median * 1e3,
        "batch_ms_iqr": spread(others) * 1e3,
        "images_per_second": setting.batch / median,
        "peak_memory_mib": peak_memory_mib(),
        "versions": versions(model.backend if isinstance(model, Run) else None),
    }


def _seconds(model: Classifier, batch: Batch) -> float:
    begin = time.perf_counter()
    list(model.logits_by_batch([batch], fetch_every=1))
    return time.perf_counter() - begin
