"""Weights of other libraries' models become torchvision's, by the names and shapes they have.

``benchmarks/parameter_names.py`` wrote the names, where the logits of both models were compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from isotune.catalogue.layouts import layout
from isotune.errors import WeightsError
from isotune.weights.dialects.canonical import to_canonical
from isotune.weights.dialects.equal import batch_norm_epsilon, joined, rescaled
from isotune.weights.load import load_backbone
from weights.dialects.names import ENTRIES, shapes_of, signature, state, stored, traced

EQUAL = 2e-5
"""Largest relative difference of logits that counts as equal."""

FAMILIES = {entry.family: entry.name for entry in ENTRIES.values()}
MODELS = {key: model for key, model in stored().items() if "names" in model}


@pytest.mark.parametrize("model", MODELS)
def test_every_tensor_goes_where_it_went_when_logits_were_compared(model: str) -> None:
    known = MODELS[model]
    found = traced(shapes_of(known), known["row"]["backbone"], known["file"])
    expected = layout(known["row"]["backbone"])
    assert {name: value.shape for name, value in found.items()} == expected
    assert signature(found) == known["signature"]


def test_models_whose_logits_differ_say_how() -> None:
    needless = []
    for key, model in MODELS.items():
        row, expected = model["row"], layout(model["row"]["backbone"]) or {}
        names = state(shapes_of(model))
        found = to_canonical(names, ENTRIES[row["backbone"]], model["file"], expected)
        warnings = [note for note in found.notes if "equivalent" not in note]
        if row["difference"] > EQUAL:
            assert warnings == [row["note"]]
        elif warnings:
            needless.append(key)
    # Names do not tell whether a configuration pads like TensorFlow's SAME, which is the default.
    assert needless == ["Hugging Face/MobileNetV2 (tf_padding off)"]


def hugging_face_4(name: str) -> str:
    """Returns version 4's name, which files on the Hub have, of version 5's."""
    for new, old in (
        ("vit.layers.", "vit.encoder.layer."),
        ("vit.encoder.layer.", "vit.encoder.layer."),
        (".attention.q_proj.", ".attention.{}.query."),
        (".attention.k_proj.", ".attention.{}.key."),
        (".attention.v_proj.", ".attention.{}.value."),
        (".attention.o_proj.", ".attention.output.dense."),
        (".mlp.fc1.", ".intermediate.dense."),
        (".mlp.fc2.", ".output.dense."),
        (".attention.relative_position_bias.", ".attention.self."),
    ):
        name = name.replace(new, old.format("attention" if name.startswith("vit") else "self"))
    return name


@pytest.mark.parametrize("model", ["Hugging Face/ViT", "Hugging Face/Swin"])
def test_hugging_face_named_its_layers_otherwise_before_version_5(model: str) -> None:
    known = MODELS[model]
    names = {hugging_face_4(name): shape for name, shape in shapes_of(known).items()}
    assert any(".attention.output.dense." in name for name in names)
    found = traced(names, known["row"]["backbone"], known["file"])
    assert signature(found) == known["signature"]


def test_reductions_at_the_end_of_stages_are_those_of_the_authors_swin_transformer() -> None:
    known = MODELS["timm/swin_tiny_patch4_window7_224"]
    earlier = {f"layers.{n + 1}.downsample": f"layers.{n}.downsample" for n in range(3)}
    names = {
        next((name.replace(new, old) for new, old in earlier.items() if new in name), name): shape
        for name, shape in shapes_of(known).items()
    }
    names["layers.0.blocks.1.attn_mask"] = (64, 49, 49)
    assert signature(traced(names, "swin_t", "")) == known["signature"]


@given(
    st.lists(st.floats(2**-20, 2**10, width=32), min_size=1, max_size=4),
    st.sampled_from([1e-5, 1e-3]),
    st.sampled_from(["mobilenet_v3_small", "resnet18"]),
)
def test_rescaled_weights_make_up_for_another_epsilon(
    variances: list[float], epsilon: float, backbone: str
) -> None:
    variance, weight = np.array(variances, np.float32), np.full(len(variances), 2, np.float32)
    before = {"bn.weight": weight, "bn.running_var": variance, "fc.weight": weight}
    after, notes = rescaled(before, epsilon, backbone)
    own = batch_norm_epsilon(backbone)
    wide = variance.astype(np.float64)
    expected, found = weight / np.sqrt(wide + epsilon), after["bn.weight"] / np.sqrt(wide + own)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert after["bn.running_var"] is variance
    assert after["fc.weight"] is weight
    assert bool(notes) == (own != epsilon)


@pytest.mark.parametrize("name", sorted(FAMILIES.values()))
def test_the_epsilons_of_backbones_are_torchvisions(name: str) -> None:
    torch = pytest.importorskip("torch")
    from isotune_torch.backbone import BUILDERS

    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        model = BUILDERS[name]()
    found = {each.eps for each in model.modules() if isinstance(each, torch.nn.BatchNorm2d)}
    assert found <= {batch_norm_epsilon(name)}


def test_the_bias_of_keys_may_be_missing() -> None:
    parts: dict[str, Any] = {f"a.weight[{n}]": np.full((2, 3), n) for n in range(3)}
    parts |= {"a.bias[0]": np.ones(2), "a.bias[2]": np.ones(2), "b.weight[1]": np.ones(1)}
    found = joined(parts)
    assert [*found] == ["b.weight[1]", "a.weight", "a.bias"]
    assert found["a.weight"].tolist() == [[0] * 3] * 2 + [[1] * 3] * 2 + [[2] * 3] * 2
    assert found["a.bias"].tolist() == [1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("backbone", "name", "what"),
    [
        ("resnet50", "conv1.3.weight", "stem of several convolutions"),
        ("vit_b_16", "deit.embeddings.distillation_token", "token for distillation"),
        ("vit_b_16", "blocks.0.ls1.gamma", "LayerScale"),
        ("googlenet", "inception3a.b1.conv.bias", "biases where this one has BatchNorms"),
        ("inception_v3", "fc.weight", "no auxiliary classifier"),
    ],
)
def test_models_of_another_architecture_are_told_apart(
    backbone: str, name: str, what: str, tmp_path: Path
) -> None:
    save_file({name: np.ones(2, np.float32)}, tmp_path / "a.safetensors")
    expected = layout(backbone) or {}
    with pytest.raises(WeightsError, match=f"{what}.*'timm:"):
        load_backbone(tmp_path / "a.safetensors", ENTRIES[backbone], expected)


def test_wider_windows_are_known_by_the_files_name() -> None:
    names = shapes_of(MODELS["timm/swinv2_tiny_window8_256"])
    for file, count in (("swinv2_tiny_window8_256.pth", 0), ("swinv2_tiny_window16_256.pth", 1)):
        found = to_canonical(state(names), ENTRIES["swin_v2_t"], file, layout("swin_v2_t") or {})
        assert len([note for note in found.notes if "windows are wider" in note]) == count
