"""Ways to compute a step that ought not to matter, by which a trainer differs from itself."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from isotune_torch.optimizer import new_slot
from isotune_torch.trainer import TorchTrainer, takes_any_order

MEMORY_FORMATS = {torch.contiguous_format: "contiguous", torch.channels_last: "channels last"}


def variants(trainer: TorchTrainer) -> dict[str, AbstractContextManager[object]]:
    """Returns the ways that the trainer's device and model allow, by name."""
    found: dict[str, AbstractContextManager[object]] = {}
    device = trainer.device.type
    if device == "cpu":
        threads = trainer.cores.own or torch.get_num_threads()
        name, other = ("1 thread", 1) if threads > 1 else ("2 threads", 2)
        found[name] = _Threads(trainer, other)
    if device in ("cpu", "cuda") and takes_any_order(trainer.model):
        (order,) = MEMORY_FORMATS.keys() - {trainer.memory_format}
        found[MEMORY_FORMATS[order]] = _MemoryFormat(trainer, order)
    return found


class _Threads(AbstractContextManager[None]):
    """Steps with another number of threads."""

    def __init__(self, trainer: TorchTrainer, number: int) -> None:
        self._cores, self._number = trainer.cores, number

    def __enter__(self) -> None:
        self._before, self._cores.own = self._cores.own, self._number

    def __exit__(self, *_: object) -> None:
        self._cores.own = self._before


class _MemoryFormat(AbstractContextManager[None]):
    """Steps with images, weights and the optimizer's state in another memory format."""

    def __init__(self, trainer: TorchTrainer, order: torch.memory_format) -> None:
        self._trainer, self._order = trainer, order

    def __enter__(self) -> None:
        self._before = self._trainer.memory_format
        self._set(self._order)

    def __exit__(self, *_: object) -> None:
        self._set(self._before)

    def _set(self, order: torch.memory_format) -> None:
        trainer, large = self._trainer, self._trainer.plan.optimizer.slots
        slots = trainer.slots()
        trainer.model.to(memory_format=order)
        trainer.memory_format = order
        trainer.set_slots(
            {
                name: {
                    slot: new_slot(trainer.trainable[name], value, slot not in large)
                    for slot, value in own.items()
                }
                for name, own in slots.items()
            }
        )
        trainer.freeze(trainer.freeze_plan)  # sums of gradients have the strides of parameters
