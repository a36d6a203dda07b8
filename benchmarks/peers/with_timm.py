"""The same transfer learning in the style of timm's own training script."""

from __future__ import annotations

from argparse import Namespace

import torch
from task import MEAN, STD, answer_accuracy, answer_predictions, options_of
from timm import create_model
from timm.data import ImageDataset, create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import nn


def main() -> None:
    options = options_of(__doc__)
    model = model_of(options)
    if options.predict:
        batches = loader(options, "val")
        probabilities = evaluated(model, batches)[0].softmax(1)
        files = batches.dataset.filenames(absolute=True)
        classes = sorted(batches.dataset.reader.class_to_idx)
        answer_predictions(options, probabilities, files, classes)
        return
    answer_accuracy(options, train(options, model))


def model_of(options: Namespace) -> nn.Module:
    """Returns timm's model with torchvision's weights, whose tensors have the same order."""
    model = create_model("mobilenetv2_100", num_classes=options.classes, drop_rate=0.2)
    model.reset_classifier(options.classes)  # or initial weights are up to 0.7, and it learns later
    theirs = torch.load(options.weights, map_location="cpu", weights_only=True)
    own = model.state_dict()
    names = list(own) if options.predict else [n for n in own if not n.startswith("classifier.")]
    tensors = [tensor for name, tensor in theirs.items() if options.predict or "features" in name]
    model.load_state_dict({**own, **dict(zip(names, tensors, strict=True))})
    if options.frozen:
        model.requires_grad_(False)
        model.classifier.requires_grad_(True)
    return model


def loader(options: Namespace, split: str) -> torch.utils.data.DataLoader:
    """Returns batches of the training or validation images."""
    training = split == "train"
    return create_loader(
        ImageDataset(f"{options.data}/{split}"),
        input_size=(3, options.size, options.size),
        batch_size=options.batch,
        is_training=training,
        use_prefetcher=False,
        color_jitter=None,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        crop_pct=options.size / (options.size * 256 // 224),
        num_workers=options.workers,
        pin_memory=False,
        persistent_workers=options.workers > 0,
        device=torch.device("cpu"),
    )


def train(options: Namespace, model: nn.Module) -> float:
    """Trains and validates for some epochs; returns the accuracy of the last one."""
    batches, held_out = loader(options, "train"), loader(options, "val")
    optimizer = create_optimizer_v2(model, opt="momentum", lr=options.lr, momentum=0.9)
    scheduler, _ = create_scheduler_v2(
        optimizer, "step", num_epochs=options.epochs, decay_epochs=5, decay_rate=0.1
    )
    loss, accuracy = nn.CrossEntropyLoss(), 0.0
    for epoch in range(options.epochs):
        model.train()
        for images, labels in batches:
            optimizer.zero_grad()
            loss(model(images), labels).backward()
            optimizer.step()
        scheduler.step(epoch + 1)
        logits, labels = evaluated(model, held_out)
        accuracy = (logits.argmax(1) == labels).float().mean().item()
    return accuracy


@torch.no_grad()
def evaluated(
    model: nn.Module, batches: torch.utils.data.DataLoader
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the logits and the labels of all images, in order."""
    model.eval()
    both = [(model(images), labels) for images, labels in batches]
    return torch.cat([logits for logits, _ in both]), torch.cat([labels for _, labels in both])


if __name__ == "__main__":
    main()
