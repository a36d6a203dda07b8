"""Trains from scratch on a subset of CIFAR-10, without mixing and averages and with them.

    python benchmarks/mixing_gain.py --home DIR --work /tmp/mixing [--seeds 0 1 2]
    python benchmarks/mixing_gain.py --home DIR --work /tmp/mixing --backbone lenet --epochs 38
    python benchmarks/mixing_gain.py --home DIR --work /tmp/mixing --schedule cosine --epochs 30

DIR has `datasets/cifar-10-batches-bin` (by default `$ISOTUNE_HOME`). A network sees images as they
are, or mirrored. Both runs of a pair have the same seed, and so the same initial weights, order and
flips; one of them has `mixing` and `ema`, too. A run in `--work` that has finished is kept, so that
calls for other backends, schedules and seeds add up. Writes benchmarks/results/mixing-gain.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import isotune
from isotune.errors import RunError
from isotune.reports.comparison import RunFigures, read_figures
from isotune.reports.numbers import percent
from isotune.reports.tables import Table

RESULTS = Path(__file__).parent / "results" / "mixing-gain.md"
GAIN = {
    "mixing": {"mixup": 0.2, "cutmix": 1.0, "probability": 0.5},
    "ema": {"decay": 0.995},
}
SCHEDULES: dict[str, Any] = {
    "constant": "constant",
    "cosine": {"name": "cosine", "warmup": {"epochs": 2}},
}
KINDS: dict[str, dict[str, Any]] = {"without": {}, "with": GAIN}


def experiment(home: Path, backbone: str, schedule: str, epochs: int, seed: int) -> dict[str, Any]:
    """Returns the spec of the run without mixing and averages."""
    return {
        "name": "cifar",
        "dataset": {"format": "cifar10", "path": str(home / "datasets" / "cifar-10-batches-bin")},
        "transforms": {
            "train": ["random_horizontal_flip", {"center_crop": 32}],
            "val": [{"center_crop": 32}],
        },
        "normalization": {"mean": [0.4914, 0.4822, 0.4465], "std": [0.247, 0.2435, 0.2616]},
        "batch_size": 64,
        "backbone": {"name": backbone, "weights": "none"},
        "optimizer": {"name": "adam", "lr": 0.002},
        "schedule": SCHEDULES[schedule],
        "epochs": epochs,
        "eval_batch_size": 250,
        "seed": seed,
        "workers": 1,
    }


def figures(folder: Path) -> RunFigures | None:
    """Returns the figures of a run that has finished, else None."""
    try:
        found = read_figures(folder)
    except RunError:
        return None
    return found if found.state == "finished" else None


def pairs(work: Path) -> Iterator[tuple[str, RunFigures, RunFigures]]:
    """Yields what tells each finished pair of runs from others, as text, and its runs."""
    for folder in sorted(work.glob("*-without")):
        name = folder.name.removesuffix("-without")
        first, second = (figures(work / f"{name}-{kind}") for kind in KINDS)
        if first is not None and second is not None:
            yield name, first, second


def table(work: Path) -> str:
    """Returns the table of all pairs that have finished, and the mean gain, as Markdown."""
    rows = Table(
        ["backend, backbone, schedule, epochs, seed", "best without", "epoch", "best with", "epoch",
         "gain, points", "last without", "last with", "train without"]
    )  # fmt: skip
    gains: dict[str, list[float]] = {}
    for name, first, second in pairs(work):
        assert first.best is not None
        assert second.best is not None
        assert first.final is not None
        assert second.final is not None
        best = first.best.val_accuracy, second.best.val_accuracy
        gain = 100 * (best[1] - best[0])
        gains.setdefault(name.rpartition("-")[0], []).append(gain)
        rows.add(
            *(name.replace("-", ", "), percent(best[0], 2), first.best.epoch),
            *(percent(best[1], 2), second.best.epoch, f"{gain:+.2f}"),
            *(percent(run.final.val_accuracy, 2) for run in (first, second) if run.final),
            percent(first.final.train_accuracy, 1),
        )
    means = (
        f"- {name.replace('-', ', ')} epochs: a mean gain of {statistics.mean(each):+.2f} points\n"
        for name, each in gains.items()
    )
    return f"{rows.markdown()}\n\n{''.join(means)}"


def main() -> None:
    """Makes the runs that are missing, and writes the table of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=os.environ.get("ISOTUNE_HOME"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--backbone", default="shufflenet_v2_x0_5")
    parser.add_argument("--schedule", choices=SCHEDULES, default="constant")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    options = parser.parse_args()
    for seed in options.seeds:
        for kind, changes in KINDS.items():
            parts = (options.backend, options.backbone, options.schedule, options.epochs, seed)
            name = "-".join(map(str, (*parts, kind)))
            folder = options.work / name
            if figures(folder) is None:
                home = options.home.absolute()
                spec = experiment(home, options.backbone, options.schedule, options.epochs, seed)
                arguments = {"backend": options.backend, "device": "cpu", "output": folder}
                isotune.run({**spec, **changes}, **arguments)
    intro = (
        "# Mixing and averages, from scratch\n\nMade by `python benchmarks/mixing_gain.py`:"
        " training on 10,000 images of CIFAR-10, validated on 2,000 others, with"
        f" `mixing: {GAIN['mixing']}` and `ema: {GAIN['ema']}`, and without. `best` and `last` are"
        " accuracies of validation, `train without` is the training accuracy of the last epoch"
        " without.\n\n"
    )
    RESULTS.write_text(intro + table(options.work), "utf-8")
    print(RESULTS.read_text("utf-8"))


if __name__ == "__main__":
    main()
