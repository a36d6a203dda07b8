"""Data-parallel training in plain PyTorch, by DistributedDataParallel, started by torchrun.

torchrun --nproc-per-node 4 benchmarks/native/torch_ddp.py --images FOLDER --model resnet18
    --initial FILE --order FILE --batch 16 --lr 0.02 --output FILE
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn, optim
from torch.nn.parallel import DistributedDataParallel
from torchvision import datasets, models, transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 3
MODELS = {
    "resnet18": lambda: models.resnet18(num_classes=CLASSES),
    "small_vit": lambda: models.VisionTransformer(32, 8, 2, 4, 64, 256, num_classes=CLASSES),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("images", "model", "initial", "order", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    options = parser.parse_args()
    distributed.init_process_group("gloo")
    # Isotune's order in memory on CPUs. In another one, convolutions round otherwise, which
    # BatchNorm over the 4 values of a channel in a shard makes 1e-1 of within two steps.
    model = MODELS[options.model]().to(memory_format=torch.channels_last)
    # Files of weights leave the number of batches out.
    model.load_state_dict(load_file(options.initial), strict=False)
    train(model, options, json.loads(Path(options.order).read_text()))
    statistics = {k: value for k, value in model.named_buffers() if value.is_floating_point()}
    means = {name: mean_over_processes(value) for name, value in statistics.items()}
    if distributed.get_rank() == 0:
        state = {**model.state_dict(), **means}
        kept = {n: value.contiguous() for n, value in state.items() if value.is_floating_point()}
        save_file(kept, options.output)
    distributed.barrier()
    distributed.destroy_process_group()


def train(model: nn.Module, options: argparse.Namespace, epochs: list[list[int]]) -> None:
    """Trains on this process's share of each batch, of the images in this order."""
    prepare = transforms.Compose(
        [transforms.CenterCrop(32), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    data = datasets.ImageFolder(Path(options.images, "train"), prepare)
    parallel = DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = optim.SGD(model.parameters(), options.lr, momentum=0.9)
    loss = nn.CrossEntropyLoss()
    rank, share = distributed.get_rank(), options.batch // distributed.get_world_size()
    model.train()
    for order in epochs:
        for start in range(rank * share, len(order), options.batch):
            pairs = [data[index] for index in order[start : start + share]]
            images, labels = zip(*pairs, strict=True)
            optimizer.zero_grad()
            stacked = torch.stack(images).contiguous(memory_format=torch.channels_last)
            loss(parallel(stacked), torch.tensor(labels)).backward()
            optimizer.step()


def mean_over_processes(value: Tensor) -> Tensor:
    """Returns the mean of a buffer, such as BatchNorm's statistics, of all processes."""
    total = value.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


if __name__ == "__main__":
    main()
