"""Grad-CAM and attention rollout, against their definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from isotune.errors import SpecError
from isotune.explaining.geometry import by_place, enlarged, rows_and_columns
from isotune.explaining.grad_cam import GradCAM
from isotune.explaining.method import score_weights
from isotune.explaining.rollout import AttentionLayer, AttentionRollout
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.explainer import Explainer

Floats = NDArray[np.float32]
RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> Floats:
    return RANDOM.normal(size=shape).astype(np.float32)


class Given(Explainer):
    """Returns values that are given."""

    def __init__(self, maps: Floats, gradients: Floats, inputs: Sequence[Floats] = ()) -> None:
        self.values = maps, gradients
        self.entered = list(inputs)

    def maps_and_gradients(self, *_: Any) -> tuple[Floats, Floats]:
        return self.values

    def inputs(self, *_: Any) -> list[Floats]:
        return self.entered


def heat(maps: Floats, gradients: Floats, size: tuple[int, int]) -> NDArray[np.float64]:
    batch = DeviceBatch(None, None, len(maps))
    explainer = Given(maps, gradients)
    return GradCAM("stage1", "layer1").heat(explainer, None, batch, floats(len(maps), 2), size)


def test_grad_cam_is_that_of_the_paper_in_every_layout():
    maps, gradients = floats(2, 5, 3, 6), floats(2, 5, 3, 6)
    weights = gradients.mean((2, 3))
    expected = np.maximum(np.einsum("nc,nchw->nhw", weights, maps.astype(np.float64)), 0)
    assert (expected > 0).any() and (expected == 0).any()
    size = (30, 60)
    assert_allclose(heat(maps, gradients, size), expected, atol=1e-6)
    last = [each.transpose(0, 2, 3, 1) for each in (maps, gradients)]
    assert_allclose(heat(*last, size), expected, atol=1e-6)
    sequences = [each.reshape(2, 18, 5) for each in last]
    assert_allclose(heat(*sequences, size), expected, atol=1e-6)
    with_token = [np.concatenate([floats(2, 1, 5), each], axis=1) for each in sequences]
    assert_allclose(heat(*with_token, size), expected, atol=1e-6)


def test_a_layer_without_places_is_an_error():
    with pytest.raises(SpecError, match=r"'stage1' has the shape \(5,\) for each image"):
        heat(floats(2, 5), floats(2, 5), (8, 8))
    with pytest.raises(SpecError, match="without rows and columns"):
        heat(floats(2, 7, 5), floats(2, 7, 5), (8, 8))


def test_a_layer_after_which_only_the_class_token_counts_is_an_error():
    gradients = np.zeros((1, 5, 3), np.float32)
    gradients[:, 0] = 1
    with pytest.raises(SpecError, match="after 'stage1' only the class token counts"):
        heat(floats(1, 5, 3), gradients, (8, 8))


def test_nothing_that_speaks_for_a_class_is_no_heat():
    assert not enlarged(
        heat(floats(1, 2, 4, 4), np.zeros((1, 2, 4, 4), np.float32), (8, 8))[0], 8, 8
    ).any()


def test_rows_and_columns_are_the_axes_with_the_proportions_of_the_image():
    for shape, size, grid in (
        ((1, 7, 7, 7), (8, 8), (7, 7)),
        ((1, 512, 7, 10), (224, 320), (7, 10)),
        ((1, 7, 10, 768), (224, 320), (7, 10)),
        ((1, 96, 112, 112), (224, 224), (112, 112)),
    ):
        found = by_place(floats(*shape), *size)
        assert found is not None
        assert found.shape[1:3] == grid
    assert rows_and_columns(196, 224, 224) == (14, 14)
    assert rows_and_columns(8, 32, 64) == (2, 4)
    assert rows_and_columns(197, 224, 224) is None
    assert rows_and_columns(0, 224, 224) is None


def test_heat_is_enlarged_in_place():
    """A single hot cell of 2 x 4 lies where its part of the image is, and its center is 1."""
    small = np.zeros((2, 4))
    small[1, 2] = 1e-30
    large = enlarged(small, 40, 80)
    assert large.shape == (40, 80) and large.dtype == np.float32
    assert large.max() == 1 and large.min() == 0
    weights = large / large.sum()
    assert weights.sum(1) @ np.arange(40) == pytest.approx(29.5, abs=4)
    assert weights.sum(0) @ np.arange(80) == pytest.approx(49.5, abs=0.01)
    assert not large[:, :30].any()


def test_the_score_of_a_single_outputs_first_class_is_minus_its_logit():
    labels = np.array([1, 0, 1])
    assert score_weights(labels, 1, "binary_cross_entropy").tolist() == [[1], [-1], [1]]
    assert score_weights(labels, 2, "binary_cross_entropy").tolist() == [[0, 1], [1, 0], [0, 1]]
    assert score_weights(np.array([0]), 1, "cross_entropy").tolist() == [[1]]


def test_rollout_is_the_product_over_layers_of_attention_and_shortcut():
    width, heads, places = 6, 2, 5
    layers = tuple(
        AttentionLayer(f"layer{i}", floats(3 * width, width), floats(3 * width), heads)
        for i in range(3)
    )
    inputs = [floats(2, places, width) for _ in layers]
    explainer = Given(floats(1), floats(1), inputs)
    batch = DeviceBatch(None, None, 2)
    found = AttentionRollout(layers).heat(explainer, None, batch, floats(2, 2), (4, 4))
    assert found.shape == (2, 2, 2)
    for image in range(2):
        product = np.eye(places)
        for layer, entered in zip(layers, inputs, strict=True):
            matrix = 0.5 * textbook_attention(layer, entered[image]) + 0.5 * np.eye(places)
            product = matrix / matrix.sum(1, keepdims=True) @ product
        assert_allclose(found[image].ravel(), product[0, 1:], atol=1e-6)


def textbook_attention(layer: AttentionLayer, entered: Floats) -> NDArray[np.float64]:
    """The attention, head by head in float64."""
    x, total = entered.astype(np.float64), np.zeros((len(entered), len(entered)))
    share = x.shape[1] // layer.heads
    for head in range(layer.heads):
        part = slice(head * share, (head + 1) * share)
        queries, keys = (
            x @ layer.weight[start:][part].T + layer.bias[start:][part] for start in (0, x.shape[1])
        )
        scores = np.exp(queries @ keys.T / np.sqrt(share))
        total += scores / scores.sum(1, keepdims=True)
    return total / layer.heads
