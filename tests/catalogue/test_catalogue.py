"""The catalogue tells what torchvision publishes, and what is true of its models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial

import pytest

from isotune.catalogue.entries import OWN, catalogue, chosen_backbone, find_backbone
from isotune.errors import SpecError
from isotune.interfaces.backbone import BackboneEntry, Preprocessing
from isotune.interfaces.names import is_under
from isotune.spec.backbone import BackboneSpec

TORCHVISION = sorted(catalogue().keys() - {entry.name for entry in OWN})
LIMITED = [
    name for name, e in sorted(catalogue().items()) if e.min_input_size > 1 or e.max_input_size
]


def test_it_has_every_classifier_of_torchvision() -> None:
    models = pytest.importorskip("torchvision").models
    assert models.list_models(module=models) == TORCHVISION


@pytest.mark.parametrize("name", TORCHVISION)
def test_weights_are_torchvisions(name: str) -> None:
    models = pytest.importorskip("torchvision").models
    from catalogue.make_catalogue import FILE, published

    entry, own_file = catalogue()[name], json.loads(FILE.read_text("utf-8"))[name]
    assert own_file["weights"] == published(name)
    for weights in entry.weights.values():
        assert weights.url == f"https://download.pytorch.org/models/{weights.file}"
        assert weights.file.endswith(f"-{weights.sha256}.pth")
        assert len(weights.sha256) >= 8
    counts = {member.meta["num_params"] for member in models.get_model_weights(name)}
    # With images of another size there are other positions, and without auxiliary classifiers
    # fewer parameters.
    special = entry.fixed_input_size or entry.auxiliary
    assert entry.parameters in counts if not special else entry.parameters >= min(counts)


@pytest.mark.parametrize("name", [n for n in TORCHVISION if not n.startswith("regnet")])
def test_structure_is_torchvisions(name: str) -> None:
    """RegNets cannot be built without memory, and all are alike."""
    torch = pytest.importorskip("torch")
    from catalogue.make_catalogue import classifier
    from isotune_torch.backbone import BUILDERS

    entry = catalogue()[name]
    with torch.device("meta"):
        model = BUILDERS[name]()
    assert (entry.classifier, entry.features) == classifier(model)
    assert entry.parameters == sum(parameter.numel() for parameter in model.parameters())
    check_parts(entry, [key for key, _ in model.named_parameters()])
    for path in (entry.classifier, entry.classifier_block, *entry.auxiliary):
        model.get_submodule(path)
    if entry.dropout:
        assert model.get_submodule(entry.dropout).p > 0


@pytest.mark.parametrize("name", ["regnet_x_400mf", "regnet_y_400mf", *(e.name for e in OWN)])
def test_structure_of_others(name: str) -> None:
    pytest.importorskip("torch")
    from isotune_torch.backbone import BUILDERS

    entry, model = catalogue()[name], BUILDERS[name]()
    assert entry.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert entry.features == model.get_submodule(entry.classifier).in_features
    check_parts(entry, [key for key, _ in model.named_parameters()])


def check_parts(entry: BackboneEntry, names: list[str]) -> None:
    """Every parameter is in one stage, the head's in the last, which are in the model's order.

    So it is with a transformer's blocks, and each of them is in one stage.
    """
    stages = held(entry.stages, names)
    if entry.blocks:
        blocks = held(entry.blocks, names)
        assert [*dict.fromkeys(blocks)] == [*entry.blocks]
        assert len({*zip(blocks, stages, strict=True)}) == len(entry.blocks)
    assert bool(entry.blocks) == (entry.family in ("maxvit", "swin", "swin_v2", "vit"))
    if not entry.auxiliary:  # these stand in the middle, and belong to the head
        assert [*dict.fromkeys(stages)] == [*entry.stages]


def held(parts: Mapping[str, Sequence[str]], names: list[str]) -> list[str]:
    """Returns the part of each parameter."""
    assert (next(iter(parts)), next(reversed(parts))) == ("stem", "head")
    paths = [(part, path) for part, found in parts.items() for path in found]
    holding = [[part for part, path in paths if is_under(path, f"{name}.")] for name in names]
    assert {len(found) for found in holding} == {1}
    return [part for (part,) in holding]


@pytest.mark.parametrize("name", LIMITED)
def test_images_of_the_sizes_told_fit_and_others_do_not(name: str) -> None:
    torch = pytest.importorskip("torch")
    from isotune_torch.backbone import BUILDERS

    entry = catalogue()[name]
    with torch.device("meta"):
        # Auxiliary classifiers, which may need larger images, compute in training only.
        model = BUILDERS[name]().train(bool(entry.auxiliary))

        def fits(side: int) -> bool:
            try:
                return model(torch.empty(2, 3, side, side)) is not None
            except (RuntimeError, AssertionError, ValueError):
                return False

        assert fits(entry.min_input_size) and fits(entry.max_input_size or 300)
        # A row of pixels less may round to maps of the same size.
        assert entry.fixed_input_size or not fits(entry.min_input_size - 1)
        assert not entry.max_input_size or not fits(entry.max_input_size + 1)


def test_extra_backbones_are_added_and_doubles_are_told() -> None:
    mine = BackboneEntry("mine", "head")
    assert catalogue([mine])["mine"] is mine
    for double in ("mine", "resnet18"):
        with pytest.raises(SpecError, match=f"'{double}' is offered twice"):
            catalogue([mine, BackboneEntry(double, "fc")])


def test_an_unknown_backbone_is_told_with_the_nearest() -> None:
    entries = catalogue()
    assert find_backbone("lenet", entries).preprocessing.input_size == 32
    with pytest.raises(SpecError, match=r"Did you mean 'resnet18'\?.* lenet, .*resnet50"):
        find_backbone("resnet_18", entries)


def test_weights_bring_what_they_were_trained_with() -> None:
    resnet = catalogue()["resnet50"]
    sizes = partial(Preprocessing, resnet.preprocessing.normalization, 224)
    assert resnet.with_weights("imagenet").preprocessing == sizes(256)
    assert resnet.with_weights("imagenet_v2").preprocessing == sizes(232)
    assert resnet.with_weights("mine.pth") is resnet
    vit = catalogue()["vit_b_16"]
    assert (vit.min_input_size, vit.max_input_size) == (224, 224)
    larger = vit.with_weights("imagenet_swag")
    assert (larger.min_input_size, larger.max_input_size, larger.preprocessing.input_size) == (
        384,
        384,
        384,
    )
    assert larger.preprocessing.interpolation == "bicubic"


def test_a_library_is_asked_for_its_model_on_a_backend() -> None:
    from isotune.plugins import Plugins

    class Asked(Plugins):
        def library_backbone(self, backend: str, name: str) -> BackboneEntry:
            return BackboneEntry(f"{backend} {name}", "fc")

    spec = BackboneSpec(name="timm:resnet18")
    assert chosen_backbone(spec, "torch", Asked()).name == "torch timm:resnet18"
    with pytest.raises(SpecError, match="there is no backbone 'timm:resnet18'"):
        chosen_backbone(spec, None, Asked())
