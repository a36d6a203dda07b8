"""timm's models as backbones; without timm a sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import isotune
from isotune.errors import BackendError, WeightsError
from isotune.plugins import plugins
from isotune.weights.fetch import locate_weights
from tiny import experiment, make_images


def test_without_timm_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "isotune_torch.timm_models", raising=False)
    with pytest.raises(BackendError, match="'timm:resnet18' needs timm: pip install timm"):
        plugins.library_backbone("torch", "timm:resnet18")


def test_a_model_of_timm_is_described_and_trained(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    entry = plugins.library_backbone("torch", "timm:test_resnet.r160_in1k")
    assert entry.classifier == "fc"
    assert entry.preprocessing.input_size == 160
    spec = experiment(
        make_images(tmp_path / "images", size=40),
        transforms={
            "train": [{"random_resized_crop": 32}],
            "val": [{"resize": 32}, {"center_crop": 32}],
        },
        batch_size=3,
        backbone={"name": "timm:test_resnet.r160_in1k", "weights": "none"},
        freeze={"parameters": ["layer1", "conv1", "bn1"]},
    )
    run = isotune.run(spec, backend="torch", device="cpu", output=tmp_path / "run")
    again = isotune.open_run(tmp_path / "run")
    assert again.evaluate().loss == run.evaluate().loss
    with pytest.raises(BackendError, match="models of timm run on: torch"):
        isotune.run(spec, backend="mindspore", device="cpu", output=tmp_path / "other")


def test_an_unknown_model_and_unknown_weights() -> None:
    pytest.importorskip("timm")
    with pytest.raises(BackendError, match=r"has no model 'resnet_18'\. Did you mean 'resnet18'"):
        plugins.library_backbone("torch", "timm:resnet_18")
    with pytest.raises(BackendError, match=r"no weights 'resnet18.x'\. It has: resnet18\."):
        plugins.library_backbone("torch", "timm:resnet18.x")


def test_weights_come_from_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    import huggingface_hub

    entry = plugins.library_backbone("torch", "timm:resnet18.a1_in1k")
    assert entry.weights["imagenet"].license == "apache-2.0"
    asked: list[tuple[str, str]] = []

    def there(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", there)
    assert locate_weights(entry, "imagenet") == tmp_path / "model.safetensors"
    assert asked == [("timm/resnet18.a1_in1k", "model.safetensors")]

    def missing(repository: str, file: str) -> str:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", missing)
    with pytest.raises(WeightsError, match=r"resnet18.a1_in1k was not downloaded: no network"):
        locate_weights(entry, "imagenet")
