"""Adaptive pooling is MindSpore's own, which is PyTorch's, gradients included."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from numpy.testing import assert_allclose

from isotune.interfaces.backend import Backend
from isotune_mindspore.models.pooling import AdaptiveMean
from isotune_mindspore.step import graph_mode


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 7), (10, 3), (16, 15)])
def test_means_and_gradients(backend: Backend, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    x = Tensor(random.standard_normal((2, 3, *size)).astype(np.float32))
    results = []
    for cell in (nn.AdaptiveAvgPool2d(7), AdaptiveMean(7)):
        gradient = ms.grad(lambda x, cell=cell: (cell(x) ** 2).sum())(x)
        with graph_mode():
            results.append((cell(x), gradient))
    for expected, found in zip(*results, strict=True):
        assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=1e-5, atol=1e-5)
