"""A model in training, which changes from one strategy to another between epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.freezing import FreezePlan
from isotune.training.evaluation import AnyEvaluation
from isotune.training.strategy import Strategy, StrategyFactory


class Learner:
    """Trains a model by the strategy that its freeze plan calls for.

    Args:
        backend: The model's backend.
        choose: Returns the factory of the strategy for a freeze plan; the same one for
            successive plans that share a strategy.
        optimizer: Optimizer state to start from.
        average: Averages to start from.
    """

    def __init__(
        self,
        backend: Backend,
        choose: Callable[[FreezePlan], StrategyFactory],
        optimizer: State | None = None,
        average: State | None = None,
    ) -> None:
        self._backend = backend
        self._choose = choose
        self._initial = optimizer, average
        self._factory: StrategyFactory | None = None
        self._strategy: Strategy | None = None

    @property
    def strategy(self) -> Strategy:
        """The strategy of the current plan."""
        assert self._strategy is not None, "freeze() comes first"
        return self._strategy

    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything except ``plan.frozen`` from the next step on.

        Parameters that go on training keep their optimizer state and their averages, whatever the
        strategy.
        """
        factory, (optimizer, average) = self._choose(plan), self._initial
        self._initial = None, None
        if factory is not self._factory:
            if self._strategy is not None:
                optimizer, average = self.optimizer_state(), self.averages()
                self._strategy.close()
            self._strategy, self._factory = factory(), factory
        self.strategy.freeze(plan)
        if optimizer:
            self._backend.state_adapter.import_optimizer(self.strategy.trainer, optimizer)
        if average:
            self._backend.state_adapter.import_average(self.strategy.trainer, average)

    def evaluate(self) -> AnyEvaluation:
        """Evaluates the model on the validation images, its averages if it keeps some."""
        with self._averaged():
            return self.strategy.evaluate()

    def model_state(self) -> State:
        """Returns copies of all tensors of the whole model."""
        return self.strategy.model_state()

    def changing_state(self) -> State:
        """Returns copies of the tensors that training may change, and perhaps of others."""
        return self.strategy.changing_state()

    def optimizer_state(self) -> State:
        """Returns copies of the optimizer's state."""
        return self._backend.state_adapter.export_optimizer(self.strategy.trainer)

    def averages(self) -> State:
        """Returns copies of the averages of all tensors that training has changed."""
        return self._backend.state_adapter.export_average(self.strategy.trainer)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Gives the model its averages within, and its own values after that, in any case."""
        self.strategy.trainer.swap_average()
        try:
            yield
        finally:
            self.strategy.trainer.swap_average()

    def close(self) -> None:
        """Leaves the model whole and native."""
        if self._strategy is not None:
            self._strategy.close()
