"""A model in training, which goes over from one way of training to another between epochs."""

from __future__ import annotations

from collections.abc import Callable

from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.freezing import FreezePlan
from isotune.training.strategy import Feed

MakeFeed = Callable[[], Feed]


class Learner:
    """Trains a model by the feed that its freeze plan calls for.

    Args:
        backend: whose model it is.
        feeds: returns what makes the feed for a freeze plan; the same for plans that follow one
            another without a change of feed.
        optimizer: the optimizer's state to go on from.
    """

    def __init__(
        self,
        backend: Backend,
        feeds: Callable[[FreezePlan], MakeFeed],
        optimizer: State | None = None,
    ) -> None:
        self._backend = backend
        self._feeds = feeds
        self._begun = optimizer
        self._made_by: MakeFeed | None = None
        self._feed: Feed | None = None

    @property
    def feed(self) -> Feed:
        """The feed of the newest plan."""
        assert self._feed is not None, "freeze() comes first"
        return self._feed

    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything but ``plan.frozen`` from the next step on.

        The optimizer's state of what goes on training is kept, whatever feeds it.
        """
        make, optimizer = self._feeds(plan), self._begun
        self._begun = None
        if make is not self._made_by:
            if self._feed is not None:
                optimizer = self.optimizer_state()
                self._feed.close()
            self._feed, self._made_by = make(), make
        self.feed.freeze(plan)
        if optimizer:
            self._backend.checkpoints.import_optimizer(self.feed.trainer, optimizer)

    def model_state(self) -> State:
        """Returns copies of all tensors of the whole model."""
        return self.feed.model_state()

    def optimizer_state(self) -> State:
        """Returns copies of the optimizer's state."""
        return self._backend.checkpoints.export_optimizer(self.feed.trainer)

    def close(self) -> None:
        """Leaves the model whole and native."""
        if self._feed is not None:
            self._feed.close()
