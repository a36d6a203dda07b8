"""The engine's all-reduce of gradients, during the backward pass, by DistributedDataParallel."""

# No annotations from __future__: DistributedDataParallel reads those of its hook, and as types.
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import GradBucket, ProcessGroup
from torch.nn.parallel import DistributedDataParallel

from isotune_torch.communicator import lost_processes


class OverlappingForward:
    """A forward pass whose backward pass leaves the sum of all processes' gradients.

    Those that the parameters have already are part of it.

    Args:
        model: The model.
        forward: Its forward pass, perhaps compiled.
        unused: Names of parameters that take no gradients.
        group: The processes.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Callable[[Tensor], Any],
        unused: Iterable[str],
        group: ProcessGroup,
    ) -> None:
        unused = frozenset(unused)
        module = _Forward(model, forward, unused)
        # Running statistics go by shards: none of the processes' own are sent to the others.
        ignored = [*unused, *(name for name, _ in model.named_buffers())]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(
            module, [f"model.{name}" for name in ignored]
        )
        with lost_processes():
            self._parallel = DistributedDataParallel(module, process_group=group)
        self._parallel.register_comm_hook(group, _sum)

    def __call__(self, images: Tensor) -> Any:
        """Returns the model's outputs."""
        return self._parallel(images)

    def without_images(self) -> Tensor:
        """Returns 0, the backward pass of which adds no gradients to those of the others."""
        zero: Tensor = self._parallel(None)
        return zero


class _Forward(nn.Module):
    """Keeps DistributedDataParallel's attributes from the model.

    Args:
        model: The model.
        forward: Its forward pass, perhaps compiled.
        unused: Names of parameters that take no gradients.
    """

    def __init__(
        self, model: nn.Module, forward: Callable[[Tensor], Any], unused: frozenset[str]
    ) -> None:
        super().__init__()
        self.model = model
        self._forward = (forward,)  # in a tuple, lest a compiled model become a part of this one
        self._unused = unused

    def forward(self, images: Tensor | None) -> Any:
        """Returns the model's outputs; without images 0, by way of all parameters."""
        if images is not None:
            return self._forward[0](images)
        used = [
            parameter.reshape(-1)[:0].sum()
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad and name not in self._unused
        ]
        return torch.stack(used).sum()


def _sum(group: ProcessGroup, bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """Adds gradients up, which DistributedDataParallel would average."""
    work = distributed.all_reduce(bucket.buffer(), group=group, async_op=True)
    return work.get_future().then(lambda done: done.value()[0])
