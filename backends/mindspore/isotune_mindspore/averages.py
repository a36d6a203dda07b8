"""Exponential moving averages of the tensors that training changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from numpy.typing import NDArray

from isotune.interfaces.checkpoint import State
from isotune.interfaces.freezing import FreezePlan
from isotune_mindspore.arrays import from_parameter, set_parameters
from isotune_mindspore.names import BATCH_NORMS, STATISTICS, all_tensors, join, trainable_tensors


class Averages:
    """Averages of a model's tensors, by canonical name."""

    def __init__(self, model: nn.Cell) -> None:
        self._model = model
        self._values: dict[str, Parameter] = {}
        self._averages: dict[str, Parameter] = {}

    def follow(self, plan: FreezePlan) -> None:
        """Averages what training changes under `plan`, from its present values.

        What is averaged already stays so.
        """
        tensors = all_tensors(self._model)
        for name in _changing(self._model, plan):
            if name not in self._averages:
                value = tensors[name]
                data = Tensor(from_parameter(value))
                average = Parameter(data, name=f"{value.name}/average", requires_grad=False)
                self._values[name], self._averages[name] = value, average

    def update_rule(self) -> MoveAverages:
        """Returns the cell that moves them all towards their values."""
        return MoveAverages(tuple(self._averages.values()), tuple(self._values.values()))

    def swap(self) -> None:
        """Exchanges values and averages in place."""
        pairs = [(self._values[name], average) for name, average in self._averages.items()]
        held = [(from_parameter(value), from_parameter(average)) for value, average in pairs]
        set_parameters(
            exchanged
            for (value, average), (was_value, was_average) in zip(pairs, held, strict=True)
            for exchanged in ((value, was_average), (average, was_value))
        )

    def export(self) -> State:
        """Returns copies of the averages."""
        return {name: from_parameter(average) for name, average in self._averages.items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the averages that `state` names."""
        set_parameters(
            (average, np.asarray(state[name]))
            for name, average in self._averages.items()
            if name in state
        )


class MoveAverages(nn.Cell):
    """``average += weight * (value - average)``, where weight is 1 - decay."""

    def __init__(self, averages: tuple[Parameter, ...], values: tuple[Parameter, ...]) -> None:
        super().__init__(auto_prefix=False)
        self.averages, self.values = ParameterTuple(averages), ParameterTuple(values)
        self.map, self.partial = ops.HyperMap(), ops.Partial()
        self.assign_add = ops.AssignAdd()

    def construct(self, weight: Tensor) -> None:
        """Moves all averages."""
        self.map(self.partial(self.move, weight), self.averages, self.values)

    def move(self, weight: Tensor, average: Parameter, value: Parameter) -> None:
        """Moves one average."""
        self.assign_add(average, (value - average) * weight)


def _changing(model: nn.Cell, plan: FreezePlan) -> list[str]:
    """Returns the names of what trains, and of the statistics that BatchNorm updates."""
    parameters = trainable_tensors(model)
    statistics = [
        join(path, name)
        for path, cell in model.cells_and_names()
        if isinstance(cell, BATCH_NORMS) and plan.trains_batch_norm(path, list(parameters))
        for name in STATISTICS.values()
    ]
    return [*(name for name in parameters if name not in plan.frozen), *statistics]
