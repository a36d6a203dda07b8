"""Mutations of a torch model: each changes what one layer or block computes, not its tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Change = Callable[[nn.Module, nn.Module], None]
"""Changes a layer; the second one is its partner, which only `swapped_weights` needs."""


def convolved(layer: Any, x: Tensor, weight: Tensor | None = None, **options: Any) -> Tensor:
    """Returns what a convolution would return with another weight or other options."""
    values = {
        "bias": layer.bias,
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
        **options,
    }
    return F.conv2d(x, layer.weight if weight is None else weight, **values)


def applied(layer: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Returns what a convolution or linear layer would return with other parameters."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    return convolved(layer, x, weight, bias=bias)


def norm_eps(layer: Any, _: Any) -> None:
    layer.eps *= 100


def bn_momentum(layer: Any, _: Any) -> None:
    layer.momentum = 1 - layer.momentum


def bn_biased_variance(layer: Any, _: Any) -> None:
    def forward(x: Tensor) -> Tensor:
        if not layer.training:
            return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)
        before = layer.running_var.clone()
        y = type(layer).forward(layer, x)
        biased = x.detach().var((0, 2, 3), unbiased=False)
        # By its data: autograd has kept the tensor, of which it needs nothing.
        layer.running_var.data.copy_(before.lerp(biased, layer.momentum))
        return y

    layer.forward = forward


def bn_evaluation_mode(layer: Any, _: Any) -> None:
    def forward(x: Tensor) -> Tensor:
        statistics = layer.running_mean, layer.running_var
        return F.batch_norm(x, *statistics, layer.weight, layer.bias, False, 0.0, layer.eps)

    layer.forward = forward


def skipped_bias(layer: Any, _: Any) -> None:
    def forward(x: Tensor) -> Tensor:
        bias, layer.bias = layer.bias, None
        try:
            return type(layer).forward(layer, x)
        finally:
            layer.bias = bias

    layer.forward = forward


def padding_on_one_side(layer: Any, _: Any) -> None:
    down, across = layer.padding
    layer.forward = lambda x: convolved(layer, F.pad(x, (0, 2 * across, 0, 2 * down)), padding=0)


def padding_of_edges(layer: Any, _: Any) -> None:
    down, across = layer.padding
    sides = (across, across, down, down)
    layer.forward = lambda x: convolved(layer, F.pad(x, sides, mode="replicate"), padding=0)


def stride_offset(layer: Any, _: Any) -> None:
    layer.forward = lambda x: convolved(layer, x.roll((-1, -1), (2, 3)))


def kernel_transposed(layer: Any, _: Any) -> None:
    axes = (0, 1) if isinstance(layer, nn.Linear) else (2, 3)
    layer.forward = lambda x: applied(layer, x, layer.weight.transpose(*axes), layer.bias)


def kernel_flipped(layer: Any, _: Any) -> None:
    layer.forward = lambda x: convolved(layer, x, layer.weight.flip(2, 3))


def channel_order(layer: Any, _: Any) -> None:
    layer.forward = lambda x: type(layer).forward(layer, x.flip(1))


def swapped_weights(layer: Any, partner: Any) -> None:
    def use(one: Any, other: Any) -> None:
        one.forward = lambda x: applied(one, x, other.weight, other.bias)

    use(layer, partner)
    use(partner, layer)


def other_activation(layer: Any, _: Any) -> None:
    others: dict[type, Callable[[Tensor], Tensor]] = {
        nn.ReLU: lambda x: F.leaky_relu(x, 0.01),
        nn.ReLU6: lambda x: F.hardtanh(x, 0.0, 2.0),
        nn.SiLU: F.hardswish,
        nn.Hardswish: F.silu,
        nn.Sigmoid: F.hardsigmoid,
        nn.Hardsigmoid: torch.sigmoid,
        nn.GELU: F.silu,
    }
    layer.forward = others[type(layer)]


def gelu_by_tanh(layer: Any, _: Any) -> None:
    layer.approximate = "tanh"


def mean_instead_of_maximum(layer: Any, _: Any) -> None:
    layer.forward = lambda x: F.avg_pool2d(
        x, layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode
    )


def maximum_instead_of_mean(layer: Any, _: Any) -> None:
    layer.forward = lambda x: x.amax((2, 3), keepdim=True)


def window_moved(layer: Any, _: Any) -> None:
    layer.forward = lambda x: type(layer).forward(layer, x.roll((-1, -1), (2, 3)))


def scaled_residual(layer: Any, _: Any) -> None:
    layer.forward = lambda x: type(layer).forward(layer, x) + 0.05 * x


def attention_scale(layer: Any, _: Any) -> None:
    width = layer.embed_dim

    def scaled(values: Tensor) -> Tensor:
        return torch.cat([values[:width] * 1.1, values[width:]])

    def forward(x: Tensor, key: Tensor, value: Tensor, **options: Any) -> Any:
        outputs, weights = F.multi_head_attention_forward(
            *(each.transpose(0, 1) for each in (x, key, value)),
            width,
            layer.num_heads,
            scaled(layer.in_proj_weight),
            scaled(layer.in_proj_bias),
            None,
            None,
            False,
            0.0,
            layer.out_proj.weight,
            layer.out_proj.bias,
            need_weights=False,
        )
        return outputs.transpose(0, 1), weights

    layer.forward = forward


def dropout_rate(layer: Any, _: Any) -> None:
    layer.p = layer.p * 1.5


def dropout_dead(layer: Any, _: Any) -> None:
    layer.p = 0.0


def halved_weight_gradient(layer: Any, _: Any) -> None:
    def forward(x: Tensor) -> Tensor:
        half = layer.weight * 0.5
        return applied(layer, x, half + half.detach(), layer.bias)

    layer.forward = forward


def halved_input_gradient(layer: Any, _: Any) -> None:
    def forward(x: Tensor) -> Tensor:
        half = x * 0.5
        return type(layer).forward(layer, half + half.detach())

    layer.forward = forward


def tf32(layer: Any, _: Any) -> None:
    def forward(x: Tensor) -> Tensor:
        weight = layer.weight.half().float()
        return applied(layer, x.half().float(), weight, layer.bias)

    layer.forward = forward


def bf16(layer: Any, _: Any) -> None:
    def forward(x: Tensor) -> Tensor:
        weight = layer.weight.bfloat16().float()
        return applied(layer, x.bfloat16().float(), weight, layer.bias)

    layer.forward = forward


def stride_dropped(layer: Any, _: Any) -> None:
    layer.forward = lambda x: convolved(layer, x, stride=1)


def stride_moved(layer: Any, partner: Any) -> None:
    layer.forward = lambda x: convolved(layer, x, stride=partner.stride)
    partner.forward = lambda x: convolved(partner, x, stride=1)


def zeros_not_counted(layer: Any, _: Any) -> None:
    def forward(x: Tensor) -> Tensor:
        with patch.object(F, "avg_pool2d", partial(F.avg_pool2d, count_include_pad=False)):
            return type(layer).forward(layer, x)

    layer.forward = forward


CHANGES: dict[str, Change] = {
    each.__name__: each
    for each in (
        norm_eps,
        bn_momentum,
        bn_biased_variance,
        bn_evaluation_mode,
        skipped_bias,
        padding_on_one_side,
        padding_of_edges,
        stride_offset,
        kernel_transposed,
        kernel_flipped,
        channel_order,
        swapped_weights,
        other_activation,
        gelu_by_tanh,
        mean_instead_of_maximum,
        maximum_instead_of_mean,
        window_moved,
        scaled_residual,
        attention_scale,
        dropout_rate,
        dropout_dead,
        halved_weight_gradient,
        halved_input_gradient,
        tf32,
        bf16,
        stride_dropped,
        stride_moved,
        zeros_not_counted,
    )
}
