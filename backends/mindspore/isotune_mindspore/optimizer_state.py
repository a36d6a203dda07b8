"""What an optimizer remembers, by canonical names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mindspore import Parameter
from numpy.typing import NDArray

from isotune.interfaces.checkpoint import State
from isotune.interfaces.trainer import TrainingPlan
from isotune_mindspore.arrays import from_parameter, set_parameters, zeros_like
from isotune_mindspore.optimizers import GroupKey


class OptimizerState:
    """The slots of each trained parameter, and how many updates it has had.

    Attributes:
        slots: by canonical name, then by PyTorch's name of the slot.
        updates: by canonical name.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self._plan = plan
        self._names = plan.optimizer.slots
        self._counts = plan.optimizer.counts_updates
        self.slots: dict[str, dict[str, Parameter]] = {}
        self.updates: dict[str, int] = {}
        self._factors: dict[str, float] = {}

    def keep(self, parameters: Mapping[str, Parameter]) -> None:
        """Drops the state of all other parameters and starts that of new ones from zero."""
        self.slots = {
            name: self.slots.get(name) or self._zeros(name, parameter)
            for name, parameter in parameters.items()
        }
        self.updates = {name: self.updates.get(name, 0) for name in parameters}
        self._factors = {name: self._plan.lr_scale(name) for name in parameters}

    def advance(self) -> None:
        """Counts an update of every parameter."""
        for name in self.updates:
            self.updates[name] += 1

    def groups(self) -> list[list[int]]:
        """Returns the places of the parameters that go by the same :meth:`group_keys`."""
        keys = self._keys()
        return [[i for i, k in enumerate(keys) if k == key] for key in sorted(set(keys))]

    def group_keys(self) -> list[GroupKey]:
        """Returns the number of updates, where it matters, and the factor of each group."""
        return sorted(set(self._keys()))

    def _keys(self) -> list[GroupKey]:
        return [
            (count if self._counts else 0, self._factors[name])
            for name, count in self.updates.items()
        ]

    def export(self) -> State:
        """Returns copies of all slots of the parameters that have been updated."""
        state: State = {}
        for name, count in self.updates.items():
            if count == 0:
                continue
            for slot, value in self.slots[name].items():
                state[f"{name}/{slot}"] = from_parameter(value)
            if self._counts:
                state[f"{name}/step"] = np.array(count, dtype=np.float32)
        return state

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets all slots; what `state` lacks becomes zero."""
        values: list[tuple[Parameter, NDArray[Any]]] = []
        for name, slots in self.slots.items():
            found = [f"{name}/{slot}" in state for slot in slots]
            self.updates[name] = int(any(found))
            if self._counts:
                self.updates[name] = int(state.get(f"{name}/step", 0))
            for slot, parameter in slots.items():
                zero = np.zeros(parameter.shape, np.float32)
                values.append((parameter, np.asarray(state.get(f"{name}/{slot}", zero))))
        set_parameters(values)

    def _zeros(self, name: str, parameter: Parameter) -> dict[str, Parameter]:
        return {slot: zeros_like(parameter, f"{name}/{slot}") for slot in self._names}
