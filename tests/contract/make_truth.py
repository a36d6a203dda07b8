"""Writes ``truth.json``: ``PYTHONPATH=tests python -m contract.make_truth``.

The truth is computed in float64: by torchvision's own models where it has them, else by the
NumPy reference. No backend takes part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn

from contract.reference.efficientnet_lite0 import EfficientNetLite0
from contract.reference.layers import Layer, Pass, forward
from contract.reference.nets import lenet
from contract.reference.trainer import normalised
from contract.truth import CLASSES, FILE, SEED, WITH_LOGITS, pictures, signature
from contract.values import NORMALIZATION, state
from isotune.training.dropout import keep_mask, layer_seed

TORCHVISION = (
    "alexnet",
    "mobilenet_v2",
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *(f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")),
)
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
Run = Callable[[Values, NDArray[np.float64], bool], tuple[NDArray[np.float64], Values]]
"""Returns the logits of a state and pictures, in training mode or not, and the state after."""


class CoreDropout(nn.Module):
    """The dropout layer of this number, with the core's mask of step 0."""

    def __init__(self, number: int, p: float) -> None:
        super().__init__()
        self.number, self.p = number, p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = keep_mask(layer_seed(SEED, 0, self.number), tuple(x.shape), self.p)
        return x * torch.from_numpy(keep / (1 - self.p))


def by_torchvision(name: str) -> tuple[Shapes, Run]:
    build = getattr(torchvision.models, name)
    with torch.device("meta"):
        values = build().state_dict().items()
    shapes = {k: tuple(v.shape) for k, v in values if not k.endswith("num_batches_tracked")}

    def run(values: Values, x: NDArray[np.float64], training: bool) -> Any:
        model = build(num_classes=CLASSES).double()
        modules = list(model.named_modules())
        dropouts = [(path, m.p) for path, m in modules if isinstance(m, nn.Dropout)]
        for number, (path, p) in enumerate(dropouts):
            parent, _, last = path.rpartition(".")
            setattr(model.get_submodule(parent), last, CoreDropout(number, p))
        tensors = {key: torch.from_numpy(value.copy()) for key, value in values.items()}
        model.load_state_dict(tensors, strict=False)
        logits = model.train(training)(torch.from_numpy(x.copy()))
        return logits.detach().numpy(), {k: v.numpy() for k, v in model.state_dict().items()}

    return shapes, run


def by_reference(shapes: Shapes, layers: list[Layer]) -> tuple[Shapes, Run]:
    def run(values: Values, x: NDArray[np.float64], training: bool) -> Any:
        after = {name: value.astype(np.float64) for name, value in values.items()}
        return forward(layers, x, Pass(after, training, seed=SEED)), after

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
    """Returns the path of the last linear layer."""
    last = [key for key, shape in shapes.items() if len(shape) == 2][-1]
    return last.removesuffix(".weight")


def computed(name: str) -> dict[str, Any]:
    """Returns logits, and statistics after a step, with a head of ``CLASSES`` outputs."""
    shapes, run = known(name)
    head = classifier(shapes)
    width = shapes[f"{head}.weight"][1]
    values = state({**shapes, f"{head}.weight": (CLASSES, width), f"{head}.bias": (CLASSES,)})
    x = normalised(pictures(name).images, NORMALIZATION)
    trained, after = run(values, x, True)
    kept = [key for key in shapes if key.endswith(("running_mean", "running_var"))]
    return {
        "eval": run(values, x, False)[0].tolist(),
        "train": trained.tolist(),
        "statistics": {key: after[key][:3].tolist() for key in kept[:2] + kept[-2:]},
    }


def main() -> None:
    truth = {}
    for name in ("efficientnet_lite0", "lenet", *TORCHVISION):
        shapes, _ = known(name)
        truth[name] = {"classifier": classifier(shapes), "signature": signature(shapes)}
        truth[name].update(computed(name) if name in WITH_LOGITS else {})
    FILE.write_text(json.dumps(truth, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
