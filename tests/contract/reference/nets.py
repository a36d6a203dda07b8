"""The nets whose truth is computed when the tests run."""

from __future__ import annotations

from collections.abc import Callable

from contract.reference.layers import (
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    ReLU,
)


def linear() -> list[Layer]:
    return [Flatten(), Linear("fc")]


def tiny_bn() -> list[Layer]:
    return [
        Conv("conv", padding=(1, 1)),
        BatchNorm("bn"),
        ReLU(),
        GlobalAveragePool(),
        Linear("fc"),
    ]


def tiny_dropout() -> list[Layer]:
    return [
        Flatten(),
        Dropout("drop1", 0.5),
        Linear("hidden"),
        ReLU(),
        Dropout("drop2", 0.25),
        Linear("fc"),
    ]


def lenet() -> list[Layer]:
    convolutions = [Conv("conv1"), ReLU(), MaxPool(), Conv("conv2"), ReLU(), MaxPool()]
    linears = [Linear("fc1"), ReLU(), Linear("fc2"), ReLU(), Linear("fc3")]
    return [*convolutions, Flatten(), *linears]


NETS: dict[str, Callable[[], list[Layer]]] = {
    "linear": linear,
    "tiny_bn": tiny_bn,
    "tiny_dropout": tiny_dropout,
    "lenet": lenet,
}
