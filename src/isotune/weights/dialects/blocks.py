"""The layers of networks of inverted residuals, in stages and blocks, from their layouts.

Other libraries count and name the same layers in other ways; tables pair them by position.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from isotune.catalogue.layouts import MOBILENET_V2_STAGES, layout

BLOCK = re.compile(r"(features\.\d+(?:\.\d+)?)\.(?:block|conv)\.|(layers\.\d+\.\d+)\.layers\.")
"""Path of a block in the path of a layer."""

MNASNET_FIRST = ("layers.3", "layers.4", "layers.6", "layers.7")
"""The layers of MNASNet's first block, which has no path of its own."""

REPEATS = {
    "mobilenet_v2": tuple(repeats for _, _, repeats, _ in MOBILENET_V2_STAGES),
    "mobilenet_v3_large": (1, 2, 3, 4, 2, 3),
    "mobilenet_v3_small": (1, 2, 3, 2, 3),
}
"""Number of blocks of each stage, where torchvision counts blocks through all stages. A stage of
MobileNetV3 has one resolution and kernel size or width: tables 1 and 2 of Howard et al., 2019."""


@dataclass(frozen=True)
class Block:
    """Paths of a block's layers, in torchvision's order: convolutions, each before its BatchNorm.

    Attributes:
        number: number of the block in the network, from 0.
        stage: number of its stage, from 0.
        position: number of the block in its stage, from 0.
        layers: paths; those of squeeze-and-excitation end in ``fc1`` and ``fc2``.
        depthwise: whether its first convolution is depthwise.
    """

    number: int
    stage: int
    position: int
    layers: tuple[str, ...]
    depthwise: bool


@dataclass(frozen=True)
class Network:
    """A network of inverted residuals.

    Attributes:
        blocks: the blocks.
        stem: convolution and BatchNorm before the first block.
        last: convolution and BatchNorm after the last block.
        classifier: the linear layers.
    """

    blocks: tuple[Block, ...]
    stem: tuple[str, str]
    last: tuple[str, str]
    classifier: tuple[str, ...]


@cache
def network(backbone: str) -> Network:
    """Returns the blocks of a MobileNet v2 or v3, an EfficientNet or an MNASNet."""
    shapes = layout(backbone) or {}
    paths = list(dict.fromkeys(name.rpartition(".")[0] for name in shapes))
    groups = [(key, tuple(layers)) for key, layers in groupby(paths, _block) if key]
    stages = _stages(backbone, [key for key, _ in groups])
    blocks = tuple(
        Block(n, *stages[n], layers, shapes[f"{layers[0]}.weight"][1] == 1)
        for n, (_, layers) in enumerate(groups)
    )
    rest = [path for path in paths if not _block(path)]
    return Network(blocks, (rest[0], rest[1]), (rest[2], rest[3]), tuple(rest[4:]))


def _block(path: str) -> str:
    """Returns the path of the block that a layer belongs to, or an empty string."""
    if path in MNASNET_FIRST:
        return MNASNET_FIRST[0]
    found = BLOCK.match(path)
    return (found[1] or found[2]) if found else ""


def _stages(backbone: str, blocks: list[str]) -> list[tuple[int, int]]:
    """Returns the stage and the position in it of each block."""
    if repeats := REPEATS.get(backbone):
        return [(stage, k) for stage, count in enumerate(repeats) for k in range(count)]
    by_stage = [list(each) for _, each in groupby(blocks, lambda path: path.split(".")[1])]
    return [(stage, k) for stage, each in enumerate(by_stage) for k in range(len(each))]
