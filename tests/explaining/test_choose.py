"""Which method explains which backbone, and what is said of a wrong stage."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from isotune.catalogue.entries import BUILT_IN
from isotune.catalogue.layouts import layout
from isotune.errors import SpecError
from isotune.explaining.choose import choose_method
from isotune.explaining.grad_cam import GradCAM
from isotune.explaining.method import Method
from isotune.explaining.rollout import AttentionRollout
from isotune.interfaces.backbone import BackboneEntry

ENTRIES = {entry.name: entry for entry in BUILT_IN}


class Layouts:
    """Stands for a backend's state adapter: the model is a backbone's name."""

    def model_shapes(self, model: str) -> dict[str, tuple[int, ...]]:
        return layout(model) or {}

    def export_model(self, model: str) -> dict[str, Any]:
        return {
            name: np.zeros(shape, np.float32) for name, shape in self.model_shapes(model).items()
        }


def chosen(entry: BackboneEntry, stage: str | None = None, class_name: str | None = None) -> Method:
    backend: Any = SimpleNamespace(state_adapter=Layouts())
    return choose_method(entry, backend, entry.name, stage, class_name)


@pytest.mark.parametrize(
    ("name", "stage", "path"),
    [
        ("mobilenet_v2", "stage5", "features.18"),
        ("resnet50", "stage4", "layer4"),
        ("googlenet", "stage3", "inception5b"),
        ("vgg16", "stage4", "features.29"),  # relu5_3, where the paper looks
        ("squeezenet1_1", "stage3", "features.12"),
        ("swin_t", "stage4", "norm"),
        ("lenet", "stage1", "conv2"),
    ],
)
def test_grad_cam_looks_at_the_end_of_the_last_stage(name: str, stage: str, path: str):
    assert chosen(ENTRIES[name]) == GradCAM(stage, path)
    assert chosen(ENTRIES[name], class_name="ants") == GradCAM(stage, path)


def test_a_stage_or_a_part_may_be_chosen():
    assert chosen(ENTRIES["resnet18"], "stage2") == GradCAM("stage2", "layer2")
    assert chosen(ENTRIES["resnet18"], "layer2.0") == GradCAM("layer2.0", "layer2.0")
    assert chosen(ENTRIES["vit_b_32"], "stage11").stage == "stage11"
    assert chosen(ENTRIES["vit_b_32"], "stem") == GradCAM("stem", "conv_proj")


def test_a_transformer_is_explained_by_all_of_its_attention_layers_in_order():
    method = chosen(ENTRIES["vit_b_32"])
    assert isinstance(method, AttentionRollout)
    paths = [f"encoder.layers.encoder_layer_{i}.self_attention" for i in range(12)]
    assert [layer.path for layer in method.layers] == paths
    assert {layer.heads for layer in method.layers} == {12}
    assert method.layers[0].weight.shape == (3 * 768, 768)


@pytest.mark.parametrize(
    ("entry", "stage", "class_name", "message"),
    [
        (
            ENTRIES["resnet18"],
            "stage5",
            None,
            r"stage: backbone 'resnet18' has no stage 'stage5'\. Did you mean 'stage\d'\?"
            r" Its stages are: stem, stage1, stage2, stage3, stage4\. The path of a part",
        ),
        (ENTRIES["resnet18"], "head", None, "has no stage 'head'"),
        (
            replace(ENTRIES["resnet18"], stages={}),
            None,
            None,
            r"names no stages; choose the path .* conv1, bn1, layer1, layer2, layer3, layer4\.$",
        ),
        (
            replace(ENTRIES["lenet"], stages={}),
            "fc4",
            None,
            "names no stages and has no part 'fc4'",
        ),
        (
            ENTRIES["vit_b_32"],
            None,
            "ants",
            "class: is 'ants', but attention rollout, which explains vit_b_32, is the same for all",
        ),
    ],
)
def test_what_cannot_be_explained_is_told(
    entry: BackboneEntry, stage: str | None, class_name: str | None, message: str
):
    with pytest.raises(SpecError, match=message):
        chosen(entry, stage, class_name)
