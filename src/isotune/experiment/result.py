"""A run as a user holds it: its figures, its model, predictions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast, overload

import numpy as np
from numpy.typing import NDArray

from isotune.catalogue.resolve import normalization
from isotune.data.images import evaluation_batches, open_labeled
from isotune.data.inputs import ImageInput, InputSource, is_single
from isotune.data.readable import Outcomes, readable_batches
from isotune.data.sources.subset import Subset
from isotune.errors import DatasetError, RunError
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import ImageSource
from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune.runs.folder import RunFolder
from isotune.spec.experiment import ExperimentSpec
from isotune.training.evaluation import Evaluation, evaluate, evaluation_size, logits_by_batch
from isotune.training.finite import suspect
from isotune.training.isolation import each_isolated, isolated
from isotune.training.probabilities import probabilities, scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from isotune.reports.examples import Example
    from isotune.reports.mistakes import Mistakes

Prediction = list[tuple[str, float]]
"""Classes and their probabilities, the most likely first."""


@dataclass(frozen=True)
class Run:
    """A finished (or reopened) run.

    Attributes:
        folder: The run folder.
        spec: The resolved spec.
        classes: Class names, in label order.
        plan: How the model was trained.
        backend: The backend that holds the model.
        model: The native model, an ``nn.Module`` or ``nn.Cell``, with the best weights, or
            those of the checkpoint that was opened.
        head: Canonical path of the head.
        history: Metrics of every epoch.
        best: Metrics of the model's epoch, up to its step.
    """

    folder: RunFolder
    spec: ExperimentSpec
    classes: tuple[str, ...]
    plan: TrainingPlan
    backend: Backend
    model: Any
    head: str
    history: tuple[EpochMetrics, ...]
    best: EpochMetrics

    @property
    def path(self) -> Path:
        """The run folder's path."""
        return self.folder.path

    @cached_property
    def _trainer(self) -> Trainer:
        # One for all calls: a backend may have to compile its evaluation step.
        with isolated(self.backend):
            return self.backend.trainer(self.model, self.plan)

    @property
    def _evaluation_size(self) -> int:
        return evaluation_size(self.spec, self.backend)

    def evaluate(self, split: str | None = None, data: str | Path | None = None) -> Evaluation:
        """Evaluates the model on labeled images.

        Args:
            split: Name of the split; None takes the validation split.
            data: Folder of another dataset with the same format. Its classes are matched by name,
                and it need not have all of them; macro averages are over those that occur among
                labels or predictions.

        Raises:
            DatasetError: the images are missing or broken, or a class is not one of the run's.
        """
        return self.evaluate_source(open_labeled(self.spec, self.classes, split, data))

    def evaluate_source(self, source: ImageSource) -> Evaluation:
        """Evaluates the model on a source's images, at least one, in its order.

        Raises:
            DatasetError: an image is broken.
            RunError: an output is not finite.
        """
        batches = evaluation_batches(source, self.spec, self._evaluation_size).epoch(0)
        usual, trainer = normalization(self.spec), self._trainer
        with isolated(self.backend):
            evaluation = evaluate(self.backend, trainer, batches, usual, self.plan)
        self._check_outputs(evaluation.logits)
        return evaluation

    @overload
    def predict(self, images: str | PathLike[str], top: int | None = None) -> Any: ...

    @overload
    def predict(
        self,
        images: Image | NDArray[np.uint8] | bytes | bytearray | memoryview | BinaryIO,
        top: int | None = None,
    ) -> Prediction: ...

    @overload
    def predict(self, images: Sequence[ImageInput], top: int | None = None) -> list[Prediction]: ...

    def predict(
        self, images: ImageInput | Sequence[ImageInput], top: int | None = None
    ) -> Prediction | list[Prediction]:
        """Predicts the class of an image, or those of several.

        Args:
            images: An image: its path, an image of Pillow, a uint8 array of shape (H, W, 3) in the
                order RGB or (H, W), the content of a file, or a file open in binary mode. Or
                several: a folder, a pattern such as ``"new/**/*.jpg"``, or a sequence of any of
                these.
            top: Number of classes to return; None returns all.

        Returns:
            Classes with their probabilities in [0, 1], the most likely first; for several images a
            list of these, where those of a folder are in the order of ``isotune.find_images``.

        Raises:
            DatasetError: an image cannot be read.
            RunError: an output is not finite.
        """
        if is_single(images):
            return self.predict_many([cast("ImageInput", images)], top)[0]
        if isinstance(images, (str, PathLike)):
            return self.predict_many([images], top)
        return self.predict_many(cast("Sequence[ImageInput]", images), top)

    def predict_many(
        self, images: Iterable[ImageInput], top: int | None = None
    ) -> list[Prediction]:
        """Predicts the classes of several images, in batches, as :meth:`predict` does for each."""
        predictions = []
        for prediction in self.predict_each(images, top):
            if isinstance(prediction, DatasetError):
                raise prediction
            predictions.append(prediction)
        return predictions

    def predict_each(
        self, images: Iterable[ImageInput], top: int | None = None
    ) -> Iterator[Prediction | DatasetError]:
        """Yields the predictions of any number of images, batch by batch.

        For an image that cannot be read it yields the error and continues.

        Raises:
            DatasetError: a folder holds no image, or a pattern matches no file.
            RunError: an output is not finite.
        """
        outcomes: Outcomes = deque()
        source = InputSource(images, self.classes, self.spec.dataset.max_pixels)
        batches = readable_batches(source, self.spec, self._evaluation_size, outcomes)
        rows = logits_by_batch(
            self.backend, self._trainer, batches, normalization(self.spec), fetch_every=1
        )
        for logits in each_isolated(self.backend, rows):
            self._check_outputs(logits)
            for prediction in self._ranked(logits, top):
                while error := outcomes.popleft():
                    yield error
                yield prediction
        yield from (error for error in outcomes if error)

    def features(self, images: Iterable[ImageInput]) -> NDArray[np.float32]:
        """Returns the features of images: the head's input, in evaluation mode.

        Args:
            images: At least one image, each as :meth:`predict` takes it.

        Returns:
            float32, shape (N, width), in the order of the images. Where the head is a
            convolution that classifies positions of feature maps, the maps' means.

        Raises:
            DatasetError: an image cannot be read.
        """
        source = InputSource(images, self.classes, self.spec.dataset.max_pixels)
        batches = evaluation_batches(source, self.spec, self._evaluation_size).epoch(0)
        with isolated(self.backend):
            head = self.backend.heads.detach(self.model, self.head)
            try:
                trainer = self.backend.trainer(self.model, self.plan)
                rows = logits_by_batch(self.backend, trainer, batches, normalization(self.spec))
                features = np.concatenate(list(rows))
            finally:
                self.backend.heads.attach(self.model, self.head, head)
        return features

    def _check_outputs(self, logits: NDArray[np.float32]) -> None:
        if not np.isfinite(logits).all():
            cause = suspect(self.backend.state_adapter.export_model(self.model))
            raise RunError(f"{self.path}: the model's outputs are not finite: {cause}.")

    def _ranked(self, logits: NDArray[np.float32], top: int | None) -> Iterator[Prediction]:
        # By logits: probabilities close to 1 may round to the same number.
        orders = np.argsort(-scores(logits, self.plan.loss), axis=1, kind="stable")[:, :top]
        for order, row in zip(orders, probabilities(logits, self.plan.loss), strict=True):
            yield [(self.classes[label], float(row[label])) for label in order]

    def show_predictions(self, count: int = 16, split: str | None = None) -> Figure:
        """Returns a figure of images with predictions, taken evenly from a split.

        A notebook shows it as it is; ``savefig`` writes it.

        Args:
            count: Number of images, if there are as many.
            split: The split's name; None takes the validation split.

        Raises:
            IsotuneError: matplotlib is not installed.
            DatasetError: the split's images are missing or broken.
        """
        from isotune.reports.drawing import check_matplotlib
        from isotune.reports.predictions import prediction_figure

        check_matplotlib()
        return prediction_figure(self.examples(count, split), self.spec.name, self._split(split))

    def show_mistakes(self, count: int = 16, split: str | None = None) -> Figure:
        """Returns a figure of the mistakes on a split that the model is most confident of.

        Arguments and errors are those of :meth:`show_predictions`.
        """
        from isotune.reports.drawing import check_matplotlib
        from isotune.reports.mistakes import mistakes_figure

        check_matplotlib()
        return mistakes_figure(self.mistakes(count, split))

    def show_confusion(self, split: str | None = None) -> Figure:
        """Returns a figure of a split's confusion matrix; errors as of :meth:`show_predictions`."""
        from isotune.reports.confusion import confusion_figure
        from isotune.reports.drawing import check_matplotlib

        check_matplotlib()
        matrix = self.evaluate(split).confusion
        return confusion_figure(matrix, self.classes, self.spec.name, self._split(split))

    def show_curves(self) -> Figure:
        """Returns a figure of the learning curves; ``isotune.show_curves`` takes several runs."""
        return show_curves([self])

    def examples(self, count: int, split: str | None = None) -> list[Example]:
        """Predicts `count` images taken evenly from a split, so that every class has its share.

        Arguments and errors are those of :meth:`show_predictions`.
        """
        from isotune.reports.examples import evenly, examples_at

        source = open_labeled(self.spec, self.classes, split)
        shown = Subset(source, evenly(len(source), count))
        if not len(shown):
            return []
        return examples_at(range(len(shown)), shown, self.evaluate_source(shown))

    def mistakes(self, count: int, split: str | None = None) -> Mistakes:
        """Evaluates a split and returns the mistakes that the model is most confident of.

        Arguments and errors are those of :meth:`show_predictions`.
        """
        from isotune.reports.mistakes import find_mistakes

        source = open_labeled(self.spec, self.classes, split)
        evaluation = self.evaluate_source(source)
        name, split = self.spec.name, self._split(split)
        return find_mistakes(source, evaluation, count, name=name, split=split)

    def _split(self, split: str | None) -> str:
        return split or self.spec.dataset.splits.val


def show_curves(runs: Sequence[Run | str | Path]) -> Figure:
    """Returns a figure of loss, accuracy and learning rate over the epochs of some runs.

    Args:
        runs: Runs, or the folders of runs, finished or not; no backend is needed.

    Raises:
        IsotuneError: matplotlib is not installed.
        RunError: a path is not a run's folder, a file in it is damaged, or no epoch has ended.
    """
    from isotune.reports.comparison import read_figures
    from isotune.reports.curves import curves_figure

    return curves_figure([read_figures(r.path if isinstance(r, Run) else r) for r in runs])
