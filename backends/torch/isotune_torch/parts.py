"""Training on divided batches: what a step on a part does besides its forward and backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn

from isotune.interfaces.communicator import Communicator
from isotune.interfaces.division import Division, Part
from isotune.interfaces.trainer import TrainingPlan
from isotune_torch.batch_norm import SharedBatchNorm
from isotune_torch.communicator import TorchCommunicator, lost_processes
from isotune_torch.overlapping import OverlappingForward
from isotune_torch.reduction import Gradients
from isotune_torch.running_statistics import RunningStatistics

Forward = Callable[[Tensor], Any]


class Parts:
    """The parts of divided batches that a process computes.

    Attributes:
        shared: Whether several processes compute a shard.

    Args:
        model: The model.
        forward: Its forward pass, perhaps compiled.
        plan: The training plan.
        communicator: Reaches the other processes.
    """

    def __init__(
        self, model: nn.Module, forward: Forward, plan: TrainingPlan, communicator: Communicator
    ) -> None:
        self._model, self._forward, self._plan = model, forward, plan
        self._communicator = communicator
        place = communicator.place
        self._division = Division(plan.shards, place.processes, place.rank)
        self.shared = self._division.shared_shards
        self._gradients: Gradients | None = None
        self._overlapping: OverlappingForward | None = None

    def freeze(self, trainable: dict[str, nn.Parameter]) -> None:
        """Trains these parameters from the next step on."""
        # The old buffers must not outlive the new ones' birth: together they may not fit.
        self._gradients = self._overlapping = None
        self._gradients = Gradients(
            trainable,
            self._division,
            self._communicator,
            exact=self._plan.reduction == "exact",
            accumulates=self._plan.accumulate > 1,
        )

    def be_ready(self) -> None:
        """Takes note of the layers that are in training mode."""
        self._statistics = RunningStatistics(self._model, self._division, self._communicator)

    def has_single_image(self, part: Part) -> bool:
        """Whether a shard of the batch has one image."""
        return 1 in self._division.shard_sizes(part.sizes)

    def forward_pass(self, part: Part, apply_update: bool) -> Forward:
        """Returns the forward pass of a step."""
        if self._overlapping is not None and part.last and apply_update:
            return self._overlapping
        return self._forward

    @contextmanager
    def step(self, part: Part, apply_update: bool) -> Iterator[bool]:
        """Context of a step's forward and backward pass.

        Yields whether there is anything to compute.

        Raises:
            LostProcessError: Another process has ended, or is not reached.
        """
        self._statistics.begin(part)
        with lost_processes(among_others=True):
            if self._images(part):
                with self.batch_norm(part):
                    yield True
            else:
                yield False
                if self._overlapping is not None and part.last and apply_update:
                    self._overlapping.without_images().backward()
        if self._gradients is not None:
            self._gradients.add(part)
        self._statistics.end(part)

    def reduce(self) -> None:
        """Gives the parameters the sum of all parts' gradients.

        Raises:
            LostProcessError: Another process has ended, or is not reached.
        """
        if self._gradients is not None:
            self._gradients.reduce()

    def end_update(self) -> None:
        """Starts the next update, after the optimizer's step."""
        gradients, communicator = self._gradients, self._communicator
        if gradients is None:
            return
        if self._plan.reduction == "exact" or not isinstance(communicator, TorchCommunicator):
            gradients.clear()
            return
        # Only now it is known which parameters take gradients.
        self._overlapping = OverlappingForward(
            self._model, self._forward, gradients.unused(), communicator.devices
        )
        self._gradients = None

    def batch_norm(self, part: Part) -> AbstractContextManager[object]:
        """Returns the context in which BatchNorm takes in all images of a part's shard."""
        if not (self.shared and isinstance(self._communicator, TorchCommunicator)):
            return nullcontext()
        group = self._communicator.of_shard(self._division)
        return SharedBatchNorm(group, self._images(part), max(1, len(part)), empty=len(part) == 0)

    def _images(self, part: Part) -> int:
        """Returns the number of images of a part's shard."""
        return self._division.shard_sizes(part.sizes)[part.shard]
