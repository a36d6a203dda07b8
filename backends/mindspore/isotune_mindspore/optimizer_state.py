"""The optimizer's state, by canonical names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mindspore import Parameter
from numpy.typing import NDArray

from isotune.interfaces.checkpoint import State
from isotune.interfaces.trainer import TrainingPlan
from isotune_mindspore.arrays import from_parameter, set_parameters, zeros_like
from isotune_mindspore.optimizers import GroupKey, group_of_each


class OptimizerState:
    """The slots of each trainable parameter and the number of its updates.

    Attributes:
        slots: Slots by canonical name, then by PyTorch's name of the slot.
        updates: Number of updates by canonical name.
        groups: Indices of each group's parameters, in an order that updates do not change.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self._plan = plan
        self._names = plan.optimizer.slots
        self._counts = plan.optimizer.counts_updates
        self.slots: dict[str, dict[str, Parameter]] = {}
        self.updates: dict[str, int] = {}
        self.groups: dict[GroupKey, list[int]] = {}
        self._shared: dict[str, tuple[float, float]] = {}

    def keep(self, parameters: Mapping[str, Parameter]) -> None:
        """Drops the state of all other parameters; that of new ones starts from zero."""
        self.slots = {
            name: self.slots.get(name) or self._zeros(name, parameter)
            for name, parameter in parameters.items()
        }
        self.updates = {name: self.updates.get(name, 0) for name in parameters}
        self._shared = {
            name: (self._plan.lr_scale(name), self._plan.weight_decay(parameter.shape))
            for name, parameter in parameters.items()
        }
        self._group()

    @property
    def compiled_in(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """What an update rule is compiled with: each parameter's group, and their weight decays."""
        return group_of_each(self.groups), tuple(key.weight_decay for key in self.groups)

    def advance(self) -> None:
        """Counts an update of every parameter."""
        for name in self.updates:
            self.updates[name] += 1
        if self._counts:
            self.groups = {
                key._replace(updates=key.updates + 1): group for key, group in self.groups.items()
            }

    def _group(self) -> None:
        groups: dict[GroupKey, list[int]] = {}
        for i, (name, count) in enumerate(self.updates.items()):
            key = GroupKey(count if self._counts else 0, *self._shared[name])
            groups.setdefault(key, []).append(i)
        self.groups = dict(sorted(groups.items()))

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
        """Sets all slots; slots missing in `state` become zero."""
        values: list[tuple[Parameter, NDArray[Any]]] = []
        for name, slots in self.slots.items():
            self.updates[name] = int(any(f"{name}/{slot}" in state for slot in slots))
            if self._counts:
                self.updates[name] = int(state.get(f"{name}/step", 0))
            for slot, parameter in slots.items():
                zero = np.zeros(parameter.shape, np.float32)
                values.append((parameter, np.asarray(state.get(f"{name}/{slot}", zero))))
        set_parameters(values)
        self._group()

    def _zeros(self, name: str, parameter: Parameter) -> dict[str, Parameter]:
        return {slot: zeros_like(parameter, f"{name}/{slot}") for slot in self._names}
