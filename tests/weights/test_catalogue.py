"""The catalogue tells what torchvision publishes."""

from __future__ import annotations

import pytest

from isotune.errors import SpecError
from isotune.interfaces.backbone import BackboneEntry
from isotune.weights.catalogue import catalogue, find_backbone

VERSIONS = {"imagenet": "IMAGENET1K_V1", "imagenet_v2": "IMAGENET1K_V2"}


OTHERS = {"efficientnet_lite0", "lenet"}
"""What torchvision does not have."""


@pytest.mark.parametrize("name", sorted(catalogue().keys() - OTHERS))
def test_weights_are_torchvisions(name: str) -> None:
    models = pytest.importorskip("torchvision").models
    entry = catalogue()[name]
    # VGG-16's third file has no classifier and another normalization.
    published = {
        member.name: member
        for member in models.get_model_weights(name)
        if member.name != "IMAGENET1K_FEATURES"
    }
    assert {VERSIONS[key] for key in entry.weights} == published.keys()
    for key, weights in entry.weights.items():
        theirs = published[VERSIONS[key]]
        assert weights.url == theirs.url
        assert weights.url.endswith(f"/{weights.file}")
        assert weights.file.endswith(f"-{weights.sha256}.pth")
        assert len(weights.sha256) == 8
        preset = theirs.transforms()
        assert tuple(preset.mean) == entry.normalization.mean
        assert tuple(preset.std) == entry.normalization.std
        assert preset.crop_size == [entry.input_size]
    preset = published["IMAGENET1K_V1"].transforms()
    assert preset.resize_size == [entry.resize_size]
    with pytest.importorskip("torch").device("meta"):
        classifier = models.get_model(name).get_submodule(entry.classifier)
    assert classifier.out_features == 1000


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_pictures_of_the_sizes_told_fit_and_others_do_not(name: str) -> None:
    torch = pytest.importorskip("torch")
    from isotune_torch.backbone import BUILDERS

    entry = catalogue()[name]
    with torch.device("meta"):
        model = BUILDERS[name]().eval()

        def fits(side: int) -> bool:
            try:
                return model(torch.empty(1, 3, side, side)).ndim == 2
            except RuntimeError:
                return False

        assert fits(entry.smallest) and fits(entry.largest or 300)
        assert entry.smallest == 1 or not fits(entry.smallest - 1)
        assert not entry.largest or not fits(entry.largest + 1)


def test_extra_backbones_are_added_and_doubles_are_told() -> None:
    mine = BackboneEntry("mine", "head")
    assert catalogue([mine])["mine"] is mine
    for double in ("mine", "resnet18"):
        with pytest.raises(SpecError, match=f"'{double}' is offered twice"):
            catalogue([mine, BackboneEntry(double, "fc")])


def test_an_unknown_backbone_is_told_with_the_nearest() -> None:
    entries = catalogue()
    assert find_backbone("lenet", entries).input_size == 32
    with pytest.raises(SpecError, match=r"Did you mean 'resnet18'\?.* lenet, .*resnet50"):
        find_backbone("resnet_18", entries)
