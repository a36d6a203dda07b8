"""Other people's parameter names, renamed into the canonical ones, which are torchvision's.

A dialect is a row of :data:`DIALECTS`. All rows that recognise a file apply, in order, so that
one row may rename the layers and another the parameters of a layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.weights.files import printable

DROPPED = "num_batches_tracked"
"""PyTorch's count of the batches a BatchNorm has seen; it decides nothing (see ``State``)."""


@dataclass(frozen=True)
class Dialect:
    """One way to name parameters. A name is a layer's path, a dot, and a parameter.

    Attributes:
        mark: pattern that is found in some name if, and only if, the dialect is spoken.
        layers: canonical path by path in the dialect; others stay.
        parameters: canonical parameter by parameter in the dialect; others stay.
        backbones: the backbones that `layers` is about; empty for all.
    """

    mark: str
    layers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    backbones: frozenset[str] = frozenset()

    def recognises(self, names: Mapping[str, Any], backbone: str) -> bool:
        """Tells whether `names` speak this dialect."""
        if self.backbones and backbone not in self.backbones:
            return False
        mark = re.compile(self.mark)
        return any(mark.search(name) for name in names)

    def rename(self, name: str) -> str:
        """Returns the canonical name."""
        layer, dot, parameter = name.rpartition(".")
        layer = self.layers.get(layer, layer)
        return f"{layer}{dot}{self.parameters.get(parameter, parameter)}"


def _efficientnet_pytorch_layers(repeats: tuple[int, ...]) -> dict[str, str]:
    """Returns the layers of an EfficientNet whose first stage does not expand.

    Args:
        repeats: blocks by stage.
    """
    last = len(repeats) + 1
    layers = {
        "_conv_stem": "features.0.0",
        "_bn0": "features.0.1",
        "_conv_head": f"features.{last}.0",
        "_bn1": f"features.{last}.1",
        "_fc": "classifier.1",
    }
    blocks = [(stage, b) for stage, count in enumerate(repeats, 1) for b in range(count)]
    for number, (stage, b) in enumerate(blocks):
        parts = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        for k, (conv, norm) in enumerate(parts[1:] if stage == 1 else parts):
            layers[f"_blocks.{number}.{conv}"] = f"features.{stage}.{b}.block.{k}.0"
            layers[f"_blocks.{number}.{norm}"] = f"features.{stage}.{b}.block.{k}.1"
    return layers


DIALECTS: Mapping[str, Dialect] = {
    "MindSpore": Dialect(
        mark=r"\.(gamma|moving_mean)$",
        parameters={
            "gamma": "weight",
            "beta": "bias",
            "moving_mean": "running_mean",
            "moving_variance": "running_var",
        },
    ),
    "EfficientNet-PyTorch": Dialect(
        mark=r"^_conv_stem\.",
        layers=_efficientnet_pytorch_layers((1, 2, 2, 3, 3, 4, 1)),
        backbones=frozenset({"efficientnet_lite0"}),
    ),
}


def to_canonical(
    state: Mapping[str, NDArray[Any]], entry: BackboneEntry, source: str
) -> dict[str, NDArray[Any]]:
    """Returns `state` under canonical names, without ``num_batches_tracked``.

    Names that no dialect knows stay as they are; :func:`isotune.weights.matching.match` tells.

    Args:
        state: arrays by name, as read.
        entry: the backbone they are for.
        source: the file's name, for messages.

    Raises:
        WeightsError: two names mean the same parameter.
    """
    spoken = [d for d in DIALECTS.values() if d.recognises(state, entry.name)]
    canonical: dict[str, NDArray[Any]] = {}
    origins: dict[str, str] = {}
    for original, value in state.items():
        name = original
        for dialect in spoken:
            name = dialect.rename(name)
        if name.rpartition(".")[2] == DROPPED:
            continue
        if name in canonical:
            names = printable(f"'{origins[name]}' and '{original}' are both '{name}'", 300)
            raise WeightsError(f"'{source}': {names} of {entry.name}.")
        canonical[name], origins[name] = value, original
    return canonical
