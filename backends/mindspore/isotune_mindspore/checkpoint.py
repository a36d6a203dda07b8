"""Checkpoint: state as named NumPy arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mindspore import nn
from numpy.typing import NDArray

from isotune.interfaces.checkpoint import State, StateAdapter
from isotune.interfaces.trainer import Trainer
from isotune_mindspore.arrays import from_parameter, set_parameters
from isotune_mindspore.names import all_tensors
from isotune_mindspore.trainer import own_trainer


class MindSporeStateAdapter(StateAdapter):
    """Parameters are set in place, so that compiled steps and optimizers go on with them."""

    def model_shapes(self, model: nn.Cell) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of all parameters and BatchNorm statistics, by canonical name."""
        return {name: tuple(value.shape) for name, value in all_tensors(model).items()}

    def export_model(self, model: nn.Cell) -> State:
        """Returns copies of all parameters and BatchNorm statistics, by canonical name."""
        return {name: from_parameter(value) for name, value in all_tensors(model).items()}

    def import_model(self, model: nn.Cell, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets them all."""
        tensors = all_tensors(model)
        set_parameters((each, np.asarray(state[name])) for name, each in tensors.items())

    def export_optimizer(self, trainer: Trainer) -> State:
        """Returns copies of the optimizer's state; empty before the first step."""
        return own_trainer(trainer).optimizer.export()

    def import_optimizer(self, trainer: Trainer, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the optimizer's state; what is missing in `state` is zero."""
        own_trainer(trainer).load_optimizer(state)

    def export_average(self, trainer: Trainer) -> State:
        """Returns copies of the averages of what has trained, by canonical name."""
        averages = own_trainer(trainer).averages
        return {} if averages is None else averages.export()

    def import_average(self, trainer: Trainer, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the averages of what trains; other names in `state` are ignored."""
        own_trainer(trainer).load_averages(state)
