"""Writes ``truth.json``: ``PYTHONPATH=tests python -m contract.make_truth``.

The truth is computed in float64: by torchvision's own models where it has them, else by the
NumPy reference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.ops import StochasticDepth

from contract.efficientnet_lite0 import EfficientNetLite0
from contract.truth import CATALOGUE, CLASSES, FILE, SEED, WITH_LOGITS, images, signature
from isotune.interfaces.names import NO_STATE
from isotune.testing.reference.layers import (
    Array,
    Conv,
    Flatten,
    Layer,
    Linear,
    Pass,
    ReLU,
    forward,
)
from isotune.testing.reference.trainer import normalized
from isotune.testing.values import NORMALIZATION, state
from isotune.training.dropout import keep_mask, layer_seed, next_seed
from isotune_torch.backbone import BUILDERS, WithoutRandomValues

LENET_SHAPES = {
    "conv1.weight": (6, 3, 5, 5),
    "conv1.bias": (6,),
    "conv2.weight": (16, 6, 5, 5),
    "conv2.bias": (16,),
    "fc1.weight": (120, 400),
    "fc1.bias": (120,),
    "fc2.weight": (84, 120),
    "fc2.bias": (84,),
    "fc3.weight": (10, 84),
    "fc3.bias": (10,),
}

Shapes = Mapping[str, tuple[int, ...]]
Values = Mapping[str, NDArray[Any]]
Run = Callable[[Values, NDArray[np.float64], bool], tuple[list[NDArray[np.float64]], Values]]
"""Returns the logits of a state and images, in training mode or not, and the state after.

Behind the logits are those of auxiliary classifiers.
"""


class MaxPool(Layer):
    """2 x 2 with stride 2."""

    def forward(self, x: Array, at: Pass) -> Array:
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def lenet() -> list[Layer]:
    convolutions = [Conv("conv1"), ReLU(), MaxPool(), Conv("conv2"), ReLU(), MaxPool()]
    linears = [Linear("fc1"), ReLU(), Linear("fc2"), ReLU(), Linear("fc3")]
    return [*convolutions, Flatten(), *linears]


class CoreDropout(nn.Module):
    """The layer of dropout or stochastic depth at `path`, with the core's masks of step 0."""

    def __init__(self, path: str, layer: nn.Module) -> None:
        super().__init__()
        self.path, self.p, self.samples = path, layer.p, isinstance(layer, StochasticDepth)
        self.word = layer_seed(SEED, 0, path)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        shape = (len(x),) + (1,) * (x.ndim - 1) if self.samples else tuple(x.shape)
        keep = keep_mask(self.word, shape, self.p)
        self.word = next_seed(self.word)
        return x * torch.from_numpy(keep / (1 - self.p))


def by_torchvision(name: str) -> tuple[Shapes, Run]:
    with WithoutRandomValues():
        values = BUILDERS[name]().state_dict().items()
    shapes = {k: tuple(v.shape) for k, v in values if k.rpartition(".")[2] not in NO_STATE}

    def run(values: Values, x: NDArray[np.float64], training: bool) -> Any:
        model = BUILDERS[name](num_classes=CLASSES).double()
        put(model, classifier(shapes), with_bias(model.get_submodule(classifier(shapes))))
        for path, layer in list(model.named_modules()):
            if isinstance(layer, (nn.Dropout, StochasticDepth)) and layer.p > 0:
                put(model, path, CoreDropout(path, layer))
        tensors = model.state_dict()
        for key, value in values.items():
            tensors[key].copy_(torch.from_numpy(value.copy()))
        outputs = model.train(training)(torch.from_numpy(x.copy()))
        each = [outputs] if isinstance(outputs, Tensor) else outputs
        after = {k: v.numpy() for k, v in model.state_dict().items()}
        return [logits.detach().numpy() for logits in each], after

    return shapes, run


def put(model: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, last = path.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)


def with_bias(layer: nn.Module) -> nn.Module:
    """Returns a last layer as ours is: MaxViT's own has no bias."""
    if layer.bias is not None:
        return layer
    return nn.Linear(layer.in_features, layer.out_features, dtype=torch.float64)


def by_reference(shapes: Shapes, layers: list[Layer]) -> tuple[Shapes, Run]:
    def run(values: Values, x: NDArray[np.float64], training: bool) -> Any:
        after = {name: value.astype(np.float64) for name, value in values.items()}
        return [forward(layers, x, Pass(after, training, seed=SEED))], after

    return shapes, run


def known(name: str) -> tuple[Shapes, Run]:
    """Returns who knows backbone `name`."""
    if name == "lenet":
        return by_reference(LENET_SHAPES, lenet())
    if name == "efficientnet_lite0":
        lite = EfficientNetLite0()
        return by_reference(lite.shapes, lite.layers)
    return by_torchvision(name)


def classifier(shapes: Shapes) -> str:
    """Returns the path of the last layer."""
    return [key for key, shape in shapes.items() if len(shape) > 1][-1].removesuffix(".weight")


def computed(name: str) -> dict[str, Any]:
    """Returns logits, and statistics after a step, with a head of ``CLASSES`` outputs."""
    shapes, run = known(name)
    heads = [classifier(shapes), *CATALOGUE[name].auxiliary]
    fewer = {f"{head}.weight": (CLASSES, *shapes[f"{head}.weight"][1:]) for head in heads}
    values = state({**shapes, **fewer, **{f"{head}.bias": (CLASSES,) for head in heads}})
    x = normalized(images(name).images, NORMALIZATION)
    (trained, *auxiliary), after = run(values, x, True)
    labels = torch.from_numpy(images(name).labels).long()
    losses = [cross_entropy(torch.from_numpy(each), labels) for each in (trained, *auxiliary)]
    weight = CATALOGUE[name].auxiliary_weight
    kept = [key for key in shapes if key.endswith(("running_mean", "running_var"))]
    return {
        "eval": run(values, x, False)[0][0].tolist(),
        "train": trained.tolist(),
        "loss": [float(losses[0] + weight * sum(losses[1:]))],
        "statistics": {key: after[key][:3].tolist() for key in kept[:2] + kept[-2:]},
    }


def main() -> None:
    truth = {}
    for name in BUILDERS:
        shapes, _ = known(name)
        truth[name] = {"classifier": classifier(shapes), "signature": signature(shapes)}
        truth[name].update(computed(name) if name in WITH_LOGITS else {})
    FILE.write_text(json.dumps(truth, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
