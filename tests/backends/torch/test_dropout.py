"""Torch's masks are the reference's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from torch import nn
from torchvision.ops import StochasticDepth

from isotune.interfaces.division import Division
from isotune.training import dropout as reference
from isotune_torch.dropout import Dropouts, keep_mask

CPU = torch.device("cpu")


@given(
    word=st.integers(0, 2**32 - 1),
    shape=st.lists(st.integers(0, 40), min_size=1, max_size=3).map(tuple),
    p=st.floats(0, 1),
)
@example(word=2**32 - 1, shape=(3, 100_003), p=0.5)
@example(word=0, shape=(128, 1280), p=0.2)
def test_masks_equal_the_reference(word: int, shape: tuple[int, ...], p: float) -> None:
    expected = reference.keep_mask(word, shape, p)
    assert_array_equal(keep_mask(word, shape, p, CPU).numpy(), expected)


@given(first=st.integers(0, 2**32 - 1))
@example(first=2**32 - 3)
def test_masks_begin_anywhere_in_a_shard(first: int) -> None:
    expected = reference.keep_mask(7, (3, 5), 0.5, first)
    assert_array_equal(keep_mask(7, (3, 5), 0.5, CPU, torch.tensor(first)).numpy(), expected)


def test_elements_count_in_logical_order_whatever_the_memory_format() -> None:
    layer = nn.Dropout(0.5)
    ones = torch.ones(2, 6, 5, 4)
    with Dropouts(layer, seed=3, device=CPU).masks(step=8):
        dropped = layer(ones.contiguous(memory_format=torch.channels_last))
    word = reference.layer_seed(3, 8, "")
    assert_array_equal(dropped.numpy(), 2.0 * reference.keep_mask(word, (2, 6, 5, 4), 0.5))


def test_layers_go_by_their_names() -> None:
    model = nn.Sequential(nn.Dropout(0.0), nn.Dropout(0.5), nn.Dropout(1.0))
    first, last = model[1], model[2]
    with Dropouts(model, seed=1, device=CPU).masks(step=0):
        kept = first(torch.ones(64)).numpy() > 0
        assert not last(torch.ones(64)).any()
    assert_array_equal(kept, reference.keep_mask(reference.layer_seed(1, 0, "1"), (64,), 0.5))
    assert 0 < np.count_nonzero(kept) < 64


def test_stochastic_depth_drops_samples_and_a_second_use_others() -> None:
    layer, ones = StochasticDepth(0.4, "row"), torch.ones(50, 3, 2)
    with Dropouts(nn.Sequential(layer), seed=2, device=CPU).masks(step=5):
        found = [layer(ones).numpy() for _ in range(3)]
    word = reference.layer_seed(2, 5, "0")
    for dropped in found:
        kept = reference.keep_mask(word, (50, 1, 1), 0.4) / np.float32(0.6)
        assert_array_equal(dropped, np.broadcast_to(kept.astype(np.float32), dropped.shape))
        word = reference.next_seed(word)


@pytest.mark.parametrize("layer", [StochasticDepth(0.4, "row"), nn.Dropout(0.5)])
def test_parts_of_a_shard_drop_what_all_of_it_drops(layer: nn.Module) -> None:
    dropouts, ones = Dropouts(nn.Sequential(layer), seed=2, device=CPU), torch.ones(21, 3, 2)
    found = []
    for part in (part for rank in range(4) for part in Division(2, 4, rank).divide(len(ones))):
        with dropouts.masks(5, part, shared=True):
            found += [layer(ones[part.start : part.stop]).numpy() for _ in range(2)]
    expected = []
    for part in Division(2).divide(len(ones)):
        with dropouts.masks(5, part):
            expected += [layer(ones[part.start : part.stop]).numpy() for _ in range(2)]
    for use in range(2):
        assert_array_equal(np.concatenate(found[use::2]), np.concatenate(expected[use::2]))
    assert (expected[0][:10] != expected[2][:10]).any()


def test_layers_in_evaluation_mode_drop_nothing() -> None:
    layer, ones = nn.Dropout(0.5).eval(), torch.ones(64)
    with Dropouts(layer, seed=1, device=CPU).masks(step=0):
        assert_array_equal(layer(ones).numpy(), ones.numpy())
    assert not layer.training
