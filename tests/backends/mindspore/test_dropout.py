"""MindSpore's masks are the reference's, in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mindspore import Parameter, Tensor
from numpy.testing import assert_array_equal

from isotune.interfaces.backend import Backend
from isotune.training.dropout import keep_mask, next_seed
from isotune_mindspore.arrays import set_parameters
from isotune_mindspore.dropout import Dropout, StochasticDepth
from isotune_mindspore.step import graph_mode

SHAPE = (3, 5, 7)
WORDS = [0, 1, 0x7FFFFFFF, 0x80000000, 0xDEADBEEF, 0xFFFFFFFF]


def drop(cell: Dropout, word: int) -> np.ndarray:
    set_parameters([(cell.seed, np.array([word], np.uint32).view(np.int32))])
    return cell(Tensor(np.ones(SHAPE, np.float32))).asnumpy()


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_mask_is_the_reference_in_both_modes(backend: Backend, p: float) -> None:
    cell = Dropout(p)
    cell.set_train(True)
    for word in WORDS:
        expected = keep_mask(word, SHAPE, p) * np.float32(1 / (1 - p))
        assert_array_equal(drop(cell, word), expected)
        with graph_mode():
            assert_array_equal(drop(cell, word), expected)


def test_stochastic_depth_drops_samples_and_a_second_use_others(backend: Backend) -> None:
    cell, x = StochasticDepth(0.4), Tensor(np.ones((50, 3, 2), np.float32))
    cell.set_train(True)
    set_parameters([(cell.seed, np.array([WORDS[4]], np.uint32).view(np.int32))])
    word = WORDS[4]
    for _ in range(3):
        kept = keep_mask(word, (50, 1, 1), 0.4) * np.float32(1 / 0.6)
        assert_array_equal(cell(x).asnumpy(), np.broadcast_to(kept, (50, 3, 2)))
        word = next_seed(word)
    cell.set_train(False)
    assert_array_equal(cell(x).asnumpy(), x.asnumpy())


@pytest.mark.parametrize(("kind", "per_image"), [(Dropout, 35), (StochasticDepth, 1)])
def test_part_of_a_shard_goes_by_the_position_in_it(
    backend: Backend, kind: type[Dropout], per_image: int
) -> None:
    cell = kind(0.5)
    cell.set_train(True)
    cell.first = Parameter(Tensor(np.array([4], np.int32)), name="first", requires_grad=False)
    shape = (SHAPE[0], *(SHAPE[1:] if per_image > 1 else (1, 1)))
    kept = 2 * keep_mask(WORDS[4], shape, 0.5, first=4 * per_image)
    assert_array_equal(drop(cell, WORDS[4]), np.broadcast_to(kept, SHAPE))


def test_mask_moves_on_without_a_trainer(backend: Backend) -> None:
    cell = Dropout(0.5)
    cell.set_train(True)
    x = Tensor(np.ones(SHAPE, np.float32))
    assert (cell(x).asnumpy() != cell(x).asnumpy()).any()


def test_its_seed_is_nobodys_parameter(backend: Backend, nested: Callable[[], Any]) -> None:
    model = nested()
    assert [cell.p for _, cell in model.cells_and_names() if isinstance(cell, Dropout)] == [0.5]
    assert not [name for name in backend.state_adapter.export_model(model) if "seed" in name]
    assert not [p.name for p in model.trainable_params() if "seed" in p.name]
