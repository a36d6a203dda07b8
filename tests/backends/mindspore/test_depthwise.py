"""The matrix product convolves as nn.Conv2d does, gradients included."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from numpy.testing import assert_allclose

from isotune.interfaces.backend import Backend
from isotune_mindspore.arrays import set_parameters
from isotune_mindspore.models.depthwise import DepthwiseConv2d
from isotune_mindspore.step import graph_mode


@pytest.mark.parametrize("padding", ["same", 1])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("size", "stride"), [((8, 8), 1), ((7, 5), 2), ((4, 6), 2), ((9, 8), 2)])
def test_depthwise_is_a_grouped_convolution(
    backend: Backend, size: tuple[int, int], stride: int, kernel: int, padding: str | int
) -> None:
    random = np.random.default_rng(0)
    x = Tensor(random.standard_normal((2, 6, *size)).astype(np.float32))
    same = padding == "same"
    options = {
        "pad_mode": "same" if same else "pad",
        "padding": 0 if same else padding,
        "group": 6,
    }
    results = []
    weight = random.standard_normal((6, 1, kernel, kernel)).astype(np.float32)
    for kind in (nn.Conv2d, DepthwiseConv2d):
        conv = kind(6, 6, kernel, stride, **options)
        set_parameters([(conv.weight, weight)])
        gradients = ms.grad(lambda x, conv=conv: (conv(x) ** 2).sum(), 0, [conv.weight])(x)
        with graph_mode():
            results.append([conv(x), gradients[0], gradients[1][0]])
    for expected, found in zip(*results, strict=True):
        assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=1e-4, atol=1e-4)
