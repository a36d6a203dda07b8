"""Transfer learning in plain MindSpore, with ``mindspore.dataset`` and ``Model.train``.

python benchmarks/native/mindspore_loop.py --data hymenoptera_data --model resnet18 --batch 4
"""

from __future__ import annotations

import os
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import mindspore as ms
import mindspore.dataset as ds
import mindspore.dataset.vision as vision
import numpy as np
from mindspore import nn
from mindspore_models import build
from reporting import Clock, arguments, report

MEAN = [0.485 * 255, 0.456 * 255, 0.406 * 255]
STD = [0.229 * 255, 0.224 * 255, 0.225 * 255]
HEADS = ("fc.", "classifier.")


def main() -> None:
    options = arguments(__doc__ or "")
    # MindSpore 2.10's convolutions are many times slower on CPUs with AVX-512 without it.
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    ms.set_context(mode=ms.GRAPH_MODE)
    kind, _, index = options.device.partition(":")
    ms.set_device({"cpu": "CPU", "ascend": "Ascend"}[kind], int(index or 0))
    ms.set_seed(options.seed)
    if options.threads:
        ms.runtime.dispatch_threads_num(options.threads)
    if options.part == "data":
        report(options, images_per_second=drained(options))
        return
    clock = Clock()
    if options.part == "step":
        repeat_steps(options, clock)
        report(options, **clock.figures())
        return
    best = train(options, clock)
    report(options, best_val_accuracy=best, **clock.figures())


def images(options: Namespace, phase: str) -> ds.Dataset:
    """Returns batches of the training or validation images."""
    workers = max(options.workers, 1)
    data = ds.ImageFolderDataset(
        str(Path(options.data) / phase),
        num_parallel_workers=workers,
        shuffle=phase == "train",
        extensions=[".jpg", ".jpeg", ".png"],
    )
    if phase == "train":
        loading = [
            vision.RandomCropDecodeResize(options.size),
            vision.RandomHorizontalFlip(0.5),
        ]
    else:
        loading = [
            vision.Decode(),
            vision.Resize(options.size * 256 // 224),
            vision.CenterCrop(options.size),
        ]
    finish = [vision.Normalize(MEAN, STD), vision.HWC2CHW()]
    data = data.map([*loading, *finish], "image", num_parallel_workers=workers)
    data = data.map(lambda label: label.astype(np.int32), "label", num_parallel_workers=1)
    return data.batch(options.batch)


def build_model(options: Namespace, classes: int) -> nn.Cell:
    """Returns a pretrained model with a new head for `classes` classes."""
    net = build(options.model, classes)
    if options.weights:
        state = ms.load_checkpoint(options.weights)
        state = {name: value for name, value in state.items() if not name.startswith(HEADS)}
        missing, unused = ms.load_param_into_net(net, state)
        assert not unused, unused
        assert all(name.startswith(HEADS) for name in missing), missing
    if options.frozen:
        for parameter in net.get_parameters():
            parameter.requires_grad = parameter.name.startswith(HEADS)
    return net


def training_parts(
    options: Namespace, net: nn.Cell, steps: int, epochs: int
) -> tuple[nn.Cell, nn.Cell]:
    """Returns the loss and the optimizer, whose rate falls to a tenth every five epochs."""
    rates = [options.lr * 0.1 ** (epoch // 5) for epoch in range(epochs) for _ in range(steps)]
    optimizer = nn.Momentum(net.trainable_params(), learning_rate=rates, momentum=0.9)
    return nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), optimizer


class Watch(ms.Callback):
    """Times steps and epochs, evaluates after each epoch, and keeps the best weights."""

    def __init__(self, options: Namespace, val: ds.Dataset, folder: Path, clock: Clock) -> None:
        super().__init__()
        self.options, self.val, self.folder, self.clock = options, val, folder, clock
        self.model: ms.Model | None = None
        self.best = 0.0

    def on_train_epoch_begin(self, run_context: ms.RunContext) -> None:
        self.epoch_began = time.perf_counter()

    def on_train_step_begin(self, run_context: ms.RunContext) -> None:
        self.step_began = time.perf_counter()

    def on_train_step_end(self, run_context: ms.RunContext) -> None:
        self.loss = float(np.mean(run_context.original_args().net_outputs.asnumpy()))
        self.clock.step(time.perf_counter() - self.step_began)
        if self.options.part == "first-step":
            run_context.request_stop()

    def on_train_epoch_end(self, run_context: ms.RunContext) -> None:
        if self.options.part == "first-step":
            return
        trained = time.perf_counter()
        accuracy = self.model.eval(self.val, dataset_sink_mode=False)["accuracy"]
        print(f"loss {self.loss:.4f}, val accuracy {accuracy:.4f}", flush=True)
        if accuracy > self.best:
            self.best = accuracy
            network = run_context.original_args().train_network
            ms.save_checkpoint(network, str(self.folder / "best.ckpt"))
        seconds = {"train": trained - self.epoch_began, "val": time.perf_counter() - trained}
        self.clock.epochs.append(seconds)


def train(options: Namespace, clock: Clock) -> float:
    """Trains and validates for some epochs; returns the best validation accuracy."""
    data, val = images(options, "train"), images(options, "val")
    classes = len([f for f in (Path(options.data) / "train").iterdir() if f.is_dir()])
    net = build_model(options, classes)
    loss, optimizer = training_parts(options, net, data.get_dataset_size(), options.epochs)
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch(options, val, Path(folder), clock)
        watch.model = ms.Model(net, loss, optimizer, metrics={"accuracy"})
        watch.model.train(options.epochs, data, callbacks=[watch], dataset_sink_mode=False)
    return float(watch.best)


def repeat_steps(options: Namespace, clock: Clock) -> None:
    """Trains on one batch that is there already, by the cell that ``Model.train`` uses."""
    net = build_model(options, options.classes)
    loss, optimizer = training_parts(options, net, options.steps + 1, 1)
    step = nn.TrainOneStepCell(nn.WithLossCell(net, loss), optimizer)
    step.set_train()
    shape = (options.batch, 3, options.size, options.size)
    images = ms.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    labels = ms.Tensor((np.arange(options.batch) % options.classes).astype(np.int32))
    for _ in range(options.steps + 1):
        begin = time.perf_counter()
        step(images, labels).asnumpy()
        clock.step(time.perf_counter() - begin)


def drained(options: Namespace) -> dict[str, float]:
    """Returns the images a second of each phase, without any model."""
    rates = {}
    for phase in ("train", "val"):
        batches = images(options, phase).create_tuple_iterator(num_epochs=1, output_numpy=True)
        start = time.perf_counter()
        count = sum(len(labels) for _, labels in batches)
        rates[phase] = count / (time.perf_counter() - start)
    return rates


if __name__ == "__main__":
    main()
