"""Reduces the precision of a graph that was written in fp32."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import assert_never

from isotune.errors import DatasetError
from isotune.experiment.classifier import Classifier
from isotune.exporting.manifest import Precision
from isotune.exporting.onnx.calibration import calibration_batches
from isotune.exporting.onnx.half import convert_to_half
from isotune.exporting.onnx.quantize import quantize
from isotune.interfaces.dataset import ImageSource
from isotune.spec.experiment import ExperimentSpec

RANGE_IMAGES = 32
"""Number of images by which fp16 finds the values that are too large for it."""

CALIBRATION_IMAGES = 128
"""Maximum number of images by which int8 finds the range of each value."""


def measured_images(
    run: Classifier, precision: Precision, source: ImageSource, data: str | Path | None
) -> ImageSource:
    """Returns the images by which a graph's values are measured: for int8, training images.

    Args:
        run: The run.
        precision: What the graph shall compute in.
        source: The validation images.
        data: Folder of another dataset, whose training images are taken where those of the run
            cannot be read.

    Raises:
        DatasetError: There are no training images that can be read.
    """
    if precision != "int8":
        return source
    problems = []
    for root in (None, data) if data is not None else (None,):
        try:
            # Of images that the spec divides, another folder has no part to train on.
            whole = root is not None and run.spec.dataset.split is not None
            return run.open_images(None if whole else run.spec.dataset.splits.train, root)
        except DatasetError as error:
            problems.append(str(error))
    raise DatasetError(f"int8 is calibrated on training images. {problems[-1]}")


def reduce_precision(
    path: Path, precision: Precision, source: ImageSource, spec: ExperimentSpec
) -> None:
    """Converts an ONNX file to another precision, in place.

    Args:
        path: The file, in fp32.
        precision: What it shall compute in.
        source: Images by which its values are measured.
        spec: The run's resolved spec, whose validation transforms the images get.
    """
    if precision == "fp32":
        return
    if precision == "fp16":
        convert_to_half(path, calibration_batches(source, spec, RANGE_IMAGES))
    elif precision == "int8":
        quantize(path, calibration_batches(source, spec, CALIBRATION_IMAGES))
    else:
        assert_never(precision)
