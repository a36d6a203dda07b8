"""Explains the predictions of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from isotune.catalogue.resolve import normalization
from isotune.data.experiment_batches import evaluation_batches
from isotune.data.inputs import ImageInput, InputSource
from isotune.data.sources.subset import Subset
from isotune.errors import BackendError, SpecError, nearest
from isotune.explaining.choose import choose_method
from isotune.explaining.explanation import Explanation
from isotune.explaining.geometry import enlarged
from isotune.explaining.method import score_weights
from isotune.interfaces.dataset import ImageSource
from isotune.training.isolation import isolated
from isotune.training.probabilities import predicted, probabilities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from isotune.experiment.result import Run
    from isotune.reports.mistakes import Mistakes


def explain_source(
    run: Run,
    source: ImageSource,
    class_name: str | None = None,
    stage: str | None = None,
    labels: Sequence[int] | None = None,
) -> Iterator[Explanation]:
    """Yields the explanations of a source's images, in its order, computed in batches.

    Args:
        run: The run.
        source: The images.
        class_name: The class to explain; None for each image's predicted class.
        stage: As for :func:`isotune.explaining.choose.choose_method`.
        labels: The class of each image to explain, instead of a class for all of them.

    Raises:
        BackendError: The run's backend explains nothing, or the model has no such part.
        SpecError: There is no such class or stage, or no explanation of it.
        DatasetError: An image cannot be read.
        RunError: An output is not finite.
    """
    explainer, label = run.backend.explainer, None
    if explainer is None:
        raise BackendError(
            f"the {run.backend.name} backend has no explainer; open the run on another backend."
        )
    if class_name is not None:
        label = _label(class_name, run.classes)
    with isolated(run.backend):
        method = choose_method(run.entry, run.backend, run.model, stage, class_name)
    position = 0
    for batch in evaluation_batches(source, run.spec, run.batch_size).epoch(0):
        (logits,) = run.logits_by_batch([batch])
        chosen, shares = predicted(logits, run.plan.loss), probabilities(logits, run.plan.loss)
        if labels is not None:
            own = np.array(labels[position : position + len(batch)])
        else:
            own = chosen if label is None else np.full(len(batch), label)
        with isolated(run.backend):
            (fed,) = run.backend.dataset.feed([batch], normalization(run.spec))
            weights = score_weights(own, logits.shape[1], run.plan.loss)
            _, height, width, _ = batch.images.shape
            heats = method.heat(explainer, run.model, fed, weights, (height, width))
        for row, heat in enumerate(heats):
            yield Explanation(
                image=batch.images[row],
                heat=enlarged(heat, height, width),
                predicted=run.classes[chosen[row]],
                probability=float(shares[row, chosen[row]]),
                explained=run.classes[own[row]] if method.explains_classes else None,
                method=method.name,
                stage=method.stage,
                identity=source.identify(position),
            )
            position += 1


def explain_mistakes(run: Run, mistakes: Mistakes) -> list[Explanation]:
    """Returns explanations of the mistakes that are shown, of the wrong class that was predicted.

    Raises:
        IsotuneError: As of :func:`explain_source`.
    """
    source = run.open_images(mistakes.split)
    shown = Subset(source, mistakes.positions)
    return list(explain_source(run, shown, labels=mistakes.labels or None))


def explanations_figure(
    run: Run,
    images: Iterable[ImageInput] | None,
    count: int,
    split: str | None,
    class_name: str | None,
    stage: str | None,
) -> Figure:
    """Returns a figure of explanations, as ``Run.show_explanations`` describes it.

    Raises:
        IsotuneError: As of :func:`explain_source`.
    """
    from isotune.reports.examples import evenly, listed
    from isotune.reports.explanations import explanation_figure

    everything: ImageSource
    if images is None:
        everything = run.open_images(split)
    else:
        everything = InputSource(images, run.classes, run.spec.dataset.max_pixels)
    source = Subset(everything, evenly(len(everything), count))
    labels = (
        None if images is not None else [listed(source.label_names(i)) for i in range(len(source))]
    )
    found = list(explain_source(run, source, class_name, stage))
    return explanation_figure(found, run.spec.name, labels)


def _label(name: str, classes: tuple[str, ...]) -> int:
    if name in classes:
        return classes.index(name)
    raise SpecError(
        f"class: the run has no class '{name}'.{nearest(name, classes)}"
        f" Its classes are: {', '.join(classes)}."
    )
