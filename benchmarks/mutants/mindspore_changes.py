"""The mutations of :mod:`torch_changes` of a MindSpore model, for steps that are not compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

Change = Callable[[nn.Cell, nn.Cell], None]


def convolved(
    layer: Any,
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    padding: tuple[int, int, int, int] | None = None,
    stride: Any = None,
) -> Tensor:
    """Returns what a convolution would return with other parameters or other padding.

    Args:
        layer: The convolution.
        x: Its input.
        weight: The weight instead of its own.
        bias: The bias instead of its own.
        padding: Rows above and below, columns at the left and at the right.
        stride: The stride instead of its own.
    """
    same = layer.pad_mode == "same" and padding is None
    operation = ops.Conv2D(
        layer.out_channels,
        layer.kernel_size,
        pad_mode="same" if same else "pad",
        pad=0 if same else sides(layer) if padding is None else padding,
        stride=layer.stride if stride is None else stride,
        dilation=layer.dilation,
        group=layer.group,
    )
    y = operation(x, layer.weight if weight is None else weight)
    if not layer.has_bias:
        return y
    return ops.BiasAdd()(y, layer.bias if bias is None else bias)


def sides(layer: Any) -> tuple[int, int, int, int]:
    """Returns the padding of a convolution."""
    padding = layer.padding
    return (padding,) * 4 if isinstance(padding, int) else padding


def applied(layer: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Returns what a convolution or linear layer would return with other parameters."""
    if isinstance(layer, nn.Dense):
        y = ops.matmul(x, ops.transpose(weight, (1, 0)))
        return y if bias is None else y + bias
    return convolved(layer, x, weight, bias)


def bias_of(layer: Any) -> Tensor | None:
    return layer.bias if layer.has_bias else None


def norm_eps(layer: Any, _: Any) -> None:
    if isinstance(layer, nn.LayerNorm):
        layer.epsilon *= 100
        layer.layer_norm = ops.LayerNorm(-1, -1, layer.epsilon)
    else:
        layer.eps *= 100
        layer.bn_train = ops.BatchNorm(True, layer.eps, layer.momentum)
        layer.bn_infer = ops.BatchNorm(False, layer.eps)


def bn_momentum(layer: Any, _: Any) -> None:
    layer.momentum = 1 - layer.momentum  # the weight of the new value
    layer.bn_train = ops.BatchNorm(True, layer.eps, layer.momentum)


def bn_biased_variance(layer: Any, _: Any) -> None:
    def construct(x: Tensor) -> Tensor:
        before = layer.moving_variance.asnumpy().copy()
        y = type(layer).construct(layer, x)
        if layer.training:
            biased = x.asnumpy().var((0, 2, 3))
            layer.moving_variance.asnumpy()  # waits for what the layer itself has written
            ops.assign(
                layer.moving_variance,
                Tensor((before + layer.momentum * (biased - before)).astype("float32")),
            )
        return y

    layer.construct = construct


def bn_evaluation_mode(layer: Any, _: Any) -> None:
    layer.use_batch_statistics = False


def skipped_bias(layer: Any, _: Any) -> None:
    if isinstance(layer, (nn.Dense, nn.Conv2d)):
        zeros = ops.zeros_like(layer.bias)
        layer.construct = lambda x: applied(layer, x, layer.weight, zeros)
    elif isinstance(layer, nn.BatchNorm2d):
        zeros = ops.zeros_like(layer.beta)
        statistics = layer.moving_mean, layer.moving_variance
        layer.construct = lambda x: layer.bn_train(x, layer.gamma, zeros, *statistics)[0]
    else:
        construct = type(layer).construct
        layer.construct = lambda x: construct(layer, x) - _beta(layer, x)


def _beta(layer: Any, x: Tensor) -> Tensor:
    return (
        layer.beta.reshape(-1, 1, 1)
        if x.ndim == 4 and x.shape[-1] != layer.beta.size
        else layer.beta
    )


def padding_on_one_side(layer: Any, _: Any) -> None:
    above, below, left, right = sides(layer)
    one_side = (0, above + below, 0, left + right)
    layer.construct = lambda x: convolved(layer, x, padding=one_side)


def padding_of_edges(layer: Any, _: Any) -> None:
    above, below, left, right = sides(layer)

    def construct(x: Tensor) -> Tensor:
        rows = [x[:, :, :1]] * above + [x] + [x[:, :, -1:]] * below
        x = ops.concat(rows, 2)
        columns = [x[..., :1]] * left + [x] + [x[..., -1:]] * right
        return convolved(layer, ops.concat(columns, 3), padding=(0, 0, 0, 0))

    layer.construct = construct


def rolled(x: Tensor) -> Tensor:
    """Returns maps moved one place up and to the left, around the edges."""
    x = ops.concat([x[:, :, 1:], x[:, :, :1]], 2)
    return ops.concat([x[..., 1:], x[..., :1]], 3)


def stride_offset(layer: Any, _: Any) -> None:
    layer.construct = lambda x: convolved(layer, rolled(x))


def kernel_transposed(layer: Any, _: Any) -> None:
    axes = (1, 0) if isinstance(layer, nn.Dense) else (0, 1, 3, 2)

    def construct(x: Tensor) -> Tensor:
        return applied(layer, x, ops.transpose(layer.weight, axes), bias_of(layer))

    layer.construct = construct


def kernel_flipped(layer: Any, _: Any) -> None:
    layer.construct = lambda x: convolved(layer, x, ops.flip(layer.weight, (2, 3)))


def channel_order(layer: Any, _: Any) -> None:
    construct = type(layer).construct
    layer.construct = lambda x: construct(layer, ops.concat([x[:, 2:], x[:, 1:2], x[:, :1]], 1))


def swapped_weights(layer: Any, partner: Any) -> None:
    def use(one: Any, other: Any) -> None:
        one.construct = lambda x: applied(one, x, other.weight, bias_of(other))

    use(layer, partner)
    use(partner, layer)


def other_activation(layer: Any, _: Any) -> None:
    others: dict[type, Callable[[Tensor], Tensor]] = {
        nn.ReLU: lambda x: ops.relu(x) - 0.01 * ops.relu(-x),
        nn.ReLU6: lambda x: ops.relu(x) - ops.relu(x - 2.0),
        nn.SiLU: ops.hardswish,
        nn.HSwish: ops.silu,
        nn.Sigmoid: ops.hardsigmoid,
        nn.HSigmoid: ops.sigmoid,
        nn.GELU: ops.silu,
    }
    layer.construct = others[type(layer)]


def gelu_by_tanh(layer: Any, _: Any) -> None:
    layer.construct = lambda x: ops.gelu(x, approximate="tanh")


def mean_instead_of_maximum(layer: Any, _: Any) -> None:
    padding = layer.padding if isinstance(layer.padding, int) else layer.padding[-1]
    layer.construct = lambda x: ops.avg_pool2d(
        x, layer.kernel_size, layer.stride, padding=padding, count_include_pad=True
    )


def maximum_instead_of_mean(layer: Any, _: Any) -> None:
    keeps = getattr(layer, "mean", None)
    keep_dims = bool(keeps.keep_dims) if keeps is not None else True
    layer.construct = lambda x: ops.ReduceMax(keep_dims)(x, (2, 3))


def window_moved(layer: Any, _: Any) -> None:
    construct = type(layer).construct
    layer.construct = lambda x: construct(layer, rolled(x))


def scaled_residual(layer: Any, _: Any) -> None:
    construct = type(layer).construct
    layer.construct = lambda x: construct(layer, x) + 0.05 * x


def attention_scale(layer: Any, _: Any) -> None:
    layer.scale = layer.scale * 1.1


def dropout_rate(layer: Any, _: Any) -> None:
    from isotune.training.dropout import threshold
    from isotune_mindspore.dropout import int32

    layer.p = layer.p * 1.5
    layer.threshold = int32(threshold(layer.p))
    layer.scale = Tensor(1 / (1 - layer.p), ms.float32)


def dropout_dead(layer: Any, _: Any) -> None:
    layer.construct = lambda x: x


def halved_weight_gradient(layer: Any, _: Any) -> None:
    def construct(x: Tensor) -> Tensor:
        half = layer.weight * 0.5
        return applied(layer, x, half + ops.stop_gradient(half), bias_of(layer))

    layer.construct = construct


def halved_input_gradient(layer: Any, _: Any) -> None:
    construct = type(layer).construct

    def halved(x: Tensor) -> Tensor:
        half = x * 0.5
        return construct(layer, half + ops.stop_gradient(half))

    layer.construct = halved


def tf32(layer: Any, _: Any) -> None:
    layer.construct = lambda x: _rounded(layer, x, ms.float16)


def bf16(layer: Any, _: Any) -> None:
    layer.construct = lambda x: _rounded(layer, x, ms.bfloat16)


def _rounded(layer: Any, x: Tensor, kind: Any) -> Tensor:
    def rounded(values: Tensor) -> Tensor:
        return ops.cast(ops.cast(values, kind), ms.float32)

    return applied(layer, rounded(x), rounded(layer.weight), bias_of(layer))


def stride_dropped(layer: Any, _: Any) -> None:
    layer.construct = lambda x: convolved(layer, x, stride=1)


def stride_moved(layer: Any, partner: Any) -> None:
    layer.construct = lambda x: convolved(layer, x, stride=partner.stride)
    partner.construct = lambda x: convolved(partner, x, stride=1)


def zeros_not_counted(layer: Any, _: Any) -> None:
    pool = layer.pool
    layer.pool.construct = lambda x: (
        type(pool).construct(pool, x) / type(pool).construct(pool, ops.ones_like(x))
    )


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
