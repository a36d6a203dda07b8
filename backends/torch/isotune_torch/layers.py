"""What a tracer says of a model's modules: kinds and settings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import nn

from isotune.interfaces.tracer import Layer, Setting

GEOMETRY = frozenset({"kernel_size", "stride", "padding", "dilation", "output_size"})
"""Settings of which one number stands for two, of height and width."""

WITHOUT_EFFECT = frozenset({"training", "inplace"})
"""Attributes that decide nothing of what a module computes, or belong to a step."""


def layers(model: nn.Module) -> list[Layer]:
    """Returns the modules of a model, in the order of its definition."""
    return [
        Layer(path, kind(module), settings(module), leaf=not any(module.children()))
        for path, module in model.named_modules()
    ]


def kind(module: nn.Module) -> str:
    """Returns the name of a module's class; of a class within PyTorch, that of a public one."""
    own = type(module)
    if not own.__module__.startswith("torch."):
        return own.__name__
    public = (each for each in own.__mro__ if getattr(nn, each.__name__, None) is each)
    return next(public, own).__name__


def settings(module: nn.Module) -> dict[str, Setting]:
    """Returns the public attributes of a module that are numbers, text or tuples of integers.

    Also ``bias``, whether a module with a weight has a bias.
    """
    found = dict(_plain(module))
    if "weight" in module._parameters and "bias" in module._parameters:
        found["bias"] = module._parameters["bias"] is not None
    return found


def _plain(module: nn.Module) -> Iterator[tuple[str, Setting]]:
    two_dimensional = kind(module).endswith("2d")
    for name, value in vars(module).items():
        if name.startswith("_") or name in WITHOUT_EFFECT:
            continue
        if two_dimensional and name in GEOMETRY and _is_integer(value):
            value = (value, value)
        if isinstance(value, (list, tuple)) and all(map(_is_integer, value)):
            yield name, tuple(value)
        elif isinstance(value, (bool, int, str)) or (
            isinstance(value, float) and math.isfinite(value)
        ):
            yield name, value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
