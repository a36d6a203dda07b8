"""A run as a user holds it: its figures, its native model, its features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isotune.catalogue.resolve import normalization
from isotune.data.divided import Recorded
from isotune.data.experiment_batches import evaluation_batches
from isotune.data.inputs import ImageInput, InputSource
from isotune.distributed.group import Group
from isotune.errors import RunError
from isotune.experiment.classifier import Classifier
from isotune.experiment.explain import explain_mistakes, explain_source, explanations_figure
from isotune.explaining.explanation import Explanation
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch
from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune.reports.history import History
from isotune.reports.metrics import full_heading, written
from isotune.runs.folder import FollowedFolder, RunFolder
from isotune.runs.images import recorded_splits
from isotune.spec.experiment import ExperimentSpec
from isotune.training.evaluation import FETCH_EVERY, evaluation_size, logits_by_batch
from isotune.training.finite import suspect
from isotune.training.isolation import each_isolated, isolated

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Run(Classifier):
    """A finished (or reopened) run.

    Attributes:
        folder: The run folder.
        spec: The resolved spec.
        classes: Class names, in label order.
        entry: What the catalogue says of the backbone.
        plan: How the model was trained.
        backend: The backend that holds the model.
        model: The native model, an ``nn.Module`` or ``nn.Cell``, with the best weights, or
            those of the checkpoint that was opened.
        head: Canonical path of the head.
        history: Metrics of every epoch; ``history.to_pandas()`` is a data frame.
        best: Metrics of the model's epoch, up to its step.
        group: The processes that have opened the run together.
        listed: The images of each split, where the spec divides them and the folder is another
            process's.
    """

    folder: RunFolder
    spec: ExperimentSpec
    classes: tuple[str, ...]
    entry: BackboneEntry
    plan: TrainingPlan
    backend: Backend
    model: Any
    head: str
    history: History
    best: EpochMetrics
    threshold: float | None = None
    group: Group = field(default_factory=Group)
    listed: Recorded | None = None

    def _facts(self) -> dict[str, str]:
        monitor = self.spec.checkpoint.monitor
        value = written(monitor, self.best.value(monitor), exact=True)
        return {
            **super()._facts(),
            **self._images(),
            "backend": self.engine,
            "epochs": f"{len(self.history)}",
            f"best {full_heading(monitor)}": f"{value} in epoch {self.best.epoch}",
            "folder": str(self.path),
        }

    def _images(self) -> dict[str, str]:
        """Returns how many images it had, which only a run that has ended knows."""
        try:
            sizes = self.folder.summary().images.model_dump(exclude_none=True)
        except (RunError, OSError):  # the folder may be gone or damaged, and is still shown
            return {}
        images = ", ".join(f"{number:,} {split}" for split, number in sizes.items())
        return {"images": images} if images else {}

    @property
    def path(self) -> Path:
        """The run folder's path."""
        return self.folder.path

    @property
    def recorded(self) -> Recorded | None:
        """The splits of the run, where its spec divides the images.

        Raises:
            RunError: The run's list of its images is damaged.
        """
        if isinstance(self.folder, FollowedFolder):
            return self.listed
        dataset = self.spec.dataset
        divided = dataset.split is not None and dataset.fold is None
        return recorded_splits(self.path) if divided else None

    @cached_property
    def _trainer(self) -> Trainer:
        # One for all calls: a backend may have to compile its evaluation step.
        with isolated(self.backend):
            return self.backend.trainer(self.model, self.plan)

    @property
    def chosen_thresholds(self) -> tuple[float, ...] | None:
        """The thresholds that the evaluation of the model's epoch has chosen."""
        return self.best.thresholds

    def _with(self, threshold: float) -> Run:
        return replace(self, threshold=threshold)

    @property
    def engine(self) -> str:
        """The backend and its device."""
        return f"{self.backend.name} on {self.backend.device}"

    @property
    def batch_size(self) -> int:
        """Number of images that the device evaluates together."""
        return evaluation_size(self.spec, self.backend)

    def logits_by_batch(
        self, batches: Iterable[Batch], fetch_every: int = FETCH_EVERY
    ) -> Iterator[NDArray[np.float32]]:
        """Yields the logits of each batch: float32, shape (N, outputs), all finite.

        Raises:
            RunError: An output is not finite.
        """
        usual = normalization(self.spec)
        rows = logits_by_batch(self.backend, self._trainer, batches, usual, fetch_every)
        for logits in each_isolated(self.backend, rows):
            self._check_outputs(logits)
            yield logits

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
        batches = evaluation_batches(source, self.spec, self.batch_size).epoch(0)
        with isolated(self.backend):
            head = self.backend.heads.detach(self.model, self.head)
            try:
                trainer = self.backend.trainer(self.model, self.plan)
                rows = logits_by_batch(self.backend, trainer, batches, normalization(self.spec))
                features = np.concatenate(list(rows))
            finally:
                self.backend.heads.attach(self.model, self.head, head)
        return features

    def explain(
        self, image: ImageInput, class_name: str | None = None, stage: str | None = None
    ) -> Explanation:
        """Explains a prediction: which parts of the image decided.

        Arguments and errors are those of :meth:`explain_many`.
        """
        return self.explain_many([image], class_name, stage)[0]

    def explain_many(
        self,
        images: Iterable[ImageInput],
        class_name: str | None = None,
        stage: str | None = None,
    ) -> list[Explanation]:
        """Explains the predictions for several images, in batches.

        Vision transformers are explained by attention rollout, all other backbones by Grad-CAM at
        their last stage before the head.

        Args:
            images: Images, each as :meth:`predict` takes it.
            class_name: The class that Grad-CAM explains; None for each image's predicted class.
            stage: A stage, or the canonical path of a part, for Grad-CAM there.

        Raises:
            DatasetError: An image cannot be read.
            SpecError: There is no such class or stage, or it has no explanation.
            BackendError: The backend explains nothing, or the model has no such part.
            RunError: An output is not finite.
        """
        source = InputSource(images, self.classes, self.spec.dataset.max_pixels)
        return list(explain_source(self, source, class_name, stage))

    def _check_outputs(self, logits: NDArray[np.float32]) -> None:
        if not np.isfinite(logits).all():
            cause = suspect(self.backend.state_adapter.export_model(self.model))
            raise RunError(f"{self.path}: the model's outputs are not finite: {cause}.")

    def show_explanations(
        self,
        images: Iterable[ImageInput] | None = None,
        count: int = 16,
        split: str | None = None,
        class_name: str | None = None,
        stage: str | None = None,
    ) -> Figure:
        """Returns a figure of images, each with the explanation of its prediction beside it.

        Args:
            images: Images as :meth:`predict_many` takes them; None takes those of a split.
            count: Number of images, taken evenly, if there are as many.
            split: The split's name; None takes the validation split.
            class_name: As for :meth:`explain_many`, whose errors this raises too.
            stage: As for :meth:`explain_many`.

        Raises:
            IsotuneError: matplotlib is not installed.
        """
        from isotune.reports.drawing import check_matplotlib

        check_matplotlib()
        return explanations_figure(self, images, count, split, class_name, stage)

    def show_mistakes(
        self,
        count: int = 16,
        split: str | None = None,
        explain: bool = False,
        *,
        flip: bool = False,
    ) -> Figure:
        """Returns a figure of the mistakes on a split that the model is most confident of.

        Arguments and errors are those of :meth:`show_predictions`, and with `explain`, which draws
        explanations beside the images, those of :meth:`explain_many`.
        """
        from isotune.reports.drawing import check_matplotlib
        from isotune.reports.mistakes import mistakes_figure

        check_matplotlib()
        mistakes = self.mistakes(count, split, flip=flip)
        return mistakes_figure(mistakes, explain_mistakes(self, mistakes) if explain else ())

    def show_curves(self) -> Figure:
        """Returns a figure of the learning curves; ``isotune.show_curves`` takes several runs."""
        return show_curves([self])


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
