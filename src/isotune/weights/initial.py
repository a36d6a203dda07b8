"""Initial values, drawn by the core so that every backend starts from the same bytes.

Each tensor has its own stream, named after it: nothing depends on the order of the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from isotune.errors import WeightsError
from isotune.interfaces.head import LinearValues
from isotune.randomness import Purpose, named_stream
from isotune.weights.normal import normal, uniform

Shape = tuple[int, ...]
Values = NDArray[np.float32]


def linear_values(seed: int, name: str, in_features: int, out_features: int) -> LinearValues:
    """Returns the values of a new linear layer, as PyTorch's ``nn.Linear`` draws them.

    Weight and bias are uniform between -1/sqrt(in_features) and 1/sqrt(in_features)
    (https://pytorch.org/docs/stable/generated/torch.nn.Linear.html).

    Args:
        seed: the experiment's seed.
        name: tells its values from those of other layers: ``head``, ``head.3``.
        in_features: width of its input.
        out_features: width of its output.
    """
    bound = 1 / math.sqrt(in_features)
    # No parameter's path has a slash, so these streams are the head's alone.
    return LinearValues(
        weight=_uniform(seed, f"{name}/weight", (out_features, in_features), bound),
        bias=_uniform(seed, f"{name}/bias", (out_features,), bound),
    )


def initial_state(shapes: Mapping[str, Shape], seed: int) -> dict[str, Values]:
    """Returns values for every tensor of a model that starts without pretrained weights.

    - BatchNorm: weight 1, bias 0, running mean 0, running variance 1.
    - A convolution without bias, which a BatchNorm follows: normal with variance 2 / fan_out,
      fan_out being output channels times kernel area, as in torchvision's ResNet, MobileNetV2
      and EfficientNet (He et al., "Delving deep into rectifiers", 2015).
    - Any other convolution or linear layer: weight and bias uniform within 1 / sqrt(fan_in),
      PyTorch's default.

    Args:
        shapes: shapes by canonical name.
        seed: the experiment's seed.

    Returns:
        float32 arrays by name, in the order of `shapes`.

    Raises:
        WeightsError: a tensor is none of these.
    """
    return {name: _initial(name, shape, shapes, seed) for name, shape in shapes.items()}


def _initial(name: str, shape: Shape, shapes: Mapping[str, Shape], seed: int) -> Values:
    layer, _, parameter = name.rpartition(".")
    weight = shapes.get(f"{layer}.weight", ())
    if parameter == "running_mean":
        return np.zeros(shape, np.float32)
    if parameter == "running_var":
        return np.ones(shape, np.float32)
    if parameter in ("weight", "bias") and len(weight) == 1:
        return np.full(shape, parameter == "weight", np.float32)
    if parameter == "weight" and len(weight) > 2 and f"{layer}.bias" not in shapes:
        fan_out = weight[0] * math.prod(weight[2:])
        values = normal(named_stream(seed, Purpose.INITIAL_VALUES, name), math.prod(shape))
        return (values * math.sqrt(2 / fan_out)).astype(np.float32).reshape(shape)
    if parameter in ("weight", "bias") and len(weight) > 1:
        return _uniform(seed, name, shape, 1 / math.sqrt(math.prod(weight[1:])))
    raise WeightsError(
        f"tensor '{name}' of shape {tuple(shape)} has no initial value of its own; give the"
        " backbone weights instead of 'none'."
    )


def _uniform(seed: int, name: str, shape: Shape, bound: float) -> Values:
    values = uniform(named_stream(seed, Purpose.INITIAL_VALUES, name), math.prod(shape))
    return ((2.0 * values - 1.0) * bound).astype(np.float32).reshape(shape)
