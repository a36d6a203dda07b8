"""Decides in which epochs of an experiment the classifier trains apart from the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from isotune.catalogue.resolve import normalization
from isotune.data.images import Images
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.experiment import ExperimentSpec
from isotune.training.evaluation import evaluation_size
from isotune.training.features.cut import Cut, check_views
from isotune.training.features.probe import can_be_cut
from isotune.training.features.strategy import FeatureFeed, FeatureSettings
from isotune.training.learner import MakeFeed
from isotune.training.strategy import ImageFeed

TRIED = 8
"""Images on which somebody else's backbone is tried."""


@dataclass(frozen=True)
class Feeds:
    """Chooses the feed for a freeze plan.

    Attributes:
        whole: makes the feed of images, which run through the whole model.
        apart: makes the feed of features; None where there never is one.
        cut: where the model is cut for it.
        described: how features are kept, in words; None where they are not.
    """

    whole: MakeFeed
    apart: MakeFeed | None
    cut: Cut
    described: str | None

    def __call__(self, plan: FreezePlan) -> MakeFeed:
        """Returns what makes the feed."""
        if self.apart is None or self.cut.obstacle(plan):
            return self.whole
        return self.apart


def plan_feeds(
    spec: ExperimentSpec,
    entry: BackboneEntry,
    backend: Backend,
    model: Any,
    plan: TrainingPlan,
    images: Images,
    first: FreezePlan,
) -> Feeds:
    """Returns what chooses the feeds of an experiment.

    Args:
        spec: resolved.
        entry: its backbone.
        backend: the model's.
        model: native, ready to be trained; it stays as it is.
        plan: how it is trained.
        images: the dataset.
        first: the freeze plan of the first epoch, which later ones only release from.

    Raises:
        SpecError: ``cache.views`` would have no effect.
    """
    train = images.training_batches(spec)
    val = images.validation_batches(spec, evaluation_size(spec, backend))
    cut = Cut.of(entry, backend.checkpoints.model_shapes(model))
    # Somebody else's code may be random, or change from run to run, and leave no sign of it.
    foreign = entry.is_foreign(backend.name)
    settings = FeatureSettings(spec, plan, cut, train, val, reusable=not foreign)
    off = spec.cache.features == "off"
    obstacle = "features is 'off'" if off else cut.obstacle(first)
    if obstacle is None and foreign and not _works(backend, model, settings, first):
        obstacle = f"with this backbone '{cut.path}' cannot be trained apart from the rest"
    check_views(spec.cache, obstacle)

    def whole() -> ImageFeed:
        trainer = backend.trainer(model, plan)
        return ImageFeed(backend, model, trainer, plan, train, val, normalization(spec))

    if obstacle is not None:
        return Feeds(whole, None, cut, None)
    described = _describe(train.random, spec.cache.views)
    return Feeds(whole, partial(FeatureFeed, backend, model, settings), cut, described)


def _works(backend: Backend, model: Any, settings: FeatureSettings, first: FreezePlan) -> bool:
    batch = next(settings.train.regrouped(TRIED).epoch(0))
    normalized = normalization(settings.spec)
    return can_be_cut(backend, model, settings.cut, settings.plan, first, batch, normalized)


def _describe(random: bool, views: int | None) -> str:
    if not random:
        return "computed once"
    if views is None:
        return "computed once for validation, in every epoch for training"
    return (
        "computed once, of one view" if views == 1 else f"computed once for each of {views} views"
    )
