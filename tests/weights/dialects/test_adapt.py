"""Other shapes are taken where nothing is lost, and nowhere else."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal

from isotune.interfaces.backbone import BackboneEntry
from isotune.weights.dialects.adapt import adapt

ENTRY = BackboneEntry("net", "classifier.3")
EXPECTED = {
    "conv1.weight": (2, 3, 5, 5),
    "conv1.bias": (2,),
    "conv2.weight": (4, 3, 1, 1),
    "conv2.bias": (4,),
    "classifier.0.weight": (6, 16),
    "classifier.0.bias": (6,),
}


def full() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.random(shape, np.float32) for name, shape in EXPECTED.items()}


def test_what_fits_stays_as_it_is() -> None:
    state = full()
    adapted, notes = adapt(state, EXPECTED, ENTRY)
    assert notes == []
    assert all(adapted[name] is value for name, value in state.items())


def test_a_gray_first_convolution_is_spread_over_the_colors() -> None:
    state = full()
    state["conv1.weight"] = np.arange(50, dtype=np.float32).reshape(2, 1, 5, 5)
    adapted, notes = adapt(state, EXPECTED, ENTRY)
    weight = adapted["conv1.weight"]
    assert weight.shape == (2, 3, 5, 5)
    assert weight.dtype == np.float32
    assert_array_equal(weight[:, 0], weight[:, 2])
    np.testing.assert_allclose(weight.sum(1, keepdims=True), state["conv1.weight"], rtol=1e-6)
    assert len(notes) == 1
    assert "'conv1.weight' is for gray images" in notes[0]


def test_no_other_layer_is_spread() -> None:
    for name, shape in [("conv2.weight", (4, 1, 1, 1)), ("conv1.weight", (2, 2, 5, 5))]:
        state = {**full(), name: np.ones(shape, np.float32)}
        adapted, notes = adapt(state, EXPECTED, ENTRY)
        assert adapted[name].shape == shape
        assert notes == []


def test_convolutions_without_any_bias_have_zeros() -> None:
    state = {name: v for name, v in full().items() if not name.startswith("conv") or "w" in name}
    adapted, notes = adapt(state, EXPECTED, ENTRY)
    assert list(adapted) == list(EXPECTED)
    assert_array_equal(adapted["conv1.bias"], np.zeros(2, np.float32), strict=True)
    assert notes == [
        "its 2 convolutions have no biases; they were set to zero, which is equivalent"
    ]


def test_a_bias_that_is_lost_is_not_made_up() -> None:
    for lost in ("conv1.bias", "classifier.0.bias"):
        adapted, notes = adapt({n: v for n, v in full().items() if n != lost}, EXPECTED, ENTRY)
        assert lost not in adapted
        assert notes == []
    assert adapt({"conv1.weight": full()["conv1.weight"]}, EXPECTED, ENTRY)[1] == []


def test_convolutions_that_are_linear_layers_become_matrices() -> None:
    state = full()
    state["classifier.0.weight"] = np.arange(96.0).reshape(6, 4, 2, 2)
    state["classifier.3.weight"] = np.ones((5, 6, 1, 1))
    adapted, notes = adapt(state, EXPECTED, ENTRY)
    assert_array_equal(adapted["classifier.0.weight"], np.arange(96.0).reshape(6, 16))
    assert adapted["classifier.3.weight"].shape == (5, 6)
    assert notes == []
    state["classifier.0.weight"] = np.ones((6, 4, 2, 1))
    assert adapt(state, EXPECTED, ENTRY)[0]["classifier.0.weight"].shape == (6, 4, 2, 1)


def test_a_classifier_has_the_axes_that_the_backbone_gives_it() -> None:
    matrix = np.ones((5, 6), np.float32)
    for convolutional, shape in ((False, (5, 6)), (True, (5, 6, 1, 1))):
        entry = BackboneEntry("net", "classifier.3", convolutional=convolutional)
        for stored in (matrix, matrix[:, :, None, None]):
            adapted, _ = adapt({"classifier.3.weight": stored}, {}, entry)
            assert adapted["classifier.3.weight"].shape == shape
