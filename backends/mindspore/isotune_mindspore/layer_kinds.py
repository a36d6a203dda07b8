"""Kinds of layers by PyTorch's names, and their settings in PyTorch's conventions.

Settings come from the primitives that compute, where these hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mindspore import nn

from isotune.interfaces.tracer import Layer, Setting
from isotune_mindspore.dropout import Dropout, StochasticDepth
from isotune_mindspore.models.layers import GlobalMean, LayerNorm2d, Permute
from isotune_mindspore.models.pooling import AdaptiveMean, CeilMaxPool, PaddedMean
from isotune_mindspore.names import BATCH_NORMS
from isotune_mindspore.shared_batch_norm import SharedBatchNorm

Settings = dict[str, Setting]
Pair = tuple[int, int]

WHOLE = (Dropout, CeilMaxPool, PaddedMean, SharedBatchNorm)
"""Cells that are a single layer to PyTorch, so that their parts are not reported."""


def parts(model: nn.Cell) -> dict[str, nn.Cell]:
    """Returns a model and the parts that PyTorch has, too, by path, in order of definition."""
    found: dict[str, nn.Cell] = {}
    inner: set[int] = set()
    for path, cell in model.cells_and_names():
        if id(cell) not in inner:
            found[path] = cell
        if isinstance(cell, WHOLE) or id(cell) in inner:
            inner.update(id(each) for each in cell.cells())
    return found


def layer(path: str, cell: nn.Cell) -> Layer:
    """Returns what is known of a cell."""
    leaf = isinstance(cell, WHOLE) or not cell.name_cells()
    for kinds, name, settings in KINDS:
        if isinstance(cell, kinds):
            return Layer(path, name, settings(cell), leaf)
    return Layer(path, type(cell).__name__, {}, leaf)


def _nothing(cell: nn.Cell) -> Settings:
    return {}


def _convolution(cell: nn.Conv2d) -> Settings:
    convolution = cell.conv2d
    kernel, stride = _pair(convolution.kernel_size), _pair(convolution.stride)
    dilation = _pair(convolution.dilation)
    padding = _padding(convolution.pad_mode, convolution.pad, kernel, stride, dilation)
    return {
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": int(convolution.group),
        "bias": bool(cell.has_bias),
    }


def _padding(
    mode: str, sides: Sequence[int], kernel: Pair, stride: Pair, dilation: Pair = (1, 1)
) -> tuple[int, ...] | str:
    """Returns rows above and below and columns on either side; four numbers where sides differ.

    TensorFlow's SAME is ``same`` where it depends on the size of the maps.
    """
    if mode.lower() == "valid":
        return (0, 0)
    if mode.lower() == "same":
        odd = all(size % 2 for size in kernel)
        if stride != (1, 1) or not odd:
            return "same"
        return tuple(step * (size // 2) for size, step in zip(kernel, dilation, strict=True))
    top, bottom, left, right = (int(side) for side in sides[-4:])
    return (top, left) if top == bottom and left == right else (top, bottom, left, right)


def _linear(cell: nn.Dense) -> Settings:
    return {"bias": bool(cell.has_bias)}


def _batch_norm(cell: nn.Cell) -> Settings:
    if isinstance(cell, SharedBatchNorm):
        return {"eps": _short(cell.eps), "momentum": _short(cell.momentum)}
    training = cell.bn_train
    return {"eps": _short(training.epsilon), "momentum": _short(training.momentum)}


def _layer_norm(cell: nn.LayerNorm) -> Settings:
    shape = tuple(int(size) for size in cell.normalized_shape)
    return {"normalized_shape": shape, "eps": _short(cell.layer_norm.epsilon)}


def _group_norm(cell: nn.GroupNorm) -> Settings:
    return {"num_groups": int(cell.num_groups), "eps": _short(cell.eps)}


def _gelu(cell: nn.GELU) -> Settings:
    return {"approximate": str(cell.approximate)}


def _max_pool(cell: nn.MaxPool2d) -> Settings:
    settings = _pool(cell, cell.max_pool)
    return {**settings, "ceil_mode": bool(getattr(cell.max_pool, "ceil_mode", False))}


def _average_pool(cell: nn.AvgPool2d) -> Settings:
    pool = cell.avg_pool
    return {
        **_pool(cell, pool),
        "ceil_mode": bool(getattr(pool, "ceil_mode", False)),
        "count_include_pad": bool(getattr(pool, "count_include_pad", True)),
    }


def _pool(cell: nn.Cell, pool: Any) -> Settings:
    kernel, stride = _pair(cell.kernel_size), _pair(cell.stride)
    sides: list[int] = list(getattr(pool, "pad", ()))
    if hasattr(pool, "pads"):
        sides = [pool.pads[-2], pool.pads[-2], pool.pads[-1], pool.pads[-1]]
    return {
        "kernel_size": kernel,
        "stride": stride,
        "padding": _padding(cell.pad_mode, sides, kernel, stride),
    }


def _ceil_max_pool(cell: CeilMaxPool) -> Settings:
    return {**_max_pool(cell.pool), "ceil_mode": True}


def _padded_mean(cell: PaddedMean) -> Settings:
    return {**_average_pool(cell.pool), "padding": (1, 1)}


def _adaptive(cell: nn.Cell) -> Settings:
    if isinstance(cell, GlobalMean):
        return {"output_size": (1, 1)}
    if isinstance(cell, AdaptiveMean):
        return {"output_size": (cell.size, cell.size)}
    return {"output_size": _pair(cell.adaptive_avgpool2d.output_size)}


def _dropout(cell: nn.Cell) -> Settings:
    return {"p": _short(1 - cell.keep_prob if cell.p is None else cell.p)}


def _number(primitive: str, attribute: str, name: str, cell: nn.Cell) -> Settings:
    return {name: _short(getattr(getattr(cell, primitive), attribute))}


def _softmax(cell: nn.Softmax) -> Settings:
    axis = cell.softmax.axis
    return {"dim": int(axis[0] if isinstance(axis, tuple) else axis)}


def _flatten(cell: nn.Flatten) -> Settings:
    return {"start_dim": int(cell.start_dim), "end_dim": int(cell.end_dim)}


def _permute(cell: Permute) -> Settings:
    return {"dims": tuple(cell.axes)}


def _pair(sizes: int | Sequence[int]) -> Pair:
    """Returns height and width; MindSpore puts ones before them."""
    if isinstance(sizes, int):
        return sizes, sizes
    return int(sizes[-2]), int(sizes[-1])


def _short(value: float) -> float:
    """Returns `value` without the last digits: MindSpore computes 1 - 0.9 for a momentum of 0.1."""
    return float(f"{value:.10g}")


Kinds = tuple[type[nn.Cell], ...]

KINDS: tuple[tuple[Kinds, str, Callable[[Any], Settings]], ...] = (
    ((nn.Conv2d,), "Conv2d", _convolution),
    ((nn.Dense,), "Linear", _linear),
    ((nn.BatchNorm1d,), "BatchNorm1d", _batch_norm),
    (BATCH_NORMS, "BatchNorm2d", _batch_norm),
    ((LayerNorm2d,), "LayerNorm2d", _layer_norm),
    ((nn.LayerNorm,), "LayerNorm", _layer_norm),
    ((nn.GroupNorm,), "GroupNorm", _group_norm),
    ((nn.ReLU,), "ReLU", _nothing),
    ((nn.ReLU6,), "ReLU6", _nothing),
    ((nn.LeakyReLU,), "LeakyReLU", lambda cell: {"negative_slope": _short(cell.alpha)}),
    ((nn.ELU,), "ELU", partial(_number, "elu", "alpha", "alpha")),
    ((nn.GELU,), "GELU", _gelu),
    ((nn.SiLU,), "SiLU", _nothing),
    ((nn.HSwish,), "Hardswish", _nothing),
    ((nn.HSigmoid,), "Hardsigmoid", _nothing),
    ((nn.Sigmoid,), "Sigmoid", _nothing),
    ((nn.Tanh,), "Tanh", _nothing),
    ((nn.Softmax,), "Softmax", _softmax),
    ((CeilMaxPool,), "MaxPool2d", _ceil_max_pool),
    ((nn.MaxPool2d,), "MaxPool2d", _max_pool),
    ((PaddedMean,), "AvgPool2d", _padded_mean),
    ((nn.AvgPool2d,), "AvgPool2d", _average_pool),
    ((GlobalMean, AdaptiveMean, nn.AdaptiveAvgPool2d), "AdaptiveAvgPool2d", _adaptive),
    ((StochasticDepth,), "StochasticDepth", _dropout),
    ((Dropout, nn.Dropout), "Dropout", _dropout),
    ((nn.Flatten,), "Flatten", _flatten),
    ((Permute,), "Permute", _permute),
    ((nn.Identity,), "Identity", _nothing),
    ((nn.SequentialCell,), "Sequential", _nothing),
    ((nn.CellList,), "ModuleList", _nothing),
)
"""PyTorch's names of MindSpore's layers and Isotune's; the first that fits a cell holds."""
