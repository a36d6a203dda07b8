"""An exported model as a user holds it: it predicts and is evaluated without the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isotune.errors import DatasetError, RunError, SpecError
from isotune.experiment.classifier import Classifier
from isotune.experiment.listed_images import listed_split
from isotune.exporting.manifest import ExportManifest
from isotune.interfaces.dataset import Batch, ImageSource
from isotune.interfaces.trainer import TrainingPlan
from isotune.runs.images import summarize_images
from isotune.spec.experiment import ExperimentSpec
from isotune.training.evaluation import FETCH_EVERY

BATCH_SIZE = 8
"""Number of images of a batch; more make a CPU no faster (see Backend.inference_batch_size)."""


class Graph(ABC):
    """An exported graph that is ready to compute."""

    engine: str
    """What computes, for people."""

    @abstractmethod
    def __call__(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Returns logits (N, outputs) and probabilities (N, classes), both float32.

        Args:
            images: uint8, shape (N, height, width, 3).

        Raises:
            RunError: The graph does not compute.
        """


@dataclass(frozen=True, repr=False)
class ExportedModel(Classifier):
    """A model in a file that ``isotune export`` wrote.

    Attributes:
        file: The file.
        manifest: The file's metadata.
        graph: What computes.
        spec: The resolved spec of the run.
        classes: Class names, in label order.
        plan: How the model was trained.
    """

    file: Path
    manifest: ExportManifest
    graph: Graph
    spec: ExperimentSpec
    classes: tuple[str, ...]
    plan: TrainingPlan
    threshold: float | None = None

    @classmethod
    def of(cls, file: Path, manifest: ExportManifest, graph: Graph) -> ExportedModel:
        """Returns the model of a graph with this metadata.

        Raises:
            RunError: The spec in the metadata is none.
        """
        spec = _spec(file, manifest)
        weights = manifest.class_weights
        plan = TrainingPlan(
            spec.optimizer,
            loss=spec.loss.name,
            label_smoothing=spec.loss.label_smoothing,
            class_weights=None if weights is None else np.array(weights, dtype=np.float32),
            multi_label=spec.dataset.multi_label,
        )
        return cls(file, manifest, graph, spec, tuple(manifest.classes), plan)

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.file

    @property
    def chosen_thresholds(self) -> list[float] | None:
        """The thresholds of the run, from the metadata."""
        return self.manifest.thresholds

    def _facts(self) -> dict[str, str]:
        return {**super()._facts(), "engine": self.engine, "file": str(self.file)}

    def _with(self, threshold: float) -> ExportedModel:
        return replace(self, threshold=threshold)

    @property
    def engine(self) -> str:
        """What computes, for people."""
        return self.graph.engine

    @property
    def input_spec(self) -> ExperimentSpec:
        """The spec, without validation transforms if they are in the graph."""
        if self.manifest.preprocess == "normalize":
            return self.spec
        bare = self.spec.transforms.model_copy(update={"val": ()})
        return self.spec.model_copy(update={"transforms": bare})

    @property
    def batch_size(self) -> int:
        """Number of images that are computed together: one, if they may differ in size."""
        if self.manifest.preprocess == "full":
            return 1
        return self.spec.eval_batch_size or BATCH_SIZE

    def open_images(self, split: str | None = None, data: str | Path | None = None) -> ImageSource:
        """Opens and checks labeled images; arguments and errors are those of :meth:`evaluate`.

        Raises:
            DatasetError: The spec divides the images, and the split is no longer that of the run,
                so that it may have images that the model was trained on.
        """
        source = super().open_images(split, data)
        name = self.split_name(split, data)
        expected = self.manifest.images.get(name)
        if expected is not None:
            listed = listed_split(name, source, self.spec.dataset, data)
            if summarize_images(listed).fingerprints[name] != expected:
                raise DatasetError(
                    f"{data or self.spec.dataset.path}: its split '{name}' is no longer that of the"
                    f" run, since images were added, removed or changed; the run"
                    f" '{self.manifest.origin.run}' itself still has it, and --data DIR takes all"
                    " images of another folder."
                )
        return source

    def outputs_by_batch(
        self, batches: Iterable[Batch]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Yields logits (N, outputs) and probabilities (N, classes) of each batch.

        Raises:
            RunError: The graph does not compute, or its outputs are not those of this model or
                not finite.
        """
        for batch in batches:
            logits, probabilities = self.graph(batch.images)
            outputs = 1 if self.spec.head.outputs == "single" else len(self.classes)
            expected = [(len(batch), outputs), (len(batch), len(self.classes))]
            if [logits.shape, probabilities.shape] != expected:
                raise RunError(
                    f"{self.file}: is damaged: its outputs have shapes {logits.shape} and"
                    f" {probabilities.shape}, but {expected[0]} and {expected[1]} are needed."
                )
            if not np.isfinite(logits).all():
                raise RunError(f"{self.file}: the model's outputs are not finite.")
            yield logits, probabilities

    def logits_by_batch(
        self, batches: Iterable[Batch], fetch_every: int = FETCH_EVERY
    ) -> Iterator[NDArray[np.float32]]:
        """Yields the logits of each batch: float32, shape (N, outputs), all finite.

        Raises:
            RunError: As :meth:`outputs_by_batch`.
        """
        return (logits for logits, _ in self.outputs_by_batch(batches))


def _spec(file: Path, manifest: ExportManifest) -> ExperimentSpec:
    from pydantic import ValidationError

    from isotune.spec.document import Document, plain
    from isotune.spec.load import dump_spec
    from isotune.spec.messages import explain_first
    from isotune.spec.version import current

    source = f"{file}: is damaged: its spec"
    try:
        data = current(Document(plain(manifest.spec, source), f"{file}: its spec")).data
        spec = ExperimentSpec.model_validate(data)
    except SpecError as error:
        raise RunError(*error.args) from error
    except ValidationError as error:
        raise RunError(explain_first(error, Document(data, source))) from error
    if spec.transforms.val is None:
        raise RunError(f"{file}: is damaged: its spec: transforms.val: should be a list.")
    if dump_spec(spec)["transforms"]["val"] != manifest.transforms:
        raise RunError(f"{file}: is damaged: its transforms are not those of its spec.")
    return spec
