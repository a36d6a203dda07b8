"""Checkpoint: a model's and an optimizer's state as NumPy arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from isotune.errors import BackendError, nearest
from isotune.interfaces.checkpoint import GRAD_SCALER, State, StateAdapter
from isotune.interfaces.names import NO_STATE
from isotune.interfaces.trainer import Trainer
from isotune_torch.arrays import to_copy, to_tensor
from isotune_torch.optimizer import Slots, new_slot
from isotune_torch.trainer import TorchTrainer, own


class TorchStateAdapter(StateAdapter):
    """PyTorch's names and layouts are the canonical ones."""

    def model_shapes(self, model: nn.Module) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of the ``state_dict`` without ``NO_STATE``."""
        return {name: tuple(value.shape) for name, value in _state(model).items()}

    def export_model(self, model: nn.Module) -> State:
        """Returns copies of the ``state_dict`` without ``NO_STATE``."""
        return {name: to_copy(value) for name, value in _state(model).items()}

    def import_model(self, model: nn.Module, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets parameters and statistics in place.

        Raises:
            BackendError: the model has no value of a name in `state`.
        """
        own = _state(model)
        with torch.no_grad():
            for name, value in state.items():
                if name not in own:
                    raise BackendError(
                        f"{type(model).__name__} has no value named '{name}'.{nearest(name, own)}"
                    )
                own[name].copy_(to_tensor(value))

    def export_optimizer(self, trainer: Trainer) -> State:
        """Returns copies of the state of trainable parameters, ``PARAMETER/SLOT``.

        In float16 it includes the gradient scaler's, ``grad_scaler/...``.
        """
        trainer = own(trainer)
        state = {
            f"{name}/{slot}": to_copy(value)
            for name, slots in trainer.slots().items()
            for slot, value in slots.items()
        }
        scaler = trainer.precision_policy.scaler_state()
        return state | {f"{GRAD_SCALER}/{k}": np.array(v, np.float32) for k, v in scaler.items()}

    def import_optimizer(self, trainer: Trainer, state: Mapping[str, NDArray[Any]]) -> None:
        """Replaces the optimizer's state; trainable parameters without state start from zero.

        State of frozen parameters is ignored.

        Raises:
            BackendError: a name, slot or shape is not that of the trainer's optimizer.
        """
        trainer = own(trainer)
        slots: dict[str, Slots] = {}
        scaler: dict[str, float] = {}
        for key, value in state.items():
            name, _, slot = key.rpartition("/")
            if name == GRAD_SCALER:
                scaler[slot] = float(value)
            elif name not in trainer.frozen:
                slots.setdefault(name, {})[slot] = _slot(trainer, name, slot, value)
        expected = trainer.plan.optimizer.slot_shapes(())
        for name, values in slots.items():
            if missing := sorted(expected.keys() - values.keys()):
                raise BackendError(f"the optimizer state of '{name}' lacks '{missing[0]}'.")
        trainer.set_slots(slots)
        trainer.precision_policy.load_scaler(scaler)

    def export_average(self, trainer: Trainer) -> State:
        """Returns copies of the averages of what has trained, by name."""
        averages = own(trainer).averages
        return {} if averages is None else averages.export()

    def import_average(self, trainer: Trainer, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the averages of what trains; other names in `state` are ignored."""
        own(trainer).load_averages(state)


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    values = model.state_dict()
    return {name: v for name, v in values.items() if name.rpartition(".")[2] not in NO_STATE}


def _slot(trainer: TorchTrainer, name: str, slot: str, value: NDArray[Any]) -> torch.Tensor:
    optimizer = trainer.plan.optimizer
    if name not in trainer.trainable:
        raise BackendError(
            f"optimizer state is for '{name}', which the model does not have."
            f"{nearest(name, trainer.trainable)}"
        )
    parameter = trainer.trainable[name]
    shapes = optimizer.slot_shapes(tuple(parameter.shape))
    if slot not in shapes:
        raise BackendError(
            f"optimizer state '{name}/{slot}' does not belong to {optimizer.name},"
            f" whose slots are: {', '.join(shapes) or 'none'}."
        )
    if value.shape != shapes[slot]:
        raise BackendError(
            f"optimizer state '{name}/{slot}' has shape {value.shape} and should have"
            f" {shapes[slot]}."
        )
    return new_slot(parameter, to_tensor(value), slot not in optimizer.slots)
