"""The small nets of the contract: what each looks like, and its description for the reference.

They are tiny so that a backend that compiles its steps is still tested in a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest

from isotune.interfaces.backbone import BackboneEntry, Preprocessing
from isotune.testing.reference.layers import (
    Auxiliary,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    PointwiseConv,
    ReLU,
)


@dataclass(frozen=True)
class Net:
    """A net of the contract.

    Attributes:
        entry: What the catalogue would say of it.
        shapes: Shapes of its tensors by canonical name.
        layers: Returns its layers for the reference.
    """

    entry: BackboneEntry
    shapes: Mapping[str, tuple[int, ...]]
    layers: Callable[[], list[Layer]]


class Nets:
    """The nets that a backend's author builds, one method each, as native models.

    Images have shape (N, 3, 8, 8) and there are three classes. Parameters have the canonical names
    that the descriptions imply (``fc.weight``, ``bn.running_var``) and any values.
    """

    def linear(self) -> Any:
        """Flatten; `fc`: linear layer, 192 inputs, 3 outputs."""
        self._missing("linear")

    def tiny_bn(self) -> Any:
        """`conv`: convolution of 3 x 3, 3 to 4 channels, padding 1, no bias; `bn`: BatchNorm of 4
        channels; ReLU; mean over height and width; `fc`: linear layer, 4 inputs, 3 outputs."""
        self._missing("tiny_bn")

    def tiny_dropout(self) -> Any:
        """Flatten; `stem`, a block of `stem.drop`: dropout, p = 0.5, and `stem.hidden`: linear
        layer, 192 inputs, 16 outputs; ReLU; `drop`: dropout, p = 0.25; `fc`: linear layer, 16
        inputs, 3 outputs."""
        self._missing("tiny_dropout")

    def tiny_convolutional(self) -> Any:
        """`conv`: convolution of 3 x 3, 3 to 4 channels, padding 1, no bias; ReLU; `classifier`:
        convolution of 1 x 1, 4 to 3 channels, with bias; mean over height and width."""
        self._missing("tiny_convolutional")

    def tiny_auxiliary(self) -> Any:
        """`conv`: convolution of 3 x 3, 3 to 4 channels, padding 1, no bias; ReLU; mean over height
        and width; `fc`: linear layer, 4 inputs, 3 outputs. In training it returns the logits of
        `fc` and then those of `aux.fc`, a second linear layer of 4 inputs and 3 outputs on the same
        means; in evaluation those of `fc` alone."""
        self._missing("tiny_auxiliary")

    def tiny_repeated(self) -> Any:
        """`conv`: convolution of 3 x 3, 3 to 4 channels, padding 1, no bias; ReLU; mean over height
        and width; `mix`: one linear layer, 4 inputs, 4 outputs, applied twice; `fc`: linear layer,
        4 inputs, 3 outputs."""
        self._missing("tiny_repeated")

    def _missing(self, name: str) -> NoReturn:
        description = " ".join((getattr(Nets, name).__doc__ or "").split())
        pytest.fail(
            f"the contract needs the net '{name}': give {type(self).__name__} a method"
            f" `{name}(self)` that returns this native model. {description}",
            pytrace=False,
        )


def _entry(name: str, classifier: str = "fc", **fields: Any) -> BackboneEntry:
    small = Preprocessing(input_size=8, resize_size=8)
    return BackboneEntry(name, classifier, preprocessing=small, **fields)


_CONV = {"conv.weight": (4, 3, 3, 3)}
_FC = {"fc.weight": (3, 4), "fc.bias": (3,)}

NETS = {
    "linear": Net(
        _entry("linear"),
        {"fc.weight": (3, 192), "fc.bias": (3,)},
        lambda: [Flatten(), Linear("fc")],
    ),
    "tiny_bn": Net(
        _entry("tiny_bn", stages={"stem": ("conv", "bn"), "head": ("fc",)}),
        {
            **_CONV,
            **{f"bn.{kind}": (4,) for kind in ("weight", "bias", "running_mean", "running_var")},
            **_FC,
        },
        lambda: [
            Conv("conv", padding=(1, 1)),
            BatchNorm("bn"),
            ReLU(),
            GlobalAveragePool(),
            Linear("fc"),
        ],
    ),
    "tiny_dropout": Net(
        _entry("tiny_dropout"),
        {
            "stem.hidden.weight": (16, 192),
            "stem.hidden.bias": (16,),
            "fc.weight": (3, 16),
            "fc.bias": (3,),
        },
        lambda: [
            Flatten(),
            Dropout("stem.drop", 0.5),
            Linear("stem.hidden"),
            ReLU(),
            Dropout("drop", 0.25),
            Linear("fc"),
        ],
    ),
    "tiny_convolutional": Net(
        _entry("tiny_convolutional", "classifier", convolutional=True),
        {**_CONV, "classifier.weight": (3, 4, 1, 1), "classifier.bias": (3,)},
        lambda: [
            Conv("conv", padding=(1, 1)),
            ReLU(),
            PointwiseConv("classifier"),
            GlobalAveragePool(),
        ],
    ),
    "tiny_auxiliary": Net(
        _entry("tiny_auxiliary", auxiliary=("aux.fc",), auxiliary_weight=0.4),
        {**_CONV, **_FC, "aux.fc.weight": (3, 4), "aux.fc.bias": (3,)},
        lambda: [
            Conv("conv", padding=(1, 1)),
            ReLU(),
            GlobalAveragePool(),
            Auxiliary("aux", [Linear("aux.fc")]),
            Linear("fc"),
        ],
    ),
    "tiny_repeated": Net(
        _entry("tiny_repeated"),
        {**_CONV, "mix.weight": (4, 4), "mix.bias": (4,), **_FC},
        lambda: [
            Conv("conv", padding=(1, 1)),
            ReLU(),
            GlobalAveragePool(),
            Linear("mix"),
            Linear("mix"),
            Linear("fc"),
        ],
    ),
}
"""The nets by the names of their methods in :class:`Nets`."""
