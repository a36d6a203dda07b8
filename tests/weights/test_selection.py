"""A model is found among what training scripts save beside it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.catalogue.entries import catalogue
from isotune.catalogue.layouts import layout
from isotune.errors import WeightsError
from isotune.testing.values import state
from isotune.weights.formats.write import write_weights
from isotune.weights.load import fitting, load_backbone, without_head

ENTRY = catalogue()["resnet18"]
EXPECTED = without_head(ENTRY) or {}
MODEL = state(layout("resnet18") or {})
COPY = {name: value + 1 for name, value in MODEL.items()}
BACKBONE = {name: MODEL[name] for name in EXPECTED}
ONE, TWO = np.ones(1, np.float32), np.ones((2, 2), np.float32)


def under(prefix: str, tensors: dict[str, Any] = MODEL) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in tensors.items()}


METRICS = {"criterion.weight": TWO, "train_acc.confmat": TWO, "val_metrics.f1.tp": TWO}
APPENDED = {"epoch_num": ONE, "step_num": ONE, "lr": ONE, "best_top1": ONE, "my_number": ONE}
MOMENTS = {"moments.conv1.weight": MODEL["conv1.weight"], "global_step": ONE}

# What a file holds, and how many tensors of it are not of the model.
BESIDE: dict[str, tuple[dict[str, Any], int]] = {
    "Lightning": ({**under("model."), **METRICS}, 3),
    "a loss of an unknown name": ({**under("net."), "contrast.queue": TWO}, 1),
    "metrics beside bare names": ({**MODEL, **METRICS}, 3),
    "MindSpore's append_dict and moments": ({**MODEL, **APPENDED, **MOMENTS}, 7),
    "an averaged copy": ({**MODEL, **under("ema.", COPY), "ema_updates": ONE}, 103),
    "an averaged copy in mmcv's way": (
        {**MODEL, **{f"ema_{n.replace('.', '_')}": v for n, v in COPY.items()}},
        102,
    ),
    "copies of a wrapped model": ({**under("model.module."), **under("model_ema.", COPY)}, 102),
    "only the averaged copy": (under("ema_model.module."), 0),
    "student and teacher": (
        {**under("student.module.backbone."), **under("teacher.backbone.", COPY)},
        102,
    ),
    "MoCo": (
        {**under("module.encoder_q."), **under("module.encoder_k.", COPY), "module.queue": TWO},
        103,
    ),
    "the same model under two names": ({**under("a."), **under("b.")}, 102),
    "a detector": ({**under("backbone.body.", BACKBONE), "roi.box.weight": TWO, "rpn.w": TWO}, 2),
    "layers compiled one by one": (
        {n.replace("layer1.0.", "layer1.0._orig_mod."): v for n, v in MODEL.items()},
        0,
    ),
    "an average of PyTorch's": ({**under("module."), "n_averaged": ONE}, 1),
    "compiled and wrapped": ({**under("_orig_mod.module.net."), "loss_fn.weight": TWO}, 1),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_the_model_is_found(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    content, others = BESIDE[kind]
    path = tmp_path / "a.safetensors"
    write_weights(path, content)
    with caplog.at_level(logging.WARNING, logger="isotune"):
        found = load_backbone(path, ENTRY, EXPECTED)
    for name, value in found.items():
        np.testing.assert_array_equal(value, MODEL[name], strict=True)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (others > 0)
    assert all(f"left out beside the weights: {others} tensor" in line for line in said)
    assert [entry.name for entry in fitting(content)] == ["resnet18"]


def test_what_is_left_out_is_grouped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content, _ = BESIDE["MoCo"]
    write_weights(tmp_path / "a.ckpt", content)
    load_backbone(tmp_path / "a.ckpt", ENTRY, EXPECTED)
    assert "103 tensors (module.encoder_k.* (102), module.queue)." in caplog.text


def test_several_models_are_an_error_until_a_prefix_chooses(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    write_weights(path, {**under("left.net."), **under("right.net.", COPY)})
    with pytest.raises(WeightsError, match=r"2 models that fit resnet18, under 'left.', 'right.'"):
        load_backbone(path, ENTRY, EXPECTED)
    for prefix in ("right", "right.", "right.net"):
        found = load_backbone(path, ENTRY, EXPECTED, prefix)
        assert all(np.array_equal(value, COPY[name]) for name, value in found.items())
    with pytest.raises(WeightsError, match=r"no tensor is under 'rigt'; .*'left' \(\d+\)"):
        load_backbone(path, ENTRY, EXPECTED, "rigt")


def test_a_prefix_takes_the_averaged_copy(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    write_weights(path, {**MODEL, **under("ema.", COPY)})
    found = load_backbone(path, ENTRY, EXPECTED, "ema")
    assert all(np.array_equal(value, COPY[name]) for name, value in found.items())


def test_what_does_not_fit_is_compared_under_its_prefix(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    lost = {name: value for name, value in MODEL.items() if name != "layer2.0.conv1.weight"}
    write_weights(path, {**under("lit.", lost), "other.weight": TWO})
    with pytest.raises(WeightsError, match=r"1 tensor is missing: layer2\.0\.conv1\.weight\.$"):
        load_backbone(path, ENTRY, EXPECTED)


def test_layers_of_another_architecture_are_not_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    for name in ("layer1.0.se.fc1.weight", "norm.weight", "conv2.weight"):
        write_weights(path, {**MODEL, name: TWO})
        with pytest.raises(WeightsError, match=f"1 tensor is unexpected: {name}"):
            load_backbone(path, ENTRY, EXPECTED)


def test_values_that_are_not_finite_matter_only_in_the_model(tmp_path: Path) -> None:
    path, bad = tmp_path / "a.pth", np.full((2, 2), np.nan, np.float32)
    write_weights(path, {**MODEL, "criterion.weight": bad, "bn1.num_batches_tracked": np.array(1)})
    load_backbone(path, ENTRY, EXPECTED)
    spoiled = {**MODEL, "bn1.running_var": np.full(64, np.inf, np.float32)}
    write_weights(path, spoiled)
    with pytest.raises(WeightsError, match=r"1 tensor is spoiled: bn1\.running_var \(64 of 64\)"):
        load_backbone(path, ENTRY, EXPECTED)
