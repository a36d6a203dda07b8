"""Cells that can be exported, in place of cells that compute the same and cannot.

MindSpore's ONNX export (2.10) has no counterpart for several of its own operators, of which
``Erf`` and ``MaxPool3DWithArgmax`` occur in many classifiers. The latter also keeps a MindIR file
from running on any number of images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NoReturn

from mindspore import Tensor, nn, ops
from mindspore.ops import Custom, CustomRegOp, DataType

from isotune_mindspore.cells import replace
from isotune_mindspore.models.depthwise import DepthwiseConv2d
from isotune_mindspore.models.layers import GlobalMean
from isotune_mindspore.models.pooling import AdaptiveMean
from isotune_mindspore.models.swin import CosineAttention

Forms = Mapping[type[nn.Cell], Callable[[nn.Cell], nn.Cell]]
"""For each kind of cell, what returns the cell to export in its place, which may be itself."""


def replace_cells(model: nn.Cell, forms: Forms) -> None:
    """Replaces the cells of these kinds within `model`, in place."""
    for path, cell in list(model.cells_and_names()):
        make = forms.get(type(cell))
        if path and make and (new := make(cell)) is not cell:
            replace(model, path, new)


class EdgePaddedMaxPool(nn.Cell):
    """``nn.MaxPool2d`` with padding, which repeats the edges of the maps on all sides.

    Every window that contains a repeated value contains the value itself, so that no maximum
    changes. That needs padding of at most half the kernel, which ``nn.MaxPool2d`` demands too.

    Args:
        kernel: Height and width of the windows.
        stride: Vertical and horizontal stride.
        padding: Number of rows above and below, and of columns on either side.
    """

    def __init__(
        self, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
    ) -> None:
        super().__init__()
        self.rows, self.columns = padding
        self.down, self.across = ops.Concat(2), ops.Concat(3)
        self.pool = ops.MaxPool(kernel, stride, "valid")

    def construct(self, x: Tensor) -> Tensor:
        """Returns the largest value of each window: (N, channels, H', W')."""
        if self.rows:
            above, below = (x[:, :, :1],) * self.rows, (x[:, :, -1:],) * self.rows
            x = self.down((*above, x, *below))
        if self.columns:
            left, right = (x[:, :, :, :1],) * self.columns, (x[:, :, :, -1:],) * self.columns
            x = self.across((*left, x, *right))
        return self.pool(x)


class ExactGELU(nn.Cell):
    """``nn.GELU(approximate=False)`` by an operator that is written as ONNX's ``Erf``."""

    def __init__(self) -> None:
        super().__init__()
        # An own one for each operator, which writes another name into it.
        registered = CustomRegOp("Erf").input(0, "x").output(0, "y").target("CPU")
        registered.dtype_format(DataType.F32_Default, DataType.F32_Default)
        self.erf = Custom(
            _never_called,
            lambda shape: shape,
            lambda dtype: dtype,
            reg_info=registered.get_op_info(),
        )
        self.scale = 1 / math.sqrt(2)

    def construct(self, x: Tensor) -> Tensor:
        """Returns the GELU of `x`, elementwise."""
        return x * 0.5 * (1.0 + self.erf(x * self.scale))


class HardSigmoid(nn.Cell):
    """``nn.HSigmoid`` by ``ReLU6``."""

    def __init__(self) -> None:
        super().__init__()
        self.relu6 = ops.ReLU6()

    def construct(self, x: Tensor) -> Tensor:
        """Returns min(max(x + 3, 0), 6) / 6, elementwise."""
        return self.relu6(x + 3.0) / 6.0


class HardSwish(nn.Cell):
    """``nn.HSwish`` by ``ReLU6``."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = HardSigmoid()

    def construct(self, x: Tensor) -> Tensor:
        """Returns `x` times its hard sigmoid, elementwise."""
        return x * self.gate(x)


class InverseSqrt(nn.Cell):
    """``ops.Rsqrt`` by a division."""

    def __init__(self) -> None:
        super().__init__()
        self.sqrt, self.divide = ops.Sqrt(), ops.RealDiv()

    def construct(self, x: Tensor) -> Tensor:
        """Returns 1 / sqrt(x), elementwise."""
        return self.divide(1.0, self.sqrt(x))


def _never_called(x: Tensor) -> NoReturn:
    raise AssertionError("a cell for exports was run")


def _max_pool(cell: nn.MaxPool2d) -> nn.Cell:
    if not cell.use_pad or cell.return_indices:
        return cell
    pool = cell.max_pool
    if pool.ceil_mode or any(step != 1 for step in pool.dilation):
        return cell
    kernel, stride, padding = (tuple(v[1:]) for v in (pool.ksize, pool.strides, pool.pads))
    return EdgePaddedMaxPool(kernel, stride, padding)


def _adaptive_mean(cell: nn.AdaptiveAvgPool2d) -> nn.Cell:
    rows, columns = cell.adaptive_avgpool2d.output_size
    if rows == columns == 1:
        return GlobalMean(keep_dims=True)
    return AdaptiveMean(rows) if rows == columns > 0 else cell


def _gelu(cell: nn.GELU) -> nn.Cell:
    return ExactGELU() if cell.approximate == "none" else cell


def _convolution(cell: DepthwiseConv2d) -> nn.Cell:
    # Products of matrices are faster in MindSpore alone.
    cell.small = 0
    return cell


def _cosine_attention(cell: CosineAttention) -> nn.Cell:
    cell.rsqrt = InverseSqrt()
    return cell


SHARED_FORMS: Forms = {nn.MaxPool2d: _max_pool, nn.AdaptiveAvgPool2d: _adaptive_mean}
"""The forms for MindIR and ONNX."""

ONNX_FORMS: Forms = {
    nn.GELU: _gelu,
    nn.HSigmoid: lambda cell: HardSigmoid(),
    nn.HSwish: lambda cell: HardSwish(),
    DepthwiseConv2d: _convolution,
    CosineAttention: _cosine_attention,
}
"""Further forms for ONNX."""
