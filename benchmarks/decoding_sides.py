"""One side of benchmarks/decoding.py: epochs of decoded, cropped and flipped images, in a process.

Prints a JSON object: seconds of processors and of a clock an image, in each epoch except the first.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SIDE, BATCH = 224, 32
Epoch = Callable[[int], int]
"""Makes the images of an epoch, and returns how many."""


def isotunes(folder: Path, workers: int, processes: bool) -> tuple[Epoch, Any]:
    """Returns the epochs of Isotune's batches, and the processes that decode for them."""
    from isotune.data.batches import Batches
    from isotune.data.decoders import pool
    from isotune.data.sources.folder import FolderSource
    from isotune.data.transforms.flip import RandomHorizontalFlipSpec
    from isotune.data.transforms.random_resized_crop import RandomResizedCropSpec

    pool.IMAGES = 0 if processes else sys.maxsize
    pool.THREADS = 0  # a process at the side of a single thread, too
    pipeline = (RandomResizedCropSpec(size=SIDE), RandomHorizontalFlipSpec())
    source = FolderSource(folder, "train")
    batches = Batches(source, pipeline, BATCH, seed=0, workers=workers, sampler="shuffled")
    started = pool.processes_of(os.getpid())
    started.start()
    return lambda epoch: sum(len(batch) for batch in batches.epoch(epoch)), started


def torchvisions(folder: Path, tensors: bool) -> Epoch:
    """Returns the epochs of a plain loop: Pillow and v1, or tensors and v2."""
    import torch
    from PIL import Image
    from torchvision import transforms as v1
    from torchvision.io import ImageReadMode, decode_image, read_file
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    paths = [str(path) for path in sorted((folder / "train").rglob("*.jp*g"))]
    kinds: Any = v2 if tensors else v1
    steps = [kinds.RandomResizedCrop(SIDE, antialias=True), kinds.RandomHorizontalFlip()]
    change = kinds.Compose(steps if tensors else [*steps, v1.PILToTensor()])

    def opened(path: str) -> Any:
        if tensors:
            return decode_image(read_file(path), ImageReadMode.RGB)
        with Image.open(path) as image:
            return image.convert("RGB")

    def epoch(number: int) -> int:
        for start in range(0, len(paths), BATCH):
            torch.stack([change(opened(path)) for path in paths[start : start + BATCH]])
        return len(paths)

    return epoch


def mindspores(folder: Path) -> Epoch:
    """Returns the epochs of MindSpore's fused decoding and cropping, whose pixels differ."""
    import mindspore.dataset as data
    from mindspore.dataset import vision

    steps = [vision.RandomCropDecodeResize(SIDE), vision.RandomHorizontalFlip()]
    images = data.ImageFolderDataset(str(folder / "train"), num_parallel_workers=1, shuffle=True)
    images = images.map(steps, "image", num_parallel_workers=1).batch(BATCH)
    epochs = images.create_tuple_iterator(num_epochs=-1, output_numpy=True)
    return lambda number: sum(len(batch[1]) for batch in epochs)


def of_process(pid: int) -> float:
    """Returns the processor time that another process has taken, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def taken(children: list[int]) -> Iterator[float]:
    """Yields seconds of processors so far: of this process, of the others; and of a clock."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield usage.ru_utime + usage.ru_stime
    yield sum(map(of_process, children))
    yield time.perf_counter()


def main(name: str, folder: Path, epochs: int) -> None:
    """Measures a side."""
    children: list[int] = []
    if name.startswith("isotune"):
        _, kind, workers = name.split("-")
        epoch, started = isotunes(folder, int(workers), kind == "processes")
        children = [process.pid for process in started.processes]
    elif name == "mindspore":
        epoch = mindspores(folder)
    else:
        epoch = torchvisions(folder, name == "torchvision-v2")
    found = []
    for number in range(epochs + 1):
        before = list(taken(children))
        count = epoch(number)
        after = list(taken(children))
        found.append([(b - a) / count for a, b in zip(before, after, strict=True)])
    print(json.dumps(found[1:]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
