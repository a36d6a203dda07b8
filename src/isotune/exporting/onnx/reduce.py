"""Reduces the precision of a graph that was written in fp32."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import assert_never

from isotune.errors import SpecError
from isotune.exporting.manifest import Precision
from isotune.exporting.onnx.calibration import calibration_batches
from isotune.exporting.onnx.half import convert_to_half
from isotune.interfaces.dataset import ImageSource
from isotune.spec.experiment import ExperimentSpec

RANGE_IMAGES = 32
"""Number of images by which fp16 finds the values that are too large for it."""


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
        raise SpecError("precision: int8 is not available")
    else:
        assert_never(precision)
