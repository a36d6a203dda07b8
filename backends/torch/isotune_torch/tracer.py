"""Tracer: layers by their modules, steps by hooks, single layers by calls of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isotune.errors import BackendError, nearest
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.tracer import Array, Layer, LayerRun, Recorder, Tracer, moved
from isotune.interfaces.trainer import StepPlan, Trainer
from isotune_torch.arrays import to_tensor
from isotune_torch.calls import Call
from isotune_torch.layers import layers
from isotune_torch.single_run import SingleRun
from isotune_torch.trainer import TorchTrainer, own
from isotune_torch.variants import variants
from isotune_torch.watching import Watch

Calls = dict[torch.memory_format, dict[str, Call]]
"""How modules are called first, by the memory format of images, and by path."""


class TorchTracer(Tracer):
    """Paths are those of ``named_modules``, whose parameters have the canonical names."""

    def __init__(self) -> None:
        self._calls: WeakKeyDictionary[TorchTrainer, Calls] = WeakKeyDictionary()

    def layers(self, trainer: Trainer) -> list[Layer]:
        """Returns the parts of the trainer's model, in the order of its definition."""
        return layers(own(trainer).model)

    @contextmanager
    def watch(self, trainer: Trainer, recorder: Recorder) -> Iterator[bool]:
        """Reports to `recorder` what the trainer's steps within the context compute.

        A compiled model, in whose graphs there are no modules, runs without being compiled.
        """
        mine = own(trainer)
        with Watch(mine, recorder, self._known(mine)):
            if mine.compiled is None:
                yield True
            else:
                with mine.compiled.paused():
                    yield False

    def run(
        self,
        trainer: Trainer,
        path: str,
        inputs: Sequence[Array],
        gradient: Array | None,
        plan: StepPlan,
    ) -> LayerRun:
        """Runs one module on given inputs as a training step would.

        If its trainer has been watched, the module is called as the model calls it, with inputs of
        the same types and memory formats; if not, with one argument for each input.

        Raises:
            BackendError: There is no such module, or it does not take such inputs.
        """
        mine = own(trainer)
        modules = dict(mine.model.named_modules())
        if path not in modules:
            name = type(mine.model).__name__
            raise BackendError(f"{name} has no layer '{path}'.{nearest(path, modules)}")
        call = self._known(mine).get(path)
        mine.be_ready_to_train()
        return SingleRun(mine, path, modules[path], call, plan).of(inputs, gradient)

    def nudged(self, batch: DeviceBatch, up: NDArray[np.bool_], ulps: int = 1) -> DeviceBatch:
        """Returns the batch with every number moved."""
        images: Tensor = batch.images
        values = to_tensor(moved(images.cpu().numpy(), up, ulps))
        return DeviceBatch(torch.empty_like(images).copy_(values), batch.labels, batch.size)

    def variants(self, trainer: Trainer) -> Mapping[str, AbstractContextManager[object]]:
        """Returns another number of threads on a CPU, and the other memory format.

        Somebody else's model keeps its memory format. The gradients of steps before an update are
        lost where a memory format changes.
        """
        return variants(own(trainer))

    def _known(self, trainer: TorchTrainer) -> dict[str, Call]:
        """Returns how the modules are called in the trainer's present memory format, by path."""
        formats = self._calls.setdefault(trainer, {})
        return formats.setdefault(trainer.memory_format, {})
