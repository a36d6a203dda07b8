"""An experiment on a backend, before it has a model: what all of its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import normalization, resolve
from isotune.data.batches import Batches
from isotune.data.divided import Recorded
from isotune.data.images import Images, open_images
from isotune.distributed.group import Group
from isotune.distributed.joined import Joined
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Normalization
from isotune.interfaces.division import Division
from isotune.interfaces.trainer import TrainingPlan
from isotune.models.build import build_model
from isotune.plugins import Plugins
from isotune.spec.experiment import ExperimentSpec
from isotune.training.evaluation import evaluation_size
from isotune.training.opening import open_both, opens_beside
from isotune.training.plan import check_abilities, training_plan


@dataclass(frozen=True)
class Session:
    """An experiment on a backend.

    Attributes:
        spec: The resolved spec.
        entry: The backbone's catalogue entry.
        backend: The open backend.
        images: The training and validation images.
        plan: What a trainer needs to know.
        group: The processes that compute the experiment together.
    """

    spec: ExperimentSpec
    entry: BackboneEntry
    backend: Backend
    images: Images
    plan: TrainingPlan
    group: Group = field(default_factory=Group)

    @classmethod
    def open(
        cls,
        spec: ExperimentSpec,
        backend: str,
        device: str,
        plugins: Plugins,
        recorded: Recorded | None = None,
        classes: tuple[str, ...] | None = None,
        joined: Joined | None = None,
    ) -> Session:
        """Opens the backend, and finds and checks the images.

        Args:
            spec: The experiment.
            backend: Name of the backend.
            device: As for ``isotune.run``.
            plugins: Where backends and backbones are found.
            recorded: As for :func:`isotune.data.images.open_images`.
            classes: As for :func:`isotune.data.images.open_images`.
            joined: The processes that compute the experiment; None if this one is alone.

        Raises:
            IsotuneError: one of its kinds, with a sentence that says what to change.
        """
        entry = chosen_backbone(spec.backbone, backend, plugins)
        spec = resolve(spec, entry)

        def open_backend() -> Backend:
            reached = joined.backend if joined else None
            opened = reached or plugins.open_backend(backend, device)
            check_abilities(spec, opened)
            return opened

        if opens_beside(spec.dataset) and (joined is None or joined.backend is None):
            opened, images = open_both(
                open_backend, lambda check: open_images(spec, recorded, classes, may_check=check)
            )
        else:
            opened = open_backend()
            images = open_images(spec, recorded, classes, opened.communicator.place)
        if images.check is not None:  # a resumed run does the same
            dataset = spec.dataset.model_copy(update={"check": "during_training"})
            spec = spec.model_copy(update={"dataset": dataset})
        plan = training_plan(spec, entry, images)
        return cls(spec, entry, opened, images, plan, joined.group if joined else Group())

    @cached_property
    def division(self) -> Division:
        """How they divide a training batch."""
        return self.group.division(self.spec.shards)

    @property
    def normalization(self) -> Normalization:
        """Normalization of the images."""
        return normalization(self.spec)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in label order."""
        return self.images.classes

    def new_model(self) -> Any:
        """Returns the native model before its first step.

        Raises:
            WeightsError: the weights are missing or do not fit.
            BackendError: the backend does not have the backbone.
        """
        return build_model(self.spec, self.entry, self.backend, len(self.classes))

    def training_batches(self) -> Batches:
        """Returns the batches of a training epoch."""
        return self.images.training_batches(self.spec)

    def validation_batches(self) -> Batches:
        """Returns the batches of a validation, of the size that suits the device."""
        return self.images.validation_batches(self.spec, evaluation_size(self.spec, self.backend))
