"""A trained model, wherever it computes: predictions and evaluations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from isotune.data.divided import Recorded
from isotune.data.experiment_batches import evaluation_batches
from isotune.data.images import open_labeled
from isotune.data.inputs import ImageInput, InputSource, is_single
from isotune.data.readable import Outcomes, readable_batches
from isotune.distributed.group import Group
from isotune.distributed.joined import in_turn
from isotune.errors import DatasetError, SpecError
from isotune.experiment.agreement import check_same_images
from isotune.experiment.prediction import Prediction, ranked
from isotune.interfaces.dataset import Batch, ImageSource
from isotune.interfaces.trainer import TrainingPlan
from isotune.metrics.thresholds import USUAL
from isotune.spec.experiment import ExperimentSpec
from isotune.training.evaluation import FETCH_EVERY, AnyEvaluation, assess
from isotune.training.flipped import averaged, with_mirrored
from isotune.training.turns import rows_in_turn

if TYPE_CHECKING:
    from PIL.Image import Image


class TrainedModel(ABC):
    """A trained model that predicts and is evaluated.

    Attributes:
        spec: The resolved spec of the experiment.
        classes: Class names, in label order.
        plan: How the model was trained.
        threshold: Probability from which on every class is predicted, instead of the thresholds
            that were chosen in training; None does not replace them.
        group: The processes that evaluate the model together.
    """

    spec: ExperimentSpec
    classes: tuple[str, ...]
    plan: TrainingPlan
    threshold: float | None
    group: Group = Group()

    @property
    @abstractmethod
    def path(self) -> Path:
        """Where the model comes from: a run folder or a file."""

    @property
    @abstractmethod
    def engine(self) -> str:
        """What computes, for people: ``torch on cpu``."""

    @property
    @abstractmethod
    def chosen_thresholds(self) -> Sequence[float] | None:
        """The thresholds that were chosen for the model's weights, in label order, if any were."""

    @property
    @abstractmethod
    def batch_size(self) -> int:
        """Number of images that are computed together."""

    @abstractmethod
    def logits_by_batch(
        self, batches: Iterable[Batch], fetch_every: int = FETCH_EVERY
    ) -> Iterator[NDArray[np.float32]]:
        """Yields the logits of each batch: float32, shape (N, outputs), all finite.

        Args:
            batches: Images with the transforms of :attr:`input_spec`.
            fetch_every: Number of batches after which a device is waited for.

        Raises:
            RunError: An output is not finite.
        """

    @property
    def thresholds(self) -> NDArray[np.float32] | None:
        """Probability from which on each class is predicted: float32, shape (classes,).

        None where an image has one label.
        """
        if not self.spec.dataset.multi_label:
            return None
        values: float | Sequence[float] | None = self.threshold or self.chosen_thresholds
        if values is None:
            rule = self.spec.threshold
            values = rule if isinstance(rule, float) else USUAL
        return np.broadcast_to(np.array(values, np.float32), (len(self.classes),))

    def with_threshold(self, threshold: float) -> Self:
        """Returns the same model, which predicts each class from this probability on.

        Raises:
            SpecError: The number is not between 0 and 1, or an image has one label.
        """
        if not self.spec.dataset.multi_label:
            raise SpecError(
                "threshold: is for images that may have several labels; this model predicts the"
                " most likely class."
            )
        if not 0 < threshold < 1:
            raise SpecError(f"threshold: is {threshold:g}, but should be between 0 and 1.")
        return self._with(threshold)

    @abstractmethod
    def _with(self, threshold: float) -> Self:
        """Returns a copy with this threshold."""

    @property
    def input_spec(self) -> ExperimentSpec:
        """The spec whose validation transforms the images get before they are given."""
        return self.spec

    @property
    def recorded(self) -> Recorded | None:
        """The splits of the run, where its spec divides the images and it has recorded them."""
        return None

    def open_images(self, split: str | None = None, data: str | Path | None = None) -> ImageSource:
        """Opens and checks labeled images; arguments and errors are those of :meth:`evaluate`."""
        return open_labeled(self.spec, self.classes, split, data, self.recorded)

    def evaluate(
        self, split: str | None = None, data: str | Path | None = None, *, flip: bool = False
    ) -> AnyEvaluation:
        """Evaluates the model on labeled images.

        Args:
            split: Name of the split; None takes the validation split.
            data: Folder of another dataset with the same format. Its classes are matched by name,
                and it need not have all of them; macro averages are over those that occur among
                labels or predictions. Where the spec divides the images and no split
                is named, all images in the folder are taken.
            flip: As for :meth:`evaluate_source`.

        Raises:
            DatasetError: the images are missing or broken, or a class is not one of the run's.
        """
        source = in_turn(self.group, lambda: self.open_images(split, data))
        check_same_images(self.group, source, self.spec, data)
        return self.evaluate_source(source, flip=flip)

    def evaluate_source(self, source: ImageSource, *, flip: bool = False) -> AnyEvaluation:
        """Evaluates the model on a source's images, at least one, in its order.

        Args:
            source: The images.
            flip: Whether each image's probabilities are averaged with those of its mirror image,
                left and right swapped after the transforms, which takes twice the time. Everything
                follows from the averages: the loss is the experiment's at the logits whose
                probabilities they are (without label smoothing the mean of their negative
                logarithms), and thresholds stay those of the model.

        Raises:
            DatasetError: an image is broken.
            RunError: an output is not finite.
        """
        batches = evaluation_batches(source, self.input_spec, self.batch_size)
        logits, labels = rows_in_turn(self.group, batches, lambda some: self._logits(some, flip))
        evaluation = assess(logits, labels, self.plan, None, self.thresholds)
        return replace(evaluation, classes=self.classes)

    def _logits(
        self, batches: Iterable[Batch], flip: bool, fetch_every: int = FETCH_EVERY
    ) -> Iterator[NDArray[np.float32]]:
        """Yields the logits of each batch, with `flip` those of the averaged probabilities."""
        if not flip:
            return self.logits_by_batch(batches, fetch_every)
        both = self.logits_by_batch(with_mirrored(batches), 2 * fetch_every)
        return averaged(both, self.plan.loss)

    @overload
    def predict(
        self, images: str | PathLike[str], top: int | None = None, *, flip: bool = False
    ) -> Any: ...

    @overload
    def predict(
        self,
        images: Image | NDArray[np.uint8] | bytes | bytearray | memoryview | BinaryIO,
        top: int | None = None,
        *,
        flip: bool = False,
    ) -> Prediction: ...

    @overload
    def predict(
        self, images: Sequence[ImageInput], top: int | None = None, *, flip: bool = False
    ) -> list[Prediction]: ...

    def predict(
        self,
        images: ImageInput | Sequence[ImageInput],
        top: int | None = None,
        *,
        flip: bool = False,
    ) -> Prediction | list[Prediction]:
        """Predicts the class of an image, or those of several.

        Args:
            images: An image: its path, an image of Pillow, a uint8 array of shape (H, W, 3) in the
                order RGB or (H, W), the content of a file, or a file open in binary mode. Or
                several: a folder, a pattern such as ``"new/**/*.jpg"``, or a sequence of any of
                these.
            top: Number of classes to return; None returns all.
            flip: Whether each image's probabilities are averaged with those of its mirror image,
                left and right swapped after the transforms. It takes twice the time.

        Returns:
            Classes with their probabilities in [0, 1], the most likely first, as a list with the
            attribute ``labels``, the names of the predicted classes; for several images a list of
            these, where those of a folder are in the order of ``isotune.find_images``.

        Raises:
            DatasetError: an image cannot be read.
            RunError: an output is not finite.
        """
        if is_single(images):
            return self.predict_many([cast("ImageInput", images)], top, flip=flip)[0]
        if isinstance(images, (str, PathLike)):
            return self.predict_many([images], top, flip=flip)
        return self.predict_many(cast("Sequence[ImageInput]", images), top, flip=flip)

    def predict_many(
        self, images: Iterable[ImageInput], top: int | None = None, *, flip: bool = False
    ) -> list[Prediction]:
        """Predicts the classes of several images, in batches, as :meth:`predict` does for each."""
        predictions = []
        for prediction in self.predict_each(images, top, flip=flip):
            if isinstance(prediction, DatasetError):
                raise prediction
            predictions.append(prediction)
        return predictions

    def predict_each(
        self, images: Iterable[ImageInput], top: int | None = None, *, flip: bool = False
    ) -> Iterator[Prediction | DatasetError]:
        """Yields the predictions of any number of images, batch by batch.

        For an image that cannot be read it yields the error and continues.

        Raises:
            DatasetError: a folder holds no image, or a pattern matches no file.
            RunError: an output is not finite.
        """
        outcomes: Outcomes = deque()
        source = InputSource(images, self.classes, self.spec.dataset.max_pixels)
        batches = readable_batches(source, self.input_spec, self.batch_size, outcomes)
        for logits in self._logits(batches, flip, fetch_every=1):
            for prediction in self.ranked(logits, top):
                while error := outcomes.popleft():
                    yield error
                yield prediction
        yield from (error for error in outcomes if error)

    def ranked(self, logits: NDArray[np.float32], top: int | None) -> Iterator[Prediction]:
        """Yields the prediction of each row of logits: float32, shape (N, outputs)."""
        return ranked(logits, self.plan.loss, self.classes, self.thresholds, top)

    def split_name(self, split: str | None = None, data: str | Path | None = None) -> str:
        """Returns what figures call the images that :meth:`evaluate` takes."""
        if data is not None and split is None and self.spec.dataset.split is not None:
            return "all"
        return split or self.spec.dataset.splits.val
