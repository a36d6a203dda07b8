"""Writes ``src/isotune/catalogue/torchvision.json`` from what torchvision itself says.

PYTHONPATH=tests python -m catalogue.make_catalogue
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torchvision
from torch import nn
from torchvision.models import get_model_weights, list_models
from torchvision.transforms import InterpolationMode

import isotune.catalogue
from catalogue.stages import blocks, family, stages
from isotune_torch.backbone import BUILDERS, WithoutRandomValues

FILE = Path(isotune.catalogue.__file__).parent / "torchvision.json"

VERSIONS = {
    "IMAGENET1K_V1": "imagenet",
    "IMAGENET1K_V2": "imagenet_v2",
    "IMAGENET1K_SWAG_E2E_V1": "imagenet_swag",
    "IMAGENET1K_SWAG_LINEAR_V1": "imagenet_swag_linear",
}
"""Our names of torchvision's weights. VGG-16's third file has no classifier and is left out.

"imagenet" is what pretrained=True used to mean, and the classic tutorials' figures rest on it.
"""

SPECIAL: dict[str, dict[str, Any]] = {
    "convnext": {"block": "classifier.2", "initialization": "transformer"},
    # 0.3 is the paper's discount (Szegedy et al., 2014, section 5).
    "googlenet": {
        "dropout": "dropout",
        "auxiliary": ["aux1.fc2", "aux2.fc2"],
        "auxiliary_weight": 0.3,
        "min_input_size": 15,
    },
    # 0.4 is that of PyTorch's tutorial "Finetuning Torchvision Models".
    "inception": {
        "dropout": "dropout",
        "auxiliary": ["AuxLogits.fc"],
        "auxiliary_weight": 0.4,
    },
    "maxvit": {"block": "classifier.5", "fixed_input_size": True, "initialization": "transformer"},
    "squeezenet": {"block": "classifier.1", "convolutional": True},
    "swin": {"initialization": "transformer"},
    "swin_v2": {"initialization": "transformer"},
    "vgg": {"initialization": "vgg"},
    "vit": {"fixed_input_size": True, "initialization": "transformer"},
}
"""What else there is to say of a family: fields of ``BackboneEntry``."""

SMALLEST = {
    "alexnet": 63,
    "densenet": 29,
    "inception": 299,
    "squeezenet1_0": 21,
    "squeezenet1_1": 17,
    "vgg": 32,
    "convnext": 32,
    "maxvit": 224,
    "vit": 224,
}


LICENSES = {"https://github.com/facebookresearch/SWAG/blob/main/LICENSE": "cc-by-nc-4.0"}
"""Identifiers of the licenses that torchvision gives an address of; its README names this one. Of
other weights it says that they may have terms derived from the data that they were trained on."""


def build(name: str) -> nn.Module:
    """Returns a model without values."""
    with WithoutRandomValues():
        return BUILDERS[name]()


def classifier(model: nn.Module) -> tuple[str, int]:
    """Returns the path of the last layer, and the width of its input."""
    last = [
        (path, layer) for path, layer in model.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d))
        and (layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels) == 1000
    ]  # fmt: skip
    path, layer = last[-1]
    return path, layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def published(name: str) -> dict[str, dict[str, Any]]:
    """Returns the weights of a model by our names, the oldest first."""
    found = {}
    for member in sorted(get_model_weights(name), key=lambda m: list(VERSIONS).index(m.name)
                         if m.name in VERSIONS else -1):  # fmt: skip
        if member.name not in VERSIONS:
            continue
        preset = member.transforms()
        # The models with transform_input take ImageNet's normalization for their own, this one.
        own = family(name) in ("googlenet", "inception")
        accuracy = member.meta["_metrics"]["ImageNet-1K"]["acc@1"]
        file = member.url.rpartition("/")[2]
        found[VERSIONS[member.name]] = {
            "file": file,
            "sha256": file.rpartition("-")[2].removesuffix(".pth"),
            "url": member.url,
            "input_size": preset.crop_size[0],
            "resize_size": preset.resize_size[0],
            "interpolation": {
                InterpolationMode.BILINEAR: "bilinear",
                InterpolationMode.BICUBIC: "bicubic",
            }[preset.interpolation],
            "mean": [0.5] * 3 if own else preset.mean,
            "std": [0.5] * 3 if own else preset.std,
            "accuracy": round(accuracy / 100, 5),
            "gflops": member.meta["_ops"],
            **licensed(member.meta.get("license")),
        }
    return found


def licensed(address: str | None) -> dict[str, str]:
    """Returns the license of weights, if torchvision names one."""
    return {} if address is None else {"license": LICENSES[address], "license_url": address}


def line(name: str) -> dict[str, Any]:
    """Returns what the catalogue says of a model."""
    model, kind = build(name), family(name)
    path, width = classifier(model)
    smallest = SMALLEST.get(name) or SMALLEST.get(kind)
    special = SPECIAL.get(kind, {})
    return {
        "family": kind,
        "classifier": path,
        "features": width,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **({"min_input_size": smallest} if smallest else {}),
        **({"max_input_size": smallest} if special.get("fixed_input_size") else {}),
        **special,
        **({"attention_heads": model.encoder.layers[0].num_heads} if kind == "vit" else {}),
        "stages": stages(name, model),
        **({"blocks": found} if (found := blocks(name, model)) else {}),
        "weights": published(name),
    }


def main() -> None:
    lines = {name: line(name) for name in list_models(module=torchvision.models)}
    FILE.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
