"""What all peers share: options, images, the model and its weights, and what they report."""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.datasets import ImageFolder

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "native"))
from reporting import arguments, report
from torch_loop import MEAN, STD, build_model, loaders, training_parts

__all__ = [
    "MEAN", "STD", "answer_accuracy", "answer_predictions", "body_and_head", "loaders",
    "model_of", "options_of", "training_parts", "validation_images",
]  # fmt: skip


def options_of(description: str | None) -> Namespace:
    """Returns the options of a peer, and seeds PyTorch."""
    options = arguments(description or "", _more)
    torch.manual_seed(options.seed)
    return options


def _more(parser: ArgumentParser) -> None:
    parser.set_defaults(model="mobilenet_v2", channels_last=False, compile=False)
    parser.add_argument("--predict", metavar="FILE", help="predict val/ and write a CSV file")
    parser.add_argument("--bf16", action="store_true", help="as for the loop by hand")


def model_of(options: Namespace) -> nn.Module:
    """Returns torchvision's model with a head for two classes.

    Its weights are those of the options: of the backbone alone to train, of everything to predict.
    """
    if not options.predict:
        return build_model(options, options.classes)
    model = build_model(Namespace(**{**vars(options), "weights": None}), options.classes)
    model.load_state_dict(torch.load(options.weights, map_location="cpu", weights_only=True))
    return model.eval()


def body_and_head(model: nn.Module) -> list[list[nn.Parameter]]:
    """Returns the parameters of the backbone, and those of the head."""
    return [list(model.features.parameters()), list(model.classifier.parameters())]


def validation_images(options: Namespace) -> ImageFolder:
    """Returns the validation images, in the order of their names."""
    return loaders(options)["val"].dataset


def answer_accuracy(options: Namespace, accuracy: float) -> None:
    """Prints the validation accuracy of the last epoch, in [0, 1]."""
    report(options, accuracy=float(accuracy))


def answer_predictions(
    options: Namespace, probabilities: Tensor, files: Sequence[str], classes: Sequence[str]
) -> None:
    """Writes path, class and probability of each image, and prints how many are right."""
    best = probabilities.max(1)
    rows = [
        (file, classes[index], probability)
        for file, index, probability in zip(
            files, best.indices.tolist(), best.values.tolist(), strict=True
        )
    ]
    with Path(options.predict).open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    right = sum(Path(file).parent.name == name for file, name, _ in rows)
    report(options, accuracy=right / len(rows))
