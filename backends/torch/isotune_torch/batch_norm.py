"""BatchNorm in training over the images of a shard that several processes compute.

PyTorch's ``SyncBatchNorm`` is for accelerators only, and would have to replace a model's layers.
Here the function that layers call is replaced while a step computes, so that layers which do more
besides, such as timm's with an activation, stay what they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from isotune_torch.communicator import lost_processes


class SharedBatchNorm(TorchFunctionMode):
    """Computes the batch statistics of ``functional.batch_norm`` over a shard's processes.

    Args:
        group: The processes that compute the shard.
        images: Number of images of the shard.
        empty: Whether this process's only image is a placeholder that counts nowhere.
        own: Number of images in this process, a placeholder included.
    """

    def __init__(self, group: ProcessGroup, images: int, own: int, empty: bool) -> None:
        super().__init__()
        self._group, self._images, self._own, self._empty = group, images, own, empty

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Calls `func`, or the shared one instead of BatchNorm's."""
        if func is functional.batch_norm:
            return self._batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return functional.batch_norm(
                input, running_mean, running_var, weight, bias, training, momentum, eps
            )
        # An image may be several rows of the input, as where a model looks at it in pieces.
        count = input.numel() // input.shape[1] // self._own * self._images
        output, mean, var = _Normalize.apply(input, weight, bias, eps, count, self)
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((var * (count / (count - 1))).to(running_var.dtype), momentum)
        return output

    def total(self, values: Tensor) -> Tensor:
        """Returns the sum over the shard's processes; a placeholder's values do not count."""
        if self._empty:
            values = torch.zeros_like(values)
        with lost_processes():
            distributed.all_reduce(values, group=self._group)
        return values

    def own(self, gradient: Tensor) -> Tensor:
        """Returns the gradient of the input; that of a placeholder is zero."""
        return torch.zeros_like(gradient) if self._empty else gradient


class _Normalize(torch.autograd.Function):
    """Ioffe and Szegedy, "Batch Normalization" (2015), with sums over processes."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        count: int,
        shared: SharedBatchNorm,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the output, shape of the input, and mean and biased variance, shape (C,)."""
        values = input.float()
        mean = shared.total(values.sum(_others(input))) / count
        centered = values - _spread(mean, input)
        var = shared.total(centered.square().sum(_others(input))) / count
        inverse = torch.rsqrt(var + eps)
        ctx.save_for_backward(input, weight, mean, inverse)
        ctx.count, ctx.shared = count, shared
        output = centered * _spread(inverse if weight is None else inverse * weight, input)
        if bias is not None:
            output = output + _spread(bias, input)
        ctx.mark_non_differentiable(mean, var)
        return output.to(input.dtype), mean, var

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Returns the gradients of input, weight and bias; the latter two are this process's."""
        input, weight, mean, inverse = ctx.saved_tensors
        gradient = gradients[0].float()
        normalized = (input.float() - _spread(mean, input)) * _spread(inverse, input)
        own = torch.stack(
            [gradient.sum(_others(input)), (gradient * normalized).sum(_others(input))]
        )
        sums = ctx.shared.total(own.clone()) / ctx.count
        slope = gradient - _spread(sums[0], input) - normalized * _spread(sums[1], input)
        slope = slope * _spread(inverse if weight is None else inverse * weight, input)
        _, has_weight, has_bias = ctx.needs_input_grad[:3]
        of_weight, of_bias = own[1] if has_weight else None, own[0] if has_bias else None
        return ctx.shared.own(slope).to(input.dtype), of_weight, of_bias, None, None, None


def _others(tensor: Tensor) -> list[int]:
    """Returns all dimensions except that of channels."""
    return [0, *range(2, tensor.dim())]


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """Returns values of channels, shape (C,), so that they fit a tensor of shape (N, C, ...)."""
    return values.view(-1, *[1] * (like.dim() - 2))
