"""Initial values, drawn by the core so that every backend starts from the same bytes.

Each tensor has its own stream, named after it: nothing depends on the order of the others.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_never

from isotune.errors import WeightsError
from isotune.interfaces.backbone import Initialization
from isotune.interfaces.head import LinearValues
from isotune.models.normal import Doubles, quantile, uniform
from isotune.randomness import Purpose, named_stream

Shape = tuple[int, ...]
Values = NDArray[np.float32]

_PIECE = 1 << 16
"""Numbers drawn at once: few enough for the processor's cache, and enough for NumPy's calls to
cost little beside the arithmetic."""


def linear_values(seed: int, name: str, in_features: int, out_features: int) -> LinearValues:
    """Returns the values of a new linear layer, as PyTorch's ``nn.Linear`` draws them.

    Weight and bias are uniform between -1/sqrt(in_features) and 1/sqrt(in_features)
    (https://pytorch.org/docs/stable/generated/torch.nn.Linear.html).

    Args:
        seed: The experiment's seed.
        name: Name of the layer's random stream, such as ``head`` or ``head.3``.
        in_features: Width of the input.
        out_features: Width of the output.
    """
    bound = 1 / math.sqrt(in_features)
    # No parameter's path has a slash, so these streams are the head's alone.
    return LinearValues(
        weight=_uniform(seed, f"{name}/weight", (out_features, in_features), bound),
        bias=_uniform(seed, f"{name}/bias", (out_features,), bound),
    )


def initial_state(
    shapes: Mapping[str, Shape], seed: int, scheme: Initialization = "default"
) -> dict[str, Values]:
    """Returns values for every tensor of a model that starts without pretrained weights.

    In every scheme, BatchNorm has weight 1, bias 0, running mean 0 and running variance 1.

    ``default`` goes by the shapes:

    - A convolution without bias, which a BatchNorm follows: normal with variance 2 / fan_out,
      fan_out being output channels times kernel area, as in torchvision's ResNet, MobileNetV2
      and EfficientNet (He et al., "Delving deep into rectifiers", 2015).
    - Any other convolution or linear layer: weight and bias uniform within 1 / sqrt(fan_in),
      PyTorch's default.

    ``transformer`` is for Vision Transformers and models like them: weights of linear layers and
    convolutions, positions and biases of positions normal with deviation 0.02, as in BERT (Devlin
    et al., 2018); other biases and the class token 0; LayerScale 1e-6 (Liu et al., "A ConvNet for
    the 2020s", 2022), the logarithm of a logit scale ln 10 ("Swin Transformer V2", 2022).

    ``vgg`` is torchvision's for VGG, whose convolutions have a bias: all convolutions normal
    with variance 2 / fan_out, linear layers normal with deviation 0.01, every bias 0.

    Args:
        shapes: Shapes by canonical name.
        seed: The experiment's seed.
        scheme: The scheme of initialization.

    Returns:
        float32 arrays by name, in the order of `shapes`.

    Raises:
        WeightsError: The scheme has no initial value for a tensor.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # NumPy computes without Python's lock
        drawn = threads.map(lambda name: _initial(name, shapes, seed, scheme), shapes)
        return dict(zip(shapes, drawn, strict=True))


def _initial(name: str, shapes: Mapping[str, Shape], seed: int, scheme: Initialization) -> Values:
    layer, _, parameter = name.rpartition(".")
    shape, weight = shapes[name], shapes.get(f"{layer}.weight", ())
    if parameter == "running_mean":
        return np.zeros(shape, np.float32)
    if parameter == "running_var":
        return np.ones(shape, np.float32)
    if parameter in ("weight", "bias") and len(weight) == 1:
        return np.full(shape, parameter == "weight", np.float32)
    values: Values | None = None
    match scheme:
        case "transformer":
            values = _transformer(name, shape, seed)
        case "vgg":
            values = _vgg(name, shape, weight, seed)
        case "default":
            values = _default(name, shape, weight, seed, biased=f"{layer}.bias" in shapes)
        case _:
            assert_never(scheme)
    if values is None:
        raise WeightsError(
            f"tensor '{name}' of shape {tuple(shape)} has no initial value of its own; give the"
            " backbone weights instead of 'none'."
        )
    return values


def _default(name: str, shape: Shape, weight: Shape, seed: int, biased: bool) -> Values | None:
    parameter = name.rpartition(".")[2]
    if parameter == "weight" and len(weight) > 2 and not biased:
        return _normal(seed, name, shape, _he_deviation(weight))
    if parameter in ("weight", "bias") and len(weight) > 1:
        return _uniform(seed, name, shape, 1 / math.sqrt(math.prod(weight[1:])))
    return None


def _vgg(name: str, shape: Shape, weight: Shape, seed: int) -> Values | None:
    parameter = name.rpartition(".")[2]
    if parameter == "bias" and len(weight) > 1:
        return np.zeros(shape, np.float32)
    if parameter == "weight" and len(weight) > 1:
        return _normal(seed, name, shape, _he_deviation(weight) if len(weight) > 2 else 0.01)
    return None


def _he_deviation(weight: Shape) -> float:
    return math.sqrt(2 / (weight[0] * math.prod(weight[2:])))


TRANSFORMER_CONSTANTS = {
    "bias": 0.0,
    "in_proj_bias": 0.0,
    "class_token": 0.0,
    "layer_scale": 1e-6,
    "logit_scale": math.log(10),
}
"""By the last part of a name. All else is drawn."""


def _transformer(name: str, shape: Shape, seed: int) -> Values:
    constant = TRANSFORMER_CONSTANTS.get(name.rpartition(".")[2])
    if constant is None:
        return _normal(seed, name, shape, 0.02)
    return np.full(shape, constant, np.float32)


def _normal(seed: int, name: str, shape: Shape, deviation: float) -> Values:
    return _drawn(seed, name, shape, lambda unit: quantile(unit) * deviation)


def _uniform(seed: int, name: str, shape: Shape, bound: float) -> Values:
    return _drawn(seed, name, shape, lambda unit: (2.0 * unit - 1.0) * bound)


def _drawn(seed: int, name: str, shape: Shape, value: Callable[[Doubles], Doubles]) -> Values:
    """Returns `value` of the uniform numbers of the stream called `name`."""
    generator = named_stream(seed, Purpose.INITIAL_VALUES, name)
    values = np.empty(math.prod(shape), np.float32)
    for start in range(0, values.size, _PIECE):
        piece = values[start : start + _PIECE]
        piece[:] = value(uniform(generator, piece.size))
    return values.reshape(shape)
