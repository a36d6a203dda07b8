"""What a run and its exported model come to for the same images."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isotune.data.experiment_batches import evaluation_batches
from isotune.experiment.classifier import Classifier
from isotune.exporting.manifest import Flip, VerificationReport
from isotune.exporting.model import ExportedModel
from isotune.interfaces.dataset import Batch, ImageSource
from isotune.training.evaluation import AnyEvaluation, assess
from isotune.training.probabilities import scores

TIMED = 5
"""Number of batches that are timed, after all images were computed."""

SMALLEST_SCALE = 1e-3
"""Smallest scale: a thousandth of it, the limit in fp32, changes no probability by 1e-6."""


@dataclass(frozen=True)
class Comparison:
    """Outputs of a run and of its exported model for the same images.

    Attributes:
        report: The figures.
        furthest: Name of the image with the largest relative difference.
        probability_difference: Largest difference of the graph's probabilities from those of its
            own logits.
        batch_difference: Largest relative difference of a logit of the exported model between
            batches of several sizes.
        sample: The first images, as the graph takes them.
        sample_logits: The exported model's logits of `sample`.
        margins: Margin of each flip, relative to its image's :func:`scales`.
    """

    report: VerificationReport
    furthest: str
    probability_difference: float
    batch_difference: float
    sample: Batch
    sample_logits: NDArray[np.float32]
    margins: tuple[float, ...]


def compare(run: Classifier, exported: ExportedModel, source: ImageSource) -> Comparison:
    """Evaluates both models on all images of a source, at least one.

    The exported model gets the images as its own metadata says, as any user of the file gives
    them.

    Args:
        run: The model as it was trained.
        exported: The model in a file.
        source: The validation images.

    Raises:
        DatasetError: An image is broken.
        RunError: A model does not compute, or its outputs are not finite.
    """
    before = run.evaluate_source(source)
    scale = scales(before.logits)
    kept: list[Batch] = []
    outputs = list(_outputs(exported, source, kept))
    logits = np.concatenate([each for each, _ in outputs])
    shares = np.concatenate([each for _, each in outputs])
    after = assess(logits, before.labels, exported.plan, None, exported.thresholds)
    differences = np.abs(logits - before.logits).max(axis=1)
    flips = [
        (index, _flip(index, label, run, before, after, source))
        for index, *label in np.argwhere(before.predicted != after.predicted).tolist()
    ]
    report = VerificationReport(
        images=len(logits),
        largest_difference=float(differences.max()),
        relative_difference=float((differences / scale).max()),
        largest_logit=float(np.abs(before.logits).max()),
        flips=[flip for _, flip in flips],
        accuracy_before=before.accuracy,
        accuracy_after=after.accuracy,
        milliseconds=_milliseconds(exported, kept),
        batch_size=len(kept[0]),
        bytes=exported.file.stat().st_size,
    )
    return Comparison(
        report=report,
        furthest=_name(source, int((differences / scale).argmax())),
        probability_difference=float(np.abs(shares - after.probabilities).max()),
        batch_difference=_batch_difference(exported, kept[0], outputs[0][0], scale),
        sample=kept[0],
        sample_logits=outputs[0][0],
        margins=tuple(flip.margin / scale[index] for index, flip in flips),
    )


def scales(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns what differences of each image's logits are relative to: float64, shape (N,).

    That is the image's largest absolute logit, or the median of all images where that is larger:
    rounding errors are relative to the terms that a logit adds up, not to what is left of them.

    Args:
        logits: The run's logits, shape (N, outputs).
    """
    largest = np.abs(logits).max(axis=1).astype(np.float64)
    floor = max(float(np.median(largest)), SMALLEST_SCALE)
    scale: NDArray[np.float64] = np.maximum(largest, floor)
    return scale


def _outputs(
    exported: ExportedModel, source: ImageSource, kept: list[Batch]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yields logits and probabilities of all batches, and keeps the first ones in `kept`."""
    for batch in evaluation_batches(source, exported.input_spec, exported.batch_size).epoch(0):
        if len(kept) < TIMED:
            kept.append(batch)
        yield from exported.outputs_by_batch([batch])


def _flip(
    index: int,
    label: Sequence[int],
    run: Classifier,
    before: AnyEvaluation,
    after: AnyEvaluation,
    source: ImageSource,
) -> Flip:
    """Returns a flip of an image or, where it may have several labels, of one of them."""
    name, ranking = _name(source, index), scores(before.logits[index : index + 1], run.plan.loss)[0]
    if before.thresholds is None:
        first, second = int(before.predicted[index]), int(after.predicted[index])
        margin = float(ranking[first] - ranking[second])
        return Flip(image=name, before=run.classes[first], after=run.classes[second], margin=margin)
    [which] = label
    threshold = float(before.thresholds[which])
    margin = abs(float(ranking[which]) - math.log(threshold / (1 - threshold)))
    answers = [run.classes[which], f"not {run.classes[which]}"]
    if not before.predicted[index, which]:
        answers.reverse()
    return Flip(image=name, before=answers[0], after=answers[1], margin=margin)


def _name(source: ImageSource, index: int) -> str:
    """Returns an image's folder and name; the folders above would tell of this machine."""
    return "/".join(Path(source.identify(index)).parts[-2:])


def _milliseconds(exported: ExportedModel, batches: list[Batch]) -> float:
    """Returns the median time of an image, in ms.

    The batches are decoded, and no thread decodes others meanwhile; the graph has computed each
    of them before, so nothing is compiled or allocated for the first time.
    """
    times = []
    for batch in islice(cycle(batches), TIMED):
        begin = time.perf_counter()
        exported.graph(batch.images)
        times.append((time.perf_counter() - begin) / len(batch))
    return 1000 * float(np.median(times))


def _batch_difference(
    exported: ExportedModel,
    batch: Batch,
    logits: NDArray[np.float32],
    scale: NDArray[np.float64],
) -> float:
    """Returns the largest relative difference of logits between batches of several sizes.

    A graph that was traced with the wrong shapes may be right for one size only.
    """
    largest = 0.0
    for size in sorted({1, 2, 3, len(batch) + 1}):
        chosen = np.arange(size) % len(batch)
        again = Batch(batch.images[chosen], batch.labels[chosen])
        ((found, _),) = exported.outputs_by_batch([again])
        difference = np.abs(found - logits[chosen]).max(axis=1) / scale[chosen]
        largest = max(largest, float(difference.max()))
    return largest
