"""Draws the list of mutants: changes of layers at random places, and every change of a step.

A change is drawn for a layer that both backends have under the same path, so that the same list can
change either side. Sides alternate. The changes used least so far come first, in random order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mindspore
import mindspore_changes
import numpy as np
import torch
import torch_changes
from experiments import LAYERS, Experiment
from mutant import Mutant
from step_mutants import PLACED_MUTANTS, STEP_MUTANTS
from torch import nn

from isotune.plugins import plugins
from isotune_mindspore.cells import find

SIDES = ("torch", "mindspore")
PER_EXPERIMENT = 6


@dataclass(frozen=True)
class Place:
    """A layer or block as torch has it.

    Attributes:
        path: Its path.
        module: The module.
        cell: MindSpore's cell at the path.
        inputs: Shape of its input.
        outputs: Shape of its output.
        first: Whether no other convolution comes before it.
    """

    path: str
    module: Any
    cell: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    first: bool

    @property
    def kind(self) -> str:
        return type(self.module).__name__

    @property
    def weighted(self) -> bool:
        return self.kind in {"Conv2d", "Linear"}

    @property
    def normalizes(self) -> bool:
        return self.kind in {"BatchNorm2d", "LayerNorm", "LayerNorm2d"}

    @property
    def padded(self) -> bool:
        return self.kind == "Conv2d" and min(self.module.padding) > 0 and self.inputs[2] >= 4

    @property
    def square(self) -> bool:
        shape = self.module.weight.shape if self.weighted else (1,)
        return len(shape) > 1 and shape[-1] == shape[-2] > 1


VISIBLE = 1e-5
"""Smallest relative change of a running variance that counts as a mutant."""

ACTIVATIONS = {"ReLU", "ReLU6", "SiLU", "Hardswish", "Sigmoid", "Hardsigmoid", "GELU"}
BLOCKS = {
    *("BasicBlock", "Bottleneck", "InvertedResidual", "_InvertedResidual", "MBConv"),
    *("ResBottleneckBlock", "CNBlock", "SwinTransformerBlock", "EncoderBlock"),
}

Condition = Callable[[Place], bool]

WHERE: dict[str, tuple[str, Condition]] = {
    "norm_eps": ("eps times 100", lambda at: at.normalizes),
    "bn_momentum": ("momentum by the other convention", lambda at: at.kind == "BatchNorm2d"),
    "bn_biased_variance": (
        "running variance from the biased one",
        lambda at: at.kind == "BatchNorm2d" and at.module.momentum / _values(at) >= VISIBLE,
    ),
    "bn_evaluation_mode": ("BatchNorm in evaluation mode", lambda at: at.kind == "BatchNorm2d"),
    "skipped_bias": (
        "bias left out",
        lambda at: (at.weighted or at.normalizes) and at.module.bias is not None,
    ),
    "padding_on_one_side": ("padding at the right and below only", lambda at: at.padded),
    "padding_of_edges": ("edges repeated instead of zeros", lambda at: at.padded),
    "stride_offset": (
        "stride starts one pixel later",
        lambda at: at.kind == "Conv2d" and at.module.stride[0] > 1 and at.inputs[2] >= 4,
    ),
    "kernel_transposed": ("kernel transposed", lambda at: at.square),
    "kernel_flipped": ("kernel flipped", lambda at: at.square and at.kind == "Conv2d"),
    "channel_order": ("first layer takes BGR", lambda at: at.first),
    "swapped_weights": ("weights of two layers swapped", lambda at: at.weighted),
    "other_activation": ("another activation", lambda at: at.kind in ACTIVATIONS),
    "gelu_by_tanh": ("GELU by tanh", lambda at: at.kind == "GELU"),
    "mean_instead_of_maximum": (
        "average pooling instead of maximum pooling",
        lambda at: at.kind == "MaxPool2d" and not at.module.ceil_mode,
    ),
    "maximum_instead_of_mean": (
        "maximum instead of the mean of a map",
        lambda at: at.kind == "AdaptiveAvgPool2d" and at.outputs[2:] == (1, 1) < at.inputs[2:],
    ),
    "window_moved": (
        "pooling one pixel off",
        lambda at: at.kind == "MaxPool2d" and at.inputs[2] >= 4,
    ),
    "scaled_residual": (
        "5% more of the block's input",
        lambda at: at.kind in BLOCKS and at.inputs == at.outputs,
    ),
    "attention_scale": (
        "queries times 1.1",
        lambda at: at.kind == "MultiheadAttention",
    ),
    "dropout_rate": ("dropout 1.5 times as often", lambda at: _drops(at)),
    "dropout_dead": ("dropout does nothing", lambda at: _drops(at)),
    "halved_weight_gradient": ("gradient of the weight halved", lambda at: at.weighted),
    "halved_input_gradient": (
        "gradient of the input halved",
        lambda at: at.weighted and not at.first,
    ),
    "tf32": ("input and weight rounded to TF32", lambda at: at.weighted),
    "bf16": ("input and weight rounded to bfloat16", lambda at: at.weighted),
}
"""For each change its words, and where it is one."""


def _values(at: Place) -> int:
    """Returns of how many values a channel's statistics are."""
    return at.inputs[0] * at.inputs[2] * at.inputs[3]


def _drops(at: Place) -> bool:
    return at.kind in {"Dropout", "StochasticDepth"} and 0 < at.module.p <= 0.5


def draw(seed: int) -> list[Mutant]:
    """Returns all mutants of a seed."""
    generator, used = np.random.default_rng(seed), Counter[str]()
    mutants: list[Mutant] = []
    for name, experiment in LAYERS.items():
        found = places(experiment)
        for _ in range(PER_EXPERIMENT):
            side = SIDES[len(mutants) % 2]
            taken = {each.change for each in mutants if each.experiment == name}
            usable = {
                change: fitting
                for change, (_, condition) in WHERE.items()
                if change not in taken
                and (
                    fitting := [
                        at for at in found if condition(at) and usable_for(change, at, found)
                    ]
                )
            }
            least = min(used[change] for change in usable)
            change = str(generator.choice([each for each in usable if used[each] == least]))
            used[change] += 1
            mutants.append(
                drawn(len(mutants) + 1, name, side, change, usable[change], found, generator)
            )
    for each in (*PLACED_MUTANTS, *STEP_MUTANTS):
        for side in SIDES:
            mutants.append(each(len(mutants) + 1, side))
    return mutants


def drawn(
    number: int,
    experiment: str,
    side: str,
    change: str,
    fitting: list[Place],
    found: list[Place],
    generator: np.random.Generator,
) -> Mutant:
    """Returns a mutant at one of the fitting places."""
    at, partner = fitting[int(generator.integers(len(fitting)))], None
    if change == "swapped_weights":
        others = [other for other in fitting if partners(at, other)]
        second = others[int(generator.integers(len(others)))]
        order = [each.path for each in found]
        at, second = sorted((at, second), key=lambda each: order.index(each.path))
        partner = second.path
    return Mutant(number, experiment, side, change, WHERE[change][0], at.path, partner)


def usable_for(change: str, at: Place, found: list[Place]) -> bool:
    """Whether a layer that fits a change has what else the change needs."""
    return change != "swapped_weights" or any(partners(at, other) for other in found)


def partners(at: Place, other: Place) -> bool:
    """Whether two layers can use each other's weights."""
    if at.kind != other.kind or at.path == other.path:
        return False
    one, two = at.module, other.module
    return one.weight.shape == two.weight.shape and (one.bias is None) == (two.bias is None)


def places(experiment: Experiment) -> list[Place]:
    """Returns the layers and blocks that both backends have, in order of execution."""
    model = plugins.open_backend("torch", "cpu").backbones.build(experiment.entry)
    with mindspore_mode():
        cells = plugins.open_backend("mindspore", "cpu").backbones.build(experiment.entry)
    found: dict[str, Place] = {}
    paths = {id(module): path for path, module in model.named_modules()}

    def observe(module: nn.Module, inputs: Any, output: Any) -> None:
        path = paths[id(module)]
        cell = find(cells, path) if path else None
        value = output[0] if isinstance(output, tuple) else output
        plain = inputs and isinstance(inputs[0], torch.Tensor) and isinstance(value, torch.Tensor)
        if cell is None or not plain:
            return
        first = isinstance(module, nn.Conv2d) and module.in_channels == 3
        found.setdefault(
            path, Place(path, module, cell, tuple(inputs[0].shape), tuple(value.shape), first)
        )

    handles = [module.register_forward_hook(observe) for module in model.modules()]
    side = experiment.side
    with torch.no_grad():
        model.train()(torch.zeros(experiment.images, 3, side, side))
    for handle in handles:
        handle.remove()
    return [at for at in found.values() if at.kind in BLOCKS or matches(at)]


def mindspore_mode() -> Any:
    """Returns a context in which nothing is compiled."""
    return plugins.open_backend("mindspore", "cpu").isolated()


SAME = {
    "Conv2d": mindspore.nn.Conv2d,
    "Linear": mindspore.nn.Dense,
    "BatchNorm2d": mindspore.nn.BatchNorm2d,
    "LayerNorm": mindspore.nn.LayerNorm,
    "LayerNorm2d": mindspore.nn.LayerNorm,
    "ReLU": mindspore.nn.ReLU,
    "ReLU6": mindspore.nn.ReLU6,
    "SiLU": mindspore.nn.SiLU,
    "Hardswish": mindspore.nn.HSwish,
    "Sigmoid": mindspore.nn.Sigmoid,
    "Hardsigmoid": mindspore.nn.HSigmoid,
    "GELU": mindspore.nn.GELU,
    "MaxPool2d": mindspore.nn.MaxPool2d,
}


def matches(at: Place) -> bool:
    """Whether MindSpore's cell is of the same kind."""
    if at.kind in SAME:
        return isinstance(at.cell, SAME[at.kind])
    names = {"AdaptiveAvgPool2d": "GlobalMean", "MultiheadAttention": "SelfAttention"}
    return type(at.cell).__name__ == names.get(at.kind, at.kind)


def check() -> Iterator[str]:
    """Yields the names of changes that a backend lacks."""
    for name in WHERE:
        for module in (torch_changes, mindspore_changes):
            if name not in module.CHANGES:
                yield f"{module.__name__}.{name}"
