"""Checkpoints of self-supervised training hold a backbone without its head, beside others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from isotune.weights.load import without_head
from isotune.weights.selection import Models
from weights.dialects.names import ENTRIES, Shapes, shapes_of, state, stored


def resnet50() -> dict[str, tuple[int, ...]]:
    return without_head(ENTRIES["resnet50"]) or {}


def timm_vit() -> dict[str, tuple[int, ...]]:
    names = shapes_of(stored()["timm/deit_base_patch16_224"])
    return {name: shape for name, shape in names.items() if not name.startswith("head.")}


def under(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}{name}": shape for name, shape in shapes.items()}


PROJECTOR = {"0.weight": (2048, 2048), "0.bias": (2048,), "2.weight": (128, 2048), "2.bias": (128,)}
PREDICTOR = {**PROJECTOR, "1.running_mean": (2048,), "1.running_var": (2048,)}


def moco() -> Mapping[str, tuple[int, ...]]:
    """Names of github.com/facebookresearch/moco, version 2."""
    encoder = {**resnet50(), **under("fc.", PROJECTOR)}
    both = {**under("module.encoder_q.", encoder), **under("module.encoder_k.", encoder)}
    return {**both, "module.queue": (128, 65536), "module.queue_ptr": (1,)}


def moco_v3() -> Mapping[str, tuple[int, ...]]:
    """Names of github.com/facebookresearch/moco-v3, with a Vision Transformer."""
    encoder = {**timm_vit(), **under("head.", PREDICTOR)}
    both = {**under("module.base_encoder.", encoder), **under("module.momentum_encoder.", encoder)}
    return {**both, **under("module.predictor.", PREDICTOR)}


def simsiam() -> Mapping[str, tuple[int, ...]]:
    """Names of github.com/facebookresearch/simsiam."""
    encoder = {**resnet50(), **under("fc.", PREDICTOR)}
    return {**under("module.encoder.", encoder), **under("module.predictor.", PREDICTOR)}


def dino() -> Mapping[str, tuple[int, ...]]:
    """Names of a whole checkpoint of github.com/facebookresearch/dino, with a ResNet-50."""
    parts = {**under("backbone.", resnet50()), **under("head.mlp.", PROJECTOR)}
    centered = {"dino_loss.center": (1, 65536)}
    return {**under("student.module.", parts), **under("teacher.", parts), **centered}


def dino_vit() -> Mapping[str, tuple[int, ...]]:
    """Names of the published ``dino_vitbase16_pretrain.pth``."""
    return timm_vit()


def barlow_twins() -> Mapping[str, tuple[int, ...]]:
    """Names of a checkpoint of github.com/facebookresearch/barlowtwins."""
    parts = {**under("module.backbone.", resnet50()), **under("module.projector.", PREDICTOR)}
    return under("model.", parts)


@pytest.mark.parametrize("names", [moco, moco_v3, simsiam, dino, dino_vit, barlow_twins])
def test_the_backbone_is_found_and_the_rest_is_left(
    names: Callable[[], Mapping[str, tuple[int, ...]]],
) -> None:
    shapes = names()
    backbone = ENTRIES["vit_b_16" if names in (moco_v3, dino_vit) else "resnet50"]
    expected = without_head(backbone) or {}
    found = Models(state(shapes), "file").choose(backbone, expected)
    assert {name: found.tensors[name].shape for name in expected} == expected
    extra = [name for name in found.tensors if name not in expected]
    assert all(name.startswith(("fc.", "head.", "heads.")) for name in extra)
    taken = {int(np.asarray(value).flat[0]) for value in found.tensors.values()}
    origins = [name for number, name in enumerate(shapes, 1) if number in taken]
    assert not [name for name in origins if "_k." in name or "momentum" in name]
