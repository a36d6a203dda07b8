"""Compares the fast reduction with PyTorch's DistributedDataParallel, written by hand.

    python benchmarks/processes_fast.py

Four processes train four shards (``shards: 4``), with ``reduction: fast`` and ``exact``, from the
same values and on the same batches as `native/torch_ddp.py`. The page is
benchmarks/results/processes-fast.md.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from launched import SIDE, SMALL_VIT, launched
from numpy.typing import NDArray
from pairs import RESULTS
from processes import run
from processes_equal import checkpoint_step, make_images
from safetensors.numpy import load_file, save_file

from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import resolve
from isotune.models.build import build_model
from isotune.plugins import plugins
from isotune.randomness import epoch_order
from isotune.reports.tables import Table
from isotune.spec.load import load_spec

HERE = Path(__file__).resolve().parent
IMAGES = {"ants": 8, "bees": 11, "cats": 13}
BATCH, EPOCHS, LR = 16, 4, 0.02
PROCESSES = 4

State = dict[str, NDArray[Any]]


def main() -> None:
    table = Table(
        ("net", "compared", "after", "largest difference"), [*["left"] * 2, *["right"] * 2]
    )
    for net in ("resnet18", "small_vit"):
        with tempfile.TemporaryDirectory(prefix="isotune-fast-") as name:
            work = Path(name)
            make_images(work / "images", IMAGES)
            for epochs in (1, EPOCHS):
                steps = epochs * sum(IMAGES.values()) // BATCH
                states = {kind: trained(net, work, kind, epochs) for kind in ("fast", "exact")}
                hand = by_hand(net, work, epochs)
                for kind, state in states.items():
                    found = f"{difference(state, hand):.1e}"
                    table.add(net, f"{kind}, by hand", f"{steps} steps", found)
    page = (
        "# The fast reduction beside DistributedDataParallel\n\nMade by"
        " `benchmarks/processes_fast.py`: four processes on CPUs, `shards: 4`, SGD with momentum,"
        f" batches of {BATCH} images of {SIDE} x {SIDE} pixels, from the same random values;"
        " `benchmarks/native/torch_ddp.py` does the same by hand. Largest difference of a weight,"
        " or of the mean over processes of a BatchNorm statistic, relative to the largest value of"
        " its tensor. BatchNorm over the 4 values of a channel in a shard makes much of rounding:"
        " exact and fast differ by no more than the order of sums, and ResNet-18's steps multiply"
        f" it.\n\n{table.markdown()}\n"
    )
    (RESULTS / "processes-fast.md").write_text(page, "utf-8")
    print(page)


def experiment(net: str, work: Path, reduction: str, epochs: int) -> dict[str, Any]:
    """Returns a spec without any random change of images."""
    return {
        "name": "fast",
        "dataset": {"path": str(work / "images")},
        "transforms": {split: [{"center_crop": SIDE}] for split in ("train", "val")},
        "batch_size": BATCH,
        "shards": PROCESSES,
        "reduction": reduction,
        "backbone": {"name": net, "weights": "none"},
        "optimizer": {"name": "sgd", "lr": LR, "momentum": 0.9},
        "epochs": epochs,
    }


def trained(net: str, work: Path, reduction: str, epochs: int) -> State:
    """Trains a net in several processes and returns its last weights."""
    spec, folder = work / "spec.yaml", work / f"{reduction}-{epochs}"
    spec.write_text(yaml.safe_dump(experiment(net, work, reduction, epochs)), "utf-8")
    command = ["run", str(spec), "--backend", "torch", "--device", "cpu", "--output", str(folder)]
    launched("torch", PROCESSES, command, work / "home")
    paths = folder.glob("checkpoints/*/model.safetensors")
    return load_file(max(paths, key=lambda path: checkpoint_step(path.as_posix())))


def by_hand(net: str, work: Path, epochs: int) -> State:
    """Trains a net by DistributedDataParallel and returns its last weights."""
    backend = plugins.open_backend("torch", "cpu")
    loaded = load_spec(experiment(net, work, "fast", epochs))
    entry = SMALL_VIT if net == "small_vit" else chosen_backbone(loaded.backbone, "torch", plugins)
    model = build_model(resolve(loaded, entry), entry, backend, len(IMAGES))
    save_file(backend.state_adapter.export_model(model), work / "initial.safetensors")
    count = sum(IMAGES.values())
    orders = [epoch_order(0, epoch, count).tolist() for epoch in range(epochs)]
    (work / "order.json").write_text(json.dumps(orders))
    files = {"images": "images", "initial": "initial.safetensors", "order": "order.json"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--local-addr", "localhost", "--nproc-per-node", str(PROCESSES)]
    command += [str(HERE / "native" / "torch_ddp.py"), "--model", net, "--batch", str(BATCH)]
    command += ["--lr", str(LR), "--output", str(work / "hand.safetensors")]
    for name, file in files.items():
        command += [f"--{name}", str(work / file)]
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // PROCESSES))}
    run(command, {**threads, "GLOO_SOCKET_IFNAME": "lo"})
    return load_file(work / "hand.safetensors")


def difference(found: State, expected: State) -> float:
    """Returns the largest difference of a value, relative to the largest one of its tensor."""
    assert found.keys() == expected.keys()
    return max(
        float(np.abs(found[name] - value).max() / max(np.abs(value).max(), 1e-12))
        for name, value in expected.items()
    )


if __name__ == "__main__":
    main()
