"""What each of the two processes of ``test_two_processes.py`` does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from isotune.errors import LostProcessError
from isotune.interfaces.communicator import Communicator, Place
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.division import Division
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.spec.values import Reduction
from isotune_torch.plugin import TorchOffer
from isotune_torch.trainer import TorchTrainer

STEPS, RATE, MOMENTUM = 4, 0.05, 0.9


def new_model() -> nn.Module:
    """Returns a model with BatchNorm, and a parameter that takes no gradients."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(216, 3))
    model[2].register_parameter("unused", nn.Parameter(torch.ones(2)))
    return model


def halves(place: Place) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields this process's half of each batch: images and labels."""
    generator = torch.Generator().manual_seed(4)
    own = slice(4 * place.rank, 4 * place.rank + 4)
    for _ in range(STEPS):
        images = torch.randn(8, 3, 8, 8, generator=generator)
        yield images[own], torch.randint(0, 3, (8,), generator=generator)[own]


def by_hand(place: Place) -> nn.Module:
    """Trains as PyTorch's documentation does."""
    model = new_model()
    parallel = DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, weight_decay=0.1)
    for images, labels in halves(place):
        optimizer.zero_grad()
        nn.functional.cross_entropy(parallel(images), labels).backward()
        optimizer.step()
    return model


def trainer_of(model: nn.Module, communicator: Communicator, reduction: Reduction) -> TorchTrainer:
    """Returns a trainer of two shards."""
    rule = SGDSpec(momentum=MOMENTUM, weight_decay=0.1)
    plan = TrainingPlan(rule, shards=2, reduction=reduction)
    return TorchTrainer(model, plan, torch.device("cpu"), communicator)


def train(trainer: TorchTrainer, place: Place) -> None:
    """Trains by steps on parts."""
    (part,) = Division(2, place.processes, place.rank).divide(8)
    for number, (images, labels) in enumerate(halves(place)):
        batch = DeviceBatch(images, labels, len(labels))
        trainer.train_step(batch, StepPlan(number, RATE, loss_scale=0.5, part=part))


def told(action: Callable[[], object]) -> str:
    """Returns the sentence of the error that a lost process leads to."""
    try:
        action()
    except LostProcessError as error:
        return str(error)
    return "no error"


def main(folder: Path) -> None:
    """Trains in three ways, then loses process 1."""
    offer = TorchOffer()
    place = offer.place()
    communicator = offer.join("cpu", place).communicator
    models = {"by hand": by_hand(place), "fast": new_model(), "exact": new_model()}
    reductions: tuple[Reduction, ...] = ("fast", "exact")
    trainers = {name: trainer_of(models[name], communicator, name) for name in reductions}
    for trainer in trainers.values():
        train(trainer, place)
    attributes = {name for module in models["fast"].modules() for name in vars(module)}
    plain = {name for module in new_model().modules() for name in vars(module)}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, for those that one has left
    if not place.leads:
        communicator.gather(np.zeros(1))
        os.kill(os.getpid(), signal.SIGKILL)
    communicator.gather(np.zeros(1))
    values = {
        f"{name}/{key}": value.detach().numpy()
        for name, model in models.items()
        for key, value in model.named_parameters()
    }
    sentences = [
        told(lambda: train(trainers["fast"], place)),
        told(lambda: train(trainers["exact"], place)),
        told(lambda: communicator.gather(np.zeros(1))),
    ]
    np.savez(folder / "found.npz", told=sentences, left=sorted(attributes - plain), **values)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)  # as a process of a run leaves: gloo's threads may crash one that takes its time
