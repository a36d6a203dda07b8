"""Weights of one framework become a file of another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import isotune
from isotune.catalogue.layouts import layout
from isotune.errors import RunError, SpecError, WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.testing.values import state
from isotune.weights.formats.read import read_weights
from isotune.weights.formats.write import write_weights
from tiny import experiment, make_images, numpy_plugins

LENET = state(layout("lenet") or {})
MOBILENET = state(layout("mobilenet_v2") or {})
SUFFIXES = ("pth", "ckpt", "safetensors")


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


@pytest.mark.parametrize("second", SUFFIXES)
@pytest.mark.parametrize("first", SUFFIXES)
def test_there_and_back_again(tmp_path: Path, first: str, second: str) -> None:
    paths = [tmp_path / f"a.{first}", tmp_path / f"b.{second}", tmp_path / "c.safetensors"]
    write_weights(paths[0], {**MOBILENET, "moments.features.0.0.weight": np.ones(1)})
    done = isotune.convert(paths[0], paths[1])
    assert (done.backbone, done.tensors, done.target) == ("mobilenet_v2", 262, paths[1])
    assert done.head == {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}
    assert done.dialects == (("MindSpore",) if first == "ckpt" else ())
    left_out = "1 tensor (moments.features.0.0.weight)"
    assert done.notes == (f"left out beside the weights: {left_out}",)
    isotune.convert(paths[1], paths[2])
    assert_equal(read_weights(paths[2]), MOBILENET)


def test_any_head_is_kept_and_halves_become_floats(tmp_path: Path) -> None:
    tensors = {n: v.astype(np.float16) for n, v in LENET.items() if not n.startswith("fc3.")}
    save_file({**tensors, "fc3.weight": np.ones((3, 84), np.float16)}, tmp_path / "a.safetensors")
    done = isotune.convert(tmp_path / "a.safetensors", tmp_path / "a.pth")
    assert done.head == {"fc3.weight": (3, 84)}
    found = read_weights(tmp_path / "a.pth")
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    assert list(found) == [name for name in LENET if name != "fc3.bias"]  # torchvision's order


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_values_that_are_not_finite_are_refused(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / f"a.{suffix}", tmp_path / "b.ckpt"
    spoiled = {name: value.copy() for name, value in LENET.items()}
    spoiled["conv1.weight"].flat[:2] = np.nan, np.inf
    spoiled["fc3.bias"][0] = -np.inf
    save = {**spoiled, "fc3.mask": np.full(2, -np.inf, np.float32), "n": np.array(2)}
    write_weights(source, save)
    with pytest.raises(WeightsError, match="NaN or infinite") as error:
        isotune.convert(source, target)
    assert "2 tensors are spoiled: conv1.weight (2 of 450), fc3.bias (1 of 10)." in str(error.value)
    assert not target.exists()
    write_weights(tmp_path / "c.pth", {**LENET, "fc1.bias": np.full(120, 1e39)})
    with pytest.raises(WeightsError, match=r"1 tensor is spoiled: fc1\.bias \(\d+ of 120\)"):
        isotune.convert(tmp_path / "c.pth", target)


def test_a_prefix_chooses_a_model(tmp_path: Path) -> None:
    source = tmp_path / "a.safetensors"
    two = {f"first.{name}": value for name, value in LENET.items()}
    write_weights(source, {**two, **{f"second.{n}": v + 1 for n, v in LENET.items()}})
    with pytest.raises(WeightsError, match=r"2 models that fit lenet, under 'first.', 'second.';"):
        isotune.convert(source, tmp_path / "b.pth")
    isotune.convert(source, tmp_path / "b.safetensors", prefix="second")
    assert_equal(read_weights(tmp_path / "b.safetensors"), {n: v + 1 for n, v in LENET.items()})
    with pytest.raises(WeightsError, match=r"under 'third'; .* 'first' \(10\), 'second' \(10\)"):
        isotune.convert(source, tmp_path / "b.pth", prefix="third")


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    source, target = tmp_path / "a.pth", tmp_path / "b.ckpt"
    write_weights(source, LENET)
    target.write_text("mine")
    with pytest.raises(WeightsError, match="is there already; --force replaces it"):
        isotune.convert(source, target)
    assert target.read_text() == "mine"
    isotune.convert(source, target, overwrite=True)
    assert_equal(read_weights(target), LENET)


def test_a_wrong_ending_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"must end in \.safetensors"):
        isotune.convert(tmp_path / "none.pth", tmp_path / "a.onnx")


def test_what_fits_no_backbone_is_told(tmp_path: Path) -> None:
    source, target = tmp_path / "a.pth", tmp_path / "b.ckpt"
    write_weights(source, {"stem.weight": np.ones(3)})
    with pytest.raises(WeightsError, match=r"fits none .* first tensors are stem\.weight"):
        isotune.convert(source, target)
    with pytest.raises(WeightsError, match=r"missing: conv1\.weight.*unexpected: stem\.weight"):
        isotune.convert(source, target, backbone="lenet")
    with pytest.raises(SpecError, match="Did you mean 'lenet'"):
        isotune.convert(source, target, backbone="lene")
    assert not target.exists()


def test_other_peoples_backbones_are_converted_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = numpy_plugins()
    monkeypatch.setattr(plugins, "backbones", lambda: [BackboneEntry("mine", "head")])
    names = {"bn.gamma": 1, "bn.beta": 0, "bn.moving_mean": 2, "bn.moving_variance": 3, "head.w": 4}
    save_file(
        {name: np.full(2, value, np.float32) for name, value in names.items()},
        tmp_path / "a.safetensors",
    )
    done = isotune.convert(
        tmp_path / "a.safetensors", tmp_path / "b.pth", backbone="mine", plugins=plugins
    )
    assert done.head == {"head.w": (2,)}
    found = read_weights(tmp_path / "b.pth")
    assert found["bn.running_var"][0] == 3
    assert "bn.num_batches_tracked" in found


def test_a_run_is_exported(tmp_path: Path) -> None:
    spec = experiment(make_images(tmp_path / "images"), epochs=2)
    plugins = numpy_plugins()
    run = isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=plugins)
    done = isotune.convert(tmp_path / "run", tmp_path / "model.ckpt", plugins=plugins)
    assert done.backbone == "linear"
    assert done.head == {"fc.weight": (3, 192), "fc.bias": (3,)}
    best = run.backend.state_adapter.export_model(run.model)
    assert_equal(read_weights(tmp_path / "model.ckpt"), best)
    with pytest.raises(RunError, match=r"no spec\.yaml"):
        isotune.convert(tmp_path, tmp_path / "other.ckpt", plugins=plugins)
