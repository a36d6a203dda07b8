"""The training loop that gpu.py compares with, as a person writes it for a GPU.

bfloat16 by autocast, channels_last, workers that decode, pinned memory, copies and steps that do
not wait.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class HandWritten:
    """The loop's parts, in the form that gpu.py runs."""

    def __init__(self, options: Namespace, compiled: bool) -> None:
        self.options, self.device = options, torch.device(options.device)
        model = models.get_model(options.model, weights=None, num_classes=options.classes)
        model = model.to(self.device, memory_format=torch.channels_last).train()
        self.model = torch.compile(model) if compiled else model
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
        shape = 1, 3, 1, 1
        self.mean = torch.tensor(MEAN, device=self.device).view(shape) * 255
        self.std = torch.tensor(STD, device=self.device).view(shape) * 255
        self.loaders: dict[str, DataLoader] = {}

    def batches(self, source: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields batches without end: normalized images and labels on the device."""
        options = self.options
        if source == "synthetic":
            images = torch.randn(options.batch, 3, options.size, options.size, device=self.device)
            images = images.contiguous(memory_format=torch.channels_last)
            labels = torch.arange(options.batch, device=self.device) % options.classes
            while True:
                yield images, labels
        if source not in self.loaders:
            self.loaders[source] = self.loader(source)
        while True:
            for pixels, labels in self.loaders[source]:
                images = pixels.to(self.device, non_blocking=True).float()
                images = ((images - self.mean) / self.std).contiguous(
                    memory_format=torch.channels_last
                )
                yield images, labels.to(self.device, non_blocking=True)

    def loader(self, source: str) -> DataLoader:
        """Returns the batches of uint8 images in pinned memory."""
        augment = transforms.Compose(
            [
                transforms.RandomResizedCrop(self.options.size),
                transforms.RandomHorizontalFlip(),
                transforms.PILToTensor(),
            ]
        )
        images = ImageFolder(str(Path(self.options.data) / "train"))
        return DataLoader(
            Augmented(images, augment, keep=source == "pixels"),
            batch_size=self.options.batch,
            shuffle=True,
            drop_last=True,
            num_workers=self.options.workers,
            persistent_workers=self.options.workers > 0,
            pin_memory=self.device.type == "cuda",
        )

    def step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Makes a training step, without waiting."""
        images, labels = batch
        self.optimizer.zero_grad()
        half = self.options.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, half):
            loss = self.criterion(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def finish(self, losses: list[Tensor]) -> None:
        """Reads what the steps returned."""
        torch.stack(losses).tolist()


class Augmented(Dataset):
    """Images of a folder, augmented; with `keep`, decoded before the workers start."""

    def __init__(self, images: ImageFolder, augment: Any, keep: bool) -> None:
        self.images, self.augment = images, augment
        self.kept = [images[index] for index in range(len(images))] if keep else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.images[index] if self.kept is None else self.kept[index]
        return self.augment(image), label
