"""Transfer learning in plain PyTorch, as its tutorial has one write it.

python benchmarks/native/torch_loop.py --data hymenoptera_data --model resnet18 --batch 4
"""

from __future__ import annotations

import copy
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
from reporting import Clock, arguments, report
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    options = arguments(__doc__ or "", torch_arguments)
    torch.manual_seed(options.seed)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.part == "data":
        report(options, **drained(loaders(options)))
        return
    clock = Clock()
    if options.part == "step":
        model = build_model(options, options.classes)
        repeat_steps(options, model, clock)
        report(options, **clock.figures())
        return
    data = loaders(options)
    model = build_model(options, len(data["train"].dataset.classes))
    scores = train(options, model, data, clock)
    figures = {"best_val_accuracy": max(scores, default=0.0), "accuracy": (scores or [None])[-1]}
    report(options, **figures, **clock.figures())


def torch_arguments(parser: ArgumentParser) -> None:
    """Adds what a loop tuned by hand has and the tutorial's does not."""
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")


def loaders(options: Namespace) -> dict[str, DataLoader]:
    """Returns batches of the training and validation images."""
    pipelines = {
        "train": [
            transforms.RandomResizedCrop(options.size),
            transforms.RandomHorizontalFlip(),
        ],
        "val": [
            transforms.Resize(options.size * 256 // 224),
            transforms.CenterCrop(options.size),
        ],
    }
    finish = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return {
        phase: DataLoader(
            datasets.ImageFolder(
                str(Path(options.data) / phase), transforms.Compose([*pipeline, *finish])
            ),
            batch_size=options.batch,
            shuffle=True,
            num_workers=options.workers,
        )
        for phase, pipeline in pipelines.items()
    }


def build_model(options: Namespace, classes: int) -> nn.Module:
    """Returns a pretrained model with a new head for `classes` classes."""
    model = models.get_model(options.model, weights=None)
    if options.weights:
        state = torch.load(options.weights, map_location="cpu", weights_only=True)
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected, unexpected
        assert all(name.startswith(("fc.", "classifier.")) for name in missing), missing
    if options.frozen:
        for parameter in model.parameters():
            parameter.requires_grad = False
    if hasattr(model, "fc"):
        model.fc = nn.Linear(model.fc.in_features, classes)
    else:
        model.classifier[-1] = nn.Linear(model.classifier[-1].in_features, classes)
    model = model.to(options.device)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return torch.compile(model) if options.compile else model


def on_device(options: Namespace, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns a batch where, and laid out as, the model is."""
    layout = torch.channels_last if options.channels_last else torch.preserve_format
    return images.to(options.device, memory_format=layout), labels.to(options.device)


def forward(
    options: Namespace, model: nn.Module, criterion: nn.Module, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the logits of a batch and its loss."""
    with torch.autocast(torch.device(options.device).type, torch.bfloat16, options.bf16):
        outputs = model(images)
        return outputs, criterion(outputs, labels)


def training_parts(options: Namespace, model: nn.Module) -> tuple[nn.Module, optim.Optimizer]:
    """Returns the loss and the optimizer of what trains."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return nn.CrossEntropyLoss(), optim.SGD(trained, lr=options.lr, momentum=0.9)


def train(
    options: Namespace, model: nn.Module, data: dict[str, DataLoader], clock: Clock
) -> list[float]:
    """Trains and validates for some epochs; returns the validation accuracies."""
    criterion, optimizer = training_parts(options, model)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.1)
    scores: list[float] = []
    best_state = copy.deepcopy(model.state_dict())
    for _ in range(options.epochs):
        seconds = {}
        for phase in ("train", "val"):
            start = time.perf_counter()
            updating = optimizer if phase == "train" else None
            loss, accuracy = one_pass(options, model, data[phase], criterion, updating, clock)
            if phase == "train":
                scheduler.step()
            print(f"{phase}: loss {loss:.4f}, accuracy {accuracy:.4f}", flush=True)
            if phase == "val":
                if accuracy > max(scores, default=0.0):
                    best_state = copy.deepcopy(model.state_dict())
                scores.append(accuracy)
            seconds[phase] = time.perf_counter() - start
            if options.part == "first-step":
                return scores
        clock.epochs.append(seconds)
    model.load_state_dict(best_state)
    return scores


def one_pass(
    options: Namespace,
    model: nn.Module,
    batches: DataLoader,
    criterion: nn.Module,
    optimizer: optim.Optimizer | None,
    clock: Clock,
) -> tuple[float, float]:
    """Goes through the images once, training if there is an optimizer: loss and accuracy."""
    training = optimizer is not None
    model.train(training)
    total_loss, correct = 0.0, 0
    for images, labels in batches:
        begin = time.perf_counter()
        images, labels = on_device(options, images, labels)
        if training:
            optimizer.zero_grad()
        with torch.set_grad_enabled(training):
            outputs, loss = forward(options, model, criterion, images, labels)
            predicted = outputs.argmax(1)
            if training:
                loss.backward()
                optimizer.step()
        total_loss += loss.item() * len(labels)
        correct += (predicted == labels).sum().item()
        if training:
            clock.step(time.perf_counter() - begin)
            if options.part == "first-step":
                break
    size = len(batches.dataset)
    return total_loss / size, correct / size


def repeat_steps(options: Namespace, model: nn.Module, clock: Clock) -> None:
    """Trains on one batch that is there already, as often as asked."""
    criterion, optimizer = training_parts(options, model)
    images = torch.randn(options.batch, 3, options.size, options.size)
    labels = torch.arange(options.batch) % options.classes
    images, labels = on_device(options, images, labels)
    model.train()
    for _ in range(options.steps + 1):
        begin = time.perf_counter()
        one_step(options, model, images, labels, criterion, optimizer)
        clock.step(time.perf_counter() - begin)


def one_step(
    options: Namespace,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    criterion: nn.Module,
    optimizer: optim.Optimizer,
) -> tuple[float, int]:
    """Makes a training step; returns its loss and how many images were right."""
    optimizer.zero_grad()
    outputs, loss = forward(options, model, criterion, images, labels)
    predicted = outputs.argmax(1)
    loss.backward()
    optimizer.step()
    return loss.item(), int((predicted == labels).sum().item())


def drained(data: dict[str, DataLoader]) -> dict[str, object]:
    """Returns the images a second of each phase, without any model."""
    rates = {}
    for phase, batches in data.items():
        start = time.perf_counter()
        images = sum(len(labels) for _, labels in batches)
        rates[phase] = images / (time.perf_counter() - start)
    return {"images_per_second": rates}


if __name__ == "__main__":
    main()
