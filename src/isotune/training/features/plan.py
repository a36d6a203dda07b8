"""Decides in which epochs of an experiment the classifier trains apart from the backbone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from isotune.interfaces.freezing import FreezePlan
from isotune.training.features.cut import Cut, check_views
from isotune.training.features.probe import can_be_cut
from isotune.training.features.strategy import CachedFeatures
from isotune.training.session import Session
from isotune.training.strategy import StrategyFactory, WholeModel


@dataclass(frozen=True)
class Strategies:
    """Chooses the strategy for a freeze plan.

    Attributes:
        whole: Makes the strategy that runs images through the whole model.
        features: Makes the strategy that trains on features; None where it never applies.
        cut: Where the model is cut for it.
        description: How features are cached, as a phrase; None where they are not.
    """

    whole: StrategyFactory
    features: StrategyFactory | None
    cut: Cut
    description: str | None

    def __call__(self, plan: FreezePlan) -> StrategyFactory:
        """Returns the factory of the strategy for `plan`."""
        if self.features is None or self.cut.obstacle(plan):
            return self.whole
        return self.features


def plan_strategies(session: Session, model: Any, first: FreezePlan) -> Strategies:
    """Returns what chooses the strategies of an experiment.

    Args:
        session: The experiment.
        model: Native, ready to be trained; it does not change.
        first: The freeze plan of the first epoch; later ones only unfreeze.

    Raises:
        SpecError: ``cache.views`` would have no effect.
    """
    spec, entry, backend = session.spec, session.entry, session.backend
    cut = Cut.of(entry, backend.state_adapter.model_shapes(model))
    foreign = entry.is_foreign(backend.name)
    obstacle = _obstacle(session) or cut.obstacle(first)
    if obstacle is None and foreign and not can_be_cut(session, model, cut, first):
        obstacle = f"with this backbone '{cut.path}' cannot be trained apart from the rest"
    check_views(spec.cache, obstacle)
    whole = partial(WholeModel, session, model)
    if obstacle is not None:
        return Strategies(whole, None, cut, None)
    # A third party's code may be random or change from run to run, and leave no sign of it.
    features = partial(CachedFeatures, session, model, cut, reusable=not foreign)
    batches = session.training_batches()
    description = _describe(batches.random, spec.cache.views)
    if not foreign and batches.source.origin is not None:
        description += ", for all folds together"
    return Strategies(whole, features, cut, description)


def _obstacle(session: Session) -> str | None:
    """Returns what in the spec rules out features, or None."""
    if session.spec.cache.features == "off":
        return "features is 'off'"
    if session.spec.mixing is not None:
        return "mixing changes the images of every step"
    if session.images.check is not None:
        # They name what they were computed from, and need every image before the first step.
        return "dataset.check is 'during_training'"
    return None


def _describe(random: bool, views: int | None) -> str:
    if not random:
        return "computed once"
    if views is None:
        return "computed once for validation, in every epoch for training"
    return (
        "computed once, of one view" if views == 1 else f"computed once for each of {views} views"
    )
