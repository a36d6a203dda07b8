"""Images by which a graph's values are measured before its precision is reduced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isotune.data.experiment_batches import evaluation_batches
from isotune.data.sources.subset import Subset
from isotune.exporting.onnx.graph import import_onnxruntime
from isotune.interfaces.dataset import Batch, ImageSource, Labels, class_counts
from isotune.interfaces.exporter import IMAGES
from isotune.reports.examples import evenly
from isotune.spec.experiment import ExperimentSpec

BATCH_SIZE = 8
"""Number of images that are measured together; more only need more memory."""


def calibration_batches(source: ImageSource, spec: ExperimentSpec, count: int) -> Iterable[Batch]:
    """Returns batches of at most `count` images, evenly from all classes, always the same ones.

    Args:
        source: Labeled images.
        spec: The resolved spec, whose validation transforms the images get.
        count: Maximum number of images.
    """
    chosen = Subset(source, evenly_by_class(source.labels, count))
    return evaluation_batches(chosen, spec, BATCH_SIZE).epoch(0)


def evenly_by_class(labels: Labels, count: int) -> list[int]:
    """Returns the positions of at most `count` images, from as many classes as possible.

    An image that has several labels counts as one of the rarest of its classes.

    Args:
        labels: The labels of the images.
        count: Maximum number of positions.
    """
    if labels.ndim == 2:
        labels = _rarest(labels)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    shares, left = [0] * len(members), count
    while left and (rest := [i for i, each in enumerate(members) if shares[i] < len(each)]):
        for which in (rest[i] for i in evenly(len(rest), left)):
            shares[which] += 1
            left -= 1
    return sorted(
        int(each[position])
        for each, share in zip(members, shares, strict=True)
        for position in (evenly(len(each), share) if share else ())
    )


def _rarest(labels: Labels) -> Labels:
    """Returns the rarest class of each image: int32, shape (N,); -1 if it has none."""
    rarity = -class_counts(labels, labels.shape[1])
    own = np.where(labels > 0, rarity, rarity.min() - 1)
    return np.where(labels.any(axis=1), own.argmax(axis=1), -1).astype(np.int32)


class CalibrationReader:
    """Hands batches to onnxruntime's calibration, which asks for one after the other."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Returns the graph's input of the next batch; None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {IMAGES: batch.images}


def value_ranges(path: Path, batches: Iterable[Batch]) -> dict[str, float]:
    """Returns the largest absolute value of each of a graph's float values, by name.

    Args:
        path: An ONNX file in fp32 with named nodes.
        batches: Images that the graph computes; at least one batch.
    """
    import_onnxruntime()
    from onnxruntime.quantization.calibrate import MinMaxCalibrater

    augmented = path.with_suffix(".ranges")
    calibrator = MinMaxCalibrater(path, augmented_model_path=augmented)
    try:
        calibrator.augment_graph()
        calibrator.execution_providers = ["CPUExecutionProvider"]
        calibrator.create_inference_session()
        calibrator.collect_data(CalibrationReader(batches))
        found = calibrator.compute_data().data
    finally:
        augmented.unlink(missing_ok=True)
    return {
        name: float(np.abs(np.concatenate([np.ravel(end) for end in each.range_value])).max())
        for name, each in found.items()
    }
