"""Compares an exported model with its run on every validation image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.data.images import evaluation_batches
from isotune.errors import RunError
from isotune.experiment.classifier import Classifier
from isotune.exporting.manifest import Flip, VerificationReport
from isotune.exporting.model import ExportedModel
from isotune.interfaces.dataset import Batch, ImageSource
from isotune.training.evaluation import Labels, assess, collect_labels
from isotune.training.probabilities import probabilities, scores

TOLERANCE = 1e-3
"""Largest difference of a logit, relative to the run's largest logit.

Correct fp32 graphs of the catalogue stay below 1e-5; it is also what counts as a near tie."""

PROBABILITY_TOLERANCE = 1e-4
"""Largest difference of the graph's probabilities from those of its logits."""


@dataclass(frozen=True)
class Comparison:
    """Outputs of a run and of its exported model for the same images.

    Attributes:
        report: The figures.
        probability_difference: Largest difference of the graph's probabilities from those of its
            own logits.
    """

    report: VerificationReport
    probability_difference: float


def compare(run: Classifier, exported: ExportedModel, source: ImageSource) -> Comparison:
    """Evaluates both models on all images of a source.

    Args:
        run: The model as it was trained.
        exported: The model in a file.
        source: The validation images.
    """
    before = run.evaluate_source(source)
    labels, timer = Labels(), _Timer(exported)
    batches = evaluation_batches(source, exported.input_spec, exported.batch_size).epoch(0)
    outputs = list(timer.outputs(collect_labels(batches, labels)))
    logits = np.concatenate([each for each, _ in outputs])
    shares = np.concatenate([each for _, each in outputs])
    after = assess(logits, np.concatenate(labels), exported.plan)
    ranking = scores(before.logits, run.plan.loss)
    report = VerificationReport(
        images=len(logits),
        largest_difference=float(np.abs(logits - before.logits).max()),
        largest_logit=float(np.abs(before.logits).max()),
        flips=[
            Flip(
                image=source.identify(index),
                before=run.classes[before.predicted[index]],
                after=run.classes[after.predicted[index]],
                margin=float(
                    ranking[index, before.predicted[index]] - ranking[index, after.predicted[index]]
                ),
            )
            for index in np.flatnonzero(before.predicted != after.predicted).tolist()
        ],
        accuracy_before=before.accuracy,
        accuracy_after=after.accuracy,
        milliseconds=1000 * timer.seconds / len(logits),
        bytes=exported.file.stat().st_size,
    )
    own = probabilities(logits, exported.plan.loss)
    return Comparison(report, float(np.abs(shares - own).max()))


def check_exact(comparison: Comparison) -> None:
    """Checks that an exported model computes what its run does, except for rounding.

    Raises:
        RunError: A logit differs by more than :data:`TOLERANCE`, a prediction flips that was no
            near tie, or the probabilities are not those of the logits.
    """
    report = comparison.report
    limit = TOLERANCE * max(report.largest_logit, 1.0)
    if far := [flip for flip in report.flips if flip.margin > limit]:
        worst = max(far, key=lambda flip: flip.margin)
        raise RunError(
            f"the exported model predicts another class than the run on {len(far)} of"
            f" {report.images} images that are no near ties: {worst.image} is {worst.after} instead"
            f" of {worst.before}, whose logit is {worst.margin:.3g} larger. No file was written."
        )
    if not report.largest_difference <= limit:
        raise RunError(
            f"the exported model's logits differ from the run's by up to"
            f" {report.largest_difference:.3g}, and {limit:.3g} is the limit. No file was written."
        )
    if not comparison.probability_difference <= PROBABILITY_TOLERANCE:
        raise RunError(
            "the exported model's probabilities differ from those of its logits by up to"
            f" {comparison.probability_difference:.3g}. No file was written."
        )


def check_accuracy(comparison: Comparison, accept_loss: float) -> None:
    """Checks that an exported model loses at most this much accuracy.

    Args:
        comparison: Both models' outputs.
        accept_loss: Largest loss of accuracy, in [0, 1].

    Raises:
        RunError: It loses more.
    """
    report = comparison.report
    loss = report.accuracy_before - report.accuracy_after
    if loss > accept_loss:
        raise RunError(
            f"the exported model's accuracy is {report.accuracy_after:.2%}, and the run's is"
            f" {report.accuracy_before:.2%}: it loses more than {accept_loss:.2%}, the value of"
            " --accept-loss. No file was written."
        )


class _Timer:
    """Measures the time that a model computes, without that of decoding.

    The first batch is computed twice, and counted once: some graphs are compiled when they first
    run.
    """

    def __init__(self, model: ExportedModel) -> None:
        self.seconds = 0.0
        self._model = model
        self._is_warm = False

    def outputs(
        self, batches: Iterator[Batch]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        for batch in batches:
            if not self._is_warm:
                self._model.graph(batch.images)
                self._is_warm = True
            begin = time.perf_counter()
            yield from self._model.outputs_by_batch([batch])
            self.seconds += time.perf_counter() - begin
