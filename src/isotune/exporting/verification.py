"""Decides whether an exported model agrees with its run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from isotune.errors import RunError, SpecError
from isotune.experiment.classifier import Classifier
from isotune.exporting.comparison import Comparison, compare
from isotune.exporting.manifest import ExportManifest, Precision, Preprocess, VerificationReport
from isotune.exporting.model import ExportedModel
from isotune.exporting.onnx.pixels import check_pixels, pixel_difference
from isotune.interfaces.dataset import ImageSource

TOLERANCE = 1e-3
"""Largest difference of a logit in fp32, relative to :func:`isotune.exporting.comparison.scales`.

Rounding alone makes one of about 1e-6 (``benchmarks/results/exports.md``). Deep networks with
random weights may amplify it to some 1e-4, as far as PyTorch itself is from float64 there."""

RESIZED_TOLERANCE = 0.01
"""As :data:`TOLERANCE`, with the transforms in the graph.

A pixel may differ from Pillow's by a level or two, which is checked first. On ants and bees that
makes a difference of 0.0026 in MobileNetV2's logits."""

REDUCED_TOLERANCE = 0.05
"""As :data:`TOLERANCE`, between two sizes of a batch in fp16 and int8, where a rounding error of
fp32 may become a step of the smaller type."""

PROBABILITY_TOLERANCE = {"fp32": 1e-5, "fp16": 2e-3, "int8": 1e-2}
"""Largest difference of a graph's probabilities from those of its own logits, by precision.

A step of fp16 just below 1 is 5e-4, and one of int8 between 0 and 1 is 4e-3."""

ACCEPTED_LOSS = 0.01
"""Accuracy that a model may lose by default where its numbers are reduced, in [0, 1]."""

NO_FILE = "No file was written."


@dataclass(frozen=True)
class Limits:
    """How far an exported model may be from its run.

    Attributes:
        difference: Largest relative difference of a logit, and the largest relative margin of a
            near tie; None if only the accuracy counts.
        accuracy_loss: Largest loss of accuracy, in [0, 1]; None if the logits' difference counts.
        batch_difference: Largest relative difference of a logit between batches of several sizes.
        probability_difference: Largest difference of probabilities from those of the logits.
    """

    difference: float | None
    accuracy_loss: float | None
    batch_difference: float
    probability_difference: float

    @classmethod
    def of(
        cls, precision: Precision, preprocess: Preprocess, accept_loss: float | None = None
    ) -> Limits:
        """Returns the limits of an export.

        Args:
            precision: What the graph computes in.
            preprocess: What of the preprocessing is in the graph.
            accept_loss: Largest loss of accuracy, in [0, 1], with another precision than fp32;
                None takes :data:`ACCEPTED_LOSS`.

        Raises:
            SpecError: The precision has no such limit, or it is out of range.
        """
        probability = PROBABILITY_TOLERANCE[precision]
        if precision == "fp32":
            if accept_loss is not None:
                raise SpecError(
                    "accept_loss: goes with fp16 and int8; in fp32 a model must agree with its run."
                )
            difference = TOLERANCE if preprocess == "normalize" else RESIZED_TOLERANCE
            return cls(difference, None, TOLERANCE, probability)
        loss = ACCEPTED_LOSS if accept_loss is None else accept_loss
        if not 0 <= loss <= 1:
            raise SpecError(
                f"accept_loss: is {loss:g}, but should be from 0 to 1: 0.01 accepts an accuracy of"
                " 0.94 where the run's is 0.95."
            )
        return cls(None, loss, REDUCED_TOLERANCE, probability)


def verify(
    run: Classifier, exported: ExportedModel, source: ImageSource, limits: Limits
) -> Comparison:
    """Compares an exported model with its run on all images of a source.

    Args:
        run: The model as it was trained.
        exported: The model in a file.
        source: The validation images, at least one.
        limits: How far it may be from the run.

    Raises:
        DatasetError: An image is broken.
        RunError: The exported model does not compute, or is further from the run than `limits`.
    """
    _check_classes(run, exported)
    pixels = None
    if exported.manifest.preprocess == "full":
        pixels = pixel_difference(exported, source)
        check_pixels(pixels)
    comparison = compare(run, exported, source)
    if limits.difference is not None:
        _check_flips(comparison, limits.difference)
        _check_difference(comparison, limits.difference)
    if limits.accuracy_loss is not None:
        _check_accuracy(comparison.report, limits.accuracy_loss)
    if not comparison.batch_difference <= limits.batch_difference:
        raise RunError(
            "the exported model gives an image other logits in batches of another size: they"
            f" differ by up to {comparison.batch_difference:.2g} of the largest logit, and"
            f" {limits.batch_difference:g} is the limit. {NO_FILE}"
        )
    if not comparison.probability_difference <= limits.probability_difference:
        raise RunError(
            "the exported model's probabilities are not those of its logits: they differ by up to"
            f" {comparison.probability_difference:.2g}. {NO_FILE}"
        )
    report = comparison.report.model_copy(update={"pixels": pixels})
    return replace(comparison, report=report)


def check_unchanged(
    exported: ExportedModel, manifest: ExportManifest, comparison: Comparison
) -> None:
    """Checks that a file is still what was verified, now that the report is in it.

    Args:
        exported: The model in the file, which was opened anew.
        manifest: The metadata that was written.
        comparison: How the file was verified.

    Raises:
        RunError: The metadata is another one, or the graph gives other logits.
    """
    ((logits, _),) = exported.outputs_by_batch([comparison.sample])
    if exported.manifest != manifest or not np.array_equal(logits, comparison.sample_logits):
        raise RunError(
            f"the file changed while its report was added: it was read back differently. {NO_FILE}"
        )


def _check_classes(run: Classifier, exported: ExportedModel) -> None:
    for label, (mine, theirs) in enumerate(zip(run.classes, exported.classes, strict=False)):
        if mine != theirs:
            raise RunError(
                f"the exported model's class {label} is named {theirs}, and the run's is {mine}."
                f" {NO_FILE}"
            )
    if len(run.classes) != len(exported.classes):
        raise RunError(
            f"the exported model has {len(exported.classes)} classes, and the run has"
            f" {len(run.classes)}. {NO_FILE}"
        )


def _check_flips(comparison: Comparison, limit: float) -> None:
    flips = zip(comparison.margins, comparison.report.flips, strict=True)
    if far := [(margin, flip) for margin, flip in flips if not margin <= limit]:
        _, worst = max(far, key=lambda each: each[0])
        raise RunError(
            "the exported model predicts another class than the run for"
            f" {len({flip.image for _, flip in far})} of {comparison.report.images} images, which"
            f" are no near ties: {worst.image} is {worst.after} instead of {worst.before}, whose"
            f" logit is {worst.margin:.3g} larger. {NO_FILE}"
        )


def _check_difference(comparison: Comparison, limit: float) -> None:
    relative = comparison.report.relative_difference
    if not relative <= limit:
        raise RunError(
            f"the exported model's logits differ from the run's by up to {relative:.2g} of the"
            f" largest logit, of {comparison.furthest}, and {limit:g} is the limit. {NO_FILE}"
        )


def _check_accuracy(report: VerificationReport, limit: float) -> None:
    loss = report.accuracy_before - report.accuracy_after
    if loss > limit + 1e-9:  # 0.95 - 0.94 is more than 0.01 in binary numbers
        raise RunError(
            f"the exported model's accuracy is {report.accuracy_after:.2%}, and the run's is"
            f" {report.accuracy_before:.2%}: it loses more than {limit:.2%}, the value of"
            f" --accept-loss. {NO_FILE}"
        )
